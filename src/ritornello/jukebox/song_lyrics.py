"""The lyrics of a recording, from its side-car: text alone, or with the time of every syllable.

    {"lyrics": "Twinkle, twinkle"}
    {"lyrics": {"text": "Twinkle, twinkle",
                "sung": [{"start_s": 0.5, "end_s": 0.9, "begin": 0, "end": 5}, ...]}}

`begin` and `end` count characters of the composed text (NFC), as in `lyrics.Sung`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ritornello.data.corpus import Recording
from ritornello.errors import DataError
from ritornello.jukebox.lyrics import (
    ByteVocabulary,
    CharacterVocabulary,
    LinearTiming,
    LyricTiming,
    LyricVocabulary,
    Spelt,
    Sung,
    SungTiming,
    composed,
)


@dataclass(frozen=True, kw_only=True)
class SongLyrics:
    """What a song says, in tokens, and when.

    Attributes:
        text: Composed (NFC).
        spelt: Its tokens.
        timing: When which token is sung.
        sung: Times of its syllables; empty when they are not known.
    """

    text: str
    spelt: Spelt
    timing: LyricTiming
    sung: tuple[Sung, ...] = ()


def vocabulary_of(alphabet: str) -> LyricVocabulary:
    """The alphabet of that name: "bytes" or "characters"."""
    return ByteVocabulary() if alphabet == "bytes" else CharacterVocabulary()


def evenly(text: str, alphabet: str, total_s: float) -> SongLyrics:
    """Lyrics of a song of which only the length is known: the paper's heuristic (section 4.2)."""
    spelt = vocabulary_of(alphabet).spell(text)
    timing = LinearTiming(tokens=len(spelt.tokens), total_s=total_s)
    return SongLyrics(text=composed(text), spelt=spelt, timing=timing)


def at_times(text: str, alphabet: str, sung: tuple[Sung, ...]) -> SongLyrics:
    """Lyrics of a song whose syllables have known times."""
    spelt = vocabulary_of(alphabet).spell(text)
    timing = SungTiming(spelt, sung)
    return SongLyrics(text=composed(text), spelt=spelt, timing=timing, sung=sung)


def lyrics_of(recording: Recording, alphabet: str) -> SongLyrics | None:
    """What the side-car says; None if it says nothing.

    Raises:
        DataError: It is there but not what the module's text describes.
    """
    file = recording.path.with_suffix(".json")
    if not file.is_file():
        return None
    lyrics = json.loads(file.read_text(encoding="utf-8")).get("lyrics")
    match lyrics:
        case None | "":
            return None
        case str():
            return evenly(lyrics, alphabet, recording.duration_s)
        case {"text": str(text), "sung": list(sung)} if sung:
            return at_times(text, alphabet, tuple(_sung(one, file.name) for one in sung))
        case {"text": str(text)}:
            return evenly(text, alphabet, recording.duration_s)
    raise DataError(
        f"side-car {file.name}: lyrics is {str(lyrics)[:80]!r}; expected a text, or an object with "
        '"text" and "sung"'
    )


def _sung(one: Any, name: str) -> Sung:
    if not isinstance(one, Mapping):
        raise DataError(f"side-car {name}: a syllable is {one!r}; expected an object")
    try:
        return Sung(
            start_s=float(one["start_s"]),
            end_s=float(one["end_s"]),
            begin=int(one["begin"]),
            end=int(one["end"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"side-car {name}: a syllable is {dict(one)}; expected start_s, end_s, begin, end"
        ) from error
