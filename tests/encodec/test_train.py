"""`train encodec` from a folder to a model, and every verb that a codec has."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from ritornello.audio.io import read_audio, write_audio
from ritornello.checkpoint import (
    find_model,
    read_json,
    saved_config,
    verify,
    write_checksums,
    write_json,
)
from ritornello.cli.main import main
from ritornello.encodec.config import EncodecSystemConfig
from ritornello.encodec.generate import Encodec
from ritornello.encodec.presets import nano
from ritornello.encodec.train import run_training
from ritornello.errors import CapabilityError, CheckpointError, ConfigError
from ritornello.interfaces import Audio, Request
from ritornello.training.options import TrainOptions
from tests.encodec.conftest import run_briefly
from tests.training.brief_runs import model_files, newest_state


@pytest.mark.slow
def test_the_run_ends_with_a_codec(trained):
    assert trained.result["finished"]
    assert json.loads(json.dumps(trained.result)) == trained.result
    model = find_model(trained.options.run)
    verify(model)
    assert saved_config(model, "encodec", EncodecSystemConfig) == nano()
    figures = trained.result["figures"]["encodec"]
    assert figures["convergence_db"] < -1
    card = (model / "README.md").read_text()
    assert "2 codes of 16 every 32 samples" in card
    assert "3 recordings" in card


@pytest.mark.slow
def test_stopped_and_resumed_equals_unbroken(tmp_path, trained):
    """Also where discriminators have joined."""
    options = replace(trained.options, run=tmp_path / "run")
    stopped = run_briefly(options, stop_in="encodec", at=30)
    assert (stopped["finished"], stopped["step"]) == (False, 30)
    settings = run_briefly(replace(options, preset=None))
    assert settings["finished"]
    assert model_files(tmp_path / "run/model") == model_files(trained.model)


@pytest.mark.slow
def test_from_goes_on_from_the_weights(tmp_path, trained):
    options = replace(
        trained.options, run=tmp_path / "run", preset=None, from_model=str(trained.options.run)
    )
    result = run_briefly(options)
    before = trained.result["figures"]["encodec"]["frequency"]
    assert result["figures"]["encodec"]["frequency"] < before
    assert "Started from the weights of `run`" in (tmp_path / "run/model/README.md").read_text()


def test_a_codec_is_all_there_is(tmp_path, codec_model):
    options = TrainOptions(data=(tmp_path,), run=tmp_path / "run", from_codec=str(codec_model))
    with pytest.raises(ConfigError, match="Use --from"):
        run_training(options)
    options = TrainOptions(
        data=(tmp_path,),
        run=tmp_path / "run",
        from_model=str(codec_model),
        overrides=("codec.codebooks=3",),
    )
    with pytest.raises(ConfigError, match=r"codec is .*another shape"):
        run_training(options)


@pytest.mark.slow
def test_a_plan_needs_no_recordings(tmp_path):
    options = TrainOptions(data=(tmp_path,), run=tmp_path / "run", preset="nano", plan_only=True)
    (plan,) = run_training(options)["plan"]
    assert plan["stage"] == "encodec"
    assert plan["parameters"] > 1000


@pytest.mark.slow
def test_training_states_hold_every_player(trained):
    names = newest_state(trained.run, "encodec")
    assert any("discriminators" in name for name in names)
    assert any("quantizer.is_begun" in name for name in names)
    assert all(torch.isfinite(value).all() for value in names.values() if value.is_floating_point())


# ------------------------------------------------------------------ the verbs


@pytest.fixture
def ritornello(capsys):
    def call(*words):
        code = main([*map(str, words), "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, err

    return call


def test_encode_then_decode_is_reconstruct(tmp_path, codec_model, ritornello):
    draw = np.random.default_rng(0)
    samples = 0.1 * draw.standard_normal((2, 2205)).astype(np.float32)
    write_audio(tmp_path / "in.wav", Audio(samples=samples, sample_rate=4410))
    codes, out, straight = (tmp_path / n for n in ("codes.safetensors", "out.wav", "straight.wav"))
    run = codec_model
    code, result, _ = ritornello("encode", run, tmp_path / "in.wav", "-o", codes)
    assert (code, result["shape"]) == (0, [1, 2, 25])
    assert ritornello("decode", codes, "-o", out)[0] == 0
    assert ritornello("reconstruct", run, tmp_path / "in.wav", "-o", straight)[0] == 0
    first, second = read_audio(out), read_audio(straight)
    assert first.samples.shape == second.samples.shape == (1, 800)
    np.testing.assert_allclose(first.samples, second.samples, atol=1e-4)


@pytest.mark.slow
def test_it_is_judged_on_recordings(codec_model, tones, ritornello):
    words = ("--reference", tones, "--clips", 3, "--seconds", "2s")
    code, result, _ = ritornello("evaluate", "codec", codec_model, *words)
    assert code == 0
    assert result["clips"] == 3
    assert "perplexity" in " ".join(result["figures"])


def test_music_is_refused_by_the_verbs_and_by_the_system(tmp_path, codec_model, ritornello):
    out = tmp_path / "a.wav"
    code, _, err = ritornello("generate", codec_model, "-o", out, "--seconds", 1)
    assert code == 1
    assert "makes no music by itself" in err
    assert not out.exists()
    system = Encodec.load(codec_model)
    for play in (system.generate, system.stream):
        with pytest.raises(CapabilityError, match="reconstruct, encode and decode"):
            play(Request())


def test_a_model_of_another_config_is_refused(tmp_path, codec_model):
    folder = tmp_path / "model"
    shutil.copytree(codec_model, folder)
    path = folder / "config.json"
    values = read_json(path)
    values["codec"]["steady_codebooks"] = 0
    write_json(path, values)
    write_checksums(folder)
    with pytest.raises(CheckpointError, match="another config"):
        Encodec.load(folder)
