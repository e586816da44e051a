"""Decoders that are trained on by themselves: what they learn, and what stays as it was."""

from dataclasses import replace

import pytest
import torch

from ritornello.checkpoint import read_tensors, whole_folder, write_checksums
from ritornello.data.corpus import Corpus, scan
from ritornello.errors import ConfigError
from ritornello.jukebox import train
from ritornello.jukebox.codec import save_vqvae
from ritornello.jukebox.config import StageConfig
from ritornello.jukebox.presets import nano
from ritornello.jukebox.train import chain, needed_by, run_training
from ritornello.jukebox.train_decoder import DecoderStage
from ritornello.training.options import TrainOptions
from ritornello.training.run import RunFolder
from ritornello.training.state import TrainState
from tests.jukebox.levels import drawn
from tests.training.brief_runs import run_briefly

LEARNING = StageConfig(batch=2, steps=12, learning_rate=3e-3, warmup_steps=2, ema=0.5)


def with_decoders():
    config = nano()
    training = replace(config.training, decoders=(LEARNING, LEARNING), decoder_log_magnitude=1.0)
    return replace(config, training=training)


@pytest.fixture(scope="module")
def corpus(songs, tmp_path_factory):
    return scan(songs, manifest=tmp_path_factory.mktemp("scanned") / "manifest.jsonl", workers=1)


def stage_of(folder, corpus):
    """A stage whose level 0 has drawn weights, and its state."""
    config = with_decoders()
    with whole_folder(folder) as new:
        save_vqvae(new, 0, drawn(config.vqvae.levels[0]))
        write_checksums(new)
    stage = DecoderStage(config, 0, corpus, folder)
    stage.prepare()
    modules = stage.build(torch.Generator().manual_seed(0))
    return stage, TrainState(modules, stage.optimizers(), total_steps=LEARNING.steps)


def steps(stage, state):
    """What every step told; all of them on the same excerpts."""
    batch, draw = stage.batch(torch.Generator().manual_seed(1)), torch.Generator().manual_seed(2)
    told = []
    while state.step < state.total_steps:
        told.append(stage.train_step(state, batch, draw))
        state.step += 1
    return told


def test_the_decoder_learns_and_nothing_else_moves(tmp_path, corpus):
    stage, state = stage_of(tmp_path / "model", corpus)
    before = {name: tensor.clone() for name, tensor in stage.frozen.state_dict().items()}
    told = steps(stage, state)
    assert told[-1]["log_magnitude"] < 0.8 * told[0]["log_magnitude"]
    assert set(told[0]) == {"squared", "largest", "spectral", "log_magnitude", "total", "norm"}
    after = stage.frozen.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    figures = stage.evaluate(state)
    assert {"convergence_db", "hiss_db", "hop_tones_db", "codes_used"} < set(figures)
    assert set(stage.samples(state)) == {"real", "decoded"}


def test_the_component_is_written_anew_with_the_same_codes(tmp_path, corpus):
    stage, state = stage_of(tmp_path / "model", corpus)
    before = read_tensors(tmp_path / "model" / "vqvae0" / "model.safetensors")
    steps(stage, state)
    with whole_folder(tmp_path / "anew") as new:
        stage.export(state, new)
    after = read_tensors(tmp_path / "anew" / "vqvae0" / "model.safetensors")
    assert set(after) == set(before)
    moved = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert moved
    assert all(name.startswith("decoder.") for name in moved)


def names_in_chain(options, config):
    run = RunFolder(options.run)
    start = None if options.from_codec is None else run.path.parent / options.from_codec
    return [stage.name for stage in chain(options, config, Corpus([]), run, start)]


def test_decoders_follow_their_autoencoders(tmp_path):
    options = TrainOptions(data=(), run=tmp_path / "run")
    assert names_in_chain(options, with_decoders()) == [
        "vqvae0",
        "decoder0",
        "vqvae1",
        "decoder1",
        "prior",
        "upsampler0",
    ]
    assert not any(name.startswith("decoder") for name in names_in_chain(options, nano()))
    assert needed_by("decoder1", nano()) == ["vqvae1"]


def test_a_taken_decoder_is_trained_on_when_asked_for(trained, tmp_path, monkeypatch):
    monkeypatch.setitem(train.PRESETS, "nano", lambda: with_decoders())
    options = replace(trained.options, run=tmp_path / "run", from_codec=str(trained.model))
    names = ["prior", "upsampler0"]
    assert names_in_chain(options, with_decoders()) == names
    asked = replace(options, stage="decoder0")
    result = run_briefly(train, asked, steps={"decoder0": 6})
    assert result["finished"]
    assert result["stage"] == "decoder0"
    before, after = (
        [read_tensors(model / name / "model.safetensors") for name in ("vqvae0", "vqvae1")]
        for model in (trained.model, options.run / "model")
    )
    for name, tensor in before[0].items():
        assert name.startswith("decoder.") or torch.equal(tensor, after[0][name])
    assert any(not torch.equal(tensor, after[0][name]) for name, tensor in before[0].items())
    assert all(torch.equal(tensor, after[1][name]) for name, tensor in before[1].items())


def test_what_does_not_fit_is_refused(tmp_path, songs, monkeypatch):
    config = with_decoders()
    with pytest.raises(ConfigError, match=r"training.decoders is 1"):
        replace(config, training=replace(config.training, decoders=(LEARNING,)))
    with pytest.raises(ConfigError, match=r"decoder_log_magnitude is -1"):
        replace(config.training, decoder_log_magnitude=-1.0)
    monkeypatch.setitem(train.PRESETS, "nano", lambda: config)
    options = TrainOptions(data=(songs,), run=tmp_path, preset="nano", stage="decoder0")
    with pytest.raises(ConfigError, match="train vqvae0 first"):
        run_training(options)
