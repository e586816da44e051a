"""The matrix products against the general convolutions they replace."""

import pytest
import torch
from torch.nn import functional

from ritornello.musika.convolution import DoublingConv, HalvingConv, SameConv, halve_by_mean


def uniform(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64) - 0.5


@pytest.mark.parametrize("kernel", [1, 3, 4])
@pytest.mark.parametrize("steps", [1, 4, 9])
def test_same_conv_is_a_convolution(kernel, steps):
    conv = SameConv(3, 5, kernel).double()
    hidden = uniform(2, steps, 3)
    taps = conv.product.weight.view(5, kernel, 3).transpose(1, 2)
    back = (kernel - 1) // 2
    padded = functional.pad(hidden.transpose(1, 2), (back, kernel - 1 - back))
    expected = functional.conv1d(padded, taps, conv.product.bias).transpose(1, 2)
    torch.testing.assert_close(conv(hidden), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("steps", [2, 8, 10])
def test_halving_conv_is_a_strided_convolution(steps):
    conv = HalvingConv(3, 5).double()
    hidden = uniform(2, steps, 3)
    taps = conv.product.weight.view(5, 4, 3).transpose(1, 2)
    expected = functional.conv1d(
        hidden.transpose(1, 2), taps, conv.product.bias, stride=2, padding=1
    ).transpose(1, 2)
    torch.testing.assert_close(conv(hidden), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("steps", [1, 4, 7])
def test_doubling_conv_is_a_transposed_convolution(steps):
    conv = DoublingConv(3, 5).double()
    torch.nn.init.constant_(conv.bias, 0.3)
    hidden = uniform(2, steps, 3)
    # weight[phase, out, neighbour, in]: of the two outputs between two neighbours, the first takes
    # taps 2 and 0 of the transposed kernel, the second taps 3 and 1.
    weight = conv.product.weight.view(2, 5, 2, 3)
    taps = torch.empty(3, 5, 4, dtype=torch.float64)
    for phase, neighbour, tap in ((0, 0, 2), (0, 1, 0), (1, 0, 3), (1, 1, 1)):
        taps[:, :, tap] = weight[phase, :, neighbour].T
    expected = functional.conv_transpose1d(
        hidden.transpose(1, 2), taps, conv.bias, stride=2, padding=1
    ).transpose(1, 2)
    torch.testing.assert_close(conv(hidden), expected, atol=1e-12, rtol=0)


def test_halve_by_mean_averages_pairs():
    hidden = torch.arange(8.0).view(1, 4, 2)
    assert halve_by_mean(hidden).tolist() == [[[1.0, 2.0], [5.0, 6.0]]]


def test_second_derivatives_exist():
    conv = HalvingConv(3, 2).double()
    hidden = uniform(1, 4, 3).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: conv(x).square(), (hidden,))
