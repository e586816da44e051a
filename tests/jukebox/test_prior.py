"""Priors: steps and parts equal the whole, who hears what, published sizes, a batch by heart."""

from dataclasses import replace
from itertools import pairwise
from math import log2

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.config import from_json, to_json
from ritornello.errors import CapabilityError, ConfigError
from ritornello.jukebox.conditions import NOTHING, without_labels
from ritornello.jukebox.prior import (
    EncoderPrior,
    Predicted,
    bits_per_token,
    build_prior,
    initialise,
    prior_losses,
)
from ritornello.jukebox.prior_config import PriorConfig, RecallConfig
from ritornello.jukebox.prior_presets import (
    PRIORS,
    nano,
    nano_encoder,
    nano_merged,
    paper_1b_lyrics,
    paper_5b_lyrics,
)
from tests.jukebox.conditions import conditions_for, draw, integers

NANOS = {"plain": nano, "encoder": nano_encoder, "merged": nano_merged}


def build(config, scale=20.0):
    """A prior in float64 whose weights are large enough to be heard."""
    model = build_prior(config)
    initialise(model, draw())
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(scale)
            if not weight.any():  # what begins as nothing shall say something too
                weight.normal_(std=0.3, generator=draw(1))
    return model.double()


def codes_for(config, batch=2, seed=3):
    return integers(config.codes, batch, config.frames, seed=seed)


def in_parts(model, codes, state, cuts):
    edges = [0, *sorted(cuts), codes.shape[1]]
    return torch.cat([model.read(codes[:, a:b], state) for a, b in pairwise(edges)], dim=1)


@pytest.mark.parametrize("kind", NANOS)
def test_steps_equal_the_whole(kind):
    config = NANOS[kind]()
    model, told, codes = build(config), conditions_for(config), codes_for(config)
    state, made = model.begin(told), []
    for frame in range(codes.shape[1]):
        made.append(model.step(state))
        model.tell(codes[:, frame], state)
    torch.testing.assert_close(torch.stack(made, dim=1), model(codes, told).codes.detach())


@pytest.mark.parametrize("kind", NANOS)
@settings(max_examples=4)
@given(cuts=st.sets(st.integers(1, 23), min_size=1, max_size=4))
def test_parts_equal_the_whole(kind, cuts):
    config = NANOS[kind]()
    model, told, codes = build(config), conditions_for(config), codes_for(config)
    found = in_parts(model, codes, model.begin(told), {c for c in cuts if c < config.frames})
    torch.testing.assert_close(found, model(codes, told).codes.detach())


def test_untied_models_step_like_the_whole_too():
    config = nano()
    config = replace(config, transformer=replace(config.transformer, is_tied=False))
    model, told, codes = build(config), conditions_for(config), codes_for(config)
    found = in_parts(model, codes, model.begin(told), {5, 6, 20})
    torch.testing.assert_close(found, model(codes, told).codes.detach())


@pytest.mark.parametrize("kind", NANOS)
def test_no_code_hears_itself_or_the_future(kind):
    config = NANOS[kind]()
    model, told, codes = build(config), conditions_for(config, 1), codes_for(config, 1)
    whole = model(codes, told).codes
    for place in (0, 7, config.frames - 1):
        changed = codes.clone()
        changed[0, place] = (changed[0, place] + 1) % config.codes
        moved = (model(changed, told).codes - whole).abs().sum(-1)[0].nonzero().flatten().tolist()
        assert moved == list(range(place + 1, config.frames))


@pytest.mark.parametrize("kind", NANOS)
def test_every_condition_is_heard(kind):
    config = NANOS[kind]()
    model, told, codes = build(config), conditions_for(config), codes_for(config)
    whole = model(codes, told).codes
    others = [without_labels(told), replace(told, start_s=told.start_s + 4.0)]
    others.append(replace(told, total_s=told.total_s + 9.0))
    if told.lyrics is not None:
        others.append(replace(told, lyrics=(told.lyrics + 1) % config.lyrics.symbols))
    for other in others:
        assert not torch.allclose(model(codes, other).codes, whole)


