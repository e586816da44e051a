"""Seeded melodies that can be played again in any key, shared by the tests of originality."""

import numpy as np

RATE = 11025
SCALE = np.array([0, 2, 4, 5, 7, 9, 11])


def melody(seed: int, seconds: float, per_second: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Moments in seconds and MIDI pitches of a random walk through some major scale."""
    draw = np.random.default_rng(seed)
    count = round(2 * seconds * per_second)
    moments = np.cumsum(draw.exponential(1 / per_second, count) + 0.06)
    moments = moments[moments < seconds - 0.3]
    degrees = np.clip(np.cumsum(draw.integers(-3, 4, len(moments))) % 21, 0, 20)
    return moments, 50 + draw.integers(12) + SCALE[degrees % 7] + 12 * (degrees // 7)


def played(seed: int, seconds: float, semitones: float = 0.0, partials: int = 5) -> np.ndarray:
    """The melody of a seed as decaying tones, float32 (1, time), peak 0.5."""
    wave = np.zeros(round(seconds * RATE) + RATE)
    since = np.arange(RATE // 2) / RATE
    envelope = np.exp(-9 * since) * np.minimum(since / 0.003, 1)
    for moment, pitch in zip(*melody(seed, seconds), strict=True):
        hz = 440 * 2 ** ((pitch + semitones - 69) / 12)
        start = round(moment * RATE)
        tone = sum(np.sin(2 * np.pi * k * hz * since) / k for k in range(1, partials + 1))
        wave[start : start + len(since)] += tone * envelope
    return cut(0.5 * wave / np.abs(wave).max(), 0, seconds)


def cut(wave: np.ndarray, start_s: float, seconds: float) -> np.ndarray:
    """`seconds` of a (time,) or (1, time) wave from `start_s` on, as float32 (1, time)."""
    start = round(start_s * RATE)
    return np.atleast_2d(wave)[:, start : start + round(seconds * RATE)].astype(np.float32)


def resampled(wave: np.ndarray, semitones: float) -> np.ndarray:
    """The recording played faster and higher (or slower and lower), by band-limited resampling."""
    import soxr

    return soxr.resample(wave[0], RATE * 2 ** (semitones / 12), RATE)[None].astype(np.float32)


def noisy(wave: np.ndarray, snr_db: float, seed: int = 0) -> np.ndarray:
    """With white noise at this ratio to the whole's power."""
    noise = np.random.default_rng(seed).standard_normal(wave.shape)
    scale = np.sqrt(np.mean(wave**2)) * 10 ** (-snr_db / 20)
    return (wave + scale * noise).astype(np.float32)


def mixed(wave: np.ndarray, other: np.ndarray) -> np.ndarray:
    """With other music of the same power on top."""
    length = min(wave.shape[1], other.shape[1])
    wave, other = wave[:, :length], other[:, :length]
    gain = np.sqrt(np.mean(wave**2) / np.mean(other**2))
    return (0.5 * (wave + gain * other)).astype(np.float32)


def low_passed(wave: np.ndarray, hz: float) -> np.ndarray:
    """Without anything above `hz`."""
    spectrum = np.fft.rfft(wave)
    spectrum[:, np.fft.rfftfreq(wave.shape[1], 1 / RATE) > hz] = 0
    return np.fft.irfft(spectrum, wave.shape[1]).astype(np.float32)
