import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.errors import DataError
from ritornello.evaluation import kid
from ritornello.evaluation.patches import pooled
from tests.evaluation.test_fad import clips, rng


def plain_distance(one, other):
    """The formula, pair by pair of patches, leaving out pairs within a clip."""

    def kernel(x, y):
        return (x @ y / len(x) + 1) ** 3

    def within(clips):
        pairs = [
            kernel(x, y)
            for i, a in enumerate(clips)
            for j, b in enumerate(clips)
            if i != j
            for x in a
            for y in b
        ]
        return np.mean(pairs)

    between = [kernel(x, y) for a in one for b in other for x in a for y in b]
    return within(one) + within(other) - 2 * np.mean(between)


def value_of(one, other):
    sums = kid.sums_of(pooled(one), pooled(other))
    return kid.distance(sums, np.ones((1, len(one))), np.ones((1, len(other))))[0]


@given(seed=st.integers(0, 1000), block=st.integers(1, 40))
@settings(max_examples=4)
def test_equals_the_plain_formula_in_blocks_of_any_size(seed, block):
    draw = rng(seed)
    one, other = clips(draw, 8, dim=3), clips(draw, 9, dim=3, shift=1.0)
    one[0] = one[0][:1]  # clips need not have the same number of patches
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kid, "BLOCK", block)
        assert value_of(one, other) == pytest.approx(plain_distance(one, other), rel=1e-9)


def test_weights_take_items_as_often_as_they_say():
    one, other = clips(rng(1), 9, dim=3), clips(rng(2), 8, dim=3)
    sums = kid.sums_of(pooled(one), pooled(other))
    weights = np.array([[0.0] + [1.0] * 8])
    assert kid.distance(sums, weights, np.ones((1, 8)))[0] == pytest.approx(
        value_of(one[1:], other), rel=1e-9
    )


def test_in_one_dimension_two_points_have_the_closed_form():
    # All patches at 0 or at a: k(0, 0) = k(0, a) = 1, k(a, a) = (a^2 + 1)^3.
    zeros, others = [np.zeros((2, 1))] * 8, [np.full((2, 1), 2.0)] * 8
    assert value_of(zeros, others) == pytest.approx(1 + 125 - 2, rel=1e-12)
    assert value_of(zeros, zeros) == pytest.approx(0, abs=1e-12)


def test_has_no_bias_at_any_size():
    for count in (10, 40):
        draw = rng(count)
        values = [
            value_of(clips(draw, count, alike=0.5), clips(draw, count, alike=0.5))
            for _ in range(30)
        ]
        assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


def test_tells_shifted_music_from_the_same_kind():
    draw = rng(3)
    real = clips(draw, 160, dim=20)
    same = kid.evaluate(clips(draw, 80, dim=20), real, draw)
    moved = kid.evaluate(clips(draw, 80, dim=20, shift=0.4), real, draw)
    assert same["kid"].low < 0 < same["kid"].high
    assert same["kid_null"].low < same["kid"].value < same["kid_null"].high
    assert moved["kid"].low > moved["kid_null"].high
    assert moved["kid"].items == moved["kid_null"].items == 80


@pytest.mark.slow
def test_interval_covers_the_true_distance_about_as_often_as_it_says():
    draw, trials = rng(5), 40
    true = value_of(clips(draw, 1000, shift=0.5), clips(draw, 1000))
    covered = 0
    for _ in range(trials):
        figure = kid.evaluate(clips(draw, 50, shift=0.5), clips(draw, 50), draw)["kid"]
        covered += figure.low <= true <= figure.high
    assert covered / trials >= 0.85


def test_clips_of_one_recording_count_as_one_item():
    draw = rng(5)
    recordings = [index // 4 for index in range(64)]
    each = 0.7 * draw.standard_normal((16, 1, 4))
    real = [each[name] + 0.01 * draw.standard_normal((3, 4)) for name in recordings]
    made = clips(draw, 32, dim=4)
    apart = kid.evaluate(made, real, rng(), reference_recordings=recordings)
    together = kid.evaluate(made, real, rng())
    assert (apart["kid_null"].items, together["kid_null"].items) == (8, 32)
    reach, narrow = (x["kid_null"].high - x["kid_null"].low for x in (apart, together))
    assert reach > 2 * narrow


def test_warns_and_refuses():
    few = clips(rng(1), 8)
    assert kid.warnings(few, few)[0].startswith("generated: 24 patches")
    with pytest.raises(DataError, match="got 7 clips"):
        kid.evaluate(few[:7], few, rng())
    with pytest.raises(DataError, match="expected the same embedding"):
        kid.evaluate(few, clips(rng(1), 8, dim=7), rng())
