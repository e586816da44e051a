import numpy as np
import pytest

from ritornello.errors import AudioError
from ritornello.evaluation import stability
from ritornello.interfaces import Audio

RATE = 11025
MAJOR = [0, 4, 7, 0, 5, 9, 7, 11, 2, 0, 4, 7]


def music(seconds, bpm=120.0, semitones=0):
    """Struck tones of C major on every beat; `bpm` may be a function of the moment; (1, time)."""
    wave = np.zeros(round(seconds * RATE))
    moment, count = 0.1, 0
    while moment < seconds - 0.5:
        start, since = round(moment * RATE), np.arange(RATE // 4) / RATE
        hz = 261.63 * 2 ** ((MAJOR[count % len(MAJOR)] + semitones) / 12)
        tone = sum(np.sin(2 * np.pi * k * hz * since) / k for k in (1, 2, 3))
        wave[start : start + len(since)] += 0.2 * tone * np.exp(-9 * since)
        moment += 60 / (bpm(moment) if callable(bpm) else bpm)
        count += 1
    return wave[None]


def test_drift_is_the_change_of_a_line_and_ignores_one_odd_window():
    line = np.linspace(3.0, 8.0, 11)
    assert stability.drift(line) == pytest.approx(5)
    line[4] = 100
    assert stability.drift(line) == pytest.approx(5, abs=0.5)
    assert stability.drift(np.full(9, 2.0)) == 0


def test_null_of_a_line_lies_below_its_drift():
    line = np.linspace(0.0, 1.0, 12)
    assert stability.drift_null(line, np.random.default_rng(0)) < 0.8


def test_half_and_double_tempos_fold_onto_one():
    octaves = stability.folded_octaves(np.array([100.0, 200.0, 50.0, 100.0, 102.0]))
    np.testing.assert_allclose(octaves, [0, 0, 0, 0, np.log2(1.02)], atol=1e-12)
    # At the edge of an octave nothing jumps.
    edge = stability.folded_octaves(100 * 2 ** np.array([0.48, 0.5, 0.52]))
    np.testing.assert_allclose(edge, [-0.02, 0, 0.02], atol=1e-12)


def test_steady_music_is_steady():
    figures = stability.evaluate(music(60.0), RATE)
    assert abs(figures["tempo_drift_percent"]) < 1
    assert figures["tempo_agreement"] == 1
    assert figures["key_agreement"] == 1
    assert figures["key_entropy_bits"] == 0
    assert abs(figures["level_drift_db"]) < 0.5
    assert abs(figures["centroid_drift_octaves"]) < 0.1
    assert figures["silent_windows"] == 0


def test_music_that_speeds_up_is_told():
    figures = stability.evaluate(music(80.0, bpm=lambda moment: 100 + moment / 4), RATE)
    # From 102.5 bpm in the middle of the first window to 117.5 in that of the last.
    assert figures["tempo_drift_percent"] == pytest.approx(14.6, abs=4)
    assert figures["tempo_agreement"] < 1


def test_half_in_another_key_is_told():
    wave = np.concatenate([music(40.0), music(40.0, semitones=6)], axis=1)
    figures = stability.evaluate(wave, RATE)
    assert figures["key_agreement"] == 0.5
    assert figures["key_entropy_bits"] == pytest.approx(1)


def test_music_that_decays_into_noise_is_told():
    wave = music(140.0)
    rising = 0.1 * 10 ** (np.linspace(-60, 0, wave.shape[1]) / 20)
    noise = rising * np.random.default_rng(0).standard_normal(wave.shape)
    figures = stability.evaluate(wave + noise, RATE)
    assert figures["flatness_drift_db"] > figures["flatness_drift_db_null"]
    assert figures["flatness_drift_db"] > 5
    assert figures["centroid_drift_octaves"] > 0.5


def test_music_that_fades_into_silence_is_told():
    wave = music(80.0)
    falling = stability.evaluate(wave * 10 ** (np.linspace(0, -40, wave.shape[1]) / 20), RATE)
    # Four windows of 20 s: three steps of 10 dB.
    assert falling["level_drift_db"] == pytest.approx(-30, abs=1)
    wave[:, 60 * RATE :] = 0
    assert stability.evaluate(wave, RATE)["silent_windows"] == 1 / 4


def test_flatness_of_noise_is_near_zero_and_of_a_tone_far_below():
    noise = np.random.default_rng(0).standard_normal((1, RATE * 4)).astype(np.float32)
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE * 4) / RATE).astype(np.float32)[None]
    flat, peaked = (
        stability.spectral_shape(Audio(samples=wave, sample_rate=RATE))[1] for wave in (noise, tone)
    )
    # The log of an exponentially distributed power lies 2.5 dB below the log of its mean.
    assert flat == pytest.approx(-2.5, abs=0.3)
    assert peaked < -40


def test_without_pulse_there_are_no_tempo_figures():
    draw = np.random.default_rng(0)
    assert np.isnan(list(stability.tempo_figures([None, 120.0, 121.0, None], draw).values())).all()
    known = stability.tempo_figures([None, 120.0, 121.0, 60.0], draw)
    assert known["tempo_agreement"] == 3 / 4


def test_what_cannot_drift_is_refused():
    with pytest.raises(AudioError, match=r"lasts 30\.0 s; expected 60"):
        stability.evaluate(np.ones((1, 30 * RATE)), RATE)
    with pytest.raises(AudioError, match="only 0 of 3 windows"):
        stability.evaluate(np.zeros((1, 60 * RATE)), RATE)
    with pytest.raises(AudioError, match="NaN"):
        stability.evaluate(np.full((1, 60 * RATE), np.nan), RATE)
