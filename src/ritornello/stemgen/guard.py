"""A window that went wrong, silent or clipped, is noticed and made anew with half the guidance.

Too much guidance drives a small network into silence, or into noise at full scale. Both are heard
in the decoded window before it is kept; what was done about it is told.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, Int64

from ritornello.audio.features import clipping_ratio
from ritornello.stemgen.activity import frame_levels, is_silent
from ritornello.stemgen.combiner import PLAY, REST
from ritornello.stemgen.config import DecodingConfig

CLIPPED_SHARE = 0.01
LEAST_FREE_S = 1.0
"""A stem that may do as it likes may also rest for as long as this."""


@dataclass(frozen=True, kw_only=True)
class Retry:
    """A window that was made anew.

    Attributes:
        start_s: Where it begins.
        stop_s: Where it ends.
        problem: What was wrong with it.
        guidance: Weight of the context that was then tried.
    """

    start_s: float
    stop_s: float
    problem: str
    guidance: float


def problem_of(
    wave: Float32[np.ndarray, " time"],
    activity: Int64[np.ndarray, " frames"],
    is_new: Bool[np.ndarray, " frames"],
    hop_samples: int,
    sample_rate: int,
) -> str | None:
    """What is wrong with a window; None when nothing is.

    Args:
        wave: Its audio, whole frames.
        activity: What each frame was told.
        is_new: Frames that were made, and are judged.
        hop_samples: Of a frame.
        sample_rate: Of the audio.
    """
    frames = wave.reshape(-1, hop_samples)
    if clipping_ratio(frames[is_new].reshape(1, -1)) > CLIPPED_SHARE:
        return "clipped"
    levels = frame_levels(wave, hop_samples)
    plays = is_new & (activity == PLAY)
    if plays.any() and is_silent(levels[plays]):
        return "silent where it should play"
    judged = is_new & (activity != REST)
    is_long = judged.sum() * hop_samples >= LEAST_FREE_S * sample_rate
    return "silent" if is_long and is_silent(levels[judged]) else None


def softened(config: DecodingConfig) -> DecodingConfig:
    """With half the guidance; a weight of 1 is none, and stays."""
    guidance = config.guidance
    halves = (one if one <= 1 else max(1.0, one / 2) for one in (guidance.context, guidance.stem))
    context, stem = halves
    return replace(config, guidance=replace(guidance, context=context, stem=stem))
