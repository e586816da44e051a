"""Samplers: steps equal the full forward, compiled steps equal plain ones, states are explicit."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from ritornello.ada import sampling
from ritornello.ada.config import PriorConfig, WaveNetConfig
from ritornello.ada.model import Ada, Prior
from ritornello.ada.sampling import TorchSampler, kernel_weights, plain_step_s, sampler_for
from ritornello.errors import ConfigError, MissingDependencyError
from ritornello.native import wavenet
from ritornello.nn.wavenet import initialise
from tests.ada.test_model import CONFIG, TINY

HOP = CONFIG.hop
NEEDS_KERNEL = pytest.mark.skipif(not wavenet.available_paths(), reason="no compiled step here")


def numbers(batch, steps, seed=0):
    return np.random.default_rng(seed).random((batch, steps), dtype=np.float32)


def symbols(batch, steps, size=16, seed=0):
    return np.random.default_rng(seed).integers(size, size=(batch, steps))


def seeded_normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def modulated(kind="continuous", seed=0):
    """A local model that has something to say, and biases for it."""
    ada = Ada(replace(CONFIG, local_input=kind)).eval().requires_grad_(False)
    initialise(ada, torch.Generator().manual_seed(seed))
    ada.bottleneck.codebook.begin(seeded_normal(9, 5), torch.Generator().manual_seed(1))
    biases = torch.stack(ada.biases(torch.from_numpy(symbols(3, 6, 8))), 2).numpy()
    return ada.local, biases


def prior(filter_size=3):
    network = WaveNetConfig(repetitions=2, layers=3, filter_size=filter_size, residual=8, inner=8)
    model = Prior(PriorConfig(symbols=16, network=network)).eval().requires_grad_(False)
    initialise(model, torch.Generator().manual_seed(0))
    model.head.out.bias.copy_(seeded_normal(16))  # or the first symbols would all be as probable
    return model


def test_logits_step_by_step_are_those_of_the_whole():
    local, biases = modulated()
    sampler, known = TorchSampler(local), symbols(3, 6 * HOP)
    whole = local(torch.from_numpy(known), list(torch.from_numpy(biases).unbind(2)))
    told = sampler.logits(sampler.initial_state(3), known, biases=biases, hop=HOP)
    np.testing.assert_allclose(told, whole.numpy(), atol=1e-5)


def test_what_is_sampled_is_what_the_whole_model_would_draw():
    """Every drawn symbol is the one that its number finds in the full forward's distribution."""
    local, biases = modulated()
    sampler, uniforms = TorchSampler(local), numbers(3, 6 * HOP)
    drawn = sampler.sample(sampler.initial_state(3), uniforms, biases=biases, hop=HOP)
    logits = local(torch.from_numpy(drawn), list(torch.from_numpy(biases).unbind(2)))
    upto = logits.softmax(-1).cumsum(-1).numpy()
    index = drawn[..., None]
    above = np.take_along_axis(upto, index, -1)[..., 0]
    below = np.where(drawn > 0, np.take_along_axis(upto, np.maximum(index - 1, 0), -1)[..., 0], 0.0)
    assert (uniforms < above + 1e-5).all()
    assert (uniforms >= below - 1e-5).all()
    assert len(np.unique(drawn)) > 8


def every_sampler(local):
    yield TorchSampler(local)
    for path in wavenet.available_paths():
        yield wavenet.WaveNetKernel(kernel_weights(local), path=path)


def test_a_state_goes_on_where_it_was_and_a_copy_goes_its_own_way():
    local, biases = modulated()
    for sampler in every_sampler(local):
        uniforms, state = numbers(3, 6 * HOP), sampler.initial_state(3)
        whole = sampler.sample(sampler.initial_state(3), uniforms, biases=biases, hop=HOP)
        first = sampler.sample(state, uniforms[:, : 2 * HOP], biases=biases[:, :2], hop=HOP)
        kept = copy.deepcopy(state)
        rest = uniforms[:, 2 * HOP :]
        for at in (state, kept):
            more = sampler.sample(at, rest, biases=biases[:, 2:], hop=HOP)
            assert np.array_equal(np.concatenate([first, more], 1), whole)


