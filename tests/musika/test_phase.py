"""Slopes bring phases back, tones keep their pitch, and chunks meet at pins."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from ritornello.audio.stft import StftConfig, istft, istft_valid, stft
from ritornello.errors import ConfigError
from ritornello.evaluation.seams import seam_ratio
from ritornello.musika.phase import (
    centre_advance,
    centred,
    integrate,
    phase_slopes,
    pinned_phase,
)
from tests.musika.plucks import RATE, drone, plucks

N_FFT, HOP, MARGIN, CHUNK, BEND = 1024, 256, 2, 64, 31
STFT = StftConfig(N_FFT, HOP)


def heads(wave):
    """What a perfect decoder says of `wave` (rows, time): magnitudes, advances, slopes."""
    spectrum = stft(wave, STFT)
    return spectrum.abs(), *phase_slopes(centred(spectrum.angle()), N_FFT, HOP)


def windows(said):
    """`said` cut as the codec does, one window per chunk."""
    frames = said[0].shape[-1]
    for first in range(MARGIN, frames - MARGIN - CHUNK + 1, CHUNK):
        yield [one[..., first - MARGIN : first + CHUNK + MARGIN] for one in said]


def pinned(window):
    return pinned_phase(*window, margin=MARGIN, bend_frames=BEND, n_fft=N_FFT, hop_length=HOP)


def played(said):
    """Audio of one chunk after the other."""
    chunks = [istft_valid(torch.polar(w[0], centred(pinned(w))), STFT) for w in windows(said)]
    return torch.cat(chunks, -1)


def purity(wave, hz, width_hz=6.0):
    """Part of the energy that lies within `width_hz` of `hz`."""
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))) ** 2
    frequencies = np.fft.rfftfreq(len(wave), 1 / RATE)
    return power[np.abs(frequencies - hz) < width_hz].sum() / power.sum()


def test_the_turn_of_the_centre_frequencies():
    turn = centre_advance(6, 16, 4)
    expected = torch.tensor([0, 0.5, 1, -0.5, 0, 0.5]) * math.pi
    torch.testing.assert_close(turn.cos(), expected.cos(), atol=1e-6, rtol=0)
    torch.testing.assert_close(turn.sin(), expected.sin(), atol=1e-6, rtol=0)
    assert turn.abs().max() <= math.pi + 1e-6


def test_a_steady_tone_has_the_stated_slopes():
    hz = 20.3 * RATE / N_FFT
    magnitude, advance, slope = heads(torch.from_numpy(drone(1.0, hz)[:1]).double())
    lobe = magnitude[0, :, 40] > 0.1 * magnitude[0, :, 40].max()
    expected = 2 * math.pi * (hz * HOP / RATE) - centre_advance(513, N_FFT, HOP)[lobe]
    stated = advance[0, lobe, 40] - expected
    assert torch.allclose(stated.cos(), torch.ones(()).double(), atol=1e-4)
    inside = lobe[1:] & lobe[:-1]
    assert torch.allclose(slope[0, :-1, 40][inside].cos(), torch.ones(()).double(), atol=1e-2)


def test_centring_twice_changes_nothing():
    phase = torch.rand(2, 9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(torch.exp(1j * centred(centred(phase))), torch.exp(1j * phase))


def test_oracle_slopes_integrate_to_the_exact_phases():
    phase = centred(stft(torch.from_numpy(plucks(1.0, 3)).double(), STFT).angle())
    magnitude, advance, slope = heads(torch.from_numpy(plucks(1.0, 3)).double())
    turn = advance + centre_advance(513, N_FFT, HOP).double()[:, None]
    across = functional.pad(slope[..., :-1, :].cumsum(-2), (0, 0, 1, 0))
    found = integrate(phase[..., 0], magnitude, turn[..., 1:], across[..., 1:])
    error = torch.exp(1j * found) - torch.exp(1j * phase[..., 1:])
    assert error.abs().max() < 1e-8


@pytest.mark.parametrize("hz", [101.3, 473.0, 1234.5, 5038.0])
def test_a_steady_tone_keeps_its_frequency(hz):
    said = heads(torch.from_numpy(drone(4.0, hz)[:1]))
    wave = played(said)[0].numpy()
    assert purity(wave, hz) > 0.99
    # The same phase in every frame, which is all that a frame could know of itself, would buzz.
    frozen = istft_valid(torch.polar(said[0], torch.zeros_like(said[0])), STFT)[0].numpy()
    assert purity(frozen, hz) < 0.5


def test_two_windows_agree_around_the_pin_they_share():
    said = heads(torch.from_numpy(plucks(4.0, 1)).double())
    first, second = (torch.exp(1j * pinned(window)) for window in list(windows(said))[:2])
    shared_of_first = first[..., -2 * MARGIN :]
    shared_of_second = second[..., : 2 * MARGIN]
    torch.testing.assert_close(shared_of_first, shared_of_second, atol=1e-9, rtol=0)


def test_joined_chunks_are_the_inverse_of_one_spectrum():
    said = heads(torch.from_numpy(plucks(4.0, 1)).double())
    phases = torch.cat([pinned(w)[..., MARGIN:-MARGIN] for w in windows(said)], -1)
    magnitude = said[0][..., MARGIN : MARGIN + phases.shape[-1]]
    whole = istft(torch.polar(magnitude, centred(phases)), STFT, phases.shape[-1] * HOP)
    inner = slice(MARGIN * HOP, -MARGIN * HOP)
    torch.testing.assert_close(played(said)[..., inner], whole[..., inner], atol=1e-10, rtol=0)


def test_joints_cannot_be_told_from_elsewhere():
    said = heads(torch.from_numpy(plucks(9.0, 2)))
    wave = played(said).numpy()
    joints_s = np.arange(1, wave.shape[1] // (CHUNK * HOP)) * CHUNK * HOP / RATE
    seams = seam_ratio([wave], RATE, joints_s, 4 * HOP / RATE, np.random.default_rng(0))
    assert seams.p_value > 0.05
    assert seams.ratio.value < 1.5
    # Chunks that do not know of pins, each from a phase of its own, can be told.
    chunks = np.split(wave.copy(), len(joints_s) + 1, axis=1)
    cut = np.concatenate([c * (-1) ** k for k, c in enumerate(chunks)], axis=1)
    worse = seam_ratio([cut], RATE, joints_s, 4 * HOP / RATE, np.random.default_rng(0))
    assert worse.ratio.value > 3 * seams.ratio.value


def test_a_chunk_shorter_than_its_margin_is_refused():
    said = [torch.ones(1, 5, 4)] * 3
    with pytest.raises(ConfigError, match="fewer level1"):
        pinned_phase(*said, margin=2, bend_frames=1, n_fft=8, hop_length=2)
