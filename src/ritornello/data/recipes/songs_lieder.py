"""Reads songs from MusicXML: the part with words is sung, the others are played.

Repeats are written out, each time with its own verse. A verse in another language is left out
where a line of English stands beside it. The form is read from the repeats: what is repeated has
the same letter.
"""

import logging
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float

from ritornello.data.recipes.catalogue import UNKNOWN_LICENCE, Entry
from ritornello.data.recipes.midi import KEYBOARD, to_seconds
from ritornello.data.recipes.songs_score import Note, ScoreSyllable, Section, Song, spell
from ritornello.errors import DataError, MissingDependencyError

SUFFIXES = (".mxl", ".musicxml", ".xml")
GENRE = "art song"
USUAL_TEMPO = 92.0  # quarters a minute, for scores that say none
TEMPO_RANGE = (30.0, 260.0)
EPSILON = 1e-6
MELISMA_REST = 0.13  # quarters; after a longer rest a note without a word is not sung
LEAST_SYLLABLES = 4
ENGLISH = frozenset(
    ("the", "and", "of", "to", "in", "is", "that", "with", "my", "for", "but", "not")
)
_HYPHEN = re.compile(r"-\s+")  # within what is written under one note
_VERSE_NUMBER = re.compile(r"^\s*\d+\.")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A bar as it is performed.

    Attributes:
        start: Quarters from the beginning.
        length: Quarters.
        place: Which bar of the written score it is, from 0.
        passing: How often it has been performed, this time included.
    """

    start: float
    length: float
    place: int
    passing: int


@dataclass(frozen=True, kw_only=True)
class Read:
    """A sung note of the score; times in quarters.

    Attributes:
        start: From the beginning of the score as it is performed.
        end: Of the note.
        pitch: MIDI key; the highest of a chord.
        joins: Whether it is tied to the note before.
        words: (text, continues) of each verse at this note.
        passing: How often its bar has been performed, from 1.
    """

    start: float
    end: float
    pitch: int
    joins: bool
    words: dict[int, tuple[str, bool]]
    passing: int


def load_music21() -> Any:
    """music21's converter; raises MissingDependencyError when it is not installed."""
    try:
        from music21 import converter
    except ImportError as error:
        raise MissingDependencyError(
            "reading MusicXML", "music21", "pip install 'ritornello[data]'"
        ) from error
    return converter


def read_song(entry: Entry) -> Song:
    """The song in the MusicXML file of a catalogue entry.

    Raises:
        DataError: It cannot be read, or holds no words on notes.
        MissingDependencyError: music21 is not installed.
    """
    converter = load_music21()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of signs that are of no concern here
        try:
            written = converter.Converter()
            # No pickles: neither written into the folder of temporary files nor believed.
            written.parseFile(entry.path, forceSource=True, storePickle=False)
            score = written.stream
            parts = list(score.parts)
            bars = _performed(parts)
            voices = [_sung_notes(part, bars) for part in parts]
            tempo = _tempo(parts, bars)
        except Exception as error:  # music21 raises whatever the file leads it to
            raise DataError(f"{entry.path.name} cannot be read as MusicXML ({error!r})") from error
    counts = [sum(bool(note.words) for note in voice) for voice in voices]
    if not counts or max(counts) < LEAST_SYLLABLES:
        raise DataError(
            f"{entry.path.name} has {max(counts, default=0)} syllables; expected a part with words"
        )
    singing = counts.index(max(counts))
    text, words = spell(_syllables(voices[singing], tempo))
    if not words:
        raise DataError(f"{entry.path.name} has no words that are sung")
    return Song(
        title=entry.title,
        composer=entry.composer,
        work=entry.work,
        genre=GENRE,
        licence=_licence(entry, score),
        text=text,
        words=words,
        accompaniment=_accompaniment(
            [part for index, part in enumerate(parts) if index != singing], bars, tempo
        ),
        sections=_sections(bars, tempo),
    )


def _performed(parts: list[Any]) -> list[Bar]:
    """The bars in the order of performance, repeats written out.

    All parts follow the order that music21 finds for the one it finds the longest for, and a bar is
    as long as in most parts: an incomplete bar in one of them shifts nothing.
    """
    measures = [list(part.getElementsByClass("Measure")) for part in parts]
    lengths = []
    for place in range(max(map(len, measures))):
        found = Counter(
            float(one[place].duration.quarterLength) for one in measures if place < len(one)
        )
        lengths.append(max(found, key=lambda length: (found[length], length)))
    order = max((_order(part) for part in parts), key=len)
    bars, at, passed = [], 0.0, Counter[int]()
    for place in order:
        passed[place] += 1
        bars.append(Bar(start=at, length=lengths[place], place=place, passing=passed[place]))
        at += lengths[place]
    return bars


