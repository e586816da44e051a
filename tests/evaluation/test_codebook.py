import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.errors import DataError
from ritornello.evaluation import codebook


def test_equal_use_of_part_of_a_codebook_by_hand():
    codes = [np.array([[0, 1, 2, 3]]), np.array([[3, 2, 1, 0]])]
    figures = codebook.evaluate(codes, size=8, frame_rate_hz=10.0)
    values = {name: estimate.value for name, estimate in figures.items()}
    assert values == pytest.approx(
        {
            "usage": 0.5,
            "dead_codes": 4,
            "perplexity": 4,
            "bit_rate": 30,
            "entropy_bit_rate": 20,
        }
    )
    # What is stored is decided by the codec's sizes: it has no spread over music.
    assert not figures["bit_rate"].has_interval
    # Both recordings use the same codes: leaving one out changes nothing.
    assert figures["perplexity"].low == pytest.approx(figures["perplexity"].high)


def test_codebooks_are_averaged_and_their_bits_added():
    codes = [np.array([[0, 0, 0, 0], [0, 1, 2, 3]])]
    figures = codebook.evaluate(codes, size=4, frame_rate_hz=1.0)
    assert figures["perplexity"].value == pytest.approx((1 + 4) / 2)
    assert figures["bit_rate"].value == pytest.approx(4)
    assert figures["entropy_bit_rate"].value == pytest.approx(2)
    assert figures["dead_codes"].value == pytest.approx(1.5)
    # One recording has no interval, no figure pretends to be exact.
    assert not any(figure.has_interval for figure in figures.values())


@settings(max_examples=20)
@given(seed=st.integers(0, 999), size=st.integers(2, 64))
def test_perplexity_lies_between_one_and_the_used_entries(seed, size):
    codes = np.random.default_rng(seed).integers(0, size, (2, 30))
    counts = codebook.usage_counts(codes, size)
    used = (counts > 0).sum(axis=1)
    assert 1 <= codebook.perplexity(counts) <= used.mean() + 1e-9


def test_the_interval_holds_the_figure_and_most_often_the_truth():
    shares = np.array([0.4, 0.3, 0.2, 0.1])
    truth = float(np.exp(-(shares * np.log(shares)).sum()))
    hits = 0
    for seed in range(20):
        draw = np.random.default_rng(seed)
        codes = [draw.choice(4, size=(1, 200), p=shares) for _ in range(12)]
        estimate = codebook.evaluate(codes, 4, 1.0)["perplexity"]
        assert estimate.low <= estimate.value <= estimate.high
        hits += estimate.low <= truth <= estimate.high
    assert hits >= 16


def test_too_few_codes_are_told():
    few, enough = np.zeros((1, 100), int), np.zeros((1, 2560), int)
    assert "100 frames for 256 entries" in codebook.warnings([few], 256)[0]
    assert codebook.warnings([enough], 256) == []


def test_effective_dimensions_have_their_closed_forms():
    assert codebook.effective_dims(np.eye(5)) == pytest.approx(5)
    assert codebook.effective_dims(np.diag([1.0, 0, 0])) == pytest.approx(1)
    assert codebook.effective_dims(np.diag([3.0, 1.0])) == pytest.approx(4 / 3**0.75)
    assert codebook.effective_dims(np.zeros((2, 2))) == 0


def test_latents_that_copy_one_another_count_once():
    draw = np.random.default_rng(0)
    recordings = []
    for _ in range(6):
        one = draw.standard_normal((3, 4000)) + 5.0  # the mean is no dimension
        recordings.append(np.concatenate([one, one[:1], np.full((1, 4000), 2.0)]))
    figures = codebook.evaluate_latents(recordings, frame_rate_hz=20.0)
    # Variances along the axes are 2, 1, 1: the doubled dimension counts as one.
    shares = np.array([0.5, 0.25, 0.25])
    expected = float(np.exp(-(shares * np.log(shares)).sum()))
    assert figures["numbers_per_second"].value == pytest.approx(100)
    assert [name for name, figure in figures.items() if not figure.has_interval] == [
        "numbers_per_second"
    ]
    alone = codebook.evaluate_latents(recordings[:1], frame_rate_hz=20.0)
    assert not any(figure.has_interval for figure in alone.values())
    assert figures["effective_dims"].value == pytest.approx(expected, rel=0.01)
    assert figures["dead_dims"].value == pytest.approx(1)


def test_refuses_what_is_not_codes_or_latents():
    with pytest.raises(DataError, match="expected 0 to 3"):
        codebook.evaluate([np.array([[4]])], 4, 1.0)
    with pytest.raises(DataError, match=r"of \[2, 3\] dimensions"):
        codebook.evaluate_latents([np.zeros((2, 1)), np.zeros((3, 1))], 1.0)
    with pytest.raises(DataError, match="NaN"):
        codebook.evaluate_latents([np.full((2, 3), np.nan)], 1.0)
