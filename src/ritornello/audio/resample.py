"""Resampling with an exact length law, by soxr's high quality band-limited filter."""

import numpy as np
import soxr
from jaxtyping import Float

from ritornello.errors import AudioError


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
