"""What a codec adds that was not there: hiss between the notes, tones of its own frame rate.

Conventions
    reference     float (channels, time) in [-1, 1]: what went into the codec
    estimate      the same shape: what came out
    hop_samples   samples per step of the codec's slowest part

Metrics
    hiss_db         how much louder the quiet parts of the spectrogram have become; best 0, below 0
                    they are quieter than in the music: the codec is dull there
    hop_tones_db    how much further the multiples of the frame rate stand out from their
                    neighbours than in the music; best 0

A decoder that averages over what it cannot know fills the gaps between partials and notes with
noise. Squared errors hardly see it, 50 dB below the music; listeners do. A decoder that treats the
samples of a step unequally repeats a pattern at its frame rate, which is heard as a whistle.
"""

import numpy as np
from jaxtyping import Float

from ritornello.evaluation.reconstruction import CONVERGENCE_FFT_S, validate
from ritornello.evaluation.spectra import decibels, power, power_of_two_near

QUIET_DB, LOWEST_DB = -50.0, -100.0
"""Quiet is what lies so far below the loudest bin; what no 16 bits hold is not looked at."""

TONES_WINDOW_S = 0.25
LEAST_SPACING_BINS = 16
NEIGHBOURS = np.array([-6, -5, -4, -3, 3, 4, 5, 6])
"""Bins beside a tone that its window does not spread to."""

Wave = Float[np.ndarray, "_channels _time"]


def hiss_db(reference: Wave, estimate: Wave, sample_rate: int) -> float:
    """Mean of the estimate's level over the reference's in dB, where the reference is quiet.

    Quiet are the bins more than 50 dB below the reference's loudest and above -100 dB of a full
    scale sine; windows of 46 ms, hop a quarter. The estimate is held above -100 dB. A recording
    without quiet bins gives 0: there are no gaps to be filled.

    Raises:
        AudioError: As `reconstruction.validate`.
    """
    validate(reference, estimate)
    n_fft = power_of_two_near(CONVERGENCE_FFT_S, sample_rate)
    true, made = (
        decibels(power(wave, n_fft, n_fft // 4), LOWEST_DB) for wave in (reference, estimate)
    )
    is_quiet = (true > LOWEST_DB) & (true < true.max() + QUIET_DB)
    return float((made - true)[is_quiet].mean()) if is_quiet.any() else 0.0


def hop_tones_db(reference: Wave, estimate: Wave, sample_rate: int, hop_samples: int) -> float:
    """By how many dB multiples of the frame rate stand out, over how they do in the reference.

    Levels at `k * sample_rate / hop_samples` below half the rate less the mean of four bins on
    either side, averaged over k and frames; then estimate less reference. The window is a multiple
    of the hop, so that these frequencies are bins; levels are held above -100 dB. Where no multiple
    lies below half the rate it is 0.

    Raises:
        AudioError: As `reconstruction.validate`.
    """
    validate(reference, estimate)
    spacing = max(LEAST_SPACING_BINS, round(TONES_WINDOW_S * sample_rate / hop_samples))
    n_fft = hop_samples * spacing
    tones = np.arange(spacing, n_fft // 2 - NEIGHBOURS.max() + 1, spacing)
    if not tones.size:
        return 0.0
    beside = tones[:, None] + NEIGHBOURS
    standing = []
    for wave in (reference, estimate):
        levels = decibels(power(wave, n_fft, n_fft // 4), LOWEST_DB)
        standing.append(float(levels[:, tones].mean() - levels[:, beside].mean()))
    return standing[1] - standing[0]


def evaluate(
    reference: Wave, estimate: Wave, sample_rate: int, hop_samples: int
) -> dict[str, float]:
    """All figures of one pair, by the names of the functions."""
    return {
        "hiss_db": hiss_db(reference, estimate, sample_rate),
        "hop_tones_db": hop_tones_db(reference, estimate, sample_rate, hop_samples),
    }
