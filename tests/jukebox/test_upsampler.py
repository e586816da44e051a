"""Upsamplers: parts equal the whole, every code hears those above, published sizes, by heart."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.errors import ConfigError
from ritornello.jukebox.prior import bits_per_token
from ritornello.jukebox.prior_presets import nano_upsampler, paper_upsampler, small_upsampler
from ritornello.jukebox.upsampler import Upsampler, initialise
from tests.jukebox.conditions import conditions_for, draw, integers
from tests.jukebox.test_prior import codes_for, in_parts, millions

CONFIG = nano_upsampler()
RATIO = CONFIG.conditioner.ratio


def build(config=CONFIG, scale=20.0):
    model = Upsampler(config)
    initialise(model, draw())
    with torch.no_grad():
        for weight in model.transformer.parameters():
            if weight.ndim > 1:
                weight.mul_(scale)
    return model.double()


def above_for(config=CONFIG, batch=2):
    return integers(config.codes_above, batch, config.frames // RATIO, seed=9)


@settings(max_examples=4)
@given(cuts=st.sets(st.integers(1, 23), max_size=4))
def test_parts_equal_the_whole(cuts):
    model, told, codes, above = build(), conditions_for(CONFIG), codes_for(CONFIG), above_for()
    found = in_parts(model, codes, model.begin(above, told), cuts)
    torch.testing.assert_close(found, model(codes, above, told).detach())


def test_steps_equal_the_whole():
    model, told, codes, above = build(), conditions_for(CONFIG), codes_for(CONFIG), above_for()
    state, made = model.begin(above, told), []
    for frame in range(CONFIG.frames):
        made.append(model.step(state))
        model.tell(codes[:, frame], state)
    torch.testing.assert_close(torch.stack(made, dim=1), model(codes, above, told).detach())


def test_every_code_hears_the_code_above_it():
    model, above = build(), above_for(batch=1)
    for place in range(above.shape[1]):
        changed = above.clone()
        changed[0, place] = (changed[0, place] + 1) % CONFIG.codes_above
        moved = (model.conditioner(changed) - model.conditioner(above)).abs().sum(-1)[0]
        assert (moved[place * RATIO : (place + 1) * RATIO] > 0).all()


def test_times_are_not_heard_and_labels_are():
    model, told, codes, above = build(), conditions_for(CONFIG), codes_for(CONFIG), above_for()
    whole = model(codes, above, told)
    assert torch.equal(model(codes, above, replace(told, start_s=told.start_s + 5)), whole)
    other = replace(told, artist=(told.artist + 1) % CONFIG.labels.artists)
    assert not torch.allclose(model(codes, above, other), whole)


def test_codes_that_do_not_fit_those_above_are_refused():
    model, told = build(), conditions_for(CONFIG)
    with pytest.raises(AssertionError, match="5 codes above are for 20 codes, not 24"):
        model(codes_for(CONFIG), above_for()[:, :5], told)
    with pytest.raises(ConfigError, match="multiple of the ratio"):
        replace(CONFIG, transformer=replace(CONFIG.transformer, block_length=5, blocks=3))


def test_parameters_of_the_published_sizes():
    with torch.device("meta"):
        model = Upsampler(paper_upsampler(1))
    assert millions(model.transformer) == pytest.approx(817, abs=0.5)
    assert millions(model.conditioner) == pytest.approx(156, abs=0.5)
    assert model.conditioner.layers[1].blocks[0].scale == 0.25
    assert paper_upsampler(0).conditioner.residual_scale == 1.0


def test_the_small_upsampler_is_small():
    with torch.device("meta"):
        model = Upsampler(small_upsampler(9))
    assert millions(model.transformer) < 1.4
    assert millions(model.conditioner) < 0.4


@pytest.mark.slow
def test_one_batch_is_learnt_by_heart_from_the_codes_above():
    """Random codes cannot be told from the past: the codes above, and the place, must do it."""
    config = replace(CONFIG, transformer=replace(CONFIG.transformer, width=32))
    model = Upsampler(config)
    initialise(model, draw())
    told, codes, above = conditions_for(config), codes_for(config), above_for(config)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(120):
        loss = bits_per_token(model(codes, above, told), codes)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.3
