"""Stems of any length: windows that know the end of the one before, and a joint that closes a loop.

    windows    [0, w)  [w-o, 2w-o)  ...  the last one ends with the piece
    loop       the same, then the frames around the end are made anew with both sides known

Tokens of a whole piece are kept (a megabyte for ten minutes); audio, what the codec makes of it and
what the network computes are those of one window.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ritornello.errors import ConfigError
from ritornello.interfaces import TokenCodec
from ritornello.shapes import Codes


@dataclass(frozen=True, kw_only=True)
class Window:
    """Frames [start, stop) of a piece, as many as the network knows; a loop's may pass its end.

    Attributes:
        start: First frame.
        stop: One past the last.
        first_new: Frames before this one belong to windows before.
    """

    start: int
    stop: int
    first_new: int

    def places(self, frames: int) -> Int64[Tensor, " span"]:
        """Its frames in the piece, round the end of it."""
        return torch.arange(self.start, self.stop) % frames


def windows(frames: int, window: int, overlap: int) -> list[Window]:
    """Windows over all frames; neighbours share `overlap` frames, the last two maybe more.

    Raises:
        ConfigError: The overlap leaves nothing of a window.
    """
    if not 0 <= overlap < window:
        raise ConfigError(f"overlap is {overlap} frames; expected 0 to {window - 1}")
    found = [Window(start=0, stop=min(window, frames), first_new=0)]
    while found[-1].stop < frames:
        before = found[-1].stop
        stop = min(before - overlap + window, frames)
        found.append(Window(start=stop - window, stop=stop, first_new=before))
    return found


def closing(frames: int, window: int, overlap: int) -> Window:
    """The window around a loop's end, with the end in its middle.

    Of a short loop no more than half is made anew, so that something is known on both sides.
    """
    length = min(window, frames)
    start, reach = frames - length // 2, min(overlap, length // 2) // 2
    return Window(start=start, stop=start + length, first_new=frames - reach)


def closing_frames(found: Window, frames: int) -> Int64[Tensor, " places"]:
    """Frames of a loop, by their place in it, that are made anew to close it: half on each side."""
    reach = frames - found.first_new
    return torch.arange(found.first_new, frames + max(1, reach)) % frames


def played(
    codec: TokenCodec, codes: Codes, start: int, stop: int, length: int
) -> Float[Tensor, "1 time"]:
    """Audio of frames [start, stop) of a piece of `length` samples, with what they need around."""
    hop, reach, frames = codec.hop_samples, codec.context_frames, codes.shape[-1]
    first, last = max(0, start - reach), min(frames, stop + reach)
    wave = codec.decode(codes[..., first:last])[0, 0]
    return wave[None, (start - first) * hop : min(stop * hop, length) - first * hop]


def blocks(
    codec: TokenCodec, codes: Codes, finished: Iterator[int], length: int
) -> Iterator[Float[Tensor, "1 time"]]:
    """Audio as soon as all frames that have a part in it are there.

    Args:
        codec: Of the tokens.
        codes: Of the whole piece; filled while this runs.
        finished: How many frames are there, again and again, up to all.
        length: Samples of the piece.
    """
    done, frames = 0, codes.shape[-1]
    for there in finished:
        until = frames if there == frames else there - codec.context_frames
        if until > done:
            yield played(codec, codes, done, until, length)
            done = until


def ring_wave(codec: TokenCodec, codes: Codes) -> Float[Tensor, "1 time"]:
    """Audio of a loop: its first sample follows on its last."""
    frames, hop = codes.shape[-1], codec.hop_samples
    reach = codec.context_frames
    around = torch.arange(-reach, frames + reach) % frames
    wave = codec.decode(codes[..., around])[0, 0]
    return wave[None, reach * hop : (reach + frames) * hop]
