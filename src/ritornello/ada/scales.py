"""One rule that makes any stack of the paper smaller, and how long it is then trained.

A scale divides every width and every count of repetitions, and leaves the kind alone: dilations in
a repetition, filter sizes, hops, quantisers, inputs. Receptive fields shrink with the repetitions
only. All rows get the same steps of the same number of symbols, so that a table compares models,
not patience. Needs neither torch nor numpy.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from ritornello.ada.config import (
    AdaConfig,
    PriorConfig,
    StackConfig,
    StageConfig,
    WaveNetConfig,
)
from ritornello.config import nearest
from ritornello.errors import ConfigError
from ritornello.training import scales

LEAST_WIDTH = 8


@dataclass(frozen=True, kw_only=True)
class Scale(scales.Scale):
    """How far below the paper.

    Attributes:
        narrower: Divides residual, inner and skip widths, at least `LEAST_WIDTH` each.
        shorter: Divides repetitions, rounded down, at least one.
        layers: Dilations in a repetition at most; None leaves them.
        training: Of every row; None trains as published. A WaveNet that sees further than an
            excerpt gets longer ones, fewer at a time: a step's symbols stay the same.
        profile_steps: Training steps of each point of figure 2.
        sample_s: Length of a sample of table 3.
    """

    trained_by: ClassVar[tuple[str, ...]] = (
        *scales.Scale.trained_by,
        "narrower",
        "shorter",
        "layers",
        "training",
    )

    narrower: int = 1
    shorter: int = 1
    layers: int | None = None
    training: StageConfig | None = None
    profile_steps: int = 5000
    sample_s: float = 10.0


def nano() -> Scale:
    """Seconds: shows that everything runs, its figures mean nothing."""
    return Scale(
        name="nano",
        narrower=32,
        shorter=4,
        layers=4,
        training=StageConfig(
            steps=6, batch=1, crop=256, learning_rate=2e-3, final_ratio=0.1, ema=0.5
        ),
        evaluations=1,
        train_s=60.0,
        valid_s=20.0,
        profile_steps=8,
        sample_s=1.0,
        says="widths over 32, one repetition of at most 4 dilations; too small to mean anything",
    )


def mini() -> Scale:
    """Minutes a row on one core."""
    return Scale(
        name="mini",
        narrower=4,
        shorter=2,
        training=StageConfig(
            steps=600,
            batch=2,
            crop=2048,
            learning_rate=2e-3,
            final_ratio=0.02,
            warmup_steps=60,
            ema=0.99,
        ),
        evaluations=3,
        train_s=1800.0,
        valid_s=300.0,
        profile_steps=1500,
        says="widths over 4, repetitions halved and rounded down, dilations as published",
    )


def paper() -> Scale:
    """As published: sizes, steps and data as given; excerpts, which are not, hold what is seen."""
    return Scale(name="paper", says="sizes and steps as published")


SCALES = {"nano": nano, "mini": mini, "paper": paper}


def find_scale(name: str) -> Scale:
    """The scale with that name.

    Raises:
        ConfigError: There is none; names the nearest.
    """
    if name not in SCALES:
        raise ConfigError(f"there is no scale {name!r}; {nearest(name, SCALES)}")
    return SCALES[name]()


def at_scale(stack: StackConfig, scale: Scale) -> StackConfig:
    """The same model at a scale."""
    return replace(
        stack,
        levels=tuple(_level(level, scale) for level in stack.levels),
        prior=_prior(stack.prior, scale),
    )


def _level(level: AdaConfig, scale: Scale) -> AdaConfig:
    return replace(
        level,
        encoder=_network(level.encoder, scale),
        modulator=_network(level.modulator, scale),
        local=_network(level.local, scale),
        training=scale.training or level.training,
    )


def _prior(prior: PriorConfig, scale: Scale) -> PriorConfig:
    network = _network(prior.network, scale)
    training = _long_excerpts(scale.training or prior.training, network.receptive_field)
    return replace(prior, network=network, training=training)


def _long_excerpts(training: StageConfig, receptive_field: int) -> StageConfig:
    """As many excerpts of a step's symbols as hold the receptive field; else one of all of them."""
    symbols = training.batch * training.crop
    batches = [count for count in range(1, training.batch + 1) if symbols % count == 0]
    fitting = [count for count in batches if symbols // count >= receptive_field]
    batch = max(fitting, default=1)
    return replace(training, batch=batch, crop=symbols // batch)


def _network(network: WaveNetConfig, scale: Scale) -> WaveNetConfig:
    return replace(
        network,
        repetitions=max(1, network.repetitions // scale.shorter),
        layers=min(network.layers, scale.layers or network.layers),
        residual=_narrowed(network.residual, scale),
        inner=_narrowed(network.inner, scale),
        skip=_narrowed(network.skip, scale),
    )


def _narrowed(width: int, scale: Scale) -> int:
    return width if scale.narrower == 1 else max(LEAST_WIDTH, width // scale.narrower)
