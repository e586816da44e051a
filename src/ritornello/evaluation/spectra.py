"""The spectra that the metrics share: power, mel bands, onset strength; plain numpy.

Conventions
    wave     float (*lead, time) in [-1, 1]
    power    (*lead, bins, frames), scaled so that a full-scale sine reads 1 (0 dB) at its bin
    frames   centred at 0, hop, 2 hop, ... samples; the ends are padded with silence

They stand apart from the transforms that models are trained through, so that a metric does not
change when a training transform does.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float

from ritornello.errors import AudioError

FLOOR_DB = -80.0

Wave = Float[np.ndarray, "*lead time"]
Bands = Float[np.ndarray, "*lead bands frames"]


def validate(wave: Wave) -> None:
    """Refuse empty or non-finite audio.

    Raises:
        AudioError: No samples, or NaN or infinity among them.
    """
    if wave.shape[-1] == 0:
        raise AudioError("got 0 samples, expected at least one")
    if not np.isfinite(wave).all():
        raise AudioError("the audio holds NaN or infinity; expected finite samples")


def power(wave: Wave, n_fft: int, hop: int, window: int | None = None) -> Bands:
    """Power spectrogram with a Hann window of `window` samples (default n_fft).

    `|STFT|^2 / (sum(window) / 2)^2`, in float64.
    """
    validate(wave)
    window = n_fft if window is None else window
    taper = np.hanning(window + 1)[:-1]
    pad = [(0, 0)] * (wave.ndim - 1) + [(window // 2, window - window // 2)]
    padded = np.pad(wave, pad).astype(np.float64)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window, axis=-1)[..., ::hop, :]
    spectrum = np.fft.rfft(frames * taper, n=n_fft, axis=-1)
    scaled = (spectrum.real**2 + spectrum.imag**2) / (taper.sum() / 2) ** 2
    return np.swapaxes(scaled, -1, -2)


def decibels(
    power: Float[np.ndarray, "*shape"], floor_db: float = FLOOR_DB
) -> Float[np.ndarray, "*shape"]:
    """`10 log10(power)`, held above `floor_db`."""
    return 10 * np.log10(np.maximum(power, 10 ** (floor_db / 10)))


@lru_cache(maxsize=16)
def mel_filters(
    sample_rate: int, n_fft: int, mels: int, low_hz: float = 30.0
) -> Float[np.ndarray, "mels bins"]:
    """Triangular filters, evenly spaced in mel = 2595 log10(1 + f / 700) up to half the rate.

    No triangle is narrower than one bin on either side, so none is empty at low frequencies.
    """
    edges_mel = np.linspace(
        2595 * np.log10(1 + low_hz / 700), 2595 * np.log10(1 + sample_rate / 1400), mels + 2
    )
    edges_hz = 700 * (10 ** (edges_mel / 2595) - 1)
    bin_hz = sample_rate / n_fft
    bins_hz = np.arange(n_fft // 2 + 1) * bin_hz
    low, centre, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    rise = 1 - (centre - bins_hz) / np.maximum(centre - low, bin_hz)
    fall = 1 - (bins_hz - centre) / np.maximum(high - centre, bin_hz)
    return np.clip(np.minimum(rise, fall), 0, None)


def log_mel_db(
    wave: Wave, sample_rate: int, n_fft: int, hop: int, mels: int, floor_db: float = FLOOR_DB
) -> Bands:
    """Mel band powers in dB re a full-scale sine, held above `floor_db`."""
    bands = mel_filters(sample_rate, n_fft, mels) @ power(wave, n_fft, hop)
    return decibels(bands, floor_db)


def power_of_two_near(seconds: float, sample_rate: int) -> int:
    """The power of two nearest to `seconds` in samples, so that one setting fits every rate."""
    return 2 ** max(4, round(np.log2(seconds * sample_rate)))
