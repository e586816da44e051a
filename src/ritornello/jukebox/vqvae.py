"""One level of Jukebox: a VQ-VAE on raw audio (section 3, appendix B.1).

    wave     (batch, 1, time)        samples
      encoder: per factor, halvings each followed by a residual stack, then a closing convolution
    queries  (batch, dim, frames)
      quantiser: the nearest code, straight through
    codes    (batch, frames)
      decoder: the mirror image, dilations backwards, no squashing at the end
    wave     (batch, 1, time)

Levels are separate autoencoders of the same audio (section 3.2): chained to one another, the upper
ones are hardly used. Convolutions look both ways. Nothing is normalised.
"""

from dataclasses import dataclass
from math import log2
from typing import cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ritornello.jukebox.front_end import PatchedDecoder, PatchedEncoder
from ritornello.jukebox.vqvae_config import CodebookConfig, LevelConfig, VqVaeConfig
from ritornello.nn.conv import (
    Reach,
    ResidualConvStack,
    faster_conv,
    initialise_convs,
    reach_of,
    same_conv,
    slower_conv,
)
from ritornello.nn.quantize import EmaCodebook, Quantised
from ritornello.training.codebooks import learn_codebook
from ritornello.training.distributed import World

Wave = Float[Tensor, "batch 1 time"]
Queries = Float[Tensor, "batch dim frames"]
LevelCodes = Int64[Tensor, "batch frames"]


class Encoder(nn.Module):
    """Samples to queries; the number of samples is a multiple of the hop."""

    def __init__(self, config: LevelConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        dim_in, width, dim = 1, config.width, config.codebook.dim
        for factor in config.factors:
            for _ in range(int(log2(factor))):
                layers.append(slower_conv(dim_in, width, 2))
                layers.append(ResidualConvStack(width, config.dilations))
                dim_in = width
            layers.append(same_conv(width, dim))
            dim_in = dim
        self.layers = nn.Sequential(*layers)

    @property
    def reach(self) -> Reach:
        """Samples that a query sees."""
        return reach_of(reversed(self.layers))

    def forward(self, wave: Wave) -> Queries:
        """One query per hop."""
        return self.layers(wave)


class Decoder(nn.Module):
    """Quantised queries to samples."""

    def __init__(self, config: LevelConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width, dim = config.width, config.codebook.dim
        for factor in reversed(config.factors):
            layers.append(same_conv(dim, width))
            doublings = int(log2(factor))
            for number in range(1, doublings + 1):
                layers.append(ResidualConvStack(width, reversed(config.dilations)))
                layers.append(faster_conv(width, dim if number == doublings else width, 2))
        self.layers = nn.Sequential(*layers, same_conv(dim, 1))

    @property
    def reach(self) -> Reach:
        """Samples that a code has a part in."""
        return reach_of(self.layers)

    def forward(self, vectors: Queries) -> Wave:
        """`hop` samples per vector."""
        return self.layers(vectors)


class Quantiser(nn.Module):
    """A codebook that begins on the first queries, follows them, and places unused codes anew."""

    is_begun: Tensor

    def __init__(self, config: CodebookConfig) -> None:
        super().__init__()
        self.config = config
        self.codebook = EmaCodebook(config.codes, config.dim)
        self.register_buffer("is_begun", torch.zeros((), dtype=torch.bool))

    def forward(self, queries: Queries) -> Quantised:
        """Nearest codes; vectors are (batch, frames, dim)."""
        return self.codebook(queries.transpose(1, 2))

    def look_up(self, codes: LevelCodes) -> Queries:
        """Vectors of codes."""
        return self.codebook.look_up(codes).transpose(1, 2)

    def learn(
        self, queries: Queries, codes: LevelCodes, draw: torch.Generator, world: World
    ) -> int:
        """What a step does to the codebook; how many codes were placed anew (section 3.1).

        Args:
            queries: What the step's batch gave.
            codes: What they became.
            draw: Source of what is placed at random.
            world: The processes that train together; their codebooks stay equal.
        """
        return learn_codebook(
            self.codebook,
            self.is_begun,
            queries.transpose(1, 2),
            codes,
            draw,
            world,
            alpha=1 - self.config.mu,
            revive_below=self.config.revive_below,
        )


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """What a level makes of audio.

    Attributes:
        wave: The audio again.
        queries: What was quantised.
        codes: What it became.
        commitment: Mean squared distance of the queries from their codes.
    """

    wave: Wave
    queries: Queries
    codes: LevelCodes
    commitment: Float[Tensor, ""]


class VqVae(nn.Module):
    """One level; its networks are those that the configuration names."""

    def __init__(self, config: LevelConfig) -> None:
        super().__init__()
        self.config = config
        is_plain = config.networks == "plain"
        self.encoder = Encoder(config) if is_plain else PatchedEncoder(config)
        self.quantiser = Quantiser(config.codebook)
        self.decoder = Decoder(config) if is_plain else PatchedDecoder(config)

    def forward(self, wave: Wave) -> Reconstruction:
        """The audio through the bottleneck; its length is a multiple of the hop."""
        queries = self.encoder(wave)
        found = self.quantiser(queries)
        return Reconstruction(
            wave=self.decoder(found.vectors.transpose(1, 2)),
            queries=queries,
            codes=found.codes,
            commitment=found.commitment,
        )

    def encode(self, wave: Wave) -> LevelCodes:
        """Codes of audio."""
        return self.quantiser(self.encoder(wave)).codes

    def decode(self, codes: LevelCodes) -> Wave:
        """Audio of codes."""
        return self.decoder(self.quantiser.look_up(codes))

    def learn(self, found: Reconstruction, draw: torch.Generator, world: World) -> int:
        """Let the codebook follow a step's queries; how many codes were placed anew."""
        return self.quantiser.learn(found.queries, found.codes, draw, world)


class VqVaes(nn.Module):
    """All levels: autoencoders of the same audio that share nothing (section 3.2)."""

    def __init__(self, config: VqVaeConfig) -> None:
        super().__init__()
        self.config = config
        self.levels = nn.ModuleList(VqVae(level) for level in config.levels)

    def __getitem__(self, level: int) -> VqVae:
        """The level with that number, from 0, the lowest hop."""
        return cast(VqVae, self.levels[level])

    def forward(self, wave: Wave) -> list[Reconstruction]:
        """What every level makes of the audio, lowest hop first."""
        return [level(wave) for level in self.levels]


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Fill all weights from `generator`; codebooks begin at the first step of training."""
    initialise_convs(module, generator)
