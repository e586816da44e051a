"""`train stemgen` from a folder of stems to a model: whole, stopped, resumed, adapted."""

import json
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ritornello.checkpoint import (
    find_model,
    read_json,
    saved_config,
    verify,
    write_checksums,
    write_config,
)
from ritornello.config import from_dict, to_dict
from ritornello.data.stems import Song, Stem, StemCorpus
from ritornello.encodec.codec import load_codec, save_codec
from ritornello.encodec.presets import nano as nano_codec_system
from ritornello.encodec.presets import small_codec
from ritornello.errors import ConfigError, DataError
from ritornello.stemgen import train
from ritornello.stemgen.combiner import FREE, NO_STEM, UNHEARD, Conditions
from ritornello.stemgen.config import DropoutConfig, StemGenConfig
from ritornello.stemgen.live_pairs import LivePairs
from ritornello.stemgen.model import StemGenModel
from ritornello.stemgen.pairs import PairBatch
from ritornello.stemgen.presets import nano, small
from ritornello.stemgen.train import (
    RunPairs,
    chain,
    refuse_short,
    resolved_config,
    run_training,
    warn_of_deafness,
    with_codec,
    with_stems,
)
from ritornello.stemgen.train_transformer import TransformerStage, withheld
from ritornello.training.distributed import World
from ritornello.training.options import TrainOptions
from ritornello.training.run import RunFolder
from ritornello.training.step import new_state, take_step
from tests.training import brief_runs
from tests.training.brief_runs import Trained, model_files

STEPS = {"encodec": 4, "transformer": 4}
RATE = 1600

run_briefly = partial(brief_runs.run_briefly, train, steps=STEPS)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------ what is told


def test_what_is_told_is_withheld_in_the_shares_asked_for():
    count, draw = 4000, generator()
    told = Conditions(
        context=torch.zeros(count, 2, 3, dtype=torch.int64),
        category=torch.ones(count, dtype=torch.int64),
        activity=torch.ones(count, 3, dtype=torch.int64),
    )
    found = withheld(told, DropoutConfig(context=0.1, stem=0.2, all=0.3, activity=0.5), draw)
    unheard, nameless = found.context == UNHEARD, found.category == NO_STEM
    free = found.activity == FREE
    assert torch.equal(unheard.all(2).all(1), unheard.any(2).any(1))  # wholly, or not at all
    assert torch.equal(free.all(1), free.any(1))
    unheard, free = unheard[:, 0, 0], free[:, 0]
    both = unheard & nameless
    shares = [(unheard & ~both), (nameless & ~both), both, free, free & both]
    found_shares = [one.float().mean().item() for one in shares]
    assert found_shares == pytest.approx([0.1, 0.2, 0.3, 0.5, 0.15], abs=0.03)


def test_a_context_is_never_masked():
    told = Conditions(
        context=torch.randint(16, (8, 2, 5), generator=generator()),
        category=torch.arange(8),
        activity=torch.ones(8, 5, dtype=torch.int64),
    )
    found = withheld(told, DropoutConfig(context=0, stem=0, all=0, activity=0), generator())
    for name in ("context", "category", "activity"):
        assert torch.equal(getattr(found, name), getattr(told, name))


# ------------------------------------------------------------------ listening


class Echoes:
    """Stems that say the codes of their mix, moved on by 3."""

    def __init__(self):
        self.dropped = Counter()

    def fill(self, progress=None):
        """Nothing to do."""

    def draw(self, draw, count, frames, split="train"):
        """Random mixes."""
        context = torch.randint(16, (count, 2, frames), generator=draw)
        return PairBatch(
            context=context,
            target=(context + 3) % 16,
            category=torch.zeros(count, dtype=torch.int64),
            activity=torch.ones(count, frames, dtype=torch.int64),
        )


def test_who_listens_guesses_better_with_the_right_mix(tmp_path):
    config = replace(nano(), stems=("echo",), seconds=0.5)
    training = replace(
        config.training, batch=8, learning_rate=1e-2, warmup_steps=0, level_weights=(1.0, 0.0)
    )
    config = replace(config, training=training)
    stage = TransformerStage(config, Echoes(), tmp_path)
    stage.prepare()
    state = new_state(stage, 0, total_steps=100, precision="fp32", world=World())
    before = stage.evaluate(state)
    assert abs(before["listening0"]) < 0.05
    for _ in range(100):
        losses = take_step(stage, state, 0, stage.batch)
    assert set(losses) == {"loss", "accuracy", "norm"}
    figures = stage.evaluate(state)
    assert figures == stage.evaluate(state)  # the same places are masked
    assert figures["accuracy0_true"] > 0.9
    assert figures["accuracy0_shuffled"] < 0.2
    assert figures["listening0"] == pytest.approx(
        figures["accuracy0_true"] - figures["accuracy0_shuffled"]
    )
    assert figures["gained0_low"] > 0.5 > before["gained0_high"]
    assert figures["loss0"] < before["loss0"] - 1
    assert figures["loss"] == pytest.approx((figures["loss0"] + figures["loss1"]) / 2)


