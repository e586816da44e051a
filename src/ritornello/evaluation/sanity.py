"""Do the metrics see what they should? The order that must hold, fixed here before any run.

A metric earns trust on material whose order is known. Sets of clips, all of the same number, length
and loudness, are compared with one reference: held-out piano. What must come out is written down in
this file, so that a run can only agree or disagree with it.

Conventions
    set          clips of one kind, by name: `piano`, `reconstruction`, `organ`, ...
    figures      metric -> set -> Estimate; smaller is nearer to the reference
    a grade      amount of a degradation, mildest first; grade 0 is the undamaged `piano`

Metrics
    judge_order      each expected pair: apart, in order, or not in order
    judge_grades     each degradation: does the figure rise with it, or is the metric blind to it?

Every clip is brought to the same loudness first: a set must not stand further away for its level.
So the table says nothing of level; and musicnn hears the mean of the channels, nothing of width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from jaxtyping import Float

from ritornello.errors import DataError
from ritornello.evaluation.intervals import Estimate

CLIPS, CLIP_S, SEED = 32, 10.0, 0
LOUDNESS_LUFS = -26.0

INSTRUMENTS = {"organ": 19, "harp": 46, "vibraphone": 11}
"""General MIDI programs, counted from 0, that play the same held-out pieces."""

Pair = tuple[str, str]
Rise = Literal["rises", "rises within intervals", "rises unevenly", "blind"]

TIMBRE: tuple[Pair, ...] = tuple(("piano", name) for name in INSTRUMENTS)
FAR: tuple[Pair, ...] = (*((name, "other") for name in INSTRUMENTS), ("other", "noise"))
CODEC: tuple[Pair, ...] = (("piano", "reconstruction"),)

EXPECTED: dict[str, tuple[Pair, ...]] = {
    "fad": (*CODEC, *TIMBRE, *FAR),
    "fad_infinity": (*CODEC, *TIMBRE, *FAR),
    "kid": (*CODEC, *TIMBRE, *FAR),
    "fad_codec": (*CODEC, *TIMBRE, *FAR),
    # Made by hand from levels and paces: it does not claim to hear what a good codec loses.
    "frechet_excerpts": (*TIMBRE, *FAR),
    # Told from notes, keys and beats: another instrument's same notes are the same to it.
    "mirdd_open_js": FAR,
}
"""Pairs (nearer, further) that each metric claims; what it does not claim is reported all the same.

The generator's place is in none of them: it is what one wants to find out.
"""

GRADES: dict[str, tuple[float, ...]] = {
    "noise": (40.0, 30.0, 20.0, 10.0),
    "low_pass": (6000.0, 3000.0, 1500.0, 750.0),
    "wobble": (10.0, 25.0, 50.0, 100.0),
    "shuffle": (2.0, 1.0, 0.5, 0.25),
}
"""Amounts, mildest first: dB over the noise, Hz of the edge, cents of depth, seconds of a piece."""

CLAIMS: dict[str, tuple[str, ...]] = {
    "fad": ("noise", "low_pass", "wobble"),
    "fad_infinity": ("noise", "low_pass", "wobble"),
    "kid": ("noise", "low_pass", "wobble"),
    "fad_codec": ("noise", "low_pass"),
    "frechet_excerpts": ("noise", "low_pass"),
    "mirdd_open_js": ("wobble",),
}
"""Degradations with which each metric claims to rise. None claims time: all pool over it."""


@dataclass(frozen=True, kw_only=True)
class OrderVerdict:
    """What became of one expected pair under one metric.

    Attributes:
        nearer: The set that should be nearer to the reference.
        further: The set that should be further away.
        verdict: "apart": in order, and the intervals do not touch; "in order": they do touch;
            "not in order": the values stand the other way round.
    """

    nearer: str
    further: str
    verdict: Literal["apart", "in order", "not in order"]


@dataclass(frozen=True, kw_only=True)
class GradeVerdict:
    """What one metric makes of one degradation.

    Attributes:
        spearman: Rank correlation of figure and grade, grade 0 included; 1 rises throughout.
        verdict: "rises": every grade stands above the one before; "rises within intervals": some
            stand below, but their intervals touch; "rises unevenly": some stand clearly below.
            For all three the worst grade's interval lies above the undamaged one's; "blind": it
            touches it.
        claimed: Whether the metric claims to see it.
    """

    spearman: float
    verdict: Rise
    claimed: bool


def judge_pair(nearer: Estimate, further: Estimate) -> Literal["apart", "in order", "not in order"]:
    """Whether two figures stand in the order that was expected of them, and apart."""
    if nearer.high < further.low:
        return "apart"
    return "in order" if nearer.value < further.value else "not in order"


def judge_order(figures: Mapping[str, Estimate], expected: Sequence[Pair]) -> list[OrderVerdict]:
    """Every expected pair whose sets are both there, judged; see `OrderVerdict`."""
    return [
        OrderVerdict(
            nearer=nearer, further=further, verdict=judge_pair(figures[nearer], figures[further])
        )
        for nearer, further in expected
        if nearer in figures and further in figures
    ]


def spearman(values: Float[np.ndarray, " grades"]) -> float:
    """Rank correlation of the values with their position; ties share their mean rank.

    Raises:
        DataError: Fewer than two values, or not finite.
    """
    if len(values) < 2 or not np.isfinite(values).all():
        raise DataError(f"got {values.tolist()}; expected two or more finite figures in a row")
    ranks = np.array([np.mean(np.flatnonzero(np.sort(values) == value)) for value in values])
    if np.ptp(ranks) == 0:
        return 0.0
    return float(np.corrcoef(ranks, np.arange(len(values)))[0, 1])


def judge_grades(clean: Estimate, grades: Sequence[Estimate], *, claimed: bool) -> GradeVerdict:
    """How one metric's figure goes with one degradation, mildest grade first.

    Raises:
        DataError: No grades.
    """
    row = [clean, *grades]
    rank = spearman(np.array([figure.value for figure in row]))
    falls = [(one, next_) for one, next_ in pairwise(row) if next_.value <= one.value]
    verdict: Rise = "rises"
    if falls:
        clearly = any(next_.high < one.low for one, next_ in falls)
        verdict = "rises unevenly" if clearly else "rises within intervals"
    if clean.high >= grades[-1].low:
        verdict = "blind"
    return GradeVerdict(spearman=rank, verdict=verdict, claimed=claimed)


def place_of(name: str, figures: Mapping[str, Estimate]) -> tuple[int, int]:
    """Place of a set among all sets by its value, 1 the nearest, and how many there are."""
    return 1 + sum(other.value < figures[name].value for other in figures.values()), len(figures)
