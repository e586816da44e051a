"""Pieces of stacks of any depth: a stream is the piece, a prompt is gone on from, seeds decide."""

import logging
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import pytest
import torch

from ritornello.ada import generate, sampling
from ritornello.ada.codec import Draws
from ritornello.ada.generate import AdaStack, Options
from ritornello.checkpoint import write_config
from ritornello.errors import AudioError, CapabilityError, CheckpointError, ConfigError
from ritornello.interfaces import Audio, Request
from tests.ada.stacks import RATE, drawn_stack

DEPTHS = (0, 1, 2, 3)
SECONDS = 0.6


def tone(seconds=0.5, rate=RATE, channels=1):
    time = np.arange(round(seconds * rate)) / rate
    wave = 0.4 * np.sin(2 * np.pi * 220 * time)
    return Audio(samples=np.stack([wave] * channels).astype(np.float32), sample_rate=rate)


def joined(blocks):
    return np.concatenate([block.samples for block in blocks], 1)


@pytest.fixture(scope="module")
def stack():
    return drawn_stack(2)


@pytest.fixture(params=DEPTHS)
def any_stack(request):
    return drawn_stack(request.param)


def test_a_piece_has_the_length_asked_for_and_is_the_beginning_of_the_endless_one(any_stack):
    piece = any_stack.generate(Request(seconds=SECONDS, seed=3))
    assert (piece.samples.shape, piece.sample_rate) == ((1, 1200), RATE)
    assert np.abs(piece.samples).max() <= 1
    assert len(np.unique(piece.samples)) > 20
    endless = joined(islice(any_stack.stream(Request(seed=3)), 5))
    assert endless.shape[1] > 1200
    assert np.array_equal(endless[:, :1200], piece.samples)


def test_a_prompt_of_any_rate_and_channels_stands_first(any_stack):
    prompt = tone(rate=44100, channels=2)
    piece = any_stack.generate(Request(seconds=SECONDS, prompt=prompt))
    assert piece.samples.shape == (1, 1000 + 1200)
    power = (piece.samples[0, 50:950] ** 2).mean()
    assert power == pytest.approx(0.4**2 / 2, rel=0.01)
    upside_down = Audio(samples=-prompt.samples, sample_rate=44100)
    # A WaveNet that sees four samples forgets its prompt when four draws happen to be the same.
    others = [
        [
            any_stack.generate(Request(seconds=0.05, seed=seed, prompt=one)).samples[0, 1000:]
            for one in (prompt, upside_down)
        ]
        for seed in range(6)
    ]
    assert any(not np.array_equal(one, other) for one, other in others)


