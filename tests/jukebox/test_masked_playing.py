"""Pieces whose lower levels are filled in passes: what decides them, what is refused, training."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ritornello.config import from_dict, from_json, to_dict, to_json
from ritornello.data.corpus import Corpus
from ritornello.errors import CapabilityError, CheckpointError, ConfigError
from ritornello.interfaces import Request
from ritornello.jukebox import masked, presets
from ritornello.jukebox.components import load_masked
from ritornello.jukebox.config import JukeboxConfig
from ritornello.jukebox.generate import Jukebox, Options
from ritornello.jukebox.prior_presets import nano_masked
from ritornello.jukebox.recordings import CodeCorpus
from ritornello.jukebox.saved import read_take
from ritornello.jukebox.train_masked import MaskedStage
from ritornello.training.options import TrainOptions
from tests.jukebox.conftest import STEPS, run_briefly
from tests.jukebox.players import drawn_jukebox, joined, loud, tiny_config, tone

SECONDS = 0.06
IN_PASSES = Options(passes=4)


def masked_config(config):
    one = config.upsamplers[0]
    below = replace(nano_masked(), codes=one.codes, codes_above=one.codes_above)
    return replace(config, masked=(below,) * len(config.upsamplers))


@pytest.fixture(scope="module")
def model():
    """Three levels, with upsamplers of both kinds."""
    config, draw = masked_config(tiny_config(levels=3)), torch.Generator().manual_seed(5)
    plain, below = drawn_jukebox(config), {}
    for level, one in enumerate(config.masked):
        below[level] = masked.MaskedUpsampler(one)
        masked.initialise(below[level], draw)
        loud(below[level])
    return Jukebox(config, plain.vqvaes, plain.prior, plain.upsamplers, below)


def codes_of(model, options=IN_PASSES, request=None, **asked):
    piece = model.piece(request or Request(**{"seconds": SECONDS, **asked}), options)
    return torch.cat(list(model.codes(piece)), 1)


def test_a_piece_is_its_stream_and_the_seed_decides(model):
    piece = model.generate(Request(seconds=SECONDS, seed=3), IN_PASSES)
    assert piece.samples.shape == (1, 480)
    assert piece.meta["kernel"].endswith("masked")
    blocks = list(model.stream(Request(seconds=SECONDS, seed=3), IN_PASSES))
    assert np.array_equal(joined(blocks), piece.samples)
    made = codes_of(model, seed=3)
    assert made.shape == (1, 64)
    assert ((made >= 0) & (made < model.config.masked[0].codes)).all()
    assert torch.equal(codes_of(model, seed=3), made)
    assert not torch.equal(codes_of(model, seed=4), made)


def test_passes_and_kind_decide_what_is_below_the_top_alone(model):
    top = codes_of(model, Options(level=2))
    assert torch.equal(codes_of(model, Options(level=2, passes=4)), top)
    made = [codes_of(model, Options(passes=passes)) for passes in (None, 4, 5)]
    assert not torch.equal(made[0], made[1])
    assert not torch.equal(made[1], made[2])


def test_a_longer_piece_begins_as_a_shorter_one(model):
    told = Options(passes=4, level=1, song_s=10.0)
    short, long = (codes_of(model, told, seconds=seconds) for seconds in (0.192, 0.384))
    assert torch.equal(long[:, : short.shape[1]], short)


def test_a_recording_is_gone_on_with(model):
    request = Request(seconds=SECONDS, prompt=tone())
    known = model.piece(request, IN_PASSES).beginning.at(0)
    made = codes_of(model, request=request)
    assert torch.equal(made[:, : known.shape[1]], known)
    assert made.shape[1] > known.shape[1]


def test_a_take_is_gone_on_with_where_it_stopped(model, tmp_path):
    whole, saving = codes_of(model), replace(IN_PASSES, save=str(tmp_path / "take"))
    next(model.codes(model.piece(Request(seconds=SECONDS), saving)))
    assert torch.equal(codes_of(model, saving), whole)
    assert torch.equal(
        read_take(tmp_path / "take", model.codebook_sizes, model.codebooks)[0], whole
    )
    with pytest.raises(ConfigError, match="holds a take with options"):
        codes_of(model, replace(saving, passes=5))


def test_models_without_are_told_so(model):
    plain = drawn_jukebox(levels=3)
    with pytest.raises(CapabilityError, match="no masked upsampler of level 1, so it cannot fill"):
        plain.stream(Request(seconds=SECONDS), IN_PASSES)
    only_middle = {1: model.masked[1]}
    half = Jukebox(model.config, model.vqvaes, model.prior, model.upsamplers, only_middle)
    assert half.piece(Request(seconds=SECONDS), IN_PASSES).level == 1
    with pytest.raises(ConfigError, match="trained down to level 1"):
        half.piece(Request(seconds=SECONDS), Options(passes=4, level=0))
    with pytest.raises(ConfigError, match="passes is 0; expected at least 1"):
        Options(passes=0)


def test_a_model_is_written_and_read_with_both_kinds(model, tmp_path):
    model.save(tmp_path / "model")
    again = Jukebox.load(tmp_path / "model")
    assert sorted(again.masked) == [0, 1]
    again.save(tmp_path / "again")
    twice = Jukebox.load(tmp_path / "again")
    assert again.digest == twice.digest
    assert torch.equal(codes_of(again, seed=2), codes_of(twice, seed=2))


def test_weights_of_another_configuration_are_refused(model, tmp_path):
    model.save(tmp_path / "model")
    assert load_masked(tmp_path / "model", 0, model.config).config == model.config.masked[0]
    with pytest.raises(CheckpointError, match="put together from different ones"):
        load_masked(tmp_path / "model", 0, replace(model.config, masked=()))


def test_configurations_with_and_without_are_read_back(model):
    mixed = replace(model.config, masked=(None, model.config.masked[1]))
    for config in (model.config, mixed, presets.masked(), presets.small()):
        assert from_json(JukeboxConfig, to_json(config)) == config
    older = to_dict(presets.small())
    del older["masked"]
    assert from_dict(JukeboxConfig, older) == presets.small()


def test_configurations_that_do_not_fit_are_refused(model):
    config = model.config
    one = config.masked[0]
    for wrong, match in [
        ((one,), "masked is 1; expected 0 or 2"),
        ((one, replace(one, codes=5)), "codes of masked 1 is"),
        (
            (replace(one, transformer=replace(one.transformer, blocks=8)), None),
            "context of masked 0 is 48; expected 24",
        ),
    ]:
        with pytest.raises(ConfigError, match=match):
            replace(config, masked=wrong)


@pytest.mark.slow
def test_they_are_trained_after_the_others_and_played(tmp_path, songs, monkeypatch):
    monkeypatch.setitem(presets.PRESETS, "masked", lambda: masked_config(presets.nano()))
    monkeypatch.setitem(STEPS, "masked0", 6)
    options = TrainOptions(data=(songs,), run=tmp_path / "run", preset="masked")
    result = run_briefly(options)
    assert list(result["figures"]) == list(STEPS)
    figures = result["figures"]["masked0"]
    for name in ("bits", "train_bits", "unlabelled_bits", "passes_bits"):
        assert 0 < figures[name] < 8
    trained = Jukebox.load(tmp_path / "run" / "model")
    assert codes_of(trained).shape[1] >= SECONDS * trained.sample_rate / trained.hop_samples(0)
    music = CodeCorpus(Corpus([]), trained.config, tmp_path / "run" / "model", tmp_path)
    begun = MaskedStage(trained.config, 0, music, start=tmp_path / "run" / "model")
    built = begun.build(torch.Generator())["masked0"].state_dict()
    assert all(
        torch.equal(built[name], value) for name, value in trained.masked[0].state_dict().items()
    )
