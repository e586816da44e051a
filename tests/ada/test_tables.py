"""The page of a table: means and spreads, verdicts by the stated rule, nothing made up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ritornello.ada import tables
from ritornello.ada.published import ORDERINGS, Ordering
from ritornello.ada.tables import over_seeds, verdict

ORDERING = Ordering(lower="1.3", higher="1.2", because="a reason")


def seeds(*values, measure="nll"):
    return [{"figures": {measure: value}, "seed": seed} for seed, value in enumerate(values)]


@pytest.mark.parametrize(
    ("lower", "higher", "says"),
    [
        ((1.0, 1.1), (1.3, 1.4), "holds"),
        ((1.3, 1.4), (1.0, 1.1), "does not hold"),
        ((1.0, 1.1), (1.05, 1.15), "within the noise"),
        ((1.0, 1.0), (1.1, 1.4), "within the noise"),
        ((1.0,), (1.3, 1.4), "holds in one seed: no statement about noise"),
        ((1.3,), (1.0,), "does not hold in one seed: no statement about noise"),
        ((), (1.0, 1.1), "not trained yet"),
    ],
)
def test_verdicts_follow_the_rule(lower, higher, says):
    assert verdict(ORDERING, seeds(*lower), seeds(*higher)).says == says


@given(
    st.lists(st.floats(0.1, 6), min_size=2, max_size=4),
    st.lists(st.floats(0.1, 6), min_size=2, max_size=4),
)
def test_a_verdict_turns_round_with_its_rows(one, other):
    opposite = {"holds": "does not hold", "does not hold": "holds"}
    there = verdict(ORDERING, seeds(*one), seeds(*other)).says
    back = verdict(ORDERING, seeds(*other), seeds(*one)).says
    assert back == opposite.get(there, there)
    if there == "holds":
        # Apart by the rule, two seeds a side cannot overlap.
        assert len(one) > 2 or len(other) > 2 or max(one) < min(other)


def test_means_and_spreads_skip_what_a_row_does_not_have():
    spread = over_seeds(seeds(1.0, 1.4), "nll")
    assert (spread.mean, spread.spread, spread.seeds) == (
        pytest.approx(1.2),
        pytest.approx(0.4),
        2,
    )
    assert str(spread) == "1.200 ± 0.200"
    assert str(over_seeds(seeds(227.31, measure="perplexity"), "perplexity")) == "227.3"
    assert over_seeds(seeds(1.0), "perplexity") is None


def told(number, rows):
    return {
        "table": number,
        "scale": "mini",
        "rows": rows,
        "rule": tables.RULE,
        "orderings": [verdict(one, [], []).as_json() for one in ORDERINGS[number]],
        "notes": ["a note"],
    }


def a_row(id, *, ours, published):
    none = dict.fromkeys(("train_nll", "nll", "perplexity", "receptive_field_ms"))
    return {
        "row": id,
        "name": "a model",
        "seeds": [{}] * bool(ours),
        "receptive_field": 61,
        "receptive_field_samples": 393_000,
        "receptive_field_ms": 24_556.0,
        "published_size_ms": 24_556.0,
        "published": none | published,
        "ours": dict.fromkeys(("train_nll", "nll", "perplexity")) | ours,
    }


def test_the_page_prints_ours_beside_the_papers():
    nll = {"mean": 2.5, "spread": 0.1, "seeds": 2}
    rows = [a_row("1.2", ours={"nll": nll}, published={"nll": 0.734, "perplexity": 227.3})]
    page = tables.markdown(told(1, rows), "ritornello reproduce ada-table-1 -o x", "table-1.png")
    assert "| 1.2 | a model | 61 | 1 | - | - | 2.500 ± 0.050 | 0.734 | - | 227.3 |" in page
    assert "| nll of 1.3 < 1.2 |" in page
    assert page.count("not trained yet") == len(ORDERINGS[1])
    assert "    ritornello reproduce ada-table-1 -o x" in page
    assert "- a note" in page


def test_ratings_that_are_not_known_are_not_made_up():
    rows = [a_row("3.6", ours={}, published={"receptive_field_ms": 24576})]
    page = tables.markdown(told(3, rows), "command", "table-3.png")
    line = next(line for line in page.splitlines() if line.startswith("| 3.6 "))
    assert line.endswith("| not available | not available |")
    assert "| 393,000 | 24,556 | 24,556 | 24,576 |" in line
