"""Masked upsamplers: who sees whom, what passes draw, what stays, what is learnt."""

from dataclasses import replace
from math import log2

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.errors import ConfigError
from ritornello.jukebox.masked import (
    MaskedUpsampler,
    bits_in_passes,
    hidden_bits,
    initialise,
    masked_bits,
    random_places,
)
from ritornello.jukebox.masked_decoding import MaskedStepper, fill
from ritornello.jukebox.prior_presets import nano_masked, small_masked, small_upsampler
from ritornello.jukebox.stepping import Stepper, WindowSampler
from ritornello.jukebox.upsampler import Upsampler
from ritornello.sampling.passes import gumbel, left_hidden, schedule
from tests.jukebox.conditions import conditions_for, draw, integers
from tests.jukebox.test_prior import millions

CONFIG = nano_masked()
FRAMES, RATIO = CONFIG.frames, CONFIG.conditioner.ratio


def build(config=CONFIG, scale=20.0):
    model = MaskedUpsampler(config)
    initialise(model, draw())
    with torch.no_grad():
        for part in (model.trunk, model.table):
            for weight in part.parameters():
                if weight.ndim > 1:
                    weight.mul_(scale)
    return model.requires_grad_(False)


def codes_for(config=CONFIG, batch=2):
    return integers(config.codes, batch, config.frames, seed=7)


