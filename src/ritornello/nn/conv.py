"""Residual stacks of dilated convolutions, and convolutions that change the rate.

    block          ReLU, dilated convolution of 3 taps, ReLU, convolution of 1 tap, added
    stack          blocks of growing, or shrinking, dilation
    slower_conv    `factor` steps become one; every step is heard by two outputs
    faster_conv    its mirror image: one step becomes `factor`

No normalisation anywhere; zeros beyond the ends, so that time T and factor f give T / f steps.
Tensors are (batch, dim, time): at the widths of an audio autoencoder (32 to 64) the processor's
convolutions take two thirds of the time of a matrix product per tap.

How far all of it sees is computed, never measured: `reach_of` walks through the layers.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

Hidden = Float[Tensor, "batch dim time"]


class ResidualConvBlock(nn.Module):
    """`x + scale * conv1(ReLU(conv3(ReLU(x))))`, the taps of conv3 `dilation` steps apart.

    Args:
        dim: Width, of the input, the output and in between.
        dilation: Steps between taps.
        scale: Factor of what is added; below 1 where many blocks are to start out tame.
    """

    def __init__(self, dim: int, dilation: int, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.dilated = nn.Conv1d(dim, dim, 3, padding=dilation, dilation=dilation)
        self.mixed = nn.Conv1d(dim, dim, 1)

    def forward(self, x: Hidden) -> Hidden:
        """As many steps as `x`."""
        added = self.mixed(functional.relu(self.dilated(functional.relu(x))))
        return x + (added if self.scale == 1 else self.scale * added)


class ResidualConvStack(nn.Module):
    """One block per dilation, in order.

    Args:
        dim: Width of every block.
        dilations: Of the blocks, first to last.
        scale: Factor of what every block adds.
    """

    def __init__(self, dim: int, dilations: Iterable[int], scale: float = 1.0) -> None:
        super().__init__()
        self.dilations = tuple(dilations)
        self.blocks = nn.Sequential(*(ResidualConvBlock(dim, d, scale) for d in self.dilations))

    def forward(self, x: Hidden) -> Hidden:
        """As many steps as `x`."""
        return self.blocks(x)


def same_conv(dim_in: int, dim_out: int) -> nn.Conv1d:
    """A convolution of three taps that keeps the length."""
    return nn.Conv1d(dim_in, dim_out, 3, padding=1)


def slower_conv(dim_in: int, dim_out: int, factor: int) -> nn.Conv1d:
    """A convolution with stride `factor` (even) over twice as many taps."""
    return nn.Conv1d(dim_in, dim_out, 2 * factor, stride=factor, padding=factor // 2)


def faster_conv(dim_in: int, dim_out: int, factor: int) -> nn.ConvTranspose1d:
    """A transposed convolution with stride `factor` (even) over twice as many taps."""
    return nn.ConvTranspose1d(dim_in, dim_out, 2 * factor, stride=factor, padding=factor // 2)


# ------------------------------------------------------------------ how far layers see


@dataclass(frozen=True)
class Reach:
    """Fast steps that slow step j is tied to: j * factor - back .. j * factor + ahead.

    Downwards in rate these are the inputs that output j sees; upwards, the outputs that input j
    has a part in.

    Attributes:
        back: Steps before j * factor.
        ahead: Steps after it.
        factor: Fast steps per slow step.
    """

    back: int = 0
    ahead: int = 0
    factor: int = 1

    def widened(self, steps: int) -> "Reach":
        """With a convolution at the fast end that sees `steps` to either side."""
        return Reach(self.back + steps, self.ahead + steps, self.factor)

    def refined(self, factor: int) -> "Reach":
        """With a `slower_conv`, or `faster_conv`, at the fast end."""
        back = self.back * factor + factor // 2
        ahead = self.ahead * factor + factor + factor // 2 - 1
        return Reach(back, ahead, self.factor * factor)

    @property
    def context(self) -> int:
        """Slow steps on either side that a run of them needs to be computed as in the whole."""
        return max(-(-self.back // self.factor), self.ahead // self.factor)


def reach_of(layers: Iterable[nn.Module]) -> Reach:
    """Reach of layers of this module, given from the slow end to the fast one."""
    reach = Reach()
    for layer in layers:
        match layer:
            case ResidualConvStack():
                reach = reach.widened(sum(layer.dilations))
            case nn.Conv1d() | nn.ConvTranspose1d() if layer.stride[0] > 1:
                reach = reach.refined(layer.stride[0])
            case nn.Conv1d():
                reach = reach.widened(layer.dilation[0] * (layer.kernel_size[0] // 2))
            case _:
                raise TypeError(f"the reach of {type(layer).__name__} is not known")
    return reach


def initialise_convs(module: nn.Module, generator: torch.Generator) -> None:
    """Fill convolutions as the framework would, within +-1/sqrt(inputs), from `generator`."""
    for part in module.modules():
        if isinstance(part, nn.Conv1d | nn.ConvTranspose1d):
            inputs = part.in_channels * prod(part.kernel_size)
            if isinstance(part, nn.ConvTranspose1d):
                inputs //= prod(part.stride)
            for weight in part.parameters(recurse=False):
                nn.init.uniform_(weight, -(inputs**-0.5), inputs**-0.5, generator=generator)
