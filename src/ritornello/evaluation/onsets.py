"""Note beginnings at a time resolution fine enough to judge attacks.

Conventions
    wave        float (channels, time); the channels' powers are added
    strength    mean rise of the mel bands from frame to frame, in dB, (frames,)
    onsets      frame numbers of local maxima of the strength, (onsets,)

Labels and controls use a coarser measure over seconds; here a frame is about 6 ms, because a
smeared attack is smeared by 10 to 50 ms.
"""

import numpy as np
from jaxtyping import Float, Int

from ritornello.evaluation.spectra import decibels, mel_filters, power, power_of_two_near

HOP_S = 0.0058
WINDOW_S = 0.0232
MELS = 40
FLOOR_DB = -60.0
LEAST_DISTANCE_S = 0.05
LEAST_RISE_DB = 1.0

Strength = Float[np.ndarray, " frames"]


def hop_samples(sample_rate: int) -> int:
    """Samples between two frames of the onset strength: the power of two nearest to 5.8 ms."""
    return power_of_two_near(HOP_S, sample_rate)


def band_levels(
    wave: Float[np.ndarray, "channels time"], sample_rate: int
) -> Float[np.ndarray, "mels frames"]:
    """Mel band levels in dB below the recording's loudest band, held above -60 dB.

    Relative to the loudest, so that attacks are compared whatever the gain.
    """
    n_fft = power_of_two_near(WINDOW_S, sample_rate)
    spectrum = power(wave, n_fft, hop_samples(sample_rate)).mean(axis=0)
    bands = mel_filters(sample_rate, n_fft, MELS) @ spectrum
    return decibels(bands / max(float(bands.max()), 1e-12), FLOOR_DB)


def onset_strength(wave: Float[np.ndarray, "channels time"], sample_rate: int) -> Strength:
    """Mean over mel bands of the rise in dB since the frame before, >= 0; 0 at the first frame."""
    rise = np.diff(band_levels(wave, sample_rate), axis=1, prepend=np.nan)
    rise[:, 0] = 0
    return np.maximum(rise, 0).mean(axis=0)


def pick_onsets(strength: Strength, frame_rate_hz: float) -> Int[np.ndarray, " onsets"]:
    """Frames that are the largest within 50 ms on both sides and rise clearly.

    Clearly: by at least 1 dB on average over the bands, and twice the mean of the piece.
    """
    reach = max(1, round(LEAST_DISTANCE_S * frame_rate_hz))
    padded = np.pad(strength, reach, constant_values=-np.inf)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    threshold = max(LEAST_RISE_DB, 2 * float(strength.mean()))
    # argmax takes the first of equal values, so that a plateau counts once.
    is_peak = (around.argmax(axis=1) == reach) & (strength >= threshold)
    return np.flatnonzero(is_peak)


def onset_rate_hz(wave: Float[np.ndarray, "channels time"], sample_rate: int) -> float:
    """Onsets per second."""
    strength = onset_strength(wave, sample_rate)
    onsets = pick_onsets(strength, sample_rate / hop_samples(sample_rate))
    return len(onsets) * sample_rate / wave.shape[-1]
