"""Generator and critic on latent coordinates, their losses and the adaptive penalty.

The networks of the 44.1 kHz release, at any size; those of the 22.05 kHz paper are in
`paper_gan`. The generator turns coordinates (channels, frames) into latents of the same length,
chunk by chunk: chunks know of each other only through the coordinates they share. The critic judges
windows of several chunks glued together, and so teaches the generator to hide the joints.

    Coordinates  (batch, coordinate_channels, frames): [anchors' interpolation, style, conditions]
    latents      (batch, latent_dim, frames)
    hidden       (rows, steps, dim): rows are chunks stacked on the batch axis, row
                 `example * chunks + chunk`; steps are 4, 8, ... of a chunk's frames
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ritornello.errors import ConfigError
from ritornello.musika.config import CriticConfig, GeneratorConfig
from ritornello.musika.convolution import DoublingConv, HalvingConv, SameConv, halve_by_mean
from ritornello.shapes import Latents

Coordinates = Float[Tensor, "batch coordinate_channels frames"]
Hidden = Float[Tensor, "rows steps dim"]
NoiseMap = Float[Tensor, "rows 1 _"]
Scores = Float[Tensor, "batch *places"]

SQRT_HALF = sqrt(0.5)


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Fill all weights as published: He-uniform kernels, zero biases, zero noise scales."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.ConvTranspose1d):
            nn.init.kaiming_uniform_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, DoublingConv):
            nn.init.zeros_(module.bias)
        elif isinstance(module, LayerNoise):
            nn.init.zeros_(module.scale)


def full_precision(tensor: Tensor) -> Tensor:
    """What leaves a network under autocast, in float32; float32 and float64 stay as they are."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


class LayerNoise(nn.Module):
    """Adds one noise map, shared by all channels, times one learned scale that starts at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, hidden: Hidden, noise: NoiseMap | None) -> Hidden:
        """`hidden` with noise; None means none."""
        if noise is None:
            return hidden
        return hidden + (self.scale * noise.transpose(1, 2)).to(hidden.dtype)


class ScaleByCoordinates(nn.Module):
    """What the paper calls AdaIN: unit spread over time, then a scale read off the coordinates.

    Unlike adaptive instance normalisation elsewhere it neither removes the mean nor adds a bias:
    the coordinates multiply, at every step of time, what the convolution before has found.

    Deviation: the small constant stands inside the root, where the gradient of a constant signal
    is finite.
    """

    def __init__(self, coordinate_channels: int, dim: int) -> None:
        super().__init__()
        self.to_scale = nn.Linear(coordinate_channels, dim)

    def forward(
        self, hidden: Hidden, coordinates: Float[Tensor, "rows steps coordinate_channels"]
    ) -> Hidden:
        """`hidden`, normalised and scaled."""
        centred = hidden - hidden.mean(1, keepdim=True)
        spread = torch.rsqrt(centred.square().mean(1, keepdim=True) + 1e-8)
        return hidden * spread * self.to_scale(coordinates)


class Steered(nn.Module):
    """A layer, then noise, then the scale by coordinates, then swish."""

    def __init__(self, layer: nn.Module, coordinate_channels: int, dim: int) -> None:
        super().__init__()
        self.layer = layer
        self.noise = LayerNoise()
        self.scale = ScaleByCoordinates(coordinate_channels, dim)

    def forward(self, below: Tensor, coordinates: Tensor, noise: NoiseMap | None) -> Hidden:
        """The layer's output on `below`, steered."""
        hidden = self.noise(self.layer(below), noise)
        return functional.silu(self.scale(hidden, coordinates))


