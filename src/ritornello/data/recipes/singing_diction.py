"""When each sound of a sung syllable comes: vowels on the beat, consonants before it.

    divide   a spoken word -> one `Uttered` per syllable of the score
    place    syllables and their notes -> `Placed`: when consonants and vowel sound
    warp     which moment of the spoken word is heard when

Singers start the vowel on the beat. The consonants before it take their natural time from the note
or the rest before, those after the vowel from the end of their own note. The vowel fills what is
left: its middle is held, its beginning and end keep their own speed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from ritornello.data.recipes.singing_words import DIPHTHONGS, Spoken
from ritornello.data.recipes.songs_score import Note

LONGEST_ONSET_S = 0.22
LONGEST_CODA_S = 0.40
LEAST_VOWEL_SHARE = 0.45  # of the time from one vowel to the next
LEGATO_REST_S = 0.08  # shorter rests are sung through
# Where the held part of a vowel begins and ends, as shares of the spoken vowel; a diphthong is
# held on its first sound and glides at its end.
HELD = (0.35, 0.75)
HELD_DIPHTHONG = (0.2, 0.45)


@dataclass(frozen=True, kw_only=True)
class Uttered:
    """A syllable within a spoken word: seconds of the word.

    Attributes:
        start_s: Beginning of the consonants before the vowel.
        vowel_s: Beginning of the vowel.
        vowel_end_s: Its end.
        end_s: End of what comes after the vowel.
        glides: Whether the vowel is a diphthong.
    """

    start_s: float
    vowel_s: float
    vowel_end_s: float
    end_s: float
    glides: bool = False

    @property
    def onset_s(self) -> float:
        """Natural length of what comes before the vowel."""
        return min(self.vowel_s - self.start_s, LONGEST_ONSET_S)

    @property
    def coda_s(self) -> float:
        """Natural length of what comes after it."""
        return min(self.end_s - self.vowel_end_s, LONGEST_CODA_S)


@dataclass(frozen=True, kw_only=True)
class Placed:
    """When a syllable sounds: seconds of the song, as in `Uttered`."""

    start_s: float
    vowel_s: float
    vowel_end_s: float
    end_s: float


def divide(spoken: Spoken, count: int) -> list[Uttered] | None:
    """`count` syllables; what is spoken beyond them belongs to the last. None if it is fewer."""
    syllables = spoken.syllables
    if len(syllables) < count:
        return None
    rest = tuple(sound for syllable in syllables[count - 1 :] for sound in syllable)
    uttered = []
    for sounds in [*syllables[: count - 1], rest]:
        vowel = next(sound for sound in sounds if sound.vowel)
        uttered.append(
            Uttered(
                start_s=sounds[0].start_s,
                vowel_s=vowel.start_s,
                vowel_end_s=vowel.end_s,
                end_s=sounds[-1].end_s,
                glides=vowel.name in DIPHTHONGS,
            )
        )
    return uttered


def place(uttered: Sequence[Uttered], notes: Sequence[tuple[Note, ...]]) -> list[Placed]:
    """When every syllable of a song sounds; nothing overlaps, every vowel begins on its note.

    Args:
        uttered: The syllables.
        notes: What each is sung on.
    """
    beats = [group[0].start_s for group in notes]
    scales = [
        _squeeze(one.coda_s + following.onset_s, after - before)
        for (one, following), (before, after) in zip(
            pairwise(uttered), pairwise(beats), strict=True
        )
    ]
    starts = [max(0.0, beats[0] - uttered[0].onset_s)]
    starts += [
        beat - scale * one.onset_s
        for beat, scale, one in zip(beats[1:], scales, uttered[1:], strict=True)
    ]
    placed = []
    for index, (one, group) in enumerate(zip(uttered, notes, strict=True)):
        next_start = starts[index + 1] if index + 1 < len(starts) else np.inf
        beat, note_end = beats[index], min(group[-1].end_s, next_start)
        coda = one.coda_s * (scales[index] if index < len(scales) else 1.0)
        if next_start - note_end <= LEGATO_REST_S:
            vowel_end, end = next_start - coda, next_start
        else:
            vowel_end = max(note_end - coda, beat + LEAST_VOWEL_SHARE * (note_end - beat))
            end = min(vowel_end + coda, next_start)
        placed.append(
            Placed(
                start_s=starts[index],
                vowel_s=beat,
                vowel_end_s=float(vowel_end),
                end_s=float(end),
            )
        )
    return placed


def _squeeze(consonants_s: float, space_s: float) -> float:
    """By how much consonants between two vowels are shortened so that a vowel remains."""
    allowed = (1 - LEAST_VOWEL_SHARE) * space_s
    return 1.0 if consonants_s <= allowed else allowed / consonants_s


def warp(
    one: Uttered, placed: Placed, at_s: Float[np.ndarray, " times"]
) -> Float[np.ndarray, " times"]:
    """Seconds of the spoken word that are heard at the seconds `at_s` of the song."""
    spoken_s = one.vowel_end_s - one.vowel_s
    sung_s = placed.vowel_end_s - placed.vowel_s
    song = [placed.start_s, placed.vowel_s, placed.vowel_end_s, placed.end_s]
    word = [one.start_s, one.vowel_s, one.vowel_end_s, one.end_s]
    if sung_s > spoken_s:
        begin, end = HELD_DIPHTHONG if one.glides else HELD
        song[2:2] = [placed.vowel_s + begin * spoken_s, placed.vowel_end_s - (1 - end) * spoken_s]
        word[2:2] = [one.vowel_s + begin * spoken_s, one.vowel_s + end * spoken_s]
    return np.interp(at_s, song, word)
