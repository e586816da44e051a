"""Can one hear where a piece was put together? Spectral flux at joints against elsewhere.

A piece made in chunks has joints at known moments. If they are audible, the spectrum changes there
more than it changes at other moments of the same music.

Conventions
    waves      pieces, each float (channels, time), all with joints at the same moments
    joints_s   moments of the joints in seconds, (joints,)
    step_s     seconds of one step of the grid the piece was made on, e.g. a codec's frame

Metrics
    seam_ratio     mean change at the joints over the mean change elsewhere; 1 is seamless
    seam_p_value   share of randomly placed rows of joints with at least this much change

The null is the same row of joints moved by a random number of steps (around the end and back to
the start), which keeps the number and the spacing of the joints and loses only their place. Whole
steps, because a codec changes its output more at its own frames than between them: that is texture,
not a seam. Every piece is measured in units of its own mean change elsewhere, so that lively pieces
count no more than calm ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ritornello.errors import DataError
from ritornello.evaluation.intervals import Estimate, mean_interval, without_interval
from ritornello.evaluation.onsets import band_levels, hop_samples

REACH_S = 0.012
NULL_ROWS = 1000

Wave = Float[np.ndarray, "channels _time"]
Moments = Float[np.ndarray, " joints"]


@dataclass(frozen=True, kw_only=True)
class Seams:
    """The seams of one piece or of several.

    Attributes:
        ratio: Change at joints over change elsewhere, with its interval over joints.
        p_value: Share of random rows with at least the change found at the joints, in (0, 1].
    """

    ratio: Estimate
    p_value: float


def validate(wave: Wave, sample_rate: int, joints_s: Moments, step_s: float) -> None:
    """Refuse joints that are not inside the piece.

    Raises:
        DataError: No joints, a joint outside the piece, or a step as long as the piece.
    """
    duration_s = wave.shape[-1] / sample_rate
    if not joints_s.size:
        raise DataError("got no joints; expected a piece longer than one chunk")
    if not 0 < step_s < duration_s:
        raise DataError(f"step_s is {step_s:g}; expected more than 0 and less than {duration_s:g}")
    if joints_s.min() <= 0 or joints_s.max() >= duration_s:
        raise DataError(
            f"joints reach from {joints_s.min():g} to {joints_s.max():g} s; expected moments "
            f"inside the piece, 0 to {duration_s:g} s"
        )


def spectral_flux(wave: Wave, sample_rate: int) -> Float[np.ndarray, " frames"]:
    """Mean absolute change of the mel bands since the frame before, in dB; 0 at the first frame.

    Rises and falls both count: a joint can cut a note off as well as start one.
    """
    levels = band_levels(wave, sample_rate)
    flux = np.zeros(levels.shape[1])
    flux[1:] = np.abs(np.diff(levels, axis=1)).mean(axis=0)
    return flux


def flux_near(
    flux: Float[np.ndarray, " frames"], frame_rate_hz: float, moments_s: Float[np.ndarray, "*lead"]
) -> Float[np.ndarray, "*lead"]:
    """Largest flux within 12 ms of each moment, in dB."""
    reach = max(1, round(REACH_S * frame_rate_hz))
    padded = np.pad(flux, reach)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=-1)
    frames = np.minimum(np.round(moments_s * frame_rate_hz).astype(int), len(flux) - 1)
    return around[frames]


def change_at_joints(
    wave: Wave, sample_rate: int, joints_s: Moments, step_s: float, draw: np.random.Generator
) -> tuple[Float[np.ndarray, " joints"], Float[np.ndarray, " rows"]]:
    """Change at each joint, and mean change of each moved row, over the mean of all of these.

    Raises:
        DataError: As `validate`; or nothing changes anywhere in the piece.
    """
    validate(wave, sample_rate, joints_s, step_s)
    frame_rate_hz = sample_rate / hop_samples(sample_rate)
    flux = spectral_flux(wave, sample_rate)
    steps = int(wave.shape[-1] / sample_rate / step_s)
    shifts_s = step_s * draw.integers(steps, size=(NULL_ROWS, 1))
    moved = flux_near(flux, frame_rate_hz, (joints_s + shifts_s) % (steps * step_s)).mean(axis=1)
    usual = float(moved.mean())
    if usual == 0:
        raise DataError("the spectrum never changes: seams cannot be told in silence")
    return flux_near(flux, frame_rate_hz, joints_s) / usual, moved / usual


def seam_ratio(
    waves: Sequence[Wave],
    sample_rate: int,
    joints_s: Moments,
    step_s: float,
    draw: np.random.Generator,
) -> Seams:
    """Change at the joints over change elsewhere, its interval over joints, and the null.

    Raises:
        DataError: No pieces; or as `change_at_joints`.
    """
    if not waves:
        raise DataError("got no pieces, expected at least one")
    each = [change_at_joints(wave, sample_rate, joints_s, step_s, draw) for wave in waves]
    at_joints = np.concatenate([at for at, _ in each])
    null = np.mean([moved for _, moved in each], axis=0)
    exceeding = int(np.sum(null >= at_joints.mean()))
    return Seams(ratio=mean_interval(at_joints, draw), p_value=(1 + exceeding) / (1 + NULL_ROWS))


def evaluate(
    waves: Sequence[Wave],
    sample_rate: int,
    joints_s: Moments,
    step_s: float,
    draw: np.random.Generator,
) -> dict[str, Estimate]:
    """The ratio with its interval over joints (one joint has none), and the p-value.

    Raises:
        DataError: As `seam_ratio`.
    """
    seams = seam_ratio(waves, sample_rate, joints_s, step_s, draw)
    return {
        "seam_ratio": seams.ratio,
        "seam_p_value": without_interval(seams.p_value, seams.ratio.items),
    }
