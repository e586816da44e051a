"""`ritornello data`: reports for people and for programs, exit codes, quick help."""

import json
import resource
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from ritornello.cli import data
from ritornello.cli.console import UsageError
from ritornello.errors import ConfigError, DataError


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "my music"
    path.mkdir()
    wave = 0.5 * np.sin(np.arange(16000) / 10)
    soundfile.write(path / "one.wav", wave, 8000)
    soundfile.write(path / "two [live].flac", np.stack([wave, wave / 2], axis=1), 16000)
    (path / "one.json").write_text('{"composer": "Fanny Hensel", "licence": "CC0"}')
    (path / "broken.wav").write_bytes(b"RIFF")
    return path


def test_scan_tells_a_person_what_is_there(folder, capsys):
    assert data.run(["scan", str(folder)]) == 0
    shown = capsys.readouterr().out
    for expected in (
        "2 recordings, 3.0 s",
        "1.0 s to 2.0 s",
        "16000 Hz: 1 file, 8000 Hz: 1 file",
        "mono: 1 file, stereo: 1 file",
        "CC0: 1 file, unknown: 1 file",
        "train 1 file ",
        "valid 1 file ",
        "composer    1 file: Fanny Hensel 2.0 s",
        "skipped     1 file",
        "broken.wav: ",
    ):
        assert expected in shown
    assert len(list(folder.iterdir())) == 4


def test_scan_tells_a_program_too_and_writes_the_manifest(folder, tmp_path, capsys):
    manifest = tmp_path / "manifest.jsonl"
    words = ["scan", str(folder), "--manifest", str(manifest), "--workers", "1", "--json"]
    assert data.run(words) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["files"] == 2
    assert report["labels"] == {"composer": {"Fanny Hensel": pytest.approx(2 / 3600, abs=1e-4)}}
    assert [one["id"] for one in report["skipped"]] == ["broken.wav"]
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert [line["id"] for line in lines] == ["broken.wav", "one.wav", "two [live].flac"]
    assert report["manifest"] == str(manifest)


def test_scan_of_nothing_usable_shows_why_and_fails(folder, capsys):
    (folder / "one.wav").unlink()
    (folder / "two [live].flac").unlink()
    assert data.run(["scan", str(folder)]) == 1
    told = capsys.readouterr()
    assert "broken.wav: " in told.out
    assert "no audio" in told.err


def test_what_makes_no_sense_is_refused(tmp_path):
    with pytest.raises(UsageError, match="did you mean 'scan'"):
        data.run(["scann"])
    with pytest.raises(UsageError, match="there is no recipe 'pian'; did you mean 'piano'"):
        data.run(["make", "pian"])
    with pytest.raises(UsageError, match="--out"):
        data.run(["make", "piano"])
    with pytest.raises(UsageError, match="expected 1 or more"):
        data.run(["scan", str(tmp_path), "--workers", "0"])
    with pytest.raises(DataError, match="is not a folder"):
        data.run(["scan", str(tmp_path / "missing")])
    with pytest.raises(ConfigError, match="hours is -1"):
        data.run(["make", "piano", "--out", str(tmp_path / "out"), "--hours", "-1"])


@pytest.mark.parametrize("words", [["--help"], ["scan", "--help"], ["make", "piano", "--help"]])
def test_help_is_quick_and_shows_examples(words):
    code = (
        "import sys; from ritornello.cli import data\n"
        f"try: data.run({words!r})\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'torch', 'numpy', 'rich'} & set(sys.modules)))"
    )
    spent = []
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert done.returncode == 0, done.stderr
        assert "ritornello data scan ~" in done.stdout or "data make piano --out" in done.stdout
    assert min(spent) < 0.6


def test_data_alone_shows_how_it_is_used(capsys):
    assert data.run([]) == 2
    assert data.run(["make"]) == 2
    assert "usage: ritornello data make" in capsys.readouterr().out


@pytest.mark.slow
def test_make_piano_then_scan(tmp_path, capsys):
    mido = pytest.importorskip("mido")
    from ritornello.data.recipes.render import find_sound_font
    from ritornello.errors import RitornelloError

    try:
        find_sound_font(None)
    except RitornelloError as missing:
        pytest.skip(str(missing))
    midi = tmp_path / "midi"
    midi.mkdir()
    for piece in range(2):
        track = mido.MidiTrack()
        for pitch in range(60, 76):
            track.append(mido.Message("note_on", note=pitch + piece, velocity=70, time=0))
            track.append(mido.Message("note_off", note=pitch + piece, velocity=0, time=240))
        mido.MidiFile(tracks=[track]).save(midi / f"scale {piece}.mid")
    out = tmp_path / "piano"
    words = ["make", "piano", "--out", str(out), "--midi", str(midi), "--renders", "1"]
    assert data.run([*words, "--workers", "1", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["rendered"] == 2
    assert data.run(["scan", str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["files"] == 2
    assert report["sample_rates"] == {"44100": 2}
    assert not report["skipped"]
