"""Where a stem plays and where it rests: levels frame by frame, and what counts as playing.

A stem plays where its level is above ACTIVE_DBFS. Gaps shorter than BRIDGED_S belong to playing:
otherwise the curve would spell the rhythm out, and a curve drawn by hand, which says no more than
"from here to there", would be unlike any that was trained on.

Axes: (..., time) samples, (..., frames) frames of the codec.
"""

import numpy as np
from jaxtyping import Bool, Float32, UInt8

ACTIVE_DBFS = -50.0
BRIDGED_S = 1.0
SOUNDING = 0.05
"""Share of an excerpt's frames that have to play for it not to be silent."""

_STEPS_PER_DB = 2


def frame_levels(
    wave: Float32[np.ndarray, "*lead time"], hop_samples: int
) -> UInt8[np.ndarray, "*lead frames"]:
    """Level of each whole frame as half decibels below full scale: 0 is loudest, 255 is silence.

    The level is the root mean square of the frame's samples.
    """
    frames = wave.shape[-1] // hop_samples
    blocks = wave[..., : frames * hop_samples].reshape(*wave.shape[:-1], frames, hop_samples)
    power = np.square(blocks, dtype=np.float64).mean(axis=-1)
    below = -10 * np.log10(np.maximum(power, 1e-30))
    return np.clip(np.round(below * _STEPS_PER_DB), 0, 255).astype(np.uint8)


def active(
    levels: UInt8[np.ndarray, "batch frames"], frame_rate_hz: float
) -> Bool[np.ndarray, "batch frames"]:
    """Whether the stem plays at each frame; short gaps between playing count as playing."""
    plays = levels < -ACTIVE_DBFS * _STEPS_PER_DB
    reach = int(BRIDGED_S * frame_rate_hz / 2)
    return ~_spread(~_spread(plays, reach), reach)


def is_silent(levels: UInt8[np.ndarray, " frames"]) -> bool:
    """Whether hardly any frame sounds."""
    return bool((levels < -ACTIVE_DBFS * _STEPS_PER_DB).mean() < SOUNDING)


def _spread(flags: np.ndarray, reach: int) -> np.ndarray:
    """Flags that are set where any within `reach` frames is; beyond the ends none is."""
    padded = np.pad(flags, ((0, 0), (reach + 1, reach)))
    counts = padded.cumsum(axis=1)
    return counts[:, 2 * reach + 1 :] > counts[:, : -2 * reach - 1]
