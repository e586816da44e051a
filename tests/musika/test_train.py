"""`train musika` from folders of audio to a model that plays: whole, stopped, resumed, adapted."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from ritornello.checkpoint import (
    find_model,
    load_component,
    saved_config,
    verify,
)
from ritornello.errors import CheckpointError, ConfigError, DataError
from ritornello.interfaces import Request
from ritornello.musika import train_gan
from ritornello.musika.config import MusikaConfig
from ritornello.musika.generate import Musika
from ritornello.musika.presets import nano
from ritornello.musika.train import run_training
from ritornello.musika.train_gan import UNFITTED
from ritornello.training.options import TrainOptions
from tests.musika.conftest import STEPS, run_briefly
from tests.musika.plucks import plucks, swell, write
from tests.training.brief_runs import model_files, newest_state

CODEC = ("level1/model.safetensors", "level2/model.safetensors")


@pytest.fixture(scope="module")
def other_music(tmp_path_factory):
    """Another user's recordings."""
    folder = tmp_path_factory.mktemp("other") / "others"
    return write(folder, {f"take {seed}": plucks(2.5, seed) for seed in (7, 8)})


# ---- the whole chain


def test_the_chain_ends_with_a_model_that_plays(trained):
    result = trained.result
    assert result["finished"]
    assert (result["stage"], result["step"]) == ("gan", STEPS["gan"])
    assert json.loads(json.dumps(result)) == result
    model = find_model(trained.options.run)
    assert str(model) == result["model"]
    verify(model)
    system = Musika.load(model)
    audio = system.generate(Request(seconds=1.3, seed=3, controls={"density": ((0.0, 0.7),)}))
    assert audio.samples.shape == (2, round(1.3 * 22050))
    assert np.isfinite(audio.samples).all()
    assert audio.samples.any()
    assert saved_config(model, "musika", MusikaConfig) == nano()


def test_every_stage_leaves_its_traces(trained):
    for stage, steps in STEPS.items():
        folder = trained.run.stage(stage)
        assert folder.finished_step() == steps
        assert folder.curves.is_file()
        assert list(folder.samples.glob(f"step-{steps:09d}*.flac"))
        assert trained.result["figures"][stage] == folder.figures()
    metrics = json.loads((trained.model / "metrics.json").read_text())
    assert metrics.keys() == STEPS.keys()


def test_encoders_are_frozen_once_level2_is_trained(trained):
    """Sharpening wrote both levels anew; latents still mean what they meant."""
    states = {stage: newest_state(trained.run, stage) for stage in ("level1", "level2")}
    for stage, state in states.items():
        _, kept = load_component(trained.model, stage)
        encoders = [name for name in kept if name.startswith("encoder.")]
        decoders = [name for name in kept if name.startswith("decoder.")]
        averaged = {name: state[f"averaged/{name.replace('.', '/', 1)}"] for name in kept}
        assert encoders
        assert all(torch.equal(kept[n], averaged[n].half().float()) for n in encoders)
        assert any(not torch.equal(kept[n], averaged[n].half().float()) for n in decoders)


def test_the_same_command_again_finds_it_finished(trained):
    before = model_files(trained.model)
    again = run_briefly(trained.options)
    assert again["finished"]
    assert again["figures"] == trained.result["figures"]
    assert model_files(trained.model) == before
    without_preset = replace(trained.options, preset=None)
    assert run_briefly(without_preset)["figures"] == trained.result["figures"]


@pytest.mark.slow
def test_stopped_in_every_stage_and_resumed_equals_unbroken(trained, tmp_path):
    options = replace(trained.options, run=tmp_path / "broken", cache=trained.run.cache)
    for stage in STEPS:
        result = run_briefly(options, stop_in=stage, at=3)
        assert not result["finished"]
        assert (result["stage"], result["step"]) == (stage, 3)
    finished = run_briefly(options)
    assert finished["figures"] == trained.result["figures"]
    assert model_files(tmp_path / "broken" / "model") == model_files(trained.model)
    broken = replace(trained, options=options).run
    for stage in STEPS:
        mine, whole = newest_state(broken, stage), newest_state(trained.run, stage)
        assert mine.keys() == whole.keys()
        assert all(torch.equal(tensor, whole[name]) for name, tensor in mine.items())


