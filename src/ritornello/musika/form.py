"""Form: sections that return, on Musika's grid of chunks.

    --form AABA        four sections, equally long
    --form A:16,B:8    lengths in seconds, rounded to whole periods of the anchor grid

    sections     |  A              |  A              |  B              |  A              |
    chunks       |  0  1  2  3     |  0  1  2  3     |  0  1  2  3     |  0  1  2  3     |
    towards                    A0                B0                A0                (A0)

Everything a chunk is made of (anchors, style, layer noise) is drawn by key, and the key is not the
chunk's place in the piece but its letter and its position in the section. A letter that returns
draws the same numbers and is the same music. The last chunk of a section leads to the first anchor
and the style of the next one, and so is an ordinary passage between two anchors, not a cut.

A form closes on itself: after its last section the first comes again, for as long as is asked.
This is not in the paper; the coordinate system makes it possible.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from ritornello.errors import ConfigError
from ritornello.interfaces import Section

DEFAULT_SECTION_S = 16.0
EXPECTED = "expected letters as in AABA, or letters with seconds as in A:16,B:8"


@dataclass(frozen=True)
class Place:
    """The key of a chunk or an anchor: its section's letter and its position in that section."""

    letter: str
    position: int


@dataclass(frozen=True, kw_only=True)
class PlannedSection:
    """A section on the grid: `periods` whole anchor periods, `chunks` whole chunks."""

    letter: str
    periods: int
    chunks: int


@dataclass(frozen=True, kw_only=True)
class PiecePlan:
    """Which section each chunk and each anchor belongs to, for the whole time line.

    Attributes:
        sections: In order, repeated for ever in both directions; none means one endless section
            without a letter, keyed by absolute position.
    """

    sections: tuple[PlannedSection, ...] = ()

    @property
    def chunks(self) -> int | None:
        """Chunks of the form once through; None for the endless section."""
        return sum(section.chunks for section in self.sections) or None

    def chunk_place(self, chunk: int) -> Place:
        """Letter and position of chunk `chunk`, counted from the start of the piece.

        The chunk before the piece (-1) has a place too: the decoder listens to it.
        """
        return self._place(chunk, [section.chunks for section in self.sections])

    def anchor_place(self, anchor: int) -> Place:
        """Letter and position of anchor `anchor`: an anchor belongs to the period it opens."""
        return self._place(anchor, [section.periods for section in self.sections])

    def _place(self, index: int, lengths: Sequence[int]) -> Place:
        """The place of `index` on a time line cut into `lengths`, over and over."""
        if not lengths:
            return Place("", index)
        index %= sum(lengths)
        for section, length in zip(self.sections, lengths, strict=True):
            if index < length:
                return Place(section.letter, index)
            index -= length
        raise AssertionError("an index below the sum of lengths lies in one of them")

    def timetable(self, chunk_s: float) -> list[tuple[str, float, float]]:
        """Rows (letter, start, end) in seconds, as rounded, for chunks of `chunk_s` seconds."""
        ends = list(accumulate(section.chunks for section in self.sections))
        return [
            (section.letter, (end - section.chunks) * chunk_s, end * chunk_s)
            for section, end in zip(self.sections, ends, strict=True)
        ]


def parse_form(text: str) -> tuple[Section, ...]:
    """Sections from `AABA` or `A:16,B:8,A` (letters, optional lengths in seconds).

    Raises:
        ConfigError: For anything else, with what was got and what was expected.
    """
    compact = text.strip()
    if re.fullmatch(r"[A-Za-z]+", compact):
        return tuple(Section(letter=letter) for letter in compact)
    return tuple(_parse_section(part.strip(), text) for part in compact.split(","))


def _parse_section(part: str, text: str) -> Section:
    """One comma-separated part of a form: a letter, or a letter and its seconds."""
    match = re.fullmatch(r"([A-Za-z])(?::([0-9]+(?:\.[0-9]*)?|\.[0-9]+))?", part)
    if match is None:
        raise ConfigError(f"form {text!r}: got {part!r}; {EXPECTED}")
    letter, seconds = match.groups()
    if seconds is not None and float(seconds) == 0:
        raise ConfigError(f"form {text!r}: section {letter} lasts 0 s; expected a positive length")
    return Section(letter=letter, seconds=None if seconds is None else float(seconds))


def plan_piece(
    form: Sequence[Section], seconds: float | None, *, chunk_s: float, chunks_per_anchor: int
) -> PiecePlan:
    """The plan of a piece: sections rounded to whole anchor periods, so that all start in phase.

    Letters without a length share equally what those with one leave of `seconds`, and the last
    section of such a form takes up what rounding leaves over; without `seconds` they last
    `DEFAULT_SECTION_S`.

    Args:
        form: Sections in order; none makes one endless section.
        seconds: Length asked for, if any.
        chunk_s: Seconds of one chunk.
        chunks_per_anchor: Chunks of one anchor period.

    Raises:
        ConfigError: If the lengths given leave no time for the letters without one.
    """
    period_s = chunk_s * chunks_per_anchor
    given_s = sum(section.seconds or 0.0 for section in form)
    unmeasured = sum(section.seconds is None for section in form)
    share_s = DEFAULT_SECTION_S
    if unmeasured and seconds is not None:
        share_s = (seconds - given_s) / unmeasured
        if share_s <= 0:
            raise ConfigError(
                f"the form's sections last {given_s:g} s of the {seconds:g} s asked for, which "
                "leaves nothing for the letters without a length; ask for more seconds"
            )
    lengths_s = [share_s if section.seconds is None else section.seconds for section in form]
    periods = [max(1, round(length_s / period_s)) for length_s in lengths_s]
    if unmeasured and seconds is not None:
        missing_s = seconds - sum(periods) * period_s
        periods[-1] += max(0, math.ceil(missing_s / period_s - 1e-9))
    return PiecePlan(
        sections=tuple(
            PlannedSection(letter=section.letter, periods=count, chunks=count * chunks_per_anchor)
            for section, count in zip(form, periods, strict=True)
        )
    )
