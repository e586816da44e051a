"""The losses: nothing for what is equal, more for what is further, and a game with two sides."""

import pytest
import torch

from ritornello.encodec.losses import (
    Discriminators,
    found_out,
    frequency_error,
    magnitude_error,
    mel_bands,
    taken_for_real,
    time_error,
)
from tests.encodec.codecs import noise

WINDOWS = (256, 128)


def test_equal_waves_have_no_error_and_worse_ones_more():
    wave = noise(1600)
    errors = [
        [float(time_error(made, wave)), float(frequency_error(made, wave, WINDOWS, 1600))]
        for made in (wave, wave + 0.01 * noise(1600, seed=1), wave + 0.1 * noise(1600, seed=1))
    ]
    assert errors[0][0] == 0
    assert errors[0][1] < 1e-3
    assert errors[0] < errors[1] < errors[2]
    assert errors[1][1] < errors[2][1]


def test_a_spectrum_does_not_mind_the_sign():
    wave = noise(1600)
    assert float(time_error(-wave, wave)) > 0.5
    assert float(frequency_error(-wave, wave, WINDOWS, 1600)) < 1e-3


def test_magnitudes_are_relative_to_the_music_and_silence_is_no_trap():
    wave = noise(1600)
    for scale in (1, 0.1):
        error = magnitude_error(scale * 0.5 * wave, scale * wave, WINDOWS)
        assert float(error) == pytest.approx(0.5, rel=1e-4)
    silence = torch.zeros_like(wave)
    assert float(magnitude_error(silence, silence, WINDOWS)) == 0
    assert float(magnitude_error(1e-5 * wave, silence, WINDOWS)) < 0.2


@pytest.mark.parametrize(("window", "rate"), [(2048, 16000), (128, 16000), (64, 32000), (64, 1600)])
def test_no_mel_band_is_empty(window, rate):
    assert 2 <= mel_bands(window, rate) <= 64
    assert torch.isfinite(frequency_error(noise(4 * window), noise(4 * window), (window,), rate))


def test_the_hinge_has_two_sides():
    sure_real, sure_made = [(torch.full((1, 3), 2.0), [])], [(torch.full((1, 3), -2.0), [])]
    assert float(found_out(sure_real, sure_made)) == 0
    assert float(found_out(sure_made, sure_real)) == 6
    features = [torch.ones(2, 2)]
    believed = taken_for_real([(sure_real[0][0], features)], [(sure_real[0][0], features)])
    assert {name: float(loss) for name, loss in believed.items()} == {
        "adversarial": 0,
        "features": 0,
    }
    caught = taken_for_real([(sure_real[0][0], features)], [(sure_made[0][0], [torch.zeros(2, 2)])])
    assert float(caught["adversarial"]) == 3
    assert float(caught["features"]) == pytest.approx(1)


def test_discriminators_learn_to_tell_noise_from_tones():
    judges = Discriminators((128, 64), 4)
    time = torch.arange(800) / 1600
    real = 0.5 * torch.sin(2 * torch.pi * torch.tensor([[[100.0]], [[230.0]]]) * time)
    made = 0.3 * noise(800, batch=2)
    optimizer = torch.optim.Adam(judges.parameters(), 3e-3)
    for _ in range(25):
        loss = found_out(judges(real), judges(made))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert len(judges(real)) == 2
    assert loss.item() < 0.5