def _order(part: Any) -> list[int]:
    """Places of a part's bars in the order of performance; as written where that is not clear."""
    from music21 import bar

    measures = list(part.getElementsByClass("Measure"))
    written = list(range(len(measures)))
    if not list(part.recurse().getElementsByClass(bar.Repeat)):
        return written
    for place, measure in enumerate(measures):
        measure.groups.append(str(place))  # copies keep it; the bars' own numbers may occur twice
    try:
        expanded = part.expandRepeats()
    except Exception as error:  # a sign too few or too many
        logger.info("repeats are not taken: %r", error)
        return written
    return [int(measure.groups[-1]) for measure in expanded.getElementsByClass("Measure")]


def _measures(part: Any, bars: list[Bar]) -> Iterator[tuple[Bar, Any]]:
    """What a part has in each bar."""
    measures = list(part.getElementsByClass("Measure"))
    for one in bars:
        if one.place < len(measures):
            yield one, measures[one.place]


def _notes(measure: Any) -> Iterator[tuple[float, float, Any]]:
    """(start, end, note or chord) in quarters within a bar; no grace notes, no chord symbols."""
    for one in measure.flatten().notes:
        length = float(one.duration.quarterLength)
        if length > 0 and (one.isNote or (one.isChord and "Harmony" not in one.classes)):
            yield float(one.offset), float(one.offset) + length, one


def _sung_notes(part: Any, bars: list[Bar]) -> list[Read]:
    """Notes of a part, one at a time: where several sound, the one with words or the highest."""
    read = []
    for bar, measure in _measures(part, bars):
        for start, end, note in _notes(measure):
            tie = note.tie.type if note.tie is not None else None
            read.append(
                Read(
                    start=bar.start + start,
                    end=bar.start + end,
                    pitch=max(pitch.midi for pitch in note.pitches),
                    joins=tie in ("stop", "continue"),
                    words=_words(note.lyrics),
                    passing=bar.passing,
                )
            )
    read.sort(key=lambda note: (note.start, not note.words, -note.pitch))
    line: list[Read] = []
    for note in read:
        if not line or note.start >= line[-1].start + EPSILON:
            line.append(note)
    return line


def _words(lyrics: Iterable[Any]) -> dict[int, tuple[str, bool]]:
    """(text, continues) by the number of the verse."""
    words = {}
    for lyric in lyrics:
        text = _HYPHEN.sub("", _VERSE_NUMBER.sub("", lyric.text or "")).strip()
        if not text.strip("-_"):
            continue
        syllabic = lyric.components[-1].syllabic if lyric.isComposite else lyric.syllabic
        continues = syllabic in ("begin", "middle") or text.endswith("-")
        words[int(lyric.number)] = (text.rstrip("-"), continues)
    return words


def _syllables(notes: list[Read], tempo: Float[np.ndarray, "changes 2"]) -> list[ScoreSyllable]:
    """The sung syllables, in seconds."""
    language = _english_verse(notes)
    sung: list[tuple[tuple[str, bool], list[Read]]] = []
    for note, following in zip(notes, [*notes[1:], None], strict=True):
        end = note.end if following is None else min(note.end, following.start)
        whole = replace(note, end=end)
        word = _verse_of(note, language)
        last = sung[-1][1] if sung else []
        if word is not None:
            sung.append((word, [whole]))
        elif last and note.start - last[-1].end <= MELISMA_REST:
            if note.joins and last[-1].pitch == note.pitch:
                last[-1] = replace(last[-1], end=end)
            else:
                last.append(whole)
    return [
        ScoreSyllable(text=text, continues=continues, notes=tuple(_in_seconds(group, tempo)))
        for (text, continues), group in sung
    ]


def _english_verse(notes: list[Read]) -> int | None:
    """The verse to sing where all notes are sung once and several are written; else None."""
    verses = {number for note in notes for number in note.words}
    if len(verses) < 2 or any(note.passing > 1 for note in notes):
        return None
    texts = {
        number: [
            note.words[number][0].lower().strip(",.;:!?") for note in notes if number in note.words
        ]
        for number in sorted(verses)
    }
    english = {number: sum(word in ENGLISH for word in words) for number, words in texts.items()}
    # The first of several English verses: they differ by chance, two languages by far.
    return next(number for number in english if english[number] >= 0.5 * max(english.values()))


def _verse_of(note: Read, language: int | None) -> tuple[str, bool] | None:
    """What is sung to a note: its verse's word, or that of the last verse before it."""
    if language is not None:
        return note.words.get(language)
    written = [number for number in note.words if number <= note.passing]
    return note.words[max(written)] if written else None


