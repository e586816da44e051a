import json

import numpy as np
import pytest
import torch

from ritornello.audio.io import write_audio
from ritornello.errors import DataError
from ritornello.evaluation import predictability
from ritornello.evaluation.clips import clips_of
from ritornello.evaluation.predictability import Sequences, Settings
from ritornello.interfaces import Audio, TokenCodec
from tests.evaluation.signals import notes

CLASSES = 8


def sequences(codes, classes=CLASSES):
    half = len(codes) // 2
    return Sequences(
        name="test",
        classes=classes,
        rate_hz=1.0,
        training=tuple(codes[:half]),
        held_out=tuple(codes[half:]),
    )


def echoes(delay, count=6, frames=3000, noise=0.0):
    """Each code repeats the one `delay` steps before, the first ones are drawn evenly."""
    draw = np.random.default_rng(0)
    made = []
    for _ in range(count):
        codes = draw.integers(0, CLASSES, frames)
        fresh = draw.random(frames) < noise
        for at in range(delay, frames):
            codes[at] = codes[at] if fresh[at] else codes[at - delay]
        made.append(codes[None])
    return made


def test_the_first_point_is_the_unigram():
    draw = np.random.default_rng(0)
    codes = [draw.choice(4, size=(1, 3000), p=[0.5, 0.25, 0.125, 0.125]) for _ in range(4)]
    curve = predictability.profile(sequences(codes, 4), Settings(lengths=(0,)))
    assert curve.nats[0].value == pytest.approx(1.75 * np.log(2), abs=0.02)
    assert (curve.steps, curve.nats[0].items) == ((0,), 2)


@pytest.mark.slow
def test_a_dependence_three_steps_back_is_found_at_three_and_not_before():
    codes = echoes(delay=3, frames=1200, noise=0.25)
    settings = Settings(lengths=(0, 2, 3), steps=200, batch=128, budget_s=None)
    none, short, enough = (n.value for n in predictability.profile(sequences(codes), settings).nats)
    stay = 0.75 + 0.25 / CLASSES
    best = -stay * np.log(stay) - (1 - stay) * np.log(0.25 / CLASSES)
    assert none == pytest.approx(np.log(CLASSES), abs=0.03)
    assert short > np.log(CLASSES) - 0.05
    assert best < enough < best + 0.25


def test_the_model_sees_its_window_and_nothing_else():
    codes = np.arange(20)
    contexts = predictability._contexts(codes, np.array([1, 5, 19]), 3)
    assert contexts.tolist() == [[0, 0, 0], [2, 3, 4], [16, 17, 18]]


def test_the_same_seed_gives_the_same_curve():
    settings = Settings(lengths=(1,), steps=5, batch=64, budget_s=None, seed=3)
    one, again = (predictability.profile(sequences(echoes(1)), settings) for _ in range(2))
    assert one.to_dict() == again.to_dict()


def test_a_time_limit_ends_a_point_and_is_told():
    settings = Settings(lengths=(1,), steps=10**6, budget_s=0.05)
    told = []
    curve = predictability.profile(
        sequences(echoes(1)), settings, progress=lambda *words: told.append(words)
    )
    assert 0 <= curve.steps[0] < 10**6
    assert told == [(0, 1, "test, r = 1"), (1, 1, "test")]


def test_mu_law_by_hand():
    codes = predictability.mu_law_codes(np.array([-1.0, 1.0, 1 / 255, -1 / 255, 2.0]))
    # ln(1 + 1) / ln 256 = 1/8: codes (1 +- 1/8) / 2 * 256
    assert codes[0].tolist() == [0, 255, 144, 112, 255]


def test_split_keeps_a_recording_on_one_side():
    codes = [np.full((1, 2), index) for index in range(6)]
    training, held_out = predictability.split(["a", "b", "a", "c", "d", "d"], codes)
    assert [int(array[0, 0]) for array in held_out] == [0, 2, 4, 5]
    assert [int(array[0, 0]) for array in training] == [1, 3]
    with pytest.raises(DataError, match=r"1 recording\(s\); expected at least 2"):
        predictability.split(["a", "a"], codes[:2])


def test_refuses_sequences_without_anything_to_predict(tmp_path):
    with pytest.raises(DataError, match="the longest clip has 1 steps"):
        predictability.profile(sequences([np.zeros((1, 1), int)] * 2))
    with pytest.raises(DataError, match="no profiles"):
        predictability.save_picture([], tmp_path / "curve.png")


class Rounding(TokenCodec):
    """Blocks of samples rounded to a few levels."""

    sample_rate, channels, hop_samples, context_frames = 8000, 1, 4, 0
    codebooks, codebook_size = 1, 16

    def encode(self, wave):
        levels = (wave[..., :: self.hop_samples] + 1) / 2 * (self.codebook_size - 1)
        return levels.round().clamp(0, self.codebook_size - 1).long()

    def decode(self, codes, length=None):
        values = codes.float() / (self.codebook_size - 1) * 2 - 1
        wave = torch.repeat_interleave(values, self.hop_samples, dim=-1)
        return wave[..., :length]


@pytest.fixture
def clips(tmp_path):
    for seed in range(6):
        audio = Audio(samples=notes(1.5, seed, rate=16000).astype(np.float32), sample_rate=16000)
        write_audio(tmp_path / f"{seed}.wav", audio)
    return clips_of(tmp_path, seconds=1.0, count=6)


@pytest.mark.slow
def test_audio_is_easier_with_more_to_see_and_the_picture_is_drawn(clips, tmp_path):
    settings = Settings(lengths=(0, 2), steps=60, batch=128, budget_s=None)
    audio = predictability.of_audio(clips, settings)
    codes = predictability.of_codes(clips, Rounding(), settings)
    assert audio.nats[1].high < audio.nats[0].low
    assert (codes.classes, codes.rate_hz, codes.name) == (16, 2000.0, "codes")
    assert json.loads(json.dumps(audio.to_dict(), allow_nan=False))["lengths"] == [0, 2]
    path = predictability.save_picture([audio, codes], tmp_path / "curve.png")
    assert path.read_bytes().startswith(b"\x89PNG")
