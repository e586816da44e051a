"""`ritornello data scan DIR --stems`."""

import json

import numpy as np
import pytest
import soundfile

from ritornello.cli import data
from ritornello.errors import DataError

RATE = 8000


@pytest.fixture
def folder(tmp_path):
    """Two songs of two stems, a silent stem, a file of no category."""
    path = tmp_path / "songs"
    time = np.arange(RATE) / RATE
    for song in range(2):
        (path / f"song {song}").mkdir(parents=True)
        for number, name in enumerate(("bass", "drums")):
            tone = 0.5 * np.sin(2 * np.pi * (100 + 10 * number + song) * time)
            soundfile.write(path / f"song {song}/{name}.wav", tone, RATE)
    soundfile.write(path / "song 0/vocals.wav", np.zeros(RATE), RATE)
    soundfile.write(path / "song 1/Track 7.wav", tone, RATE)
    return path


def test_a_scan_for_stems_tells_a_person_what_is_there(folder, capsys):
    assert data.run(["scan", str(folder), "--stems"]) == 0
    shown = capsys.readouterr().out
    for expected in (
        "2 songs, 2.0 s, 4 stems",
        "stems       bass 2, drums 2",
        "sounding    bass 2.0 s, drums 2.0 s",
        "train 1 song 1.0 s, valid 1 song 1.0 s",
        "silent      from beginning to end: 1",
        "song 1/Track 7.wav: its name says no category",
    ):
        assert expected in shown


def test_a_scan_for_stems_tells_a_program_too_and_keeps_a_manifest(folder, tmp_path, capsys):
    manifest = tmp_path / "state/stems.jsonl"
    assert data.run(["scan", str(folder), "--stems", "--manifest", str(manifest), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["songs"] == report["works"] == 2
    assert report["stems"] == {"bass": 2, "drums": 2}
    assert report["splits"].keys() == {"train", "valid"}
    assert len(manifest.read_text().splitlines()) == 4


def test_finished_pieces_are_no_stems(tmp_path):
    (tmp_path / "album").mkdir()
    soundfile.write(tmp_path / "album/01 Intro.wav", np.ones(100) / 2, RATE)
    with pytest.raises(DataError, match="there is no multitrack song"):
        data.run(["scan", str(tmp_path / "album"), "--stems"])