def test_one_stage_after_the_other_by_name(trained, tmp_path):
    options = replace(trained.options, run=tmp_path / "staged", cache=trained.run.cache)
    with pytest.raises(CheckpointError, match="no component 'level1'"):
        run_briefly(replace(options, stage="level2"))
    result = run_briefly(replace(options, stage="level1"))
    assert (result["finished"], result["stage"]) == (True, "level1")
    assert run_briefly(replace(options, stage="level2"))["stage"] == "level2"
    model = tmp_path / "staged" / "model"
    states = newest_state(replace(trained, options=options).run, "level2")
    whole = newest_state(trained.run, "level2")
    assert all(torch.equal(tensor, whole[name]) for name, tensor in states.items())
    assert not (model / "generator").exists()


def test_a_plan_writes_nothing(trained, tmp_path):
    options = TrainOptions(
        data=trained.options.data,
        run=tmp_path / "run",
        preset="nano",
        plan_only=True,
        stage="gan",
        time_limit_s=60.0,
    )
    threads = torch.get_num_threads()
    (row,) = run_training(options)["plan"]
    assert row["stage"] == "gan"
    assert row["seconds_per_step"] > 0
    assert row["parameters"] > 1000
    assert row["ends_s"] == 60.0
    assert list(tmp_path.iterdir()) == []
    assert torch.get_num_threads() == threads


# ---- starting from a model


@pytest.fixture(scope="module")
def adapted(trained, other_music, tmp_path_factory):
    """The trained model, taken to other music with its codec as it is."""
    options = TrainOptions(
        data=(other_music,),
        run=tmp_path_factory.mktemp("runs") / "adapted",
        from_model=str(trained.options.run),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_gan, "CRITIC_LEAD_STEPS", 1)
        result = run_briefly(options, steps={"gan": 3})
    return options, result


def test_adapting_keeps_the_codec_and_moves_the_generator(trained, adapted):
    options, result = adapted
    assert result["finished"]
    assert result["figures"].keys() == {"gan"}
    mine, theirs = (model_files(folder) for folder in (options.run / "model", trained.model))
    assert all(mine[name] == theirs[name] for name in CODEC)
    (settings, generator), (their_settings, start) = (
        load_component(folder, "generator") for folder in (options.run / "model", trained.model)
    )
    assert settings["control_scales"] == their_settings["control_scales"]
    distance = max(float((generator[name] - start[name]).abs().max()) for name in start)
    assert 0 < distance < 0.01  # two steps away from where it began
    assert Musika.load(options.run / "model").generate(Request(seconds=0.5)).samples.any()


def test_an_adapted_run_is_resumed_as_it_was_begun(adapted):
    options, result = adapted
    again = run_briefly(options, steps={"gan": 3})
    assert again["figures"] == result["figures"]
    with pytest.raises(ConfigError, match="has taken its codec over"):
        run_briefly(replace(options, from_model=None))


def test_a_run_of_its_own_does_not_take_another_codec(trained):
    options = replace(trained.options, preset=None, from_model=str(trained.options.run))
    with pytest.raises(ConfigError, match="trains its own codec"):
        run_briefly(options)


@pytest.mark.slow
def test_unfreezing_sharpens_the_decoders_alone(trained, other_music, tmp_path):
    options = TrainOptions(
        data=(other_music,),
        run=tmp_path / "run",
        from_model=str(trained.options.run),
        unfreeze_codec=True,
    )
    result = run_briefly(options, steps={"sharpen": 3, "gan": 2})
    assert result["figures"].keys() == {"sharpen", "gan"}
    for level in ("level1", "level2"):
        _, mine = load_component(tmp_path / "run" / "model", level)
        _, theirs = load_component(trained.model, level)
        same = {name for name in mine if torch.equal(mine[name], theirs[name])}
        assert {name for name in mine if name.startswith("encoder.")} <= same
        assert not all(name in same for name in mine if name.startswith("decoder."))


