"""The codec: exact lengths, the same audio however it is cut, and files that bring it back."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.audio.stft import stft
from ritornello.checkpoint import write_checksums
from ritornello.errors import AudioError, CheckpointError
from ritornello.musika import codec as codec_module
from ritornello.musika.codec import (
    MusikaCodec,
    build_level1,
    build_level2,
    encoder_hash,
    level1_alone,
    magnitude_scale,
)
from ritornello.musika.config import GanConfig, Level1Config, Level2Config, StftConfig
from ritornello.musika.model import initialise
from ritornello.musika.presets import nano, paper, release
from tests.musika.plucks import plucks

TINY = replace(
    nano(),
    stft=StftConfig(n_fft=256, hop_length=64),
    level1=Level1Config(
        latent_dim=4, encoder_width=8, decoder_width=8, decoder_layers=1, phase_bins=100
    ),
    level2=Level2Config(latent_dim=6, ratio=4, width=8, layers=1),
    gan=GanConfig(style_dim=2, coordinate_dim=2, chunk_frames=8, base_channels=2),
)
APART = replace(TINY, level2=replace(TINY.level2, joint=False))
REFINED = replace(TINY, level1=replace(TINY.level1, phase_passes=2))
LIGHT = {"together": TINY, "apart": APART, "refined": REFINED}


def build(config, dtype=torch.float64):
    """A codec with drawn weights, none zero, whose magnitudes are within music's."""
    codec = MusikaCodec.untrained(config)
    draw = torch.Generator().manual_seed(0)
    for level in (codec.level1, codec.level2):
        initialise(level, draw)
        level.eval().requires_grad_(False)
    if config.family == "light":
        codec.level1["decoder"].magnitude.weight.data.mul_(0.2)
    return codec.to(dtype)


@pytest.fixture(scope="module", params=LIGHT)
def codec(request):
    return build(LIGHT[request.param])


@pytest.fixture(scope="module")
def tiny():
    return build(TINY)


def sound(time, channels=2, batch=1, dtype=torch.float64):
    wave = torch.from_numpy(plucks(time / 22050 + 0.01, 4))[:channels, :time].to(dtype)
    return torch.stack([wave * 0.5**row for row in range(batch)])


def drawn_latents(codec, frames, batch=1):
    draw = torch.Generator().manual_seed(2)
    shape = batch, codec.latent_dim, frames
    return torch.rand(shape, generator=draw, dtype=torch.float64) * 2 - 1


# ---- lengths


