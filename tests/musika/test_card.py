"""The card of a trained model says what is true of it."""

from dataclasses import replace

from ritornello.checkpoint import load_component
from ritornello.data.corpus import Corpus
from ritornello.musika.card import controls
from ritornello.musika.presets import nano
from ritornello.training.card import write_run_card
from ritornello.training.loop import ChainResult
from tests.musika.conftest import STEPS


def card_of(trained):
    return (trained.model / "README.md").read_text()


def test_it_tells_the_music(trained):
    text = card_of(trained)
    corpus = Corpus.load(trained.run.cache / "manifest.jsonl")
    assert "3 recordings, 12s; 1 recordings (4s) of other works were held out" in text
    for recording in corpus:
        listed = f"\n- {recording.work}\n" in text
        assert listed == (recording.split == "train")
    assert "not stated (3 recordings)" in text


def test_it_tells_the_model_and_its_training(trained):
    text = card_of(trained)
    assert "22.05 kHz, stereo, chunks of 0.74 s made from 16 latents at 21.53 Hz" in text
    for stage, steps in STEPS.items():
        assert f"- {stage}: {steps} steps, 1 thread(s), fp32" in text
    assert "Started from" not in text


def test_its_figures_are_the_measured_ones(trained):
    text = card_of(trained)
    for stage, figures in trained.result["figures"].items():
        for name, value in figures.items():
            assert f"| {stage}/{name} | {value:.6g} |" in text


def test_it_tells_what_the_controls_mean(trained):
    text = card_of(trained)
    settings, _ = load_component(trained.model, "generator")
    for name, unit in (("density", "notes per second"), ("loudness", "LUFS")):
        scale = settings["control_scales"][name]
        assert f"- {name}: 0 is {scale['low']:.3g}, 1 is {scale['high']:.3g} {unit}" in text


def test_licences_and_origin_are_passed_on(trained, tmp_path):
    corpus = Corpus(
        [
            replace(recording, licence=licence)
            for recording, licence in zip(
                Corpus.load(trained.run.cache / "manifest.jsonl"),
                ("CC0-1.0", "CC0-1.0", None),
                strict=True,
            )
        ]
    )
    result = ChainResult(finished=True, stage="gan", step=1, seconds=3725.0)
    write_run_card(
        tmp_path,
        "musika",
        "A model.",
        corpus,
        trained.run,
        result,
        origin="Started from the weights of `piano`.",
    )
    text = (tmp_path / "README.md").read_text()
    assert "CC0-1.0 (2 recordings), not stated (1 recordings)" in text
    assert "Started from the weights of `piano`." in text
    assert "1h02m" in text


def test_a_model_without_controls_says_so(tmp_path):
    config = replace(nano(), gan=replace(nano().gan, controls=()))
    assert controls(tmp_path, config) == "None."
