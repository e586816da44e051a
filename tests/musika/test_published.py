"""The published autoencoders: sizes, shapes, windows, ranges."""

import pytest
import torch

from ritornello.errors import ConfigError
from ritornello.musika import published
from ritornello.musika.model import initialise

LEVEL1 = [
    (published.PaperLevel1Encoder, published.PaperLevel1Decoder),
    (published.ReleaseLevel1Encoder, published.ReleaseLevel1Decoder),
]
LEVEL2 = [
    (published.PaperLevel2Encoder, published.PaperLevel2Decoder, 128),
    (published.ReleaseLevel2Encoder, published.ReleaseLevel2Decoder, 64),
]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def build(cls):
    network = cls().eval()
    initialise(network, seeded())
    return network


def normal(*shape, seed=1):
    return torch.randn(shape, generator=seeded(seed))


@pytest.mark.parametrize(
    ("cls", "millions"),
    [
        (published.PaperLevel1Encoder, 2.06),
        (published.PaperLevel1Decoder, 7.40),
        (published.PaperLevel2Encoder, 4.53),
        (published.PaperLevel2Decoder, 6.68),
        (published.ReleaseLevel1Encoder, 4.79),
        (published.ReleaseLevel1Decoder, 12.67),
        (published.ReleaseLevel2Encoder, 3.98),
        (published.ReleaseLevel2Decoder, 6.64),
    ],
)
def test_parameter_counts_are_the_published_ones(cls, millions):
    with torch.device("meta"):
        network = cls()
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.01)


@pytest.mark.parametrize(("encoder_class", "decoder_class"), LEVEL1)
def test_level1_keeps_frames_and_ranges(encoder_class, decoder_class):
    encoder, decoder = build(encoder_class), build(decoder_class)
    with torch.no_grad():
        latents = encoder(normal(2, 513, 128))
        magnitude, phase = decoder(latents)
    assert latents.shape == (2, encoder.latent_dim, 128)
    assert magnitude.shape == phase.shape == (2, 513, 128)
    for bounded in (latents, magnitude, phase):
        assert bounded.abs().max() <= 1
        assert bounded.std() > 0.01
    assert not torch.allclose(magnitude, phase)


@pytest.mark.parametrize("encoder_class", [pair[0] for pair in LEVEL1])
def test_level1_encodes_every_spectrum_on_its_own(encoder_class):
    encoder = build(encoder_class)
    spectra = normal(1, 513, 4).requires_grad_()
    encoder(spectra)[0, :, 2].sum().backward()
    assert spectra.grad is not None
    touched = spectra.grad.abs().sum(dim=(0, 1)) > 0
    assert touched.tolist() == [False, False, True, False]


@pytest.mark.parametrize(("encoder_class", "decoder_class", "dim"), LEVEL2)
def test_level2_reduces_and_restores_the_rate(encoder_class, decoder_class, dim):
    encoder, decoder = build(encoder_class), build(decoder_class)
    with torch.no_grad():
        slow = encoder(normal(2, dim, 128))
        restored = decoder(slow)
    assert encoder.ratio == decoder.ratio
    assert slow.shape == (2, 64, 128 // encoder.ratio)
    assert slow.abs().max() <= 1
    assert restored.shape == (2, dim, 128)


@pytest.mark.parametrize(("encoder_class", "dim"), [(entry[0], entry[2]) for entry in LEVEL2])
def test_level2_latents_see_exactly_their_own_block(encoder_class, dim):
    encoder = build(encoder_class)
    frames = normal(1, dim, 3 * encoder.ratio).requires_grad_()
    encoder(frames)[0, :, 1].sum().backward()
    assert frames.grad is not None
    touched = frames.grad.abs().sum(dim=(0, 1)).view(3, encoder.ratio) > 0
    assert touched.all(dim=1).tolist() == [False, True, False]
    assert touched.any(dim=1).tolist() == [False, True, False]


DECODERS = [
    (published.PaperLevel1Decoder, 128),
    (published.ReleaseLevel1Decoder, 64),
    (published.PaperLevel2Decoder, 64),
    (published.ReleaseLevel2Decoder, 64),
]


def first_output(decoded):
    return decoded[0] if isinstance(decoded, tuple) else decoded


@pytest.mark.parametrize(("decoder_class", "dim"), DECODERS)
def test_windows_are_decoded_on_their_own(decoder_class, dim):
    decoder = build(decoder_class)
    window = decoder.window_frames
    latents = normal(1, dim, 2 * window)
    with torch.no_grad():
        whole = first_output(decoder(latents))
        second = first_output(decoder(latents[..., window:]))
    torch.testing.assert_close(whole[..., whole.shape[-1] // 2 :], second, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("decoder_class", "dim"), DECODERS)
def test_decoder_noise_is_explicit_and_silent_at_the_start(decoder_class, dim):
    decoder = build(decoder_class)
    latents = 0.3 * normal(1, dim, decoder.window_frames)
    with torch.no_grad():
        quiet = first_output(decoder(latents))
        assert torch.equal(first_output(decoder(latents, seeded(3))), quiet)
        for name, parameter in decoder.named_parameters():
            if name.endswith("noise_scale"):
                parameter.fill_(0.2)
        one, same, other = (first_output(decoder(latents, seeded(s))) for s in (3, 3, 4))
    assert torch.equal(one, same)
    assert not torch.allclose(one, other)
    assert not torch.allclose(one, quiet)


@pytest.mark.parametrize(("decoder_class", "dim"), DECODERS)
def test_broken_windows_are_refused(decoder_class, dim):
    decoder = build(decoder_class)
    with pytest.raises(ConfigError, match=f"expected a multiple of {decoder.window_frames}"):
        decoder(normal(1, dim, decoder.window_frames + 1))
