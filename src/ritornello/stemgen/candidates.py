"""Several stems for one mix, and which of them follows it best."""

from collections.abc import Mapping

from ritornello.evaluation.adherence import follow, listen
from ritornello.interfaces import Audio

UNPITCHED = frozenset({"drums", "percussion", "percussive"})
"""Stems whose pitch classes say nothing."""

LEAST_S = 2.0
"""Shorter stems are not compared: there is no beat in them."""


def adherence(mix: Audio, stem: Audio, category: str) -> dict[str, float]:
    """How a stem follows its mix, and the mean of it as "score".

    Raises:
        MissingDependencyError: mir_eval is not installed.
    """
    sides = [listen(side.samples, side.sample_rate) for side in (mix, stem)]
    figures = follow(*sides)
    if category in UNPITCHED:
        del figures["chroma_correlation"]
    return {**figures, "score": sum(figures.values()) / len(figures)}


def best(scores: list[Mapping[str, float]]) -> int:
    """The candidate with the highest score; the first of equals."""
    return max(range(len(scores)), key=lambda number: (scores[number]["score"], -number))
