"""Residual stacks are their formula; lengths and reaches are what they say, proven by gradient."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from ritornello.nn.conv import (
    Reach,
    ResidualConvBlock,
    ResidualConvStack,
    faster_conv,
    initialise_convs,
    reach_of,
    same_conv,
    slower_conv,
)


def filled(*layers, seed=0):
    network = nn.Sequential(*layers)
    initialise_convs(network, torch.Generator().manual_seed(seed))
    return network.double()


def normal(*shape, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


def test_a_block_is_its_formula():
    block = filled(ResidualConvBlock(3, dilation=2, scale=0.5))[0]
    x = normal(2, 3, 11)
    ahead, here, behind = (
        functional.pad(functional.relu(x), (2, 2))[..., s : s + 11] for s in (4, 2, 0)
    )
    taps = zip(block.dilated.weight.unbind(-1), (behind, here, ahead), strict=True)
    hidden = sum(weight @ shifted for weight, shifted in taps) + block.dilated.bias[:, None]
    added = block.mixed.weight[..., 0] @ functional.relu(hidden) + block.mixed.bias[:, None]
    torch.testing.assert_close(block(x), x + 0.5 * added)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_rates_change_by_the_factor(factor):
    slower, faster = filled(slower_conv(1, 2, factor)), filled(faster_conv(2, 1, factor))
    assert slower(normal(1, 1, 5 * factor)).shape == (1, 2, 5)
    assert faster(normal(1, 2, 5)).shape == (1, 1, 5 * factor)


def test_weights_come_from_the_generator():
    first, again, other = (filled(ResidualConvStack(2, (1, 3)), seed=s) for s in (1, 1, 2))
    for a, b, c in zip(first.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


@pytest.mark.parametrize("factors", [(2,), (8,), (2, 2), (4, 2)])
def test_reaches_are_exact_in_both_directions(factors):
    down, up = [same_conv(1, 1)], [same_conv(1, 1)]
    for factor in factors:  # from the slow end to the fast one
        down += [ResidualConvStack(1, (1, 3)), slower_conv(1, 1, factor)]
        up += [ResidualConvStack(1, (3, 1)), faster_conv(1, 1, factor)]
    reach = reach_of(down)
    assert reach_of(up) == reach
    frames = 2 * reach.context + 5
    middle, hop = frames // 2, reach.factor
    expected = (middle * hop - reach.back, middle * hop + reach.ahead)
    encoder, decoder = filled(*reversed(down)), filled(*up)
    with torch.no_grad():  # all positive: no path is cut by a ReLU
        for weight in (*encoder.parameters(), *decoder.parameters()):
            weight.abs_()
    wave = torch.ones(1, 1, frames * hop, dtype=torch.float64, requires_grad=True)
    encoder(wave)[0, 0, middle].backward()
    seen = wave.grad[0, 0].nonzero().flatten()
    assert (int(seen[0]), int(seen[-1])) == expected
    vectors = torch.ones(1, 1, frames, dtype=torch.float64)
    louder = vectors.clone()
    louder[..., middle] += 1
    touched = (decoder(louder) - decoder(vectors))[0, 0].nonzero().flatten()
    assert (int(touched[0]), int(touched[-1])) == expected


def test_context_is_what_runs_of_frames_need():
    assert Reach(back=8, ahead=15, factor=8).context == 1
    assert Reach(back=9, ahead=15, factor=8).context == 2
    assert Reach(back=8, ahead=16, factor=8).context == 2


def test_unknown_layers_are_refused():
    with pytest.raises(TypeError, match="Linear"):
        reach_of([nn.Linear(1, 1)])
