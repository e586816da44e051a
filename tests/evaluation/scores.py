"""Notes played by additive tones, so that what is to be heard is known."""

import numpy as np

from ritornello.evaluation.notes import Notes

RATE = 22050


def played(
    events: list[tuple[float, float, int]], seconds: float, accents: list[float] | None = None
) -> np.ndarray:
    """Notes (start_s, seconds, pitch) as decaying tones of six partials; (1, time)."""
    wave = np.zeros(round(seconds * RATE))
    gains = accents or [1.0] * len(events)
    for (start_s, lasts_s, pitch), gain in zip(events, gains, strict=True):
        start = round(start_s * RATE)
        since = np.arange(min(round(lasts_s * RATE), len(wave) - start)) / RATE
        hz = 440 * 2 ** ((pitch - 69) / 12)
        partials = sum(np.sin(2 * np.pi * k * hz * since) / k for k in range(1, 7))
        shape = np.minimum(since / 0.002, 1) * np.minimum((lasts_s - since) / 0.02, 1)
        wave[start : start + len(since)] += 0.06 * gain * partials * shape * np.exp(-2 * since)
    return wave[None]


def score(events: list[tuple[float, float, int]], seconds: float, name: str = "score") -> Notes:
    """The same notes as a transcriber without fault would hear them."""
    events = sorted(events)
    return Notes(
        start_s=np.array([start for start, _, _ in events], dtype=float),
        end_s=np.array([start + lasts for start, lasts, _ in events], dtype=float),
        pitch=np.array([pitch for _, _, pitch in events], dtype=np.int64),
        strength=np.ones(len(events)),
        transcriber=name,
        duration_s=seconds,
    )


def chords(
    roots: list[tuple[int, ...]], beats: int, beat_s: float = 0.5
) -> list[tuple[float, float, int]]:
    """Each chord struck on `beats` beats in turn."""
    return [
        ((index * beats + beat) * beat_s, 0.96 * beat_s, pitch)
        for index, chord in enumerate(roots)
        for beat in range(beats)
        for pitch in chord
    ]


C_MAJOR, A_MINOR = (48, 60, 64, 67), (45, 57, 60, 64)
F_MAJOR, G_MAJOR = (41, 53, 57, 60), (43, 55, 59, 62)
PROGRESSION = [C_MAJOR, A_MINOR, F_MAJOR, G_MAJOR]


def clicks(beats_per_bar: int, bpm: float, seconds: float, first_s: float = 0.1) -> np.ndarray:
    """Short bursts of noise on every beat, the first of each bar louder; (1, time)."""
    draw, wave = np.random.default_rng(0), np.zeros(round(seconds * RATE))
    for beat in range(int((seconds - first_s) * bpm / 60)):
        start = round((first_s + beat * 60 / bpm) * RATE)
        burst = draw.standard_normal(min(400, len(wave) - start))
        loud = 0.6 if beat % beats_per_bar == 0 else 0.25
        wave[start : start + len(burst)] += loud * burst * np.exp(-np.arange(len(burst)) / 80)
    return wave[None]
