"""A song as the songs recipe knows it: words on notes, and what is played under them.

    Note       a pitch for a time
    Syllable   a place in the lyrics, and the notes that it is sung on
    Word       syllables that are spoken as one
    Song       words, accompaniment, sections

All times are seconds from the beginning of the song. `spell` writes the lyrics out of the syllables
of a score; `cut` divides a long song at rests of the voice.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float

LINE_BREAK_REST_S = 0.4  # a rest of the voice after which the lyrics go on in a new line
LINE_ENDS = ".;:!?"
# Quotation marks that stand for an apostrophe, and signs that join two words on one note.
_APOSTROPHES = re.compile("[\u2018\u2019\u02bc]")
_JOINS = re.compile("[\u203f_\u00a0]")
_CLOSING = "\"')\u201d\u2019"


@dataclass(frozen=True, kw_only=True)
class Note:
    """A pitch (MIDI key) from `start_s` to `end_s`."""

    start_s: float
    end_s: float
    pitch: int


@dataclass(frozen=True, kw_only=True)
class Syllable:
    """What is sung on one note or several.

    Attributes:
        text: As the score has it, punctuation included.
        begin: Its first character in the song's lyrics.
        end: The character after its last.
        notes: In order, one after the other.
    """

    text: str
    begin: int
    end: int
    notes: tuple[Note, ...]


@dataclass(frozen=True, kw_only=True)
class Word:
    """What the voice speaks as one word.

    Attributes:
        spoken: Lower-case letters and apostrophes; two words where the score joins them.
        syllables: As the score divides it.
    """

    spoken: str
    syllables: tuple[Syllable, ...]


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the form; parts with the same letter have the same music."""

    letter: str
    start_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Song:
    """Everything that is needed to render it, and what it is.

    Attributes:
        title: For people.
        composer: For people.
        work: Key of the split: all that is made of one song has the same.
        genre: Label.
        licence: Of the words and the music.
        text: The lyrics, in composed Unicode (NFC).
        words: In order.
        accompaniment: Rows (start in seconds, end in seconds, MIDI key), sorted.
        sections: In order; empty where the form is not known.
    """

    title: str
    composer: str
    work: str
    genre: str
    licence: str
    text: str
    words: tuple[Word, ...]
    accompaniment: Float[np.ndarray, "notes 3"]
    sections: tuple[Section, ...] = ()

    @property
    def syllables(self) -> tuple[Syllable, ...]:
        """All of them, in order."""
        return tuple(syllable for word in self.words for syllable in word.syllables)

    @property
    def duration_s(self) -> float:
        """End of the last note, sung or played."""
        played = float(self.accompaniment[:, 1].max()) if len(self.accompaniment) else 0.0
        return max(self.syllables[-1].notes[-1].end_s, played)

    @property
    def pitches(self) -> list[int]:
        """Of all sung notes."""
        return [note.pitch for syllable in self.syllables for note in syllable.notes]


# ------------------------------------------------------------------ lyrics


@dataclass(frozen=True, kw_only=True)
class ScoreSyllable:
    """A syllable as a score writes it.

    Attributes:
        text: Without hyphens.
        continues: Whether the next syllable belongs to the same word.
        notes: What it is sung on.
    """

    text: str
    continues: bool
    notes: tuple[Note, ...]


def spell(syllables: Sequence[ScoreSyllable]) -> tuple[str, tuple[Word, ...]]:
    """The lyrics that the syllables of a score spell, and its words with their places in them.

    A new line begins after a rest, or where a sentence ends.
    """
    text, words, word = "", [], []
    for index, one in enumerate(syllables):
        shown = unicodedata.normalize("NFC", " ".join(_JOINS.sub(" ", one.text).split()))
        if not word and text:
            text += "\n" if _line_ends(syllables[index - 1], one) else " "
        begin, text = len(text), text + shown
        word.append(Syllable(text=shown, begin=begin, end=len(text), notes=one.notes))
        if not one.continues or index == len(syllables) - 1:
            spoken = sayable("".join(part.text for part in word))
            words.append(Word(spoken=spoken, syllables=tuple(word)))
            word = []
    return text, tuple(words)


def _line_ends(last: ScoreSyllable, following: ScoreSyllable) -> bool:
    rest_s = following.notes[0].start_s - last.notes[-1].end_s
    return rest_s >= LINE_BREAK_REST_S or last.text.rstrip(_CLOSING)[-1:] in tuple(LINE_ENDS)


def sayable(text: str) -> str:
    """What of `text` an English voice can say: plain letters, apostrophes, single spaces."""
    text = _JOINS.sub(" ", _APOSTROPHES.sub("'", text))
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = (part.strip("-") for part in re.sub(r"[^a-z' ]+", "", letters).split())
    return " ".join(part for part in words if re.search("[a-z]", part))


