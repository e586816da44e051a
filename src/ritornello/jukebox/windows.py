"""Windows of a level's context over a song of any length, and the codes that they look back on.

    codes    0 ......... start ............ known ........ end ............ stop
                         | read at once     | drawn        | known of the level above

Every window draws one hop of new codes after as many earlier ones as the context holds; the first
ones, at the beginning of a song, have fewer behind them. The last one of a song that ends lies back
so far that it ends there. The smaller the hop, the more every code has heard, and the more is read
again: windows move on by 1/8 of the context at the top level, and by half of it below ("windowed
sampling", section 4).

Deviation: Jukebox draws a whole context at once for the first window. Drawn hop by hop it is the
same music, sounds sooner, and may hear in its second half of what it made in its first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import torch

from ritornello.jukebox.code_transformer import LevelCodes


@dataclass(frozen=True, kw_only=True)
class Context:
    """How the windows of a level lie.

    Attributes:
        codes: That are modelled together.
        hop: New ones in every window.
    """

    codes: int
    hop: int


def context_for(codes: int, share: float, ratio: int = 1) -> Context:
    """Windows that move on by about `share` of the context, in whole codes of the level above.

    Args:
        codes: In the context; a multiple of `ratio`.
        share: 0 to 1.
        ratio: Codes per code of the level above.
    """
    hop = round(share * codes / ratio) * ratio
    return Context(codes=codes, hop=min(codes, max(ratio, hop)))


@dataclass(frozen=True, kw_only=True)
class Window:
    """One window; all but `index` count codes from the beginning of the song.

    Attributes:
        index: From 0.
        start: Where its context begins.
        known: Codes before this one are known; those from `start` on are read.
        end: One past the last code that it draws.
        stop: One past the last that its context has room for; beyond `end` early in a song only.
    """

    index: int
    start: int
    known: int
    end: int
    stop: int


def windows(context: Context, known: int = 0, total: int | None = None) -> Iterator[Window]:
    """Windows that draw every code from `known` to `total` once and in order.

    Args:
        context: Of the level.
        known: Codes that the song begins with.
        total: Codes of the song; None for ever.
    """
    for index in count():
        if total is not None and known >= total:
            return
        limit = known + context.codes if total is None else total
        end = min(known + context.hop, limit)
        start = max(0, end - context.codes)
        stop = start + context.codes
        yield Window(
            index=index,
            start=start,
            known=known,
            end=end,
            stop=stop if total is None else min(stop, total),
        )
        known = end


class Tape:
    """The last codes of a sequence that may be endless, found by their places in the whole."""

    def __init__(self, codes: LevelCodes | None = None) -> None:
        self._codes = torch.zeros(1, 0, dtype=torch.int64) if codes is None else codes
        self.start = 0

    @property
    def end(self) -> int:
        """One past the place of the last code."""
        return self.start + self._codes.shape[1]

    def append(self, codes: LevelCodes) -> None:
        """Codes that come next."""
        self._codes = torch.cat([self._codes, codes], 1)

    def read(self, start: int, stop: int) -> LevelCodes:
        """Codes from place `start` to before `stop`, which must be there."""
        assert self.start <= start <= stop <= self.end, (
            f"places {start} .. {stop} of a tape that holds {self.start} .. {self.end}"
        )
        return self._codes[:, start - self.start : stop - self.start]

    def forget(self, before: int) -> None:
        """Drop the codes before that place."""
        if before > self.start:
            assert before <= self.end, f"cannot forget up to {before}; the end is {self.end}"
            self._codes = self._codes[:, before - self.start :].clone()
            self.start = before
