"""Losses agree with closed forms and with an independent transform."""

import numpy as np
import pytest
import torch

from ritornello.errors import AudioError
from ritornello.evaluation.spectra import power
from ritornello.jukebox.losses import (
    Bandwidth,
    largest_error,
    level_losses,
    magnitudes,
    mean_convergence_db,
    measure_bandwidth,
    norms,
    squared_error,
)
from ritornello.jukebox.vqvae import Reconstruction
from ritornello.jukebox.vqvae_config import LossConfig, Resolution
from tests.jukebox.levels import RATE, noise

FINE = Resolution(n_fft=128, hop=16, window=64)
COARSE = Resolution(n_fft=256, hop=64, window=256)


def found(wave, commitment=0.0):
    batch = wave.shape[0]
    return Reconstruction(
        wave=wave,
        queries=torch.zeros(batch, 2, 3),
        codes=torch.zeros(batch, 3, dtype=torch.int64),
        commitment=torch.tensor(commitment),
    )


def config(**values):
    return LossConfig(resolutions=(FINE,), reference=FINE, **values)


@pytest.mark.parametrize("resolution", [FINE, COARSE])
def test_magnitudes_are_those_of_a_plain_transform(resolution):
    wave = noise(1000, batch=2)
    plain = power(wave.numpy(), resolution.n_fft, resolution.hop, resolution.window)
    expected = np.sqrt(plain) * np.hanning(resolution.window + 1)[:-1].sum() / 2
    np.testing.assert_allclose(magnitudes(wave, resolution).numpy(), expected, atol=1e-4)


def test_errors_by_hand():
    decoded = torch.arange(10.0).view(1, 1, 10)
    real = torch.zeros(1, 1, 10)
    assert squared_error(decoded, real) == 28.5
    assert largest_error(decoded, real, share=0.2) == (81 + 64) / 2
    assert largest_error(decoded, real, share=1e-6) == 81


def test_silence_has_the_losses_of_one():
    """Nothing decoded: squared error is the variance, spectral distance the norm."""
    wave = noise(2000, batch=2)
    wave = wave - wave.mean()
    losses = level_losses(
        found(torch.zeros_like(wave)), wave, config(), measure_bandwidth(wave, config())
    )
    torch.testing.assert_close(losses["squared"], torch.tensor(1.0))
    torch.testing.assert_close(losses["spectral"], torch.tensor(1.0))


def test_a_changed_gain_is_a_changed_norm():
    wave = noise(2000)
    losses = level_losses(found(1.5 * wave), wave, config(), measure_bandwidth(wave, config()))
    torch.testing.assert_close(losses["spectral"], torch.tensor(0.5))


def test_the_total_is_the_weighted_sum():
    weights = config(
        squared=2.0,
        largest=3.0,
        largest_share=0.1,
        spectral=5.0,
        commitment=7.0,
        log_magnitude=11.0,
    )
    wave = noise(600)
    losses = level_losses(
        found(0.5 * wave, 0.25), wave, weights, Bandwidth(variance=0.2, spectral_norm=50.0)
    )
    parts = {name: float(losses[name]) for name in losses if name != "total"}
    expected = sum(getattr(weights, name) * value for name, value in parts.items())
    assert set(parts) == {"squared", "largest", "spectral", "commitment", "log_magnitude"}
    assert float(losses["total"]) == pytest.approx(expected, rel=1e-6)
    assert parts["commitment"] == 0.25


def test_resolutions_are_averaged():
    wave, other = noise(600), noise(600, seed=1)
    one = Bandwidth(variance=1.0, spectral_norm=1.0)
    both = LossConfig(resolutions=(FINE, COARSE))
    distances = [
        norms(magnitudes(other, resolution) - magnitudes(wave, resolution)).mean()
        for resolution in both.resolutions
    ]
    losses = level_losses(found(other), wave, both, one)
    torch.testing.assert_close(losses["spectral"], torch.stack(distances).mean())


def test_the_log_term_is_off_unless_asked_for_and_counts_ratios():
    wave = noise(3000)
    one = Bandwidth(variance=1.0, spectral_norm=1.0)
    assert "log_magnitude" not in level_losses(found(wave), wave, config(), one)
    doubled = level_losses(found(2 * wave), wave, config(log_magnitude=1.0), one)
    assert float(doubled["log_magnitude"]) == pytest.approx(np.log(2), rel=5e-3)


def test_what_is_inaudible_counts_for_nothing_in_the_log_term():
    wave, one = 1e-7 * noise(1000), Bandwidth(variance=1.0, spectral_norm=1.0)
    silent = level_losses(found(torch.zeros_like(wave)), wave, config(log_magnitude=1.0), one)
    assert silent["log_magnitude"] < 1e-2


def test_gradients_are_finite_in_silence():
    decoded = torch.zeros(1, 1, 300, requires_grad=True)
    one = Bandwidth(variance=1.0, spectral_norm=1.0)
    losses = level_losses(found(decoded), torch.zeros(1, 1, 300), config(log_magnitude=1.0), one)
    losses["total"].backward()
    assert torch.isfinite(decoded.grad).all()


def test_silent_music_has_no_bandwidth():
    with pytest.raises(AudioError, match="silent"):
        measure_bandwidth(torch.zeros(1, 1, 400), config())


def test_convergence_is_the_mean_ratio_of_what_sounds():
    wave = torch.cat([noise(4000, batch=2), torch.zeros(1, 1, 4000)])
    decoded = torch.cat([0.9 * wave[:1], 0.7 * wave[1:2], noise(4000, seed=3)])
    expected = 20 * np.log10((0.1 + 0.3) / 2)
    assert mean_convergence_db(decoded, wave, RATE) == pytest.approx(expected, abs=1e-3)
    with pytest.raises(AudioError, match="silent"):
        mean_convergence_db(decoded[2:], wave[2:], RATE)
