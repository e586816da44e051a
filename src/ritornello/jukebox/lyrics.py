"""Lyrics as tokens, and the part of them that a window of music gets; torch-free.

    CharacterVocabulary   the paper's: Latin letters, figures, punctuation
    ByteVocabulary        UTF-8: every language there is
    vocabulary_of         the alphabet that a configuration names
    LinearTiming          characters spread evenly over the song (the paper's heuristic)
    SungTiming            where each syllable is sung, for songs that say so
    lyric_window          the tokens for one window of music

Section 4.2 of the paper. Token 0 is padding, always on the left.

Deviation: the window is centred between the tokens that belong to the beginning and to the end of
the music. With linear timing that is the paper's, the token of the music's midpoint; with real
times it holds every word sung in the window if there is room, which the midpoint does not promise.
"""

import unicodedata
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ritornello.errors import DataError

PADDING = 0

PAPER_CHARACTERS = (
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.,:;!?-+'\"()[] \t\n"
)
"""Of the models with an encoder, in order from token 1; the 1B model lacks the plus sign."""


# ------------------------------------------------------------------ alphabets


@dataclass(frozen=True, kw_only=True)
class Spelt:
    """Lyrics in tokens.

    Attributes:
        tokens: In order.
        places: For every token the index of the character of the text that it belongs to.
    """

    tokens: tuple[int, ...]
    places: tuple[int, ...]


class LyricVocabulary(ABC):
    """Text to tokens and back; token 0 stands for nothing.

    Attributes:
        symbols: Size of the alphabet, padding included.
    """

    symbols: int

    @abstractmethod
    def tokens_of(self, character: str) -> tuple[int, ...]:
        """Tokens of one character; none for what is dropped."""

    @abstractmethod
    def text(self, tokens: Sequence[int]) -> str:
        """The text of tokens, padding left out."""

    def spell(self, text: str) -> Spelt:
        """The tokens of a text; it is composed first (NFC), and `places` refer to that."""
        pairs = [
            (token, place)
            for place, character in enumerate(composed(text))
            for token in self.tokens_of(character)
        ]
        return Spelt(tokens=tuple(t for t, _ in pairs), places=tuple(p for _, p in pairs))


def composed(text: str) -> str:
    """`text` with one code point for each accented letter that has one."""
    return unicodedata.normalize("NFC", text)


class CharacterVocabulary(LyricVocabulary):
    """Latin letters, figures and punctuation, as the released models have them.

    Deviation: accents are taken off by Unicode's own decomposition. The released models had every
    script written in Latin letters by a library; here such text is for `ByteVocabulary`.

    Args:
        characters: In the order of their tokens, from 1.
    """

    def __init__(self, characters: str = PAPER_CHARACTERS) -> None:
        self.characters = characters
        self.symbols = 1 + len(characters)
        self._tokens = {character: 1 + index for index, character in enumerate(characters)}

    def tokens_of(self, character: str) -> tuple[int, ...]:
        """Of the character without accents, or none."""
        plain = unicodedata.normalize("NFKD", character)
        return tuple(self._tokens[part] for part in plain if part in self._tokens)

    def text(self, tokens: Sequence[int]) -> str:
        """One character per token."""
        return "".join(self.characters[token - 1] for token in tokens if token != PADDING)


class ByteVocabulary(LyricVocabulary):
    """The bytes of UTF-8, one above their value."""

    symbols = 257

    def tokens_of(self, character: str) -> tuple[int, ...]:
        """One to four; none for half of a surrogate pair, which has no bytes."""
        return tuple(1 + byte for byte in character.encode("utf-8", errors="ignore"))

    def text(self, tokens: Sequence[int]) -> str:
        """What the bytes spell; a mark where they spell nothing, as a model's own may."""
        spelt = bytes(token - 1 for token in tokens if token != PADDING)
        return spelt.decode("utf-8", errors="replace")


ALPHABETS: dict[str, Callable[[], LyricVocabulary]] = {
    "bytes": ByteVocabulary,
    "characters": CharacterVocabulary,
    "characters_1b": lambda: CharacterVocabulary(PAPER_CHARACTERS.replace("+", "")),
}
"""By the name that `JukeboxConfig.alphabet` has."""


def vocabulary_of(alphabet: str) -> LyricVocabulary:
    """The alphabet of that name, one of `ALPHABETS`."""
    return ALPHABETS[alphabet]()


