import numpy as np
import pytest

from ritornello.errors import DataError
from ritornello.evaluation import fad
from ritornello.evaluation.frechet import frechet_distance
from ritornello.evaluation.patches import pooled


def spectrum(dim):
    """Standard deviations of an embedding: variances falling as 1 / k, dim / 10 in all."""
    variances = 1 / np.arange(1, dim + 1)
    return np.sqrt(variances / variances.sum() * dim / 10)


def clips(draw, count, *, dim=6, patches=3, shift=0.0, alike=0.0):
    """Gaussian patches; `alike` is the part of the variance that the patches of a clip share."""
    common = np.sqrt(alike) * draw.standard_normal((count, 1, dim))
    own = np.sqrt(1 - alike) * draw.standard_normal((count, patches, dim))
    return list((common + own + shift) * spectrum(dim))


def shift_distance(dim, shift):
    return shift**2 * dim / 10


def rng(seed=0):
    return np.random.default_rng(seed)


def test_the_distance_is_that_of_the_fitted_gaussians():
    made, real = clips(rng(1), 20, shift=0.5), clips(rng(2), 30)
    fitted = [(np.concatenate(x).mean(axis=0), np.cov(np.concatenate(x).T)) for x in (made, real)]
    expected = frechet_distance(*fitted[0], *fitted[1])
    assert fad.distance(pooled(made), pooled(real)) == pytest.approx(expected, rel=1e-12)
    assert fad.evaluate(made, real, rng())["fad_all"].value == pytest.approx(expected, rel=1e-12)


def test_a_pure_shift_is_the_squared_length_of_it():
    one = clips(rng(1), 10)
    moved = [clip + np.array([3.0, 4.0, 0, 0, 0, 0]) for clip in one]
    assert fad.distance(pooled(one), pooled(moved)) == pytest.approx(25, rel=1e-9)


