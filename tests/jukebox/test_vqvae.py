"""Levels have the published sizes, learn a batch by heart, and bring dead codes back."""

from dataclasses import replace

import pytest
import torch

from ritornello.jukebox.losses import level_losses, measure_bandwidth
from ritornello.jukebox.vqvae import Quantiser, VqVae, VqVaes, initialise
from ritornello.jukebox.vqvae_config import LevelConfig, LossConfig, VqVaeConfig
from ritornello.jukebox.vqvae_presets import nano_vqvae, paper
from ritornello.training.distributed import World
from tests.jukebox.levels import drawn, noise, tiny

KINDS = pytest.mark.parametrize("networks", ["plain", "patched"])


def count(module):
    return sum(weight.numel() for weight in module.parameters())


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_paper_has_the_published_parameters():
    with torch.device("meta"):
        model = VqVaes(paper())
    assert count(model) == 1_485_763
    codebooks = [model[level].quantiser.codebook.vectors.numel() for level in range(3)]
    assert sum(codebooks) == 393_216
    sizes = [(count(model[n].encoder), count(model[n].decoder)) for n in range(3)]
    assert [tuple(round(size, -3) for size in pair) for pair in sizes] == [
        (442_000, 458_000),
        (116_000, 125_000),
        (168_000, 176_000),
    ]


@KINDS
@pytest.mark.parametrize("factors", [(2,), (8,), (4, 2)])
def test_shapes(networks, factors):
    config = tiny(networks, factors)
    level, frames = drawn(config), 5
    found = level(noise(frames * config.hop_samples, batch=2))
    assert found.queries.shape == (2, 3, frames)
    assert found.codes.shape == (2, frames)
    assert found.wave.shape == (2, 1, frames * config.hop_samples)
    torch.testing.assert_close(level.decode(found.codes), found.wave)


@KINDS
def test_every_code_is_centred_on_its_samples(networks):
    """A query sees exactly its reach, which lies about its own samples."""
    config = tiny(networks)
    level = drawn(config).double()
    with torch.no_grad():
        for weight in level.encoder.parameters():  # all positive: no path is cut by a ReLU
            weight.abs_()
    reach, hop = level.encoder.reach, config.hop_samples
    frames = 2 * reach.context + 3
    middle = frames // 2
    wave = torch.ones(1, 1, frames * hop, dtype=torch.float64, requires_grad=True)
    level.encoder(wave)[0, :, middle].sum().backward()
    seen = wave.grad[0, 0].nonzero().flatten()
    assert (int(seen[0]), int(seen[-1])) == (middle * hop - reach.back, middle * hop + reach.ahead)
    assert reach.ahead - reach.back == hop - 1


def test_reach_of_the_published_lowest_level():
    """3280 steps to either side at a half, a quarter and an eighth of the rate: over a second."""
    with torch.device("meta"):
        reach = VqVae(paper().levels[0]).encoder.reach
    assert reach.back == 3280 * (2 + 4 + 8) + 1 + 2 + 4 + 8
    assert reach.factor == 8


def test_decoders_go_through_dilations_backwards():
    level = drawn(tiny(factors=(2,)))
    assert level.encoder.layers[1].dilations == (1, 3)
    assert level.decoder.layers[1].dilations == (3, 1)


def test_levels_share_nothing():
    config = VqVaeConfig(levels=(tiny(factors=(4,)), tiny(factors=(4, 2))))
    model = VqVaes(config)
    initialise(model, generator())
    for level, found in enumerate(model(noise(32))):
        found.wave.sum().backward()
        trained = [weight.grad is not None for weight in model[1 - level].parameters()]
        assert not any(trained)
        model.zero_grad()


def test_gradients_reach_the_encoder_through_the_codes():
    level = drawn(tiny())
    level(noise(64)).wave.square().sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in level.encoder.parameters())


# ------------------------------------------------------------------ the codebook


def clusters(seed=0):
    """16 well separated places, 20 queries at each: (1, 3, 320)."""
    draw = generator(seed)
    places = 10 * torch.randn(16, 3, generator=draw)
    queries = places.repeat(20, 1) + 0.01 * torch.randn(320, 3, generator=draw)
    return queries.T[None]


def codes_used(revive_below, steps=60):
    """Codes in use after training on clusters, all of them having begun at one place."""
    config = tiny(mu=0.8, revive_below=revive_below).codebook
    quantiser, queries, draw = Quantiser(config), clusters(), generator(1)
    quantiser.learn(torch.zeros_like(queries), quantiser(queries).codes, draw, World())
    revived = 0
    for _ in range(steps):
        codes = quantiser(queries).codes
        revived += quantiser.learn(queries, codes, draw, World())
    return len(quantiser(queries).codes.unique()), revived


def test_restart_revives_a_dead_codebook():
    used, revived = codes_used(revive_below=0.0)
    assert used <= 8
    assert revived == 0
    used, revived = codes_used(revive_below=0.1)
    assert used == 16
    assert revived >= 10  # as many as were not in use without


def test_a_revived_code_is_a_query_and_has_uniform_use():
    quantiser, queries, draw = Quantiser(tiny(revive_below=0.5).codebook), clusters(), generator(1)
    codes = quantiser(queries).codes
    quantiser.learn(queries, codes, draw, World())
    book = quantiser.codebook
    book.counts[4], book.sums[4] = 0, 0
    assert quantiser.learn(queries, quantiser(queries).codes, draw, World()) >= 1
    assert (queries[0].T - book.vectors[4]).norm(dim=1).min() < 1e-4
    assert book.counts[4] >= 0.5 * book.counts.mean()


def test_codes_follow_their_queries_by_one_minus_mu():
    quantiser = Quantiser(tiny(codes=2, mu=0.75, revive_below=0.0).codebook)
    quantiser.is_begun.fill_(True)
    quantiser.codebook.sums.copy_(torch.tensor([[0.0, 0, 0], [8, 8, 8]]))
    queries = torch.full((1, 3, 4), 1.0)
    quantiser.learn(queries, quantiser(queries).codes, generator(), World())
    # counts 1 -> 0.75 + 0.25 * 4, sums 0 -> 0.25 * 4
    expected = torch.tensor([1 / 1.75, 8.0])
    torch.testing.assert_close(quantiser.codebook.vectors[:, 0], expected)


# ------------------------------------------------------------------ learning


@KINDS
def test_one_batch_is_learnt_by_heart(networks):
    config = nano_vqvae()
    book = replace(config.levels[0].codebook, codes=64)
    level_config = LevelConfig(networks=networks, width=16, depth=1, codebook=book)
    level, draw = VqVae(level_config), generator()
    initialise(level, draw)
    times = torch.arange(512) / 8000
    wave = (0.4 * torch.sin(2 * torch.pi * torch.tensor([[440.0], [330.0]]) * times))[:, None]
    loss = LossConfig(resolutions=config.loss.resolutions[1:], reference=config.loss.reference)
    bandwidth = measure_bandwidth(wave, loss)
    adam = torch.optim.Adam(level.parameters(), lr=4e-3)
    squared = []
    for _ in range(100):
        found = level(wave)
        losses = level_losses(found, wave, loss, bandwidth)
        adam.zero_grad()
        losses["total"].backward()
        adam.step()
        level.learn(found, draw, World())
        squared.append(losses["squared"].item())
    assert squared[0] > 0.5
    assert squared[-1] < 0.05
