import numpy as np
import pytest

from ritornello.errors import AudioError
from ritornello.evaluation import noise as metrics
from tests.evaluation.signals import noise, notes, tone

RATE = 16000


def loud_then_quiet(quiet_db):
    """A second of white noise of effective amplitude 0.5, then one of 0.1 and `quiet_db`.

    The quiet one reads -42 dB and `quiet_db` in a bin: at -40 dB its bins, which spread by some
    10 dB, are all 50 dB below the loudest and above -100 dB.
    """
    quiet = 10 ** (quiet_db / 20) * noise(1.0, seed=1, rate=RATE)
    return np.concatenate([5 * noise(1.0, seed=0, rate=RATE), quiet], 1)


def test_a_codec_that_adds_nothing_has_no_noise():
    wave = notes(2.0, seed=1, rate=RATE)
    assert metrics.evaluate(wave, wave, RATE, 8) == {"hiss_db": 0.0, "hop_tones_db": 0.0}


@pytest.mark.parametrize("gain_db", [-6.0, 3.0, 9.0])
def test_hiss_is_the_gain_of_what_is_quiet(gain_db):
    reference = loud_then_quiet(-40.0)
    estimate = reference.copy()
    estimate[:, RATE:] *= 10 ** (gain_db / 20)
    assert metrics.hiss_db(reference, estimate, RATE) == pytest.approx(gain_db, abs=0.3)


def test_hiss_of_added_noise_is_the_sum_of_powers():
    reference = loud_then_quiet(-40.0)
    added = np.zeros_like(reference)
    added[:, RATE:] = 0.03 * noise(1.0, seed=2, rate=RATE)  # -30 dB: 10 dB above what is there
    found = metrics.hiss_db(reference, reference + added, RATE)
    assert found == pytest.approx(10 * np.log10(1 + 9), abs=0.5)


def test_loud_errors_are_not_hiss():
    """A tone at half its level is a large error and adds no noise."""
    loud = tone(440, 2.0, RATE) * np.hanning(2 * RATE)
    quiet = 0.03 * noise(2.0, seed=3, rate=RATE)
    assert abs(metrics.hiss_db(loud + quiet, loud / 2 + quiet, RATE)) < 0.5


def test_music_without_gaps_has_no_hiss():
    """Bins below -100 dB are silence, not gaps."""
    wave = np.full((1, RATE // 4), 1e-9)
    assert metrics.hiss_db(wave, 1e6 * wave, RATE) == 0.0


@pytest.mark.parametrize("hop", [8, 30, 128])
def test_tones_at_the_frame_rate_stand_out_by_their_level(hop):
    reference = noise(2.0, seed=5, rate=RATE)
    tones = [tone(k * RATE / hop, 2.0, RATE, amplitude=0.02) for k in range(1, hop // 2)]
    found = metrics.hop_tones_db(reference, reference + sum(tones), RATE, hop)
    spacing = round(metrics.TONES_WINDOW_S * RATE / hop)
    bins = max(16, spacing) * hop
    # White noise of variance s^2 reads 6 s^2 / n_fft in a bin under a Hann window, and its mean
    # level 2.5 dB (Euler's constant) less than the level of that mean.
    noise_db = 10 * np.log10(6 * 0.01 / bins) - 10 * np.euler_gamma / np.log(10)
    assert found == pytest.approx(
        20 * np.log10(0.02) - noise_db, abs=2.0
    )  # half windows at the ends


def test_tones_elsewhere_are_music():
    reference = noise(2.0, seed=6, rate=RATE)
    wave = reference + tone(1500, 2.0, RATE, amplitude=0.02)
    assert abs(metrics.hop_tones_db(reference, wave, RATE, 8)) < 0.2


def test_codecs_of_a_sample_have_no_frame_rate_to_hear():
    wave = noise(0.5, seed=7, rate=RATE)
    assert metrics.hop_tones_db(wave, wave + tone(4000, 0.5, RATE), RATE, 2) == 0.0


def test_refuses_what_cannot_be_compared():
    with pytest.raises(AudioError, match="same shape"):
        metrics.hiss_db(np.ones((1, 8)), np.ones((1, 9)), RATE)
    with pytest.raises(AudioError, match="silent"):
        metrics.hop_tones_db(np.zeros((1, 8)), np.ones((1, 8)), RATE, 8)
