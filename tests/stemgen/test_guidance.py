"""The algebra of the three forms; which rows they need."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ritornello.stemgen.combiner import NO_STEM, UNHEARD
from ritornello.stemgen.config import GuidanceConfig
from ritornello.stemgen.guidance import Guidance
from tests.stemgen.conftest import told

KINDS = ("product", "joint", "nested")
WEIGHTS = st.floats(0, 5, width=32)


def guidance(kind, context=2.0, stem=3.0, anneal=False):
    return Guidance(GuidanceConfig(kind=kind, context=context, stem=stem, anneal=anneal))


def rows(sources, tokens=3, codes=5, seed=0):
    draw = torch.Generator().manual_seed(seed)
    every = ("both", "context", "stem", "none")
    found = torch.randn(4, tokens, codes, generator=draw).log_softmax(-1)
    return {name: found[every.index(name)] for name in sources}


def combined(rule, found):
    stacked = torch.stack([found[source] for source in rule.sources])
    return rule.combined(stacked, torch.ones(stacked.shape[1]))


@given(kind=st.sampled_from(KINDS), context=WEIGHTS, stem=WEIGHTS, left=st.floats(0, 1, width=32))
def test_coefficients_add_up_to_1(kind, context, stem, left):
    found = guidance(kind, context, stem, anneal=True).coefficients(torch.tensor([left]))
    assert sum(found.values()).item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "formula"),
    [
        ("product", lambda r: 2 * r["context"] + 3 * r["stem"] - 4 * r["none"]),
        ("joint", lambda r: 2 * r["both"] - r["none"]),
        (
            "nested",
            lambda r: r["none"] + 2 * (r["context"] - r["none"]) + 3 * (r["both"] - r["context"]),
        ),
    ],
)
def test_each_form_is_its_formula(kind, formula):
    found = rows(("both", "context", "stem", "none"))
    torch.testing.assert_close(combined(guidance(kind), found), formula(found).log_softmax(-1))


@pytest.mark.parametrize(
    ("kind", "context", "stem", "source"),
    [
        ("joint", 1, 7, "both"),
        ("joint", 0, 7, "none"),
        ("product", 1, 0, "context"),
        ("product", 0, 1, "stem"),
        ("nested", 1, 1, "both"),
        ("nested", 1, 0, "context"),
    ],
)
def test_some_weights_leave_one_row(kind, context, stem, source):
    rule = guidance(kind, context, stem)
    assert rule.sources == (source,)
    found = rows((source,))
    torch.testing.assert_close(combined(rule, found), found[source])


def test_rows_that_are_needed():
    assert guidance("product").sources == ("context", "stem", "none")
    assert guidance("joint").sources == ("both", "none")
    assert guidance("nested").sources == ("both", "context", "none")
    assert guidance("joint", 1.0, anneal=True).sources == ("both",)
    assert guidance("product", 1.0, 0.0, anneal=True).sources == ("context", "stem", "none")


def test_annealed_guidance_is_none_at_the_end_and_whole_at_the_beginning():
    found = guidance("joint", 3.0, anneal=True).coefficients(torch.tensor([0.0, 0.5, 1.0]))
    assert found["both"].tolist() == [1, 2, 3]
    steady = guidance("joint", 3.0).coefficients(torch.tensor([0.0, 1.0]))
    assert steady["both"].tolist() == [3, 3]


def test_rows_are_told_what_they_are_named_by(network):
    conditions = told(network, batch=2)
    context, stem, none = (
        guidance("product").told(conditions)[2 * n : 2 * n + 2] for n in range(3)
    )
    assert torch.equal(context.context, conditions.context)
    assert torch.equal(stem.category, conditions.category)
    assert (context.category == NO_STEM).all()
    assert (stem.context == UNHEARD).all()
    assert (none.category == NO_STEM).all()
    assert (none.context == UNHEARD).all()