@settings(max_examples=12, deadline=None)
@given(time=st.integers(1, 6000))
def test_any_length_comes_back_exactly(tiny, time):
    wave = sound(time)
    latents = tiny.encode(wave)
    assert latents.shape == (1, 6, -(-time // 256))
    assert tiny.decode(latents, time).shape == wave.shape
    assert tiny.decode(latents).shape == (1, 2, latents.shape[-1] * 256)


def test_rates_follow_from_the_config(codec):
    assert codec.hop_samples == 256
    assert codec.frame_rate_hz == pytest.approx(22050 / 256)
    assert codec.latent_dim == (6 if codec.config.level2.joint else 12)


def test_what_does_not_fit_is_refused(tiny):
    with pytest.raises(AudioError, match=r"got 1 channel.*; expected 2"):
        tiny.encode(sound(500, channels=1))
    with pytest.raises(AudioError, match="0 samples"):
        tiny.encode(torch.zeros(1, 2, 0))
    latents = drawn_latents(tiny, 3)
    for length in (0, 3 * 256 + 1):
        with pytest.raises(AudioError, match=r"3 frames hold 1 \.\. 768 samples"):
            tiny.decode(latents, length)
    with pytest.raises(AudioError, match="decode_window got 3 latents; expected"):
        tiny.decode_window(latents)


# ---- the same whatever is cut


def test_encoding_in_pieces_equals_encoding_whole(codec, monkeypatch):
    wave = sound(9000, batch=2)
    whole = codec.encode(wave)
    monkeypatch.setattr(codec_module, "ENCODED_LATENTS", 5)
    torch.testing.assert_close(codec.encode(wave), whole, atol=1e-10, rtol=0)


def test_latents_hear_their_own_surroundings_alone(codec):
    context = codec._encoder_context()
    wave = sound((2 * context + 5) * 256)
    middle = codec.encode(wave)[..., context : context + 1]
    other = wave.clone()
    other[..., (2 * context + 2) * 256 :] = 0.3
    torch.testing.assert_close(
        codec.encode(other)[..., context : context + 1], middle, atol=1e-10, rtol=0
    )
    near = wave.clone()
    near[..., context * 256 : (context + 1) * 256] += 0.1
    assert not torch.allclose(codec.encode(near)[..., context : context + 1], middle)


def test_a_chunk_is_its_own_window(codec):
    chunk, context = codec.chunk_frames, codec.context_latents
    latents = drawn_latents(codec, 3 * chunk + 2 * context, batch=2)
    windows = [
        codec.decode_window(latents[..., k * chunk : (k + 1) * chunk + 2 * context])
        for k in range(3)
    ]
    joined = torch.cat(windows, -1)
    # Whole decoding holds the ends: chunks away from them have the same context.
    whole = codec.decode(latents[..., context:-context])
    inner = slice(chunk * 256, 2 * chunk * 256)
    torch.testing.assert_close(joined[..., inner], whole[..., inner], atol=1e-10, rtol=0)


def test_the_context_is_enough(codec):
    """With more context on both sides the chunk sounds the same."""
    chunk, context, more = codec.chunk_frames, codec.context_latents, 3
    latents = drawn_latents(codec, chunk + 2 * (context + more))
    chunk_alone = codec.decode_window(latents[..., more:-more])
    wider = build(codec.config)
    wider.context_latents = context + more
    torch.testing.assert_close(wider.decode_window(latents), chunk_alone, atol=1e-9, rtol=0)


def test_the_chunk_and_its_neighbours_are_heard(codec):
    chunk, context = codec.chunk_frames, codec.context_latents
    latents = drawn_latents(codec, chunk + 2 * context)
    audio = codec.decode_window(latents)
    for frame in (context - 1, context, context + chunk - 1, context + chunk):
        other = latents.clone()
        other[..., frame] = -other[..., frame]
        assert not torch.allclose(codec.decode_window(other), audio)


def test_channels_are_not_swapped():
    codec = build(APART)
    wave = sound(4000)
    silent_right = wave.clone()
    silent_right[:, 1] = 0
    latents, other = codec.encode(wave), codec.encode(silent_right)
    assert torch.equal(latents[:, :6], other[:, :6])
    assert not torch.allclose(latents[:, 6:], other[:, 6:])
    decoded, altered = codec.decode_level2(latents), codec.decode_level2(other)
    assert decoded.shape[0] == 2
    torch.testing.assert_close(decoded[0], altered[0], atol=1e-10, rtol=0)
    assert not torch.allclose(decoded[1], altered[1])


def test_the_loudest_channel_is_still_the_loudest():
    """Channels share their phase; their levels are their own."""
    codec = build(APART)
    latents = drawn_latents(codec, 20)
    wave = codec.decode(latents)
    magnitudes = codec.scale.magnitude(
        codec.level1["decoder"](codec.decode_level2(latents)).log_magnitude
    )
    energies = magnitudes.square().sum((1, 2))
    assert int(wave[0].square().sum(-1).argmax()) == int(energies.argmax())


def test_level1_alone_is_a_codec_of_its_own():
    # A chunk of level-1 frames is a ratio shorter than one of spectra: room for one pass only.
    config = replace(TINY, level1=replace(TINY.level1, phase_passes=1))
    codec = level1_alone(config, build(config).level1)
    wave = sound(5000)
    latents = codec.encode(wave)
    assert codec.hop_samples == 64
    assert latents.shape == (1, 2 * 4, -(-5000 // 64))
    own = codec.level1["encoder"](codec.scale(stft(wave[0], codec.stft)))
    torch.testing.assert_close(latents[0].unflatten(0, (2, 4)), own, atol=1e-10, rtol=0)
    assert codec.decode(latents, 5000).shape == wave.shape


# ---- the scale of magnitudes


@pytest.mark.parametrize("config", [TINY, paper()], ids=["light", "published"])
def test_the_scale_and_its_inverse(config):
    scale = magnitude_scale(config)
    magnitudes = torch.logspace(-2, 1.5, 40, dtype=torch.float64) / scale.gain * 1e-1
    spectrum = magnitudes * torch.exp(1j * torch.arange(40))
    torch.testing.assert_close(scale.magnitude(scale(spectrum)), magnitudes, rtol=1e-5, atol=0)
    assert scale.magnitude(scale(torch.zeros(1, dtype=torch.complex128))).item() == (
        pytest.approx(0, abs=1e-6)
    )


def test_a_full_scale_sine_is_0_db():
    time = torch.arange(8192, dtype=torch.float64)
    wave = torch.sin(2 * np.pi * 32 / 256 * time)[None]
    scale = magnitude_scale(TINY)
    top = scale(stft(wave, MusikaCodec.untrained(TINY).stft))[..., 32, 64]
    assert float(top) * scale.half_range_db + scale.centre_db == pytest.approx(0, abs=0.01)


# ---- files


def test_saved_and_loaded_in_half_precision_it_is_the_same_codec(tmp_path):
    codec = build(TINY, torch.float32)
    codec.save(tmp_path)
    write_checksums(tmp_path)
    loaded = MusikaCodec.load(tmp_path, TINY)
    again = tmp_path / "again"
    loaded.save(again)
    write_checksums(again)
    assert (again / "level1/model.safetensors").read_bytes() == (
        tmp_path / "level1/model.safetensors"
    ).read_bytes()
    wave = sound(3000, dtype=torch.float32)
    torch.testing.assert_close(loaded.encode(wave), codec.encode(wave), atol=0.01, rtol=0)
    weights = [p for level in (loaded.level1, loaded.level2) for p in level.parameters()]
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in weights)
    assert encoder_hash(loaded) == encoder_hash(MusikaCodec.load(again, TINY))


def test_another_shape_is_refused(tmp_path):
    build(TINY, torch.float32).save(tmp_path)
    write_checksums(tmp_path)
    wider = replace(TINY, level1=replace(TINY.level1, decoder_width=12))
    with pytest.raises(CheckpointError, match="has shape"):
        MusikaCodec.load(tmp_path, wider)


def test_the_hash_knows_encoders_and_not_decoders():
    codec = build(TINY)
    before = encoder_hash(codec)
    with torch.no_grad():
        codec.level2["decoder"].out.bias.add_(1)
    assert encoder_hash(codec) == before
    with torch.no_grad():
        codec.level2["encoder"].out.bias.add_(1)
    assert encoder_hash(codec) != before


# ---- the published families


@pytest.mark.parametrize("preset", [paper, release])
def test_published_codecs_have_their_rates_and_no_context_but_the_transform(preset):
    config = preset()
    with torch.device("meta"):
        level1, level2 = build_level1(config), build_level2(config)
    codec = MusikaCodec(config, level1, level2)
    assert codec.frame_rate_hz == pytest.approx(10.77, abs=0.01)
    assert codec.latent_dim == 128
    assert codec.context_latents * config.level2.ratio == 64
    assert codec.margin_frames == 2


@pytest.mark.slow
@pytest.mark.parametrize("preset", [paper, release])
def test_published_codecs_decode_by_windows_and_whole(preset):
    config = preset()
    frames = 64 // config.level2.ratio
    config = replace(config, gan=replace(config.gan, chunk_frames=max(8, frames)))
    codec = build(config, torch.float32)
    context, chunk = codec.context_latents, codec.chunk_frames
    wave = sound(2 * chunk * codec.hop_samples + 77, dtype=torch.float32)
    latents = codec.encode(wave)
    decoded = codec.decode(latents, wave.shape[-1])
    assert decoded.shape == wave.shape
    held = torch.nn.functional.pad(latents, (context, context), mode="replicate")
    window = held[..., chunk : 2 * chunk + 2 * context]
    inner = slice(chunk * codec.hop_samples, 2 * chunk * codec.hop_samples)
    torch.testing.assert_close(codec.decode_window(window), decoded[..., inner], atol=1e-6, rtol=0)
