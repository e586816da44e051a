"""Cutting long sequences into chunks with context, and joining pieces with cross-fades.

Two ways to work on what does not fit at once. With a process of finite reach, `chunk_plan`: each
chunk is computed with enough context on both sides and the context thrown away, which equals the
whole exactly. With a process whose reach is not finite, `overlap_add`: neighbours share a stretch
over which one fades into the other.

Positions count samples or frames, whatever the sequence is made of.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ritornello.errors import AudioError


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """One chunk [start, stop) of the plan, and the stretch to compute it from.

    Attributes:
        start: First position that this chunk answers for.
        stop: One past the last.
        padded_start: First position of the input it needs; never below 0.
        padded_stop: One past the last; never beyond the length.
    """

    start: int
    stop: int
    padded_start: int
    padded_stop: int

    @property
    def source(self) -> slice:
        """The stretch to compute from, within the whole."""
        return slice(self.padded_start, self.padded_stop)

    @property
    def target(self) -> slice:
        """Where the result belongs, within the whole."""
        return slice(self.start, self.stop)

    @property
    def keep(self) -> slice:
        """The part of the computed stretch that is the result."""
        return slice(self.start - self.padded_start, self.stop - self.padded_start)


def chunk_plan(length: int, chunk: int, context: int = 0) -> list[Chunk]:
    """Chunks of `chunk` positions, the last one shorter, that cover 0 .. length exactly once.

    Each has `context` positions more on either side, as far as there are any.
    """
    if length < 0 or chunk < 1 or context < 0:
        raise AudioError(
            f"got length {length}, chunk {chunk}, context {context}; expected length >= 0, "
            "chunk >= 1, context >= 0"
        )
    return [
        Chunk(
            start=start,
            stop=min(start + chunk, length),
            padded_start=max(0, start - context),
            padded_stop=min(length, start + chunk + context),
        )
        for start in range(0, length, chunk)
    ]


def cross_fade(overlap: int, like: Tensor) -> Float[Tensor, " overlap"]:
    """Rising half of a raised cosine; it and its mirror image add up to one at every position."""
    ramp = (torch.arange(overlap, dtype=like.dtype, device=like.device) + 0.5) / max(1, overlap)
    return 0.5 - 0.5 * torch.cos(torch.pi * ramp)


def overlap_add(
    pieces: Float[Tensor, "pieces *lead piece"], overlap: int
) -> Float[Tensor, "*lead time"]:
    """Pieces of equal length joined, each sharing its last `overlap` positions with the next.

    Where two share, they cross-fade with gains that add up to one, so that pieces cut from one
    signal give that signal again. time = count * (piece - overlap) + overlap.
    """
    count, piece = pieces.shape[0], pieces.shape[-1]
    if count < 1 or not 0 <= 2 * overlap <= piece:
        raise AudioError(
            f"got {count} pieces of {piece} with overlap {overlap}; expected at least one piece "
            "and an overlap of at most half a piece"
        )
    step = piece - overlap
    rise = cross_fade(overlap, pieces)
    joined = pieces.new_zeros(*pieces.shape[1:-1], count * step + overlap)
    for i in range(count):
        gain = pieces.new_ones(piece)
        if i > 0:
            gain[:overlap] = rise
        if i < count - 1:
            gain[step:] = rise.flip(0)
        joined[..., i * step : i * step + piece] += pieces[i] * gain
    return joined
