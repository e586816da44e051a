import numpy as np
import pytest
from scipy.signal import lfilter

from ritornello.audio.loudness import (
    energy_steps,
    integrated_loudness,
    k_weighting,
    short_term_loudness,
    true_peak,
    true_peak_dbfs,
)
from ritornello.errors import AudioError


def sine(level_dbfs: float, seconds: float, rate: int = 48000, hz: float = 997.0) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return (10 ** (level_dbfs / 20) * np.sin(2 * np.pi * hz * time))[None].astype(np.float32)


def stereo(mono: np.ndarray) -> np.ndarray:
    return np.repeat(mono, 2, axis=0)


def test_filters_equal_the_tables_of_the_recommendation():
    (head, head_poles), (high_pass, poles) = k_weighting(48000)
    assert head == pytest.approx([1.53512485958697, -2.69169618940638, 1.19839281085285], abs=1e-9)
    assert head_poles == pytest.approx([1.0, -1.69065929318241, 0.73248077421585], abs=1e-9)
    assert high_pass == [1.0, -2.0, 1.0]
    assert poles == pytest.approx([1.0, -1.99004745483398, 0.99007225036621], abs=1e-9)


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
def test_fft_weighting_equals_the_recursive_filters(rate):
    samples = np.random.default_rng(0).normal(0, 0.1, (2, 9 * rate + 77)).astype(np.float32)
    weighted = samples.astype(np.float64)
    for numerator, denominator in k_weighting(rate):
        weighted = lfilter(numerator, denominator, weighted)
    step = rate // 10
    expected = np.add.reduceat((weighted**2).sum(0), np.arange(0, samples.shape[1], step))
    assert energy_steps(samples, rate, step) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
@pytest.mark.parametrize("level", [-23.0, -33.0, -3.0])
def test_sine_known_answers(rate, level):
    # EBU Tech 3341, cases 1 and 2: both channels at L dBFS measure L LUFS; one channel 3 dB less
    tone = sine(level, 5.0, rate)
    assert integrated_loudness(stereo(tone), rate) == pytest.approx(level, abs=0.1)
    assert integrated_loudness(tone, rate) == pytest.approx(level - 3.01, abs=0.1)


def test_gates_known_answers():
    # EBU Tech 3341, cases 3 and 4: quiet parts do not count
    parts = [(-36, 10), (-23, 60), (-36, 10)]
    programme = np.concatenate([sine(level, seconds, 16000) for level, seconds in parts], axis=1)
    assert integrated_loudness(stereo(programme), 16000) == pytest.approx(-23, abs=0.1)
    parts = [(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)]
    programme = np.concatenate([sine(level, seconds, 16000) for level, seconds in parts], axis=1)
    assert integrated_loudness(stereo(programme), 16000) == pytest.approx(-23, abs=0.1)


def test_silence_and_short_sounds():
    assert integrated_loudness(np.zeros((2, 48000), np.float32), 48000) == -np.inf
    assert integrated_loudness(stereo(sine(-23, 0.2)), 48000) == pytest.approx(-23, abs=0.3)
    with pytest.raises(AudioError, match="0 samples"):
        integrated_loudness(np.zeros((1, 0), np.float32), 48000)
    with pytest.raises(AudioError, match="5 channels"):
        integrated_loudness(np.zeros((5, 10), np.float32), 48000)


def test_short_term_curve_follows_a_step():
    rate = 16000
    programme = np.concatenate([sine(-40, 6, rate), sine(-20, 6, rate)], axis=1)
    curve = short_term_loudness(stereo(programme), rate, 10.0, 120)
    assert curve.shape == (120,)
    assert curve[:40] == pytest.approx(-40, abs=0.15)
    assert curve[80:] == pytest.approx(-20, abs=0.15)
    # half of the window is loud where it is centred on the step, value 59.5
    assert curve[59:61].mean() == pytest.approx(-23.0, abs=0.2)
    assert np.diff(curve).min() > -0.1


def test_short_term_of_silence_is_minus_infinity():
    assert (short_term_loudness(np.zeros((1, 8000), np.float32), 8000, 4.0, 4) == -np.inf).all()


@pytest.mark.parametrize(("divisor", "degrees"), [(4, 0), (4, 45), (6, 60), (8, 67.5)])
def test_true_peak_known_answers(divisor, degrees):
    # EBU Tech 3341, cases 15 to 19: sines whose crests lie between the samples, +0.2 / -0.4 dB
    rate = 48000
    phase = 2 * np.pi * np.arange(rate) / divisor + np.radians(degrees)
    samples = (0.5 * np.sin(phase) * np.hanning(rate))[None].astype(np.float32)
    assert -6.02 - 0.4 < true_peak_dbfs(samples, rate) < -6.02 + 0.2


def test_true_peak_is_never_below_the_samples():
    samples = np.zeros((2, 1000), np.float32)
    assert true_peak_dbfs(samples, 44100) == -np.inf
    samples[1, 999] = -0.7
    assert true_peak(samples, 44100) >= np.float32(0.7)
