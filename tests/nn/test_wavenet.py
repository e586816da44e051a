"""WaveNet stacks: what they see, and that steps equal the whole."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ritornello.nn.wavenet import (
    CausalConv,
    CentredConv,
    WaveNetStack,
    initialise,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def build(dilations, filter_size=2, conv=CausalConv, residual=6):
    stack = WaveNetStack(
        dilations, filter_size=filter_size, residual=residual, inner=4, skip=5, conv=conv
    )
    initialise(stack, torch.Generator().manual_seed(1))
    return stack.double()


def seen_by(stack, steps, place):
    x = normal(1, steps, 6).requires_grad_()
    stack(x)[0, place].sum().backward()
    return x.grad[0].abs().sum(-1).nonzero().flatten().tolist()


@pytest.mark.parametrize(
    ("filter_size", "dilations", "field"), [(2, (1, 2, 4), 8), (3, (1, 2), 7), (2, (3,), 4)]
)
def test_a_causal_stack_sees_its_receptive_field_and_no_future(filter_size, dilations, field):
    stack = build(dilations, filter_size)
    assert stack.receptive_field == field
    seen = seen_by(stack, 40, 30)
    assert (seen[0], seen[-1]) == (30 - field + 1, 30)


def test_a_centred_stack_sees_as_far_ahead_as_back():
    seen = seen_by(build((1, 2, 4), 3, CentredConv), 40, 20)
    assert (seen[0], seen[-1]) == (13, 27)
    seen = seen_by(build((1, 2), 2, CentredConv), 40, 20)
    assert (seen[0], seen[-1]) == (17, 20)


@settings(max_examples=15, deadline=None)
@given(
    filter_size=st.integers(1, 4),
    dilations=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    batch=st.integers(1, 3),
)
def test_steps_equal_the_whole(filter_size, dilations, batch):
    stack = build(dilations, filter_size)
    x = normal(batch, 17, 6)
    biases = [normal(batch, 17, 8, seed=2 + layer) for layer in range(len(dilations))]
    state = stack.initial_state(batch, x)
    made = [stack.step(x[:, t], state, [bias[:, t] for bias in biases]) for t in range(17)]
    torch.testing.assert_close(torch.stack(made, 1), stack(x, biases))
    assert state.step == 17


@pytest.mark.parametrize("dilation", [1, 3])
def test_taps_are_those_of_a_convolution(dilation):
    conv = CausalConv(3, 5, 3, dilation).double()
    initialise(conv, torch.Generator().manual_seed(0))
    x = normal(2, 11, 3)
    general = nn.functional.conv1d(
        nn.functional.pad(x.transpose(1, 2), (2 * dilation, 0)),
        conv.weight.permute(1, 2, 0),
        conv.bias,
        dilation=dilation,
    )
    torch.testing.assert_close(conv(x), general.transpose(1, 2))


def test_biases_move_the_output():
    stack = build((1, 2))
    x, bias = normal(1, 9, 6), normal(1, 9, 8, seed=3)
    zeros = torch.zeros_like(bias)
    torch.testing.assert_close(stack(x, [zeros, zeros]), stack(x))
    assert not torch.allclose(stack(x, [bias, zeros]), stack(x))


def test_a_slower_bias_is_held():
    stack, x = build((1, 2)), normal(1, 12, 6)
    slow = [normal(1, 4, 8, seed=layer) for layer in range(2)]
    held = [bias.repeat_interleave(3, dim=1) for bias in slow]
    torch.testing.assert_close(stack(x, slow), stack(x, held))


def test_the_sum_of_many_layers_is_as_large_as_that_of_few():
    x = normal(4, 64, 6)
    spreads = [float(build((1,) * layers)(x).detach().std()) for layers in (1, 16)]
    assert 0.3 < spreads[1] / spreads[0] < 3


def test_a_centred_stack_has_no_steps():
    stack = build((1,), 3, CentredConv)
    with pytest.raises(AssertionError, match="future"):
        stack.step(normal(1, 6), stack.initial_state(1, normal(1, 6)))
