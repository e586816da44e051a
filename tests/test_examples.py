"""The examples run as they are, on a small model."""

import runpy
import sys

import pytest

import ritornello
from ritornello.audio.io import read_audio
from tests.markdown import ROOT


@pytest.fixture
def run(nano_model, tmp_path, monkeypatch, capsys):
    """A function that runs one example in a folder of its own; what it printed."""

    def run_example(name):
        path = ROOT / "examples" / name
        monkeypatch.setattr(sys, "argv", [str(path), str(nano_model)])
        monkeypatch.chdir(tmp_path)
        runpy.run_path(str(path), run_name="__main__")
        return capsys.readouterr().out

    return run_example


def test_stream_and_seek(run, nano_model, tmp_path):
    assert "same bits: True" in run("stream_and_seek.py")
    chunk_s = ritornello.load(nano_model).config.chunk_s
    beginning, hour = (read_audio(tmp_path / f"{name}.wav") for name in ("beginning", "hour"))
    assert beginning.duration_s == pytest.approx(4 * chunk_s, abs=1e-3)
    assert hour.duration_s == pytest.approx(4, abs=1e-3)


def test_form(run, tmp_path):
    printed = run("form.py")
    assert [line[0] for line in printed.splitlines()[:3]] == ["A", "B", "A"]
    assert "chunk 8 equals chunk 0: True" in printed
    assert "chunk 4 equals chunk 0: False" in printed
    assert read_audio(tmp_path / "form.wav").samples.any()


def test_morph(run, tmp_path):
    printed = run("morph.py")
    distances = [float(line.split()[-2]) for line in printed.splitlines()]
    assert distances[0] > 1
    assert distances[-1] == 0
    assert distances == sorted(distances, reverse=True)
    assert read_audio(tmp_path / "morph.wav").samples.any()


def test_preset_sizes(run):
    assert run("preset_sizes.py").count("| small |") == 3
