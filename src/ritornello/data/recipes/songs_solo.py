"""The voice by itself, its rests shortened: singing as dense as it can be had.

Where a piano plays alone the voice rests, for half a minute before a first verse. A model of the
voice alone learns from such rests that silence is followed by silence, and falls silent. Here long
rests are cut down to a breath, and all times move along.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from ritornello.data.recipes.songs_mix import Stereo

GENRE = "unaccompanied song"

WINDOW_S = 0.01
QUIET = 2e-3
"""Effective amplitude of a window below which it rests."""

LONGEST_REST_S, KEPT_S = 0.5, 0.15
"""Rests above the first are cut down to what is kept at both of their ends."""


@dataclass(frozen=True, kw_only=True)
class Shortened:
    """Audio without its long rests.

    Attributes:
        wave: What is left.
        rate_hz: Samples per second.
        places: Where every sample of the audio before, and its end, has gone to.
    """

    wave: Stereo
    rate_hz: int
    places: Int64[np.ndarray, " before"]

    def moved_s(self, time_s: float) -> float:
        """Where a time has gone to."""
        sample = min(max(round(time_s * self.rate_hz), 0), len(self.places) - 1)
        return float(self.places[sample] / self.rate_hz)


def shortened(wave: Stereo, rate_hz: int) -> Shortened:
    """`wave` with every long rest cut down; a wave that only rests keeps its two ends."""
    size = round(WINDOW_S * rate_hz)
    count = wave.shape[1] // size
    power = (wave[:, : count * size] ** 2).mean(0).reshape(count, size).mean(1)
    kept = np.ones(wave.shape[1], dtype=bool)
    ends = round(KEPT_S / WINDOW_S)
    for first, stop in _runs(power < QUIET**2):
        if (stop - first) * WINDOW_S > LONGEST_REST_S:
            kept[(first + ends) * size : (stop - ends) * size] = False
    places = np.concatenate([[0], np.cumsum(kept)])
    return Shortened(wave=wave[:, kept], rate_hz=rate_hz, places=places)


def _runs(rests: Bool[np.ndarray, " windows"]) -> list[tuple[int, int]]:
    """First window of every rest, and the one after its last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], rests.astype(np.int8), [0]])))
    return [(int(first), int(stop)) for first, stop in edges.reshape(-1, 2)]


def at_new_times(car: Mapping[str, Any], short: Shortened) -> dict[str, Any]:
    """A side-car whose syllables, notes and sections are where they are now."""

    def moved(spans: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        times = ("start_s", "end_s")
        return [
            {**span, **{name: round(short.moved_s(span[name]), 4) for name in times}}
            for span in spans
        ]

    return {
        **car,
        "genre": GENRE,
        "labels": {**car["labels"], "genre": GENRE.replace(" ", "-")},
        "lyrics": {**car["lyrics"], "sung": moved(car["lyrics"]["sung"])},
        "notes": moved(car["notes"]),
        "sections": moved(car["sections"]),
    }
