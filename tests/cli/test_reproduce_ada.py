"""`ritornello reproduce ada-*`: refusals before any work, and the commands from end to end."""

import json

import numpy as np
import pytest

from ritornello.ada import train_levels
from ritornello.ada.experiments import open_experiment
from ritornello.ada.samples import sample_folder
from ritornello.audio.io import write_audio
from ritornello.cli import reproduce_ada
from ritornello.cli.main import main
from ritornello.interfaces import Audio
from ritornello.server.listening_plan import load_plan

RATE = 16000


@pytest.fixture(autouse=True)
def _short_looks(monkeypatch):
    monkeypatch.setattr(train_levels, "SCORED_STEPS", 3)


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    folder, draw = tmp_path_factory.mktemp("music"), np.random.default_rng(0)
    for number in range(4):
        wave = 0.2 * np.cumsum(draw.standard_normal(3 * RATE)) / 100
        audio = Audio(samples=np.tanh(wave)[None].astype(np.float32), sample_rate=RATE)
        write_audio(folder / f"{number}.wav", audio)
    return folder


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("ada-table-1", "--rows", "2.1"), 2, "table 1 has no row '2.1'"),
        (("ada-table-1", "--rows", ","), 2, "--rows names none"),
        (("ada-table-1", "--seeds", "0"), 2, "--seeds is 0; expected at least 1"),
        (("ada-table-2", "--jobs", "0"), 2, "--jobs is 0; expected at least 1"),
        (("ada-table-3", "--seconds", "0.5"), 2, "--seconds is 0.5; expected 1 to 120"),
        (("ada-table-1", "--scale", "minni"), 1, "no scale 'minni'; did you mean 'mini'?"),
        (("ada-figure-2",), 1, "no experiment yet; say what to learn from with --data"),
        (("ada-tabel-1",), 2, "did you mean 'ada-table-1'?"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    tmp_path, monkeypatch, capsys, words, code, says
):
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", words[0], "-o", "out", *words[1:]]) == code
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_table_grows_row_by_row(music, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["reproduce", "ada-table-1", "-o", str(out), "--json", "--seeds", "1"]
    begin = ["--data", str(music), "--scale", "nano", "--rows", "1.5"]
    assert main([*words, *begin]) == 0
    first = json.loads(capsys.readouterr().out)
    assert [row["row"] for row in first["rows"] if row["seeds"]] == ["1.5"]
    assert {one["verdict"] for one in first["orderings"]} == {"not trained yet"}
    assert main([*words, "--rows", "1.6"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert [row["row"] for row in second["rows"] if row["seeds"]] == ["1.5", "1.6"]
    assert second["rows"][4] == first["rows"][4]
    told = {one["lower"] + one["higher"]: one["verdict"] for one in second["orderings"]}
    assert told["1.51.6"].endswith("in one seed: no statement about noise")
    assert json.loads((out / "table-1.json").read_text())["rows"] == second["rows"]
    assert "| 1.5 | AMAE, one-hot, hop 8 |" in (out / "table-1.md").read_text()
    assert (out / "table-1.png").stat().st_size > 1000


@pytest.mark.slow
def test_a_stack_and_the_figure_from_end_to_end(music, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["-o", str(out), "--json"]
    begin = ["--data", str(music), "--scale", "nano", "--rows", "3.4"]
    assert main(["reproduce", "ada-table-3", *words, *begin, "--samples", "1"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told["samples"]["rows"]) == ["3.4"]
    assert told["samples"]["test"] is None
    assert (out / "samples-1s/3.4/0.wav").exists()
    assert (out / "models/3.4/level1/model.safetensors").exists()

    assert main(["reproduce", "ada-figure-2", *words]) == 0
    figure = json.loads(capsys.readouterr().out)
    assert [curve["name"] for curve in figure["profiles"]] == ["audio", "codes of 1.2"]
    assert figure["transition_codes"] == 15 / 8
    assert (out / "figure-2.png").exists()

    assert main(["reproduce", "ada-table-2", *words, "--rows", "2.1", "--seeds", "1"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert second["rows"][0]["ours"] == told["rows"][3]["ours"]


def test_the_blind_test_hides_samples_among_held_out_music_and_is_made_once(music, tmp_path):
    experiment = open_experiment(tmp_path / "out", "nano", music)
    for row in ("3.1", "3.6"):
        folder = sample_folder(experiment, row, 1.0)
        folder.mkdir(parents=True)
        for name in ("0.wav", "1.wav"):
            (folder / name).write_bytes((music / name).read_bytes())
    test = tmp_path / "test"
    reproduce_ada._listening_test(experiment, test, ["3.1", "3.6"], 2, 1.0)
    plan = load_plan(test)
    assert plan.systems == ("3.1", "3.6", "reference", "anchor")
    assert plan.positions == 2
    reproduce_ada._listening_test(experiment, test, ["3.1"], 1, 1.0)
    assert load_plan(test) == plan
