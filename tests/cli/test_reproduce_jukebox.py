"""`ritornello reproduce jukebox-reconstruction`: refusals before any work, and from end to end."""

import json

import numpy as np
import pytest

from ritornello.audio.io import write_audio
from ritornello.cli.main import main
from ritornello.interfaces import Audio
from ritornello.jukebox import train_vqvae

WORD, RATE = "jukebox-reconstruction", 8000


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--rows", "16"), 2, "the table has no row '16'"),
        (("--rows", ","), 2, "--rows names none"),
        (("--seeds", "0"), 2, "--seeds is 0; expected at least 1"),
        (("--jobs", "0"), 2, "--jobs is 0; expected at least 1"),
        (("--scale", "tiny"), 1, "there is no scale 'tiny'"),
        ((), 1, "no experiment yet; say what to learn from with --data"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    tmp_path, monkeypatch, capsys, words, code, says
):
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", WORD, "-o", "out", *words]) == code
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_table_grows_row_by_row(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train_vqvae, "SCORED_STEPS", 2)
    monkeypatch.setattr(train_vqvae, "HEARD_S", 0.5)
    music, out, time = tmp_path / "music", tmp_path / "out", np.arange(2 * RATE) / RATE
    music.mkdir()
    for number in range(4):
        wave = 0.3 * np.sin(2 * np.pi * (300 + 50 * number) * time)
        audio = Audio(samples=wave[None].astype(np.float32), sample_rate=RATE)
        write_audio(music / f"{number}.wav", audio)
    words = ["reproduce", WORD, "-o", str(out), "--json"]
    begin = ["--data", str(music), "--scale", "nano", "--rows", "8"]
    assert main([*words, *begin]) == 0
    first = json.loads(capsys.readouterr().out)
    assert {row["row"]: len(row["seeds"]) for row in first["rows"] if row["seeds"]} == {"8": 2}
    assert {one["verdict"] for one in first["orderings"]} == {"not trained yet"}
    assert main([*words, "--rows", "8-unquantised,8"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert second["rows"][0] == first["rows"][0]
    told = {one["lower"]: one for one in second["orderings"]}["8-unquantised"]
    ours = {row["row"]: row["ours"]["convergence_db"] for row in second["rows"] if row["seeds"]}
    assert told["gap"] == pytest.approx(ours["8"]["mean"] - ours["8-unquantised"]["mean"])
    assert json.loads((out / "reconstruction.json").read_text())["rows"] == second["rows"]
    assert (
        "| 8-unquantised | hop 8, no quantisation | - | 2 |"
        in (out / "reconstruction.md").read_text()
    )
    assert (out / "reconstruction.png").stat().st_size > 1000
