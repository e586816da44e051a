"""Rows of a table beside a paper's: mean and spread over seeds, and what became of its orderings.

The rule: two rows are apart when their means differ by more than the larger of their spreads, a
spread being the highest minus the lowest of a row's seeds. With one seed nothing is known of the
noise: then it is said which way that seed points, and no more. Figures of training runs alone
decide; how far they would move with other held-out music is not in the spread. Needs neither torch
nor numpy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

RULE = (
    "Two rows are apart when their means differ by more than the larger of their spreads over "
    "seeds (highest minus lowest)."
)
NOT_TRAINED = "not trained yet"

Result = Mapping[str, Any]
Seeds = Sequence[Result]


@dataclass(frozen=True, kw_only=True)
class Ordering:
    """That one row's figure is below another's in the paper.

    Attributes:
        lower: Row with the lower figure.
        higher: Row with the higher one.
        because: What the paper says with it.
        measure: Which figure, held out.
        published_gap: How far apart the two are there; 0 where the paper has them equal.
    """

    lower: str
    higher: str
    because: str
    measure: str
    published_gap: float


@dataclass(frozen=True, kw_only=True)
class Spread:
    """One figure of one row over its seeds: their mean, and highest minus lowest."""

    mean: float
    spread: float
    seeds: int

    def __str__(self) -> str:
        """As a cell of a table."""
        return self.cell(1 if abs(self.mean) >= 10 else 3)

    def cell(self, digits: int) -> str:
        """With that many digits behind the point."""
        mean = f"{self.mean:.{digits}f}"
        return mean if self.seeds == 1 else f"{mean} ± {self.spread / 2:.{digits}f}"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of one of the paper's orderings here.

    Attributes:
        ordering: What the paper found.
        gap: The higher row's mean minus the lower one's, here; None while a row is missing.
        says: "holds", "does not hold", "within the noise", or, with one seed, which way it points.
    """

    ordering: Ordering
    gap: float | None
    says: str

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        published = {"published_gap": round(self.ordering.published_gap, 4)}
        return asdict(self.ordering) | published | {"gap": self.gap, "verdict": self.says}


def over_seeds(results: Seeds, measure: str) -> Spread | None:
    """A figure's mean and spread; None where no seed has it."""
    values = [result["figures"].get(measure) for result in results]
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Spread(mean=sum(known) / len(known), spread=max(known) - min(known), seeds=len(known))


def verdict(ordering: Ordering, lower: Seeds, higher: Seeds) -> Verdict:
    """Whether an ordering holds, by the rule above; rows equal in the paper are not to be apart."""
    one, other = (over_seeds(results, ordering.measure) for results in (lower, higher))
    if one is None or other is None:
        return Verdict(ordering=ordering, gap=None, says=NOT_TRAINED)
    gap = other.mean - one.mean
    are_apart = abs(gap) > max(one.spread, other.spread)
    if min(one.seeds, other.seeds) == 1:
        holds = "holds" if gap > 0 else "does not hold"
        says = f"{holds} in one seed: no statement about noise"
        if not ordering.published_gap:
            says = "one seed: no statement about noise"
    elif not ordering.published_gap:
        says = "does not hold" if are_apart else "holds: within the noise"
    elif not are_apart:
        says = "within the noise"
    else:
        says = "holds" if gap > 0 else "does not hold"
    return Verdict(ordering=ordering, gap=gap, says=says)


# ------------------------------------------------------------------ the page


def grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def orderings_grid(orderings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines of the table of verdicts, each as `Verdict.as_json` gave it."""
    return grid(
        ["in the paper", "why", "gap, paper", "gap here", "here"],
        [
            [
                f"{one['measure']} of {one['lower']} {'<' if one['published_gap'] else '='} "
                f"{one['higher']}",
                one["because"],
                f"{one['published_gap']:.3g}",
                "-" if one["gap"] is None else f"{one['gap']:+.3f}",
                one["verdict"],
            ]
            for one in orderings
        ],
    )


def steps_cell(row: Mapping[str, Any], per_step: str) -> str:
    """Steps times what a step sees; one of them for all seeds, or else each.

    Args:
        row: Of the table, with lists over seeds.
        per_step: Name of the list of what a step sees.
    """
    pairs = zip(row["steps"], row[per_step], strict=True)
    return ", ".join(dict.fromkeys(f"{steps:,} x {seen:,}" for steps, seen in pairs)) or "-"


def told_music(used: Mapping[str, float]) -> str:
    """A split's music, as `experiments.music` counts it, in words."""
    return f"{used['minutes']:.1f} minutes ({used['recordings']} recording(s))"
