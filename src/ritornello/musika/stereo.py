"""The phase between the channels, which no level of the codec sees.

Level 1 looks at one channel at a time, so nothing can say how left and right turn against each
other. Two channels whose phases are integrated apart come out uncorrelated, hollow and too wide.
The light codec therefore gives both channels one phase, and then as much of a fixed difference
between them as the training music has: an all-pass filter per channel, smooth over frequency (its
delays stay below a millisecond, so attacks keep together), whose spread makes the correlation of
left and right what it is in the recordings.

Deviation: the reference decodes each channel's phase on its own.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ritornello.audio.stft import StftConfig, stft
from ritornello.shapes import Waveform

SMOOTH_HZ = 650.0
LEAST_AGREEMENT = 0.1


def shared_slopes(
    magnitude: Float[Tensor, "batch channels bins frames"],
    phasors: Float[Tensor, "batch channels 2 phase_bins frames"],
) -> Float[Tensor, "batch phase_bins frames"]:
    """One angle for all channels: the mean of their phasors, weighted by their powers."""
    weight = magnitude[:, :, : phasors.shape[3]].square() + 1e-12
    weight = weight * torch.rsqrt(phasors.square().sum(2) + 1e-12)
    mean = (phasors * weight[:, :, None]).sum(1)
    return torch.atan2(mean[:, 1], mean[:, 0])


def spread_angles(
    bins: int, channels: int, bin_hz: float, spread: float
) -> Float[Tensor, "channels bins"]:
    """What is added to each channel's phase: opposite halves of a smooth curve over frequency.

    Args:
        bins: Frequency bins.
        channels: 1 (no difference) or 2.
        bin_hz: Distance of the bins.
        spread: Standard deviation of the difference over frequency, in radians.
    """
    if channels == 1 or not spread:
        return torch.zeros(channels, bins)
    reach = max(1, round(SMOOTH_HZ / bin_hz))
    # A formula, not a draw: the same curve on every machine and in every version.
    steps = torch.arange(bins + 2 * reach, dtype=torch.float64)
    rough = torch.sin(12.9898 * steps * steps + 78.233 * steps)
    smooth = torch.nn.functional.conv1d(
        rough[None, None], torch.hann_window(2 * reach + 1, dtype=torch.float64)[None, None]
    )[0, 0]
    curve = spread * (smooth - smooth.mean()) / smooth.std()
    return torch.stack([curve / 2, -curve / 2]).float()


def measured_spread(wave: Waveform, config: StftConfig) -> float:
    """The spread with which decoded channels are as correlated as those of `wave`.

    Two channels of one phase correlate as their magnitudes do; a difference of spread s takes off
    the factor exp(-s^2 / 2). Mono, and channels with one phase already, give 0.
    """
    if wave.shape[1] != 2:
        return 0.0
    left, right = stft(wave[:, 0], config), stft(wave[:, 1], config)
    real = float((left * right.conj()).real.sum())
    alike = float((left.abs() * right.abs()).sum())
    if alike <= 0:
        return 0.0
    return math.sqrt(-2 * math.log(min(1.0, max(LEAST_AGREEMENT, real / alike))))