def test_priming_is_as_if_the_symbols_had_been_drawn():
    local, biases = modulated()
    for sampler in every_sampler(local):
        uniforms, state = numbers(3, 6 * HOP), sampler.initial_state(3)
        whole = sampler.sample(sampler.initial_state(3), uniforms, biases=biases, hop=HOP)
        known, rest = whole[:, : 3 * HOP], uniforms[:, 3 * HOP :]
        sampler.logits(state, known, biases=biases[:, :3], hop=HOP)
        more = sampler.sample(state, rest, biases=biases[:, 3:], hop=HOP)
        assert np.array_equal(more, whole[:, 3 * HOP :])


def test_a_row_is_sampled_alike_alone_and_in_a_batch():
    local, biases = modulated()
    for sampler in every_sampler(local):
        uniforms = numbers(3, 6 * HOP)
        together = sampler.sample(sampler.initial_state(3), uniforms, biases=biases, hop=HOP)
        alone = sampler.sample(sampler.initial_state(1), uniforms[1:2], biases=biases[1:2], hop=HOP)
        assert np.array_equal(together[1:2], alone)


def test_cold_draws_are_the_most_probable_symbols():
    model = prior()
    for sampler in every_sampler(model):
        cold = sampler.sample(sampler.initial_state(1), numbers(1, 20), temperature=1e-5)
        narrow = sampler.sample(sampler.initial_state(1), numbers(1, 20), top_p=1e-6)
        told = sampler.logits(sampler.initial_state(1), cold)
        assert np.array_equal(told.argmax(-1), cold)
        assert np.array_equal(narrow, cold)


@NEEDS_KERNEL
@pytest.mark.parametrize("kind", ["continuous", "one_hot"])
def test_the_compiled_step_draws_what_the_plain_one_draws(kind):
    local, biases = modulated(kind)
    uniforms, known = numbers(3, 6 * HOP), symbols(3, 6 * HOP)
    plain, *fast = every_sampler(local)
    asked = {"biases": biases, "hop": HOP}
    drawn = plain.sample(plain.initial_state(3), uniforms, temperature=0.9, top_p=0.95, **asked)
    told = plain.logits(plain.initial_state(3), known, **asked)
    for kernel in fast:
        state = kernel.initial_state(3)
        again = kernel.sample(state, uniforms, temperature=0.9, top_p=0.95, **asked)
        assert np.array_equal(again, drawn)
        near = kernel.logits(kernel.initial_state(3), known, **asked)
        np.testing.assert_allclose(near, told, atol=1e-4)


@NEEDS_KERNEL
@pytest.mark.parametrize("filter_size", [2, 3])
def test_the_compiled_step_draws_what_a_prior_draws(filter_size):
    model, uniforms = prior(filter_size), numbers(2, 40)
    plain, *fast = every_sampler(model)
    drawn = plain.sample(plain.initial_state(2), uniforms)
    for kernel in fast:
        assert np.array_equal(kernel.sample(kernel.initial_state(2), uniforms), drawn)


def test_the_fastest_sampler_is_taken(monkeypatch):
    model = prior()
    if wavenet.available_paths():
        assert sampler_for(model).path == wavenet.available_paths()[0]
    monkeypatch.setattr(sampling, "available_paths", lambda: ())
    assert sampler_for(model).path == "torch"
    with pytest.raises(MissingDependencyError, match="C compiler"):
        sampler_for(model, "int8")
    with pytest.raises(ConfigError, match="expected one of fp32, int8"):
        sampler_for(model, "fp8")


def test_a_forecast_grows_with_the_network():
    wide = Ada(replace(CONFIG, local=replace(TINY, filter_size=2, layers=6, residual=64)))
    narrow, _ = modulated()
    assert 0 < plain_step_s(narrow) < plain_step_s(wide.local) < 0.01
