"""The page of a table: means and spreads, verdicts by the stated rule, nothing made up."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ritornello.ada import tables
from ritornello.ada.experiments import Experiment, codes_scored
from ritornello.ada.published import HEARD, ORDERINGS, below
from ritornello.ada.recordings import SymbolCorpus
from ritornello.ada.rows import ROWS
from ritornello.ada.scales import at_scale, mini, nano, paper
from ritornello.ada.train_levels import LevelStage
from ritornello.training.verdicts import over_seeds, verdict

ORDERING = below(lower="1.3", higher="1.2", because="a reason")


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
        "heard": [{"found": one, "verdict": tables.NEEDS_LISTENERS} for one in HEARD[number]],
        "notes": ["a note"],
    }


def a_row(id, *, ours, published):
    none = dict.fromkeys(("train_nll", "nll", "perplexity", "receptive_field_ms"))
    return {
        "row": id,
        "name": "a model",
        "seeds": [{}] * bool(ours),
        "steps": [600] * bool(ours),
        "symbols_per_step": [4096] * bool(ours),
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
    assert "| 1.2 | a model | 61 | 1 | 600 x 4,096 | - | - | 2.500 ± 0.050 | 0.734 |" in page
    assert "| 0.734 | - | 227.3 |" in page
    assert "What the paper heard" not in page
    assert "| nll of 1.3 < 1.2 |" in page
    assert page.count("not trained yet") == len(ORDERINGS[1])
    assert "    ritornello reproduce ada-table-1 -o x" in page
    assert "- a note" in page


def test_ratings_that_are_not_known_are_not_made_up():
    rows = [a_row("3.6", ours={}, published={"receptive_field_ms": 24576})]
    page = tables.markdown(told(3, rows), "command", "table-3.png")
    line = next(line for line in page.splitlines() if line.startswith("| 3.6 "))
    assert line.endswith("| not available | not available |")
    assert page.count("needs listeners: `ritornello listen serve`") == len(HEARD[3]) == 2
    assert "| 393,000 | 24,556 | 24,556 | 24,576 |" in line


def at(scale):
    experiment = Experiment(
        folder=Path(), scale=scale, manifest=Path(), digest="", precision="fp32"
    )
    return lambda *rows: " ".join(tables.notes_on_rows(experiment, rows))


def test_the_page_names_rows_that_see_further_than_their_excerpts():
    notes = at(mini())
    assert "Row 3.3 could see 16,383 symbols, but learns from excerpts of 4,096" in notes("3.3")
    assert "Row 3.2 could see" in notes("3.2")
    assert "could see" not in notes("1.1", "1.2", "2.6", "3.5")
    assert "could see" not in at(paper())(*ROWS)


def test_the_page_names_perplexities_of_few_codes_and_how_figures_are_made():
    notes = at(mini())
    assert "The perplexity of row 1.7 is an underestimate: it is of 2,720 codes" in notes("1.7")
    assert "perplexity" not in notes("1.1", "1.2", "2.4", "3.5")
    assert "here both are of averaged weights" in notes("1.1")
    assert "codes depend on both sides" in notes("1.2")
    assert "codes depend on both sides" not in notes("1.1")


@pytest.mark.parametrize(("id", "scale"), [("1.7", mini()), ("1.2", nano()), ("2.4", mini())])
def test_codes_are_counted_as_the_stage_scores_them(id, scale):
    class Zeros(SymbolCorpus):
        def __init__(self):
            pass

        def draw(self, draw, steps, batch, split):
            return torch.zeros(batch, steps, dtype=torch.int64)

        def split_to_judge(self, steps):
            return "valid"

    row = ROWS[id]
    stack = at_scale(row.stack(), scale)
    excerpts = LevelStage(stack, len(row.below), Zeros()).held_out()
    assert codes_scored(row, stack) == excerpts.numel() // stack.levels[len(row.below)].hop
