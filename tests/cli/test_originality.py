"""`originality` end to end: a planted copy is named, heard and counted; flags are checked first."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from tests.evaluation.melodies import RATE, cut, played
from tests.markdown import ROOT, commands

from ritornello.audio.io import read_audio, write_audio
from ritornello.cli.main import main
from ritornello.cli.originality import build_parser, validate
from ritornello.errors import ConfigError
from ritornello.interfaces import Audio

SECONDS = 12.0


def folder_of(folder, waves):
    folder.mkdir()
    for name, wave in waves.items():
        write_audio(folder / f"{name}.wav", Audio(samples=wave, sample_rate=RATE))
    return folder


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """Folders of outputs (one of them copied from piece-1), training and held-out music."""
    place = tmp_path_factory.mktemp("music")
    held_out = {f"held-{seed}": played(60 + seed, SECONDS) for seed in range(9)}
    outputs = {"copy": cut(played(1, 20), 5, SECONDS), "fresh": played(40, SECONDS)}
    return (
        folder_of(place / "outputs", outputs),
        folder_of(place / "training", {f"piece-{seed}": played(seed, 20) for seed in range(3)}),
        folder_of(place / "held", held_out),
    )


def words(music, out):
    outputs, training, held_out = map(str, music)
    return [
        *("originality", outputs, "--training", training, "--held-out", held_out),
        *("--seconds", str(SECONDS), "-o", str(out)),
    ]


def test_a_copy_is_named_and_written(music, tmp_path, capsys):
    out = tmp_path / "found"
    command = [*words(music, out), "--pairs", "1", "--cache", str(tmp_path / "cache"), "--json"]
    assert main(command) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads((out / "originality.json").read_text())
    nearest, other = result["closest"]
    assert nearest["copied"]
    assert not other["copied"]
    assert nearest["output"]["path"].endswith("copy.wav")
    assert nearest["training"]["path"].endswith("piece-1.wav")
    assert result["figures"]["copied"]["value"] == 0.5
    ours, theirs = (read_audio(out / f"pair-01-{side}.flac") for side in ("output", "training"))
    assert ours.duration_s == pytest.approx(theirs.duration_s, abs=0.3)
    assert {path.name for path in out.iterdir()} == {
        "originality.json",
        "pair-01-output.flac",
        "pair-01-training.flac",
    }
    assert len(list((tmp_path / "cache" / "fingerprints").iterdir())) == 3


def test_people_read_a_table(music, tmp_path, capsys):
    assert main(words(music, tmp_path / "found")) == 0
    told = capsys.readouterr().out
    (row,) = [line for line in told.splitlines() if "COPY" in line]
    assert row.startswith("copy.wav")
    assert "piece-1.wav" in row
    assert "only 9 held-out clips" in told


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--takes", "0"], "--takes 0"),
        (["--pairs", "-1"], "--pairs -1"),
        (["--seconds", "3"], "at least 5 s"),
    ],
)
def test_numbers_out_of_range(music, tmp_path, capsys, more, message):
    assert main([*words(music, tmp_path / "found"), *more]) == 1
    assert message in capsys.readouterr().err


def test_held_out_music_is_required(music, tmp_path, capsys):
    outputs, training, _ = map(str, music)
    out = tmp_path / "found"
    assert main(["originality", outputs, "--training", training, "-o", str(out)]) == 1
    assert "give --held-out DIR" in capsys.readouterr().err
    assert not out.exists()
    (tmp_path / "file").write_text("")
    assert main([*words(music, tmp_path / "file")]) == 1
    assert "it is a file" in capsys.readouterr().err


def originality_commands():
    """Those of the README, the pages and the verb's own help."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    found = [words for page in pages for words in commands(page.read_text(encoding="utf-8"))]
    found += [
        shlex.split(line) for line in build_parser().format_help().splitlines() if "-o" in line
    ]
    return [words[2:] for words in found if words[1:2] == ["originality"]]


@pytest.fixture
def folders_by_name(monkeypatch):
    """Paths without a suffix are folders, others are none; so they are in the pages."""
    monkeypatch.setattr(Path, "is_dir", lambda self: not self.suffix)


@pytest.mark.parametrize("words", originality_commands(), ids=" ".join)
def test_commands_in_the_pages_have_held_out_music(words, folders_by_name):
    assert validate(build_parser().parse(words))


def test_a_page_without_held_out_music_would_be_noticed(folders_by_name):
    assert len(originality_commands()) >= 6
    wrong = ["piano", "--training", "~/recordings", "-o", "copies"]
    with pytest.raises(ConfigError, match="give --held-out DIR"):
        validate(build_parser().parse(wrong))


def test_home_is_expanded_in_every_path(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    flags = {"training": "~/a", "held-out": "~/b", "out": "~/c", "cache": "~/d"}
    options = build_parser().parse(["piano", *(f"--{k}={path}" for k, path in flags.items())])
    found = [options.training, options.held_out, options.out, options.cache]
    assert found == [tmp_path / name for name in "abcd"]


@pytest.mark.slow
def test_a_model_and_a_manifest(nano_model, tmp_path, capsys):
    """Takes are generated; the manifest's splits are training and held-out music."""
    from ritornello.data.corpus import scan

    folder = folder_of(tmp_path / "music", {f"m{seed}": played(seed, 8) for seed in range(24)})
    scan(folder, manifest=tmp_path / "m.jsonl", valid=0.5, workers=1)
    out = tmp_path / "found"
    command = ["originality", str(nano_model), "--training", str(tmp_path / "m.jsonl")]
    command += ["--takes", "2", "--seconds", "6", "-o", str(out), "--json"]
    assert main(command) == 0
    result = json.loads(capsys.readouterr().out)
    manifest = (tmp_path / "m.jsonl").read_text().splitlines()
    in_training = [line for line in manifest if json.loads(line)["split"] == "train"]
    assert result["settings"]["training_recordings"] == len(in_training)
    assert np.isfinite(result["closest"][0]["p_value"])
    assert len(list((out / "takes").glob("*/take*.flac"))) == 2
