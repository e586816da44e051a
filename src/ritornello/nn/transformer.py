"""Transformer trunks: blocks of attention and a perceptron, whole or a few steps at a time.

    a = attention(norm(x))
    m = mlp(norm(x + a))
    x = x + a + m

The norm stands before each part ("pre-norm"; Radford et al. 2019, "Language models are
unsupervised multitask learners", section 2.3). Norms, attention and perceptron are given, so that a
block is whatever its paper says. Tensors are (batch, time, width).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from ritornello.nn.attention import (
    Attention,
    AttentionState,
    Memory,
    Step,
    SteppingAttention,
    Steps,
)


class QuickGelu(nn.Module):
    """`x * sigmoid(1.702 x)`: the Gaussian error linear unit, approximated by a logistic one.

    Hendrycks and Gimpel 2016, "Gaussian error linear units", section 2.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Value by value."""
        return x * torch.sigmoid(1.702 * x)


class Mlp(nn.Module):
    """Two linear layers with an activation between them, for every step alike."""

    def __init__(self, width: int, hidden: int, activation: nn.Module) -> None:
        super().__init__()
        self.enter = nn.Linear(width, hidden)
        self.activation = activation
        self.out = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return self.out(self.activation(self.enter(x)))


class Block(nn.Module):
    """One layer of a trunk.

    Args:
        attention: Who sees whom.
        mlp: What is done with it; the same width in and out.
        norms: Before the attention, and before the perceptron.
    """

    def __init__(
        self, attention: Attention, mlp: nn.Module, norms: tuple[nn.Module, nn.Module]
    ) -> None:
        super().__init__()
        self.attention, self.mlp = attention, mlp
        self.norm_attention, self.norm_mlp = norms

    def forward(self, x: Steps, memory: Memory | None = None) -> Steps:
        """The next block's input."""
        return self.apply_mlp(x + self.attention(self.norm_attention(x), memory))

    def advance(self, x: Steps, state: AttentionState) -> Steps:
        """The same for the next steps; `state` is moved on."""
        attention = cast(SteppingAttention, self.attention)
        return self.apply_mlp(x + attention.advance(self.norm_attention(x), state))

    def apply_mlp(self, x: Steps) -> Steps:
        """`x` and what the perceptron makes of it."""
        return x + self.mlp(self.norm_mlp(x))


@dataclass(kw_only=True)
class TrunkState:
    """What the blocks remember, and the steps that were made."""

    blocks: list[AttentionState]
    step: int = 0


class Trunk(nn.Module):
    """Blocks one after another.

    Args:
        blocks: In order.
        norm: After the last; nn.Identity() for none.
    """

    def __init__(self, blocks: Sequence[Block], norm: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(blocks)
        self.norm = norm

    @property
    def blocks(self) -> list[Block]:
        """The layers in order."""
        return [cast(Block, layer) for layer in self.layers]

    def forward(self, x: Steps, memory: Memory | None = None) -> Steps:
        """What comes out of the last block."""
        return self.norm(self.up_to(len(self.layers), x, memory))

    def up_to(self, layer: int, x: Steps, memory: Memory | None = None) -> Steps:
        """The input of block `layer`: what the blocks before it make of `x`."""
        for block in self.blocks[:layer]:
            x = block(x, memory)
        return x

    def go_on(self, layer: int, x: Steps, memory: Memory | None = None) -> Steps:
        """What comes out of the last block when `x` is the input of block `layer`."""
        for block in self.blocks[layer:]:
            x = block(x, memory)
        return self.norm(x)

    def initial_state(self, batch: int, like: Tensor, memory: Memory | None = None) -> TrunkState:
        """Nothing seen yet, in the dtype and on the device of `like`.

        Only a trunk whose attention needs no future has one.
        """
        states = []
        for block in self.blocks:
            assert isinstance(block.attention, SteppingAttention), (
                f"{type(block.attention).__name__} needs the future and has no steps"
            )
            states.append(block.attention.initial_state(batch, like, memory))
        return TrunkState(blocks=states)

    def advance(self, x: Steps, state: TrunkState) -> Steps:
        """The next steps, any number of them: equal to the last steps of `forward` on all."""
        for block, remembered in zip(self.blocks, state.blocks, strict=True):
            x = block.advance(x, remembered)
        state.step += x.shape[1]
        return self.norm(x)

    def step(self, x: Step, state: TrunkState) -> Step:
        """One step of `advance`."""
        return self.advance(x[:, None], state)[:, 0]


def initialise(
    trunk: Trunk, generator: torch.Generator, std: float, residual_scale: float = 1.0
) -> None:
    """Draw linear layers from N(0, std^2), biases 0.

    Args:
        trunk: To fill.
        generator: Where the numbers come from.
        std: Standard deviation of the weights.
        residual_scale: Factor on the layers that add to the residual stream.
    """
    ends = {id(layer) for block in trunk.blocks for layer in residual_outputs(block)}
    for part in trunk.modules():
        if isinstance(part, nn.Linear):
            scale = residual_scale if id(part) in ends else 1.0
            nn.init.normal_(part.weight, std=std * scale, generator=generator)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def residual_outputs(block: Block) -> list[nn.Linear]:
    """The layers through which a block adds to the residual stream: those named `out`."""
    named = block.named_modules()
    return [part for name, part in named if name.endswith(".out") and isinstance(part, nn.Linear)]
