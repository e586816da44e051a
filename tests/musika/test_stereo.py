"""The phase between the channels: measured from music, given back by a fixed all-pass pair."""

import math

import pytest
import torch

from ritornello.audio.stft import StftConfig, istft, stft
from ritornello.musika.stereo import measured_spread, shared_slopes, spread_angles

CONFIG = StftConfig(1024, 256)
RATE = 44100


def noise(channels: int, time: int = 65536) -> torch.Tensor:
    return 0.1 * torch.randn(1, channels, time, generator=torch.Generator().manual_seed(3))


def correlation(wave: torch.Tensor) -> float:
    left, right = wave[0, 0], wave[0, 1]
    return float((left * right).sum() / (left.norm() * right.norm()))


def test_mono_stays_mono() -> None:
    both = noise(1).expand(1, 2, -1)
    assert measured_spread(noise(1), CONFIG) == 0
    assert measured_spread(both, CONFIG) == pytest.approx(0, abs=1e-3)
    assert not spread_angles(CONFIG.bins, 2, RATE / CONFIG.n_fft, 0.0).any()
    assert spread_angles(CONFIG.bins, 1, RATE / CONFIG.n_fft, 0.7).shape == (1, CONFIG.bins)


def test_silence_has_no_spread() -> None:
    assert measured_spread(torch.zeros(1, 2, 4096), CONFIG) == 0


@pytest.mark.parametrize("spread", [0.4, 0.8])
def test_a_known_spread_is_measured(spread: float) -> None:
    angles = spread_angles(CONFIG.bins, 2, RATE / CONFIG.n_fft, spread)
    assert float((angles[0] - angles[1]).std()) == pytest.approx(spread, rel=1e-4)
    turned = stft(noise(1)[0], CONFIG) * torch.polar(torch.ones_like(angles), angles)[..., None]
    wave = istft(turned, CONFIG, 65536)[None]
    assert correlation(wave) == pytest.approx(math.exp(-(spread**2) / 2), abs=0.05)
    assert measured_spread(wave, CONFIG) == pytest.approx(spread, abs=0.1)


def test_the_spread_delays_less_than_a_millisecond() -> None:
    bin_hz = RATE / CONFIG.n_fft
    angles = spread_angles(CONFIG.bins, 2, bin_hz, 1.0)
    delays_s = (angles[:, 1:] - angles[:, :-1]) / (2 * math.pi * bin_hz)
    assert float(delays_s.abs().max()) < 1e-3


def test_the_louder_channel_decides_the_shared_angle() -> None:
    angles = torch.tensor([0.3, 2.0])
    phasors = torch.stack([angles.cos(), angles.sin()], 1)[None, :, :, None, None]
    loud_left = torch.tensor([1.0, 1e-3])[None, :, None, None]
    assert float(shared_slopes(loud_left, phasors)) == pytest.approx(0.3, abs=1e-3)
    # The length of a phasor is how sure the network sounds, not how loud the bin is.
    assert float(shared_slopes(loud_left, phasors * 7)) == pytest.approx(0.3, abs=1e-3)
