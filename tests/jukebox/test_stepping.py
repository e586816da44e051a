"""Steppers: one contract, plain or compiled."""

import numpy as np
import pytest
import torch

from ritornello.errors import CapabilityError, ConfigError, MissingDependencyError
from ritornello.jukebox import prior_presets
from ritornello.jukebox.prior import build_prior, initialise
from ritornello.jukebox.stepping import (
    KernelStepper,
    Stepper,
    TorchStepper,
    guided,
    stepper_for,
)
from ritornello.native import library
from ritornello.native.library import available_paths
from ritornello.sampling.filters import draw
from tests.jukebox.conditions import conditions_for
from tests.jukebox.conditions import draw as generator

KINDS = ("nano", "nano_encoder", "nano_merged")
SETTINGS = {"temperature": 0.9, "top_p": 0.95}
STEPPERS = [TorchStepper] + [KernelStepper] * bool(available_paths())

each_stepper = pytest.mark.parametrize("make", STEPPERS)
built = pytest.mark.skipif(not available_paths(), reason="the library was not built")


def prior_of(kind):
    """A random prior, its logits spread enough to matter, and what it is told."""
    config = prior_presets.PRIORS[kind]()
    prior = build_prior(config)
    initialise(prior, generator())
    with torch.no_grad():
        for parameter in prior.parameters():
            if parameter.ndim > 1:
                parameter.mul_(20.0)
    return prior.eval(), conditions_for(config, batch=2)


def uniforms_of(songs, steps, seed=1):
    return np.random.default_rng(seed).random((songs, steps), dtype=np.float32)


@pytest.mark.parametrize(
    ("kind", "make"), [("nano", TorchStepper), *((kind, STEPPERS[-1]) for kind in KINDS)]
)
def test_codes_are_drawn_from_the_whole_models_logits(kind, make):
    prior, told = prior_of(kind)
    uniforms, stepper = uniforms_of(2, 14), make(prior)
    drawn = stepper.sample(stepper.begin(prior.begin(told)), uniforms, **SETTINGS)
    with torch.no_grad():
        logits = prior(torch.from_numpy(drawn), told).codes
    numbers = torch.from_numpy(uniforms)
    for t in range(drawn.shape[1]):
        expected = draw(logits[:, t], numbers[:, t], **SETTINGS)
        np.testing.assert_array_equal(drawn[:, t], expected)
    assert len(np.unique(drawn)) > 2


@each_stepper
@pytest.mark.parametrize("kind", KINDS[1:])
def test_known_codes_are_read_as_if_they_had_been_drawn(kind, make):
    prior, told = prior_of(kind)
    stepper, uniforms = make(prior), uniforms_of(2, 16)
    whole = stepper.sample(stepper.begin(prior.begin(told)), uniforms)
    state = stepper.begin(prior.begin(told))
    stepper.read(whole[:, :0], state)
    stepper.read(whole[:, :11], state)
    np.testing.assert_array_equal(stepper.sample(state, uniforms[:, 11:]), whole[:, 11:])


@built
@pytest.mark.parametrize("kind", KINDS)
def test_both_steppers_say_the_same_of_known_codes(kind):
    prior, told = prior_of(kind)
    codes = np.random.default_rng(0).integers(0, prior.config.codes, (2, 17))
    logits = []
    for make in STEPPERS:
        stepper = make(prior)
        logits.append(stepper.logits(codes, stepper.begin(prior.begin(told))))
    assert logits[0].shape == (2, 17, prior.config.codes)
    np.testing.assert_allclose(*logits, atol=1e-4)


@built
def test_a_state_that_has_read_goes_on_compiled():
    prior, told = prior_of("nano")
    plain, fast = TorchStepper(prior), KernelStepper(prior)
    uniforms, state = uniforms_of(2, 16), prior.begin(told)
    whole = plain.sample(plain.begin(prior.begin(told)), uniforms)
    plain.read(whole[:, :11], state)
    np.testing.assert_array_equal(fast.sample(fast.begin(state), uniforms[:, 11:]), whole[:, 11:])


@built
def test_guided_codes_are_the_same_compiled():
    prior, told = prior_of("nano_merged")
    uniforms, settings = uniforms_of(1, 16), SETTINGS | {"guidance": 2.5}
    drawn = []
    for make in STEPPERS:
        stepper = make(prior)
        drawn.append(stepper.sample(stepper.begin(prior.begin(told)), uniforms, **settings))
    np.testing.assert_array_equal(*drawn)


def test_guidance_goes_from_the_untold_through_the_told():
    logits = torch.tensor([[1.0, 0.0], [3.0, -1.0]])
    assert guided(logits, 0.0).tolist() == [[3.0, -1.0]]
    assert guided(logits, 1.0).tolist() == [[1.0, 0.0]]
    assert guided(logits, 2.0).tolist() == [[-1.0, 1.0]]


def test_guided_by_one_is_what_is_told_alone():
    prior, told = prior_of("nano")
    stepper, uniforms = TorchStepper(prior), uniforms_of(1, 15)
    pair = stepper.sample(stepper.begin(prior.begin(told)), uniforms, guidance=1.0)
    state = prior.begin(told)
    state.start, state.conditions = state.start[:1], state.conditions[:1]
    state.trunk = prior.transformer.trunk.initial_state(1, state.start)
    np.testing.assert_array_equal(stepper.sample(state, uniforms), pair)


@each_stepper
def test_numbers_for_other_songs_are_refused(make):
    prior, told = prior_of("nano")
    stepper = make(prior)
    assert isinstance(stepper, Stepper)
    with pytest.raises(ConfigError, match="uniforms have 3 rows for a state of 2; expected 1"):
        stepper.sample(stepper.begin(prior.begin(told)), uniforms_of(3, 2))
    with pytest.raises(ConfigError, match=r"expected 2 of the state .*with guidance"):
        stepper.sample(stepper.begin(prior.begin(told)), uniforms_of(2, 2), guidance=2.0)


@built
def test_the_compiled_stepper_is_taken_where_it_is():
    prior, _ = prior_of("nano")
    assert stepper_for(prior).path == stepper_for(prior, "int8").path == available_paths()[0]
    assert isinstance(stepper_for(prior.to("meta")), TorchStepper)
    with pytest.raises(CapabilityError, match=r"int8.* is for the CPU; the model is on meta"):
        stepper_for(prior, "int8")
    with pytest.raises(ConfigError, match="precision is 'half'"):
        stepper_for(prior, "half")


def test_without_the_library_steps_are_plain(monkeypatch):
    prior, _ = prior_of("nano")
    monkeypatch.setattr(library, "EXTENSION_SUFFIXES", [".not-built"])
    library.find_library.cache_clear()
    try:
        assert stepper_for(prior).path == "torch"
        with pytest.raises(MissingDependencyError, match="C compiler"):
            stepper_for(prior, "int8")
    finally:
        library.find_library.cache_clear()
