"""Parts of the LLaMA kind of transformer: rotary positions, gated perceptrons, no biases.

    RotaryAttention   every step sees every step; queries and keys are turned by their positions, so
                      that scores depend on distances alone (Su et al. 2021, "RoFormer")
    SwiGlu            out(silu(gate(x)) * enter(x)) (Shazeer 2020, "GLU variants improve
                      transformer")

Touvron et al. 2023, "LLaMA". Tensors are (batch, time, width).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ritornello.nn.attention import Attention, AttentionSize, Heads, Memory, Steps, attend

BASE = 10_000.0
"""Of the slowest turn's wavelength, as published."""

Turns = Float[Tensor, "time half"]


def angles(time: int, head_dim: int, like: Tensor) -> tuple[Turns, Turns]:
    """Cosine and sine of every position's turn, for every pair of a head's values."""
    rates = BASE ** -(
        torch.arange(0, head_dim, 2, device=like.device, dtype=torch.float32) / head_dim
    )
    turns = torch.arange(time, device=like.device, dtype=torch.float32)[:, None] * rates
    return turns.cos().to(like.dtype), turns.sin().to(like.dtype)


def rotated(heads: Heads, cosine: Turns, sine: Turns) -> Heads:
    """Values i and i + half of every head turned by the position's angle."""
    one, other = heads.chunk(2, dim=-1)
    return torch.cat([one * cosine - other * sine, other * cosine + one * sine], dim=-1)


class RotaryAttention(Attention):
    """Every step sees every step, by distance."""

    def __init__(self, size: AttentionSize) -> None:
        super().__init__()
        self.size = size
        self.qkv = nn.Linear(size.width, 3 * size.inner, bias=False)
        self.out = nn.Linear(size.inner, size.width, bias=False)

    def forward(self, x: Steps, memory: Memory | None = None) -> Steps:
        """What every step gathers from all."""
        queries, keys, values = map(self.split, self.qkv(x).chunk(3, dim=-1))
        cosine, sine = angles(x.shape[1], self.size.head_dim, queries)
        return self.merge(
            attend(rotated(queries, cosine, sine), rotated(keys, cosine, sine), values)
        )


class SwiGlu(nn.Module):
    """A perceptron whose hidden values are gated."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.enter = nn.Linear(width, 2 * hidden, bias=False)
        self.out = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Steps) -> Steps:
        """The same shape."""
        gate, value = self.enter(x).chunk(2, dim=-1)
        return self.out(functional.silu(gate) * value)
