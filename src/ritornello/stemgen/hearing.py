"""What is heard of a mix: codec tokens of any stretch of it, in memory that does not grow.

    mix (any rate, channels) -> mono at the codec's rate (+ click) -> tokens of frames [start, stop)

Every stretch is read, resampled and encoded with as much around it as the codec sees, so that its
tokens are those of the whole. A loop goes round: what comes after its end is its beginning, and it
is stretched by less than half a frame to be a whole number of frames.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float

from ritornello.audio.features import silence_ratio
from ritornello.audio.io import with_channels
from ritornello.audio.resample import resample_ring, resample_span, resampled_length
from ritornello.errors import AudioError, ConfigError
from ritornello.interfaces import Audio, TokenCodec
from ritornello.shapes import Codes
from ritornello.stemgen.click import Click

LEAST_S = 1.0
LONGEST_LOOP_S = 600.0
_BLOCK_S = 20.0

Mono = Float[np.ndarray, "1 span"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Audio as the codec takes it, span by span.

    Attributes:
        audio: Of any rate and channels; None for silence.
        codec: Whose rate, frames and reach they are.
        time: Samples at the codec's rate, of the piece.
        loop: Whether it goes round.
        click: Added to it; None for none.
    """

    audio: Audio | None
    codec: TokenCodec
    time: int
    loop: bool = False
    click: Click | None = None
    _ring: list[Mono] = field(default_factory=list, init=False, repr=False)

    @property
    def frames(self) -> int:
        """Of the piece; of a loop the nearest number, of others as many as cover it."""
        if not self.loop:
            return self.codec.frames_for(self.time)
        return max(1, round(self.time / self.codec.hop_samples))

    def span(self, start: int, stop: int) -> Mono:
        """Samples [start, stop) of the piece, which are there; of a loop any at all."""
        if self.loop:
            ring = self._whole_ring()
            return np.take(ring, np.arange(start, stop), axis=1, mode="wrap")
        return self.plain(start, stop)

    def codes(self, start: int, stop: int) -> Codes:
        """Tokens of frames [start, stop), as encoding the whole gives them."""
        hop, reach = self.codec.hop_samples, self.codec.context_frames
        first, last = start - reach, stop + reach
        if not self.loop:
            first, last = max(0, first), min(self.frames, last)
        end = last * hop if self.loop else min(last * hop, self.time)
        wave = torch.from_numpy(np.ascontiguousarray(self.span(first * hop, end)))[None]
        return self.codec.encode(wave)[..., start - first : stop - first].clone()

    def is_silent(self) -> bool:
        """Whether nothing of it can be heard, click included."""
        rate = self.codec.sample_rate
        block = round(_BLOCK_S * rate)
        spans = ((start, min(self.time, start + block)) for start in range(0, self.time, block))
        return all(silence_ratio(self.span(*one), rate) == 1 for one in spans)

    def plain(self, start: int, stop: int) -> Mono:
        """Samples [start, stop), before any loop is stretched."""
        rate = self.codec.sample_rate
        wave = np.zeros((1, stop - start), np.float32)
        if self.audio is not None:
            given = resample_span(self.audio.samples, self.audio.sample_rate, rate, start, stop)
            wave[:, : given.shape[1]] = given if len(given) == 1 else given.mean(0, keepdims=True)
        if self.click is not None:
            wave += self.click.span(start, stop)
        return wave

    def _whole_ring(self) -> Mono:
        """The loop in whole frames, made once."""
        if not self._ring:
            length = self.frames * self.codec.hop_samples
            if self.audio is None:
                wave = np.zeros((1, length), np.float32)
            else:
                given = self.audio.samples.mean(0, keepdims=True, dtype=np.float32)
                wave = resample_ring(given, length)
            if self.click is not None:
                clicks = self.click.span(0, self.time + round(0.1 * self.codec.sample_rate))
                wave = wave + resample_ring(_wrapped(clicks, self.time), length)
            self._ring.append(wave)
        return self._ring[0]


def _wrapped(wave: Mono, time: int) -> Mono:
    """`wave` with what goes beyond `time` samples added to its beginning."""
    rung = wave[:, :time].copy()
    rest = wave[:, time : 2 * time]
    rung[:, : rest.shape[1]] += rest
    return rung


def piece_time(mix: Audio | None, seconds: float | None, sample_rate: int, loop: bool) -> int:
    """Samples of a piece: as long as its mix, or as asked where that is shorter or there is none.

    Raises:
        AudioError: A mix that is shorter than a second.
        ConfigError: Longer than the mix, too long for a loop, or no length at all.
    """
    whole = None
    if mix is not None:
        if mix.samples.shape[0] > 2:
            with_channels(mix.samples, 1)  # says what to do
        whole = resampled_length(mix.samples.shape[1], mix.sample_rate, sample_rate)
        if mix.duration_s < LEAST_S:
            raise AudioError(
                f"the mix lasts {mix.duration_s:.3g} s; expected {LEAST_S:g} s or more to listen to"
            )
    if seconds is None:
        if whole is None:
            raise ConfigError("got no mix and no length; give one of them (--mix, --seconds)")
        time = whole
    else:
        time = max(1, round(seconds * sample_rate))
        if seconds < LEAST_S:
            raise ConfigError(f"seconds is {seconds:g}; expected {LEAST_S:g} or more")
        if whole is not None and time > whole:
            raise ConfigError(
                f"seconds is {seconds:g}, longer than the mix ({whole / sample_rate:.3f} s); leave "
                "it out for a stem as long as the mix"
            )
        if whole is not None and loop and time != whole:
            raise ConfigError("a loop is as long as its mix; leave out the seconds")
    if loop and time > LONGEST_LOOP_S * sample_rate:
        raise ConfigError(
            f"a loop of {time / sample_rate:.0f} s was asked for; expected {LONGEST_LOOP_S:g} s at "
            "most"
        )
    return time
