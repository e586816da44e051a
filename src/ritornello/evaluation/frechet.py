"""How far a generated set lies from a real one as a whole: a Frechet distance without embedding.

This is NOT the Frechet audio distance (FAD): there the excerpts are embedded by a network trained
on audio, here they are described by the few hand-made numbers of `excerpts`. The figures of the two
cannot be compared. What this one can say: whether the generated set can be told from real
recordings in register, loudness, movement, pace and pitch classes, and by how much.

Conventions
    real, generated   features (clips, pieces, dim): several pieces of each clip
    recordings        for every clip the recording it is from (see `patches`)

Metrics
    frechet_distance       squared distance of two Gaussians; 0 for equal sets
    distance and null      generated against real, and real against real, at the same sample size

The distance of two finite sets is above 0 even when both are drawn from the same music, and more
so the smaller the sets. Hence the null: the real recordings are split in halves at random (whole
recordings, since clips of one are alike), and the generated set is compared with halves of the
same size. Only the gap between the two means anything. The interval of the distance is its spread
over halves of both sets, as in `fad`; that of the null the range over splits.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ritornello.errors import DataError
from ritornello.evaluation.excerpts import standardised
from ritornello.evaluation.intervals import Estimate, around, spread, without_interval
from ritornello.evaluation.patches import PatchSet, Recordings, gathered, halves

SPLITS = 200
FEWEST_TO_HALVE = 4

Mean = Float[np.ndarray, " dim"]
Covariance = Float[np.ndarray, "dim dim"]
PiecedSet = Float[np.ndarray, "_clips _pieces dim"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A generated set against a real one.

    Attributes:
        distance: Generated against halves of the real set: median over splits, with the interval
            over halves of both sets; without one if a set has fewer than four recordings.
        null: Real halves against each other, at the same size: median and 95 % range over splits.
    """

    distance: Estimate
    null: Estimate


def symmetric_root(matrix: Covariance) -> Covariance:
    """The symmetric square root of a positive semi-definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def any_root(matrix: Covariance) -> Covariance:
    """Some R with `R R^T = matrix`: Cholesky's, which is far quicker, or else the symmetric one."""
    try:
        return np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:  # Less than full rank.
        return symmetric_root(matrix)


def frechet_distance(
    mean: Mean, covariance: Covariance, other_mean: Mean, other_covariance: Covariance
) -> float:
    """`|m1 - m2|^2 + tr(C1 + C2 - 2 (C1^(1/2) C2 C1^(1/2))^(1/2))` of two Gaussians, >= 0.

    The trace of the root is taken from the eigenvalues of a symmetric matrix, so that it stays
    real for covariances of less than full rank. `R^T C2 R` has the eigenvalues of `C1 C2` for any
    root R of C1.
    """
    root = any_root(covariance)
    between = root.T @ other_covariance @ root
    values = np.linalg.eigvalsh((between + between.T) / 2)
    cross = float(np.sqrt(np.maximum(values, 0)).sum())
    apart = float(np.sum((mean - other_mean) ** 2))
    return max(0.0, apart + float(np.trace(covariance) + np.trace(other_covariance)) - 2 * cross)


def set_distance(
    one: Float[np.ndarray, "excerpts dim"], other: Float[np.ndarray, "others dim"]
) -> float:
    """Frechet distance of the Gaussians fitted to two sets of features.

    Raises:
        DataError: Fewer than two excerpts in a set.
    """
    if min(len(one), len(other)) < 2:
        raise DataError(f"got {len(one)} and {len(other)} excerpts; expected two or more in each")
    return frechet_distance(
        one.mean(axis=0),
        np.cov(one, rowvar=False),
        other.mean(axis=0),
        np.cov(other, rowvar=False),
    )


def validate(
    real: PiecedSet,
    generated: PiecedSet,
    real_recordings: Recordings = None,
    generated_recordings: Recordings = None,
) -> None:
    """Refuse sets too small to split.

    Raises:
        DataError: Fewer than four real clips or two generated ones, not finite, or another number
            of recordings than of clips.
    """
    if len(real) < 4 or len(generated) < 2:
        raise DataError(
            f"got {len(real)} real and {len(generated)} generated clips; expected at least 4 and 2"
        )
    if not (np.isfinite(real).all() and np.isfinite(generated).all()):
        raise DataError("features hold NaN or infinity; expected finite values")
    for clips, recordings in ((real, real_recordings), (generated, generated_recordings)):
        if recordings is not None and len(recordings) != len(clips):
            raise DataError(
                f"got {len(recordings)} recordings for {len(clips)} clips; expected one for each"
            )


def compare(
    real: PiecedSet,
    generated: PiecedSet,
    draw: np.random.Generator,
    *,
    generated_recordings: Recordings = None,
    reference_recordings: Recordings = None,
) -> Comparison:
    """Generated against real and real against real, over random halves of the same size.

    Features are standardised by the real set first. `items` of both figures is the number of
    recordings on each side.

    Args:
        real: Features of the real clips.
        generated: Features of the clips to judge.
        draw: Source of splits and halves.
        generated_recordings: As `ClipSet.recordings`; clips of one piece stay together.
        reference_recordings: The same of the real clips.

    Raises:
        DataError: As `validate`.
    """
    validate(real, generated, reference_recordings, generated_recordings)
    dim = real.shape[-1]
    scaled = [standardised(x, real.reshape(-1, dim)) for x in (generated, real)]
    made = gathered(list(scaled[0]), generated_recordings)
    true = gathered(list(scaled[1]), reference_recordings)
    size = min(true.items // 2, made.items)
    distances, null = [], []
    for _ in range(SPLITS):
        order = draw.permutation(true.items)
        half, other_half = (true.of_items(x) for x in (order[:size], order[size : 2 * size]))
        some = made.of_items(draw.permutation(made.items)[:size])
        distances.append(set_distance(some, half))
        null.append(set_distance(other_half, half))
    return Comparison(
        distance=_with_spread(float(np.median(distances)), made, true, size, draw),
        null=spread(null, size),
    )


def _with_spread(
    value: float, made: PatchSet, true: PatchSet, size: int, draw: np.random.Generator
) -> Estimate:
    """A distance with its interval over halves of both sets."""
    if min(made.items, true.items) < FEWEST_TO_HALVE:
        return without_interval(value, size)
    found = [
        set_distance(made.of_items(some), true.of_items(others))
        for some, others in halves(made, true, draw)
    ]
    return around(value, float(np.std(found, ddof=1)), size, lowest=0.0)


def evaluate(
    real: PiecedSet,
    generated: PiecedSet,
    draw: np.random.Generator,
    *,
    generated_recordings: Recordings = None,
    reference_recordings: Recordings = None,
) -> dict[str, Estimate]:
    """The distance and its null by name; arguments as of `compare`."""
    comparison = compare(
        real,
        generated,
        draw,
        generated_recordings=generated_recordings,
        reference_recordings=reference_recordings,
    )
    return {"frechet_distance": comparison.distance, "frechet_null": comparison.null}
