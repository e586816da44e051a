"""The rules of population based training, and the record of a population that followed them.

The paper tunes alpha and beta of second-level VQ-VAEs while they train (section 4.3): members of a
population train side by side; every interval, members with a low log-likelihood take over weights,
alpha and beta of one with a high one (exploit) and change one or both by 20 % (explore).

    step      0      interval  burn-in         ...                    total
    member 0  ------ + ------- + ------- + --- best ---------------->
    member 1  ------ + ------- + ------- + worst, copies 0 --------->
    member 2  ------ + ------- + collapsed, copies 0 or 3 ---------->

Every decision is a pure function of what the members reported at a step and of the seed. All
members begin from the same weights and see the same batches: they differ in alpha and beta alone,
which makes them comparable, and any one's path can be trained again from the seed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from ritornello.ada.tune_schedule import Piece, Schedule
from ritornello.errors import ConfigError, DataError
from ritornello.training.seeds import derived_seed

Failure = Literal["", "collapsed", "diverged"]
FAILURES = get_args(Failure)
"""From none to the worst."""

ALPHA_RANGE = (1e-4, 1e-2)
BETA_RANGE = (1e-1, 10.0)
"""Log-uniform beginnings. Recalled, not confirmed: the text of the paper lost these numbers."""
FACTORS = (1.2, 0.8)


@dataclass(frozen=True, kw_only=True)
class TuneRules:
    """How a population is bred.

    Attributes:
        population: Members.
        steps: Steps every member trains.
        interval: Steps between decisions; the paper's is 5000.
        burn_in: Steps before the first decision; the paper's is 10,000.
        quantile: Share of the population that copies, and that is copied. The paper does not say;
            a quarter is customary.
        collapse: A codebook whose perplexity is below this share of its size counts as collapsed.
            Deviation: the paper speaks of divergence that has to be detected, and names no limit.
    """

    population: int
    steps: int
    interval: int
    burn_in: int
    quantile: float = 0.25
    collapse: float = 0.1

    def __post_init__(self) -> None:
        """Refuse populations in which nothing can be learnt from another."""
        if self.population < 2:
            raise ConfigError(f"population is {self.population}; expected at least 2")
        if not 0 < self.interval <= self.steps:
            raise ConfigError(f"interval is {self.interval}; expected 1 to {self.steps} steps")
        if self.burn_in < 0:
            raise ConfigError(f"burn-in is {self.burn_in}; expected at least 0")
        if not 0 < self.quantile <= 0.5:
            raise ConfigError(f"quantile is {self.quantile}; expected 0 < quantile <= 0.5")
        if not 0 <= self.collapse < 1:
            raise ConfigError(f"collapse is {self.collapse}; expected 0 <= collapse < 1")

    @property
    def first_decision(self) -> int:
        """The step of the first report after the burn-in."""
        return math.ceil(max(self.burn_in, 1) / self.interval) * self.interval

    def next_report(self, step: int) -> int:
        """The step of the report that follows one at `step`."""
        return min(self.steps, (step // self.interval + 1) * self.interval)

    def failure(self, nll: float, perplexity: float, codes: int) -> Failure:
        """What is wrong with a member that reports these figures, if anything."""
        if not (math.isfinite(nll) and math.isfinite(perplexity)):
            return "diverged"
        return "collapsed" if perplexity < self.collapse * codes else ""


@dataclass(frozen=True, kw_only=True)
class Point:
    """What one member reports at one step.

    Attributes:
        member: Its number, from 0.
        step: Steps trained.
        alpha: Of the interval that ends here.
        beta: Of the same.
        origin: The member whose weights the interval began with: itself, unless it had copied.
        nll: Held-out NLL in nats per symbol; None when it has diverged.
        perplexity: Of the held-out codes; None when it has diverged.
        failure: "diverged", "collapsed" or "".
        checkpoint: Where its training state is kept, relative to the record; None if it is not.
    """

    member: int
    step: int
    alpha: float
    beta: float
    origin: int
    nll: float | None
    perplexity: float | None
    failure: Failure = ""
    checkpoint: str | None = None

    @property
    def rank(self) -> tuple[int, float, int]:
        """Sorts the best first: healthy before collapsed before diverged, then by NLL."""
        nll = math.inf if self.nll is None else self.nll
        return FAILURES.index(self.failure), nll, self.member


@dataclass(frozen=True, kw_only=True)
class Copy:
    """One exploit: `member` goes on from the state of `donor`, with these alpha and beta."""

    member: int
    donor: int
    alpha: float
    beta: float


def beginnings(rules: TuneRules, seed: int) -> list[tuple[float, float]]:
    """The first alpha and beta of every member, log-uniform."""

    def drawn(member: int) -> tuple[float, float]:
        rng = _generator(seed, "begin", member)
        return log_uniform(rng, *ALPHA_RANGE), log_uniform(rng, *BETA_RANGE)

    return [drawn(member) for member in range(rules.population)]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number whose logarithm is uniform between those of `low` and `high`."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def decide(points: Sequence[Point], rules: TuneRules, seed: int) -> list[Copy]:
    """Who copies whom after all members have reported at one step; members not listed go on.

    The worst quantile copies, and so does every member that diverged, or collapsed while another
    has not, however many. Donors are drawn from the best quantile of the others. Nobody copies when
    all have diverged.
    """
    ranked = sorted(points, key=lambda point: point.rank)
    sound = [point for point in ranked if point.failure == ranked[0].failure]
    if ranked[0].failure == "diverged":
        return []
    # As Ray counts: rounded up, but never more than half.
    count = min(math.ceil(len(ranked) * rules.quantile), len(ranked) // 2)
    donors = sound[: max(1, count)]
    copiers = ranked[len(ranked) - max(count, len(ranked) - len(sound)) :]
    return [_copy(point, donors, seed) for point in copiers]


def _copy(point: Point, donors: Sequence[Point], seed: int) -> Copy:
    rng = _generator(seed, "copy", point.step, point.member)
    donor = donors[int(rng.integers(len(donors)))]
    alpha, beta = explored(donor.alpha, donor.beta, rng)
    return Copy(member=point.member, donor=donor.member, alpha=alpha, beta=beta)


def explored(alpha: float, beta: float, rng: np.random.Generator) -> tuple[float, float]:
    """Alpha, beta or both, each raised or lowered by 20 %; which and how is drawn."""
    change_alpha, change_beta = ((True, False), (False, True), (True, True))[int(rng.integers(3))]
    # An update rate above one would overshoot its mean.
    if change_alpha:
        alpha = min(1.0, alpha * FACTORS[int(rng.integers(2))])
    if change_beta:
        beta = beta * FACTORS[int(rng.integers(2))]
    return alpha, beta


def _generator(seed: int, *key: str | int) -> np.random.Generator:
    return np.random.default_rng(derived_seed(seed, "population", *key))


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """Everything that the members of a population reported.

    Attributes:
        points: One per member and step; a later one replaces an earlier one of the same place.
    """

    points: tuple[Point, ...] = ()

    def joined(self, point: Point) -> "Lineage":
        """The record with one more point, sorted by step and member."""
        kept = self._by_place() | {(point.step, point.member): point}
        return Lineage(points=tuple(kept[place] for place in sorted(kept)))

    def _by_place(self) -> dict[tuple[int, int], Point]:
        return {(point.step, point.member): point for point in self.points}

    def of(self, member: int) -> list[Point]:
        """What one member reported, in order."""
        return [point for point in self.points if point.member == member]

    def best(self) -> Point | None:
        """The best point of the last step; None when all have diverged, or before the first."""
        last = max((point.step for point in self.points), default=0)
        here = (p for p in self.points if p.step == last and p.failure != "diverged")
        return min(here, key=lambda point: point.rank, default=None)

    def path(self, end: Point) -> list[Point]:
        """The points that led to `end`, first to last, through all whom it copied.

        Raises:
            DataError: The record has a gap on the way.
        """
        path = [end]
        steps = sorted({point.step for point in self.points if point.step < end.step})
        places = self._by_place()
        for step in reversed(steps):
            before = places.get((step, path[-1].origin))
            if before is None:
                raise DataError(
                    f"the record has no point of member {path[-1].origin} at step {step}, from "
                    f"which the one at step {path[-1].step} began; the record is incomplete"
                )
            path.append(before)
        return path[::-1]

    def schedule(self, end: Point) -> Schedule:
        """Alpha and beta along the path that led to `end`; DataError where it has a gap."""
        path = self.path(end)
        begins = [0, *(point.step for point in path[:-1])]
        return Schedule.joined(
            Piece(step=step, alpha=point.alpha, beta=point.beta)
            for step, point in zip(begins, path, strict=True)
        )

    def resumable(self, rules: TuneRules) -> list[Point] | None:
        """The point that every member can go on from after an interruption; None for the start.

        All members at the last step that all have reached; before the first decision, in which
        members depend on each other for the first time, every member at its own last step.
        """
        lasts = [self.of(member)[-1:] for member in range(rules.population)]
        if not all(lasts):
            return None
        common = min(last[0].step for last in lasts)
        if common < rules.first_decision:
            return [last[0] for last in lasts]
        places = self._by_place()
        return [places[common, member] for member in range(rules.population)]

    def up_to(self, starts: Sequence[Point]) -> "Lineage":
        """The record without what every member reported after its point of `starts`."""
        last = {point.member: point.step for point in starts}
        return Lineage(points=tuple(p for p in self.points if p.step <= last[p.member]))
