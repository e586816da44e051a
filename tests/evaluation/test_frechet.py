import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.errors import DataError
from ritornello.evaluation import excerpts, frechet
from ritornello.evaluation.reading import apart


def gaussians(seed, rank=4, dim=4):
    draws = np.random.default_rng(seed)
    factors = draws.standard_normal((2, dim, rank))
    return draws.standard_normal((2, dim)), factors @ factors.swapaxes(1, 2)


def test_one_dimension_has_the_closed_form():
    # |m1 - m2|^2 + (s1 - s2)^2
    distance = frechet.frechet_distance(
        np.array([1.0]), np.array([[4.0]]), np.array([4.0]), np.array([[25.0]])
    )
    assert distance == pytest.approx(9 + 9, abs=1e-12)


def test_commuting_covariances_have_the_closed_form():
    one, other = np.array([1.0, 4.0, 9.0]), np.array([4.0, 4.0, 1.0])
    distance = frechet.frechet_distance(np.zeros(3), np.diag(one), np.ones(3), np.diag(other))
    assert distance == pytest.approx(3 + np.sum((np.sqrt(one) - np.sqrt(other)) ** 2), abs=1e-12)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_equals_the_matrix_square_root_and_is_symmetric(seed):
    means, covariances = gaussians(seed)
    distance = frechet.frechet_distance(means[0], covariances[0], means[1], covariances[1])
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
    expected = np.sum((means[0] - means[1]) ** 2) + np.trace(
        covariances[0] + covariances[1] - 2 * root.real
    )
    assert distance == pytest.approx(expected, rel=1e-6, abs=1e-6)
    turned = frechet.frechet_distance(means[1], covariances[1], means[0], covariances[0])
    assert distance == pytest.approx(turned, rel=1e-6, abs=1e-6)


def test_equal_gaussians_of_low_rank_are_at_distance_zero():
    means, covariances = gaussians(3, rank=2, dim=6)
    distance = frechet.frechet_distance(means[0], covariances[0], means[0], covariances[0])
    assert distance == pytest.approx(0, abs=1e-6)


def recordings(seed, count, offset=0.0):
    """Features of recordings whose pieces are alike, (count, 3, dim)."""
    draws = np.random.default_rng(seed)
    each = draws.standard_normal((count, 1, excerpts.DIM))
    pieces = 0.3 * draws.standard_normal((count, 3, excerpts.DIM))
    return 20 * (each + pieces) + 20 * offset


def test_music_of_the_same_kind_lies_within_the_null():
    figures = frechet.evaluate(recordings(1, 40), recordings(2, 20), np.random.default_rng(0))
    distance, null = figures["frechet_distance"], figures["frechet_null"]
    assert null.low < distance.value < 1.15 * null.high
    assert distance.items == null.items == 20


def test_other_music_lies_outside_the_null():
    figures = frechet.evaluate(
        recordings(1, 40), recordings(2, 20, offset=1.5), np.random.default_rng(0)
    )
    assert figures["frechet_distance"].low > figures["frechet_null"].high


@pytest.mark.slow
def test_two_equal_generators_are_rarely_apart(monkeypatch):
    monkeypatch.setattr(frechet, "SPLITS", 20)  # they only steady the value
    # The reference is common to both, and each lies at the same true distance from it.
    trials, apart_ = 10, 0
    for trial in range(trials):
        real = recordings([trial, 0], 32)
        figures = [
            frechet.evaluate(
                real, recordings([trial, which], 16, offset=0.5), np.random.default_rng(trial)
            )["frechet_distance"]
            for which in (1, 2)
        ]
        apart_ += apart(*figures)
    assert apart_ <= 1


def test_clips_of_one_recording_stay_together():
    # Eight recordings a side, four clips each that are the same but for a breath.
    names = [index // 4 for index in range(32)]
    real, made = (
        np.repeat(recordings(seed, 8), 4, axis=0)
        + 0.01 * np.random.default_rng(seed).standard_normal((32, 3, excerpts.DIM))
        for seed in (1, 2)
    )
    split = frechet.evaluate(
        real,
        made,
        np.random.default_rng(0),
        generated_recordings=names,
        reference_recordings=names,
    )
    loose = frechet.evaluate(real, made, np.random.default_rng(0))
    assert (split["frechet_distance"].items, loose["frechet_distance"].items) == (4, 16)
    assert split["frechet_null"].value > 1.5 * loose["frechet_null"].value
    widths = [f["frechet_distance"].high - f["frechet_distance"].low for f in (split, loose)]
    assert widths[0] > 1.5 * widths[1]


def test_too_few_takes_to_halve_have_no_interval():
    figure = frechet.evaluate(recordings(1, 4), recordings(2, 2), np.random.default_rng(0))
    assert np.isfinite(figure["frechet_distance"].value)
    assert not figure["frechet_distance"].has_interval


def test_refuses_sets_too_small_to_split():
    draw = np.random.default_rng(0)
    with pytest.raises(DataError, match="got 3 real and 2 generated"):
        frechet.evaluate(recordings(1, 3), recordings(2, 2), draw)
    with pytest.raises(DataError, match="NaN"):
        frechet.evaluate(recordings(1, 4), np.full((2, 3, excerpts.DIM), np.nan), draw)
    with pytest.raises(DataError, match="got 1 recordings for 4 clips"):
        frechet.evaluate(recordings(1, 4), recordings(2, 2), draw, reference_recordings=["a"])
    with pytest.raises(DataError, match="two or more"):
        frechet.set_distance(np.zeros((1, 2)), np.zeros((3, 2)))