class UpBlock(nn.Module):
    """Doubles the length: two steered convolutions beside a pixel-shuffled skip."""

    def __init__(self, dim_in: int, dim_out: int, coordinate_channels: int) -> None:
        super().__init__()
        self.up = Steered(DoublingConv(dim_in, dim_out), coordinate_channels, dim_out)
        self.refine = Steered(SameConv(dim_out, dim_out, kernel=4), coordinate_channels, dim_out)
        self.skip = nn.Linear(dim_in // 2, dim_out)

    def forward(
        self,
        hidden: Hidden,
        coordinates: Float[Tensor, "rows 2*steps coordinate_channels"],
        noise: Sequence[NoiseMap | None],
    ) -> Float[Tensor, "rows 2*steps dim_out"]:
        """Twice as many steps; two noise maps."""
        skip = self.skip(rearrange(hidden, "rows steps (two dim) -> rows (steps two) dim", two=2))
        hidden = SQRT_HALF * self.up(hidden, coordinates, noise[0])
        hidden = self.refine(hidden, coordinates, noise[1])
        return torch.add(skip, hidden, alpha=SQRT_HALF)


class FirstSteps(nn.Module):
    """The first four steps of a chunk, from its coordinates averaged down to two."""

    def __init__(self, coordinate_channels: int, dim: int) -> None:
        super().__init__()
        self.dense = nn.Linear(2 * coordinate_channels, 4 * dim)

    def forward(
        self, coordinates: Float[Tensor, "rows 2 coordinate_channels"]
    ) -> Float[Tensor, "rows 4 dim"]:
        """Four steps."""
        return rearrange(self.dense(coordinates.flatten(1)), "rows (s dim) -> rows s dim", s=4)


class CoordinateGenerator(nn.Module, ABC):
    """Latents from coordinates, every chunk of `chunk_frames` on its own.

    What all generators share: cutting windows into chunks, averaging the coordinates down, and
    noise that is passed in, never drawn inside. Every chunk has 1 + 2 maps per middle resolution
    + 1, in order of use.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def make_chunks(
        self, pyramid: Sequence[Tensor], noise: Sequence[NoiseMap | None]
    ) -> Float[Tensor, "rows steps latent_dim"]:
        """Chunks from coordinates at 2, 4, ... `chunk_frames` steps and one map per noisy layer."""

    def noise_shapes(self, batch: int, chunks: int = 1) -> list[tuple[int, int, int]]:
        """Shapes (rows, 1, steps) of the noise maps for `batch` windows of `chunks` chunks.

        Row `example * chunks + chunk` of every map belongs to that chunk alone.
        """
        lengths = [4 << level for level in range(len(self.config.widths))]
        steps = [lengths[0]] + [s for s in lengths[1:-1] for _ in range(2)] + [lengths[-1]]
        return [(batch * chunks, 1, length) for length in steps]

    def draw_noise(self, generator: torch.Generator, batch: int, chunks: int = 1) -> list[NoiseMap]:
        """Standard normal noise maps on the generator's device; a chunk's whole noise in one go."""
        steps = [shape[-1] for shape in self.noise_shapes(batch, chunks)]
        drawn = torch.randn(
            (batch * chunks, 1, sum(steps)), generator=generator, device=generator.device
        )
        return list(drawn.split(steps, dim=-1))

    def forward(self, coordinates: Coordinates, noise: Sequence[NoiseMap] | None = None) -> Latents:
        """Latents of as many frames as there are coordinates.

        Args:
            coordinates: Steering over `frames`, a multiple of `chunk_frames`.
            noise: One map per noisy layer, as `noise_shapes` says; None for no noise.

        Raises:
            ConfigError: If the coordinates or the noise do not fit.
        """
        chunks = self._chunks_in(coordinates)
        maps = self._maps(noise, rows=len(coordinates) * chunks)
        pyramid = [rearrange(coordinates, "b c (n s) -> (b n) s c", n=chunks)]
        while pyramid[0].shape[1] > 2:
            pyramid.insert(0, halve_by_mean(pyramid[0]))
        latents = full_precision(self.make_chunks(pyramid, maps))
        return rearrange(latents, "(b n) s c -> b c (n s)", n=chunks)

    def _chunks_in(self, coordinates: Tensor) -> int:
        expected, chunk = self.config.coordinate_channels, self.config.chunk_frames
        _, channels, frames = coordinates.shape
        if channels != expected or frames == 0 or frames % chunk:
            raise ConfigError(
                f"Coordinates have {channels} channels and {frames} frames; expected {expected} "
                f"channels and a multiple of {chunk} frames"
            )
        return frames // chunk

    def _maps(self, noise: Sequence[Tensor] | None, rows: int) -> Sequence[Tensor | None]:
        shapes = self.noise_shapes(rows)
        if noise is None:
            return [None] * len(shapes)
        got = [tuple(one.shape) for one in noise]
        if got != shapes:
            raise ConfigError(f"Noise maps are {got}; expected {shapes}. Use draw_noise.")
        return noise


class Generator(CoordinateGenerator):
    """The release's generator: residual up-blocks from four steps to a whole chunk."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        channels, widths = config.coordinate_channels, config.widths
        self.first = Steered(FirstSteps(channels, widths[0]), channels, widths[0])
        self.blocks = nn.ModuleList(
            UpBlock(dim_in, dim_out, channels) for dim_in, dim_out in pairwise(widths[:-1])
        )
        self.last = Steered(DoublingConv(widths[-2], widths[-1]), channels, widths[-1])
        self.to_latents = SameConv(widths[-1], config.latent_dim, kernel=4)

    def make_chunks(
        self, pyramid: Sequence[Tensor], noise: Sequence[NoiseMap | None]
    ) -> Float[Tensor, "rows steps latent_dim"]:
        """Chunks, not bounded."""
        hidden = self.first(pyramid[0], pyramid[1], noise[0])
        for level, block in enumerate(self.blocks):
            hidden = block(hidden, pyramid[level + 2], noise[1 + 2 * level : 3 + 2 * level])
        return self.to_latents(self.last(hidden, pyramid[-1], noise[-1]))


class DownBlock(nn.Module):
    """Halves the length: two convolutions beside an average-pooled skip, no normalisation."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        # Where the width no longer grows there is hardly any time left to look along.
        is_growing = dim_in != dim_out
        self.first = SameConv(dim_in, dim_in, kernel=4 if is_growing else 1)
        self.down = HalvingConv(dim_in, dim_out)
        self.skip = nn.Linear(dim_in, dim_out, bias=False) if is_growing else nn.Identity()

    def forward(self, hidden: Hidden) -> Float[Tensor, "rows steps//2 dim_out"]:
        """Half as many steps."""
        skip = self.skip(halve_by_mean(hidden))
        hidden = SQRT_HALF * functional.leaky_relu(self.first(hidden), 0.2)
        hidden = functional.leaky_relu(self.down(hidden), 0.2)
        return torch.add(skip, hidden, alpha=SQRT_HALF)


class Critic(nn.Module):
    """One score per window of latents, high for real ones."""

    def __init__(self, config: CriticConfig) -> None:
        super().__init__()
        self.config = config
        self.channels = config.latent_dim + config.condition_channels
        widths = config.widths
        self.first = HalvingConv(self.channels, widths[0])
        self.blocks = nn.Sequential(
            *(DownBlock(dim_in, dim_out) for dim_in, dim_out in pairwise(widths))
        )
        self.last = SameConv(widths[-1], widths[-1], kernel=3)
        self.score = nn.Linear(4 * widths[-1], 1)

    def forward(
        self,
        latents: Latents,
        conditions: Float[Tensor, "batch condition_channels frames"] | None = None,
    ) -> Scores:
        """Scores of windows of exactly `window_frames`, with the conditions they answer to."""
        hidden = self.blocks(self.first_hidden(self.seen(latents, conditions)))
        return full_precision(self.window_score(hidden))

    def seen(
        self,
        latents: Latents,
        conditions: Float[Tensor, "batch condition_channels frames"] | None,
    ) -> Float[Tensor, "batch frames channels"]:
        """What the first layer sees: latents and conditions side by side.

        Raises:
            ConfigError: If channels or frames are not those the critic was built for.
        """
        seen = latents if conditions is None else torch.cat([latents, conditions], dim=1)
        expected = (self.channels, self.config.window_frames)
        if tuple(seen.shape[1:]) != expected:
            raise ConfigError(
                f"The critic got (channels, frames) = {tuple(seen.shape[1:])}; expected {expected}"
            )
        return rearrange(seen, "batch c frames -> batch frames c")

    def first_hidden(
        self, seen: Float[Tensor, "batch frames channels"]
    ) -> Float[Tensor, "batch steps width"]:
        """The first layer's output, at half the latents' rate."""
        return functional.leaky_relu(self.first(seen), 0.2)

    def window_score(self, hidden: Float[Tensor, "batch 4 width"]) -> Float[Tensor, " batch"]:
        """One score for the whole window from the last block's output."""
        hidden = functional.leaky_relu(self.last(hidden), 0.2)
        return self.score(hidden.flatten(1)).squeeze(1)


def hinge_critic_loss(
    real: Float[Tensor, "*scores"], fake: Float[Tensor, "*scores"]
) -> Float[Tensor, ""]:
    """What the critic lowers: scores of real windows below 1, of generated ones above -1."""
    return 0.5 * (functional.relu(1 - real).mean() + functional.relu(1 + fake).mean())


def hinge_generator_loss(fake: Float[Tensor, "*scores"]) -> Float[Tensor, ""]:
    """What the generator lowers: the negative score of what it made."""
    return -fake.mean()


def gradient_norms(scores: Scores, latents: Latents) -> Float[Tensor, " batch"]:
    """Squared norms of the scores' gradients with respect to `latents`, differentiable again.

    Where an example has several scores, of their mean.
    """
    total = scores.flatten(1).mean(1).sum() if scores.ndim > 1 else scores.sum()
    (gradient,) = torch.autograd.grad(total, latents, create_graph=True)
    return full_precision(gradient).square().sum(dim=(1, 2))


def r1_penalty(scores: Scores, real: Latents) -> Float[Tensor, ""]:
    """Mean squared gradient norm at real windows (R1); `real` must require gradients."""
    return gradient_norms(scores, real).mean()


def unit_gradient_penalty(scores: Scores, real: Latents) -> Float[Tensor, ""]:
    """Mean squared distance of the gradient norm at real windows from one (the 22.05 kHz paper)."""
    return (torch.sqrt(gradient_norms(scores, real) + 1e-12) - 1).square().mean()


def certainty(real: Scores, fake: Scores) -> float:
    """How well the critic tells real from generated, from 0 (not at all) to 1 (margins met)."""
    return (real.mean() - fake.mean()).clamp(0, 2).item() / 2


def next_penalty_scale(
    scale: float, certain: float, *, speed: float = 1e-4, threshold: float = 0.9
) -> float:
    """The adaptive R1 scale in [0, 1] one step later.

    A critic too certain (see `certainty`) is held back by a stronger penalty, another is freed.
    """
    step = speed if certain > threshold else -speed
    return min(1.0, max(0.0, scale + step))
