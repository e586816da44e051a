"""The lyrics of a recording, as its dataset tells them: alone, or with the time of every syllable.

    "Twinkle, twinkle"
    {"text": "Twinkle, twinkle",
     "sung": [{"start_s": 0.5, "end_s": 0.9, "begin": 0, "end": 5}, ...]}

The first may stand in the tags of the file, the `labels.csv` of the folder or a side-car, the
second in a side-car. `begin` and `end` count characters of the composed text (NFC), as in
`lyrics.Sung`.
"""

from dataclasses import dataclass

from ritornello.data.corpus import Recording
from ritornello.errors import DataError
from ritornello.jukebox.lyrics import (
    LinearTiming,
    LyricTiming,
    Spelt,
    Sung,
    SungTiming,
    composed,
    vocabulary_of,
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
    """What is known to be sung in a recording; None if nothing is.

    Raises:
        DataError: The times of its syllables are not in order.
    """
    told = recording.lyrics
    if told is None:
        return None
    if isinstance(told, str):
        return evenly(told, alphabet, recording.duration_s)
    try:
        return at_times(told["text"], alphabet, tuple(Sung(**one) for one in told["sung"]))
    except DataError as error:
        raise DataError(f"lyrics of {recording.id}: {error}") from error
