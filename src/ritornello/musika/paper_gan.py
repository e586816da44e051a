"""Generator and critic of the 22.05 kHz paper, where they differ from `model`.

The generator has no skips around its blocks; instead early layers gate later ones (skip-layer
excitation, after FastGAN). The critic looks at latents through a frozen random projection, and a
small decoder has to reconstruct real latents from its last features, so that it keeps looking at
all of them.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ritornello.errors import ConfigError
from ritornello.musika.config import CriticConfig, GeneratorConfig
from ritornello.musika.convolution import DoublingConv, SameConv
from ritornello.musika.model import (
    SQRT_HALF,
    CoordinateGenerator,
    FirstSteps,
    Hidden,
    NoiseMap,
    Scores,
    Steered,
    full_precision,
)
from ritornello.musika.published import doubling_conv, same_conv
from ritornello.shapes import Latents

Features = Float[Tensor, "batch dim steps"]


class Excitation(nn.Module):
    """Gates of a later layer, one per channel in (0, 1), from what an earlier layer found."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(dim_in, dim_out)
        self.excite = nn.Linear(dim_out, dim_out)

    def forward(self, early: Hidden) -> Float[Tensor, "rows 1 dim_out"]:
        """Gates."""
        squeezed = functional.silu(self.squeeze(early.mean(1, keepdim=True)))
        return torch.sigmoid(self.excite(squeezed))


class PaperGenerator(CoordinateGenerator):
    """Latents in [-1, 1] from coordinates; chunks of 128 frames, the paper's base channels 128."""

    def __init__(self, config: GeneratorConfig) -> None:
        if config.chunk_frames != 128:
            raise ConfigError(
                f"The paper's generator got chunk_frames {config.chunk_frames}; it is built for "
                'exactly 128. Use family="light" or "release" for other lengths.'
            )
        super().__init__(config)
        channels, widths = config.coordinate_channels, config.widths
        self.first = Steered(FirstSteps(channels, widths[0]), channels, widths[0])
        self.ups = nn.ModuleList(
            Steered(DoublingConv(dim_in, dim_out), channels, dim_out)
            for dim_in, dim_out in pairwise(widths)
        )
        self.refines = nn.ModuleList(
            Steered(SameConv(dim, dim, kernel), channels, dim)
            for dim, kernel in zip(widths[1:-1], (1, 3, 3, 3), strict=True)
        )
        self.excitations = nn.ModuleList(
            Excitation(early, late)
            for early, late in (
                (widths[1], widths[3]),
                (widths[1], widths[3]),
                (widths[2], widths[4]),
                (widths[2], widths[4]),
            )
        )
        self.to_latents = nn.Linear(widths[-1], config.latent_dim)

    def make_chunks(
        self, pyramid: Sequence[Tensor], noise: Sequence[NoiseMap | None]
    ) -> Float[Tensor, "rows steps latent_dim"]:
        """Chunks from coordinates at 2, 4, ... 128 steps."""
        hidden = self.first(pyramid[0], pyramid[1], noise[0])
        found = []
        for level, refine in enumerate(self.refines):
            coordinates = pyramid[level + 2]
            up, up_noise, refine_noise = self.ups[level], noise[1 + 2 * level], noise[2 + 2 * level]
            hidden = self._gated(up(hidden, coordinates, up_noise), found)
            found.append(hidden)
            hidden = self._gated(refine(hidden, coordinates, refine_noise), found)
            found.append(hidden)
        hidden = self.ups[-1](hidden, pyramid[-1], noise[-1])
        return torch.tanh(self.to_latents(hidden))

    def _gated(self, hidden: Hidden, found: Sequence[Tensor]) -> Hidden:
        """Layers from the fifth on are gated by the layer four before them."""
        if len(found) < len(self.excitations):
            return hidden
        index = len(found) - len(self.excitations)
        return hidden * self.excitations[index](found[index])


