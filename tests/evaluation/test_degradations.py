import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.errors import AudioError, ConfigError
from ritornello.evaluation import degradations
from ritornello.evaluation.degradations import degraded
from tests.evaluation import signals

RATE = 22050
MILDER_FIRST = {
    "noise": (40.0, 20.0, 5.0),
    "hum": (40.0, 20.0, 5.0),
    "low_pass": (8000.0, 2000.0, 500.0),
    "wobble": (0.1, 0.5, 2.0),  # the waveform has lost its place from a few cents on
    "gain": (-1.0, -6.0, -20.0),
    "narrow": (0.2, 0.6, 1.0),
}
NOTHING = {
    "noise": np.inf, "hum": np.inf, "low_pass": RATE / 2, "wobble": 0.0, "shuffle": 2.0,
    "gain": 0.0, "narrow": 0.0, "reverb": 0.0,
}  # fmt: skip


def rng(seed=0):
    return np.random.default_rng(seed)


def music(seconds=1.5, channels=2):
    return np.concatenate([signals.notes(seconds, seed) for seed in range(channels)])


def level_db(wave):
    return 10 * np.log10(np.mean(wave**2))


def test_every_degradation_is_listed_once_and_graded():
    names = [*degradations.SEEDED, *degradations.FIXED]
    assert len(set(names)) == len(names) == len(NOTHING)
    assert set(names) == NOTHING.keys()


@pytest.mark.parametrize("name", NOTHING)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shape_and_type_stay_and_the_input_is_untouched(name, dtype):
    wave = music().astype(dtype)
    before = wave.copy()
    amount = {"shuffle": 0.2, "reverb": 0.5, "wobble": 20.0}.get(name) or MILDER_FIRST[name][1]
    spoilt = degraded(name, wave, RATE, amount, rng())
    assert (spoilt.shape, spoilt.dtype) == (wave.shape, dtype)
    assert np.isfinite(spoilt).all()
    assert not np.allclose(spoilt, wave, atol=1e-3)
    np.testing.assert_array_equal(wave, before)
    np.testing.assert_array_equal(degraded(name, wave, RATE, amount, rng()), spoilt)


@pytest.mark.parametrize(("name", "amount"), NOTHING.items())
def test_the_mildest_amount_does_nothing(name, amount):
    wave = music()
    np.testing.assert_allclose(degraded(name, wave, RATE, amount, rng()), wave, atol=1e-12)


@pytest.mark.parametrize(("name", "amounts"), MILDER_FIRST.items())
def test_more_spoils_more(name, amounts):
    wave = music()
    errors = [np.mean((degraded(name, wave, RATE, x, rng()) - wave) ** 2) for x in amounts]
    assert errors[0] < errors[1] < errors[2]


@given(snr_db=st.floats(-20, 60), seed=st.integers(0, 100))
@settings(max_examples=5)
def test_noise_and_hum_keep_the_ratio_to_a_tenth_of_a_decibel(snr_db, seed):
    wave = music(channels=1)
    added = degradations.noise(wave, RATE, snr_db, rng(seed)) - wave
    assert level_db(wave) - level_db(added) == pytest.approx(snr_db, abs=0.1)
    added = degradations.hum(wave, RATE, snr_db) - wave
    assert level_db(wave) - level_db(added) == pytest.approx(snr_db, abs=0.1)


def test_noise_is_white_and_independent_in_each_channel():
    added = degradations.noise(music(2.0), RATE, 10.0, rng()) - music(2.0)
    spectrum = np.abs(np.fft.rfft(added[0])) ** 2
    quarters = [part.mean() for part in np.array_split(spectrum, 4)]
    assert max(quarters) < 1.1 * min(quarters)
    assert abs(np.corrcoef(added)[0, 1]) < 0.02


def test_hum_is_at_fifty_hertz_and_its_overtones():
    wave = signals.tone(1000, 2.0)
    added = degradations.hum(wave, RATE, 20.0) - wave
    spectrum = np.abs(np.fft.rfft(added[0]))
    assert sorted(np.argsort(spectrum)[-4:] / 2.0) == [50, 100, 150, 200]


