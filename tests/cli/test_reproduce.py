"""`ritornello reproduce`: the sanity table from end to end on a small model, and its refusals."""

import json

import numpy as np
import pytest
from tests.evaluation.signals import notes

from ritornello.audio.io import write_audio
from ritornello.cli import reproduce
from ritornello.cli.console import UsageError
from ritornello.cli.main import main
from ritornello.errors import ConfigError
from ritornello.evaluation.sanity_run import Plan
from ritornello.interfaces import Audio

RATE = 22050


def test_help_names_the_tables_and_other_tables_are_refused(capsys):
    assert reproduce.run(["--help"]) == 0
    assert "metrics-sanity" in capsys.readouterr().out
    assert reproduce.run([]) == 2
    with pytest.raises(UsageError, match=r"no table 'metric-sanity'.*metrics-sanity"):
        reproduce.run(["metric-sanity"])


def test_training_works_are_read_from_the_card(tmp_path):
    assert reproduce.training_works(tmp_path) == frozenset()
    (tmp_path / "README.md").write_text(
        "# x\n\n- not a work\n\n## Training works\n\n- bach-bwv1\n- other-2\n\n## More\n\n- no\n"
    )
    assert reproduce.training_works(tmp_path) == {"bach-bwv1", "other-2"}


def test_the_shipped_piano_lists_what_it_learnt_from():
    from ritornello.checkpoint import shipped_models

    works = reproduce.training_works(shipped_models()["piano"])
    assert len(works) > 100
    assert "bach-bwv805" not in works


def test_a_folder_is_not_shared_by_different_settings(tmp_path):
    file = tmp_path / "settings.json"
    settings = {"clips": 4, "seed": 0, "other": None, "notes": False}
    reproduce._same_settings(file, settings | {"clips": 3})
    reproduce._same_settings(file, settings)  # nothing was made yet: nothing is contradicted
    (tmp_path / "sets").mkdir()
    reproduce._same_settings(file, settings)
    reproduce._same_settings(file, settings | {"other": "songs", "notes": True})
    with pytest.raises(ConfigError, match=r"other settings \(other\)"):
        reproduce._same_settings(file, settings | {"other": "more"})
    with pytest.raises(ConfigError, match=r"other settings \(clips\)"):
        reproduce._same_settings(file, settings | {"clips": 5, "other": "songs"})
    with pytest.raises(ConfigError, match="is a file; give a folder"):
        reproduce.run(["metrics-sanity", "-o", str(file)])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--clips", "7"), "--clips is 7; expected at least 8"),
        (("--reference", "typo"), "typo"),
        (("--soundfont", "typo.sf2"), "typo.sf2 is not a file"),
        (("--other", "typo"), "typo"),
        (("--midi", "typo"), "typo is not a folder"),
        (("--midi", "scores"), "a.wav was rendered from b.mid, which is in none of the folders"),
        (("-o", "music/sanity"), "is inside music"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    tmp_path, monkeypatch, capsys, words, says
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "music").mkdir()
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores/a.mid").write_bytes(b"MThd")
    told = {"source": "scores/b.mid", "render": {}}
    (tmp_path / "music/a.json").write_text(json.dumps(told))
    wave = notes(11.0, 0, per_second=3, rate=RATE).astype(np.float32)
    write_audio(tmp_path / "music/a.wav", Audio(samples=wave, sample_rate=RATE))
    usual = ("-o", "out", "--reference", "music", "--other", "music")
    assert main(["reproduce", "metrics-sanity", *usual, *words]) == 1
    assert says in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["music", "scores"]


def test_midi_and_sound_font_are_told_by_name_and_content(tmp_path):
    (tmp_path / "midi").mkdir()
    (tmp_path / "midi/a.mid").write_bytes(b"one")
    (tmp_path / "font.sf2").write_bytes(b"font")
    plan = Plan(
        folder=tmp_path / "out",
        reference=tmp_path,
        midi=(tmp_path / "midi",),
        sound_font=tmp_path / "font.sf2",
        notes=False,
    )
    before = plan.settings()
    assert before["sound_font"].startswith("font.sf2 ")
    assert before["notes"] is False
    assert plan.settings() == before
    (tmp_path / "midi/a.mid").write_bytes(b"two")
    (tmp_path / "font.sf2").write_bytes(b"other")
    changed = {key for key, value in plan.settings().items() if value != before[key]}
    assert changed == {"midi_sha256", "sound_font"}


@pytest.mark.slow
def test_the_table_from_end_to_end_and_again_from_what_was_kept(
    nano_model, tmp_path, capsys, monkeypatch
):
    from ritornello.evaluation import (
        fad,
        frechet,
        patches,
        sanity_measures,
        sanity_run,
        sanity_table,
    )

    grades = {"noise": (10.0,)}
    for module in (sanity_run, sanity_measures, sanity_table):
        monkeypatch.setattr(module, "GRADES", grades)
    monkeypatch.setattr(sanity_run, "CLIP_S", 3.2)
    monkeypatch.setattr(fad, "SPLITS", 3)  # coarse intervals are enough here
    for module in (fad, patches):
        monkeypatch.setattr(module, "HALVES", 3, raising=False)
    monkeypatch.setattr(frechet, "SPLITS", 10)
    for folder, count in (("held out", 24), ("other", 8)):
        (tmp_path / folder).mkdir()
        for number in range(count):
            wave = notes(3.5, number, per_second=3 if count > 8 else 9, rate=RATE)
            audio = Audio(samples=wave.astype(np.float32), sample_rate=RATE)
            write_audio(tmp_path / folder / f"{number}.wav", audio)
    words = ["reproduce", "metrics-sanity", "-o", str(tmp_path / "out"), "--without-notes"]
    words += ["--reference", str(tmp_path / "held out"), "--other", str(tmp_path / "other")]
    words += ["--model", str(nano_model), "--clips", "8", "--json"]
    assert main(words) == 0
    result = json.loads(capsys.readouterr().out)
    figures = result["figures"]
    assert set(figures) == {"fad", "fad_infinity", "kid", "fad_codec", "frechet_excerpts"}
    assert set(figures["fad"]) - {"null"} == {
        "piano",
        "reconstruction",
        "other",
        "noise",
        "generator",
    }
    assert figures["fad"]["piano"]["value"] < figures["fad"]["noise"]["value"]
    assert set(result["missing"]) == {"organ", "harp", "vibraphone"}
    assert "--midi" in result["missing"]["organ"]
    page = (tmp_path / "out/table.md").read_text()
    assert "| piano < reconstruction |" in page
    assert (tmp_path / "out/picture.png").exists()

    def never(*args, **kwargs):
        raise AssertionError("heard a clip again")

    monkeypatch.setattr(sanity_measures, "hear", never)
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out) == result
