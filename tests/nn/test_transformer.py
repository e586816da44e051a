"""Trunks: the block is its formula, parts equal the whole, weights are drawn as told."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ritornello.nn.attention import (
    AttentionSize,
    BidirectionalAttention,
    CausalAttention,
    CrossAttention,
)
from ritornello.nn.transformer import Block, Mlp, QuickGelu, Trunk, initialise, residual_outputs

SIZE = AttentionSize(width=6, inner=4, heads=2)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def block(attention):
    return Block(attention, Mlp(6, 10, QuickGelu()), (nn.LayerNorm(6), nn.RMSNorm(6)))


def build(*attentions):
    trunk = Trunk([block(attention) for attention in attentions], nn.LayerNorm(6))
    initialise(trunk, torch.Generator().manual_seed(1), std=0.3)
    return trunk.double()


def test_a_block_is_its_formula():
    trunk, x = build(CausalAttention(SIZE, 5)), normal(2, 5, 6)
    (layer,) = trunk.blocks
    a = layer.attention(layer.norm_attention(x))
    m = layer.mlp(layer.norm_mlp(x + a))
    torch.testing.assert_close(trunk(x), trunk.norm(x + a + m))
    assert torch.equal(trunk.up_to(0, x), x)
    torch.testing.assert_close(trunk.norm(trunk.up_to(1, x)), trunk(x))


def test_quick_gelu_is_nearly_the_exact_one():
    x = torch.linspace(-4, 4, 81)
    assert (QuickGelu()(x) - nn.functional.gelu(x)).abs().max() < 0.03


@settings(max_examples=8)
@given(cuts=st.sets(st.integers(1, 7)))
def test_parts_equal_the_whole(cuts):
    trunk = build(CausalAttention(SIZE, 8), CrossAttention(SIZE, 3), CausalAttention(SIZE, 2))
    x, memory = normal(2, 8, 6), normal(2, 4, 3)
    state = trunk.initial_state(2, x, memory)
    edges = [0, *sorted(cuts), 8]
    made = [trunk.advance(x[:, a:b], state) for a, b in pairwise(edges)]
    torch.testing.assert_close(torch.cat(made, dim=1), trunk(x, memory))
    assert state.step == 8


def test_steps_equal_the_whole():
    trunk, x = build(CausalAttention(SIZE, 4), CausalAttention(SIZE, 4)), normal(2, 4, 6)
    state = trunk.initial_state(2, x)
    steps = [trunk.step(x[:, t], state) for t in range(4)]
    torch.testing.assert_close(torch.stack(steps, dim=1), trunk(x))


def test_a_bidirectional_trunk_has_no_steps():
    trunk = build(BidirectionalAttention(SIZE), BidirectionalAttention(SIZE))
    assert trunk(normal(2, 5, 6)).shape == (2, 5, 6)
    with pytest.raises(AssertionError, match="future"):
        trunk.initial_state(2, normal(2, 5, 6))


def test_weights_are_drawn_as_told():
    size = AttentionSize(width=64, inner=64, heads=2)
    parts = [
        Block(CausalAttention(size, 4), Mlp(64, 64, nn.ReLU()), (nn.Identity(), nn.Identity()))
        for _ in range(2)
    ]
    trunk = Trunk(parts, nn.Identity())
    initialise(trunk, torch.Generator().manual_seed(0), std=0.5, residual_scale=0.1)
    for part in trunk.blocks:
        assert residual_outputs(part) == [part.attention.out, part.mlp.out]
        outputs = [float(out.weight.detach().std()) for out in residual_outputs(part)]
        assert outputs == pytest.approx([0.05, 0.05], rel=0.05)
        assert float(part.mlp.enter.weight.detach().std()) == pytest.approx(0.5, rel=0.05)
        assert not part.mlp.enter.bias.any()