@pytest.mark.parametrize(("hz", "expected_db"), [(250, 0.0), (1000, -6.0), (2000, -96.0)])
def test_low_pass_attenuates_as_it_says(hz, expected_db):
    wave = signals.tone(hz, 1.0)
    middle = slice(RATE // 4, -RATE // 4)
    passed = degradations.low_pass(wave, RATE, 1000.0)[:, middle]
    change_db = level_db(passed) - level_db(wave[:, middle])
    assert change_db == pytest.approx(expected_db, abs=max(0.1, 0.04 * abs(expected_db)))


def test_low_pass_has_no_delay():
    wave = signals.tone(200, 0.5)
    middle = slice(RATE // 8, -RATE // 8)
    passed = degradations.low_pass(wave, RATE, 2000.0)
    np.testing.assert_allclose(passed[:, middle], wave[:, middle], atol=1e-3)


@pytest.mark.parametrize("cents", [10.0, 50.0])
def test_wobble_swings_the_pitch_by_its_depth(cents):
    from scipy.signal import hilbert

    spoilt = degradations.wobble(signals.tone(1000, 2.0), RATE, cents)[0]
    phase = np.unwrap(np.angle(hilbert(spoilt)))[2000:-2000]
    pitch = 1200 * np.log2(np.diff(phase) * RATE / (2 * np.pi) / 1000)
    smooth = np.convolve(pitch, np.ones(201) / 201, mode="valid")
    assert smooth.max() == pytest.approx(cents, rel=0.03)
    assert smooth.min() == pytest.approx(-cents, rel=0.05)
    swings = np.sum(np.diff(np.sign(smooth)) > 0)
    assert swings == pytest.approx(degradations.WOBBLE_HZ * len(smooth) / RATE, abs=1)


def stairs(pieces, length):
    """A wave whose level tells which piece a sample is from."""
    return np.repeat(np.arange(1.0, pieces + 1), length)[None]


@given(seed=st.integers(0, 1000), pieces=st.integers(2, 9), rest=st.integers(0, 900))
@settings(max_examples=8)
def test_shuffle_is_a_permutation_of_the_pieces(seed, pieces, rest):
    rate, length = 10_000, 1000
    wave = np.concatenate([stairs(pieces, length), np.full((1, rest), 99.0)], axis=1)
    shuffled = degradations.shuffle(wave, rate, length / rate, rng(seed))[0]
    fade = round(degradations.CROSS_FADE_S * rate)
    order = degradations.piece_order(pieces, rng(seed))
    assert sorted(order) == list(range(pieces))
    for place, piece in enumerate(order):
        inner = shuffled[place * length + fade : (place + 1) * length - fade]
        np.testing.assert_allclose(inner, piece + 1.0, atol=1e-12)
    np.testing.assert_allclose(shuffled[pieces * length + fade :], 99.0, atol=1e-12)


def test_shuffle_has_no_clicks_and_no_holes_at_its_joints():
    # Pieces of a constant join to the same constant: fades of neighbours add up to one.
    even = degradations.shuffle(np.ones((2, RATE)), RATE, 0.1, rng())
    np.testing.assert_allclose(even, 1.0, atol=1e-12)
    wave = signals.tone(300, 1.0)
    steepest = np.abs(np.diff(wave)).max()
    assert np.abs(np.diff(degradations.shuffle(wave, RATE, 0.1, rng(3)))).max() < 1.3 * steepest


def test_gain_and_width():
    wave = music()
    assert level_db(degradations.gain(wave, RATE, -6.0)) == pytest.approx(level_db(wave) - 6.0)
    mono = degradations.narrow(wave, RATE, 1.0)
    np.testing.assert_allclose(mono, np.repeat(wave.mean(axis=0)[None], 2, axis=0), atol=1e-12)
    half = degradations.narrow(wave, RATE, 0.5)
    np.testing.assert_allclose(half[0] - half[1], 0.5 * (wave[0] - wave[1]), atol=1e-12)


def test_reverb_falls_by_sixty_decibels_in_its_decay_time():
    click = np.zeros((1, 2 * RATE))
    click[0, 0] = 1.0
    tail = degradations.reverb(click, RATE, 1.0, rng())[0, 1:]
    assert np.sum(tail**2) == pytest.approx(1.0, rel=1e-6)
    levels = [level_db(tail[place : place + RATE // 10]) for place in (0, RATE // 2)]
    assert levels[0] - levels[1] == pytest.approx(30.0, abs=1.0)
    assert np.abs(tail[RATE:]).max() < 1e-9


@pytest.mark.parametrize(
    ("name", "amount", "match"),
    [("noise", np.nan, "nan dB"), ("low_pass", 0.0, "more than 0"), ("wobble", -1.0, "0 or more"),
     ("shuffle", 0.0, r"0\.02 s or more"), ("gain", np.inf, "finite"), ("narrow", 1.5, "0 to 1"),
     ("reverb", -1.0, "0 or more"), ("melt", 1.0, "no degradation 'melt'; expected noise")],
)  # fmt: skip
def test_refuses_amounts_and_names_that_do_not_exist(name, amount, match):
    with pytest.raises(ConfigError, match=match):
        degraded(name, music(0.6), RATE, amount, rng())


def test_refuses_silence_and_nan():
    with pytest.raises(AudioError, match="silent"):
        degraded("noise", np.zeros((1, 100)), RATE, 10.0, rng())
    with pytest.raises(AudioError, match="NaN"):
        degraded("low_pass", np.full((1, 100), np.nan), RATE, 1000.0, rng())
