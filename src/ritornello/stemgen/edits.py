"""What is known of a stem before anything is drawn: all frames of a given one that are to stay.

    nothing asked inside a range    it is made anew
    variation v                     a share v of its frames is, at places that the seed decides
    keep_onsets                     frames around attacks stay: the rhythm does, notes may change
    every                           every so manieth frame stays: the outline does

A frame stays or goes with all its levels, as finer ones say nothing without the coarser.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ritornello.audio.features import onset_times
from ritornello.errors import ConfigError
from ritornello.interfaces import Audio
from ritornello.stemgen.combiner import FREE, PLAY, REST
from ritornello.stemgen.options import StemGenOptions

BEFORE_ONSET_S = 0.02
AFTER_ONSET_S = 0.06
FADE_S = 0.01

Frames = Bool[Tensor, " frames"]


def kept_frames(
    options: StemGenOptions,
    frames: int,
    frame_rate_hz: float,
    onsets_s: list[float],
    draw: torch.Generator,
) -> Frames:
    """True where the given stem stays as it is.

    Args:
        options: What is to change.
        frames: Of the piece.
        frame_rate_hz: Of frames.
        onsets_s: Attacks of the given stem, where they are to be kept.
        draw: Of the places that a variation changes.
    """
    is_new = torch.zeros(frames, dtype=torch.bool)
    first, last = range_frames(options.edit, frames, frame_rate_hz)
    is_new[first:last] = True
    if options.variation is not None:
        changed = round(options.variation * (last - first))
        order = torch.randperm(last - first, generator=draw)
        is_new[first + order[changed:]] = False
    if options.every is not None:
        is_new[:: options.every] = False
    if options.keep_onsets:
        is_new &= ~around(onsets_s, frames, frame_rate_hz)
    return ~is_new


def refuse_nothing_new(kept: Frames, options: StemGenOptions, seconds: float) -> None:
    """Refuse an edit that would change nothing, unless a variation of 0 asks for just that.

    Raises:
        ConfigError: Says how long the stem is, and what was asked for.
    """
    if options.variation == 0 or not kept.all():
        return
    where = "" if options.edit is None else f" from {options.edit[0]:g} s to {options.edit[1]:g} s"
    raise ConfigError(
        f"nothing{where} of the {seconds:.3f} s would be made anew; choose a range within the stem "
        "of at least a frame, a larger --variation, or keep less"
    )


def range_frames(
    edit: Sequence[float] | None, frames: int, frame_rate_hz: float
) -> tuple[int, int]:
    """First frame of an edit and one past its last; all of them for None."""
    if edit is None:
        return 0, frames
    start_s, stop_s = edit
    first = min(frames, round(start_s * frame_rate_hz))
    return first, max(first, min(frames, round(stop_s * frame_rate_hz)))


def around(onsets_s: list[float], frames: int, frame_rate_hz: float) -> Frames:
    """True for the frames in which an attack happens."""
    found = torch.zeros(frames, dtype=torch.bool)
    for onset_s in onsets_s:
        first = int((onset_s - BEFORE_ONSET_S) * frame_rate_hz)
        last = int((onset_s + AFTER_ONSET_S) * frame_rate_hz) + 1
        found[max(0, first) : max(0, last)] = True
    return found


def onsets_of(stem: Audio) -> list[float]:
    """Seconds of a stem's attacks."""
    return onset_times(stem).tolist()


def activity_frames(
    points: Sequence[Sequence[float]], frames: int, frame_rate_hz: float
) -> Int64[Tensor, " frames"]:
    """What every frame is told: to play, to rest, or to do as it likes.

    Args:
        points: (second, 0 or 1) in order; each holds until the next, the last to the end.
        frames: Of the piece.
        frame_rate_hz: Of frames.
    """
    told = torch.full((frames,), FREE, dtype=torch.int64)
    for at_s, value in points:
        told[round(at_s * frame_rate_hz) :] = PLAY if value else REST
    return told


def pasted(
    made: Float[np.ndarray, "1 time"],
    given: Float[np.ndarray, "1 time"],
    start: int,
    edit: Sequence[float],
    sample_rate: int,
) -> Float[np.ndarray, "1 time"]:
    """What was made inside the range of an edit, what was given outside; short fades between them.

    Args:
        made: A stretch of the stem.
        given: The same stretch before.
        start: Its first sample's place in the piece.
        edit: First and last second of the range.
        sample_rate: Of both.
    """
    at_s = (start + np.arange(made.shape[1])) / sample_rate
    beyond_s = np.maximum(edit[0] - at_s, at_s - edit[1])
    share = np.clip(1 - beyond_s / FADE_S, 0, 1)
    gain = (0.5 - 0.5 * np.cos(np.pi * share)).astype(np.float32)
    return gain * made + (1 - gain) * given
