"""What is said of a paper's orderings, where rows are equal there, and how it is printed."""

import pytest

from ritornello.training.verdicts import (
    Ordering,
    Spread,
    orderings_grid,
    over_seeds,
    steps_cell,
    verdict,
)


def ordering(gap):
    return Ordering(lower="8", higher="32", because="a reason", measure="db", published_gap=gap)


def seeds(*values):
    return [{"figures": {"db": value}, "seed": seed} for seed, value in enumerate(values)]


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        ((-12.0, -12.4), (-12.1, -12.3), "holds: within the noise"),
        ((-12.0, -12.1), (-10.0, -10.1), "does not hold"),
        ((-10.0, -10.1), (-12.0, -12.1), "does not hold"),
        ((-12.0,), (-12.0, -12.1), "one seed: no statement about noise"),
        ((), (-12.0,), "not trained yet"),
    ],
)
def test_rows_that_are_equal_in_the_paper_are_not_to_be_apart(one, other, says):
    assert verdict(ordering(0.0), seeds(*one), seeds(*other)).says == says


def test_a_gap_is_the_higher_minus_the_lower():
    found = verdict(ordering(10.6), seeds(-23.0, -22.0), seeds(-12.0, -12.5))
    assert found.says == "holds"
    assert found.gap == pytest.approx(10.25)
    line = orderings_grid([found.as_json()])[-1]
    assert line == "| db of 8 < 32 | a reason | 10.6 | +10.250 | holds |"
    assert "| db of 8 = 32 |" in orderings_grid([verdict(ordering(0), [], []).as_json()])[-1]


def test_cells_show_the_spread_of_more_than_one_seed():
    two = over_seeds(seeds(-12.0, -13.0), "db")
    assert two == Spread(mean=-12.5, spread=1.0, seeds=2)
    assert str(two) == "-12.5 ± 0.5"
    assert two.cell(2) == "-12.50 ± 0.50"
    row = {"steps": [6, 6, 7], "seen": [2048, 2048, 2048]}
    assert steps_cell(row, "seen") == "6 x 2,048, 7 x 2,048"