def above_for(config=CONFIG, batch=2):
    return integers(config.codes_above, batch, config.frames // RATIO, seed=9)


def told_by(model, batch=2):
    return model.tell(above_for(batch=batch), conditions_for(CONFIG, batch))


def numbers(passes, batch=2, seed=3):
    return torch.rand(batch, passes, 2, FRAMES, generator=draw(seed))


def places(*shown, batch=2):
    """All but those shown."""
    hidden = torch.ones(batch, FRAMES, dtype=torch.bool)
    hidden[:, list(shown)] = False
    return hidden


# ------------------------------------------------------------------ who sees whom


@pytest.mark.parametrize("layers", [("row", "column"), ("column", "row"), ("dense",)])
def test_every_place_sees_every_place(layers):
    config = replace(CONFIG, transformer=replace(CONFIG.transformer, layers=layers))
    model = build(config).double()
    told = model.tell(above_for(batch=1), conditions_for(CONFIG, 1))
    symbols = model.table(codes_for(batch=1)).requires_grad_()
    out = model.see(symbols, told.double())
    for place in range(FRAMES):
        (gradient,) = torch.autograd.grad(out[0, place].square().sum(), symbols, retain_graph=True)
        assert (gradient[0].abs().sum(-1) > 0).all()


@pytest.mark.parametrize(
    ("name", "row_of"), [("row", lambda i: i // 6), ("column", lambda i: i % 6)]
)
def test_a_layer_sees_exactly_its_row_or_column(name, row_of):
    config = replace(CONFIG, transformer=replace(CONFIG.transformer, layers=("row", "column")))
    model = build(config).double()
    block = model.trunk.blocks[("row", "column").index(name)]
    x = torch.randn(1, FRAMES, 16, dtype=torch.float64, generator=draw()).requires_grad_()
    out = block.attention(x)
    for place in range(FRAMES):
        (gradient,) = torch.autograd.grad(out[0, place].square().sum(), x, retain_graph=True)
        seen = set(gradient[0].abs().sum(-1).nonzero()[:, 0].tolist())
        assert seen == {other for other in range(FRAMES) if row_of(other) == row_of(place)}


def test_a_hidden_code_is_never_seen_and_a_shown_one_is():
    """By the gradient to soft codes, which stand in for the choice of a row of the table."""
    model, codes = build().double(), codes_for(batch=1)
    told, is_hidden = told_by(model, 1).double(), places(2, 3, 17, batch=1)
    soft = torch.nn.functional.one_hot(codes, CONFIG.codes).double().requires_grad_()
    rows = model.table.weight
    symbols = torch.where(is_hidden[..., None], rows[model.mask], soft @ rows[: model.mask])
    logits = model.to_logits(model.see(symbols, told), told)
    for place in is_hidden[0].nonzero()[:, 0].tolist():
        (gradient,) = torch.autograd.grad(logits[0, place].square().sum(), soft, retain_graph=True)
        sensed = gradient[0].abs().sum(-1) > 0
        assert torch.equal(sensed, ~is_hidden[0])


def test_the_loss_hides_what_it_asks_for():
    model, codes, told = build(), codes_for(), told_by(build())
    is_hidden = places(1, 5)
    hidden = model.hidden(codes.masked_fill(is_hidden, model.mask), told)
    logits = model.to_logits(hidden, told)
    expected = -logits.log_softmax(-1).gather(2, codes[..., None])[..., 0][is_hidden].mean()
    found = hidden_bits(model, codes, is_hidden, is_hidden, told)
    assert found.item() == pytest.approx(expected.item() / np.log(2), rel=1e-5)


def test_labels_and_codes_above_are_heard():
    model, conditions = build(), conditions_for(CONFIG)
    codes, above = codes_for(), above_for()
    whole = model(codes, above, conditions)
    assert whole.shape == (2, FRAMES, CONFIG.codes)
    other = replace(conditions, artist=(conditions.artist + 1) % CONFIG.labels.artists)
    assert not torch.equal(model(codes, above, other), whole)
    assert not torch.equal(model(codes, (above + 1) % CONFIG.codes_above, conditions), whole)
    with pytest.raises(AssertionError, match=f"expected a whole context, {FRAMES}"):
        model(codes[:, :20], above[:, :5], conditions)


def test_configurations_that_cannot_see_all_are_refused():
    for layers in (("row",), ("row", "previous_row"), ("column", "column")):
        with pytest.raises(ConfigError, match=r"layers is .* expected both of"):
            replace(CONFIG, transformer=replace(CONFIG.transformer, layers=layers))


def test_it_is_no_larger_than_the_autoregressive_one():
    masked, plain = MaskedUpsampler(small_masked(6)), Upsampler(small_upsampler(6))
    assert millions(masked) == pytest.approx(millions(plain), abs=0.001)


# ------------------------------------------------------------------ what is learnt


@settings(max_examples=25)
@given(count=st.integers(1, 300), passes=st.integers(1, 40))
def test_passes_draw_every_code_once_and_more_and_more_of_them(count, passes):
    counts = list(schedule(count, passes))
    assert sum(counts) == count
    assert len(counts) == min(passes, count)
    assert min(counts) >= 1
    left = count
    for number, drawn in enumerate(counts, start=1):
        left -= drawn
        assert left <= left_hidden(number / len(counts)) * count
        assert left >= min(left_hidden(number / len(counts)) * count - number, count - number)


def test_the_schedule_is_a_cosine():
    assert list(schedule(512, 4)) == [39, 111, 167, 195]
    assert list(schedule(512, 1)) == [512]


def test_places_are_hidden_at_the_rate_asked_for():
    shares = torch.tensor([0.0, 0.25, 0.99, 1.0])
    found = random_places(shares, 40, draw())
    assert found.sum(1).tolist() == [1, 10, 40, 40]
    assert not torch.equal(found, random_places(shares, 40, draw(1)))


def test_a_fresh_model_knows_nothing():
    model = build(scale=1.0)
    bits = masked_bits(model, codes_for(), above_for(), conditions_for(CONFIG), draw())
    assert bits.item() == pytest.approx(log2(CONFIG.codes), abs=0.1)


def test_music_in_passes_is_every_code_once():
    """In one pass it is all codes hidden; more passes see more of them."""
    model, codes = build(), codes_for()
    told, everything = told_by(model), places()
    once = bits_in_passes(model, codes, told, 1, draw())
    assert once.item() == pytest.approx(
        hidden_bits(model, codes, everything, everything, told).item()
    )
    assert bits_in_passes(model, codes, told, 5, draw()).item() != pytest.approx(once.item())


@pytest.mark.slow
def test_one_batch_is_learnt_by_heart():
    config = replace(CONFIG, transformer=replace(CONFIG.transformer, width=32))
    model = MaskedUpsampler(config)
    initialise(model, draw())
    conditions, codes, above = conditions_for(config), codes_for(config), above_for(config)
    optimiser, masks = torch.optim.Adam(model.parameters(), lr=1e-2), draw(1)
    for _ in range(150):
        loss = masked_bits(model, codes, above, conditions, masks)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    told = model.tell(above, conditions).detach()
    assert bits_in_passes(model, codes, told, 1, draw()).item() < 0.3
    filled = fill(model, codes, places(), told, numbers(4), temperature=0.1)
    assert (filled == codes).float().mean() > 0.95


# ------------------------------------------------------------------ what passes draw


class Watched(MaskedUpsampler):
    """Notes what it is shown."""

    shown: list

    def hidden(self, codes, told):
        self.shown.append(codes.clone())
        return super().hidden(codes, told)


def watched():
    model = Watched(CONFIG)
    model.load_state_dict(build().state_dict())
    model.shown = []
    return model.requires_grad_(False)


@pytest.mark.parametrize("passes", [1, 4, 8])
def test_passes_fill_what_the_schedule_says_and_given_codes_never_change(passes):
    model, codes = watched(), codes_for()
    wanted = places(0, 1, 2, 21, 22, 23)  # both neighbours of a gap
    filled = fill(model, codes, wanted, told_by(model), numbers(passes))
    assert torch.equal(filled[~wanted], codes[~wanted])
    assert (filled < model.mask).all()
    states = [*model.shown, filled]
    assert len(model.shown) == passes
    for before, after, count in zip(states, states[1:], schedule(18, passes), strict=False):
        assert ((before == model.mask).sum(1) - (after == model.mask).sum(1)).tolist() == [
            count
        ] * 2
        known = before != model.mask
        assert torch.equal(before[known], after[known])
    assert torch.equal(states[0] == model.mask, wanted)


def test_what_is_wanted_is_not_looked_at():
    model, codes, wanted = build(), codes_for(), places(4, 5)
    told = told_by(model)
    filled = fill(model, codes, wanted, told, numbers(4))
    other = torch.where(wanted, (codes + 1) % CONFIG.codes, codes)
    assert torch.equal(fill(model, other, wanted, told, numbers(4)), filled)


def test_one_cold_pass_takes_the_likeliest_code_everywhere():
    model, codes, wanted = build(), codes_for(), places(4)
    told = told_by(model)
    filled = fill(model, codes, wanted, told, numbers(1), temperature=1e-4)
    shown = codes.masked_fill(wanted, model.mask)
    likeliest = model.to_logits(model.hidden(shown, told), told).argmax(-1)
    assert torch.equal(filled[wanted], likeliest[wanted])


def test_one_pass_draws_every_code_by_itself():
    """Frequencies over many rows are the probabilities of each place, and places independent."""
    model, rows = build(scale=5.0), 500
    told = told_by(model, 1).expand(rows, -1, -1)
    codes = torch.full((rows, FRAMES), model.mask)
    filled = fill(model, codes, places(batch=rows), told, numbers(1, rows))
    likely = model.to_logits(model.hidden(codes[:1], told[:1]), told[:1]).softmax(-1)[0]
    found = torch.nn.functional.one_hot(filled, CONFIG.codes).float()
    torch.testing.assert_close(found.mean(0), likely, atol=0.1, rtol=0)
    together = found[:, 3].T @ found[:, 4] / rows
    torch.testing.assert_close(together, likely[3, :, None] * likely[4], atol=0.05, rtol=0)


def test_the_last_pass_keeps_all_and_the_first_the_surest():
    """Without noise what is drawn first is what is most probable."""
    model, codes = watched(), codes_for(batch=1)
    told, wanted = told_by(model, 1), places(batch=1)
    steady = numbers(3, 1)
    steady[:, :, 1] = 0.5  # the same noise at all places
    fill(model, codes, wanted, told, steady, temperature=1e-4)
    logits = model.to_logits(model.hidden(model.shown[0], told), told)[0]
    surest = logits.log_softmax(-1).amax(-1)
    first = model.shown[1][0] != model.mask
    assert surest[first].min() >= surest[~first].max()


def test_noise_of_any_number_is_finite():
    assert gumbel(torch.tensor([0.0, 0.5, 1 - 2**-24])).isfinite().all()


# ------------------------------------------------------------------ windows


def uniforms(stepper, steps, songs=2):
    return torch.rand(songs, steps * stepper.numbers, generator=draw(5)).numpy()


def test_a_stepper_fills_from_the_known_codes_on():
    model = watched()
    stepper = MaskedStepper(model, 4)
    assert isinstance(stepper, WindowSampler)
    assert not isinstance(stepper, Stepper)

    def play():
        state = model.begin(above_for(), conditions_for(CONFIG))
        stepper.read(codes_for()[:, :6].numpy(), state)
        return stepper.sample(state, uniforms(stepper, 10)), state

    drawn, state = play()
    assert drawn.shape == (2, 10)
    assert torch.equal(state.known[:, :6], codes_for()[:, :6])
    assert np.array_equal(state.known[:, 6:].numpy(), drawn)
    assert np.array_equal(play()[0], drawn)
    # The codes behind, which another window draws, are hidden throughout.
    assert all((shown[:, 16:] == model.mask).all() for shown in model.shown)
    stepper.sample(state, uniforms(stepper, 8))
    assert state.known.shape == (2, FRAMES)
    with pytest.raises(AssertionError, match="24 \\+ 1 codes in a context of 24"):
        stepper.sample(state, uniforms(stepper, 1))


def test_a_piece_shorter_than_a_context_is_filled():
    model = build()
    state = model.begin(above_for()[:, :2], conditions_for(CONFIG))
    stepper = MaskedStepper(model, 4)
    assert stepper.sample(state, uniforms(stepper, 8)).shape == (2, 8)
    with pytest.raises(ConfigError, match="passes is 0; expected at least 1"):
        MaskedStepper(model, 0)