# ------------------------------------------------------------------ variations of a song


def transposed(song: Song, semitones: int) -> Song:
    """The whole song in another key."""
    accompaniment = song.accompaniment.copy()
    accompaniment[:, 2] += semitones
    return replace(sung_higher(song, semitones), accompaniment=accompaniment)


def sung_higher(song: Song, semitones: int) -> Song:
    """The same with the voice alone moved, by octaves in the end."""

    def moved(note: Note) -> Note:
        return replace(note, pitch=note.pitch + semitones)

    return _with_notes(song, moved)


def faster(song: Song, factor: float) -> Song:
    """The song in another tempo."""

    def moved(note: Note) -> Note:
        return replace(note, start_s=note.start_s / factor, end_s=note.end_s / factor)

    accompaniment = song.accompaniment.copy()
    accompaniment[:, :2] /= factor
    sections = tuple(
        replace(one, start_s=one.start_s / factor, end_s=one.end_s / factor)
        for one in song.sections
    )
    return replace(_with_notes(song, moved), accompaniment=accompaniment, sections=sections)


def later(song: Song, seconds: float) -> Song:
    """The song after some silence, or with a negative number before its time."""

    def moved(note: Note) -> Note:
        return replace(note, start_s=note.start_s + seconds, end_s=note.end_s + seconds)

    accompaniment = song.accompaniment.copy()
    accompaniment[:, :2] += seconds
    sections = tuple(
        replace(one, start_s=one.start_s + seconds, end_s=one.end_s + seconds)
        for one in song.sections
    )
    return replace(_with_notes(song, moved), accompaniment=accompaniment, sections=sections)


def _with_notes(song: Song, moved: Callable[[Note], Note]) -> Song:
    """`song` with every sung note replaced by `moved(note)`."""
    words = tuple(
        replace(
            word,
            syllables=tuple(
                replace(syllable, notes=tuple(map(moved, syllable.notes)))
                for syllable in word.syllables
            ),
        )
        for word in song.words
    )
    return replace(song, words=words)


def cut(song: Song, longest_s: float, *, least_rest_s: float = 0.15) -> list[Song]:
    """The song in parts of at most `longest_s` where its rests allow, each from zero.

    A part ends in the middle of a rest of the voice: the longest rest in the last third of the
    time that the part may have, or else the last rest before that; a rest is `least_rest_s` long.
    """
    if song.duration_s <= longest_s:
        return [song]
    rests = [
        (before.syllables[-1].notes[-1].end_s, after.syllables[0].notes[0].start_s)
        for before, after in pairwise(song.words)
    ]
    rests = [rest for rest in rests if rest[1] - rest[0] >= least_rest_s]
    edges = [0.0]
    while song.duration_s - edges[-1] > longest_s:
        middles = {(start + end) / 2: end - start for start, end in rests}
        possible = [at for at in middles if edges[-1] < at <= edges[-1] + longest_s]
        if not possible:
            possible = [at for at in middles if at > edges[-1]][:1]
        if not possible:
            break
        late = [at for at in possible if at > edges[-1] + longest_s * 2 / 3]
        edges.append(max(late, key=lambda at: middles[at]) if late else possible[-1])
    edges.append(song.duration_s + 1.0)
    parts = (_part(song, start, end) for start, end in pairwise(edges))
    return [part for part in parts if part is not None]


def _part(song: Song, start_s: float, end_s: float) -> Song | None:
    """What is sung and played between two rests of the voice; None where nothing is sung."""
    words = [w for w in song.words if start_s <= w.syllables[0].notes[0].start_s < end_s]
    if not words:
        return None
    first, last = words[0].syllables[0].begin, words[-1].syllables[-1].end
    words = [
        replace(
            word,
            syllables=tuple(
                replace(one, begin=one.begin - first, end=one.end - first) for one in word.syllables
            ),
        )
        for word in words
    ]
    notes = song.accompaniment
    notes = notes[(notes[:, 0] >= start_s - 1e-9) & (notes[:, 0] < end_s)]
    notes = np.column_stack([notes[:, 0], np.minimum(notes[:, 1], end_s), notes[:, 2]])
    sections = tuple(
        replace(one, start_s=max(one.start_s, start_s), end_s=min(one.end_s, end_s))
        for one in song.sections
        if one.start_s < end_s and one.end_s > start_s
    )
    part = replace(
        song,
        text=song.text[first:last],
        words=tuple(words),
        accompaniment=notes,
        sections=sections,
    )
    return later(part, -start_s)
