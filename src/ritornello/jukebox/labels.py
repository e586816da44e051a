"""Words to numbers: artists, genres and times; needs neither torch nor numpy.

    Vocabulary      names to rows of a table; row 0 is "unknown"
    genre_ids       the genre words of a song, so many at most (section 4.1: a bag of words)
    time_bin        a time to a row of a table

In training what is not in a vocabulary is unknown; who asks for music by name is told the nearest
name that is.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from ritornello.config import nearest
from ritornello.errors import ConfigError

UNKNOWN = "unknown"
UNKNOWN_ID = 0
MISSING = -1
"""Stands in the genre slots that a song leaves empty."""


def normalised(name: str) -> str:
    """`name` in small letters, with one underscore for every run of anything else.

    Accents do not count ("Dvořák" and "dvorak" are one name); letters of every script do.
    """
    folded = unicodedata.normalize("NFKD", name).casefold()
    letters = "".join(letter for letter in folded if not unicodedata.combining(letter))
    return re.sub(r"[\W_]+", "_", letters).strip("_")


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Names in the order of their rows.

    Attributes:
        kind: What the names are of, for messages: "artist".
        names: Normalised and different; the first is "unknown".
    """

    kind: str
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse tables without an unknown row, and names that could not be found."""
        if self.names[:1] != (UNKNOWN,):
            raise ConfigError(f"{self.kind} names begin {self.names[:1]}; expected ({UNKNOWN!r},)")
        for name in self.names:
            if name != normalised(name):
                raise ConfigError(
                    f"{self.kind} {name!r} is not normalised; expected {normalised(name)!r}"
                )
        if len(self.rows) < len(self.names):
            twice = Counter(self.names).most_common(1)[0][0]
            raise ConfigError(f"{self.kind} {twice!r} stands twice; expected different names")

    @classmethod
    def of_most_frequent(cls, kind: str, seen: Iterable[str], rows: int) -> "Vocabulary":
        """The names seen most often, as many as there are rows besides the unknown one.

        Args:
            kind: What they are of.
            seen: Names, one for every song; of equally frequent ones the alphabet decides.
            rows: Of the table.
        """
        counts = Counter(name for name in map(normalised, seen) if name not in ("", UNKNOWN))
        ranked = sorted(counts, key=lambda name: (-counts[name], name))
        return cls(kind=kind, names=(UNKNOWN, *ranked[: rows - 1]))

    @cached_property
    def rows(self) -> dict[str, int]:
        """Row of every name."""
        return {name: row for row, name in enumerate(self.names)}

    def id_or_unknown(self, name: str) -> int:
        """Row of a name, 0 for one that has none: for training."""
        return self.rows.get(normalised(name), UNKNOWN_ID)

    def id_of(self, name: str) -> int:
        """Row of a name: for requests.

        Raises:
            ConfigError: The name has no row; the nearest one that has is given.
        """
        wanted = normalised(name)
        if wanted not in self.rows:
            hint = nearest(wanted, (known for known in self.names if known != UNKNOWN))
            raise ConfigError(f"unknown {self.kind} {name!r}; {hint}")
        return self.rows[wanted]


def genre_ids(vocabulary: Vocabulary, genre: str, slots: int) -> tuple[int, ...]:
    """Rows of a genre's words, `MISSING` in the slots that are left: for training.

    A genre that is a name of the vocabulary as it stands is one word. Words without a row are left
    out; if none has one, the genre is unknown. Only the first `slots` words count.
    """
    whole = vocabulary.id_or_unknown(genre)
    known = (vocabulary.id_or_unknown(word) for word in normalised(genre).split("_"))
    ids = [whole] if whole != UNKNOWN_ID else [row for row in known if row != UNKNOWN_ID]
    return _filled(ids or [UNKNOWN_ID], slots)


def asked_genre_ids(vocabulary: Vocabulary, genre: str, slots: int) -> tuple[int, ...]:
    """The same for requests.

    Raises:
        ConfigError: A word has no row, or there are more words than slots.
    """
    if normalised(genre) in vocabulary.rows:
        return _filled([vocabulary.id_of(genre)], slots)
    words = normalised(genre).split("_")
    if len(words) > slots:
        raise ConfigError(f"{genre!r} has {len(words)} words; expected {slots} genres at most")
    return _filled([vocabulary.id_of(word) for word in words], slots)


def _filled(ids: list[int], slots: int) -> tuple[int, ...]:
    """The first `slots` ids, and `MISSING` up to there."""
    return tuple((ids + [MISSING] * slots)[:slots])


def time_bin(value: float, low: float, high: float, bins: int) -> int:
    """Which of `bins` equal parts of low .. high `value` lies in; the outermost beyond the ends."""
    return max(0, min(bins - 1, int((value - low) / (high - low) * bins)))
