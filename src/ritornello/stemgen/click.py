"""A click track that can be heard with the mix, or instead of one, so that a tempo is given.

It is made of what drums are made of, a hat on every beat and a drum on the first of a bar, as that
is what a model that has heard bands takes a beat from.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

CLICK_S = 0.1
HAT_FALL_S = 0.012
DRUM_FALL_S = 0.03
DRUM_HZ = 70.0
LEVEL = 0.25
NOISE_SEED = 20


@dataclass(frozen=True, kw_only=True)
class Click:
    """Beats of one tempo from the first sample on.

    Attributes:
        bpm: Beats per minute.
        beats_per_bar: Every so manieth beat is stressed, the first one too.
        sample_rate: Samples per second.
    """

    bpm: float
    beats_per_bar: int
    sample_rate: int

    def span(self, start: int, stop: int) -> Float[np.ndarray, "1 span"]:
        """Samples [start, stop) of it."""
        wave = np.zeros(stop - start, np.float32)
        beat = self.sample_rate * 60 / self.bpm
        sounds = [self._sound(is_stressed) for is_stressed in (False, True)]
        length = len(sounds[0])
        first = max(0, math.floor((start - length) / beat))
        for number in range(first, math.ceil(stop / beat)):
            sound = sounds[number % self.beats_per_bar == 0]
            at = round(number * beat) - start
            low, high = max(0, at), min(len(wave), at + length)
            if low < high:
                wave[low:high] += sound[low - at : high - at]
        return wave[None]

    def _sound(self, is_stressed: bool) -> Float[np.ndarray, " time"]:
        time_s = np.arange(round(CLICK_S * self.sample_rate)) / self.sample_rate
        noise = np.random.default_rng(NOISE_SEED).uniform(-1, 1, len(time_s))
        sound = np.diff(noise, prepend=0.0) * np.exp(-time_s / HAT_FALL_S) / 2
        if is_stressed:
            sound += np.sin(2 * np.pi * DRUM_HZ * time_s) * np.exp(-time_s / DRUM_FALL_S)
        return (LEVEL * sound).astype(np.float32)
