import time as clock

import numpy as np
import pytest

from ritornello.audio import features
from ritornello.audio.features import (
    LOUDNESS_FLOOR_LUFS,
    chroma,
    clipping_ratio,
    density_of,
    loudness_curve,
    note_density,
    onset_strength,
    onset_times,
    silence_ratio,
    tempo,
)
from ritornello.errors import AudioError
from ritornello.interfaces import Audio

RATE = 44100


def notes(
    onsets_s: np.ndarray, seconds: float, pitches: list[int], rate: int = RATE, channels: int = 2
) -> Audio:
    """Plucked tones: ten partials each, 3 ms attack, dying away over half a second."""
    sound = np.zeros(round(seconds * rate))
    for i, onset in enumerate(onsets_s):
        start = round(onset * rate)
        time = np.arange(min(round(1.5 * rate), sound.size - start)) / rate
        hz = 440 * 2 ** ((pitches[i % len(pitches)] - 69) / 12)
        partials = sum(np.sin(2 * np.pi * k * hz * time) / k for k in range(1, 11))
        sound[start : start + time.size] += (
            0.1 * partials * np.minimum(1, time / 0.003) * np.exp(-time / 0.5) * (1 - time / 1.5)
        )
    return Audio(samples=np.repeat(sound[None], channels, 0).astype(np.float32), sample_rate=rate)


def clicks(bpm: float, seconds: float = 20.0, rate: int = RATE) -> Audio:
    sound = np.zeros((1, round(seconds * rate)), np.float32)
    for beat in np.arange(0.25, seconds - 0.1, 60 / bpm):
        start = round(beat * rate)
        burst = np.random.default_rng(round(beat * 1000)).normal(0, 0.2, 400)
        sound[0, start : start + 400] += (burst * np.exp(-np.arange(400) / 80)).astype(np.float32)
    return Audio(samples=sound, sample_rate=rate)


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
def test_onsets_are_found_where_the_notes_begin(rate):
    gaps = np.random.default_rng(0).uniform(0.12, 0.6, 40)
    expected = 0.2 + np.cumsum(gaps)
    audio = notes(expected, expected[-1] + 1, [48, 55, 60, 64, 67, 72, 76], rate)
    found = onset_times(audio)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 0.025
    assert abs(np.median(found - expected)) < 0.008


def test_a_chord_is_one_onset_and_vibrato_is_none():
    sound = sum(notes(np.array([0.5, 1.5]), 3.0, [p]).samples for p in (60, 64, 67))
    assert onset_times(Audio(samples=sound, sample_rate=RATE)).size == 2
    time = np.arange(5 * RATE) / RATE
    phase = 2 * np.pi * 440 * time + 440 * 0.01 / 5 * np.sin(2 * np.pi * 5 * time)
    wave = sum(0.1 / k * np.sin(k * phase) for k in range(1, 9))[None].astype(np.float32)
    assert onset_times(Audio(samples=wave, sample_rate=RATE)).size <= 2


def test_onset_strength_does_not_depend_on_the_blocks(monkeypatch):
    audio = notes(np.arange(0.2, 9, 0.3), 10, [50, 62, 71])
    whole = onset_strength(audio)
    monkeypatch.setattr(features, "_BLOCK_FRAMES", 97)
    assert np.abs(onset_strength(audio) - whole).max() < 1e-6


def test_silence_has_no_onsets():
    silence = Audio(samples=np.zeros((2, RATE), np.float32), sample_rate=RATE)
    assert onset_times(silence).size == 0
    assert tempo(silence) is None
    assert (note_density(silence, 10.0, 10) == 0).all()
    assert (loudness_curve(silence, 10.0, 10) == LOUDNESS_FLOOR_LUFS).all()
    assert (chroma(silence, 10.0, 10) == 0).all()
    tiny = Audio(samples=np.full((1, 2), 0.1, np.float32), sample_rate=RATE)
    assert onset_times(tiny).size <= 1
    with pytest.raises(AudioError, match="0 samples"):
        onset_strength(Audio(samples=np.zeros((1, 0), np.float32), sample_rate=RATE))


def test_density_counts_onsets_per_second():
    onsets = np.concatenate([np.arange(0.25, 12, 0.5), np.arange(12.0625, 24, 0.125)])
    audio = notes(onsets, 24.0, [48, 60, 67, 72, 79])
    density = note_density(audio, 4.0, 96)
    assert density.dtype == np.float32
    assert density[:34] == pytest.approx(2.0, abs=0.3)  # up to the end: no fading out at the edge
    assert density[60:] == pytest.approx(8.0, abs=0.9)
    assert density[47:49].mean() == pytest.approx(5.0, abs=0.6)  # the grid is not shifted


