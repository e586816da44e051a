"""Draws a melody over chords: a motif that is repeated and answered, phrase by phrase.

A phrase has four bars: motif, answer, motif again over its new chord, and a long note before a
rest. Pitches follow an arch. On the beat and on long notes they are tones of the chord; between
them, notes of the key that lie near.
"""

from dataclasses import dataclass

import numpy as np

from ritornello.data.recipes.bands_theory import PHRASE_BARS, Bar, Chord, Key

# Rhythms of half a bar (two beats) and of a bar of three; negative values are rests. Busier later.
HALF_BARS = (
    (2.0,),
    (1.0, 1.0),
    (1.5, 0.5),
    (-1.0, 1.0),
    (1.0, 0.5, 0.5),
    (0.5, 0.5, 1.0),
    (0.5, 1.0, 0.5),
    (-0.5, 0.5, 0.5, 0.5),
    (0.5, 0.5, 0.5, 0.5),
)
WALTZ_BARS = (
    (3.0,),
    (2.0, 1.0),
    (1.0, 1.0, 1.0),
    (1.5, 0.5, 1.0),
    (-1.0, 1.0, 1.0),
    (1.0, 0.5, 0.5, 1.0),
    (1.0, 1.0, 0.5, 0.5),
    (0.5, 0.5, 1.0, 1.0),
    (0.5, 0.5, 0.5, 0.5, 1.0),
)
ARCH = 5.0  # semitones from the ends of a phrase to its middle
MOTIF_SPREAD = 3.0  # semitones by which a motif leaves the arch
COMPASS = 11  # semitones to either side of the middle
LEAP = 9  # semitones
LEGATO = 0.92  # of a note's value that sounds


@dataclass(frozen=True, kw_only=True)
class MelodyNote:
    """One note, in beats from the beginning of its section."""

    start: float
    beats: float
    pitch: int
    accent: float


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a melody is played.

    Attributes:
        middle: MIDI key around which it lies.
        density: 0 holds its notes long, 1 is busy.
        swing: Where in a beat the off-beat quaver falls.
    """

    middle: int
    density: float
    swing: float


Rhythm = tuple[tuple[float, float], ...]
"""(start, beats) of each note of a bar."""


def draw_melody(
    bars: tuple[Bar, ...],
    key: Key,
    manner: Manner,
    beats_per_bar: int,
    draw: np.random.Generator,
) -> tuple[MelodyNote, ...]:
    """The melody of one section, in order and without overlaps.

    Args:
        bars: Its chords.
        key: Whose notes pass between the chords'.
        manner: Register, density and swing.
        beats_per_bar: 3 or 4.
        draw: Chooses motif, contour and neighbours.
    """
    motif, answer = (_draw_rhythm(beats_per_bar, manner.density, draw) for _ in range(2))
    offsets = [draw.normal(0.0, MOTIF_SPREAD, len(rhythm)) for rhythm in (motif, answer)]
    peak = float(draw.uniform(0.3, 0.7))
    notes: list[MelodyNote] = []
    previous = manner.middle
    for number, bar in enumerate(bars):
        place = number % PHRASE_BARS
        closing = place == PHRASE_BARS - 1 or number == len(bars) - 1
        rhythm = ((0.0, 0.5 * beats_per_bar + 0.5),) if closing else (motif, answer)[place % 2]
        for index, (start, beats) in enumerate(rhythm):
            chord = bar[-1] if len(bar) == 2 and start >= beats_per_bar / 2 else bar[0]
            at = (place + start / beats_per_bar) / PHRASE_BARS
            target = manner.middle + ARCH * (1 - abs(at - peak) / 0.5)
            if not closing:
                target += offsets[place % 2][index]
            pitch = _pitch(chord, key, target, previous, manner, firm=start % 1 == 0 or beats >= 1)
            first, last = (_swung(beat, manner.swing) for beat in (start, start + beats))
            notes.append(
                MelodyNote(
                    start=number * beats_per_bar + first,
                    beats=LEGATO * (last - first),
                    pitch=pitch,
                    accent=1.0 if start == 0 else 0.5 if start % 1 == 0 else 0.0,
                )
            )
            previous = pitch
    return tuple(notes)


def _draw_rhythm(beats_per_bar: int, density: float, draw: np.random.Generator) -> Rhythm:
    """The notes of one bar; at least one."""
    cells = WALTZ_BARS if beats_per_bar == 3 else HALF_BARS
    busy = np.arange(len(cells)) / (len(cells) - 1)
    weights = np.exp(-(((busy - density) / 0.35) ** 2))
    values: list[float] = []
    while sum(map(abs, values)) < beats_per_bar:
        values += cells[int(draw.choice(len(cells), p=weights / weights.sum()))]
    starts = np.cumsum([0.0, *map(abs, values)])
    return tuple(
        (float(start), value) for start, value in zip(starts, values, strict=False) if value > 0
    )


def _swung(beat: float, swing: float) -> float:
    """`beat` with its off-beat quaver moved to `swing`."""
    return beat - 0.5 + swing if beat % 1 == 0.5 else beat


def _pitch(
    chord: Chord, key: Key, target: float, previous: int, manner: Manner, *, firm: bool
) -> int:
    """The allowed key that is nearest to `target`: of the chord where `firm`, else of the scale."""
    allowed = set(chord.pitch_classes)
    if not firm:
        # A note of the key a semitone above one of the chord's would fight with it.
        allowed |= {note for note in key.scale if (note - 1) % 12 not in chord.pitch_classes}
    low = max(manner.middle - COMPASS, previous - LEAP)
    high = min(manner.middle + COMPASS, previous + LEAP)
    near = 0.3 if firm else 0.8  # between firm notes a melody moves by steps
    return min(
        (pitch for pitch in range(low, high + 1) if pitch % 12 in allowed),
        # A repeated note is dull; of two that are equally good the lower one is taken.
        key=lambda pitch: (
            abs(pitch - target) + near * abs(pitch - previous) + 1.5 * (pitch == previous),
            pitch,
        ),
    )
