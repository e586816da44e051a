"""Controls: curves that steer the music, measured from the audio itself.

The paper conditions on note density for piano and on tempo for techno, as one more channel of the
generator's coordinates and of the critic's input; so a control acts at its own place in time, at
every resolution of the generator. The condition code was never released.

Deviation: every control has two channels, its value and whether it is present. Training hides
controls at random, each alone and all together, so that one model plays with and without them.

    raw curve (notes per second, dB, beats per minute)
      -> ControlScale: 0 at the training set's 5th percentile, 1 at its 95th
      -> conditions  [density * present, present, loudness * present, present, ...]

A piece for which nothing is asked is not left free: its controls are drawn from how the training
music is (`typical_values`, `drawn_controls`). That is the same distribution of pieces, made by the
conditional half of the model, which is the better one.

Axes: batch, controls, frames (latent steps); channels are 2 * controls.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor

from ritornello.audio import features
from ritornello.config import nearest
from ritornello.errors import CapabilityError, ConfigError, DataError
from ritornello.interfaces import Audio

Points = tuple[tuple[float, float], ...]
Curve = Float[np.ndarray, " frames"]
Typical = tuple[tuple[float | None, ...], ...]
"""Means of every control over stretches of the training music, one row each; None: not present."""

PERCENTILES = 5.0, 95.0


# ------------------------------------------------------------------ measuring


def _tempo_curve(audio: Audio, rate_hz: float, frames: int) -> Curve:
    """The recording's one tempo at every frame; NaN if it has none."""
    beats_per_minute = features.tempo(audio)
    value = math.nan if beats_per_minute is None else beats_per_minute
    return np.full(frames, value, dtype=np.float32)


MEASURES: dict[str, Callable[[Audio, float, int], Curve]] = {
    "density": features.note_density,
    "loudness": features.loudness_curve,
    "tempo": _tempo_curve,
}
"""Every control there is: its raw curve from audio, at `rate_hz`, of so many frames."""


def measure(
    audio: Audio, controls: Sequence[str], *, rate_hz: float, frames: int
) -> Float[np.ndarray, "controls frames"]:
    """Raw curves of a recording in the order of `controls`; NaN where one cannot be measured.

    Raises:
        ConfigError: For a control that does not exist.
    """
    for name in controls:
        _require_known(name, MEASURES)
    curves = [MEASURES[name](audio, rate_hz, frames) for name in controls]
    return np.asarray(curves, dtype=np.float32).reshape(len(controls), frames)


@dataclass(frozen=True, kw_only=True)
class ControlScale:
    """What 0 and 1 mean for a control, in its raw unit."""

    low: float
    high: float

    def __post_init__(self) -> None:
        """Refuse an empty range."""
        if not self.low < self.high:
            raise ConfigError(f"control scale is {self.low} to {self.high}; expected low < high")


def fit_scale(name: str, curves: Iterable[Float[np.ndarray, " _"]]) -> ControlScale:
    """The scale that puts the training set's 5th percentile at 0 and its 95th at 1.

    Raises:
        DataError: If the control cannot be measured in this music, or never changes.
    """
    values = np.concatenate([np.asarray(curve).ravel() for curve in curves])
    values = values[np.isfinite(values)]
    if not values.size:
        raise DataError(f"control {name!r} cannot be measured in this music; train without it")
    low, high = (float(value) for value in np.percentile(values, PERCENTILES))
    if not low < high:
        raise DataError(f"control {name!r} is always {low:g} in this music; train without it")
    return ControlScale(low=low, high=high)


# ------------------------------------------------------------------ conditions


def measured_conditions(
    raw: Float[Tensor, "batch controls frames"], scales: Sequence[ControlScale]
) -> Float[Tensor, "batch channels frames"]:
    """Conditions of training windows from their raw curves; what is NaN counts as not present."""
    low = raw.new_tensor([scale.low for scale in scales])[:, None]
    high = raw.new_tensor([scale.high for scale in scales])[:, None]
    return _with_presence(((raw - low) / (high - low)).clamp(0, 1), raw.isfinite())


