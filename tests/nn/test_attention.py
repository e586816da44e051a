"""Attention: the fused kernel is the formula, who sees whom, and parts equal the whole."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.nn.attention import (
    AttentionSize,
    BidirectionalAttention,
    CausalAttention,
    CrossAttention,
    attend,
    attend_plainly,
    causal_mask,
)

SIZE = AttentionSize(width=6, inner=8, heads=2)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def in_parts(layer, x, cuts, memory=None):
    """What `advance` makes of `x`, cut at the places in `cuts`."""
    state = layer.initial_state(len(x), x, memory)
    edges = [0, *sorted(cuts), x.shape[1]]
    parts = [x[:, a:b] for a, b in pairwise(edges) if b > a]
    found = torch.cat([layer.advance(part, state) for part in parts], dim=1)
    assert state.step == x.shape[1]
    return found


def seen(layer, time, place):
    """Steps whose values move the output at `place`."""
    queries, keys, values = (normal(1, 2, time, 4, seed=seed) for seed in range(3))
    values.requires_grad_()
    layer.gather(queries, keys, values)[:, :, place].sum().backward()
    return values.grad.abs().sum((0, 1, 3)).nonzero().flatten().tolist()


def test_the_fused_kernel_is_the_formula():
    queries, keys, values = (normal(2, 3, 7, 4, seed=seed) for seed in range(3))
    torch.testing.assert_close(attend(queries, keys, values), attend_plainly(queries, keys, values))
    mask = causal_mask(7, 7, 0, queries.device)
    plain = attend_plainly(queries, keys, values, mask)
    torch.testing.assert_close(attend(queries, keys, values, mask), plain)
    torch.testing.assert_close(attend(queries, keys, values, is_causal=True), plain)


def test_the_mask_of_later_steps_continues_that_of_the_first():
    whole = causal_mask(6, 6, 0, torch.device("cpu"))
    assert torch.equal(causal_mask(2, 6, 3, torch.device("cpu")), whole[3:5])
    assert whole.sum() == 21


def test_one_head_by_hand():
    layer = CausalAttention(AttentionSize(width=1, inner=1, heads=1), 4).double()
    for weight in layer.parameters():
        torch.nn.init.ones_(weight)
    torch.nn.init.zeros_(layer.qkv.bias)
    torch.nn.init.zeros_(layer.out.bias)
    x = torch.tensor([[[1.0], [2.0]]]).double()
    second = (torch.e**2 * 1 + torch.e**4 * 2) / (torch.e**2 + torch.e**4)
    torch.testing.assert_close(layer(x), torch.tensor([[[1.0], [second]]]).double())


@pytest.mark.parametrize("length", [9, 4])
def test_a_causal_layer_sees_the_past_and_a_short_one_its_beginning(length):
    layer = CausalAttention(SIZE, length).double()
    for place in range(9):
        assert seen(layer, 9, place) == list(range(min(place + 1, length)))


def test_a_bidirectional_layer_sees_everything():
    layer = BidirectionalAttention(SIZE).double()
    x = normal(1, 5, 6).requires_grad_()
    layer(x)[0, 1].sum().backward()
    assert (x.grad[0].abs().sum(-1) > 0).all()


@settings(max_examples=8)
@given(length=st.integers(1, 12), cuts=st.sets(st.integers(1, 10)))
def test_parts_equal_the_whole(length, cuts):
    layer = CausalAttention(SIZE, length).double()
    x = normal(2, 11, 6)
    torch.testing.assert_close(in_parts(layer, x, cuts), layer(x).detach())


@settings(max_examples=8)
@given(cuts=st.sets(st.integers(1, 5)))
def test_parts_equal_the_whole_of_cross_attention(cuts):
    layer = CrossAttention(SIZE, 3).double()
    x, memory = normal(2, 6, 6), normal(2, 4, 3, seed=1)
    torch.testing.assert_close(in_parts(layer, x, cuts, memory), layer(x, memory).detach())


def test_a_step_is_a_part_of_one():
    layer, x = CausalAttention(SIZE, 4).double(), normal(2, 4, 6)
    state = layer.initial_state(2, x)
    steps = torch.stack([layer.step(x[:, t], state) for t in range(4)], dim=1)
    torch.testing.assert_close(steps, layer(x).detach())


def test_cross_attention_sees_the_whole_memory_and_needs_one():
    layer = CrossAttention(SIZE, 3).double()
    memory = normal(1, 4, 3).requires_grad_()
    layer(normal(1, 2, 6), memory)[0, 0].sum().backward()
    assert (memory.grad[0].abs().sum(-1) > 0).all()
    with pytest.raises(AssertionError, match="memory"):
        layer(normal(1, 2, 6))
    with pytest.raises(AssertionError, match="batch of 2"):
        layer.initial_state(2, memory, memory)


def test_weights_are_those_the_output_is_made_of():
    cross, x, memory = CrossAttention(SIZE, 3).double(), normal(2, 5, 6), normal(2, 4, 3)
    _, values = cross.remember(memory)
    weights = cross.weights(x, memory)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 5).double())
    torch.testing.assert_close(cross.merge(weights @ values), cross(x, memory))
    causal = CausalAttention(SIZE, 3).double()
    _, _, values = causal.project(x)
    torch.testing.assert_close(causal.merge(causal.weights(x) @ values[:, :, :3]), causal(x))
