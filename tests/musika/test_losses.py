"""Known values of what the codec stages lower."""

import math

import pytest
import torch

from ritornello.audio.stft import StftConfig, stft
from ritornello.musika.autoencoder import SlopeHeads
from ritornello.musika.codec import magnitude_scale
from ritornello.musika.config import MusikaConfig
from ritornello.musika.config import StftConfig as StftSettings
from ritornello.musika.losses import (
    SILENT_WEIGHT,
    audible_error,
    level,
    magnitude_loss,
    phase_waveform_loss,
    slope_losses,
    waveform_distance,
)
from ritornello.musika.phase import centred, phase_slopes
from ritornello.musika.presets import paper
from tests.musika.plucks import plucks

STFT = StftConfig(512, 128)
SCALE = magnitude_scale(MusikaConfig(stft=StftSettings(n_fft=512, hop_length=128)))
PHASE_BINS = 200


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def wave():
    return torch.from_numpy(plucks(0.6, 5))


@pytest.fixture(scope="module")
def spectrum(wave):
    return stft(wave, STFT)


def oracle(spectrum, turned=0.0, size=1.0):
    """Heads that state the true slopes, turned by an angle."""
    slopes = phase_slopes(centred(spectrum.angle()), STFT.n_fft, STFT.hop_length)
    phasors = [
        size * torch.stack([(one + turned).cos(), (one + turned).sin()], 1)[:, :, :PHASE_BINS]
        for one in slopes
    ]
    return SlopeHeads(SCALE(spectrum), *phasors)


def test_levels_run_from_silent_to_loud():
    assert level(torch.tensor([-1.5, -1.0, 0.0, 1.0])).tolist() == [0, 0, 0.5, 1]


def test_magnitude_loss_by_hand():
    loud, silent = torch.ones(2, 3, 4), -torch.ones(2, 3, 4)
    assert float(magnitude_loss(loud, loud)) == 0
    assert float(magnitude_loss(loud - 0.5, loud)) == pytest.approx(0.5)
    assert float(magnitude_loss(silent + 0.5, silent)) == pytest.approx(0.5 * SILENT_WEIGHT)


def test_audible_error_leaves_out_what_is_60_db_down():
    real = torch.tensor([[[0.5], [-0.6], [-0.8]]])
    assert float(audible_error(real, real)) == 0
    assert float(audible_error(real + torch.tensor([[[0.1], [0.3], [9.0]]]), real)) == (
        pytest.approx(0.2)
    )


@pytest.mark.parametrize(
    ("turned", "expected"),
    [(0.0, 0.0), (math.pi / 2, 1.0), (math.pi, 2.0), (0.3, 1 - math.cos(0.3))],
)
def test_slope_losses_are_the_cosine_of_the_error(spectrum, turned, expected):
    heads = oracle(spectrum, turned, size=10.0)
    for loss in slope_losses(heads, spectrum, heads.log_magnitude, STFT):
        assert float(loss) == pytest.approx(expected, abs=1e-5)


def test_slope_losses_do_not_care_for_the_phasors_length(spectrum):
    short, long = (oracle(spectrum, 0.5, size) for size in (1.0, 30.0))
    for one, other in zip(
        slope_losses(short, spectrum, short.log_magnitude, STFT),
        slope_losses(long, spectrum, long.log_magnitude, STFT),
        strict=True,
    ):
        assert float(one) == pytest.approx(float(other), abs=1e-4)


def test_slopes_of_silence_cost_nothing():
    silence = torch.zeros(1, 257, 8, dtype=torch.complex64)
    heads = SlopeHeads(SCALE(silence), *torch.ones(2, 1, 2, PHASE_BINS, 8))
    assert [float(x) for x in slope_losses(heads, silence, heads.log_magnitude, STFT)] == [0, 0]


def test_slope_losses_teach_the_true_slopes(spectrum):
    true = oracle(spectrum)
    phasors = torch.randn(2, *true.advance.shape, generator=seeded()).requires_grad_()
    optimizer = torch.optim.Adam([phasors], lr=0.3)
    for _ in range(20):
        heads = SlopeHeads(true.log_magnitude, phasors[0], phasors[1])
        losses = slope_losses(heads, spectrum, true.log_magnitude, STFT)
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()
    assert max(float(loss.detach()) for loss in losses) < 0.05


def test_waveform_distance_by_hand(wave):
    for seed in range(4):
        assert float(waveform_distance(wave, wave, seeded(seed))) == 0
    loud = 100 * torch.randn(1, 8192, generator=seeded())
    distance = float(waveform_distance(2 * loud, loud, seeded()))
    assert distance == pytest.approx(math.log(2) + 1, abs=1e-3)


def test_waveform_distance_draws_its_scale_from_the_generator(wave):
    other = wave.roll(7, -1)
    found = [float(waveform_distance(other, wave, seeded(seed))) for seed in range(12)]
    assert len(set(found)) == 4
    assert found == [float(waveform_distance(other, wave, seeded(seed))) for seed in range(12)]


def test_phase_waveform_loss_hears_the_phase(spectrum):
    phase = spectrum.angle() / math.pi
    right = float(phase_waveform_loss(spectrum.abs(), phase, spectrum, STFT, seeded()))
    wrong = float(phase_waveform_loss(spectrum.abs(), 0 * phase, spectrum, STFT, seeded()))
    assert right < 1e-3
    assert wrong > 0.5


def test_published_magnitudes_have_finite_gradients_in_silence():
    scale = magnitude_scale(paper())
    stated = torch.tensor([-1.2, -1.0, -0.5, 0.3], requires_grad=True)
    magnitude = scale.magnitude(stated)
    magnitude.sum().backward()
    assert stated.grad is not None
    assert stated.grad.isfinite().all()
    assert magnitude[0] == 0
    assert (stated.grad[2:] > 0).all()
