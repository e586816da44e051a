"""The latent coordinate system: what Musika's generator is given at every step.

A GAN turns one noise vector into one excerpt and cannot go on. Musika spreads the noise out in
time instead: *anchors*, independent Gaussian vectors at regular distances, and straight lines
between them. The generator never sees more than a chunk of this path, so a piece is as long as the
path, chunks are made independently, in any order or in parallel, and neighbours fit because they
share their anchors. A *style* vector, the same everywhere, keeps the whole piece one piece.

    chunks_per_anchor = 1: anchors on the borders of chunks (small presets)

        anchors     a0             a1             a2             a3
        chunks      |      0       |      1       |      2       |
        style       g0 = = = = = = g1 = = = = = = g2 = = = = = = g3

    chunks_per_anchor = 3: an anchor in the middle of every third chunk (the 44.1 kHz release)

        anchors     a0                    a1                     a2
        chunks         |   0   |   1   |   2   |   3   |   4   |   5   |

    generator input, for every latent step:  [point on the path, style, conditions]

Three rules hold in training and in generation alike:

* Steps sit at half positions, (i + 1/2) of a chunk's frames, so that chunks are symmetric about
  their middle. (The release averages neighbouring pairs of a finer interpolation; same numbers.)
* Interpolation is linear. It shrinks the variance between anchors, by half in the middle; the
  generator knows no other law, so nothing is lost. `interpolate_preserving_variance` is the clean
  alternative, for whoever trains anew.
* Deviation: the style may travel too, from one value to another across a single chunk. A part of
  the training examples does, and so the boundaries of a form and the steps of a morph are passages
  that the critic has judged.

In generation nothing is drawn in order. Every anchor, style and layer noise has a key, (seed, kind,
letter, position), which seeds a counter-based generator of its own: chunk k is a pure function of
k, and a piece can be entered anywhere.

Axes: batch, dim (of a coordinate), points (what is interpolated), frames (latent steps).
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ritornello.errors import ConfigError
from ritornello.musika.config import GanConfig
from ritornello.musika.form import PiecePlan, Place

TRUNCATION = 2.0
"""Bound of the normal numbers drawn in generation, in standard deviations (training has none)."""

KINSHIP = 0.5
"""Part of the variance that the styles of all letters of one seed have in common."""


# ------------------------------------------------------------------ paths


def interpolate(
    values: Float[Tensor, "batch dim points"], positions: Float[Tensor, " frames"]
) -> Float[Tensor, "batch dim frames"]:
    """The straight lines through `values`, read at `positions` (in units of their distance)."""
    left = positions.floor().long()
    weight = (positions - left).to(values)
    before, after = values[:, :, left], values[:, :, left + 1]
    return before + weight * (after - before)  # exactly constant between equal points


def interpolate_preserving_variance(
    values: Float[Tensor, "batch dim points"], positions: Float[Tensor, " frames"]
) -> Float[Tensor, "batch dim frames"]:
    """As `interpolate`, with unit variance everywhere if the values are independent with unit.

    Not what the paper does; a model must be trained with the law it is used with.
    """
    weight = (positions - positions.floor()).to(values)
    return interpolate(values, positions) / torch.sqrt((1 - weight) ** 2 + weight**2)


def half_positions(start: int, frames: int, spacing: int) -> Float[Tensor, " frames"]:
    """Positions of `frames` steps from step `start`, for points every `spacing` steps."""
    return (torch.arange(frames, dtype=torch.float64) + (start + 0.5)) / spacing


def anchor_offset_frames(config: GanConfig) -> int:
    """Steps from the first anchor to the start of the first chunk.

    An anchor on every chunk lies on its border, and so a chunk depends on two anchors only; the
    paper's crops at any step start there too. The release centres a chunk on each anchor.
    """
    is_on_border = config.chunks_per_anchor == 1 or config.crop == "any"
    return 0 if is_on_border else config.chunk_frames // 2


# ------------------------------------------------------------------ training


def training_coordinates(
    draw: torch.Generator,
    batch: int,
    config: GanConfig,
    conditions: Float[Tensor, "batch condition_channels window_frames"] | None = None,
) -> Float[Tensor, "batch channels window_frames"]:
    """Coordinates of a batch of training windows: the path, the style and the conditions.

    Anchors and styles are normal without truncation. The place of the window on the grid of
    anchors is drawn once for the whole batch, as the reference does.

    Args:
        draw: The only source of randomness.
        batch: Number of windows.
        config: Sizes and the grid.
        conditions: What the windows shall follow (`controls.py`); None means none is present.
    """
    start = window_start(draw, config)
    positions = half_positions(start, config.window_frames, config.anchor_frames)
    anchors = torch.randn(
        batch, config.coordinate_dim, int(positions[-1]) + 2, generator=draw, device=draw.device
    )
    path = interpolate(anchors, positions.to(draw.device))
    style = training_style(draw, batch, config)
    if conditions is None:
        conditions = path.new_zeros(batch, config.condition_channels, config.window_frames)
    return torch.cat([path, style, conditions], dim=1)


def window_start(draw: torch.Generator, config: GanConfig) -> int:
    """Steps from an anchor to the start of a training window, drawn uniformly.

    On the grid of chunks as many starts exist as chunks lie between anchors (one in the small
    presets, three in the release); the paper's own version starts at any step.
    """
    if config.crop == "any":
        return _uniform(draw, config.anchor_frames)
    return anchor_offset_frames(config) + config.chunk_frames * _uniform(
        draw, config.chunks_per_anchor
    )


def training_style(
    draw: torch.Generator, batch: int, config: GanConfig
) -> Float[Tensor, "batch dim window_frames"]:
    """Styles of training windows: constant, or in some examples on the way to another one.

    `config.morph_fraction` of the examples change their style, across exactly one of their chunks.
    """
    options = {"generator": draw, "device": draw.device}
    here, there = torch.randn(2, batch, config.style_dim, 1, **options)
    chunks = config.chunks_per_window
    changing = torch.randint(chunks, (batch, 1, 1), **options)
    morphs = torch.rand(batch, 1, 1, **options) < config.morph_fraction
    borders = torch.arange(chunks + 1, device=draw.device)
    at_borders = torch.where(morphs & (borders > changing), there, here)
    positions = half_positions(0, config.window_frames, config.chunk_frames)
    return interpolate(at_borders, positions.to(draw.device))


def _uniform(draw: torch.Generator, count: int) -> int:
    """One of 0 .. count-1."""
    return int(torch.randint(count, (), generator=draw, device=draw.device))


# ------------------------------------------------------------------ draws by key


def keyed_draws(seed: int, kind: str, place: Place) -> np.random.Generator:
    """A generator of its own for each key; counter-based, so making one costs next to nothing."""
    key = f"{seed}/{kind}/{place.letter}/{place.position}".encode()
    digest = hashlib.blake2b(key, digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


def truncated_normal(draws: np.random.Generator, dim: int, bound: float) -> Float[Tensor, "dim"]:  # noqa: F821
    """`dim` numbers from a normal cut at +-`bound`, scaled back to variance 1 (float64).

    Deviation: the reference leaves the cut draws with less spread than training had; scaled back,
    temperature 1 is the spread of training without its rare extremes.
    """
    low = NormalDist().cdf(-bound)
    uniform = torch.from_numpy(draws.uniform(low, 1 - low, dim))
    kept_variance = 1 - 2 * bound * NormalDist().pdf(bound) / (1 - 2 * low)
    return math.sqrt(2 / kept_variance) * torch.erfinv(2 * uniform - 1)


def great_circle(
    start: Float[Tensor, " dim"], end: Float[Tensor, " dim"], fraction: float
) -> Float[Tensor, " dim"]:
    """The vector `fraction` of the way from `start` to `end` along the arc between them.

    Half-way between two independent styles this is as long as either, as a drawn style would be.
    """
    cosine = torch.clamp(torch.dot(start, end) / (start.norm() * end.norm()), -1, 1)
    angle = float(torch.arccos(cosine))
    if math.sin(angle) < 1e-6:
        return (1 - fraction) * start + fraction * end
    weights = math.sin((1 - fraction) * angle), math.sin(fraction * angle)
    return (weights[0] * start + weights[1] * end) / math.sin(angle)


# ------------------------------------------------------------------ generation


@dataclass(frozen=True, kw_only=True)
class Route:
    """A piece's way through the coordinate system: all that its draws depend on.

    Attributes:
        seed: Names the piece; anchors, style and layer noise are keyed by it.
        plan: Which section every chunk belongs to.
        temperature: Scale of anchors and styles.
        to_seed: Seed whose style the piece arrives at, if it morphs.
        morph_chunks: Chunks after which it arrives there.
    """

    seed: int
    plan: PiecePlan = field(default_factory=PiecePlan)
    temperature: float = 1.0
    to_seed: int | None = None
    morph_chunks: int | None = None

    def __post_init__(self) -> None:
        """Refuse a morph without an end."""
        if self.to_seed is not None and not self.morph_chunks:
            raise ConfigError(
                "a morph needs to know where it arrives; give the length of the piece in seconds"
            )


def chunk_coordinates(
    route: Route,
    chunk: int,
    config: GanConfig,
    conditions: Float[Tensor, "1 condition_channels chunk_frames"] | None = None,
) -> Float[Tensor, "1 channels chunk_frames"]:
    """Coordinates of one chunk of a piece (float64): a pure function of route and chunk."""
    start = anchor_offset_frames(config) + chunk * config.chunk_frames
    first, step = divmod(start, config.anchor_frames)
    positions = half_positions(step, config.chunk_frames, config.anchor_frames)
    last = first + int(positions[-1]) + 1
    anchors = [anchor(route, index, config) for index in range(first, last + 1)]
    path = interpolate(_points(anchors), positions)
    styles = [border_style(route, border, config) for border in (chunk, chunk + 1)]
    style = interpolate(
        _points(styles), half_positions(0, config.chunk_frames, config.chunk_frames)
    )
    if conditions is None:
        conditions = path.new_zeros(1, config.condition_channels, config.chunk_frames)
    return torch.cat([path, style, conditions.to(path)], dim=1)


def anchor(route: Route, index: int, config: GanConfig) -> Float[Tensor, " dim"]:
    """Anchor `index` of the piece; a returning section has the anchors it had before."""
    draws = keyed_draws(route.seed, "anchor", route.plan.anchor_place(index))
    return route.temperature * truncated_normal(draws, config.coordinate_dim, TRUNCATION)


def border_style(route: Route, border: int, config: GanConfig) -> Float[Tensor, " dim"]:
    """Style where chunk `border` begins: its section's, or on the way to `to_seed`'s."""
    letter = route.plan.chunk_place(border).letter
    style = letter_style(route.seed, letter, config)
    if route.to_seed is not None and route.morph_chunks:
        goal = letter_style(route.to_seed, letter, config)
        style = great_circle(style, goal, min(1.0, max(0.0, border / route.morph_chunks)))
    return route.temperature * style


def letter_style(seed: int, letter: str, config: GanConfig) -> Float[Tensor, " dim"]:
    """The piece's own style, or for a letter a relative of it, with the same variance."""
    styles = [
        truncated_normal(keyed_draws(seed, "style", Place(name, 0)), config.style_dim, TRUNCATION)
        for name in ("", letter)
    ]
    if not letter:
        return styles[0]
    return math.sqrt(KINSHIP) * styles[0] + math.sqrt(1 - KINSHIP) * styles[1]


def chunk_noise(route: Route, chunk: int, shapes: Sequence[Sequence[int]]) -> list[Tensor]:
    """The noise of every noisy layer of the generator for one chunk (float64, batch of one)."""
    draws = keyed_draws(route.seed, "noise", route.plan.chunk_place(chunk))
    return [torch.from_numpy(draws.standard_normal(tuple(shape))) for shape in shapes]


def _points(values: Sequence[Float[Tensor, " dim"]]) -> Float[Tensor, "1 dim points"]:
    """Single vectors as the points of one path."""
    return torch.stack(list(values), dim=-1).unsqueeze(0)