def test_deaf_models_are_named(caplog):
    heard = {"gained0": 0.1, "gained0_low": 0.02}
    warn_of_deafness(heard)
    warn_of_deafness({})
    assert not caplog.messages
    warn_of_deafness({"gained0": 0.1, "gained0_low": -0.02})
    assert "does not listen yet" in caplog.text


# ------------------------------------------------------------------ what is trained


def song(name, seconds, categories=("bass", "drums"), split="train"):
    stems = tuple(
        Stem(
            name=one,
            category=one,
            path=Path(f"{name}/{one}.wav"),
            samples=round(seconds * RATE),
            sample_rate=RATE,
            channels=1,
        )
        for one in categories
    )
    return Song(id=name, work=name, split=split, seconds=seconds, stems=stems)


def test_windows_longer_than_every_song_are_refused_by_name():
    corpus = StemCorpus([song("long", 0.8), song("held out", 9.0, split="valid")])
    with pytest.raises(DataError, match=r"1 s; the longest to train on: long \(0\.8 s\)"):
        refuse_short(corpus, nano())
    refuse_short(corpus, replace(nano(), seconds=0.75))


def test_rows_are_the_songs_categories_or_the_models_own():
    corpus = StemCorpus([song("one", 2.0, ("drums", "bass"))])
    assert with_stems(nano(), corpus).stems == ("bass", "drums")
    known = replace(nano(), stems=("drums", "bass", "keys"))
    assert with_stems(known, corpus) == known
    with pytest.raises(ConfigError, match="drums"):
        with_stems(replace(nano(), stems=("bass", "keys")), corpus)


def test_a_codec_of_other_levels_brings_its_levels_along():
    config = with_codec(nano(), small_codec())
    assert config.decoding.steps == (4, 2, 2, 2)
    assert config.training.level_weights == (0.6, 0.4, 0.4, 0.4)
    assert with_codec(config, nano().codec) == nano()


def test_a_plan_needs_no_songs(tmp_path):
    options = TrainOptions(data=(tmp_path,), run=tmp_path / "run", preset="nano")
    stages = chain(options, nano(), StemCorpus([]), RunFolder(options.run), None)
    assert [stage.name for stage in stages] == list(STEPS)
    for stage in stages:
        stage.build(generator())
        stage.example(generator())


def test_pairs_may_be_made_as_they_are_drawn(tmp_path):
    config = replace(nano(), stems=("bass", "drums"))
    config = replace(config, training=replace(config.training, submixes=0))
    codec = StemGenModel.untrained(config, generator()).codec
    pairs = RunPairs(config, StemCorpus([song("one", 2.0)]), tmp_path, tmp_path)
    assert isinstance(pairs._opened(codec), LivePairs)


def test_folders_without_stems_are_refused(tmp_path):
    soundfile.write(tmp_path / "one.wav", np.full(RATE, 0.1), RATE)
    options = TrainOptions(data=(tmp_path,), run=tmp_path / "run", preset="nano")
    with pytest.raises(DataError, match="there is no multitrack song"):
        run_training(options)
    assert not (options.run / "config.json").exists()


# ------------------------------------------------------------------ the whole chain