def test_the_seed_decides(stack):
    first, again, other = (
        stack.generate(Request(seconds=0.1, seed=seed)).samples for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_what_a_piece_is_made_of_is_what_its_codes_decode_to(stack):
    """The top sampled alone, then decoded as a whole, is the piece."""
    played = stack.instruments("fp32")
    draws = stack._draws(Request(), Options())
    state = played.prior.initial_state(1)
    codes = torch.cat(
        [
            draws[-1].sample(played.prior, state, block, shape=(1, played.prior_block))
            for block in range(3)
        ],
        1,
    )
    wave = stack.codec.decode(codes[:, None])
    # the last codes have no future here, but have one in the piece
    reach = 3 * (8 + 4)
    made = wave[0, :, : -reach - 200]
    piece = stack.generate(Request(seconds=made.shape[1] / RATE))
    assert np.array_equal(piece.samples, made.numpy())


def test_going_on_from_its_own_codes_is_going_on():
    """Primed with the first block of every level, the stack plays the second."""
    stack = drawn_stack(2, rate=2048)  # blocks of all networks last as long
    played = stack.instruments("fp32")
    whole = torch.cat(list(islice(stack.symbols(played, numbered(0), None), 4)), 1)
    tracks = every_track(stack, played)
    frames = played.prior_block
    symbols = [track[:, : frames * size] for track, size in zip(tracks, (8, 2, 1), strict=True)]
    prompt = generate.Prompt(audio=np.zeros((1, 1), np.float32), symbols=symbols)
    rest = next(iter(stack.symbols(played, numbered(1), prompt)))
    start = frames * 8
    assert torch.equal(rest, whole[:, start : start + rest.shape[1]])


@dataclass(frozen=True, kw_only=True)
class ByPlace(Draws):
    """Numbers by the place in the piece: block 0 of a continuation is a later block."""

    first_block: int

    def uniforms(self, block, batch, steps):
        return super().uniforms(block + self.first_block, batch, steps)


def numbered(first):
    return [ByPlace(seed=0, name=name, first_block=first) for name in ("level1", "level2", "prior")]


def every_track(stack, played):
    """Mu-law symbols, codes of level 1 and of level 2 of the piece that `numbered(0)` draws."""
    draws, tracks = numbered(0), []
    for level in (2, 1, 0):
        codes = stack._prior_codes(played, draws[-1], None)
        for index in reversed(range(level, 2)):
            codes = played.players[index].play(codes, draws[index])
        tracks.append(torch.cat(list(islice(codes, 4)), 1))
    return tracks[::-1]


def test_every_network_has_a_temperature(stack):
    def made(*temperatures):
        options = Options(temperatures=temperatures)
        return stack.generate(Request(seconds=0.1), options).samples

    warm = stack.generate(Request(seconds=0.1)).samples
    assert np.array_equal(made(1, 1, 1), warm)
    for changed in ((0.5, 1, 1), (1, 0.5, 1), (1, 1, 0.5)):
        assert not np.array_equal(made(*changed), warm)
    same = Options(temperatures=[0.5, 0.5, 0.5])
    half = stack.generate(Request(seconds=0.1, temperature=0.5)).samples
    assert np.array_equal(stack.generate(Request(seconds=0.1), same).samples, half)


@pytest.mark.skipif(not sampling.available_paths(), reason="no compiled step here")
def test_bytes_play_a_piece_too(stack):
    options = Options(precision="int8")
    piece = stack.generate(Request(seconds=0.3, prompt=tone()), options).samples
    streamed = islice(stack.stream(Request(prompt=tone()), options), 3)
    assert np.array_equal(joined(streamed)[:, : piece.shape[1]], piece)


def test_reconstruction_keeps_the_length_and_goes_through_the_level_asked_for(stack):
    audio = tone(0.333, rate=44100, channels=2)
    whole, first = stack.reconstruct(audio), stack.reconstruct(audio, 1)
    assert whole.samples.shape == first.samples.shape == (1, 666)
    assert np.array_equal(whole.samples, stack.reconstruct(audio, 2).samples)
    assert not np.array_equal(whole.samples, first.samples)


@pytest.mark.parametrize("depth", [0, 2])
def test_a_model_comes_back_from_its_folder(tmp_path, depth):
    drawn_stack(depth).save(tmp_path / "model")
    loaded = AdaStack.load(tmp_path / "model")
    loaded.save(tmp_path / "again")
    again = AdaStack.load(tmp_path / "again")
    assert loaded.config == drawn_stack(depth).config
    pieces = [one.generate(Request(seconds=0.05)).samples for one in (loaded, again)]
    assert np.array_equal(*pieces)


def test_a_long_piece_on_the_plain_path_is_announced(monkeypatch, caplog):
    monkeypatch.setattr(sampling, "available_paths", lambda: ())
    slow = drawn_stack(1)
    with caplog.at_level(logging.WARNING):
        slow.stream(Request(seconds=1.0))
        assert not caplog.records
        slow.stream(Request(seconds=3600.0))
    (record,) = caplog.records
    assert "3600 s of music take about" in record.message
    assert "C compiler" in record.message


def test_what_makes_no_sense_is_refused(stack, tmp_path):
    with pytest.raises(AudioError, match=r"lasts 3\.5 ms; expected at least 4 ms"):
        stack.generate(Request(prompt=tone(0.0035)))
    with pytest.raises(ConfigError, match=r"got 2 temperatures; expected 3.*level1, level2, prior"):
        stack.generate(Request(), Options(temperatures=(1, 1)))
    with pytest.raises(ConfigError, match="0 < temperature"):
        Options(temperatures=(1, 0))
    with pytest.raises(ConfigError, match=r"temperatures are \(\)"):
        Options(temperatures=())
    with pytest.raises(ConfigError, match="precision is 'fp8'"):
        Options(precision="fp8")
    for level in (0, 3, -1):
        with pytest.raises(ConfigError, match=f"level is {level}; this model has 1, 2"):
            stack.reconstruct(tone(), level)
    with pytest.raises(CapabilityError, match="no levels, so no codec"):
        drawn_stack(0).reconstruct(tone())
    with pytest.raises(CapabilityError, match="ada cannot do labels, lyrics"):
        stack.stream(Request(labels={"composer": "bach"}, lyrics="la"))
    write_config(tmp_path, "other", {})
    with pytest.raises(CheckpointError, match="is a model of other; expected one of ada"):
        AdaStack.load(tmp_path)


def test_a_model_brings_its_own_temperatures():
    stack = drawn_stack(2)
    asked = Options(temperatures=(0.5, 0.7, 0.9))
    wanted = stack.generate(Request(seconds=0.3, seed=4), asked).samples
    stack.config = replace(stack.config, temperatures=(1.0, 1.4, 1.8))
    again = stack.generate(Request(seconds=0.3, seed=4, temperature=0.5)).samples
    assert np.array_equal(again, wanted)
    with pytest.raises(ConfigError, match="3 numbers"):
        replace(stack.config, temperatures=(1.0, 1.0))


def test_a_model_of_levels_alone_is_a_codec(tmp_path):
    whole = drawn_stack(2)
    whole.save(tmp_path / "whole")
    AdaStack(whole.config, whole.levels, None).save(tmp_path / "levels")
    levels = AdaStack.load(tmp_path / "levels")
    heard = AdaStack.load(tmp_path / "whole").reconstruct(tone()).samples
    assert np.array_equal(levels.reconstruct(tone()).samples, heard)
    with pytest.raises(CapabilityError, match=r"has levels but no prior yet.*--from-codec"):
        levels.generate(Request(seconds=0.1))
    AdaStack(whole.config, whole.levels[:1], None).save(tmp_path / "first")
    first = AdaStack.load(tmp_path / "first")
    assert np.array_equal(first.reconstruct(tone()).samples, levels.reconstruct(tone(), 1).samples)
