"""Synthetic music with known answers, shared by the tests of the metrics."""

import numpy as np

RATE = 22050


def tone(hz: float, seconds: float, rate: int = RATE, amplitude: float = 0.5) -> np.ndarray:
    """A mono sine, (1, time)."""
    return amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)[None]


def noise(seconds: float, seed: int, channels: int = 1, rate: int = RATE) -> np.ndarray:
    """White noise at -20 dB, (channels, time)."""
    return 0.1 * np.random.default_rng(seed).standard_normal((channels, round(seconds * rate)))


def notes(
    seconds: float, seed: int, per_second: float = 3.0, rate: int = RATE, rise_s: float = 0.001
) -> np.ndarray:
    """Decaying tones at even moments with random pitches, each with a linear rise; (1, time)."""
    draws = np.random.default_rng(seed)
    wave = np.zeros(round(seconds * rate))
    for start_s in np.arange(0.2, seconds - 0.3, 1 / per_second):
        start = round(start_s * rate)
        since = np.arange(min(rate, len(wave) - start)) / rate
        hz = 220 * 2 ** (draws.integers(0, 24) / 12)
        partials = sum(np.sin(2 * np.pi * k * hz * since) / k for k in range(1, 9))
        wave[start : start + rate] += (
            0.1 * partials * np.minimum(since / rise_s, 1) * np.exp(-6 * since)
        )
    return wave[None]
