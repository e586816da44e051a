"""The codec whose first codebooks hear magnitudes."""

import numpy as np
import pytest
import torch

from ritornello.encodec.codec import EncodecCodec
from ritornello.encodec.rvq import quantise
from ritornello.encodec.split import MagnitudeEncoder, SplitNetwork
from ritornello.errors import ConfigError
from tests.encodec.codecs import drawn, noise, tiny

HOP = 16
SPLIT = {"steady_codebooks": 1, "steady_windows": (64, 32)}


@pytest.fixture(scope="module")
def codec():
    return drawn(tiny(**SPLIT))


def tone(phase, frames=40, cycles=8):
    """A tone with so many cycles in a hop over 4, of any phase."""
    time = torch.arange(frames * HOP)
    return 0.5 * torch.sin(2 * np.pi * cycles * time / 60 + phase)[None, None]


def test_the_first_codebooks_do_not_hear_the_phase(codec):
    inner = slice(6, -6)  # whose windows lie within the tone
    one, other = (codec.encode(tone(phase))[0, :, inner] for phase in (0.0, 1.3))
    assert torch.equal(one[0], other[0])
    assert len(one[0].unique()) == 1  # it stands still
    assert not torch.equal(one[1:], other[1:])


def test_magnitudes_of_a_frame_are_those_of_windows_centred_on_it():
    config = tiny(**SPLIT)
    wave = torch.zeros(1, 1, 20 * HOP)
    wave[..., 10 * HOP + HOP // 2] = 1.0  # the middle of frame 10
    seen = MagnitudeEncoder(config).magnitudes(wave)[0]
    assert seen.shape == (33 + 17, 20)
    coarse, fine = seen[:33], seen[33:]
    for part in (coarse, fine):
        assert int(part.sum(0).argmax()) == 10
        torch.testing.assert_close(part[:, 9], part[:, 11], atol=0.05, rtol=0.05)
    heard = [(part.sum(0) > 1e-6).nonzero().flatten().tolist() for part in (coarse, fine)]
    assert heard == [[9, 10, 11], [10]]  # windows of four hops and of two, nothing at their ends


def test_what_is_found_is_the_sum_of_both_quantisers(codec):
    network = codec.network
    queries = network.queries(network.fast(noise(480, seed=3)))
    found = network.quantizer(queries)
    steady, others = queries.chunk(2, -1)
    first, rest = (
        quantise(steady, network.quantizer.books[:1]),
        quantise(others, network.quantizer.books[1:]),
    )
    assert torch.equal(found.codes, torch.cat([first.codes, rest.codes], 1))
    torch.testing.assert_close(found.vectors, first.vectors + rest.vectors)
    torch.testing.assert_close(network.quantizer.look_up(found.codes), found.vectors)
    torch.testing.assert_close(found.commitment, (first.commitment + 2 * rest.commitment) / 3)


def test_both_encoders_learn_and_only_from_levels_that_are_decoded():
    network = SplitNetwork(tiny(**SPLIT))
    for levels, encoder_learns in ((3, True), (1, False)):
        network.zero_grad()
        decoded, _ = network(noise(480), torch.tensor([levels]))
        decoded.square().sum().backward()
        for part, learns in ((network.magnitude_encoder, True), (network.encoder, encoder_learns)):
            moved = [p.grad is not None and bool(p.grad.abs().sum() > 0) for p in part.parameters()]
            assert any(moved) == learns


def test_fewer_levels_are_what_their_codes_say(codec):
    network, wave = codec.network, noise(480, batch=2, seed=5)
    whole, found = network(wave)
    part, again = network(wave, torch.tensor([3, 2]))
    assert torch.equal(found.codes, again.codes)
    torch.testing.assert_close(part[0], whole[0])
    kept = network.quantizer.look_up(found.codes[1:, :2])
    expected = network.decoder(network.widen(kept.transpose(1, 2)))
    torch.testing.assert_close(part[1:], expected)


def test_where_all_are_steady_nothing_hears_the_phase_and_chunks_equal_the_whole(monkeypatch):
    steady = drawn(tiny(steady_codebooks=3, steady_windows=(64, 32)))
    assert not any(name.startswith("encoder") for name, _ in steady.network.named_parameters())
    one, other = (steady.encode(tone(phase))[..., 6:-6] for phase in (0.0, 1.3))
    assert torch.equal(one, other)
    wave = noise(1000, seed=9)
    whole = steady.encode(wave)
    decoded, found = steady.network(noise(480))
    assert torch.equal(steady.encode(noise(480)), found.codes)
    assert decoded.shape == (1, 1, 480)
    monkeypatch.setattr("ritornello.encodec.codec.CHUNK_SAMPLES", HOP)
    assert torch.equal(steady.encode(wave), whole)


@pytest.mark.parametrize("time", [1, 300, 5 * HOP, 2000])
def test_chunks_equal_the_whole(codec, monkeypatch, time):
    wave = noise(time, seed=time)
    whole = codec.encode(wave)
    monkeypatch.setattr("ritornello.encodec.codec.CHUNK_SAMPLES", HOP)
    cut = EncodecCodec(codec.network).encode(wave)
    assert torch.equal(whole, cut)


def test_impossible_splits_are_refused():
    with pytest.raises(ConfigError, match="0 to codebooks"):
        tiny(steady_codebooks=4)
    with pytest.raises(ConfigError, match="a hop's samples or more"):
        tiny(steady_codebooks=1, steady_windows=(64, 8))
