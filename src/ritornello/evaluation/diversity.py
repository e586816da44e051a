"""Do the takes differ, and does one take change as it goes on? Variety relative to real music.

Conventions
    generated   features of takes (takes, dim), see `excerpts`
    real        features of real excerpts of the same length (excerpts, dim)
    recordings  for every take or excerpt the recording it is from (see `patches`); both sets are
                resampled by recordings, as the reference is a sample too

Metrics
    variety_ratio    mean distance between takes over the mean distance between real excerpts;
                     about 1 is as varied as the real set, near 0 is a collapsed generator
    inner_variety    the same between the pieces of one take, over that of one real recording

Distances are Euclidean between standardised features, so that a ratio well above 1 is no praise:
noise also differs from music.
"""

import numpy as np
from jaxtyping import Float

from ritornello.errors import DataError
from ritornello.evaluation.excerpts import standardised
from ritornello.evaluation.intervals import Estimate, resampled_pair, spread
from ritornello.evaluation.patches import Recordings, item_numbers

SPLITS = 200

Set = Float[np.ndarray, "_excerpts dim"]
PiecedSet = Float[np.ndarray, "_recordings _pieces dim"]


def validate(features: Float[np.ndarray, "... dim"], what: str) -> None:
    """Refuse sets in which no two excerpts can be compared.

    Raises:
        DataError: Fewer than two excerpts (pieces), or features that are not finite.
    """
    if features.shape[-2] < 2:
        raise DataError(f"got {features.shape[-2]} {what}; expected at least two to compare")
    if not np.isfinite(features).all():
        raise DataError(f"the features of the {what} hold NaN or infinity")


def pairwise_distances(
    features: Float[np.ndarray, "*lead excerpts dim"],
) -> Float[np.ndarray, "*lead excerpts excerpts"]:
    """Euclidean distances between all rows."""
    gaps = features[..., :, None, :] - features[..., None, :, :]
    return np.sqrt(np.sum(gaps**2, axis=-1))


def mean_distance(
    distances: Float[np.ndarray, "excerpts excerpts"], chosen: np.ndarray | None = None
) -> float:
    """Mean distance over pairs of different excerpts among the chosen ones (default: all).

    A resampled set names some excerpts twice; an excerpt and its double are no pair.
    """
    chosen = np.arange(len(distances)) if chosen is None else chosen
    different = chosen[:, None] != chosen[None, :]
    if not different.any():
        return 0.0
    return float(distances[np.ix_(chosen, chosen)][different].mean())


def clips_by_item(clips: int, recordings: Recordings) -> list[np.ndarray]:
    """The indices of the clips of every recording."""
    if recordings is not None and len(recordings) != clips:
        raise DataError(
            f"got {len(recordings)} recordings for {clips} clips; expected one for each"
        )
    item = np.array(item_numbers(clips, recordings))
    return [np.flatnonzero(item == number) for number in range(item.max() + 1)]


def variety_ratio(
    generated: Set,
    real: Set,
    draw: np.random.Generator,
    *,
    generated_recordings: Recordings = None,
    reference_recordings: Recordings = None,
) -> Estimate:
    """Mean distance between takes over that between real excerpts, interval over recordings.

    Raises:
        DataError: Fewer than two takes or excerpts, or real excerpts that are all the same.
    """
    validate(generated, "takes")
    validate(real, "real excerpts")
    usual = pairwise_distances(standardised(real, real))
    if mean_distance(usual) == 0:
        raise DataError("the real excerpts are all the same; expected different recordings")
    distances = pairwise_distances(standardised(generated, real))
    made = clips_by_item(len(generated), generated_recordings)
    true = clips_by_item(len(real), reference_recordings)

    def ratio(chosen: np.ndarray, others: np.ndarray) -> float:
        over = mean_distance(usual, np.concatenate([true[n] for n in others]))
        # One excerpt drawn over and over differs from nothing: no figure.
        return mean_distance(distances, np.concatenate([made[n] for n in chosen])) / (
            over or np.nan
        )

    return resampled_pair(len(made), len(true), ratio, draw)


def inner_variety(
    generated: PiecedSet,
    real: PiecedSet,
    draw: np.random.Generator,
    *,
    generated_recordings: Recordings = None,
    reference_recordings: Recordings = None,
) -> Estimate:
    """Mean distance between pieces of one take over that in real ones, interval over recordings.

    Args:
        generated: Features of the pieces of every take, in pieces of the same length.
        real: The same of real recordings.
        draw: Source of the resampling.
        generated_recordings: As `ClipSet.recordings`.
        reference_recordings: The same of the reference.

    Raises:
        DataError: Fewer than two pieces per take, or real recordings that never change.
    """
    validate(generated, "pieces per take")
    validate(real, "pieces per real recording")
    every_real = real.reshape(-1, real.shape[-1])
    usual, each = (
        np.array([mean_distance(one) for one in pairwise_distances(standardised(x, every_real))])
        for x in (real, generated)
    )
    if usual.mean() == 0:
        raise DataError("the real recordings never change; expected music")
    made = clips_by_item(len(generated), generated_recordings)
    true = clips_by_item(len(real), reference_recordings)

    def ratio(chosen: np.ndarray, others: np.ndarray) -> float:
        inside = each[np.concatenate([made[n] for n in chosen])].mean()
        over = usual[np.concatenate([true[n] for n in others])].mean()
        return float(inside / (over or np.nan))

    return resampled_pair(len(made), len(true), ratio, draw)


def evaluate(
    generated: PiecedSet,
    real: PiecedSet,
    draw: np.random.Generator,
    *,
    generated_recordings: Recordings = None,
    reference_recordings: Recordings = None,
) -> dict[str, Estimate]:
    """Variety among takes (their pieces averaged) and inside takes; recordings as `ClipSet`'s."""
    recordings = {
        "generated_recordings": generated_recordings,
        "reference_recordings": reference_recordings,
    }
    return {
        "variety_ratio": variety_ratio(
            generated.mean(axis=1), real.mean(axis=1), draw, **recordings
        ),
        "inner_variety": inner_variety(generated, real, draw, **recordings),
    }


def null(
    real: PiecedSet, draw: np.random.Generator, recordings: Recordings = None
) -> dict[str, Estimate]:
    """The same figures of one half of the real recordings over the other: about 1.

    The median and the 95 % range over random halves: how far from 1 sets of this size get when
    both are real. Nothing with fewer than four recordings.
    """
    items = clips_by_item(len(real), recordings)
    if len(items) < 4:
        return {}
    every = real.reshape(-1, real.shape[-1])
    apart = pairwise_distances(standardised(real.mean(axis=1), real.mean(axis=1)))
    inside = np.array([mean_distance(one) for one in pairwise_distances(standardised(real, every))])
    ratios: dict[str, list[float]] = {"variety_ratio": [], "inner_variety": []}
    for _ in range(SPLITS):
        order = draw.permutation(len(items))
        one, other = (
            np.concatenate([items[n] for n in half])
            for half in (order[: len(items) // 2], order[len(items) // 2 :])
        )
        over = mean_distance(apart, other)
        ratios["variety_ratio"].append(mean_distance(apart, one) / (over or np.nan))
        ratios["inner_variety"].append(float(inside[one].mean() / (inside[other].mean() or np.nan)))
    return {name: spread(values, len(items) // 2) for name, values in ratios.items()}