def test_density_of_known_onsets_keeps_their_number():
    onsets = np.sort(np.random.default_rng(1).uniform(10, 50, 123))
    density = density_of(onsets, 60.0, 20.0, 1200)
    assert density.sum() / 20 == pytest.approx(123, rel=1e-4)
    single = density_of(np.array([30.0]), 60.0, 20.0, 1200)
    assert single.max() == pytest.approx(1 / 2.5, rel=1e-3)
    above_half = np.flatnonzero(single >= single.max() / 2)
    assert above_half.size / 20 == pytest.approx(2.5, abs=0.1)
    assert above_half.mean() == pytest.approx(30 * 20 - 0.5)


def test_loudness_curve_known_answer():
    time = np.arange(6 * RATE) / RATE
    tone = 10 ** (-23 / 20) * np.sin(2 * np.pi * 997 * time)
    audio = Audio(samples=np.repeat(tone[None], 2, 0).astype(np.float32), sample_rate=RATE)
    assert loudness_curve(audio, 5.0, 30) == pytest.approx(-23, abs=0.15)


@pytest.mark.parametrize("bpm", [72.0, 90.0, 120.0, 128.5, 150.0])
def test_tempo_of_clicks(bpm):
    assert tempo(clicks(bpm)) == pytest.approx(bpm, rel=0.01)


def test_tempo_far_from_the_prior_is_right_up_to_the_octave():
    found = tempo(clicks(50.0))
    assert min(abs(found / 50.0 / octave - 1) for octave in (0.5, 1, 2)) < 0.01


def test_chroma_names_the_pitches():
    onsets = np.arange(0.0, 6.0, 1.0)
    scale = [60, 64, 69, 46, 54, 71]
    cells = chroma(notes(onsets, 6.0, scale), 1.0, 6)
    assert cells.shape == (12, 6)
    assert cells.sum(axis=0) == pytest.approx(1.0, abs=1e-5)
    assert cells.argmax(axis=0).tolist() == [pitch % 12 for pitch in scale]


def test_curves_may_end_after_the_audio():
    audio = notes(np.array([0.1, 0.6]), 1.0, [60])
    assert np.isfinite(note_density(audio, 10.0, 15)).all()
    assert np.isfinite(loudness_curve(audio, 10.0, 15)).all()
    assert np.isfinite(chroma(audio, 10.0, 15)).all()


def test_silence_ratio_known_answers():
    half = np.concatenate([np.zeros((2, RATE)), np.full((2, RATE), 0.1)], axis=1)
    assert silence_ratio(half.astype(np.float32), RATE) == pytest.approx(0.5)
    one_sided = np.stack([np.zeros(RATE), np.full(RATE, 0.1)]).astype(np.float32)
    assert silence_ratio(one_sided, RATE) == 0.0
    assert silence_ratio(np.full((1, 10), 1e-4, np.float32), RATE) == 1.0
    assert silence_ratio(np.full((1, 10), 1e-4, np.float32), RATE, -90.0) == 0.0


def test_clipping_ratio_counts_flat_tops_only():
    samples = np.zeros((2, 1000), np.float32)
    samples[0, 10:30] = 1.0
    samples[1, 500:502] = -1.0  # too short for a flat top
    samples[1, 997:] = -1.0
    assert clipping_ratio(samples) == pytest.approx(23 / 2000)
    sine = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)[None].astype(np.float32)
    assert clipping_ratio(sine * 0.99) == 0.0
    assert clipping_ratio(np.clip(2 * sine, -1, 1)) == pytest.approx(2 / 3, abs=0.02)
    assert clipping_ratio(np.ones((1, 2), np.float32)) == 0.0


@pytest.mark.slow
def test_an_hour_of_stereo_takes_well_under_a_minute():
    minute = notes(np.arange(0.1, 58, 0.2), 60.0, [48, 60, 67]).samples
    audio = Audio(samples=np.tile(minute, (1, 10)), sample_rate=RATE)
    begin = clock.process_time()
    note_density(audio, 20.0, 12000)
    loudness_curve(audio, 20.0, 12000)
    assert (clock.process_time() - begin) * 6 < 60