@pytest.mark.parametrize("kind", NANOS)
def test_a_recall_is_heard_where_it_is_and_later_and_none_is_nothing(kind):
    config = replace(NANOS[kind](), recall=RecallConfig())
    model, codes = build(config), codes_for(config)
    told = conditions_for(config)
    nothing = torch.full_like(codes, NOTHING)
    whole = model(codes, told).codes
    assert torch.equal(model(codes, replace(told, recalled=nothing)).codes, whole)
    reminded = nothing.clone()
    reminded[:, 9] = 3
    moved = (model(codes, replace(told, recalled=reminded)).codes - whole).abs().sum((0, 2))
    assert not moved[:9].any()
    assert moved[9:].all()


def test_labels_that_are_held_are_heard_at_once_everywhere():
    plain = replace(nano(), timing=None)
    held = replace(plain, labels=replace(plain.labels, held=True))
    told = conditions_for(held)
    model = build(held)
    expected = model.labels(told)[:, None].expand(-1, held.frames, -1)
    torch.testing.assert_close(model.per_frame(told, held.frames), expected)
    assert build(plain).per_frame(told, plain.frames) is None


@pytest.mark.parametrize("make", [nano_encoder, nano_merged])
def test_lyrics_are_predicted_from_earlier_lyrics_alone(make):
    config = make()
    model, told, codes = build(config), conditions_for(config, 1), codes_for(config, 1)
    whole = model(codes, told).lyrics
    assert torch.equal(model(codes.flip(1), told).lyrics, whole)
    lyrics = told.lyrics.clone()
    lyrics[0, 3] = (lyrics[0, 3] + 1) % config.lyrics.symbols
    moved = (model(codes, replace(told, lyrics=lyrics)).lyrics - whole).abs().sum(-1)[0]
    assert moved.nonzero().flatten().tolist() == list(range(4, config.lyrics.tokens))


@pytest.mark.parametrize("make", [nano_encoder, nano_merged])
def test_weights_on_lyrics(make):
    config = make()
    model, told, codes = build(config), conditions_for(config), codes_for(config)
    name = "encoder" if make is nano_encoder else "lyrics"
    layer = config.transformer.layers.index(name)
    weights = model.lyric_weights(codes, told, layer)
    assert weights.shape == (2, 2, config.frames, config.lyrics.tokens)
    sums = weights.sum(-1)
    if make is nano_encoder:
        torch.testing.assert_close(sums, torch.ones_like(sums))
    else:
        assert (sums > 0).all()
        assert (sums < 1).all()


def test_a_prior_without_lyrics_has_no_alignment():
    model = build(nano())
    with pytest.raises(CapabilityError, match="without lyrics"):
        model.lyric_weights(codes_for(nano()), conditions_for(nano()), 0)
    with pytest.raises(AssertionError, match="need lyrics"):
        build(nano_merged()).begin(conditions_for(nano()))


def test_lyrics_begin_as_nothing_in_a_prior_that_is_taught_them():
    config = nano_encoder()
    model = build_prior(config)
    initialise(model, draw())
    told, codes = conditions_for(config), codes_for(config)
    other = replace(told, lyrics=(told.lyrics + 1) % config.lyrics.symbols)
    assert isinstance(model, EncoderPrior)
    assert torch.equal(model(codes, told).codes, model(codes, other).codes)


@pytest.mark.parametrize("kind", NANOS)
def test_who_has_learnt_nothing_needs_all_bits(kind):
    config = NANOS[kind]()
    model = build_prior(config)
    initialise(model, draw())
    told, codes = conditions_for(config), codes_for(config)
    losses = prior_losses(model(codes, told), codes, told, 0.4)
    assert losses["bits"].item() == pytest.approx(log2(config.codes), abs=0.2)