def write_stems(folder, names, seconds=3.0):
    """Songs of three steady tones in whole-number ratios, gated together."""
    for seed, name in enumerate(names):
        place = folder / name
        place.mkdir(parents=True)
        time = np.arange(round(seconds * RATE)) / RATE
        hz = np.random.default_rng(seed).uniform(60, 120)
        gate = 0.6 + 0.4 * np.sign(np.sin(4 * np.pi * time))
        for number, stem in enumerate(("bass", "chords", "melody"), start=1):
            wave = 0.2 * gate * np.sin(2 * np.pi * hz * (2 * number - 1) * time)
            soundfile.write(place / f"{stem}.wav", wave, RATE)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The nano preset after a few steps of both stages, on four songs."""
    songs = write_stems(tmp_path_factory.mktemp("songs"), ("one", "two", "three", "four"))
    run = tmp_path_factory.mktemp("stemgen") / "run"
    options = TrainOptions(data=(songs,), run=run, preset="nano")
    return Trained(options=options, result=run_briefly(options))


@pytest.mark.slow
def test_the_chain_ends_with_a_model_and_its_card(trained):
    assert trained.result["finished"]
    assert json.loads(json.dumps(trained.result)) == trained.result
    model = find_model(trained.options.run)
    verify(model)
    config = saved_config(model, "stemgen", StemGenConfig)
    assert replace(config, stems=()) == nano()
    assert config.stems == ("bass", "chords", "melody")
    assert StemGenModel.load(model).network.config == config
    figures = trained.result["figures"]
    assert list(figures) == list(STEPS)
    for level in (0, 1):
        for name in ("accuracy{}_true", "accuracy{}_shuffled"):
            assert 0 <= figures["transformer"][name.format(level)] <= 1
    card = (model / "README.md").read_text()
    assert "answers with one of: bass, chords, melody" in card
    assert "4 songs, 12s; 1 songs (3s) of other works were held out" in card
    heard = {path.stem for path in trained.run.stage("transformer").samples.rglob("*.flac")}
    for name in ("mix", "stem_real", "stem_made", "both_real", "both_made"):
        assert any(name in one for one in heard)


@pytest.mark.slow
def test_stopped_in_every_stage_and_resumed_equals_unbroken(trained, tmp_path):
    options = replace(trained.options, run=tmp_path / "broken")
    for stage in STEPS:
        result = run_briefly(options, stop_in=stage, at=3)
        assert (result["finished"], result["stage"], result["step"]) == (False, stage, 3)
    finished = run_briefly(options)
    assert finished["figures"] == trained.result["figures"]
    assert model_files(options.run / "model") == model_files(trained.model)


@pytest.mark.slow
def test_the_codec_is_taken_over_from_either_system(trained, tmp_path):
    alone = tmp_path / "codec"
    system = nano_codec_system()
    write_config(alone, "encodec", to_dict(system))
    save_codec(load_codec(trained.model), alone)
    write_checksums(alone)
    before = model_files(trained.model)
    for number, model in enumerate((trained.model, alone)):
        run = tmp_path / f"run{number}"
        options = replace(trained.options, run=run, from_codec=str(model))
        result = run_briefly(options)
        assert list(result["figures"]) == ["transformer"]
        # The same codec gives the same tokens, so that the same seed gives the same weights.
        assert model_files(run / "model") == before
        assert f"The codec is that of `{model.name}`" in (run / "model" / "README.md").read_text()
        with pytest.raises(ConfigError, match="has taken encodec over"):
            run_training(replace(options, from_codec=None))


@pytest.mark.slow
def test_a_model_goes_on_learning_from_its_weights(trained, tmp_path):
    options = replace(trained.options, preset=None, from_model=str(trained.model))
    result = run_briefly(replace(options, run=tmp_path / "again"))
    assert list(result["figures"]) == ["transformer"]
    before, after = model_files(trained.model), model_files(tmp_path / "again" / "model")
    assert after["encodec/model.safetensors"] == before["encodec/model.safetensors"]
    assert after["transformer/model.safetensors"] != before["transformer/model.safetensors"]
    thawed = replace(options, unfreeze_codec=True)
    config = saved_config(trained.model, "stemgen", StemGenConfig)
    for asked, names in ((options, ["transformer"]), (thawed, list(STEPS))):
        stages = chain(asked, config, StemCorpus([]), trained.run, trained.model)
        assert [stage.name for stage in stages] == names
        assert all(stage.start == trained.model for stage in stages)


@pytest.mark.slow
def test_what_does_not_fit_the_run_or_the_model_is_refused(trained, tmp_path):
    base = replace(trained.options, run=tmp_path / "refused", preset=None)
    model = str(trained.model)
    with pytest.raises(ConfigError, match="stemgen has no preset 'release'"):
        run_training(replace(base, preset="release"))
    with pytest.raises(ConfigError, match=r"codec is .*cannot be taken over"):
        run_training(replace(base, from_codec=model, overrides=("codec.filters=8",)))
    with pytest.raises(ConfigError, match=r"transformer is .*cannot be taken over"):
        run_training(replace(base, from_model=model, overrides=("transformer.layers=3",)))
    with pytest.raises(ConfigError, match="trains its own encodec"):
        run_training(replace(trained.options, from_codec=model))
    with pytest.raises(ConfigError, match="train encodec first"):
        run_training(replace(base, preset="nano", stage="transformer"))
    known = read_json(trained.options.run / "config.json")
    resumed = resolved_config(replace(trained.options, preset=None), known, None)
    assert resumed == from_dict(StemGenConfig, known["config"])
    assert resumed.stems == ("bass", "chords", "melody")
    assert resolved_config(replace(base, from_codec=model, preset="small"), None, trained.model)
    assert small().codec != nano().codec
