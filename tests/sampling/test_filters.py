"""The draw rule: hand-made cases, frequencies, and a literal loop over symbols."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.sampling.filters import draw, nucleus, probabilities


def logits_of(*shares):
    return torch.tensor([[math.log(share) for share in shares]])


def literal_draw(logits, uniform, temperature, top_p):
    """The rule in words, one symbol at a time."""
    shares = [math.exp((x - max(logits)) / temperature) for x in logits]
    shares = [share / sum(shares) for share in shares]
    order = sorted(range(len(shares)), key=lambda i: (-shares[i], i))
    kept, total = set(), 0.0
    for symbol in order:
        kept.add(symbol)
        total += shares[symbol]
        if total >= top_p:
            break
    reached, run = uniform * sum(shares[i] for i in kept), 0.0
    for symbol, share in enumerate(shares):
        run += share if symbol in kept else 0.0
        if run > reached:
            return symbol
    raise AssertionError("no symbol reached")


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.floats(0.1, 4), st.floats(0.05, 1), st.floats(0, 0.999))
def test_a_draw_is_what_the_rule_says(seed, temperature, top_p, uniform):
    logits = torch.randn(1, 7, generator=torch.Generator().manual_seed(seed)).double()
    drawn = draw(logits, torch.tensor([uniform]).double(), temperature, top_p)
    assert drawn.tolist() == [literal_draw(logits[0].tolist(), uniform, temperature, top_p)]


def test_rows_are_drawn_apart():
    logits = torch.cat([logits_of(0.2, 0.3, 0.5), logits_of(0.5, 0.3, 0.2)])
    assert draw(logits, torch.tensor([0.45, 0.45])).tolist() == [1, 0]
    assert draw(logits, torch.tensor([0.55, 0.55])).tolist() == [2, 1]


def test_both_ends_of_the_interval_draw_a_possible_symbol():
    logits = torch.tensor([[-math.inf, 0.0, 0.0, -math.inf]])
    assert draw(logits, torch.tensor([0.0])).tolist() == [1]
    assert draw(logits, torch.tensor([1 - 2**-24])).tolist() == [2]


def test_even_uniforms_draw_in_proportion():
    uniforms = (torch.arange(1000) + 0.5) / 1000
    drawn = draw(logits_of(0.1, 0.2, 0.7).expand(1000, -1), uniforms)
    assert drawn.bincount().tolist() == [100, 200, 700]


def test_temperature_sharpens_and_flattens():
    cold, warm = (probabilities(logits_of(0.2, 0.8), t)[0, 1].item() for t in (0.5, 2.0))
    assert cold == pytest.approx(16 / 17)
    assert warm == pytest.approx(2 / 3)


def test_the_nucleus_keeps_the_fewest_that_reach_it():
    spread = torch.tensor([[0.125, 0.5, 0.125, 0.25]]).double()
    assert nucleus(spread, 0.5).tolist() == [[0, 0.5, 0, 0]]
    assert nucleus(spread, 0.51).tolist() == [[0, 0.5, 0, 0.25]]
    # of two equally probable symbols the lower index is kept
    assert nucleus(spread, 0.8).tolist() == [[0.125, 0.5, 0, 0.25]]
    assert nucleus(spread, 1e-9).tolist() == [[0, 0.5, 0, 0]]
