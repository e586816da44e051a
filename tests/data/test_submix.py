"""Pairs of a context and a target: all of them, each as likely, heard with gain and noise."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.data.submix import (
    GAIN_DB,
    NOISE_DBFS,
    Pair,
    Treatment,
    draw_pair,
    draw_treatment,
    submix,
    treated,
)
from ritornello.errors import DataError


@pytest.mark.parametrize("stems", [2, 3, 4])
def test_every_pair_of_a_song_is_drawn_and_none_more_often(stems):
    draw = np.random.default_rng(stems)
    count = stems * (2 ** (stems - 1) - 1)
    per_pair = 60
    drawn = Counter(draw_pair(draw, stems) for _ in range(per_pair * count))
    assert len(drawn) == count
    chi_square = sum((seen - per_pair) ** 2 / per_pair for seen in drawn.values())
    assert chi_square < count + 4 * np.sqrt(2 * count)


@settings(max_examples=30)
@given(st.integers(2, 70), st.integers(0, 2**32))
def test_the_context_is_a_non_empty_proper_subset_without_the_target(stems, seed):
    pair = draw_pair(np.random.default_rng(seed), stems)
    assert 1 <= len(pair.context) < stems
    assert pair.target not in pair.context
    assert sorted(set(pair.context)) == list(pair.context)
    assert {pair.target, *pair.context} <= set(range(stems))


def test_one_stem_is_no_pair():
    with pytest.raises(DataError, match="at least 2 stems; got 1"):
        draw_pair(np.random.default_rng(0), 1)


def test_draws_depend_on_the_generator_alone():
    assert draw_pair(np.random.default_rng(3), 5) == draw_pair(np.random.default_rng(3), 5)
    assert Pair(context=(0,), target=1) != Pair(context=(1,), target=0)


def test_treatments_lie_within_their_ranges():
    draw = np.random.default_rng(0)
    drawn = [draw_treatment(draw) for _ in range(300)]
    gains = [one.gain_db for one in drawn]
    noises = [one.noise_dbfs for one in drawn]
    assert -GAIN_DB <= min(gains) < -0.9 * GAIN_DB < 0.9 * GAIN_DB < max(gains) <= GAIN_DB
    assert NOISE_DBFS[0] <= min(noises) < -78 < -57 < max(noises) <= NOISE_DBFS[1]


def test_a_submix_is_the_sum_of_its_members():
    stems = np.random.default_rng(0).uniform(-1, 1, (4, 50)).astype(np.float32)
    np.testing.assert_allclose(submix(stems, (0, 2)), stems[0] + stems[2], atol=1e-6)
    np.testing.assert_array_equal(submix(stems, (3,)), stems[3])


def test_a_context_is_heard_at_its_gain_with_its_noise():
    mix = np.full(20000, 0.25, np.float32)
    heard = treated(mix, Treatment(gain_db=6.0206, noise_dbfs=-40.0), np.random.default_rng(0))
    assert heard.mean() == pytest.approx(0.5, abs=1e-3)
    assert heard.std() == pytest.approx(0.01, rel=0.05)


def test_a_context_stays_within_full_scale():
    mix = np.array([1.5, -3.0, 0.3], np.float32)
    heard = treated(mix, Treatment(gain_db=6.0, noise_dbfs=-200.0), np.random.default_rng(0))
    np.testing.assert_allclose(heard, [0.5, -1.0, 0.1], atol=1e-6)
    silent = treated(
        np.zeros(3, np.float32), Treatment(gain_db=6.0, noise_dbfs=-200.0), np.random.default_rng(0)
    )
    assert np.abs(silent).max() < 1e-8
