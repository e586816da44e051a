import numpy as np
import pytest

from ritornello.errors import AudioError
from ritornello.evaluation import stereo
from tests.evaluation.signals import RATE, noise, tone


def test_mono_in_two_channels_is_near_mono():
    wave = np.repeat(noise(1.0, seed=1), 2, axis=0)
    figures = stereo.evaluate(wave, RATE)
    assert figures["left_right_correlation"] == pytest.approx(1)
    assert figures["side_energy_db"] == stereo.LOWEST_DB
    assert figures["near_mono"] == 1
    assert figures["level_difference_db"] == pytest.approx(0)
    assert figures["level_difference_spread_db"] == pytest.approx(0)


def test_opposite_channels():
    left = noise(1.0, seed=2)
    wave = np.concatenate([left, -left])
    assert stereo.left_right_correlation(wave) == pytest.approx(-1)
    assert stereo.side_energy_db(wave) == pytest.approx(0)


def test_unrelated_channels_have_half_the_energy_in_the_side():
    wave = np.concatenate([tone(441, 1.0), tone(882, 1.0)])
    assert stereo.left_right_correlation(wave) == pytest.approx(0, abs=1e-9)
    assert stereo.side_energy_db(wave) == pytest.approx(10 * np.log10(0.5))
    assert not stereo.is_near_mono(wave)


@pytest.mark.parametrize("amount", [0.01, 0.1, 0.5])
def test_added_side_signal_is_measured(amount):
    mid, side = tone(441, 1.0), amount * tone(882, 1.0)
    wave = np.concatenate([mid + side, mid - side])
    expected_db = 10 * np.log10(amount**2 / (1 + amount**2))
    assert stereo.side_energy_db(wave) == pytest.approx(expected_db)
    assert stereo.is_near_mono(wave) == (amount < 0.03)


def test_louder_left_is_positive():
    left = noise(1.0, seed=3)
    differences = stereo.level_differences_db(np.concatenate([2 * left, left]), RATE)
    assert differences == pytest.approx(np.full(20, 6.0206), abs=1e-3)


def test_silence_is_mono_and_one_silent_channel_is_not():
    assert stereo.evaluate(np.zeros((2, RATE)), RATE) == {
        "left_right_correlation": 1.0,
        "side_energy_db": stereo.LOWEST_DB,
        "near_mono": 1.0,
        "level_difference_db": 0.0,
        "level_difference_spread_db": 0.0,
    }
    half = np.concatenate([noise(1.0, seed=4), np.zeros((1, RATE))])
    assert stereo.left_right_correlation(half) == 0
    assert stereo.side_energy_db(half) == pytest.approx(10 * np.log10(0.5))


def test_refuses_mono_and_broken_audio():
    with pytest.raises(AudioError, match=r"got 1 channel\(s\), expected 2"):
        stereo.evaluate(noise(0.1, seed=5), RATE)
    with pytest.raises(AudioError, match="finite"):
        stereo.evaluate(np.full((2, 100), np.inf), RATE)
