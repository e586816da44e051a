"""Generator and critic: shapes, independence, explicit noise, losses, penalties, learning."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ritornello.errors import ConfigError
from ritornello.musika import presets
from ritornello.musika.config import CriticConfig, GeneratorConfig
from ritornello.musika.families import build_critic, build_generator
from ritornello.musika.local_critic import LocalCritic
from ritornello.musika.model import (
    Critic,
    Generator,
    ScaleByCoordinates,
    certainty,
    gradient_norms,
    hinge_critic_loss,
    hinge_generator_loss,
    initialise,
    next_penalty_scale,
    r1_penalty,
    unit_gradient_penalty,
)
from ritornello.musika.paper_gan import PaperCritic, PaperCriticDecoder, PaperGenerator

ASSETS = Path(__file__).parents[1] / "assets"
TINY = GeneratorConfig(coordinate_channels=5, latent_dim=6, chunk_frames=16, base_channels=4)
TINY_CRITIC = CriticConfig(latent_dim=6, condition_channels=2, window_frames=32, base_channels=4)
PAPER_TINY = GeneratorConfig(coordinate_channels=4, latent_dim=4, chunk_frames=128, base_channels=4)
PAPER_CRITIC_TINY = CriticConfig(latent_dim=4, window_frames=256, base_channels=4)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def build(cls, config, seed=0):
    network = cls(config)
    initialise(network, seeded(seed))
    return network


def normal(*shape, seed=1, dtype=torch.float32):
    return torch.randn(shape, generator=seeded(seed), dtype=dtype)


def loud(generator):
    """The generator with noise scales that are not zero."""
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("noise.scale"):
                parameter.fill_(0.5)
    return generator


def fill_by_formula(network):
    """Weights that depend on no random generator and are about as large as drawn ones."""
    with torch.no_grad():
        for index, parameter in enumerate(network.parameters()):
            steps = torch.arange(parameter.numel(), dtype=parameter.dtype)
            size = math.sqrt(3 / max(parameter[0].numel(), 4))
            parameter.copy_((size * torch.sin(0.7 * steps + index)).view_as(parameter))
    return network


def formula(*shape):
    return torch.cos(1.3 * torch.arange(math.prod(shape), dtype=torch.float64)).view(shape)


def trainable(network):
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ("cls", "config", "millions"),
    [
        (Generator, presets.release().generator, 15.50),
        (Critic, presets.release().critic, 20.79),
        (PaperGenerator, presets.paper().generator, 14.06),
        (PaperCritic, presets.paper().critic, 15.82),
    ],
)
def test_parameter_counts_are_the_published_ones(cls, config, millions):
    with torch.device("meta"):
        network = cls(config)
    assert trainable(network) / 1e6 == pytest.approx(millions, rel=0.01)


def test_small_gan_fits_the_shipped_model():
    with torch.device("meta"):
        generator = Generator(presets.small().generator)
    assert trainable(generator) < 4e6


@pytest.mark.parametrize(("cls", "config"), [(Generator, TINY), (PaperGenerator, PAPER_TINY)])
@pytest.mark.parametrize("chunks", [1, 3])
def test_latents_are_as_long_as_the_coordinates(cls, config, chunks):
    generator = build(cls, config)
    frames = config.chunk_frames * chunks
    latents = generator(normal(2, config.coordinate_channels, frames))
    assert latents.shape == (2, config.latent_dim, frames)
    assert latents.isfinite().all()


@pytest.mark.parametrize("chunk_frames", [8, 64, 128])
def test_every_chunk_length_works(chunk_frames):
    config = GeneratorConfig(
        coordinate_channels=3, latent_dim=2, chunk_frames=chunk_frames, base_channels=2
    )
    assert build(Generator, config)(normal(1, 3, chunk_frames)).shape == (1, 2, chunk_frames)


def test_a_chunk_depends_on_its_own_coordinates_alone():
    generator = build(Generator, TINY).double()
    coordinates = normal(2, 5, 48, dtype=torch.float64).requires_grad_()
    latents = generator(coordinates)
    for chunk in range(3):
        one = latents[0, :, 16 * chunk : 16 * (chunk + 1)].square().sum()
        (gradient,) = torch.autograd.grad(one, coordinates, retain_graph=True)
        touched = gradient.view(2, 5, 3, 16).abs().sum(dim=(1, 3)) > 0
        expected = torch.zeros(2, 3, dtype=torch.bool)
        expected[0, chunk] = True
        assert torch.equal(touched, expected)
        assert (gradient[0, :, 16 * chunk : 16 * (chunk + 1)] != 0).all()


def test_windows_equal_their_chunks_one_by_one():
    generator = loud(build(Generator, TINY)).double()
    coordinates = normal(2, 5, 32, dtype=torch.float64)
    noise = generator.draw_noise(seeded(3), 2, chunks=2)
    whole = generator(coordinates, noise)
    for example in range(2):
        for chunk in range(2):
            row = 2 * example + chunk
            cut = slice(16 * chunk, 16 * (chunk + 1))
            own = [one[row : row + 1] for one in noise]
            alone = generator(coordinates[example : example + 1, :, cut], own)
            torch.testing.assert_close(
                whole[example : example + 1, :, cut], alone, atol=1e-10, rtol=0
            )


def test_noise_is_explicit():
    generator = loud(build(Generator, TINY))
    coordinates = normal(2, 5, 16)
    noise = generator.draw_noise(seeded(3), 2)
    assert torch.equal(generator(coordinates, noise), generator(coordinates, noise))
    assert torch.equal(generator(coordinates), generator(coordinates))
    other = generator.draw_noise(seeded(4), 2)
    assert not torch.allclose(generator(coordinates, noise), generator(coordinates, other))


def test_noise_is_silent_at_the_start_and_can_be_learnt():
    generator = build(Generator, TINY)
    coordinates = normal(2, 5, 16)
    noise = generator.draw_noise(seeded(3), 2)
    assert torch.equal(generator(coordinates, noise), generator(coordinates))
    generator(coordinates, noise).square().mean().backward()
    scales = [p for name, p in generator.named_parameters() if name.endswith("noise.scale")]
    assert len(scales) == len(noise)
    assert all(p.grad is not None and float(p.grad) != 0 for p in scales)


def test_drawn_noise_has_the_stated_shapes():
    generator = build(Generator, TINY)
    shapes = generator.noise_shapes(3, chunks=2)
    assert shapes == [(6, 1, 4), (6, 1, 8), (6, 1, 8), (6, 1, 16)]
    assert [tuple(one.shape) for one in generator.draw_noise(seeded(), 3, chunks=2)] == shapes


@pytest.mark.parametrize(
    ("shape", "message"), [((1, 4, 16), "have 4 channels"), ((1, 5, 24), "multiple of 16 frames")]
)
def test_coordinates_that_do_not_fit_are_refused(shape, message):
    with pytest.raises(ConfigError, match=message):
        build(Generator, TINY)(normal(*shape))


def test_noise_that_does_not_fit_is_refused():
    generator = build(Generator, TINY)
    with pytest.raises(ConfigError, match="Use draw_noise"):
        generator(normal(2, 5, 16), generator.draw_noise(seeded(), 1))


def test_the_scale_is_the_formula():
    layer = ScaleByCoordinates(2, 3).double()
    hidden = normal(2, 8, 3, dtype=torch.float64) + 5
    coordinates = normal(2, 8, 2, seed=2, dtype=torch.float64)
    expected = hidden / hidden.std(1, correction=0, keepdim=True) * layer.to_scale(coordinates)
    torch.testing.assert_close(layer(hidden, coordinates), expected, atol=1e-6, rtol=0)


def test_the_scale_of_a_constant_signal_has_finite_gradients():
    layer = ScaleByCoordinates(2, 3)
    hidden = torch.ones(1, 4, 3, requires_grad=True)
    layer(hidden, normal(1, 4, 2)).sum().backward()
    assert hidden.grad is not None
    assert hidden.grad.isfinite().all()


def test_critic_scores_every_window_and_sees_the_conditions():
    critic = build(Critic, TINY_CRITIC)
    latents, conditions = normal(3, 6, 32), normal(3, 2, 32, seed=2)
    scores = critic(latents, conditions)
    assert scores.shape == (3,)
    assert not torch.allclose(scores, critic(latents, torch.zeros_like(conditions)))


def test_critic_sees_across_the_joint_of_chunks():
    critic = build(Critic, TINY_CRITIC)
    latents = normal(1, 6, 32).requires_grad_()
    critic(latents, normal(1, 2, 32, seed=2)).sum().backward()
    assert latents.grad is not None
    assert (latents.grad != 0).all()


@pytest.mark.parametrize("shape", [(1, 6, 16), (1, 6, 64)])
def test_windows_of_another_length_are_refused(shape):
    with pytest.raises(ConfigError, match=r"expected \(8, 32\)"):
        build(Critic, TINY_CRITIC)(normal(*shape), normal(shape[0], 2, shape[2]))


def test_missing_conditions_are_refused():
    with pytest.raises(ConfigError, match=r"\(6, 32\); expected \(8, 32\)"):
        build(Critic, TINY_CRITIC)(normal(1, 6, 32))


def test_initialisation_is_fixed_by_its_generator():
    first, second, third = (build(Critic, TINY_CRITIC, seed) for seed in (7, 7, 8))
    pairs = list(zip(first.parameters(), second.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(first.score.weight, third.score.weight)


def test_hinge_losses_by_hand():
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 1.0])
    assert float(hinge_critic_loss(real, fake)) == pytest.approx(0.5 * (0.25 + 1.0))
    assert float(hinge_generator_loss(fake)) == pytest.approx(1.0)


def test_penalties_of_a_linear_critic():
    weight = normal(4, 8, dtype=torch.float64)
    real = normal(3, 4, 8, seed=2, dtype=torch.float64).requires_grad_()
    scores = torch.einsum("bdf,df->b", real, weight)
    norm = float(weight.norm())
    assert r1_penalty(scores, real).item() == pytest.approx(norm**2, rel=1e-9)
    assert unit_gradient_penalty(scores, real).item() == pytest.approx((norm - 1) ** 2, rel=1e-9)


def test_gradient_norms_of_a_quadratic_critic_can_be_differentiated():
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    real = normal(2, 3, 4, dtype=torch.float64).requires_grad_()
    norms = gradient_norms(scale * real.square().sum(dim=(1, 2)), real)
    lengths = real.detach().square().sum(dim=(1, 2))
    torch.testing.assert_close(norms, 36 * lengths)
    norms.sum().backward()
    assert float(scale.grad) == pytest.approx(float(24 * lengths.sum()), rel=1e-9)


def test_r1_under_autocast_agrees_with_float32():
    critic = build(Critic, TINY_CRITIC)
    real, conditions = normal(8, 6, 32).requires_grad_(), normal(8, 2, 32, seed=2)
    exact = r1_penalty(critic(real, conditions), real)
    with torch.autocast("cpu", torch.bfloat16):
        rough = r1_penalty(critic(real, conditions), real)
    assert rough.item() == pytest.approx(exact.item(), rel=0.03)
    rough.backward()
    assert critic.first.product.weight.grad.isfinite().all()


@pytest.mark.parametrize(
    ("real", "fake", "expected"), [(1.0, -1.0, 1.0), (5.0, -5.0, 1.0), (0.5, 0.0, 0.25), (0, 1, 0)]
)
def test_certainty_is_the_clipped_distance(real, fake, expected):
    got = certainty(torch.tensor([float(real)]), torch.tensor([float(fake)]))
    assert got == pytest.approx(expected)


@pytest.mark.parametrize(
    ("scale", "certain", "expected"),
    [(0.5, 0.95, 0.5001), (0.5, 0.9, 0.4999), (1.0, 1.0, 1.0), (0.0, 0.1, 0.0)],
)
def test_the_penalty_scale_follows_certainty(scale, certain, expected):
    assert next_penalty_scale(scale, certain) == pytest.approx(expected, abs=1e-12)


def test_the_penalty_scale_takes_its_time():
    scale = 1.0
    for _ in range(1000):
        scale = next_penalty_scale(scale, 0.0, speed=1e-3)
    assert scale == pytest.approx(0.0, abs=1e-9)


def test_generator_learns_a_tiny_batch():
    generator = build(Generator, TINY)
    coordinates, target = normal(4, 5, 16), normal(4, 6, 16, seed=2)
    noise = generator.draw_noise(seeded(), 4)
    optimiser = torch.optim.Adam(generator.parameters(), lr=1e-2)
    for _ in range(150):
        loss = (generator(coordinates, noise) - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1 * target.square().mean().item()


def test_critic_learns_to_tell_two_batches_apart():
    critic = build(Critic, TINY_CRITIC)
    real, fake, conditions = normal(4, 6, 32), normal(4, 6, 32, seed=2), torch.zeros(4, 2, 32)
    optimiser = torch.optim.Adam(critic.parameters(), lr=3e-3)
    for _ in range(60):
        loss = hinge_critic_loss(critic(real, conditions), critic(fake, conditions))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.05


def test_generator_follows_the_critic():
    generator, critic = build(Generator, TINY), build(Critic, TINY_CRITIC)
    coordinates, conditions = normal(4, 5, 32), torch.zeros(4, 2, 32)
    before = critic(generator(coordinates), conditions).mean().item()
    optimiser = torch.optim.Adam(generator.parameters(), lr=1e-3)
    for _ in range(20):
        loss = hinge_generator_loss(critic(generator(coordinates), conditions))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert -loss.item() > before + 0.5


def test_paper_generator_is_bounded_and_gated():
    generator = build(PaperGenerator, PAPER_TINY)
    coordinates = normal(2, 4, 256)
    latents = generator(coordinates)
    assert latents.abs().max() <= 1
    with torch.no_grad():
        for excitation in generator.excitations:
            excitation.excite.bias.fill_(-30.0)
    assert not torch.allclose(latents, generator(coordinates))


def test_paper_networks_refuse_other_lengths():
    with pytest.raises(ConfigError, match="exactly 128"):
        PaperGenerator(TINY)
    with pytest.raises(ConfigError, match="exactly 256"):
        PaperCritic(TINY_CRITIC)


def test_paper_critic_has_a_frozen_projection_and_a_decoder():
    critic = build(PaperCritic, PAPER_CRITIC_TINY)
    decoder = build(PaperCriticDecoder, PAPER_CRITIC_TINY)
    real = normal(2, 4, 256)
    features = critic.features(real)
    torch.testing.assert_close(critic.score_features(features), critic(real))
    decoded = decoder(features)
    assert decoded.shape == real.shape
    (critic(real).sum() + decoded.sum()).backward()
    assert critic.projection.weight.grad is None
    assert critic.blocks[0].down[1].weight.grad is not None


def golden_outputs():
    """Outputs of formula-filled networks in float64, by name."""
    generator = fill_by_formula(Generator(TINY).double())
    noise = [formula(*shape) for shape in generator.noise_shapes(1, chunks=2)]
    critic = fill_by_formula(Critic(TINY_CRITIC).double())
    paper_generator = fill_by_formula(PaperGenerator(PAPER_TINY).double())
    paper_critic = fill_by_formula(PaperCritic(PAPER_CRITIC_TINY).double())
    latents = paper_generator(formula(1, 4, 256))
    with torch.no_grad():
        return {
            "generator": generator(formula(1, 5, 32), noise),
            "critic": critic(formula(2, 6, 32), formula(2, 2, 32)),
            "paper_generator": latents[..., ::8].contiguous(),
            "paper_critic": paper_critic(formula(2, 4, 256)),
        }


@pytest.mark.parametrize("name", ["generator", "critic", "paper_generator", "paper_critic"])
def test_outputs_stay_what_they_were(name):
    expected = load_file(ASSETS / "musika_gan.safetensors")[name]
    assert expected.std() > 1e-3
    torch.testing.assert_close(golden_outputs()[name], expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_preset_names_its_networks(name):
    config = presets.PRESETS[name]()
    with torch.device("meta"):
        generator, critic = build_generator(config), build_critic(config)
        latents = generator(
            torch.zeros(1, config.gan.coordinate_channels, config.gan.window_frames)
        )
        conditions = torch.zeros(1, config.gan.condition_channels, config.gan.window_frames)
        scores = critic(latents, conditions)
    assert isinstance(generator, PaperGenerator) == (name == "paper")
    assert isinstance(critic, PaperCritic) == (name == "paper")
    assert latents.shape == (1, config.latent_dim, config.gan.window_frames)
    assert isinstance(critic, LocalCritic) == (config.family == "light")
    assert scores.shape[0] == 1
