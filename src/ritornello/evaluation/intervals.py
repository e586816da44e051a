"""How sure a figure is: bootstrap intervals over independent items (clips, joints, takes).

Conventions
    values    one figure per independent item, (items,)
    draw      the random generator of the resampling, always passed in

An interval says how far the figure would move with other items of the same kind. It does not cover
what all items share, such as one training run. One item says nothing of that: both ends are NaN,
which tables show as "-" and JSON as null.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite, nan

import numpy as np
from jaxtyping import Float

from ritornello.errors import DataError

RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure with its interval.

    Attributes:
        value: The figure on all items.
        low: Lower end of the interval; NaN where there is none.
        high: Upper end of the interval; NaN where there is none.
        items: Number of independent items it rests on.
    """

    value: float
    low: float
    high: float
    items: int

    @property
    def has_interval(self) -> bool:
        """Whether both ends are known."""
        return isfinite(self.low) and isfinite(self.high)

    def to_dict(self) -> dict[str, float | int | None]:
        """The figure as plain JSON values; ends that are NaN become None."""
        ends = {} if self.has_interval else {"low": None, "high": None}
        return asdict(self) | ends

    def __str__(self) -> str:
        """The figure as a table cell, e.g. `1.02 [0.97, 1.10]`, or `1.02 [-]` without interval."""
        if not self.has_interval:
            return f"{self.value:.3g} [-]"
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def resampled(
    items: int,
    statistic: Callable[[np.ndarray], float],
    draw: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
) -> Estimate:
    """The percentile bootstrap interval of any statistic of `items` items.

    Args:
        items: Number of independent items.
        statistic: The figure as a function of an array of item indices (items,); called with
            0 .. items-1 for the value and with draws with replacement for the interval.
        draw: Source of the resampling.
        confidence: Share of the resampled figures inside the interval, in (0, 1).
        resamples: Number of resampled figures.

    Returns:
        The figure and its interval; with one item both ends are NaN.

    Raises:
        DataError: No items.
    """
    if items < 1:
        raise DataError("nothing to estimate from: got 0 items, expected at least one clip")
    value = float(statistic(np.arange(items)))
    if items == 1:
        return without_interval(value, 1)
    spread = [statistic(draw.integers(items, size=items)) for _ in range(resamples)]
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(spread, [tail, 1 - tail])
    return Estimate(value=value, low=float(low), high=float(high), items=items)


def resampled_pair(
    items: int,
    others: int,
    statistic: Callable[[np.ndarray, np.ndarray], float],
    draw: np.random.Generator,
) -> Estimate:
    """As `resampled`, of a statistic of two sets that are both a sample: `items` of the first."""

    def of_both(chosen: np.ndarray) -> float:
        return statistic(chosen, draw.integers(others, size=others))

    value = float(statistic(np.arange(items), np.arange(others)))
    if min(items, others) == 1:
        return without_interval(value, items)
    found = resampled(items, of_both, draw)
    return Estimate(value=value, low=found.low, high=found.high, items=items)


def without_interval(value: float, items: int) -> Estimate:
    """A figure of which nobody can say how far it would move, or that is set and cannot move."""
    return Estimate(value=value, low=nan, high=nan, items=items)


def around(value: float, deviation: float, items: int, lowest: float = -np.inf) -> Estimate:
    """A figure with a 95 % interval of 1.96 standard deviations on both sides."""
    reach = 1.96 * deviation
    return Estimate(value=value, low=max(lowest, value - reach), high=value + reach, items=items)


def spread(values: list[float], items: int) -> Estimate:
    """Median and 95 % range of a figure over random splits of `items` items a side."""
    low, middle, high = np.quantile(values, [0.025, 0.5, 0.975])
    return Estimate(value=float(middle), low=float(low), high=float(high), items=items)


def mean_interval(
    values: Float[np.ndarray, " items"],
    draw: np.random.Generator,
    groups: Sequence[str] | None = None,
) -> Estimate:
    """The mean of one figure per item, with its bootstrap interval, over groups where there are."""
    return clustered(
        len(values), lambda chosen: float(np.mean(values[chosen])), draw, groups=groups
    )


def clustered(
    items: int,
    statistic: Callable[[np.ndarray], float],
    draw: np.random.Generator,
    *,
    groups: Sequence[str] | None,
) -> Estimate:
    """As `resampled`, where items of a group (excerpts of a song) are drawn together.

    Such items are alike: drawn one by one they would make the interval too narrow. The estimate
    counts groups. Without groups every item is one.
    """
    if groups is None:
        return resampled(items, statistic, draw)
    numbers = np.unique(np.asarray(groups), return_inverse=True)[1]
    members = [np.flatnonzero(numbers == number) for number in range(numbers.max() + 1)]

    def of_groups(chosen: np.ndarray) -> float:
        return statistic(np.concatenate([members[index] for index in chosen]))

    return resampled(len(members), of_groups, draw)


def summarise(rows: list[Mapping[str, float]], draw: np.random.Generator) -> dict[str, Estimate]:
    """The mean of every named figure over clips, with intervals.

    Args:
        rows: One mapping of figures per clip; all with the same names.
        draw: Source of the resampling.

    Raises:
        DataError: No rows, or rows with different names.
    """
    if not rows:
        raise DataError("nothing to summarise: got 0 clips, expected at least one")
    names = list(rows[0])
    for row in rows:
        if list(row) != names:
            raise DataError(f"clips have different figures: got {list(row)}, expected {names}")
    return {name: mean_interval(np.array([row[name] for row in rows]), draw) for name in names}
