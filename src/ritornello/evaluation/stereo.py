"""How wide a stereo recording is: is it two channels, or one channel twice?

A codec or generator that gives left and right the same signal sounds narrow and is a defect.

Conventions
    wave          float (2, time), left then right
    sample_rate   samples per second

Metrics
    left_right_correlation     1 mono, 0 unrelated, -1 opposite
    side_energy_db             energy of (left - right) / 2 against the whole; low is near mono
    level_differences_db       left level over right level, frame by frame
"""

import numpy as np
from jaxtyping import Float

from ritornello.errors import AudioError

LOWEST_DB = -120.0
NEAR_MONO_DB = -30.0
FRAME_S = 0.05
AUDIBLE_DB = -60.0

Stereo = Float[np.ndarray, "channels time"]


def validate(wave: Stereo) -> None:
    """Refuse what is not a finite two-channel recording.

    Raises:
        AudioError: Not two channels, no samples, or not finite.
    """
    if wave.shape[0] != 2:
        raise AudioError(
            f"got {wave.shape[0]} channel(s), expected 2 (left, right): mono has no stereo figures"
        )
    if wave.shape[1] == 0 or not np.isfinite(wave).all():
        raise AudioError("expected a recording with samples, all of them finite")


def left_right_correlation(wave: Stereo) -> float:
    """Pearson's correlation of the two channels over all samples, in [-1, 1].

    `sum(l r) / sqrt(sum(l^2) sum(r^2))` of the channels without their means. Two channels that
    never move (digital silence) are the same signal: 1. One silent channel: 0.
    """
    validate(wave)
    left, right = wave.astype(np.float64) - wave.mean(axis=1, keepdims=True, dtype=np.float64)
    energies = float(left @ left), float(right @ right)
    if max(energies) == 0:
        return 1.0
    if min(energies) == 0:
        return 0.0
    return float(np.clip(left @ right / np.sqrt(energies[0] * energies[1]), -1, 1))


def side_energy_db(wave: Stereo) -> float:
    """Share of the side signal in the energy, in dB: 0 opposite, -3 unrelated, floor -120 mono.

    `10 log10(E(side) / (E(mid) + E(side)))`, mid and side being half the sum and half the
    difference of left and right.
    """
    validate(wave)
    left, right = wave.astype(np.float64)
    side = float(np.sum(((left - right) / 2) ** 2))
    mid = float(np.sum(((left + right) / 2) ** 2))
    if side == 0:
        return LOWEST_DB
    return max(LOWEST_DB, 10 * float(np.log10(side / (mid + side))))


def is_near_mono(wave: Stereo) -> bool:
    """Whether the side signal holds less than a thousandth of the energy (-30 dB)."""
    return side_energy_db(wave) < NEAR_MONO_DB


def level_differences_db(wave: Stereo, sample_rate: int) -> Float[np.ndarray, " frames"]:
    """Level of left over right in dB for every 50 ms frame that is louder than -60 dBFS.

    `20 log10(rms(left) / rms(right))`, each channel's level held above -120 dBFS.
    """
    validate(wave)
    length = max(1, round(FRAME_S * sample_rate))
    frames = wave.shape[1] // length
    blocks = wave[:, : frames * length].astype(np.float64).reshape(2, frames, length)
    power = np.mean(blocks**2, axis=2)
    levels = 10 * np.log10(np.maximum(power, 10 ** (LOWEST_DB / 10)))
    return (levels[0] - levels[1])[levels.max(axis=0) > AUDIBLE_DB]


def evaluate(wave: Stereo, sample_rate: int) -> dict[str, float]:
    """All stereo figures of one recording.

    Returns:
        left_right_correlation, side_energy_db, near_mono (0 or 1), and the mean and the spread
        (standard deviation) of the level differences in dB; both 0 where no frame is audible.
    """
    differences = level_differences_db(wave, sample_rate)
    return {
        "left_right_correlation": left_right_correlation(wave),
        "side_energy_db": side_energy_db(wave),
        "near_mono": float(is_near_mono(wave)),
        "level_difference_db": float(differences.mean()) if differences.size else 0.0,
        "level_difference_spread_db": float(differences.std()) if differences.size else 0.0,
    }
