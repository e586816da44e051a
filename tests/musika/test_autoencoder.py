"""The light autoencoders: shapes, ranges, and exactly the context they say they have."""

import pytest
import torch

from ritornello.musika.autoencoder import (
    LightLevel1Decoder,
    LightLevel1Encoder,
    LightLevel2Decoder,
    LightLevel2Encoder,
    ResidualConv,
)
from ritornello.musika.config import Level1Config, Level2Config
from ritornello.musika.model import initialise

LEVEL1 = Level1Config(
    latent_dim=4, encoder_width=8, encoder_layers=2, decoder_width=8, decoder_layers=2, phase_bins=6
)
BINS = 9


def level2(ratio, layers=1):
    return Level2Config(latent_dim=3, ratio=ratio, width=8, layers=layers)


def build(module):
    """`module` in float64 with weights none of which is zero."""
    initialise(module, torch.Generator().manual_seed(0))
    return module.double()


def normal(*shape):
    draw = torch.Generator().manual_seed(1)
    return torch.randn(shape, generator=draw, dtype=torch.float64)


def reach(outputs, x):
    """Frames of `x` (1, dim, frames) that `outputs` depend on."""
    (gradient,) = torch.autograd.grad(outputs.square().sum(), x)
    return gradient[0].abs().sum(0).nonzero().flatten().tolist()


def test_level1_encodes_every_frame_alone_into_the_range():
    encoder = build(LightLevel1Encoder(BINS, LEVEL1))
    x = (10 * normal(1, BINS, 12)).requires_grad_()
    latents = encoder(x)
    assert latents.shape == (1, 4, 12)
    assert latents.abs().max() <= 1
    assert reach(latents[..., 5], x) == [5]


def test_level1_decodes_magnitudes_and_two_phasors_of_the_lowest_bins():
    decoder = build(LightLevel1Decoder(BINS, LEVEL1))
    heads = decoder(normal(2, 4, 12))
    assert heads.log_magnitude.shape == (2, BINS, 12)
    assert heads.advance.shape == heads.slope.shape == (2, 2, 6, 12)
    assert not torch.equal(heads.advance, heads.slope)
    assert torch.equal(decoder.log_magnitude(normal(2, 4, 12)), heads.log_magnitude)


def test_level1_decoder_has_the_context_it_states():
    decoder = build(LightLevel1Decoder(BINS, LEVEL1))
    x = normal(1, 4, 21).requires_grad_()
    context = decoder.context_frames
    assert reach(decoder(x).log_magnitude[..., 10], x) == list(range(10 - context, 11 + context))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("ratio", [1, 2, 4, 8])
def test_level2_has_the_context_it_states(ratio, layers):
    config, slow = level2(ratio, layers), 25
    encoder, decoder = (
        build(LightLevel2Encoder(5, config)),
        build(LightLevel2Decoder(5, config)),
    )
    x = normal(1, 5, slow * ratio).requires_grad_()
    z = encoder(x)
    assert z.shape == (1, 3, slow)
    assert z.abs().max() <= 1
    seen = {frame // ratio for frame in reach(z[..., 12], x)}
    assert seen <= set(range(12 - encoder.context_frames, 13 + encoder.context_frames))
    z = z.detach().requires_grad_()
    y = decoder(z)
    assert y.shape == x.shape
    assert y.abs().max() <= 1
    frames = slice(12 * ratio, 13 * ratio)
    touched = reach(y[..., frames], z)
    context = decoder.context_frames
    assert 12 - context <= touched[0]
    assert touched[-1] <= 12 + context
    assert touched[-1] - touched[0] >= 2 * (context - 1)  # stated with one frame to spare at most


def test_residual_layers_start_as_the_identity():
    x = normal(1, 8, 5).float()
    layer = ResidualConv(8)
    torch.nn.init.zeros_(layer.out.bias)
    assert torch.equal(layer(x), x)
