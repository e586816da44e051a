"""The kernel distance: how far a generated set of clips lies from a real one, without bias.

The squared maximum mean discrepancy of two sets of patches under a polynomial kernel of degree 3
(Binkowski et al. 2018, KID, for pictures). Its expectation is the distance itself at any sample
size, so that small sets can be compared, and 0 means no difference found; it may come out below 0.

Conventions
    generated, reference   a list of clips, each the patches (patches, dim) of one embedding
    recordings             for every clip the recording it is from (see `patches`)
    sums                   of the kernel over all patches of two items, (items, items)

Metrics
    kid        generated against reference, all clips, with a bootstrap interval over items
    kid_null   halves of the reference against each other: mean and 95 % range over splits

Deviation: the original leaves out each patch's product with itself, which makes it unbiased for
independent patches. Patches of one recording are alike, so all products within an item are left
out. And nothing is averaged over random blocks: the kernel is summed over pairs of items once,
block by block in constant memory, and every resample is then a weighted sum of these sums.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ritornello.evaluation.intervals import RESAMPLES, Estimate
from ritornello.evaluation.patches import (
    Patches,
    PatchSet,
    Recordings,
    pooled,
    validate_pair,
    warnings_of_pair,
)

DEGREE = 3
BLOCK = 1024
SPLITS = 200

Sums = Float[np.ndarray, "_items _others"]
Weights = Float[np.ndarray, "resamples _items"]


@dataclass(frozen=True, kw_only=True)
class KernelSums:
    """Everything about two sets that their distance, and any resample of it, needs.

    Attributes:
        within: Sums over pairs of items of the first set.
        other_within: Sums over pairs of items of the second set.
        between: Sums over an item of the first and one of the second.
        counts: Patches of each item of the first set.
        other_counts: Patches of each item of the second set.
    """

    within: Float[np.ndarray, "items items"]
    other_within: Float[np.ndarray, "others others"]
    between: Float[np.ndarray, "items others"]
    counts: Float[np.ndarray, " items"]
    other_counts: Float[np.ndarray, " others"]


def kernel(
    one: Float[np.ndarray, "patches dim"], other: Float[np.ndarray, "others dim"]
) -> Float[np.ndarray, "patches others"]:
    """`(x . y / dim + 1)^3` of every pair."""
    return (one @ other.T / one.shape[1] + 1) ** DEGREE


def kernel_sums(one: PatchSet, other: PatchSet) -> Sums:
    """The kernel summed over all patches of each pair of items, in blocks of BLOCK^2 pairs."""
    sums = np.zeros((one.items, other.items))
    for start in range(0, len(one.values), BLOCK):
        rows = slice(start, start + BLOCK)
        items, firsts = np.unique(one.item[rows], return_index=True)
        for other_start in range(0, len(other.values), BLOCK):
            columns = slice(other_start, other_start + BLOCK)
            others, other_firsts = np.unique(other.item[columns], return_index=True)
            products = kernel(one.values[rows], other.values[columns])
            by_item = np.add.reduceat(products, firsts, axis=0)
            sums[np.ix_(items, others)] += np.add.reduceat(by_item, other_firsts, axis=1)
    return sums


def sums_of(one: PatchSet, other: PatchSet) -> KernelSums:
    """The sums of two sets."""
    return KernelSums(
        within=kernel_sums(one, one),
        other_within=kernel_sums(other, other),
        between=kernel_sums(one, other),
        counts=np.bincount(one.item, minlength=one.items).astype(np.float64),
        other_counts=np.bincount(other.item, minlength=other.items).astype(np.float64),
    )


def distance(
    sums: KernelSums, weights: Weights, other_weights: Weights
) -> Float[np.ndarray, " resamples"]:
    """`E k(x, x') + E k(y, y') - 2 E k(x, y)`, x and x' from different items, for each resample.

    Args:
        sums: Of the two sets.
        weights: How often each item of the first set is taken; all 1 for the set itself.
        other_weights: The same of the second set.
    """
    within = _mean_across(sums.within, sums.counts, weights)
    other_within = _mean_across(sums.other_within, sums.other_counts, other_weights)
    pairs = (weights @ sums.counts) * (other_weights @ sums.other_counts)
    between = np.sum((weights @ sums.between) * other_weights, axis=1) / pairs
    return within + other_within - 2 * between


def _mean_across(
    sums: Float[np.ndarray, "items items"], counts: Float[np.ndarray, " items"], weights: Weights
) -> Float[np.ndarray, " resamples"]:
    """Mean of the kernel over pairs of patches from different items."""
    across = sums - np.diag(np.diag(sums))
    pairs = np.outer(counts, counts)
    np.fill_diagonal(pairs, 0)
    totals, numbers = (np.sum((weights @ x) * weights, axis=1) for x in (across, pairs))
    return totals / numbers


def evaluate(
    generated: list[Patches],
    reference: list[Patches],
    draw: np.random.Generator,
    *,
    generated_recordings: Recordings = None,
    reference_recordings: Recordings = None,
) -> dict[str, Estimate]:
    """The distance and its null by name.

    Args:
        generated: Patches of every clip of the set to judge.
        reference: Patches of every real clip.
        draw: Source of resamples and splits.
        generated_recordings: As `ClipSet.recordings`; clips of one piece stay together.
        reference_recordings: The same of the reference.

    Raises:
        DataError: Sets too small, of different dimensions, or not finite.
    """
    made, real = pooled(generated, generated_recordings), pooled(reference, reference_recordings)
    validate_pair(made, real)
    sums = sums_of(made, real)
    value = float(distance(sums, np.ones((1, made.items)), np.ones((1, real.items)))[0])
    resamples = distance(sums, *(_bootstrap(items, draw) for items in (made.items, real.items)))
    low, high = np.quantile(resamples, [0.025, 0.975])
    return {
        "kid": Estimate(value=value, low=float(low), high=float(high), items=made.items),
        "kid_null": null(sums, min(made.items, real.items // 2), draw),
    }


def _bootstrap(items: int, draw: np.random.Generator) -> Weights:
    """How often each item is taken in draws with replacement, for RESAMPLES resamples."""
    return draw.multinomial(items, np.full(items, 1 / items), size=RESAMPLES).astype(np.float64)


def null(sums: KernelSums, size: int, draw: np.random.Generator) -> Estimate:
    """Two disjoint parts of the second set against each other, `size` items each."""
    items = len(sums.other_counts)
    halves = np.zeros((2, SPLITS, items))
    for split in range(SPLITS):
        order = draw.permutation(items)
        halves[0, split, order[:size]] = halves[1, split, order[size : 2 * size]] = 1
    real = KernelSums(
        within=sums.other_within,
        other_within=sums.other_within,
        between=sums.other_within,
        counts=sums.other_counts,
        other_counts=sums.other_counts,
    )
    values = distance(real, halves[0], halves[1])
    low, high = np.quantile(values, [0.025, 0.975])
    return Estimate(value=float(values.mean()), low=float(low), high=float(high), items=size)


warnings = warnings_of_pair
"""What a reader of the kernel distance should know of two sets: nothing beyond the usual."""