def drop_conditions(
    draw: torch.Generator, conditions: Float[Tensor, "batch channels frames"], probability: float
) -> Float[Tensor, "batch channels frames"]:
    """Conditions with each control hidden with `probability`, and all of them with the same."""
    batch, channels, _ = conditions.shape
    chance = torch.rand(batch, 1 + channels // 2, generator=draw, device=draw.device)
    shown = (chance[:, 1:] >= probability) & (chance[:, :1] >= probability)
    return conditions * repeat(shown, "b controls -> b (controls two) 1", two=2).to(conditions)


def typical_values(conditions: Float[Tensor, "batch channels frames"]) -> Typical:
    """How each of these windows is, in one number per control."""
    values, present = rearrange(conditions, "b (controls two) f -> two b controls f", two=2)
    means = values.sum(-1) / present.sum(-1).clamp(min=1)
    return tuple(
        tuple(round(mean, 3) if shown else None for mean, shown in zip(row, seen, strict=True))
        for row, seen in zip(means.tolist(), present.any(-1).tolist(), strict=True)
    )


def _with_presence(
    values: Float[Tensor, "batch controls frames"], present: Bool[Tensor, "batch controls frames"]
) -> Float[Tensor, "batch channels frames"]:
    """Value and presence of every control, side by side; absent values are zero."""
    shown = torch.where(present, values, torch.zeros_like(values))
    return rearrange([shown, present.to(values)], "two b controls f -> b (controls two) f")


# ------------------------------------------------------------------ asking


def check_request(asked: Mapping[str, Points], controls: Sequence[str]) -> None:
    """Refuse curves that a model with these `controls` cannot follow.

    Raises:
        CapabilityError: If the model has no controls at all.
        ConfigError: For an unknown name, no points, a value outside [0, 1], or times that do not
            rise.
    """
    if asked and not controls:
        raise CapabilityError(
            "this model was trained without controls; leave them out, or use a model that has "
            f"{', '.join(asked)} (`ritornello models` lists them)"
        )
    for name, points in asked.items():
        _require_known(name, controls)
        if not points:
            raise ConfigError(f"control {name!r} has no points; expected pairs (seconds, value)")
        for seconds, value in points:
            if not 0 <= value <= 1:
                raise ConfigError(f"control {name!r} is {value:g} at {seconds:g} s; expected 0..1")
        times = [seconds for seconds, _ in points]
        if not all(map(math.isfinite, times)) or sorted(set(times)) != times:
            raise ConfigError(f"control {name!r} has times {times}; expected rising seconds")


def asked_conditions(
    asked: Mapping[str, Points], controls: Sequence[str], times_s: Float[np.ndarray, " frames"]
) -> Float[Tensor, "1 channels frames"]:
    """Conditions at `times_s` for curves interpolated linearly and held at both ends.

    A control that is not asked for is not present, and the music is free in it.
    """
    shape = 1, len(controls), len(times_s)
    values = torch.zeros(shape, dtype=torch.float64)
    present = torch.zeros(shape, dtype=torch.bool)
    for row, name in enumerate(controls):
        if name in asked:
            seconds, heights = zip(*asked[name], strict=True)
            values[0, row] = torch.from_numpy(np.interp(times_s, seconds, heights))
            present[0, row] = True
    return _with_presence(values, present)


def drawn_controls(
    typical: Typical, controls: Sequence[str], draws: np.random.Generator
) -> dict[str, Points]:
    """Constants for a piece that asks for nothing; none where nothing typical is known."""
    if not typical:
        return {}
    row = typical[int(draws.integers(len(typical)))]
    return {
        name: ((0.0, value),)
        for name, value in zip(controls, row, strict=True)
        if value is not None
    }


def _require_known(name: str, known: Iterable[str]) -> None:
    """Refuse a control that is not among `known`."""
    names = list(known)
    if name not in names:
        hint = nearest(name, names)
        every = "" if hint.startswith("known") else f" (known: {', '.join(names)})"
        raise ConfigError(f"there is no control {name!r}; {hint}{every}")
