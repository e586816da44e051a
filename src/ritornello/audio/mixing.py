"""Stems on top of a mix: at the mix's rate and channels, as loud as they should be, peak-safe.

Blocks are mixed as they are written, twice: once for the peak, once for the file. So a mix of any
length takes the memory of a block, besides what its layers take.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ritornello.audio.io import PEAK_CEILING_DBFS, AudioWriter, WriteReport, with_channels
from ritornello.audio.loudness import TruePeakMeter, from_db, integrated_loudness, to_db
from ritornello.audio.resample import resample_ring, resample_span
from ritornello.interfaces import Audio

STEM_LEVEL_LU = -3.0
"""A stem is as loud as half of its mix, unless told otherwise."""

_BLOCK_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A stem in a mix.

    Attributes:
        audio: Of any rate, mono or stereo.
        gain_db: Before it is added.
        loop: Whether its beginning follows on its end.
    """

    audio: Audio
    gain_db: float = 0.0
    loop: bool = False

    def span(self, like: Audio, start: int, stop: int) -> Float[np.ndarray, "channels span"]:
        """Samples [start, stop) at the rate and with the channels of `like`; silence after it."""
        samples, rate = self.audio.samples, self.audio.sample_rate
        if self.loop and rate != like.sample_rate:
            found = resample_ring(samples, like.samples.shape[1])[:, start:stop]
        else:
            found = resample_span(samples, rate, like.sample_rate, start, stop)
        found = with_channels(found, like.channels)
        missing = stop - start - found.shape[1]
        return np.pad(found, ((0, 0), (0, missing))) * np.float32(from_db(self.gain_db))


def matched_gain_db(mix: Audio, stem: Audio, level_lu: float = STEM_LEVEL_LU) -> float:
    """Gain that brings a stem to `level_lu` against its mix; 0 where one of them is silent.

    The stem is measured with the channels that it has in the mix: in two it is twice as loud.
    """
    placed = with_channels(stem.samples, mix.channels)
    sides = (
        integrated_loudness(mix.samples, mix.sample_rate),
        integrated_loudness(placed, stem.sample_rate),
    )
    return sides[0] + level_lu - sides[1] if all(map(math.isfinite, sides)) else 0.0


def mixed_blocks(mix: Audio, layers: Sequence[Layer]) -> Iterator[Float[np.ndarray, "channels _"]]:
    """The mix with its layers, block by block."""
    block, time = round(_BLOCK_S * mix.sample_rate), mix.samples.shape[1]
    for start in range(0, time, block):
        stop = min(time, start + block)
        yield mix.samples[:, start:stop] + sum(layer.span(mix, start, stop) for layer in layers)


def write_mixdown(
    path: Path, mix: Audio, layers: Sequence[Layer], meta: Mapping[str, Any]
) -> WriteReport:
    """Write a mix with its layers, as long as the mix, at a true peak of -1 dBFS at most.

    Raises:
        AudioError: As `write_audio`, or a layer with other channels than 1 or 2.
    """
    meter = TruePeakMeter(mix.sample_rate, mix.channels)
    for block in mixed_blocks(mix, layers):
        meter.update(block)
    meter.update(np.zeros((mix.channels, 0), np.float32), last=True)
    gain_db = min(0.0, PEAK_CEILING_DBFS - to_db(meter.peak))
    rate = mix.sample_rate
    with AudioWriter(path, rate, mix.channels, gain_db=gain_db, meta=meta) as writer:
        for block in mixed_blocks(mix, layers):
            writer.write(Audio(samples=block, sample_rate=rate))
    return writer.report()
