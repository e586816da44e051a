"""How much of what a codec can say is ever said: codebooks in use, bits, effective dimensions.

Conventions
    codes     int (codebooks, frames) in 0 .. size-1 of a TokenCodec, one array per recording
    latents   float (dim, frames) of a LatentCodec, one array per recording

Metrics of codes (mean over codebooks)
    usage               share of the entries that ever occur; 1 is all
    dead_codes          number of entries that never occur
    perplexity          exp(entropy in nats) of the entries' frequencies: how many equally frequent
                        entries would carry as much; at most `size`, 1 when all is one code
    bit_rate            bits per second as stored: frames times codebooks times log2(size)
    entropy_bit_rate    bits per second of a perfect coder that knows the frequencies alone

Metrics of latents
    numbers_per_second  dim times frames per second
    effective_dims      exp(entropy of the shares of variance along the principal axes): the
                        perplexity of a continuous code; at most dim
    dead_dims           dimensions that do not move: variance below a millionth of the largest

The intervals are from the jackknife over recordings; what the codec's sizes alone decide (bit_rate,
numbers_per_second) has none. A bootstrap would draw some recordings twice
and leave others out, and so lose codes: its interval lies below the figure itself.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int

from ritornello.errors import DataError
from ritornello.evaluation import likelihood
from ritornello.evaluation.intervals import Estimate, without_interval

LEAST_CODES_PER_ENTRY = 10
NORMAL_95 = 1.96
DEAD_SHARE = 1e-6

Counts = Int[np.ndarray, "_codebooks _size"]
Weights = Counts | Float[np.ndarray, "_codebooks _size"]
Latents = Float[np.ndarray, "dim _frames"]
Parts = Float[np.ndarray, "recordings ..."] | Int[np.ndarray, "recordings ..."]


def usage_counts(codes: likelihood.Codes, size: int) -> Counts:
    """How often each entry of each codebook occurs, (codebooks, size)."""
    return np.stack([np.bincount(book, minlength=size) for book in codes])


def entropy_nats(counts: Weights) -> Float[np.ndarray, " _codebooks"]:
    """Entropy of the shares of each row, a codebook's counts: 0 to ln(size)."""
    shares = counts / counts.sum(axis=-1, keepdims=True)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return -(shares * logs).sum(axis=-1)


def perplexity(counts: Counts) -> float:
    """`exp(entropy)`, mean over codebooks; 1 to size."""
    return float(np.exp(entropy_nats(counts)).mean())


def warnings(recordings: Sequence[likelihood.Codes], size: int) -> list[str]:
    """What the figures are worth: too few codes make a codebook look less used than it is."""
    frames = sum(codes.shape[-1] for codes in recordings)
    if frames >= LEAST_CODES_PER_ENTRY * size:
        return []
    return [
        f"{frames} frames for {size} entries: usage and perplexity are too low by sample size; "
        f"expected at least {LEAST_CODES_PER_ENTRY * size} frames"
    ]


def evaluate(
    recordings: Sequence[likelihood.Codes], size: int, frame_rate_hz: float
) -> dict[str, Estimate]:
    """All figures of the codes of several recordings.

    Args:
        recordings: Codes of each recording.
        size: Entries of each codebook.
        frame_rate_hz: Frames per second.

    Raises:
        DataError: No recordings, or codes outside 0 .. size-1.
    """
    likelihood.validate(recordings, size)
    counts = np.stack([usage_counts(codes, size) for codes in recordings])
    codebooks = counts.shape[1]
    statistics: dict[str, Callable[[np.ndarray], float]] = {
        "usage": lambda total: float((total > 0).mean()),
        "dead_codes": lambda total: float((total == 0).sum(axis=-1).mean()),
        "perplexity": perplexity,
        "entropy_bit_rate": lambda total: (
            frame_rate_hz * likelihood.bits(entropy_nats(total).sum())
        ),
    }
    figures = {name: jackknife(counts, statistic) for name, statistic in statistics.items()}
    nominal = frame_rate_hz * codebooks * float(np.log2(size))
    return figures | {"bit_rate": without_interval(nominal, len(recordings))}


def jackknife(parts: Parts, statistic: Callable[[np.ndarray], float]) -> Estimate:
    """A figure of the sum of all parts, with the jackknife's 95 % interval over parts.

    The interval is the figure plus and minus 1.96 standard errors, each part being left out once;
    with one part both ends are NaN.
    """
    items, total = len(parts), parts.sum(axis=0)
    value = statistic(total)
    if items == 1:
        return without_interval(value, 1)
    without = np.array([statistic(total - part) for part in parts])
    error = float(np.sqrt((items - 1) / items * np.sum((without - without.mean()) ** 2)))
    reach = NORMAL_95 * error
    return Estimate(value=value, low=value - reach, high=value + reach, items=items)


def effective_dims(covariance: Float[np.ndarray, "dim dim"]) -> float:
    """`exp(-sum s_i ln s_i)` of the shares s of variance along the principal axes; 1 to dim."""
    variances = np.maximum(np.linalg.eigvalsh(covariance), 0)
    return float(np.exp(entropy_nats(variances[None])[0])) if variances.any() else 0.0


def evaluate_latents(recordings: Sequence[Latents], frame_rate_hz: float) -> dict[str, Estimate]:
    """All figures of the latents of several recordings.

    Raises:
        DataError: No recordings, different dimensions, or values that are not finite.
    """
    if not recordings or len({len(latents) for latents in recordings}) > 1:
        dims = sorted({len(latents) for latents in recordings})
        raise DataError(f"got recordings of {dims} dimensions; expected some, all of one number")
    if not all(np.isfinite(latents).all() for latents in recordings):
        raise DataError("latents hold NaN or infinity; expected finite values")
    dim = len(recordings[0])
    moments = np.stack([_moments(latents.astype(np.float64)) for latents in recordings])
    return {
        "numbers_per_second": without_interval(dim * frame_rate_hz, len(recordings)),
        "effective_dims": jackknife(moments, lambda total: effective_dims(_covariance(total))),
        "dead_dims": jackknife(moments, lambda total: _dead(_covariance(total))),
    }


def _moments(latents: Latents) -> Float[np.ndarray, "rows rows"]:
    """Sums of products of the latents and of 1: they add up over recordings."""
    extended = np.concatenate([latents, np.ones((1, latents.shape[1]))])
    return extended @ extended.T


def _covariance(moments: Float[np.ndarray, "rows rows"]) -> Float[np.ndarray, "dim dim"]:
    frames = moments[-1, -1]
    mean = moments[:-1, -1] / frames
    return moments[:-1, :-1] / frames - np.outer(mean, mean)


def _dead(covariance: Float[np.ndarray, "dim dim"]) -> float:
    variances = np.diag(covariance)
    return float(np.sum(variances <= DEAD_SHARE * variances.max()))
