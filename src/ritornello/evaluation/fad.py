"""The Frechet audio distance: how far a generated set of clips lies from a real one, embedded.

Both sets are embedded by a network and described by the mean and covariance of their patches; FAD
is the Frechet distance of the two Gaussians (Kilgour et al. 2019). A figure can be compared only
with figures of the same embedding, clip length and number of clips. The `frechet` file asks the
same of a few hand-made features; the two have nothing to do with each other.

Conventions
    generated, reference   a list of clips, each the patches (patches, dim) of one embedding
    recordings             for every clip the recording it is from (see `patches`)
    sizes                  numbers of items on each side; `items` of every figure

Metrics
    fad                    at a size that the null has too; mean over splits of the reference
    fad_null               real against real at that size: two halves of the reference
    fad_all                all clips against all: what the literature calls FAD
    fad_infinity           fad extrapolated to endless sets; its null for equal music, which is 0
                           with enough recordings, and may come out below
    fad_infinity_null      the same of the reference's halves
    fad_infinity_fit       R^2 of the straight line behind it; far from 1: do not trust it; near 1
                           it does not rule out a bend further on

Bias. FAD of finite sets is too large, by about c / patches, even when both are the same music: with
200 dimensions and 1000 patches by more than many a difference between models. So `fad` means
nothing but beside `fad_null`; and `fad_infinity` (Chong & Forsyth 2020 for pictures; Gui et al.
2024 for audio) follows it down to 1 / patches = 0. Deviation: both sets shrink together (with a
fixed reference its own part of the bias would remain), and whole items are drawn, without
replacement: patches of one clip are alike, and a patch drawn twice lowers the rank. Below about as
many patches as dimensions the bias is no straight line any more; and where the patches of an item
are alike it is the items that must be as many. `warnings` says when; R^2 over the few sizes there
are does not, as a bend that lies beyond them leaves it near 1.

Intervals. A bootstrap draws items twice, which is a smaller sample in disguise and raises the very
bias. Here half of the items is drawn without replacement. By the correction for finite populations,
`(1/m)(1 - m/n)` at m = n/2, a mean over such halves varies as much as a mean over n fresh items;
so the spread of FAD over halves, whose bias is the same for all of them, is put around the figure.
Near distance 0, where FAD is not linear in the data, this is too wide rather than too narrow. The
interval covers the expected figure at its own size, the bias included; for `fad_infinity` the
distance itself. Of the nulls it is the range over splits: where a real set would come out.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ritornello.evaluation.frechet import set_distance
from ritornello.evaluation.intervals import Estimate, around, without_interval
from ritornello.evaluation.patches import (
    Patches,
    PatchSet,
    Recordings,
    halves,
    pooled,
    validate_pair,
    warnings_of_pair,
)

SPLITS = 16
POINTS = 4
SMALLEST_PART = 5

Items = Int[np.ndarray, " _items"]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """FAD against the sizes of the sets.

    Attributes:
        inverse: 1 / patches of the one set + 1 / patches of the other, largest sets first.
        distance: FAD at these sizes.
    """

    inverse: Float[np.ndarray, " sizes"]
    distance: Float[np.ndarray, " sizes"]

    def at_infinity(self) -> float:
        """Where the straight line through the points meets 1 / patches = 0."""
        return float(np.polyfit(self.inverse, self.distance, 1)[1])

    def fit(self) -> float:
        """R^2 of that line: the share of the variance along the curve that it explains."""
        line = np.polyval(np.polyfit(self.inverse, self.distance, 1), self.inverse)
        spread = np.sum((self.distance - self.distance.mean()) ** 2)
        return float(1 - np.sum((self.distance - line) ** 2) / spread) if spread > 0 else 1.0


def distance(one: PatchSet, other: PatchSet) -> float:
    """FAD of all patches of two sets; see `frechet.frechet_distance` for the formula."""
    return set_distance(one.values, other.values)


def curve(
    one: PatchSet, items: Items, other: PatchSet, other_items: Items, draw: np.random.Generator
) -> Curve:
    """FAD of some items of two sets, and of ever smaller parts of them, drawn afresh at each size.

    The sizes are evenly spaced in 1 / items, from all of them down to a half, or further, to a
    SMALLEST_PART-th at the least, while there are as many patches as dimensions.
    """
    patches = min(len(one.of_items(items)), len(other.of_items(other_items)))
    most = min(len(items), len(other_items)) // 2
    parts = min(max(2.0, min(SMALLEST_PART, patches / one.dim)), most)
    inverse, distances = [], []
    for part in np.linspace(1, parts, POINTS):
        some, others = (
            draw.permutation(all_of)[: round(len(all_of) / part)] for all_of in (items, other_items)
        )
        values, other_values = one.of_items(some), other.of_items(others)
        inverse.append(1 / len(values) + 1 / len(other_values))
        distances.append(set_distance(values, other_values))
    return Curve(inverse=np.array(inverse), distance=np.array(distances))


def mean_curve(curves: list[Curve]) -> Curve:
    """The mean over several draws, size by size."""
    return Curve(
        inverse=np.mean([each.inverse for each in curves], axis=0),
        distance=np.mean([each.distance for each in curves], axis=0),
    )


def split_curves(
    generated: PatchSet, reference: PatchSet, size: int, draw: np.random.Generator
) -> tuple[list[Curve], list[Curve]]:
    """Generated against real, and real against real, over random splits; `size` items a side.

    In each split the same real items are compared with generated ones and with other real ones.
    """
    made, real = [], []
    for _ in range(SPLITS):
        order = draw.permutation(reference.items)
        half, other_half = order[:size], order[size : 2 * size]
        some = draw.permutation(generated.items)[:size]
        made.append(curve(generated, some, reference, half, draw))
        real.append(curve(reference, other_half, reference, half, draw))
    return made, real


def spread_over_halves(
    one: PatchSet, other: PatchSet, draw: np.random.Generator
) -> tuple[float, float]:
    """Standard deviations of FAD and of FAD at infinity over halves of both sets.

    At infinity by the shortest line there is: through a half of each set and its two quarters.
    """
    at_half, at_infinity = [], []
    for orders in halves(one, other, draw):
        whole = set_distance(one.of_items(orders[0]), other.of_items(orders[1]))
        quarters = zip(*(np.array_split(order, 2) for order in orders), strict=True)
        smaller = [set_distance(one.of_items(a), other.of_items(b)) for a, b in quarters]
        at_half.append(whole)
        at_infinity.append(2 * whole - np.mean(smaller))
    return float(np.std(at_half, ddof=1)), float(np.std(at_infinity, ddof=1))


def evaluate(
    generated: list[Patches],
    reference: list[Patches],
    draw: np.random.Generator,
    *,
    generated_recordings: Recordings = None,
    reference_recordings: Recordings = None,
) -> dict[str, Estimate]:
    """All figures by name.

    Args:
        generated: Patches of every clip of the set to judge.
        reference: Patches of every real clip; best twice as many recordings as generated ones,
            for then all of the generated set is compared at once.
        draw: Source of splits and halves.
        generated_recordings: As `ClipSet.recordings`; clips of one piece stay together.
        reference_recordings: The same of the reference.

    Raises:
        DataError: Sets too small, of different dimensions, or not finite.
    """
    made, real = pooled(generated, generated_recordings), pooled(reference, reference_recordings)
    validate_pair(made, real)
    size = min(made.items, real.items // 2)
    made_curves, real_curves = split_curves(made, real, size, draw)
    deviation, deviation_at_infinity = spread_over_halves(made, real, draw)
    mean = mean_curve(made_curves)
    fit = mean.fit()
    return {
        "fad": around(float(mean.distance[0]), deviation, size, lowest=0.0),
        "fad_null": over_splits([float(each.distance[0]) for each in real_curves], size),
        "fad_all": around(distance(made, real), deviation, made.items, lowest=0.0),
        "fad_infinity": around(mean.at_infinity(), deviation_at_infinity, size),
        "fad_infinity_null": over_splits([each.at_infinity() for each in real_curves], size),
        "fad_infinity_fit": without_interval(fit, size),
    }


def over_splits(values: list[float], items: int) -> Estimate:
    """The mean over splits with the range that 95 % of splits fall in, taken as normal."""
    return around(float(np.mean(values)), float(np.std(values, ddof=1)), items)


def warnings(
    generated: list[Patches],
    reference: list[Patches],
    *,
    generated_recordings: Recordings = None,
    reference_recordings: Recordings = None,
) -> list[str]:
    """What a reader of the figures should know of these sets; empty if nothing.

    Raises:
        DataError: As `evaluate`.
    """
    told = warnings_of_pair(
        generated,
        reference,
        generated_recordings=generated_recordings,
        reference_recordings=reference_recordings,
    )
    made, real = pooled(generated, generated_recordings), pooled(reference, reference_recordings)
    size = min(made.items, real.items // 2)
    patches = int(size * min(len(made.values) / made.items, len(real.values) / real.items))
    if patches < 2 * made.dim:
        told.append(
            f"FAD compares about {patches} patches of {made.dim} dimensions a side: below "
            f"{2 * made.dim} the line to infinity bends, and fad_infinity is too large. Compare "
            "with the null only, or take more clips."
        )
    elif size < 2 * made.dim:
        told.append(
            f"FAD compares {size} recordings of {made.dim} dimensions a side: as patches of one "
            f"recording are alike, below {2 * made.dim} the line to infinity may bend, and "
            "fad_infinity be far from 0 for equal music, with a fit (R^2) near 1 all the same. "
            "Compare with its null only, or take more recordings."
        )
    return told
