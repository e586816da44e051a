"""From the prior's codes down to audio: levels that pull on one another, window by window.

    prior -> codes of the top -> upsampler -> codes below -> ... -> decoder -> audio

A window of a level needs as much of the level above as its context is long, and no more; so sound
begins as soon as one window of every level is there, and memory does not grow. What a window is
drawn with belongs to (seed, level, where the piece begins, window): a piece can be stopped anywhere
and gone on with, and what follows a beginning is not drawn as the beginning was.

Codes are (1, frames) of int64; generators yield what is known beforehand first, then new codes.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from ritornello.jukebox.code_transformer import LevelCodes
from ritornello.jukebox.codec import JukeboxCodec
from ritornello.jukebox.stepping import WindowSampler
from ritornello.jukebox.windows import Context, Tape, Window, windows
from ritornello.training.seeds import seeded_generator

Tell = Callable[[Window, Tape], Any]
"""What a model is told before a window, given the codes of its level that are there: what its own
`begin` made, for its sampler to begin with."""


@runtime_checkable
class Store(Protocol):
    """Where finished windows are kept, so that none has to be drawn twice."""

    def get(self, level: int, window: Window) -> LevelCodes | None:
        """The codes that a window drew, `end - known` of them; None when they are not there."""
        ...

    def put(self, level: int, index: int, codes: LevelCodes) -> None:
        """Keep the codes that a window drew."""
        ...


@dataclass(frozen=True, kw_only=True)
class Draws:
    """How the codes of one level are drawn.

    Attributes:
        seed: Of the piece.
        level: Each has numbers of its own.
        temperature: Spread of the draws.
        top_p: Nucleus of the draws.
        guidance: Strength of the labels; None for music as it is told.
        after: Samples of the piece that are known before anything is drawn.
    """

    seed: int
    level: int
    temperature: float = 1.0
    top_p: float = 1.0
    guidance: float | None = None
    after: int = 0

    def uniforms(self, window: Window, each: int = 1) -> Float32[np.ndarray, "1 numbers"]:
        """The numbers of one window, `each` for every code that it draws."""
        # Windows are counted from what is known, so without its place the numbers that drew a take
        # would draw what follows it as well.
        place = (self.after,) if self.after else ()
        draw = seeded_generator(self.seed, "jukebox", self.level, window.index, *place)
        return torch.rand(1, each * (window.end - window.known), generator=draw).numpy()


@dataclass(frozen=True, kw_only=True)
class Voice:
    """One level, ready to be played.

    Attributes:
        stepper: Of its prior or upsampler; a `Stepper`, or one that draws a window at once.
        context: How its windows lie.
        draws: What they are drawn with.
        store: Where they are kept; None for nowhere.
    """

    stepper: WindowSampler
    context: Context
    draws: Draws
    store: Store | None = None

    def play(
        self, tell: Tell, known: LevelCodes, total: int | None, keep: int = 0
    ) -> Iterator[LevelCodes]:
        """The codes of the level: those known, then those of every window.

        Args:
            tell: What the model is told before each window.
            known: Codes that the song begins with.
            total: Codes of the song; None for ever.
            keep: Codes that `tell` looks back on, if more than a context.
        """
        if known.shape[1]:
            yield known
        tape, keep = Tape(known), max(keep, self.context.codes)
        for window in windows(self.context, known.shape[1], total):
            new = self._stored(window)
            if new is None:
                new = self._drawn(window, tell(window, tape), tape)
                self._keep(window, new)
            tape.append(new)
            tape.forget(max(0, window.end - keep))
            yield new

    def _drawn(self, window: Window, told: Any, tape: Tape) -> LevelCodes:
        """New codes, after one look at all of those in the window that are known."""
        draws, state = self.draws, self.stepper.begin(told)
        rows = 1 if draws.guidance is None else 2
        before = tape.read(window.start, window.known)
        if before.shape[1]:
            self.stepper.read(before.repeat(rows, 1).numpy(), state)
        drawn = self.stepper.sample(
            state,
            draws.uniforms(window, self.stepper.numbers),
            temperature=draws.temperature,
            top_p=draws.top_p,
            guidance=draws.guidance,
        )
        return torch.from_numpy(drawn)

    def _stored(self, window: Window) -> LevelCodes | None:
        return self.store.get(self.draws.level, window) if self.store else None

    def _keep(self, window: Window, codes: LevelCodes) -> None:
        if self.store:
            self.store.put(self.draws.level, window.index, codes)


class Above:
    """The codes of the level above, fetched as they are needed.

    Args:
        codes: Of that level, from the beginning of the song.
        ratio: Codes of the lower level for each.
    """

    def __init__(self, codes: Iterable[LevelCodes], ratio: int) -> None:
        self._codes, self.ratio, self._tape = iter(codes), ratio, Tape()

    def behind(self, window: Window) -> LevelCodes:
        """Those over the whole context of a window; later windows begin no earlier."""
        start, stop = window.start // self.ratio, window.stop // self.ratio
        while self._tape.end < stop:
            self._tape.append(next(self._codes))
            self._tape.forget(min(start, self._tape.end))
        return self._tape.read(start, stop)


# ------------------------------------------------------------------ codes to audio


def decoded(
    codec: JukeboxCodec, codes: Iterable[LevelCodes], skip: int = 0
) -> Iterator[Float[Tensor, "1 time"]]:
    """Audio of codes as they come; together what decoding them as a whole gives.

    A code's samples are played once all the codes that have a part in them are there.

    Args:
        codec: Of the level.
        codes: From the beginning of the song; may be endless.
        skip: Codes that are heard by the decoder and not played.
    """
    tape, reach, played = Tape(), codec.decoder_frames, skip
    for new in codes:
        tape.append(new)
        if tape.end - reach > played:
            yield _stretch(codec, tape, played, tape.end - reach)
            played = tape.end - reach
        tape.forget(max(0, min(played, tape.end) - reach))
    if tape.end > played:
        yield _stretch(codec, tape, played, tape.end)


@torch.inference_mode()
def _stretch(codec: JukeboxCodec, tape: Tape, start: int, stop: int) -> Float[Tensor, "1 time"]:
    """Audio of the codes from place `start` to `stop`, with what they need on both sides."""
    reach, hop = codec.decoder_frames, codec.hop_samples
    first, last = max(tape.start, start - reach), min(tape.end, stop + reach)
    wave = codec.vqvae.decode(tape.read(first, last))[0]
    return wave[:, (start - first) * hop : (stop - first) * hop].clamp(-1, 1)