def test_losses_weigh_lyrics_by_number_and_less():
    codes, told = codes_for(nano_merged()), conditions_for(nano_merged())
    logits = torch.randn(2, 24, 16, generator=draw()), torch.randn(2, 6, 10, generator=draw())
    losses = prior_losses(Predicted(codes=logits[0], lyrics=logits[1]), codes, told, 0.4)
    lyric_bits = bits_per_token(logits[1], told.lyrics)
    expected = (0.4 * 6 * lyric_bits + 24 * bits_per_token(logits[0], codes)) / 30
    torch.testing.assert_close(losses["loss"], expected)
    uniform = bits_per_token(torch.zeros(2, 24, 16), codes)
    torch.testing.assert_close(uniform, torch.tensor(4.0))


# ------------------------------------------------------------------ published


def millions(*modules):
    return sum(p.numel() for module in modules for p in module.parameters()) / 1e6


def on_meta(name):
    with torch.device("meta"):
        return build_prior(PRIORS[name]())


@pytest.mark.parametrize(
    ("name", "count", "within"),
    [
        ("paper_5b", 5040, 5),
        ("paper_5b_lyrics", 5520, 5),
        ("paper_1b_lyrics", 925, 0.5),
        ("paper_small", 162, 0.5),
    ],
)
def test_parameters_of_the_published_sizes(name, count, within):
    assert millions(on_meta(name).transformer) == pytest.approx(count, abs=within)


def test_parameters_of_the_published_lyric_encoder():
    assert millions(on_meta("paper_5b_lyrics").lyric_encoder.transformer) == pytest.approx(
        89, abs=0.5
    )


def test_the_published_contexts_and_orders():
    lyrics = paper_5b_lyrics()
    assert lyrics.context_s == pytest.approx(23.8, abs=0.05)
    layers = lyrics.transformer.layers
    assert [i for i, name in enumerate(layers) if name == "encoder"] == [
        18, 28, 38, 48, 58, 68, 78,
    ]  # fmt: skip
    merged = paper_1b_lyrics()
    special = {i: n for i, n in enumerate(merged.transformer.layers) if n in ("dense", "lyrics")}
    assert special == {15: "lyrics", 31: "lyrics", 47: "dense", 63: "lyrics"}
    assert (merged.frames, merged.lyrics_seen) == (6144, 448)
    assert merged.context_s == pytest.approx(17.8, abs=0.05)


@pytest.mark.parametrize(("name", "count"), [("small", 2.8), ("small_lyrics", 2.9)])
def test_the_small_models_are_small(name, count):
    assert millions(on_meta(name).transformer) == pytest.approx(count, abs=0.1)


def test_configurations_that_contradict_themselves_are_refused():
    plain, sings = nano(), nano_encoder()
    with pytest.raises(ConfigError, match="encoder"):
        replace(plain, transformer=sings.transformer)
    with pytest.raises(ConfigError, match="encoder"):
        replace(plain, lyrics=sings.lyrics)
    with pytest.raises(ConfigError, match="one of"):
        replace(plain.transformer, layers=("row", "diagonal"))
    with pytest.raises(ConfigError, match="multiple of 3 heads"):
        replace(plain.transformer, heads=3)
    with pytest.raises(ConfigError, match="tokens is 9"):
        replace(sings.lyrics, tokens=9)


@pytest.mark.parametrize("name", PRIORS)
def test_configurations_survive_being_written(name):
    config = PRIORS[name]()
    assert from_json(PriorConfig, to_json(config)) == config


@pytest.mark.slow
@pytest.mark.parametrize("kind", NANOS)
def test_one_batch_is_learnt_by_heart(kind):
    config = NANOS[kind]()
    config = replace(config, transformer=replace(config.transformer, width=32))
    model = build_prior(config)
    initialise(model, draw())
    told, codes = conditions_for(config), codes_for(config)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(120):
        losses = prior_losses(model(codes, told), codes, told, 0.4)
        optimiser.zero_grad()
        losses["loss"].backward()
        optimiser.step()
    # log2 16 = 4 bits to begin with
    assert losses["bits"].item() < 0.3
