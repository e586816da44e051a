"""`explore` end to end: the page, its JSON, what it refuses before it reads any sample."""

import json

import pytest
from tests.evaluation.explored import EVIL, Outline, write_samples, write_tone
from tests.evaluation.test_explore_map import write_model

from ritornello.cli.main import main


def explore(*words):
    return main(["explore", *map(str, words)])


def test_a_page_without_a_map(tmp_path, capsys):
    write_samples(tmp_path / "my samples")
    out = tmp_path / "my samples" / "index.html"
    assert explore(tmp_path / "my samples", "-o", out, "--map", "none", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["path"] == str(out)
    assert result["bytes"] == out.stat().st_size
    assert (result["samples"], result["mapped"]) == (5, 0)
    assert result["duration_s"] == pytest.approx(2.5)
    assert result["facets"]["artist"] == {"Dvořák": 1, "bach": 2, "chopin": 1}
    assert list(result["refused"]) == ["broken.flac"]
    assert list(result["unread"]) == ["l'été #1 100%.json"]
    outline = Outline(out.read_text(encoding="utf-8"))
    assert outline.text_in("h1") == ["my samples"]
    assert outline.all("a")[1]["href"] == "./song.wav"


def test_it_says_what_is_left_out(tmp_path, capsys, monkeypatch):
    write_samples(tmp_path / "samples")
    monkeypatch.chdir(tmp_path)
    assert explore("samples", "--map", "none", "--title", EVIL) == 0
    said = capsys.readouterr().out
    assert said.startswith("explore.html: 5 samples, 0.0 minutes")
    assert "left out: broken.flac: is not an audio file" in said
    assert "side-car not read: l'été #1 100%.json: is not readable JSON" in said
    assert Outline((tmp_path / "explore.html").read_text(encoding="utf-8")).text_in("h1") == [EVIL]


def test_the_labels_of_a_model_are_mapped(tmp_path):
    write_tone(tmp_path / "samples/a.wav", 400)
    write_model(tmp_path / "model", ["unknown", "bach", "chopin"], ["unknown", "folk"])
    out = tmp_path / "page.html"
    words = (tmp_path / "samples", "--map", "none", "--model", tmp_path / "model", "--embed")
    assert explore(*words, "-o", out) == 0
    outline = Outline(out.read_text(encoding="utf-8"))
    labels = [(each["data-facet"], each["data-value"]) for each in outline.all("g")]
    assert labels == [
        ("artist", "unknown"),
        ("artist", "bach"),
        ("artist", "chopin"),
        ("genre", "unknown"),
        ("genre", "folk"),
    ]
    assert outline.all("a")[0]["href"].startswith("data:audio/mpeg;base64,")


@pytest.mark.slow
def test_samples_are_mapped_by_ear_and_what_was_heard_is_kept(tmp_path, capsys):
    write_samples(tmp_path / "samples", seconds=3.2)
    write_tone(tmp_path / "samples/short.wav", 400)
    words = (tmp_path / "samples", "-o", tmp_path / "page.html", "--cache", tmp_path / "cache")
    assert explore(*words, "--map", "tsne", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["mapped"], result["unmapped"]) == (5, ["short.wav"])
    first = (tmp_path / "page.html").read_bytes()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.safetensors")}
    assert len(kept) == 5
    assert explore(*words, "--map", "tsne") == 0
    assert (tmp_path / "page.html").read_bytes() == first
    assert all(path.stat().st_mtime_ns == written for path, written in kept.items())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("typo",), "typo is no folder"),
        (("empty",), "holds no audio"),
        (("samples", "-o", "page.pdf"), "ending in .html"),
        (("samples", "-o", "nowhere/page.html"), "no folder nowhere"),
        (("samples", "--map", "none", "--model", "typo"), "No model 'typo'"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_no_page(tmp_path, capsys, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write_tone(tmp_path / "samples/a.wav", 400)
    assert explore(*words) == 1
    assert says in capsys.readouterr().err
    assert not list(tmp_path.glob("*.html"))
