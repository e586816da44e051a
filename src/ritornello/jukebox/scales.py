"""The autoencoders of a scale, and how long each is trained; needs neither torch nor numpy.

A scale is three levels with hops of 8, 32 and 128, and one training for all rows: equal steps of
equally many samples, so that a table compares models, not patience.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from ritornello.config import nearest
from ritornello.errors import ConfigError
from ritornello.jukebox import presets, vqvae_presets
from ritornello.jukebox.config import StageConfig
from ritornello.jukebox.vqvae_config import VqVaeConfig
from ritornello.training import scales


@dataclass(frozen=True, kw_only=True)
class Scale(scales.Scale):
    """How far below the paper.

    Attributes:
        vqvae: The three levels.
        training: Of every row.
        excerpt: Samples of an excerpt.
    """

    trained_by: ClassVar[tuple[str, ...]] = (
        *scales.Scale.trained_by,
        "vqvae",
        "training",
        "excerpt",
    )

    vqvae: VqVaeConfig
    training: StageConfig
    excerpt: int


def nano() -> Scale:
    """Seconds: shows that everything runs, its figures mean nothing."""
    two = vqvae_presets.nano_vqvae()
    top = replace(two.levels[-1], factors=(8, 4, 4))
    return Scale(
        name="nano",
        vqvae=replace(two, levels=(*two.levels, top)),
        training=StageConfig(batch=2, steps=6, learning_rate=3e-3, warmup_steps=1, ema=0.5),
        excerpt=1024,
        evaluations=1,
        train_s=60.0,
        valid_s=20.0,
        says="8 kHz, 16 channels, 32 codes; too small to mean anything",
    )


def mini() -> Scale:
    """A minute or two a row on one core: `small`, trained a fortieth as long."""
    whole = small()
    return replace(
        whole,
        name="mini",
        training=replace(whole.training, steps=200, warmup_steps=20, ema=0.98),
        evaluations=2,
        train_s=3600.0,
        valid_s=600.0,
        says=f"{whole.says}, trained a fortieth as long",
    )


def small() -> Scale:
    """An hour a row: the autoencoders of the shipped models."""
    whole = presets.small()
    return Scale(
        name="small",
        vqvae=whole.vqvae,
        training=whole.training.vqvaes[0],
        excerpt=whole.training.excerpt,
        says="16 kHz, the networks and the codebook of preset `small`",
    )


def paper() -> Scale:
    """As published."""
    whole = presets.paper()
    return Scale(
        name="paper",
        vqvae=whole.vqvae,
        training=whole.training.vqvaes[0],
        excerpt=whole.training.excerpt,
        says="sizes, steps and batch as published",
    )


SCALES: dict[str, Callable[[], Scale]] = {
    "nano": nano,
    "mini": mini,
    "small": small,
    "paper": paper,
}


def find_scale(name: str) -> Scale:
    """The scale with that name.

    Raises:
        ConfigError: There is none; names the nearest.
    """
    if name not in SCALES:
        raise ConfigError(f"there is no scale {name!r}; {nearest(name, SCALES)}")
    return SCALES[name]()
