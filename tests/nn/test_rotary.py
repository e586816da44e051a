"""Rotary attention against the formula, and the gated perceptron by hand."""

import torch

from ritornello.nn.attention import AttentionSize
from ritornello.nn.rotary import BASE, RotaryAttention, SwiGlu, angles, rotated

SIZE = AttentionSize(width=12, inner=16, heads=2)


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer():
    made = RotaryAttention(SIZE).double()
    for number, weights in enumerate(made.parameters()):
        weights.data.copy_(drawn(*weights.shape, seed=number) * 0.3)
    return made


def turned_by_complex_numbers(heads):
    """The published formula: pairs of values as complex numbers, times e^(i position rate)."""
    half = heads.shape[-1] // 2
    rates = BASE ** -(torch.arange(half, dtype=torch.float64) / half)
    positions = torch.arange(heads.shape[2], dtype=torch.float64)
    turns = torch.polar(torch.ones(len(positions), half).double(), positions[:, None] * rates)
    pairs = torch.complex(heads[..., :half], heads[..., half:]) * turns
    return torch.cat([pairs.real, pairs.imag], -1)


def test_the_turns_are_the_published_ones():
    heads = drawn(2, 3, 40, 8)
    cosine, sine = angles(40, 8, heads)
    torch.testing.assert_close(
        rotated(heads, cosine, sine), turned_by_complex_numbers(heads), atol=1e-5, rtol=0
    )


def test_scores_depend_on_distances_alone():
    query, key = drawn(8), drawn(8, seed=1)
    cosine, sine = angles(60, 8, query)
    everywhere = [one.expand(1, 1, 60, 8) for one in (query, key)]
    queries, keys = (rotated(one, cosine, sine)[0, 0] for one in everywhere)
    scores = queries @ keys.T
    for distance in (-7, 0, 3, 20):
        along = scores.diagonal(distance)
        torch.testing.assert_close(along, along[:1].expand_as(along), atol=1e-4, rtol=0)
    assert scores.diagonal(3)[0] != scores.diagonal(-3)[0]


def test_the_layer_is_the_formula():
    made, x = layer(), drawn(2, 9, 12)
    queries, keys, values = (
        part.unflatten(-1, (2, 8)).transpose(1, 2) for part in (x @ made.qkv.weight.T).chunk(3, -1)
    )
    queries, keys = turned_by_complex_numbers(queries), turned_by_complex_numbers(keys)
    weights = (queries @ keys.transpose(-1, -2) / 8**0.5).softmax(-1)
    expected = (weights @ values).transpose(1, 2).flatten(2) @ made.out.weight.T
    torch.testing.assert_close(made(x), expected, atol=1e-5, rtol=0)


def test_every_step_sees_every_step():
    x = drawn(1, 7, 12).requires_grad_()
    made = layer()
    for step in range(7):
        (gradient,) = torch.autograd.grad(made(x)[0, step].sum(), x)
        assert (gradient[0].abs().sum(-1) > 1e-9).all()


def test_a_gate_multiplies():
    part = SwiGlu(1, 1).double()
    part.enter.weight.data = torch.tensor([[2.0], [3.0]], dtype=torch.float64)
    part.out.weight.data = torch.tensor([[0.5]], dtype=torch.float64)
    gate = 2 / (1 + torch.exp(torch.tensor(-2.0, dtype=torch.float64)))
    found = part(torch.ones(1, 1, 1, dtype=torch.float64))
    torch.testing.assert_close(found, (0.5 * gate * 3).expand(1, 1, 1))
    assert [name for name, _ in part.named_parameters()] == ["enter.weight", "out.weight"]
