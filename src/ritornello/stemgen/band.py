"""A whole arrangement, stem after stem: each listens to the sum of those before (section 4).

nothing, or a click, or a start  ->  stem 1  ->  start + stem 1  ->  stem 2  ->  ...
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from ritornello.audio.io import with_channels
from ritornello.audio.resample import resample
from ritornello.config import require
from ritornello.interfaces import Audio, Request
from ritornello.stemgen.generate import StemGen
from ritornello.stemgen.options import StemGenOptions


@dataclass(frozen=True, kw_only=True)
class BandPlan:
    """What a band plays.

    Attributes:
        stems: Their names, in the order in which they come in.
        seed: Of the first stem; those after it count up.
        seconds: Length; None for that of what is begun with.
        bpm: Tempo of the click that the first stem hears where nothing else sounds; None for none.
        options: How every stem is made.
        guidance: Weight of the context; None for the model's own.
        temperature: Spread of the draws.
    """

    stems: Sequence[str]
    seed: int = 0
    seconds: float | None = None
    bpm: float | None = None
    options: StemGenOptions = field(default_factory=StemGenOptions)
    guidance: float | None = None
    temperature: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a band of nobody, and now what the first stem would be refused for."""
        require(len(self.stems) > 0, "stems", tuple(self.stems), "at least one name")
        replace(self.options, bpm=self.bpm)
        self.request(0, None)

    def request(self, number: int, heard: Audio | None) -> Request:
        """What is asked for stem `number`, which hears `heard`."""
        return Request(
            mix=heard,
            stem=self.stems[number],
            seed=self.seed + number,
            seconds=self.seconds if heard is None else None,
            guidance=self.guidance,
            temperature=self.temperature,
        )


def seconds_of(bars: int, beats_per_bar: int, bpm: float) -> float:
    """How long bars last."""
    require(bars >= 1, "bars", bars, "at least 1")
    require(bpm > 0, "bpm", bpm, "a positive number")
    return bars * beats_per_bar * 60 / bpm


def next_stem(
    system: StemGen, plan: BandPlan, number: int, start: Audio | None, before: Sequence[Audio]
) -> Audio:
    """The stem of that number, which hears the start and all stems before.

    Args:
        system: Who plays.
        plan: What is played.
        number: Of the stem, from 0.
        start: What the band begins with; None for nothing.
        before: The stems 0 .. number - 1, at the model's rate.
    """
    heard = together(system.sample_rate, start, before)
    bpm = plan.bpm if heard is None else None
    return system.generate(plan.request(number, heard), replace(plan.options, bpm=bpm))


def together(sample_rate: int, start: Audio | None, stems: Sequence[Audio]) -> Audio | None:
    """Everything that sounds so far, mono at the model's rate; None for nothing."""
    layers: list[Float[np.ndarray, "1 _time"]] = [stem.samples for stem in stems]
    if start is not None:
        mono = with_channels(start.samples, 1)
        layers.insert(0, resample(mono, start.sample_rate, sample_rate))
    if not layers:
        return None
    time = layers[0].shape[1]
    return Audio(samples=np.sum([one[:, :time] for one in layers], 0), sample_rate=sample_rate)
