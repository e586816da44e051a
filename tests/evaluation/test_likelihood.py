import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.errors import DataError
from ritornello.evaluation import likelihood


def rng():
    return np.random.default_rng(0)


def test_uniform_over_256_classes_is_the_known_number():
    assert likelihood.uniform_nats(256) == pytest.approx(5.545177, abs=1e-6)
    codes = rng().integers(0, 256, (2, 50))
    log_probabilities = np.full((2, 50, 256), -np.log(256))
    values = likelihood.surprise(log_probabilities, codes)
    estimate = likelihood.nats_per_frame([values], rng())
    assert estimate.value == pytest.approx(2 * likelihood.uniform_nats(256), abs=1e-12)
    assert likelihood.bits(likelihood.uniform_nats(256)) == pytest.approx(8, abs=1e-12)


def test_surprise_by_hand():
    p = np.array([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]])
    values = likelihood.surprise(np.log(p), np.array([[1, 2]]))
    assert values == pytest.approx(-np.log([[0.25, 0.8]]), abs=1e-12)


def test_long_recordings_count_by_their_frames():
    values = [np.full((1, 1), 4.0), np.full((1, 3), 2.0)]
    estimate = likelihood.nats_per_frame(values, rng())
    assert estimate.value == pytest.approx(2.5, abs=1e-12)
    assert (estimate.low, estimate.high, estimate.items) == (2.0, 4.0, 2)


def test_unigram_is_fitted_on_training_and_judged_on_held_out():
    training = [np.array([[0, 0, 0, 1]]), np.array([[0, 2]])]
    frequencies = np.exp(likelihood.unigram(training, 4))
    assert frequencies == pytest.approx(np.array([[5, 2, 2, 1]]) / 10, abs=1e-12)
    held_out = [np.array([[3, 0]])]
    figures = likelihood.evaluate([np.zeros((1, 2))], held_out, training, 4, rng())
    expected = -(np.log(0.1) + np.log(0.5)) / 2
    assert figures["unigram_nats"].value == pytest.approx(expected, abs=1e-12)
    assert figures["gain_nats"].value == pytest.approx(expected, abs=1e-12)
    assert figures["nll_nats"].value == figures["bits_per_token"].value == 0
    assert figures["uniform_nats"].value == pytest.approx(np.log(4), abs=1e-12)
    # One recording: nothing is known of how far the figures would move.
    assert not any(figure.has_interval for figure in figures.values())


@settings(max_examples=3)
@given(classes=st.integers(2, 20), codebooks=st.integers(1, 3), seed=st.integers(0, 999))
def test_the_unigram_scored_as_a_model_gains_nothing(classes, codebooks, seed):
    draw = np.random.default_rng(seed)
    training, held_out = (
        [draw.integers(0, classes, (codebooks, n)) for n in (7, 12)] for _ in range(2)
    )
    frequencies = likelihood.unigram(training, classes)
    model = [
        likelihood.surprise(np.repeat(frequencies[:, None], codes.shape[1], axis=1), codes)
        for codes in held_out
    ]
    figures = likelihood.evaluate(model, held_out, training, classes, draw)
    assert figures["gain_nats"].value == pytest.approx(0, abs=1e-12)
    assert figures["bits_per_token"].value * codebooks == pytest.approx(
        figures["nll_nats"].value / np.log(2)
    )


def test_entropy_of_the_training_frequencies_is_the_least_any_unigram_can_reach():
    draw = rng()
    codes = draw.choice(4, size=(1, 40_000), p=[0.5, 0.25, 0.125, 0.125])
    values = likelihood.unigram_surprise(likelihood.unigram([codes], 4), codes)
    assert likelihood.bits(values.mean()) == pytest.approx(1.75, abs=0.01)


def test_refuses_what_cannot_be_scored():
    with pytest.raises(DataError, match="got 0 recordings"):
        likelihood.unigram([], 4)
    with pytest.raises(DataError, match="from 0 to 4; expected 0 to 3"):
        likelihood.validate([np.array([[0, 4]])], 4)
    with pytest.raises(DataError, match="holds no codes"):
        likelihood.validate([np.zeros((1, 0), int)], 4)
    with pytest.raises(DataError, match=r"\[1, 2\] codebooks"):
        likelihood.validate([np.zeros((1, 2), int), np.zeros((2, 2), int)], 4)
    with pytest.raises(DataError, match="not logits"):
        likelihood.surprise(np.ones((1, 2, 4)), np.zeros((1, 2), int))
    codes = [np.zeros((1, 2), int)]
    with pytest.raises(DataError, match="expected the same"):
        likelihood.evaluate([np.zeros((1, 3))], codes, codes, 4, rng())


def test_probability_zero_for_what_came_is_told():
    with np.errstate(divide="ignore"):
        values = likelihood.surprise(np.log(np.array([[[1.0, 0.0]]])), np.array([[1]]))
    with pytest.raises(DataError, match="recording 1 is not finite"):
        likelihood.nats_per_frame([np.zeros((1, 1)), values], rng())
