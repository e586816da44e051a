"""Long pieces of a set: does music return in them, and do they hold their tempo, key and sound?

Conventions
    pieces     long clips, "generated" and, for comparison, "reference", of one length
    figures    means over the pieces that support a figure; those of the reference with `_real`,
               those of shuffled windows and cells with `_null`
    rows       every piece with all its figures, NaN where it supports none

Metrics are those of `structure` and `stability`. A few pieces give a first look and no verdict.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ritornello.errors import RitornelloError
from ritornello.evaluation import stability, structure
from ritornello.evaluation.clips import Clip
from ritornello.evaluation.intervals import Estimate, mean_interval
from ritornello.evaluation.reading import NULL, REAL
from ritornello.evaluation.sets import Progress, tell

METRICS: tuple[Callable[..., dict[str, float]], ...] = (structure.evaluate, stability.evaluate)

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class HeardPiece:
    """One long piece, measured.

    Attributes:
        row: `set`, `clip`, `start_s` and every figure that the piece supports.
        figures: The figures alone.
        reasons: Why it does not support the others.
    """

    row: Row
    figures: Mapping[str, float]
    reasons: Sequence[str]


def hear_long(
    clips: Sequence[Clip], what: str, progress: Progress | None = None
) -> list[HeardPiece]:
    """Structure and stability of every piece of one set, read one at a time.

    Args:
        clips: Long excerpts.
        what: "generated" or "reference".
        progress: Called as progress(done, total, what is being done).

    Raises:
        AudioError: A clip cannot be read.
    """
    heard = []
    for number, clip in enumerate(clips):
        tell(progress, number, len(clips), f"structure of the {what} pieces")
        figures, reasons = _measured(clip)
        row = {"set": what, "clip": clip.name, "start_s": clip.start_s, **figures}
        heard.append(HeardPiece(row=row, figures=figures, reasons=reasons))
    return heard


def judge_long(
    heard: Mapping[str, Sequence[HeardPiece]], draw: np.random.Generator
) -> tuple[dict[str, Estimate], list[Row], list[str]]:
    """Structure and stability of long pieces.

    Args:
        heard: "generated" and, where there are any, "reference": what was heard of the pieces.
        draw: Source of the resampling.

    Returns:
        Figures, rows, and warnings of pieces that could not be judged.
    """
    figures: dict[str, Estimate] = {}
    for what, pieces in heard.items():
        suffix = "" if what == "generated" else REAL
        figures |= _means([piece.figures for piece in pieces], suffix, draw)
    every = [piece for pieces in heard.values() for piece in pieces]
    warnings = [reason for piece in every for reason in piece.reasons]
    return figures, [piece.row for piece in every], list(dict.fromkeys(warnings))


def _measured(clip: Clip) -> tuple[dict[str, float], list[str]]:
    """All figures that one piece supports, and why it does not support the others."""
    audio = clip.read()
    found: dict[str, float] = {}
    reasons = []
    for metric in METRICS:
        try:
            found |= metric(audio.samples, audio.sample_rate)
        except RitornelloError as error:
            reasons.append(f"{clip.name}: {error}.".replace("..", "."))
    return found, reasons


def _means(
    rows: Sequence[Mapping[str, float]], suffix: str, draw: np.random.Generator
) -> dict[str, Estimate]:
    """Means over the pieces that have a figure, which `items` counts."""
    means = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        if suffix and name.endswith(NULL):
            continue  # one null stands beside a figure, that of the judged pieces
        values = np.array([row.get(name, np.nan) for row in rows], dtype=float)
        known = values[np.isfinite(values)]
        if known.size:
            means[name + suffix] = mean_interval(known, draw)
    return means
