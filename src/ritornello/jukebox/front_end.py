"""A cheaper encoder and decoder for processors: all residual stacks at low rates.

    plain (`vqvae.py`)   / 2, stack, / 2, stack, / 2, stack         three stacks per factor of 8
    patched (here)       / 8, stack                                 one, at the lowest of the rates

Of the plain networks' work, four sevenths are done at half the sample rate, on few channels, which
is what a processor does worst. Here one strided convolution takes `factor` samples at once, its
windows overlapping by half, and the stack behind it can be twice as wide in a fraction of the
time. Codes, hops and everything around the networks are the same.

Deviation: the paper's networks halve the rate step by step, with a stack at every rate.
"""

from jaxtyping import Float
from torch import Tensor, nn

from ritornello.jukebox.vqvae_config import LevelConfig
from ritornello.nn.conv import (
    Reach,
    ResidualConvStack,
    faster_conv,
    reach_of,
    same_conv,
    slower_conv,
)


class PatchedEncoder(nn.Module):
    """Samples to queries; the number of samples is a multiple of the hop."""

    def __init__(self, config: LevelConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        dim_in = 1
        for factor in config.factors:
            layers.append(slower_conv(dim_in, config.width, factor))
            layers.append(ResidualConvStack(config.width, config.dilations))
            dim_in = config.width
        self.layers = nn.Sequential(*layers, same_conv(config.width, config.codebook.dim))

    @property
    def reach(self) -> Reach:
        """Samples that a query sees."""
        return reach_of(reversed(self.layers))

    def forward(self, wave: Float[Tensor, "batch 1 time"]) -> Float[Tensor, "batch dim frames"]:
        """One query per hop."""
        return self.layers(wave)


class PatchedDecoder(nn.Module):
    """Quantised queries to samples."""

    def __init__(self, config: LevelConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = [same_conv(config.codebook.dim, config.width)]
        for number, factor in reversed(list(enumerate(config.factors))):
            layers.append(ResidualConvStack(config.width, reversed(config.dilations)))
            layers.append(faster_conv(config.width, config.width if number else 1, factor))
        self.layers = nn.Sequential(*layers)

    @property
    def reach(self) -> Reach:
        """Samples that a code has a part in."""
        return reach_of(self.layers)

    def forward(self, vectors: Float[Tensor, "batch dim frames"]) -> Float[Tensor, "batch 1 time"]:
        """`hop` samples per vector."""
        return self.layers(vectors)
