"""How close a codec's output is to what went in.

Conventions
    reference     float (channels, time) in [-1, 1]: what went into the codec
    estimate      the same shape: what came out
    sample_rate   samples per second

Metrics
    spectral_convergence_db       error of the magnitudes against the magnitudes; lower is better
    log_mel_distance_db           mean difference of mel bands over several resolutions; best 0
    log_spectral_distance_db      root mean square difference of all bins, frame by frame; best 0
    si_sdr_db                     error of the waveform itself, phase included; higher is better
    onset_correlation             do the attacks come at the same moments? best 1
    attack_sharpness              do they rise as steeply? best 1; below 1 is smeared

A codec that invents its phase cannot follow the waveform sample by sample: its SI-SDR is low or
negative while it sounds right. The other figures do not see phase except through its effect on
magnitudes, which the overlap of neighbouring frames makes visible.
"""

import numpy as np
from jaxtyping import Float

from ritornello.errors import AudioError
from ritornello.evaluation.onsets import hop_samples, onset_strength, pick_onsets
from ritornello.evaluation.spectra import decibels, mel_filters, power, power_of_two_near
from ritornello.evaluation.spectra import validate as validate_audio

# Jukebox's settings of spectral convergence, in seconds of its 44.1 kHz.
CONVERGENCE_FFT_S, CONVERGENCE_HOP_S, CONVERGENCE_WINDOW_SHARE = 2048 / 44100, 256 / 44100, 0.75
RESOLUTIONS_S = (2048 / 44100, 1024 / 44100, 512 / 44100)
MELS_PER_RESOLUTION = (128, 64, 32)
LOWEST_DB, HIGHEST_DB = -120.0, 120.0
RANGE_DB = 80.0
ATTACK_REACH_S = 0.02

Wave = Float[np.ndarray, "_channels _time"]


def validate(reference: Wave, estimate: Wave) -> None:
    """Refuse what cannot be compared sample by sample.

    Raises:
        AudioError: Different shapes, no samples, not finite, or a silent reference.
    """
    if reference.shape != estimate.shape:
        raise AudioError(
            f"reference is {reference.shape} and estimate {estimate.shape} (channels, time); "
            "expected the same shape: a codec returns exactly the length it got"
        )
    validate_audio(reference)
    validate_audio(estimate)
    if not np.any(reference):
        raise AudioError("the reference is silent: there is nothing to reconstruct")


def spectral_convergence_db(reference: Wave, estimate: Wave, sample_rate: int) -> float:
    """`20 log10(||S - S^|| / ||S||)` of linear magnitudes, Frobenius norms; floor -120 dB.

    Jukebox's figure: FFT of 2048, hop 256, Hann window of 1536 samples at 44.1 kHz, and the same
    lengths in time at other rates (to a power of two). All channels count together.
    """
    validate(reference, estimate)
    n_fft = power_of_two_near(CONVERGENCE_FFT_S, sample_rate)
    hop = power_of_two_near(CONVERGENCE_HOP_S, sample_rate)
    window = int(n_fft * CONVERGENCE_WINDOW_SHARE)
    true, made = (np.sqrt(power(wave, n_fft, hop, window)) for wave in (reference, estimate))
    ratio = float(np.linalg.norm(true - made) / np.linalg.norm(true))
    return max(LOWEST_DB, 20 * float(np.log10(max(ratio, 1e-12))))


