import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.audio.stft import (
    StftConfig,
    griffin_lim,
    hann_window,
    hz_to_mel,
    istft,
    istft_span,
    istft_valid,
    log_mel,
    mel_filterbank,
    mel_to_hz,
    overlap_add,
    stft,
)
from ritornello.errors import AudioError, ConfigError


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@st.composite
def configs(draw) -> StftConfig:
    n_fft = 2 * draw(st.integers(2, 40))
    return StftConfig(n_fft, draw(st.integers(1, n_fft // 2)))


@settings(deadline=None, max_examples=60)
@given(config=configs(), time=st.integers(1, 300))
def test_round_trip_is_exact_for_any_length_and_hop(config, time):
    wave = noise(2, time)
    spectrum = stft(wave, config)
    assert spectrum.shape == (2, config.bins, math.ceil(time / config.hop_length))
    assert torch.allclose(istft(spectrum, config, time), wave, rtol=0, atol=1e-10)


def test_frames_equal_the_formula():
    config = StftConfig(16, 4)
    wave = noise(50)
    spectrum = stft(wave, config)
    window = hann_window(16, wave)
    for frame in range(spectrum.shape[-1]):
        centre = frame * 4 + 2
        for k in (0, 3, 8):
            expected = sum(
                wave[n] * window[i] * complex(math.cos(a), -math.sin(a))
                for i, n in enumerate(range(centre - 8, centre + 8))
                if 0 <= n < 50
                for a in [2 * math.pi * k * i / 16]
            )
            assert abs(spectrum[k, frame] - expected) < 1e-12


def test_matches_torch_on_shifted_signal():
    config = StftConfig(64, 16)
    wave = noise(3, 400)
    # torch centres frame t on t * hop; half a hop of delay brings both grids together
    theirs = torch.stft(
        torch.nn.functional.pad(wave, (24, 40)),
        64,
        16,
        window=hann_window(64, wave),
        center=False,
        return_complex=True,
    )
    assert torch.allclose(stft(wave, config), theirs[..., :25], atol=1e-12)


def test_pieces_with_context_join_to_the_whole():
    config = StftConfig(64, 16)
    spectrum = stft(noise(2, 40 * 16), config) * torch.exp(1j * noise(2, config.bins, 40, seed=1))
    whole = istft(spectrum, config, 40 * 16)
    context = config.context_frames
    assert context == 2
    pieces = [istft_valid(spectrum[..., t - context : t + 5 + context], config) for t in (2, 7, 12)]
    assert torch.allclose(torch.cat(pieces, -1), whole[..., 2 * 16 : 17 * 16], rtol=0, atol=1e-10)


@settings(deadline=None, max_examples=60)
@given(config=configs(), frames=st.integers(1, 30), block=st.integers(1, 12))
def test_spans_equal_the_whole_up_to_both_ends(config, frames, block):
    hop, context = config.hop_length, config.context_frames
    spectrum = torch.complex(noise(config.bins, frames), noise(config.bins, frames, seed=1))
    whole = istft(spectrum, config, frames * hop)
    for first in range(0, frames, block):
        last = min(frames, first + block)
        low, high = max(0, first - context), min(frames, last + context)
        span = istft_span(spectrum[:, low:high], config, low, frames, first * hop, last * hop)
        assert torch.allclose(span, whole[first * hop : last * hop], rtol=1e-10, atol=1e-10)


def test_context_is_exactly_what_samples_depend_on():
    for n_fft, hop in ((64, 16), (64, 32), (60, 7), (64, 20)):
        config = StftConfig(n_fft, hop)
        frames = 4 * config.context_frames + 3
        spectrum = stft(noise(frames * hop), config).requires_grad_()
        middle = frames // 2
        block = istft(spectrum, config, frames * hop)[middle * hop : (middle + 1) * hop]
        (gradient,) = torch.autograd.grad(block.abs().sum(), spectrum)
        touched = gradient.abs().sum(0).nonzero().flatten().tolist()
        expected = range(middle - config.context_frames, middle + config.context_frames + 1)
        assert set(touched) <= set(expected)
        assert touched[0] <= expected[0] + 1
        assert touched[-1] >= expected[-1] - 1


def test_missing_frames_are_refused():
    config = StftConfig(64, 16)
    spectrum = stft(noise(640), config)
    with pytest.raises(AudioError, match=r"need frames 8 \.\. 22"):
        istft_span(spectrum[:, 9:25], config, 9, 40, 160, 320)
    with pytest.raises(AudioError, match="expected a span within"):
        istft(spectrum, config, 641)
    with pytest.raises(AudioError, match="more than 4"):
        istft_valid(spectrum[:, :4], config)


def test_overlap_add_equals_the_sum_it_names():
    pieces = noise(2, 5, 7)
    expected = torch.zeros(2, 4 * 3 + 9, dtype=torch.float64)
    for t in range(5):
        expected[:, 3 * t : 3 * t + 7] += pieces[:, t]
    assert torch.allclose(overlap_add(pieces, 3), expected, rtol=0, atol=1e-12)


def test_gradients_flow_through_both_directions():
    config = StftConfig(8, 4)
    wave = noise(13).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: istft(stft(x, config) * 2.0, config, 11), (wave,))


def test_config_refuses_what_has_no_inverse():
    with pytest.raises(ConfigError, match="n_fft is 63"):
        StftConfig(63, 16)
    with pytest.raises(ConfigError, match=r"expected 1 \.\. n_fft / 2 = 32"):
        StftConfig(64, 33)


def test_mel_scale_known_answers():
    assert hz_to_mel(0.0) == 0.0
    assert hz_to_mel(1000.0) == pytest.approx(15.0)
    assert hz_to_mel(6400.0) == pytest.approx(42.0)
    for hz in (60.0, 999.0, 1001.0, 12000.0):
        assert mel_to_hz(hz_to_mel(hz)) == pytest.approx(hz)


def test_mel_filters_have_unit_area_and_peak_at_their_centres():
    filters = mel_filterbank(44100, 8192, 64, 100.0, 16000.0).double()
    area = filters.sum(dim=1) * 44100 / 8192
    assert torch.allclose(area, torch.ones(64, dtype=torch.float64), atol=2e-2)
    low, high = hz_to_mel(100.0), hz_to_mel(16000.0)
    centres = torch.tensor([mel_to_hz(low + (high - low) * (i + 1) / 65) for i in range(64)])
    assert ((filters.argmax(dim=1) * 44100 / 8192 - centres).abs() < 44100 / 8192).all()


def test_empty_mel_bands_are_refused():
    with pytest.raises(ConfigError, match="mel bands hold no bin"):
        mel_filterbank(44100, 256, 128)


def test_mel_filters_made_in_inference_serve_training():
    with torch.inference_mode():
        filters = mel_filterbank(16000, 512, 30)
    wave = torch.ones(1, 2000, requires_grad=True)
    log_mel(wave, StftConfig(512, 128), filters).sum().backward()
    assert wave.grad is not None


def test_log_mel_keeps_its_precision_under_autocast():
    config, filters = StftConfig(512, 128), mel_filterbank(16000, 512, 30)
    wave = noise(1, 4000).float()
    expected = log_mel(wave, config, filters)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(log_mel(wave, config, filters), expected)


def test_log_mel_of_a_sine_peaks_in_its_band():
    config = StftConfig(1024, 256)
    filters = mel_filterbank(22050, 1024, 40)
    time = torch.arange(22050) / 22050
    mel = log_mel(torch.sin(2 * math.pi * 1000 * time)[None], config, filters)
    assert mel.shape == (1, 40, 87)
    band = int(filters[:, round(1000 * 1024 / 22050)].argmax())
    assert int(mel[0, :, 40].argmax()) == band


def test_griffin_lim_converges_and_momentum_helps():
    config = StftConfig(256, 64)
    time = torch.arange(6000, dtype=torch.float64) / 8000
    wave = torch.sin(2 * math.pi * (300 + 200 * time) * time) * torch.exp(-2 * time)
    magnitude = stft(wave, config).abs()

    def distance(iterations: int, momentum: float) -> float:
        generator = torch.Generator().manual_seed(5)
        guess = griffin_lim(magnitude, config, 6000, iterations, momentum, generator=generator)
        assert guess.shape == (6000,)
        return float((stft(guess, config).abs() - magnitude).norm() / magnitude.norm())

    start, plain, fast = distance(0, 0.0), distance(40, 0.0), distance(40, 0.99)
    assert fast < plain < 0.5 * start


def test_griffin_lim_keeps_the_true_phase():
    config = StftConfig(256, 64)
    wave = noise(2, 3000)
    spectrum = stft(wave, config)
    again = griffin_lim(spectrum.abs(), config, 3000, 3, phase=spectrum.angle())
    assert torch.allclose(again, wave, atol=1e-8)


def test_griffin_lim_needs_a_source_of_phase_and_fitting_frames():
    config = StftConfig(256, 64)
    with pytest.raises(ConfigError, match="a generator"):
        griffin_lim(torch.ones(129, 4), config, 256, 1)
    with pytest.raises(AudioError, match="expected 5"):
        griffin_lim(torch.ones(129, 4), config, 257, 1)
