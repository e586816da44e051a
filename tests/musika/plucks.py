"""Folders of short recordings that sound like something: plucked strings, drones."""

import math

import numpy as np
import soundfile

RATE = 22050


def plucks(seconds, seed, rate=RATE):
    """Plucked notes at random, left and right differently loud: float32 (2, time)."""
    draw = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    wave = np.zeros((2, len(time)))
    start = 0.0
    while start < seconds:
        hz = 110 * 2 ** (draw.choice([0, 3, 5, 7, 10, 12, 15, 17, 19, 24]) / 12)
        since = np.clip(time - start, 0, None)
        fade = np.where(time >= start, np.exp(-5 * since) * (1 - np.exp(-400 * since)), 0)
        note = sum(
            0.5**k * np.sin(2 * math.pi * hz * (k + 1) * since + draw.uniform(0, 6)) * fade
            for k in range(4)
        )
        side = draw.uniform(0.3, 0.7)
        wave += 0.3 * np.stack([note * side, note * (1 - side)])
        start += draw.choice([0.15, 0.3, 0.45])
    return wave.astype(np.float32)


def drone(seconds, hz, rate=RATE):
    """A tone that never changes: float32 (2, time)."""
    time = np.arange(round(seconds * rate)) / rate
    return np.tile(0.2 * np.sin(2 * math.pi * hz * time), (2, 1)).astype(np.float32)


def swell(seconds, hz, rate=RATE):
    """A drone that comes and goes so slowly that nothing begins: float32 (2, time)."""
    wave = drone(seconds, hz, rate)
    fade = np.sin(np.pi * np.arange(wave.shape[1]) / wave.shape[1]) ** 4
    return (wave * fade).astype(np.float32)


def write(folder, recordings, rate=RATE):
    """Write {name: (2, time)} as 16-bit WAV files into `folder`, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, samples in recordings.items():
        soundfile.write(folder / f"{name}.wav", samples.T, rate)
    return folder
