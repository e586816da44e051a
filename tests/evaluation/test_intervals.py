import json
import math
from functools import partial

import numpy as np
import pytest

from ritornello.errors import DataError
from ritornello.evaluation import intervals, reading


def mean_of(values, chosen):
    return values[chosen].mean()


def test_interval_covers_the_true_mean_about_as_often_as_it_says():
    draws = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        values = draws.standard_normal(30)
        figure = intervals.resampled(30, partial(mean_of, values), draws, resamples=200)
        covered += figure.low <= 0 <= figure.high
    assert 0.85 < covered / 100 <= 1


def test_value_is_the_statistic_on_all_items_and_the_interval_holds_it():
    values = np.array([1.0, 2.0, 3.0, 10.0])
    figure = intervals.mean_interval(values, np.random.default_rng(0))
    assert figure.value == 4
    assert 1 <= figure.low <= figure.value <= figure.high <= 10
    assert figure.items == 4
    assert figure.to_dict() == {
        "value": 4.0,
        "low": figure.low,
        "high": figure.high,
        "items": 4,
    }


def test_same_seed_gives_the_same_interval():
    values = np.random.default_rng(1).standard_normal(12)
    one, other = (intervals.mean_interval(values, np.random.default_rng(7)) for _ in range(2))
    assert one == other


def test_single_item_has_no_interval_anywhere():
    figure = intervals.mean_interval(np.array([3.0]), np.random.default_rng(0))
    assert (figure.value, figure.items) == (3, 1)
    assert math.isnan(figure.low)
    assert math.isnan(figure.high)
    assert str(figure) == "3 [-]"
    assert reading.interval(figure) == "-"
    told = json.loads(json.dumps(figure.to_dict(), allow_nan=False))
    assert told == {"value": 3, "low": None, "high": None, "items": 1}


def test_a_ratio_of_two_samples_is_less_sure_than_one_of_its_sides():
    draw = np.random.default_rng(0)
    made, real = draw.uniform(1, 3, 200), draw.uniform(1, 3, 10)

    def ratio(chosen, others):
        return made[chosen].mean() / real[others].mean()

    both = intervals.resampled_pair(200, 10, ratio, draw)
    one = intervals.resampled(200, lambda chosen: ratio(chosen, np.arange(10)), draw)
    assert both.value == one.value
    assert both.low < one.low < one.high < both.high
    assert both.high - both.low > 2 * (one.high - one.low)
    assert not intervals.resampled_pair(200, 1, ratio, draw).has_interval


def test_rows_are_summarised_by_name():
    rows = [{"a": 1.0, "b": 0.0}, {"a": 3.0, "b": 0.0}]
    figures = intervals.summarise(rows, np.random.default_rng(0))
    assert figures["a"].value == 2
    assert str(figures["b"]) == "0 [0, 0]"


def test_refuses_nothing_and_rows_that_differ():
    draw = np.random.default_rng(0)
    with pytest.raises(DataError, match="0 items"):
        intervals.mean_interval(np.array([]), draw)
    with pytest.raises(DataError, match="0 clips"):
        intervals.summarise([], draw)
    with pytest.raises(DataError, match="different figures"):
        intervals.summarise([{"a": 1.0}, {"b": 1.0}], draw)


def test_spread_over_splits_is_the_median_and_the_middle_95_per_cent():
    found = intervals.spread([float(value) for value in range(201)], 7)
    assert (found.value, found.low, found.high, found.items) == (100.0, 5.0, 195.0, 7)


def test_alike_excerpts_of_few_pieces_say_as_much_as_the_pieces():
    draw = np.random.default_rng(0)
    pieces = draw.standard_normal(10)
    values, groups = np.repeat(pieces, 20), [f"piece {number // 20}" for number in range(200)]
    alone = intervals.mean_interval(pieces, np.random.default_rng(1))
    grouped = intervals.mean_interval(values, np.random.default_rng(1), groups)
    blind = intervals.mean_interval(values, np.random.default_rng(1))
    assert (grouped.value, grouped.items) == (pytest.approx(alone.value), 10)
    assert (grouped.low, grouped.high) == pytest.approx((alone.low, alone.high))
    assert blind.high - blind.low < 0.5 * (grouped.high - grouped.low)
