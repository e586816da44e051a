"""The networks: the published size, as many steps as promised, chunks' context, the beginning."""

import pytest
import torch

from ritornello.encodec.network import EncodecNetwork
from ritornello.encodec.presets import paper_codec, small_codec
from ritornello.encodec.seanet import Encoder, FasterConv, PaddedConv, initialise
from tests.encodec.codecs import PUBLISHED, drawn, noise, tiny


def parameters(module):
    return sum(weight.numel() for weight in module.parameters())


def test_the_paper_preset_has_the_published_size():
    with torch.device("meta"):
        network = EncodecNetwork(paper_codec())
    assert parameters(network) == 56_884_674
    assert paper_codec().hop_samples == 640
    assert paper_codec().frame_rate_hz == 50
    assert paper_codec().bits_per_second == 2200


def test_the_small_preset_is_small():
    with torch.device("meta"):
        network = EncodecNetwork(small_codec())
    assert parameters(network) < 2e6
    assert (small_codec().hop_samples, small_codec().bits_per_second) == (320, 1800)


@pytest.mark.parametrize("mode", ["constant", "reflect"])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(7, 1, 1), (3, 1, 4), (8, 4, 1)])
def test_a_convolution_gives_one_output_per_stride(mode, kernel, stride, dilation):
    conv = PaddedConv(2, 3, kernel, stride, dilation, mode=mode)
    for steps in (1, 2, 8):
        assert conv(torch.ones(1, 2, steps * stride)).shape == (1, 3, steps)


@pytest.mark.parametrize("stride", [2, 5])
def test_an_upsampling_layer_gives_stride_outputs_and_is_centred(stride):
    layer = FasterConv(1, 1, stride)
    steps = torch.zeros(1, 1, 7)
    empty = layer(steps)
    steps[..., 3] = 1
    answer = (layer(steps) - empty)[0, 0]
    assert len(answer) == 7 * stride
    (heard,) = answer.nonzero(as_tuple=True)
    before, after = 3 * stride - int(heard[0]), int(heard[-1]) - (4 * stride - 1)
    assert 0 <= before - after <= 1
    assert before + after == stride


@pytest.mark.parametrize(
    "settings", [{}, {"residual_layers": 2}, {"front": 1}, {"padding": "reflect"}]
)
def test_what_a_frame_sees_lies_within_the_context(settings):
    codec = drawn(tiny(**settings))
    network, hop = codec.network, codec.hop_samples
    wave = noise(40 * hop).double().requires_grad_()
    network.encoder.double().fast(wave)[..., 20].sum().backward()
    seen = wave.grad[0, 0].nonzero().flatten() // hop
    context = network.encoder.context_frames
    assert 20 - context <= int(seen[0]) < 20 < int(seen[-1]) <= 20 + context
    hidden = torch.randn(1, codec.config.width, 40, generator=torch.Generator().manual_seed(0))
    hidden = hidden.double().requires_grad_()
    network.decoder.double().fast(hidden)[..., 20 * hop : 21 * hop].sum().backward()
    seen = hidden.grad[0].abs().sum(0).nonzero().flatten()
    assert 20 - context <= int(seen[0]) <= 20 <= int(seen[-1]) <= 20 + context


def test_layers_begin_as_drawn_and_keep_the_variance():
    config = small_codec()
    encoders = [Encoder(config), Encoder(config)]
    for encoder in encoders:
        initialise(encoder, torch.Generator().manual_seed(3))
    states = [encoder.state_dict() for encoder in encoders]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    with torch.no_grad():
        hidden = encoders[0](noise(config.hop_samples * 10))
    assert 0.05 < float(hidden.std()) < 20


def test_recurrence_is_only_at_the_frame_rate():
    network = drawn(tiny(**PUBLISHED)).network
    kinds = [type(layer).__name__ for layer in network.encoder.layers]
    assert kinds.index("Lstm") == network.encoder.fast_layers
    kinds = [type(layer).__name__ for layer in network.decoder.layers]
    assert kinds.index("Lstm") == network.decoder.slow_layers - 1
