"""`ritornello evaluate predictability`: a curve, a picture, and what is refused beforehand."""

import json

import numpy as np
import pytest

from ritornello.audio.io import write_audio
from ritornello.cli.main import main
from ritornello.evaluation import predictability
from ritornello.interfaces import Audio


@pytest.fixture
def recordings(tmp_path):
    draw, folder = np.random.default_rng(0), tmp_path / "recordings"
    folder.mkdir()
    for index in range(6):
        time = np.arange(16000) / 16000
        wave = 0.4 * np.sin(2 * np.pi * (200 + 40 * index) * time) + 0.01 * draw.standard_normal(
            16000
        )
        audio = Audio(samples=wave.astype(np.float32)[None], sample_rate=16000)
        write_audio(folder / f"{index}.wav", audio)
    return folder


def test_it_measures_draws_and_tells(recordings, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(predictability.Settings, "__init__", settings_of(lengths=(0, 2), steps=20))
    out = tmp_path / "profile.png"
    words = ["evaluate", "predictability", str(recordings), "-o", str(out), "--seconds", "0.9"]
    assert main([*words, "--clips", "6", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["lengths"] == [0, 2]
    assert result["nats"][1]["value"] < result["nats"][0]["value"] < np.log(256)
    assert out.stat().st_size > 1000


def settings_of(**small):
    real = predictability.Settings.__init__

    def init(self, **given):
        real(self, **(given | small))

    return init


def test_a_picture_is_asked_for(recordings, capsys):
    assert main(["evaluate", "predictability", str(recordings), "-o", "profile.wav"]) != 0
    assert ".png" in capsys.readouterr().err
