"""WaveNet stacks: dilated convolutions with gates, causal or centred, whole or step by step.

    x --+--> dilated conv, 2 * inner --> + --> tanh * sigmoid --+--> to residual --> + --> next x
        |                                |                      |                    |
        |                 bias of a condition, every step       +--> to skip, summed |
        +----------------------------------------------------------------------------+

van den Oord et al. 2016, "WaveNet", section 2. Tensors are (batch, time, dim): time before
channels, so that every tap is a matrix product over all steps; on a CPU that is 1.6 times as fast
as a convolution over (batch, dim, time), and bfloat16 helps again.

Causal stacks also run one step at a time (`step`), with what they must remember in an explicit
`StackState`: for every layer the last `(filter_size - 1) * dilation` inputs in a ring. Tests hold
both ways equal, and prove the receptive fields by gradient.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

Steps = Float[Tensor, "batch time dim"]
Step = Float[Tensor, "batch dim"]


class DilatedConv(nn.Module):
    """One weight matrix per tap; tap 0 is the earliest. Subclasses say where the taps lie.

    Args:
        dim_in: Features of the input.
        dim_out: Features of the output.
        filter_size: Taps.
        dilation: Steps between taps.
    """

    def __init__(self, dim_in: int, dim_out: int, filter_size: int, dilation: int) -> None:
        super().__init__()
        self.filter_size, self.dilation = filter_size, dilation
        self.weight = nn.Parameter(torch.empty(filter_size, dim_out, dim_in))
        self.bias = nn.Parameter(torch.zeros(dim_out))

    @property
    def reach(self) -> int:
        """Steps between the first tap and the last."""
        return (self.filter_size - 1) * self.dilation

    def over_padded(
        self, padded: Float[Tensor, "batch padded dim_in"]
    ) -> Float[Tensor, "batch time dim_out"]:
        """Output for a sequence that already has `reach` more steps than are wanted."""
        steps = padded.shape[1] - self.reach
        # The bias goes in with the first product: added to it later, it would make a bfloat16
        # tensor a float32 one, and everything behind it.
        out = functional.linear(padded[:, :steps], self.weight[0], self.bias)
        for tap in range(1, self.filter_size):
            start = tap * self.dilation
            out = out + functional.linear(padded[:, start : start + steps], self.weight[tap])
        return out


class CausalConv(DilatedConv):
    """The last tap sees the present, the others the past; zeros before the beginning."""

    def forward(self, x: Float[Tensor, "batch time dim_in"]) -> Float[Tensor, "batch time dim_out"]:
        """As many steps as `x`."""
        return self.over_padded(functional.pad(x, (0, 0, self.reach, 0)))


class CentredConv(DilatedConv):
    """Taps as far ahead as back (one further back for even sizes); zeros beyond the ends."""

    def forward(self, x: Float[Tensor, "batch time dim_in"]) -> Float[Tensor, "batch time dim_out"]:
        """As many steps as `x`."""
        ahead = self.reach // 2 // self.dilation * self.dilation
        return self.over_padded(functional.pad(x, (0, 0, self.reach - ahead, ahead)))


def add_held(
    hidden: Float[Tensor, "batch time gates"], bias: Float[Tensor, "batch frames gates"]
) -> Float[Tensor, "batch time gates"]:
    """`hidden` plus a bias of lower rate, each step of it held; no repeated copy is made."""
    held = hidden.unflatten(1, (bias.shape[1], -1)) + bias[:, :, None]
    return held.flatten(1, 2)


class GatedBlock(nn.Module):
    """One layer of a stack: a dilated convolution, a condition's bias, the gate, two ways out."""

    def __init__(self, conv: DilatedConv, residual: int, inner: int, skip: int) -> None:
        super().__init__()
        self.conv = conv
        self.to_residual = nn.Linear(inner, residual)
        self.to_skip = nn.Linear(inner, skip, bias=False)

    def forward(
        self,
        x: Float[Tensor, "batch time residual"],
        bias: Float[Tensor, "batch frames gates"] | None = None,
    ) -> tuple[Float[Tensor, "batch time residual"], Float[Tensor, "batch time skip"]]:
        """The next layer's input and this layer's part of the skip sum."""
        hidden = self.conv(x)
        return self.gate(x, hidden if bias is None else add_held(hidden, bias))

    def gate(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """`tanh(a) * sigmoid(b)` of the convolution's two halves, whatever the leading axes."""
        filtered, gate = hidden.chunk(2, dim=-1)
        # Copied first: on halves of rows the bfloat16 functions take up to seven times as long.
        inner = torch.tanh(filtered.contiguous()) * torch.sigmoid(gate.contiguous())
        return x + self.to_residual(inner), self.to_skip(inner)


@dataclass(kw_only=True)
class StackState:
    """What a causal stack remembers between steps.

    Attributes:
        rings: For every layer its last `reach` inputs, (batch, reach, residual); the oldest stands
            at `step % reach`.
        step: Steps made so far.
    """

    rings: list[Float[Tensor, "batch _reach dim"]]
    step: int = 0


class WaveNetStack(nn.Module):
    """Gated blocks one after another; the sum of their skips comes out.

    Args:
        dilations: One per layer.
        filter_size: Taps of every dilated convolution.
        residual: Width of input and of what passes from layer to layer.
        inner: Width after the gate; the convolutions have twice as many outputs.
        skip: Width of the output.
        conv: CausalConv or CentredConv.
    """

    def __init__(
        self,
        dilations: Sequence[int],
        *,
        filter_size: int,
        residual: int,
        inner: int,
        skip: int,
        conv: type[DilatedConv] = CausalConv,
    ) -> None:
        super().__init__()
        self.residual, self.inner, self.is_causal = residual, inner, conv is CausalConv
        layers = (conv(residual, 2 * inner, filter_size, dilation) for dilation in dilations)
        self.layers = nn.ModuleList(GatedBlock(layer, residual, inner, skip) for layer in layers)
        # Skips add up: scaled so that the sum of many layers is as large as that of one.
        self.scale = 1 / math.sqrt(len(self.layers))

    @property
    def blocks(self) -> list[GatedBlock]:
        """The layers in order."""
        return [cast(GatedBlock, layer) for layer in self.layers]

    @property
    def receptive_field(self) -> int:
        """Steps that one output can see, itself included."""
        return 1 + sum(block.conv.reach for block in self.blocks)

    def forward(
        self,
        x: Float[Tensor, "batch time residual"],
        biases: Sequence[Float[Tensor, "batch frames gates"]] | None = None,
    ) -> Float[Tensor, "batch time skip"]:
        """The skip sum over all layers.

        Args:
            x: Input.
            biases: One per layer, (batch, frames, 2 * inner), added before the gates; `frames`
                divides `time`, and every one is held for as many steps as there are to it.
        """
        total: Tensor | None = None
        for index, block in enumerate(self.blocks):
            x, skip = block(x, None if biases is None else biases[index])
            total = skip if total is None else total + skip
        assert total is not None, "a stack has at least one layer"
        return total * self.scale

    def initial_state(self, batch: int, like: Tensor) -> StackState:
        """Nothing heard yet: zeros of the dtype and device of `like`."""
        rings = [like.new_zeros(batch, block.conv.reach, self.residual) for block in self.blocks]
        return StackState(rings=rings)

    def step(
        self,
        x: Float[Tensor, "batch residual"],
        state: StackState,
        biases: Sequence[Step] | None = None,
    ) -> Float[Tensor, "batch skip"]:
        """One step of a causal stack; `state` is moved on by it.

        Equal to the last step of `forward` on everything given so far.
        """
        assert self.is_causal, "a centred stack needs the future and has no steps"
        total: Tensor | None = None
        for index, (block, ring) in enumerate(zip(self.blocks, state.rings, strict=True)):
            conv, reach = block.conv, block.conv.reach
            hidden = functional.linear(x, conv.weight[-1], conv.bias)
            for tap in range(conv.filter_size - 1):
                past = ring[:, (state.step + tap * conv.dilation) % reach]
                hidden = hidden + functional.linear(past, conv.weight[tap])
            if reach:
                ring[:, state.step % reach] = x
            x, skip = block.gate(x, hidden if biases is None else hidden + biases[index])
            total = skip if total is None else total + skip
        assert total is not None, "a stack has at least one layer"
        state.step += 1
        return total * self.scale


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Fill stacks, linear layers and embeddings: unit variance stays near one all through."""
    for part in module.modules():
        if isinstance(part, DilatedConv):
            fan_in = part.filter_size * part.weight.shape[-1]
            nn.init.normal_(part.weight, std=fan_in**-0.5, generator=generator)
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=part.in_features**-0.5, generator=generator)
        elif isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight, generator=generator)
        if isinstance(part, DilatedConv | nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
