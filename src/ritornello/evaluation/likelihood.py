"""How surprised a model is by music it has never seen: negative log-likelihood of codes.

Conventions
    codes               int (codebooks, frames) in 0 .. classes-1, one array per recording; 8-bit
                        audio is one codebook of 256 classes, a frame is then a sample
    log_probabilities   float (codebooks, frames, classes): natural logarithm of what the model
                        gave each class before it saw it
    surprise            float (codebooks, frames): -log p of the code that came, in nats

Metrics
    nll_nats            nats per frame, all its codebooks together; lower is better
    bits_per_token      bits per code
    unigram_nats        nats per frame of always guessing the training codes' frequencies
    uniform_nats        nats per frame of knowing nothing: codebooks times ln(classes)
    gain_nats           unigram less model: what the model learnt beyond frequencies; 0 is nothing

Figures of two models can be compared only when both predict the same codes: a codec with a smaller
alphabet is easier to predict and says less. Long recordings count more than short ones, as every
frame counts the same; the interval is over recordings. One recording has none, nor has
uniform_nats, which is arithmetic.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from ritornello.errors import DataError
from ritornello.evaluation.intervals import Estimate, resampled, without_interval

SMOOTHING = 1.0
"""Added to every count, so that a code that training never showed is surprising, not impossible."""

Codes = Int[np.ndarray, "codebooks _frames"]
Surprise = Float[np.ndarray, "codebooks _frames"]


def validate(recordings: Sequence[Codes], classes: int) -> None:
    """Refuse codes that no distribution over `classes` can score.

    Raises:
        DataError: No recordings, an empty one, different codebooks, or codes outside the range.
    """
    if not recordings:
        raise DataError("got 0 recordings of codes; expected at least one")
    if len({len(codes) for codes in recordings}) > 1:
        counts = sorted({len(codes) for codes in recordings})
        raise DataError(f"recordings have {counts} codebooks; expected the same number in all")
    for index, codes in enumerate(recordings):
        if codes.size == 0:
            raise DataError(f"recording {index} holds no codes; leave it out")
        if codes.min() < 0 or codes.max() >= classes:
            raise DataError(
                f"recording {index} has codes from {codes.min()} to {codes.max()}; expected 0 to "
                f"{classes - 1}"
            )


def surprise(
    log_probabilities: Float[np.ndarray, "codebooks frames classes"],
    codes: Int[np.ndarray, "codebooks frames"],
) -> Float[np.ndarray, "codebooks frames"]:
    """`-log p` in nats of each code that came.

    Raises:
        DataError: The codes are not classes, or the probabilities of a code do not add up to one:
            what was passed are logits, or bits.
    """
    validate([codes], log_probabilities.shape[-1])
    total = np.exp(log_probabilities.astype(np.float64)).sum(axis=-1)
    if not np.allclose(total, 1.0, atol=1e-3):
        raise DataError(
            f"probabilities add up to {total.min():.3g} .. {total.max():.3g}; expected 1: pass "
            "natural logarithms of probabilities (a log-softmax), not logits"
        )
    return -np.take_along_axis(log_probabilities, codes[..., None], axis=-1)[..., 0]


def unigram(recordings: Sequence[Codes], classes: int) -> Float[np.ndarray, "codebooks classes"]:
    """Log-probabilities of the classes by their frequency, one more of each being assumed.

    Raises:
        DataError: As `validate`.
    """
    validate(recordings, classes)
    counts = np.stack(
        [
            sum(np.bincount(codes[book], minlength=classes) for codes in recordings)
            for book in range(len(recordings[0]))
        ]
    )
    return np.log((counts + SMOOTHING) / (counts + SMOOTHING).sum(axis=1, keepdims=True))


def unigram_surprise(
    log_frequencies: Float[np.ndarray, "codebooks classes"], codes: Codes
) -> Surprise:
    """`-log p` in nats of each code under fixed frequencies."""
    return -np.take_along_axis(log_frequencies, codes, axis=1)


def uniform_nats(classes: int) -> float:
    """Nats per code of a model that knows nothing; 5.545 for 256 classes."""
    return float(np.log(classes))


def bits(nats: float) -> float:
    """Nats as bits."""
    return nats / float(np.log(2))


def nats_per_frame(recordings: Sequence[Surprise], draw: np.random.Generator) -> Estimate:
    """Mean surprise of a frame, all codebooks together, with its interval over recordings.

    Raises:
        DataError: No recordings, or surprises that are not finite: a model gave probability 0 to
            what came, or NaN.
    """
    if not recordings:
        raise DataError("got 0 recordings to average over; expected at least one")
    sums = np.array([values.sum(dtype=np.float64) for values in recordings])
    frames = np.array([values.shape[-1] for values in recordings])
    if not np.isfinite(sums).all():
        index = int(np.argmin(np.isfinite(sums)))
        raise DataError(
            f"the surprise at recording {index} is not finite: the model gave NaN, or probability "
            "0 to a code that came; smooth its probabilities"
        )
    return resampled(
        len(sums), lambda chosen: float(sums[chosen].sum() / frames[chosen].sum()), draw
    )


def evaluate(
    surprises: Sequence[Surprise],
    codes: Sequence[Codes],
    training: Sequence[Codes],
    classes: int,
    draw: np.random.Generator,
) -> dict[str, Estimate]:
    """All figures of one model on held-out recordings.

    Args:
        surprises: The model's surprise at each held-out recording, as `surprise` gives it.
        codes: The same recordings' codes.
        training: Codes of the training recordings, for the unigram.
        classes: Size of the alphabet.
        draw: Source of the intervals.

    Raises:
        DataError: As `validate`, or surprises and codes of different shapes.
    """
    validate(codes, classes)
    validate(training, classes)
    shapes = [values.shape for values in surprises], [array.shape for array in codes]
    if shapes[0] != shapes[1]:
        raise DataError(f"surprises have shapes {shapes[0]}, codes {shapes[1]}; expected the same")
    frequencies = unigram(training, classes)
    naive = [unigram_surprise(frequencies, array) for array in codes]
    gains = [least - values for least, values in zip(naive, surprises, strict=True)]
    codebooks = len(codes[0])
    nothing = codebooks * uniform_nats(classes)
    model = nats_per_frame(surprises, draw)
    return {
        "nll_nats": model,
        "bits_per_token": Estimate(
            value=bits(model.value) / codebooks,
            low=bits(model.low) / codebooks,
            high=bits(model.high) / codebooks,
            items=model.items,
        ),
        "unigram_nats": nats_per_frame(naive, draw),
        "uniform_nats": without_interval(nothing, len(codes)),
        "gain_nats": nats_per_frame(gains, draw),
    }
