"""Seeded crops of recordings: which one and from where is a pure function of a generator.

Every second of the split is about equally likely: recordings are drawn by duration, starts
uniformly. A recording shorter than a crop is drawn by its duration like any other, from its start,
and ends in silence; how many those are is counted and logged once, so that nobody wonders.
"""

import logging
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32

from ritornello.data.corpus import Corpus, Recording
from ritornello.errors import ConfigError, DataError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A stretch of a recording.

    Attributes:
        recording: Where it is from.
        start: Its first sample, counted at the recording's own rate.
        seconds: Its length; the recording may end before.
    """

    recording: Recording
    start: int
    seconds: float

    @property
    def start_s(self) -> float:
        """Its start in seconds."""
        return self.start / self.recording.measured.sample_rate

    def read(self, *, sample_rate: int, channels: int) -> Float32[np.ndarray, "channels time"]:
        """Exactly round(seconds * sample_rate) samples; silence where the recording has ended."""
        time = round(self.seconds * sample_rate)
        audio = self.recording.read(
            start_s=self.start_s,
            duration_s=min(self.seconds, self.recording.duration_s - self.start_s),
            sample_rate=sample_rate,
            channels=channels,
        )
        samples = audio.samples[:, :time]
        return np.pad(samples, ((0, 0), (0, time - samples.shape[1])))


class CropSampler:
    """Draws crops of one length from the recordings of a corpus.

    Args:
        corpus: What to draw from; usually `corpus.split("train")`.
        seconds: Length of a crop.

    Raises:
        DataError: The corpus is empty.
    """

    def __init__(self, corpus: Corpus, seconds: float) -> None:
        if not 0 < seconds < float("inf"):
            raise ConfigError(f"a crop of {seconds} s was asked for; expected a positive length")
        if len(corpus) == 0:
            raise DataError("there is no recording to draw crops from; scan a folder with music")
        self.corpus = corpus
        self.seconds = seconds
        self.short = tuple(r for r in corpus if r.duration_s < seconds)
        # In whole milliseconds: exact sums, so a draw never depends on rounding.
        lengths = [max(1, round(recording.duration_s * 1000)) for recording in corpus]
        self._ends = np.cumsum(lengths, dtype=np.int64)
        if self.short:
            logger.warning(
                "%d of %d recordings are shorter than a crop of %g s and are padded with silence",
                len(self.short),
                len(corpus),
                seconds,
            )

    def draw(self, generator: torch.Generator) -> Crop:
        """One crop. It takes two numbers from `generator` whatever comes out."""
        moment = int(torch.randint(int(self._ends[-1]), (1,), generator=generator))
        recording = self.corpus.recordings[int(np.searchsorted(self._ends, moment, side="right"))]
        where = float(torch.rand((1,), dtype=torch.float64, generator=generator))
        measured = recording.measured
        room = measured.samples - round(self.seconds * measured.sample_rate)
        start = int(where * (room + 1)) if room > 0 else 0
        return Crop(recording=recording, start=start, seconds=self.seconds)

    def batch(
        self, generator: torch.Generator, size: int, *, sample_rate: int, channels: int
    ) -> Float32[np.ndarray, "batch channels time"]:
        """`size` crops, drawn and read: a waveform batch."""
        crops = [self.draw(generator) for _ in range(size)]
        return np.stack([crop.read(sample_rate=sample_rate, channels=channels) for crop in crops])
