"""Songs for machines without a folder of scores: the recipe's own tunes, with plain chords.

The tunes stand in `songs_tunes`. Every bar gets the chord of the key that holds most of its melody,
with a step back from the dominant at the end, played as a bass note and two chords.
"""

import re

import numpy as np

from ritornello.data.recipes.catalogue import slug
from ritornello.data.recipes.songs_score import Note, ScoreSyllable, Section, Song, spell
from ritornello.data.recipes.songs_tunes import TUNES, Tune
from ritornello.errors import DataError

TONICS = {"C": 60, "F": 65, "G": 67}
LETTERS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
# Steps above the tonic of the chords on its degrees, in order of preference.
CHORDS = {"I": (0, 4, 7), "V": (7, 11, 2), "IV": (5, 9, 0), "vi": (9, 0, 4), "ii": (2, 5, 9)}
PREFERENCE = {"I": 0.3, "V": 0.4, "IV": 0.15, "vi": 0.0, "ii": 0.0}
INTRODUCTION_BARS = 1
_NOTE = re.compile(r"(?P<key>[a-g][#b]?|r)(?P<octave>[',]*)(?P<length>\d*)(?P<dots>\.*)")

Bar = list[tuple[int | None, float]]
"""(MIDI key or None for a rest, length in quarters) of each note."""


def own_songs() -> list[Song]:
    """All of them."""
    return [song_of(tune) for tune in TUNES]


def song_of(tune: Tune) -> Song:
    """The song that is written, from its first verse to its last, after a bar of introduction.

    Raises:
        DataError: Notes and syllables do not go together.
    """
    second = 60.0 / tune.tempo
    parts = {letter: read_music(text) for letter, text in tune.parts.items()}
    # Whole bars are as long as the longest; a shorter one at either end is an upbeat or its rest.
    bar = max(_length(one) for music in parts.values() for one in music)
    upbeat = _length(parts[tune.form[0][0]][0]) % bar
    time = INTRODUCTION_BARS * bar - upbeat + (bar if upbeat else 0.0)
    sung: list[ScoreSyllable] = []
    chords = _strum("I", TONICS[tune.key], 0.0, INTRODUCTION_BARS * bar + (bar if upbeat else 0.0))
    sections = []
    for number, (letter, words) in enumerate(tune.form, start=1):
        music = parts[letter]
        sung += _verse(music, words, time * second, second, tune.title)
        start = time
        names = harmonised(music, TONICS[tune.key], bar)
        for place, (one, name) in enumerate(zip(music, names, strict=True)):
            length = _length(one)
            if place > 0 or length == bar:
                # The last bar of all rings on.
                whole = bar if place == len(music) - 1 and number == len(tune.form) else length
                chords += _strum(name, TONICS[tune.key], time, whole)
            time += length
        sections.append(Section(letter=letter, start_s=start * second, end_s=time * second))
    text, spelt = spell(sung)
    played = np.array(chords, np.float64)
    played[:, :2] *= second
    return Song(
        title=tune.title,
        composer="traditional",
        work=f"traditional-{slug(tune.title)}",
        genre="traditional",
        licence=f"public domain ({tune.origin})",
        text=text,
        words=spelt,
        accompaniment=played[np.lexsort((played[:, 2], played[:, 0]))],
        sections=tuple(sections),
    )


def read_music(text: str) -> list[Bar]:
    """The bars of a line of music.

    Raises:
        DataError: It is not written as the tunes are.
    """
    quarters, bars = 1.0, []
    for written in text.split("|"):
        notes: Bar = []
        for one in written.split():
            match = _NOTE.fullmatch(one)
            if match is None:
                raise DataError(f"{one!r} is no note; expected a letter, an octave and a length")
            if match["length"]:
                quarters = 4.0 / int(match["length"]) * (2 - 0.5 ** len(match["dots"]))
            notes.append((_key(match["key"], match["octave"]), quarters))
        bars.append(notes)
    return bars


def _key(name: str, octave: str) -> int | None:
    if name == "r":
        return None
    sharp = {"": 0, "#": 1, "b": -1}[name[1:]]
    return 60 + LETTERS[name[0]] + sharp + 12 * (octave.count("'") - octave.count(","))


def _length(bar: Bar) -> float:
    return sum(quarters for _, quarters in bar)


def _verse(
    music: list[Bar], words: str, start_s: float, second: float, title: str
) -> list[ScoreSyllable]:
    """Syllables on notes; every note has one, `_` the last one's."""
    notes, time_s = [], start_s
    for key, quarters in (note for bar in music for note in bar):
        end_s = time_s + quarters * second
        if key is not None:
            notes.append(Note(start_s=time_s, end_s=end_s, pitch=key))
        time_s = end_s
    written = words.replace("-", "- ").split()
    if len(written) != len(notes):
        raise DataError(f"{title}: {len(written)} syllables for {len(notes)} notes ({words!r})")
    sung: list[tuple[str, list[Note]]] = []
    for text, note in zip(written, notes, strict=True):
        if text == "_" and sung:
            sung[-1][1].append(note)
        else:
            sung.append((text, [note]))
    return [
        ScoreSyllable(text=text.rstrip("-"), continues=text.endswith("-"), notes=tuple(group))
        for text, group in sung
    ]


# ------------------------------------------------------------------ chords


def harmonised(music: list[Bar], tonic: int, bar: float) -> list[str]:
    """The chord of each bar: the one that holds most of the melody; the last is the tonic's."""
    names = []
    for one in music:
        weights = {
            name: PREFERENCE[name] * bar / 4
            + sum(q for key, q in one if key is not None and (key - tonic) % 12 in steps)
            for name, steps in CHORDS.items()
        }
        names.append(max(weights, key=lambda name: weights[name]))
    names[-1] = "I"
    return names


def _strum(name: str, tonic: int, start: float, length: float) -> list[tuple[float, float, int]]:
    """(start, end, key) in quarters: the root on one, the chord on the beats after it."""
    root = 36 + (tonic + CHORDS[name][0]) % 12
    chord = [48 + (tonic + step) % 12 for step in CHORDS[name]]
    notes = [(start, start + length, root + 12 * (root < 40))]
    beat = 1.5 if length % 1.5 == 0 and length % 2 else 1.0
    at = beat
    while at < length - 1e-9:
        notes += [(start + at, start + min(length, at + beat), key) for key in chord]
        at += beat
    return notes