def _in_seconds(notes: list[Read], tempo: Float[np.ndarray, "changes 2"]) -> list[Note]:
    starts = to_seconds(np.array([note.start for note in notes]), tempo)
    ends = to_seconds(np.array([note.end for note in notes]), tempo)
    return [
        Note(start_s=float(start), end_s=float(end), pitch=note.pitch)
        for note, start, end in zip(notes, starts, ends, strict=True)
    ]


# ------------------------------------------------------------------ what is around the voice


def _tempo(parts: list[Any], bars: list[Bar]) -> Float[np.ndarray, "changes 2"]:
    """Rows (quarter, seconds per quarter), from quarter 0."""
    from music21 import tempo

    marks: dict[float, float] = {}
    for part in parts:
        for one, measure in _measures(part, bars):
            for mark in measure.recurse().getElementsByClass(tempo.MetronomeMark):
                beats = mark.getQuarterBPM()
                if beats is not None and TEMPO_RANGE[0] <= beats <= TEMPO_RANGE[1]:
                    at = one.start + float(mark.getOffsetInHierarchy(measure))
                    marks[at] = 60.0 / beats
    usual = marks[min(marks)] if marks else 60.0 / USUAL_TEMPO
    return np.array(sorted(({0.0: usual} | marks).items()), np.float64)


def _accompaniment(
    parts: list[Any], bars: list[Bar], tempo: Float[np.ndarray, "changes 2"]
) -> Float[np.ndarray, "notes 3"]:
    """All notes of the parts on one piano, ties joined; no key is struck while it is down."""
    played: list[tuple[float, float, int]] = []
    for part in parts:
        sounding: dict[int, int] = {}  # key -> its last note's place in `played`
        for bar, measure in _measures(part, bars):
            at = bar.start
            for start, end, note in sorted(_notes(measure), key=lambda found: found[0]):
                for one in note.notes if note.isChord else [note]:
                    key = one.pitch.midi
                    tied = one.tie is not None and one.tie.type in ("stop", "continue")
                    last = sounding.get(key)
                    if tied and last is not None and abs(played[last][1] - at - start) < 1e-3:
                        played[last] = (played[last][0], at + end, key)
                    elif KEYBOARD[0] <= key <= KEYBOARD[1]:
                        sounding[key] = len(played)
                        played.append((at + start, at + end, key))
    if not played:
        return np.zeros((0, 3))
    apart = _struck_apart(sorted(set(played)))
    seconds = np.array(apart, np.float64)
    seconds[:, 0] = to_seconds(seconds[:, 0], tempo)
    seconds[:, 1] = to_seconds(seconds[:, 1], tempo)
    return seconds


def _struck_apart(played: list[tuple[float, float, int]]) -> list[tuple[float, float, int]]:
    """Each key's notes ended by its next; of several at once the longest."""
    latest: dict[int, int] = {}
    notes: list[tuple[float, float, int]] = []
    for start, end, key in played:
        last = latest.get(key)
        if last is not None and abs(notes[last][0] - start) < EPSILON:
            notes[last] = (notes[last][0], max(notes[last][1], end), key)
            continue
        if last is not None and notes[last][1] > start:
            notes[last] = (notes[last][0], start, key)
        latest[key] = len(notes)
        notes.append((start, end, key))
    return notes


def _sections(bars: list[Bar], tempo: Float[np.ndarray, "changes 2"]) -> tuple[Section, ...]:
    """Runs of bars that follow each other in the score, named by the bar they begin with.

    Empty where nothing is repeated.
    """
    places = [bar.place for bar in bars]
    returns = {after for before, after in pairwise(places) if after <= before}
    leaves = {before for before, after in pairwise(places) if after <= before}
    jumps = [
        index + 1
        for index, (before, after) in enumerate(pairwise(places))
        if after != before + 1 or after in returns or before in leaves
    ]
    if not returns:
        return ()
    letters: dict[int, str] = {}
    sections = []
    for first, last in pairwise([0, *jumps, len(bars)]):
        letter = letters.setdefault(places[first], chr(ord("A") + len(letters) % 26))
        edges = np.array([bars[first].start, bars[last - 1].start + bars[last - 1].length])
        start_s, end_s = to_seconds(edges, tempo)
        sections.append(Section(letter=letter, start_s=float(start_s), end_s=float(end_s)))
    return tuple(sections)


def _licence(entry: Entry, score: Any) -> str:
    """The catalogue's, or what the score says of itself."""
    said = score.metadata.copyright if score.metadata is not None else None
    return str(said) if entry.licence == UNKNOWN_LICENCE and said else entry.licence
