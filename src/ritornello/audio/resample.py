"""Resampling with an exact length law, by soxr's high quality band-limited filter.

A span of a long signal is resampled from the stretch around it: it begins where the grids of both
rates meet and has a margin on both sides, so that its samples are those of the whole resampled.
Signals that go round, such as loops, are resampled through their spectrum, which knows no ends.
"""

import math

import numpy as np
import soxr
from jaxtyping import Float

from ritornello.errors import AudioError

MARGIN_S = 0.1
"""Context on both sides of a span."""


def resampled_length(time: int, from_rate: int, to_rate: int) -> int:
    """Samples that `time` samples become: time * to_rate / from_rate, halves rounded up."""
    return (2 * time * to_rate + from_rate) // (2 * from_rate)


def resample(
    samples: Float[np.ndarray, "channels time"], from_rate: int, to_rate: int
) -> Float[np.ndarray, "channels new_time"]:
    """`samples` at another rate: float32, exactly `resampled_length` long, without delay."""
    if from_rate <= 0 or to_rate <= 0:
        raise AudioError(f"got rates {from_rate} and {to_rate} Hz; expected positive whole numbers")
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    if from_rate == to_rate:
        return samples
    length = resampled_length(samples.shape[1], from_rate, to_rate)
    if length == 0 or samples.shape[1] == 0:
        return np.zeros((samples.shape[0], length), np.float32)
    fresh = soxr.resample(samples.T, from_rate, to_rate).T[:, :length]
    # soxr rounds in its own way; the missing sample, if any, holds the last value
    fresh = np.pad(fresh, ((0, 0), (0, length - fresh.shape[1])), mode="edge")
    return np.ascontiguousarray(fresh, dtype=np.float32)


def source_span(
    time: int, from_rate: int, to_rate: int, start: int, stop: int
) -> tuple[int, int, int]:
    """The stretch of `time` samples that samples [start, stop) at the other rate are made from.

    Returns:
        Its first sample, one past its last, and the place of its first at the other rate.
    """
    common = math.gcd(from_rate, to_rate)
    from_step, step = from_rate // common, to_rate // common
    margin = 0 if from_step == step else math.ceil(MARGIN_S * common)
    first = max(0, start // step - margin)
    last = min(time, (-(-stop // step) + margin) * from_step)
    return first * from_step, last, first * step


def resample_span(
    samples: Float[np.ndarray, "channels time"], from_rate: int, to_rate: int, start: int, stop: int
) -> Float[np.ndarray, "channels span"]:
    """Samples [start, stop) of `resample(samples, from_rate, to_rate)`, from what they need."""
    first, last, offset = source_span(samples.shape[1], from_rate, to_rate, start, stop)
    return resample(samples[:, first:last], from_rate, to_rate)[:, start - offset : stop - offset]


def resample_ring(
    samples: Float[np.ndarray, "channels time"], length: int
) -> Float[np.ndarray, "channels new_time"]:
    """A signal that goes round, once round in `length` samples, band-limited."""
    time = samples.shape[1]
    if time == length:
        return samples
    spectrum = np.fft.rfft(samples.astype(np.float64))
    kept = min(time, length) // 2 + 1
    fresh = np.zeros((samples.shape[0], length // 2 + 1), np.complex128)
    fresh[:, :kept] = spectrum[:, :kept]
    if min(time, length) % 2 == 0:
        # One of the two rates has this frequency at half its rate, where sine and cosine are one.
        fresh[:, kept - 1] = fresh[:, kept - 1].real * (0.5 if length > time else 2)
    return (np.fft.irfft(fresh, length) * (length / time)).astype(np.float32)