class PaperDownBlock(nn.Module):
    """Halves the length: two convolutions of kernel 3 beside an average-pooled skip."""

    def __init__(self, dim_in: int, dim_out: int, first_kernel: int) -> None:
        super().__init__()
        self.first = same_conv(dim_in, dim_in, first_kernel)
        self.down = same_conv(dim_in, dim_out, 3, stride=2)
        self.skip = nn.Conv1d(dim_in, dim_out, 1, bias=False)

    def forward(self, hidden: Features) -> Float[Tensor, "batch dim_out steps//2"]:
        """Half as many steps."""
        skip = self.skip(functional.avg_pool1d(hidden, 2))
        hidden = SQRT_HALF * functional.leaky_relu(self.first(hidden), 0.2)
        hidden = functional.leaky_relu(self.down(hidden), 0.2)
        return torch.add(skip, hidden, alpha=SQRT_HALF)


class PaperCritic(nn.Module):
    """One score per window of 256 latent frames."""

    def __init__(self, config: CriticConfig) -> None:
        super().__init__()
        if config.window_frames != 256:
            raise ConfigError(
                f"The paper's critic got window_frames {config.window_frames}; it is built for "
                'exactly 256. Use family="light" or "release" for other lengths.'
            )
        self.config = config
        projected = 2 * config.latent_dim
        self.projection = nn.Conv1d(config.latent_dim, projected, 1, bias=False)
        self.projection.requires_grad_(False)
        widths = [config.base_channels * unit for unit in (3, 4, 5, 6, 7, 8)]
        kernels = (3, 3, 3, 3, 1)
        self.first = same_conv(projected + config.condition_channels, widths[0], 3, stride=2)
        self.blocks = nn.Sequential(
            *(
                PaperDownBlock(dim_in, dim_out, kernel)
                for (dim_in, dim_out), kernel in zip(pairwise(widths), kernels, strict=True)
            )
        )
        self.score = nn.Linear(4 * widths[-1], 1)

    def features(
        self,
        latents: Latents,
        conditions: Float[Tensor, "batch condition_channels frames"] | None = None,
    ) -> Float[Tensor, "batch dim_out 4"]:
        """What the score, and `PaperCriticDecoder`, are made from."""
        if latents.shape[-1] != self.config.window_frames:
            raise ConfigError(
                f"The critic got {latents.shape[-1]} frames; expected {self.config.window_frames}"
            )
        seen = self.projection(latents)
        if conditions is not None:
            seen = torch.cat([seen, conditions.to(seen.dtype)], dim=1)
        return self.blocks(functional.leaky_relu(self.first(seen), 0.2))

    def forward(
        self,
        latents: Latents,
        conditions: Float[Tensor, "batch condition_channels frames"] | None = None,
    ) -> Scores:
        """Scores of windows, with the conditions they answer to."""
        return self.score_features(self.features(latents, conditions))

    def score_features(self, features: Float[Tensor, "batch features 4"]) -> Scores:
        """Scores from `features`, for a training step that needs both."""
        return full_precision(self.score(features.flatten(1)).squeeze(1))


class PaperCriticDecoder(nn.Module):
    """Reconstructs real latents from the critic's last features; trained with the critic."""

    def __init__(self, config: CriticConfig) -> None:
        super().__init__()
        halves = (16, 8, 7, 6, 5, 4, 3)
        widths = [config.base_channels * half // 2 for half in halves]
        self.ups = nn.ModuleList(doubling_conv(a, b) for a, b in pairwise(widths))
        self.to_latents = nn.Conv1d(widths[-1], config.latent_dim, 1)

    def forward(self, features: Float[Tensor, "batch features 4"]) -> Latents:
        """Latents in [-1, 1] of the whole window."""
        hidden = features
        for up in self.ups:
            hidden = functional.leaky_relu(up(hidden), 0.2)
        return torch.tanh(self.to_latents(hidden))
