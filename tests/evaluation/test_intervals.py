from functools import partial

import numpy as np
import pytest

from ritornello.errors import DataError
from ritornello.evaluation import intervals


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


def test_single_item_has_no_spread():
    figure = intervals.mean_interval(np.array([3.0]), np.random.default_rng(0))
    assert (figure.value, figure.low, figure.high, figure.items) == (3, 3, 3, 1)


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
