"""The factorised patterns: exactly who sees whom, and parts equal the whole however cut."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.jukebox.attention import (
    ColumnAttention,
    PreviousRowAttention,
    RowAttention,
    SummaryAttention,
)
from ritornello.nn.attention import AttentionSize, attend_plainly
from tests.nn.test_attention import in_parts, normal, seen

BLOCKS, LENGTH = 4, 5
SIZE = AttentionSize(width=6, inner=8, heads=2)


def in_row(row, column):
    return [(row, c) for c in range(column + 1)]


def in_column(row, column):
    return [(r, column) for r in range(row + 1)]


def in_previous_row(row, column):
    return [(row - 1, c) for c in range(LENGTH)] if row else []


def in_summaries(last):
    return lambda row, _: [(r, c) for r in range(row) for c in range(LENGTH - last, LENGTH)]


def summary(last):
    return SummaryAttention(SIZE, BLOCKS, LENGTH, last)


PATTERNS = {
    "row": (lambda: RowAttention(SIZE, BLOCKS, LENGTH), in_row),
    "column": (lambda: ColumnAttention(SIZE, BLOCKS, LENGTH), in_column),
    "previous_row": (lambda: PreviousRowAttention(SIZE, BLOCKS, LENGTH), in_previous_row),
    "summary": (lambda: summary(1), in_summaries(1)),
    "summary of 3": (lambda: summary(3), in_summaries(3)),
    "summary of all": (lambda: summary(LENGTH), in_summaries(LENGTH)),
}


def built(name):
    make, sees = PATTERNS[name]
    return make().double(), lambda place: [
        row * LENGTH + column for row, column in sees(*divmod(place, LENGTH))
    ]


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("time", [BLOCKS * LENGTH, 13])
def test_a_pattern_sees_exactly_its_set(name, time):
    layer, expected = built(name)
    for place in range(time):
        assert seen(layer, time, place) == expected(place)


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_is_dense_attention_under_its_mask(name):
    """An empty step with zeros stands first where row 0 would see nothing, or summaries are."""
    layer, expected = built(name)
    time = BLOCKS * LENGTH
    queries, keys, values = (normal(2, 2, time, 4, seed=seed) for seed in range(3))
    padded = [torch.nn.functional.pad(part, (0, 0, 1, 0)) for part in (keys, values)]
    mask = torch.zeros(time, time + 1, dtype=torch.bool)
    for place in range(time):
        mask[place, [1 + step for step in expected(place)]] = True
        mask[place, 0] = not expected(place) or name.startswith("summary")
    plain = attend_plainly(queries, *padded, mask)
    torch.testing.assert_close(layer.gather(queries, keys, values), plain)


@pytest.mark.parametrize("name", PATTERNS)
@settings(max_examples=6)
@given(time=st.integers(1, BLOCKS * LENGTH), cuts=st.sets(st.integers(1, 19), max_size=6))
def test_parts_equal_the_whole(name, time, cuts):
    layer, _ = built(name)
    x = normal(2, time, 6)
    parts = in_parts(layer, x, {cut for cut in cuts if cut < time})
    torch.testing.assert_close(parts, layer(x).detach())


@pytest.mark.parametrize("name", PATTERNS)
def test_steps_equal_the_whole(name):
    layer, _ = built(name)
    x = normal(3, BLOCKS * LENGTH, 6)
    torch.testing.assert_close(in_parts(layer, x, range(1, BLOCKS * LENGTH)), layer(x).detach())


@pytest.mark.parametrize(
    ("name", "slots"), [("row", 5), ("column", 20), ("previous_row", 10), ("summary", 5)]
)
def test_caches_are_as_large_as_the_pattern_needs(name, slots):
    layer, _ = built(name)
    state = layer.initial_state(1, normal(1))
    before = state.keys.data_ptr(), state.values.data_ptr()
    layer.advance(normal(1, 17, 6), state)
    assert state.keys[0, 0, ..., 0].numel() == state.values[0, 0, ..., 0].numel() == slots
    assert (state.keys.data_ptr(), state.values.data_ptr()) == before


def test_row_zero_of_the_previous_row_pattern_gets_zeros():
    layer, _ = built("previous_row")
    found = layer(normal(2, LENGTH, 6))
    torch.testing.assert_close(found, layer.out.bias.expand_as(found))


def test_row_column_and_previous_row_together_reach_everything():
    x = normal(1, BLOCKS * LENGTH, 6).requires_grad_()
    out = x
    for name in ("row", "column", "previous_row"):
        out = out + built(name)[0](out)
    out[0, 12].sum().backward()
    assert x.grad[0].abs().sum(-1).nonzero().flatten().tolist() == list(range(13))
