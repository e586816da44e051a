"""`ritornello listen`: from folders to a test, from votes to tables, CSV and a picture."""

import csv
import json

import numpy as np
import pytest

from ritornello.audio.io import write_audio
from ritornello.cli.listen import cell
from ritornello.cli.main import main
from ritornello.interfaces import Audio
from ritornello.server.listening_plan import SCALES
from ritornello.server.listening_store import VoteStore


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Recordings of two systems and of real music, in the working folder."""
    draw = np.random.default_rng(0)
    for name, rate in (("a", 22050), ("b", 44100), ("real", 44100)):
        (tmp_path / name).mkdir()
        for index in range(2):
            samples = 0.1 * draw.standard_normal((1, 2 * rate)).astype(np.float32)
            path = tmp_path / name / f"{index}.wav"
            write_audio(path, Audio(samples=samples, sample_rate=rate))
    monkeypatch.chdir(tmp_path)
    return tmp_path


LENGTH = ["--seconds", "1"]
NEW = ["listen", "new", "a", "mine=b", "--reference", "real", "--clips", "1", *LENGTH]


def answer(capsys, *words):
    code = main([*words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def vote_all(folder, name, scores):
    """A listener who gives every system its score, and prefers the higher."""
    store = VoteStore(folder)
    systems = {clip.id: clip.system for clip in store.plan.clips}
    code = store.join(name)
    for number, page in enumerate(store.state(code)["pages"]):
        for clip in page["clips"]:
            store.hear(code, number, clip, store.plan.seconds)
        given = [scores[systems[clip]] for clip in page["clips"]]
        if page["kind"] == "rate":
            for scale in SCALES:
                store.vote(code, number, scale, given[0])
        else:
            store.vote(code, number, "preference", int(np.sign(given[0] - given[1])))


def test_from_folders_to_results(folders, capsys):
    code, made = answer(capsys, *NEW, "--pairs", "3", "-o", "test")
    assert code == 0
    assert made["systems"] == ["a", "mine", "reference", "anchor"]
    assert (made["clips"], made["ratings_per_listener"], made["pairs_per_listener"]) == (4, 4, 3)
    vote_all(folders / "test", "Ann", {"a": 2, "mine": 4, "reference": 5, "anchor": 1})
    vote_all(folders / "test", "Bob", {"a": 2, "mine": 3, "reference": 5, "anchor": 2})
    code, told = answer(capsys, "listen", "results", "test")
    assert code == 0
    assert told["systems"]["mine"]["overall"]["value"] == 3.5
    assert told["systems"]["mine"]["overall"]["standard_error"] == pytest.approx(0.5)
    assert [row["system"] for row in told["preferences"]["ranking"]] == ["reference", "mine", "a"]
    assert told["agreement"]["fidelity"] == pytest.approx(
        1 - (1 + 1) / 8 * 2 / (2 * 64 * np.var([2, 2, 4, 3, 5, 5, 1, 2]) / (8 * 7))
    )
    assert [check["votes"] for check in told["listeners"].values()] == [15, 15]
    assert any("2 listeners" in warning for warning in told["warnings"])
    assert main(["listen", "results", "test"]) == 0
    text = capsys.readouterr().out
    assert "ranking" in text
    assert "warning: 2 listeners" in text


@pytest.mark.slow
def test_results_are_written(folders, capsys):
    assert main([*NEW, "-o", "test"]) == 0
    vote_all(folders / "test", '=HYPERLINK("x")', {"a": 2, "mine": 4, "reference": 5, "anchor": 1})
    capsys.readouterr()
    code, told = answer(capsys, "listen", "results", "test", "-o", "out")
    assert code == 0
    out = folders / "out"
    assert json.loads((out / "results.json").read_text()) == told
    with (out / "means.csv").open() as file:
        means = {(row["system"], row["scale"]): float(row["value"]) for row in csv.DictReader(file)}
    assert means["anchor", "fidelity"] == 1
    assert len((out / "ratings.csv").read_text().splitlines()) == 1 + 12
    assert len((out / "preferences.csv").read_text().splitlines()) == 1 + 3
    for name in ("ratings.csv", "preferences.csv"):  # whoever opens the page chooses a name
        with (out / name).open(newline="") as file:
            assert all(row["listener"].startswith("'=") for row in csv.DictReader(file))
    assert next(iter(told["listeners"])).startswith("=")
    assert (out / "results.png").read_bytes().startswith(b"\x89PNG")


def test_mistakes_are_told_before_any_work(folders, capsys):
    assert main(["listen", "new", "a", "a", "--reference", "real", "-o", "t"]) == 2
    assert "NAME=FOLDER" in capsys.readouterr().err
    assert (
        main(["listen", "new", "a", "--reference", "real", "--clips", "9", *LENGTH, "-o", "t"]) == 1
    )
    assert "asked for 9 clips" in capsys.readouterr().err
    assert main(["listen", "new", "a", "--reference", "real", "-o", "a"]) == 1
    assert "votes are never overwritten" in capsys.readouterr().err
    assert not (folders / "t").exists()
    assert main(["listen", "results", "a"]) == 1
    assert "is no listening test" in capsys.readouterr().err
    assert main(["listen", "serve", "a", "--port", "99999"]) == 2
    assert main(["listen", "sever"]) == 2
    assert "did you mean 'serve'?" in capsys.readouterr().err


def test_no_votes_is_said(folders, capsys):
    assert main([*NEW, "-o", "test"]) == 0
    assert main(["listen", "results", "test"]) == 1
    assert "no votes yet" in capsys.readouterr().err


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\uff1d"])
def test_cells_that_begin_like_formulas_are_text(sign):
    assert cell(f"{sign}1+1") == f"'{sign}1+1"
    assert cell(f"Ann{sign}") == f"Ann{sign}"
    assert cell(-1.5) == -1.5
    assert cell(None) is None
