"""What an excerpt is like in a few numbers, so that sets of excerpts can be compared.

Conventions
    wave       float (channels, time); the mean of the channels is described
    features   (excerpts, dim), one row per excerpt, in the order of GROUPS

Groups
    chroma      how the energy spreads over the twelve pitch classes; sums to 1
    timbre      mean level of each mel band in dB
    movement    standard deviation over time of each mel band in dB
    pace        onsets per second, and the onset strength's mean and standard deviation in dB
    loudness    mean level and its standard deviation over 50 ms frames, in dB

These are descriptions by hand, not an embedding learned from music: they tell noise, hum, one
endlessly repeated chord and a missing register from music, and cannot tell good music from bad.
"""

import numpy as np
from jaxtyping import Float

from ritornello.errors import DataError
from ritornello.evaluation.onsets import hop_samples, onset_strength, pick_onsets
from ritornello.evaluation.spectra import (
    decibels,
    mel_filters,
    power,
    power_of_two_near,
    validate,
)

MELS = 16
GROUPS = {"chroma": 12, "timbre": MELS, "movement": MELS, "pace": 3, "loudness": 2}
DIM = sum(GROUPS.values())
SPECTRUM_S = 0.0464
CHROMA_S = 0.186
CHROMA_LOW_HZ, CHROMA_HIGH_HZ = 65.0, 2100.0

LEAST_SPREAD = {"chroma": 0.01, "timbre": 1.0, "movement": 0.5, "pace": 0.1, "loudness": 0.5}
"""The least spread of a feature that is worth telling, in the unit of its group."""

Wave = Float[np.ndarray, "channels _time"]
Features = Float[np.ndarray, "*lead dim"]


def chroma_histogram(wave: Wave, sample_rate: int) -> Float[np.ndarray, " pitch_classes"]:
    """Share of the energy at each pitch class, C first, between 65 and 2100 Hz; sums to 1.

    Each bin goes to the nearest equal-tempered pitch at A = 440 Hz. Windows of 186 ms tell
    semitones apart from about 90 Hz; silence gives equal shares.
    """
    n_fft = power_of_two_near(CHROMA_S, sample_rate)
    energies = power(wave.mean(axis=0), n_fft, n_fft // 2).sum(axis=-1)
    hz = np.arange(len(energies)) * sample_rate / n_fft
    used = (hz >= CHROMA_LOW_HZ) & (hz <= CHROMA_HIGH_HZ)
    pitch_classes = np.round(69 + 12 * np.log2(hz[used] / 440)).astype(int) % 12
    histogram = np.bincount(pitch_classes, weights=energies[used], minlength=12)
    total = histogram.sum()
    return histogram / total if total > 0 else np.full(12, 1 / 12)


def describe(wave: Wave, sample_rate: int) -> Float[np.ndarray, " dim"]:
    """The features of one excerpt, in the order of GROUPS.

    Raises:
        AudioError: Empty or not finite.
    """
    validate(wave)
    mono = wave.mean(axis=0, keepdims=True)
    n_fft = power_of_two_near(SPECTRUM_S, sample_rate)
    spectrum = power(mono[0], n_fft, n_fft // 2)
    bands_db = decibels(mel_filters(sample_rate, n_fft, MELS) @ spectrum)
    level_db = decibels(spectrum.sum(axis=0))
    strength = onset_strength(mono, sample_rate)
    onsets = pick_onsets(strength, sample_rate / hop_samples(sample_rate))
    rate_hz = len(onsets) * sample_rate / wave.shape[-1]
    return np.concatenate(
        [
            chroma_histogram(mono, sample_rate),
            bands_db.mean(axis=1),
            bands_db.std(axis=1),
            [rate_hz, strength.mean(), strength.std()],
            [level_db.mean(), level_db.std()],
        ]
    )


def describe_all(waves: list[Wave], sample_rate: int) -> Float[np.ndarray, "excerpts dim"]:
    """The features of several excerpts.

    Raises:
        DataError: No excerpts.
    """
    if not waves:
        raise DataError("got no excerpts to describe, expected at least one")
    return np.stack([describe(wave, sample_rate) for wave in waves])


def pieces_of(wave: Wave, sample_rate: int, seconds: float) -> list[Wave]:
    """The recording cut into pieces of `seconds`, the remainder left out.

    Raises:
        DataError: Shorter than one piece.
    """
    length = round(seconds * sample_rate)
    if wave.shape[-1] < length:
        raise DataError(
            f"the recording lasts {wave.shape[-1] / sample_rate:g} s; expected at least {seconds:g}"
        )
    count = wave.shape[-1] // length
    return [wave[:, index * length : (index + 1) * length] for index in range(count)]


def standardised(features: Features, real: Float[np.ndarray, "excerpts dim"]) -> Features:
    """Features in units of the real excerpts' spread, every group of GROUPS weighing the same.

    `(x - mean) / spread / sqrt(size of the group)`. A feature that is the same in all real
    excerpts keeps a small spread instead of none, so that a deviation there counts, and finitely.
    """
    least = np.concatenate([np.full(size, LEAST_SPREAD[group]) for group, size in GROUPS.items()])
    weights = np.concatenate([np.full(size, size**-0.5) for size in GROUPS.values()])
    return (features - real.mean(axis=0)) / np.maximum(real.std(axis=0), least) * weights
