"""Keys, chords, progressions and forms: what a band is asked to play.

Chords move by function: tonic, subdominant and dominant, each a few degrees of the key. A section
is made of phrases of four bars; the first asks (a half cadence), the last answers (an authentic
one). Blues choruses and the loops of popular songs are their own ways. The sections of a form that
have the same letter have the same chords.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ritornello.data.recipes.bands_grooves import Harmony

Choice = TypeVar("Choice")

MAJOR_SCALE = (0, 2, 4, 5, 7, 9, 11)
MINOR_SCALE = (0, 2, 3, 5, 7, 8, 10)
QUALITIES: dict[str, tuple[int, ...]] = {
    "": (0, 4, 7),
    "m": (0, 3, 7),
    "7": (0, 4, 7, 10),
    "M7": (0, 4, 7, 11),
    "m7": (0, 3, 7, 10),
    "m7b5": (0, 3, 6, 10),
}
"""Semitones above the root, by MMA's name of the chord."""

SHARP_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
FLAT_NAMES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
FLAT_MAJORS = (1, 3, 5, 8, 10)  # tonics of the major keys that are written with flats

PHRASE_BARS = 4
FORMS = ("AB", "ABA", "AAB", "ABAB", "AABA", "AABB", "ABABAB", "ABABCB", "AABABA")
BLUES_FORMS = ("AA", "ABA", "AAB", "AAA", "AABA", "AAAA")
# The chords of a degree, (semitones above the tonic, triad, seventh chord).
MAJOR_DEGREES = {
    1: (0, "", "M7"),
    2: (2, "m", "m7"),
    3: (4, "m", "m7"),
    4: (5, "", "M7"),
    5: (7, "", "7"),
    6: (9, "m", "m7"),
}
MINOR_DEGREES = {
    1: (0, "m", "m7"),
    2: (2, "m7b5", "m7b5"),
    3: (3, "", "M7"),
    4: (5, "m", "m7"),
    5: (7, "7", "7"),
    6: (8, "", "M7"),
    7: (10, "", "7"),
}
# Degrees of a function, and what follows a function within a phrase, with their chances.
MAJOR_FUNCTIONS = {
    "tonic": {1: 0.55, 6: 0.3, 3: 0.15},
    "subdominant": {4: 0.5, 2: 0.5},
    "dominant": {5: 1.0},
}
MINOR_FUNCTIONS = {
    "tonic": {1: 0.55, 3: 0.25, 6: 0.2},
    "subdominant": {4: 0.65, 2: 0.2, 6: 0.15},
    "dominant": {5: 0.7, 7: 0.3},
}
NEXT_FUNCTION = {
    "tonic": {"tonic": 0.3, "subdominant": 0.5, "dominant": 0.2},
    "subdominant": {"tonic": 0.25, "subdominant": 0.3, "dominant": 0.45},
    "dominant": {"tonic": 0.85, "subdominant": 0.15},
}
MAJOR_LOOPS = ((1, 5, 6, 4), (6, 4, 1, 5), (1, 6, 4, 5), (1, 4, 6, 5), (1, 3, 4, 5), (4, 1, 5, 6))
MINOR_LOOPS = ((1, 6, 3, 7), (1, 7, 6, 7), (1, 4, 7, 3), (1, 6, 4, 5), (1, 3, 7, 4), (6, 7, 1, 1))
BLUES_CHORUSES = (
    (1, 1, 1, 1, 4, 4, 1, 1, 5, 4, 1, 5),
    (1, 4, 1, 1, 4, 4, 1, 1, 5, 4, 1, 1),
    (1, 4, 1, 1, 4, 4, 1, 1, 5, 5, 1, 5),
)
BLUES_BRIDGES = ((4, 4, 1, 1, 4, 4, 5, 5), (4, 4, 1, 1, 4, 5, 1, 5))
SPLIT_BARS = {"triads": 0.1, "sevenths": 0.3, "loops": 0.0, "blues": 0.0}
"""Chance that a bar of four beats has two chords, where the phrase does not end."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """A major or minor key; `tonic` is a pitch class, 0 for C."""

    tonic: int
    minor: bool

    @property
    def scale(self) -> tuple[int, ...]:
        """Its seven pitch classes, from the tonic on (natural minor)."""
        steps = MINOR_SCALE if self.minor else MAJOR_SCALE
        return tuple((self.tonic + step) % 12 for step in steps)

    @property
    def names(self) -> tuple[str, ...]:
        """How this key writes the twelve pitch classes."""
        relative = (self.tonic + 3) % 12 if self.minor else self.tonic
        return FLAT_NAMES if relative in FLAT_MAJORS else SHARP_NAMES

    def __str__(self) -> str:
        """As musicians say it, "C minor"."""
        return f"{self.names[self.tonic]} {'minor' if self.minor else 'major'}"


@dataclass(frozen=True, kw_only=True)
class Chord:
    """A root (a pitch class, 0 for C) and a quality of `QUALITIES`."""

    root: int
    quality: str

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """The pitch classes that sound, from the root on."""
        return tuple((self.root + step) % 12 for step in QUALITIES[self.quality])


Bar = tuple[Chord, ...]
"""One chord, or two that share the bar in halves."""


def degree_chord(key: Key, degree: int, *, sevenths: bool = False) -> Chord:
    """The chord on a degree of `key`; the dominant of a minor key is major, with its seventh."""
    step, triad, seventh = (MINOR_DEGREES if key.minor else MAJOR_DEGREES)[degree]
    return Chord(root=(key.tonic + step) % 12, quality=seventh if sevenths else triad)


def draw_form(
    harmony: Harmony, bar_s: float, seconds: tuple[float, float], draw: np.random.Generator
) -> tuple[str, dict[str, int]]:
    """A form, and the bars of each of its letters, that last as long as asked where any does.

    Args:
        harmony: Blues have choruses of twelve bars and forms of their own.
        bar_s: Seconds of a bar.
        seconds: Shortest and longest duration.
        draw: Chooses among what fits; what comes nearest where nothing does.
    """
    if harmony == "blues":
        plans = [(form, {"A": 12, "B": 8}) for form in BLUES_FORMS]
    else:
        plans = [
            (form, {"A": verse, "B": chorus, "C": 4})
            for form in FORMS
            for verse, chorus in ((4, 4), (8, 4), (4, 8), (8, 8))
        ]
    plans = [(form, {letter: bars[letter] for letter in sorted(set(form))}) for form, bars in plans]
    lengths = np.array([bar_s * sum(bars[letter] for letter in form) for form, bars in plans])
    shortest, longest = seconds
    outside = np.maximum(shortest - lengths, 0) + np.maximum(lengths - longest, 0)
    (fitting,) = np.nonzero(outside == outside.min())
    return plans[int(draw.choice(fitting))]


def draw_bars(
    key: Key,
    harmony: Harmony,
    letter: str,
    count: int,
    *,
    beats_per_bar: int,
    returns: bool,
    draw: np.random.Generator,
) -> tuple[Bar, ...]:
    """The chords of one section.

    Args:
        key: Where it is at home.
        harmony: How the chords move.
        letter: "A" begins at home, other sections elsewhere.
        count: Bars; a multiple of `PHRASE_BARS`.
        beats_per_bar: Only bars of four beats are split between two chords.
        returns: Whether an A always follows: the section then ends on the dominant.
        draw: Chooses.
    """
    if harmony == "blues":
        choices = BLUES_CHORUSES if letter == "A" else BLUES_BRIDGES
        degrees = choices[int(draw.integers(len(choices)))]
        return tuple(
            (Chord(root=degree_chord(key, degree).root, quality="7"),) for degree in degrees
        )
    sevenths = harmony == "sevenths"
    split = SPLIT_BARS[harmony] if beats_per_bar == 4 else 0.0
    bars: list[Bar] = []
    loop = _draw_loop(key, draw) if harmony == "loops" else None
    for first in range(0, count, PHRASE_BARS):
        last = first + PHRASE_BARS >= count
        cadence = "half" if (not last or returns) else "authentic"
        if loop is not None:
            degrees = list(loop)
            if last:
                degrees[-2:] = [4, 5] if cadence == "half" else [5, 1]
        else:
            degrees = _phrase(key, cadence, at_home=letter == "A" or first > 0, draw=draw)
        bars += _as_bars(key, degrees, sevenths=sevenths, split=split, draw=draw)
    return tuple(bars)


def _draw_loop(key: Key, draw: np.random.Generator) -> tuple[int, ...]:
    loops = MINOR_LOOPS if key.minor else MAJOR_LOOPS
    return loops[int(draw.integers(len(loops)))]


def _phrase(key: Key, cadence: str, *, at_home: bool, draw: np.random.Generator) -> list[int]:
    """Degrees of four bars that end on the dominant (half cadence) or come home (authentic)."""
    functions = MINOR_FUNCTIONS if key.minor else MAJOR_FUNCTIONS
    function = "tonic" if at_home else "subdominant"
    degrees = [1 if at_home else _chosen(functions[function], draw)]
    function = _chosen(NEXT_FUNCTION[function], draw)
    degrees.append(_chosen(functions[function], draw))
    if cadence == "half":
        return [*degrees, _chosen(functions["subdominant"], draw), 5]
    return [*degrees, 5, 1]


def _chosen(chances: Mapping[Choice, float], draw: np.random.Generator) -> Choice:
    return list(chances)[int(draw.choice(len(chances), p=list(chances.values())))]


def _as_bars(
    key: Key, degrees: list[int], *, sevenths: bool, split: float, draw: np.random.Generator
) -> list[Bar]:
    """A chord per bar; a split bar comes to its dominant, or moves on towards the next bar."""
    bars: list[Bar] = []
    for degree, following in zip(degrees, [*degrees[1:], None], strict=True):
        chord = degree_chord(key, degree, sevenths=sevenths)
        other = 2 if degree == 5 else 5 if following == 1 else 4
        if following is None or other == degree or draw.random() >= split:
            bars.append((chord,))
            continue
        neighbour = degree_chord(key, other, sevenths=sevenths)
        bars.append((neighbour, chord) if degree == 5 else (chord, neighbour))
    return bars