def test_taking_the_codec_alone(trained, other_music, tmp_path):
    options = TrainOptions(
        data=(other_music,),
        run=tmp_path / "run",
        from_codec=str(trained.options.run),
        preset="nano",
        overrides=("gan.base_channels=8", "gan.controls=loudness"),
    )
    run_briefly(options, steps={"gan": 2})
    model = tmp_path / "run" / "model"
    mine, theirs = model_files(model), model_files(trained.model)
    assert all(mine[name] == theirs[name] for name in CODEC)
    system = Musika.load(model)
    assert list(system.control_scales) == ["loudness"]
    assert system.config.gan.base_channels == 8
    assert system.config.level1 == nano().level1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sample_rate=44100", "sample_rate is 44100, .* has 22050"),
        ("channels=1", "channels is 1, .* has 2"),
        ("level1.decoder_width=32", "level1 is .*decoder_width=32"),
        ("gan.base_channels=8", "generator is .*base_channels=8"),
        ("gan.controls=tempo", "gan.controls is .'tempo',.*"),
    ],
)
def test_weights_that_do_not_fit_are_refused_before_anything_is_written(
    trained, other_music, tmp_path, override, message
):
    options = TrainOptions(
        data=(other_music,),
        run=tmp_path / "run",
        from_model=str(trained.options.run),
        overrides=(override,),
    )
    with pytest.raises(ConfigError, match=message):
        run_training(options)
    assert not (tmp_path / "run").exists()


def test_a_preset_contradicts_a_model(trained, tmp_path):
    options = replace(trained.options, run=tmp_path / "run", from_model=str(trained.options.run))
    with pytest.raises(ConfigError, match="Leave --preset out"):
        run_training(options)


def test_unknown_stages_and_models_are_refused(trained, tmp_path):
    options = replace(trained.options, run=tmp_path / "run", cache=tmp_path / "cache")
    with pytest.raises(ConfigError, match="this run has level1, level2, sharpen, gan"):
        run_training(replace(options, stage="level3"))
    with pytest.raises(CheckpointError, match="No model 'nowhere'"):
        run_training(replace(options, preset=None, from_model="nowhere"))


# ---- music as people have it


def test_a_folder_without_music_names_the_files(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "letter.wav").write_text("I am a letter, not a wave.")
    options = TrainOptions(data=(folder,), run=tmp_path / "run", preset="nano")
    with pytest.raises(DataError, match=r"no usable recordings in .*data \(letter.wav: "):
        run_training(options)
    (folder / "letter.wav").unlink()
    with pytest.raises(DataError, match="no audio files"):
        run_training(options)


def test_recordings_too_short_for_the_gan_are_refused_at_once(tmp_path):
    folder = write(tmp_path / "data", {"hit": plucks(0.9, 1), "blip": plucks(0.5, 2)})
    options = TrainOptions(data=(folder,), run=tmp_path / "run", preset="nano")
    with pytest.raises(DataError, match=r"training window, 1.5 s; .* \(0\.\d s\)"):
        run_training(options)
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.slow
def test_a_single_drone_trains_too(tmp_path, caplog):
    folder = write(tmp_path / "data", {"drone": swell(2.0, 196.0)})
    options = TrainOptions(data=(folder,), run=tmp_path / "run", preset="nano")
    result = run_briefly(options, steps=dict.fromkeys(STEPS, 1))
    assert result["finished"]
    assert "no recording is held out" in caplog.text
    assert "asking for it will change nothing" in caplog.text
    system = Musika.load(tmp_path / "run" / "model")
    assert system.control_scales["density"] == UNFITTED
    asked = Request(seconds=0.5, controls={"density": ((0.0, 1.0),)})
    assert np.isfinite(system.generate(asked).samples).all()
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "nothing was held out" in card
    assert "density: without effect" in card
