from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.errors import AudioError
from ritornello.evaluation import reconstruction as metrics
from ritornello.evaluation.spectra import power, power_of_two_near
from tests.evaluation.signals import RATE, noise, notes, tone


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
@pytest.mark.parametrize("channels", [1, 2])
def test_identity_scores_best(rate, channels):
    wave = np.repeat(notes(2.0, seed=1, rate=rate), channels, axis=0).astype(np.float32)
    assert metrics.evaluate(wave, wave, rate) == pytest.approx(
        {
            "spectral_convergence_db": metrics.LOWEST_DB,
            "log_mel_distance_db": 0.0,
            "log_spectral_distance_db": 0.0,
            "si_sdr_db": metrics.HIGHEST_DB,
            "onset_correlation": 1.0,
            "attack_sharpness": 1.0,
        }
    )


@given(gain=st.floats(0.05, 0.95))
@settings(max_examples=10, deadline=None)
def test_gain_has_known_answers(gain):
    wave = notes(1.5, seed=2)
    quieter = gain * wave
    # ||S - gS|| / ||S|| = 1 - g
    assert metrics.spectral_convergence_db(wave, quieter, RATE) == pytest.approx(
        20 * np.log10(1 - gain), abs=1e-6
    )
    # Neither the waveform's shape nor the attacks change with the gain.
    assert metrics.si_sdr_db(wave, quieter) == metrics.HIGHEST_DB
    assert metrics.onset_correlation(wave, quieter, RATE) == pytest.approx(1)


def test_log_distances_of_noise_are_its_gain():
    # Noise this loud is above the floor in all but a few bins, so that the gain shifts everything.
    wave = noise(1.0, seed=3)
    assert metrics.log_mel_distance_db(wave, wave / 2, RATE) == pytest.approx(6.0206, abs=0.05)
    assert metrics.log_spectral_distance_db(wave, wave / 2, RATE) == pytest.approx(6.0206, abs=0.1)


def test_soft_recordings_are_judged_as_strictly_as_loud_ones():
    wave, error = notes(1.0, seed=9), noise(1.0, seed=9) / 1000
    for metric in (metrics.log_mel_distance_db, metrics.log_spectral_distance_db):
        loud = metric(wave, wave + error, RATE)
        assert loud > 1
        assert metric(wave / 100, (wave + error) / 100, RATE) == pytest.approx(loud)


def test_silent_estimate_has_convergence_of_zero_db():
    wave = notes(1.0, seed=4)
    assert metrics.spectral_convergence_db(wave, 0 * wave, RATE) == pytest.approx(0)
    assert metrics.si_sdr_db(wave, 0 * wave) == metrics.LOWEST_DB
    assert metrics.attack_sharpness(wave, 0 * wave, RATE) == 0
    assert metrics.onset_correlation(wave, 0 * wave, RATE) == 0


@pytest.mark.parametrize("ratio_db", [-10.0, 0.0, 20.0])
def test_si_sdr_of_added_orthogonal_error_is_their_energy_ratio(ratio_db):
    wave, error = tone(441, 1.0), tone(882, 1.0)
    error = error * 10 ** (-ratio_db / 20)
    assert metrics.si_sdr_db(wave, wave + error) == pytest.approx(ratio_db, abs=1e-6)


def test_si_sdr_counts_a_lost_balance():
    wave = noise(0.5, seed=5, channels=2)
    swapped_gain = wave * np.array([[1.0], [0.5]])
    # e = (l, r/2) with |l| = |r|: a = 3/4, the error is 1/4 of each channel: 10 log10(9).
    expected = 10 * np.log10(9)
    assert metrics.si_sdr_db(wave, swapped_gain) == pytest.approx(expected, abs=0.1)


def test_smeared_attacks_lose_sharpness_step_by_step():
    sharp = notes(4.0, seed=6)
    ratios = [
        metrics.attack_sharpness(sharp, notes(4.0, seed=6, rise_s=rise_s), RATE)
        for rise_s in (0.001, 0.02, 0.04, 0.08)
    ]
    assert ratios[0] == pytest.approx(1)
    assert all(later < earlier for earlier, later in pairwise(ratios))
    assert ratios[-1] < 0.7


def test_moved_attacks_lose_correlation():
    wave = notes(4.0, seed=7)
    moved = np.roll(wave, round(0.1 * RATE), axis=1)
    assert metrics.onset_correlation(wave, moved, RATE) < 0.3


def test_recording_without_onsets_has_no_attack_to_lose():
    wave = noise(1.0, seed=8)
    assert metrics.attack_sharpness(wave, wave, RATE) == 1.0


def test_full_scale_sine_reads_zero_db():
    n_fft = 1024
    wave = tone(RATE / n_fft * 64, 1.0, amplitude=1.0)
    spectrum = power(wave, n_fft, 256)[0]
    assert spectrum[64, 10] == pytest.approx(1.0, abs=1e-6)
    assert spectrum.max() == pytest.approx(1.0, abs=1e-6)


def test_resolutions_are_the_papers_at_its_rate():
    assert power_of_two_near(metrics.CONVERGENCE_FFT_S, 44100) == 2048
    assert power_of_two_near(metrics.CONVERGENCE_HOP_S, 44100) == 256
    assert 2048 * metrics.CONVERGENCE_WINDOW_SHARE == 1536


@pytest.mark.parametrize(
    ("reference", "estimate", "message"),
    [
        (np.ones((1, 8)), np.ones((1, 9)), "same shape"),
        (np.ones((1, 0)), np.ones((1, 0)), "0 samples"),
        (np.ones((1, 8)), np.full((1, 8), np.nan), "NaN"),
        (np.zeros((1, 8)), np.ones((1, 8)), "silent"),
    ],
)
def test_refuses_what_cannot_be_compared(reference, estimate, message):
    with pytest.raises(AudioError, match=message):
        metrics.evaluate(reference, estimate, RATE)
