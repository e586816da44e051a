"""An ADA's networks: what sees what, steps equal the whole, and a batch can be learnt by heart."""

from dataclasses import replace

import pytest
import torch

from ritornello.ada.config import AdaConfig, PriorConfig, QuantiserConfig, WaveNetConfig
from ritornello.ada.model import Ada, Prior, nll
from ritornello.ada.presets import audio_vq, large_wavenet
from ritornello.nn.wavenet import initialise
from ritornello.training.distributed import World

TINY = WaveNetConfig(repetitions=1, layers=2, filter_size=3, residual=8, inner=6, skip=7)
CONFIG = AdaConfig(
    symbols=16,
    hop=4,
    encoder=TINY,
    modulator=TINY,
    local=replace(TINY, filter_size=2, layers=3),
    quantiser=QuantiserConfig(codes=8, dim=5),
)


def build(config=CONFIG, cls=Ada, seed=0):
    model = cls(config)
    initialise(model, torch.Generator().manual_seed(seed))
    return model


def symbols(batch=2, time=32, size=16, seed=0):
    return torch.randint(size, (batch, time), generator=torch.Generator().manual_seed(seed))


def kinds():
    for kind in ("vq", "amae", "softmax_amae"):
        yield replace(CONFIG, quantiser=replace(CONFIG.quantiser, kind=kind))
    yield replace(CONFIG, encoder_input="one_hot", local_input="one_hot")


@pytest.mark.parametrize("config", list(kinds()))
def test_weights_are_a_function_of_the_generator_alone(config):
    # Whatever came from torch's own numbers would differ, since those have moved on.
    first, again = build(config).state_dict(), build(config).state_dict()
    assert all(torch.equal(first[name], tensor) for name, tensor in again.items())
    other = build(config, seed=1).state_dict()
    drawn = [name for name in first if name.endswith("weight")]
    assert all(not torch.equal(first[name], other[name]) for name in drawn)


@pytest.mark.parametrize("config", list(kinds()))
def test_shapes_and_gradients_of_every_kind(config):
    model = build(config)
    x = symbols()
    logits, found = model(x)
    assert logits.shape == (2, 32, 16)
    assert found.codes.shape == (2, 8)
    assert torch.equal(model.encode(x), found.codes)
    (nll(logits, x) + found.loss).backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None]
    # The last layer's way back into the stack leads nowhere.
    assert all("to_residual" in name for name in silent)
    assert any(p.grad.abs().sum() > 0 for p in model.encoder.parameters() if p.grad is not None)


def test_the_local_model_sees_the_past_only_and_as_far_as_it_should():
    model = build().double()
    biases = [bias.double() for bias in model.biases(symbols(1, 8, 8))]
    first = symbols(1, 32)
    for place in (0, 9, 30):
        changed = first.clone()
        changed[0, place] = (changed[0, place] + 1) % 16
        difference = (model.local(first, biases) - model.local(changed, biases)).abs().sum(-1)[0]
        moved = difference.nonzero().flatten().tolist()
        field = CONFIG.local.receptive_field
        expected = list(range(place + 1, min(32, place + 1 + field)))
        assert moved == expected


def test_a_bias_sees_exactly_the_codes_it_should():
    model = build().double()
    vectors = torch.randn(1, 12, 5, generator=torch.Generator().manual_seed(0)).double()
    vectors.requires_grad_()
    reach = sum(TINY.dilations)
    for place in (0, 6, 11):
        told = torch.stack([bias[0, place].sum() for bias in model.modulator(vectors)]).sum()
        (gradient,) = torch.autograd.grad(told, vectors)
        seen = gradient[0].abs().sum(-1).nonzero().flatten().tolist()
        assert seen == list(range(max(0, place - reach), min(12, place + reach + 1)))


@pytest.mark.parametrize("kind", ["continuous", "one_hot"])
def test_steps_equal_the_whole(kind):
    model = build(replace(CONFIG, local_input=kind)).double()
    x, codes = symbols(3, 24), symbols(3, 6, 8)
    biases = [bias.double() for bias in model.biases(codes)]
    state, made = model.local.initial_state(3), []
    for t in range(24):
        made.append(model.local.step(state, [bias[:, t // 4] for bias in biases]))
        state.previous = x[:, t]
    torch.testing.assert_close(torch.stack(made, 1), model.local(x, biases))


def test_parameters_of_the_published_sizes():
    def millions(module):
        return sum(p.numel() for p in module.parameters()) / 1e6

    with torch.device("meta"):
        ada, prior = Ada(audio_vq()), Prior(PriorConfig(network=large_wavenet()))
    # 4.59 M and 59.1 M multiplications a sample, and biases and input layers besides
    assert millions(ada.local) == pytest.approx(4.6, abs=0.05)
    assert millions(prior) == pytest.approx(59.3, abs=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vq", "amae"])
def test_one_batch_is_learnt_by_heart_through_the_codes(kind):
    """Random symbols cannot be predicted from the past: only the codes can tell them."""
    config = replace(
        CONFIG,
        hop=1,
        quantiser=replace(CONFIG.quantiser, kind=kind, codes=16, nu=0.005),
        encoder_input="one_hot",
    )
    model, x = build(config), symbols(4, 64)
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    draw = torch.Generator().manual_seed(0)
    for _ in range(250):
        logits, found = model(x)
        optimiser.zero_grad()
        (nll(logits, x) + found.loss).backward()
        optimiser.step()
        model.bottleneck.learn(found, draw, World())
    # ln 16 = 2.77 without codes
    assert nll(model(x)[0], x).item() < 1.2