def level_differences_db(
    reference: Float[np.ndarray, "*shape"], estimate: Float[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    """Reference over estimate in dB, both held above 80 dB below the reference's loudest.

    From the loudest of the reference, so that soft recordings are judged as strictly as loud ones.
    """
    floor_db = 10 * float(np.log10(reference.max())) - RANGE_DB
    return decibels(reference, floor_db) - decibels(estimate, floor_db)


def log_mel_distance_db(reference: Wave, estimate: Wave, sample_rate: int) -> float:
    """Mean absolute difference of mel band levels in dB over three resolutions; best 0.

    Windows of 46, 23 and 12 ms with 128, 64 and 32 bands, hops of a quarter; levels are held above
    80 dB below the reference's loudest band, so that what nobody hears does not count.
    """
    validate(reference, estimate)
    distances = []
    for seconds, mels in zip(RESOLUTIONS_S, MELS_PER_RESOLUTION, strict=True):
        n_fft = power_of_two_near(seconds, sample_rate)
        filters = mel_filters(sample_rate, n_fft, mels)
        true, made = (filters @ power(wave, n_fft, n_fft // 4) for wave in (reference, estimate))
        distances.append(np.abs(level_differences_db(true, made)).mean())
    return float(np.mean(distances))


def log_spectral_distance_db(reference: Wave, estimate: Wave, sample_rate: int) -> float:
    """Mean over frames of the root mean square over bins of the level difference in dB; best 0.

    `mean_t sqrt(mean_f (10 log10 P - 10 log10 P^)^2)`, windows of 46 ms, hop a quarter, levels
    held above 80 dB below the reference's loudest bin.
    """
    validate(reference, estimate)
    n_fft = power_of_two_near(CONVERGENCE_FFT_S, sample_rate)
    true, made = (power(wave, n_fft, n_fft // 4) for wave in (reference, estimate))
    return float(np.sqrt(np.mean(level_differences_db(true, made) ** 2, axis=-2)).mean())


def si_sdr_db(reference: Wave, estimate: Wave) -> float:
    """Scale-invariant signal-to-distortion ratio in dB, within +-120; higher is better.

    `10 log10(||a r||^2 / ||a r - e||^2)` with `a = <e, r> / ||r||^2`, means removed, all channels
    as one vector (one gain for all of them, so that a lost balance counts as distortion).
    """
    validate(reference, estimate)
    true, made = (
        (wave - wave.mean(axis=1, keepdims=True)).astype(np.float64).ravel()
        for wave in (reference, estimate)
    )
    if not np.any(true):
        raise AudioError("the reference is a constant: there is nothing to reconstruct")
    target = (made @ true) / (true @ true) * true
    kept, lost = float(target @ target), float(np.sum((target - made) ** 2))
    if kept == 0:
        return LOWEST_DB
    ratio_db = 10 * np.log10(kept / lost) if lost > 0 else HIGHEST_DB
    return float(np.clip(ratio_db, LOWEST_DB, HIGHEST_DB))


def onset_correlation(reference: Wave, estimate: Wave, sample_rate: int) -> float:
    """Pearson's correlation of the onset strengths, in [-1, 1]; 0 if either never rises."""
    validate(reference, estimate)
    true, made = (onset_strength(wave, sample_rate) for wave in (reference, estimate))
    if np.ptp(true) == 0 or np.ptp(made) == 0:
        return 0.0
    return float(np.clip(np.corrcoef(true, made)[0, 1], -1, 1))


def attack_sharpness(reference: Wave, estimate: Wave, sample_rate: int) -> float:
    """Rise of the estimate over rise of the reference at the reference's onsets; best 1.

    `median over onsets of max(strength^ within 20 ms) / max(strength within 20 ms)`. A smeared
    attack rises over several frames and so less in each. A recording without onsets gives 1:
    there was no attack to lose.
    """
    validate(reference, estimate)
    true, made = (onset_strength(wave, sample_rate) for wave in (reference, estimate))
    frame_rate_hz = sample_rate / hop_samples(sample_rate)
    reach = max(1, round(ATTACK_REACH_S * frame_rate_hz))
    onsets = pick_onsets(true, frame_rate_hz)
    if not onsets.size:
        return 1.0
    spans = [slice(max(0, onset - reach), onset + reach + 1) for onset in onsets]
    return float(np.median([made[span].max() / true[span].max() for span in spans]))


def evaluate(reference: Wave, estimate: Wave, sample_rate: int) -> dict[str, float]:
    """All figures of one pair, by the names of the functions."""
    return {
        "spectral_convergence_db": spectral_convergence_db(reference, estimate, sample_rate),
        "log_mel_distance_db": log_mel_distance_db(reference, estimate, sample_rate),
        "log_spectral_distance_db": log_spectral_distance_db(reference, estimate, sample_rate),
        "si_sdr_db": si_sdr_db(reference, estimate),
        "onset_correlation": onset_correlation(reference, estimate, sample_rate),
        "attack_sharpness": attack_sharpness(reference, estimate, sample_rate),
    }
