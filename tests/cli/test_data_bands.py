"""`ritornello data make bands` as it is called."""

import json

import pytest

from ritornello.cli.main import main


def test_a_plan_lists_the_songs_and_renders_nothing(tmp_path, capsys):
    words = ["data", "make", "bands", "-o", str(tmp_path / "out"), "--songs", "4", "--plan"]
    assert main([*words, "--json"]) == 0
    songs = json.loads(capsys.readouterr().out)["songs"]
    assert len({song["work"] for song in songs}) == 4
    assert all(song["bars"] >= 8 and song["seconds"] > 20 for song in songs)
    assert main(words) == 0
    assert songs[3]["work"] in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", [["--songs", "0"], ["--channels", "4"], ["--rate", "7"]])
def test_settings_out_of_range_are_one_line(tmp_path, capsys, wrong):
    assert main(["data", "make", "bands", "--out", str(tmp_path / "out"), *wrong]) != 0
    error = capsys.readouterr().err.strip()
    assert wrong[0].removeprefix("--") in error
    assert len(error.splitlines()) == 1


def test_without_mma_the_package_is_named(tmp_path, capsys, monkeypatch):
    pytest.importorskip("fluidsynth", exc_type=ImportError)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["data", "make", "bands", "--out", str(tmp_path / "out")]) == 1
    assert "sudo apt install mma" in capsys.readouterr().err


def test_doctor_knows_mma(capsys):
    main(["doctor", "--json"])
    programs = json.loads(capsys.readouterr().out)["programs"]
    (row,) = [program for program in programs if program["name"] == "mma"]
    assert (row["for"], row["get"]) == ("data make bands", "sudo apt install mma")