# ------------------------------------------------------------------ when which token is sung


class LyricTiming(ABC):
    """Where in the tokens a song is at a time."""

    @abstractmethod
    def token_at(self, time_s: float) -> int:
        """Tokens that begin before `time_s`; never fewer at a later time."""


@dataclass(frozen=True, kw_only=True)
class LinearTiming(LyricTiming):
    """As if all characters took the same time, from the song's first moment to its last.

    Attributes:
        tokens: In all.
        total_s: Length of the song.
    """

    tokens: int
    total_s: float

    def __post_init__(self) -> None:
        """Refuse songs without length."""
        if self.total_s <= 0:
            raise DataError(f"the song lasts {self.total_s} s; expected a positive length")

    def token_at(self, time_s: float) -> int:
        """In proportion."""
        return max(0, min(self.tokens, int(self.tokens * time_s / self.total_s)))


@dataclass(frozen=True, kw_only=True)
class Sung:
    """One syllable, word or line: when it is sung, and what of the text it is.

    Attributes:
        start_s: Beginning, in seconds of the song.
        end_s: End.
        begin: Index of its first character in the composed text.
        end: Index after its last.
    """

    start_s: float
    end_s: float
    begin: int
    end: int


class SungTiming(LyricTiming):
    """By the times at which the words are sung.

    Args:
        spelt: The lyrics.
        sung: In the order of the text, which is that of the time.
    """

    def __init__(self, spelt: Spelt, sung: Sequence[Sung]) -> None:
        for one in sung:
            if not (0 <= one.start_s <= one.end_s and 0 <= one.begin <= one.end):
                raise DataError(f"{one} ends before it begins; expected times and places in order")
        for one, following in pairwise(sung):
            if following.start_s < one.end_s or following.begin < one.end:
                raise DataError(f"{following} overlaps with {one}; expected one after the other")
        self._starts = [one.start_s for one in sung]
        self._sung = tuple(sung)
        self._places = spelt.places

    def token_at(self, time_s: float) -> int:
        """Within what is being sung in proportion; between two, the end of the first."""
        index = bisect_right(self._starts, time_s) - 1
        if index < 0:
            return 0
        one = self._sung[index]
        first, last = (self._token(place) for place in (one.begin, one.end))
        if time_s >= one.end_s:
            return last
        return first + int((last - first) * (time_s - one.start_s) / (one.end_s - one.start_s))

    def _token(self, place: int) -> int:
        """Tokens of the characters before `place`."""
        return bisect_right(self._places, place - 1)


# ------------------------------------------------------------------ the window


@dataclass(frozen=True, kw_only=True)
class LyricWindow:
    """What a model is told of the lyrics for one window of music.

    Attributes:
        tokens: Exactly as many as the model takes; padding on the left.
        places: For every token the character of the composed text, -1 for padding.
    """

    tokens: tuple[int, ...]
    places: tuple[int, ...]


def lyric_window(
    spelt: Spelt, timing: LyricTiming, start_s: float, window_s: float, size: int
) -> LyricWindow:
    """The `size` tokens around what is sung from `start_s` on for `window_s`.

    No character is cut in two: where the first or last of several bytes would fall outside, the
    whole character does.

    Args:
        spelt: The whole lyrics.
        timing: When which token is sung.
        start_s: Beginning of the music.
        window_s: Its length.
        size: Tokens that the model takes.
    """
    count = len(spelt.tokens)
    first, last = timing.token_at(start_s), timing.token_at(start_s + window_s)
    begin = max(0, min((first + last) // 2 - size // 2, count - size))
    end = min(count, begin + size)
    begin, end = _at_character(spelt, begin, forward=True), _at_character(spelt, end, forward=False)
    missing = size - (end - begin)
    return LyricWindow(
        tokens=(PADDING,) * missing + spelt.tokens[begin:end],
        places=(-1,) * missing + spelt.places[begin:end],
    )


def _at_character(spelt: Spelt, edge: int, *, forward: bool) -> int:
    """The nearest edge between two characters on one side of `edge`."""
    places = spelt.places
    while 0 < edge < len(places) and places[edge - 1] == places[edge]:
        edge += 1 if forward else -1
    return edge


def no_lyrics(size: int) -> LyricWindow:
    """Padding alone: for music without words."""
    return LyricWindow(tokens=(PADDING,) * size, places=(-1,) * size)