def test_a_scaled_set_has_the_closed_form():
    # (s - 1)^2 tr C for x -> s x around the mean
    one = clips(rng(1), 10)
    mean, covariance = np.concatenate(one).mean(axis=0), np.cov(np.concatenate(one).T)
    wider = [(clip - mean) * 3 + mean for clip in one]
    expected = 4 * np.trace(covariance)
    assert fad.distance(pooled(one), pooled(wider)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("dim", [6, 200])
def test_a_set_is_at_distance_zero_of_itself_even_with_fewer_patches_than_dimensions(dim):
    one = clips(rng(1), 10, dim=dim)
    assert fad.distance(pooled(one), pooled(one)) == pytest.approx(0, abs=1e-6)


def test_flat_sets_in_different_planes_have_the_closed_form():
    # Covariances of rank 1 along different axes share nothing: the sum of their traces.
    along = rng(1).standard_normal((2, 12))
    one, other = np.zeros((12, 5)), np.zeros((12, 5))
    one[:, 0], other[:, 1] = along - along.mean(axis=1, keepdims=True)
    sets = (pooled(list(x[:, None])) for x in (one, other))
    expected = along.var(axis=1, ddof=1).sum()
    assert fad.distance(*sets) == pytest.approx(expected, rel=1e-9)


def test_equal_music_lies_within_the_null_and_at_zero_in_infinity():
    draw = rng(3)
    figures = fad.evaluate(clips(draw, 80, dim=20), clips(draw, 160, dim=20), draw)
    null = figures["fad_null"]
    assert null.value > 0.05  # the bias, which is all there is
    assert null.low < figures["fad"].value < null.high
    assert abs(figures["fad_infinity"].value) < 0.5 * null.value
    assert figures["fad_infinity"].low < 0 < figures["fad_infinity"].high
    assert figures["fad_infinity_fit"].value > 0.95
    assert figures["fad"].items == figures["fad_null"].items == 80


def test_the_fit_does_not_see_the_bend_that_the_warning_tells_of():
    # Equal music, patches alike inside a clip, fewer clips than dimensions.
    draw = rng(6)
    made, real = (clips(draw, n, dim=60, patches=40, alike=0.9) for n in (30, 60))
    figures = fad.evaluate(made, real, draw)
    assert figures["fad_infinity_fit"].value > 0.97
    assert not figures["fad_infinity_fit"].has_interval
    assert figures["fad_infinity"].value > 0.3  # of a variance of 6
    null = figures["fad_infinity_null"]
    assert null.low < figures["fad_infinity"].value < null.high
    assert any("fit (R^2) near 1 all the same" in line for line in fad.warnings(made, real))


def test_shifted_music_lies_outside_the_null_by_the_shift():
    draw = rng(4)
    figures = fad.evaluate(clips(draw, 80, dim=20, shift=0.6), clips(draw, 160, dim=20), draw)
    true = shift_distance(20, 0.6)
    assert figures["fad"].low > figures["fad_null"].high
    assert figures["fad_infinity"].low < true < figures["fad_infinity"].high
    assert figures["fad_infinity"].value == pytest.approx(true, rel=0.15)
    assert figures["fad_all"].value > true  # biased upwards


def bias(dim, patches):
    """Mean FAD of two equal sets of `patches` patches, over some draws."""
    draw = rng(dim + patches)
    sets = [pooled(clips(draw, patches // 2, dim=dim, patches=2)) for _ in range(16)]
    return np.mean([fad.distance(*sets[pair : pair + 2]) for pair in range(0, 16, 2)])


def test_bias_falls_as_one_over_size_and_grows_with_dimension():
    table = {dim: [bias(dim, patches) for patches in (100, 200, 400)] for dim in (8, 32)}
    for biases in table.values():
        assert biases[0] / biases[1] == pytest.approx(2, rel=0.3)
        assert biases[1] / biases[2] == pytest.approx(2, rel=0.3)
    assert np.all(np.array(table[32]) > 3 * np.array(table[8]))


@pytest.mark.parametrize(("shift", "alike"), [(0.0, 0.0), (1.0, 0.5)])
@pytest.mark.slow
def test_intervals_cover_about_as_often_as_they_say(shift, alike):
    draw, dim, trials = rng(7), 6, 30
    found = []
    for _ in range(trials):
        made = clips(draw, 40, dim=dim, shift=shift, alike=alike)
        found.append(fad.evaluate(made, clips(draw, 80, dim=dim, alike=alike), draw))
    true = {
        "fad_infinity": shift_distance(dim, shift),
        "fad": np.mean([figures["fad"].value for figures in found]),
    }
    for name, value in true.items():
        covered = sum(figures[name].low <= value <= figures[name].high for figures in found)
        assert covered / trials >= 0.85, name
    # Near zero the interval may be too wide, further away it is neither.
    spread = np.std([figures["fad_infinity"].value for figures in found])
    reach = np.mean([f["fad_infinity"].high - f["fad_infinity"].value for f in found]) / 1.96
    assert 0.8 * spread < reach < (4 if shift == 0 else 1.6) * spread


def test_clips_of_one_recording_stay_on_one_side_of_the_null():
    # 16 recordings whose clips are the same but for a breath: split by clips, the null sees none
    # of the difference between recordings.
    draw = rng(5)
    recordings = [index // 4 for index in range(64)]
    each = 3 * draw.standard_normal((16, 1, 4))
    real = [each[name] + 0.01 * draw.standard_normal((3, 4)) for name in recordings]
    apart = fad.evaluate(real, real, rng(), reference_recordings=recordings)
    together = fad.evaluate(real, real, rng())
    assert apart["fad_null"].value > 3 * together["fad_null"].value
    assert (apart["fad_null"].items, together["fad_null"].items) == (8, 32)


def test_same_seed_same_figures():
    made, real = clips(rng(1), 10), clips(rng(2), 20)
    assert fad.evaluate(made, real, rng(9)) == fad.evaluate(made, real, rng(9))


def test_warns_of_few_patches_and_few_recordings():
    made, real = clips(rng(1), 20, dim=50), clips(rng(2), 20, dim=50)
    told = fad.warnings(made, real, reference_recordings=["a", "b"] * 10)
    assert told[0] == "generated: 60 patches; figures are steady from about 1000 on"
    assert "reference: 2 recordings only" in told[1]
    assert "about 30 patches of 50 dimensions a side: below 100" in told[3]
    # Patches enough, but of too few recordings.
    few = [clips(rng(seed), 80, dim=50, patches=50) for seed in (1, 2)]
    assert [line.split(":")[0] for line in fad.warnings(*few)] == [
        "FAD compares 40 recordings of 50 dimensions a side"
    ]
    many = [clips(rng(seed), 400) for seed in (1, 2)]
    assert fad.warnings(*many) == []


def test_refuses_what_cannot_be_compared():
    good = clips(rng(1), 8)
    with pytest.raises(DataError, match="got 1 clip; expected 8 or more"):
        fad.evaluate(good[:1], good, rng())
    with pytest.raises(DataError, match="clip 2 holds NaN"):
        fad.evaluate([*good[:2], good[2] * np.nan, *good[3:]], good, rng())
    with pytest.raises(DataError, match="clip 1 has no patches"):
        fad.evaluate(good, [good[0], good[1][:0], *good[2:]], rng())
    with pytest.raises(DataError, match="clip 7 has 5 dimensions; expected 6"):
        fad.evaluate(good, [*good[:7], good[7][:, :5]], rng())
    with pytest.raises(DataError, match="have 6 dimensions, reference patches 7"):
        fad.evaluate(good, clips(rng(1), 8, dim=7), rng())
    with pytest.raises(DataError, match="got 2 recordings for 8 clips"):
        fad.evaluate(good, good, rng(), reference_recordings=["a", "b"])
