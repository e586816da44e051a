"""Labels from a table: over tags and under side-cars, no audio decoded for them, errors by line."""

import json
from pathlib import Path

import mutagen
import numpy as np
import pytest

from ritornello.data import corpus as corpus_module
from ritornello.data.corpus import Corpus, scan
from ritornello.data.store import FieldSpec
from ritornello.data.summary import summary
from ritornello.data.tokens import ArrayCache
from ritornello.errors import DataError


@pytest.fixture
def manifest(tmp_path):
    return tmp_path / "run" / "manifest.jsonl"


@pytest.fixture
def table(folder):
    """table(text) writes the table."""
    return lambda text: (folder / "labels.csv").write_text(text, encoding="utf-8")


def test_a_table_tells_of_its_files(folder, save, manifest, table):
    for name in ("a.wav", "sub/b.wav", "sub/Çà.wav", "d.wav"):
        save(name, 0.5)
    table(
        "\ufeffFile, artist,genre,year,keywords,work,title,licence,lyrics,split,Singer's voice\n"
        'a.wav,Ella,"swing, jazz",1938,"slow, sad",w,Blue,CC0,"Blue evening,\nblue ""morning""",,'
        "alto\n"
        "\n"
        ".\\sub\\b.wav,Bob,,,,,,,,test,\n"
        "sub/C\u0327a\u0300.wav,Zoë\n"
    )
    corpus = scan(folder, manifest=manifest)
    told = {recording.id: recording for recording in corpus}
    assert not corpus.skipped
    first = told["a.wav"]
    assert first.labels == {
        "artist": "Ella",
        "genre": "swing, jazz",
        "year": "1938",
        "keywords": "slow, sad",
        "singer's voice": "alto",
    }
    assert (first.work, first.title, first.licence) == ("w", "Blue", "CC0")
    assert first.lyrics == 'Blue evening,\nblue "morning"'
    assert (told["sub/b.wav"].labels, told["sub/b.wav"].split) == ({"artist": "Bob"}, "test")
    assert told["sub/Çà.wav"].labels == {"artist": "Zoë"}
    assert (told["d.wav"].labels, told["d.wav"].lyrics) == ({}, None)
    assert Corpus.load(manifest).recordings == corpus.recordings


def test_side_cars_count_before_the_table_and_the_table_before_tags(folder, save, manifest, table):
    path = save("a.flac", 0.5)
    file = mutagen.File(path)
    for name in ("artist", "composer", "album", "genre", "title", "lyrics"):
        file[name] = f"{name} of the tags"
    file.save()
    table(
        "file,artist,composer,genre,title,lyrics\na.flac,A table,C table,G table,T table,L table\n"
    )
    side_car = {"artist": "A car", "labels": {"genre": ""}, "lyrics": "L car", "year": 1836}
    (folder / "a.json").write_text(json.dumps(side_car))
    (recording,) = scan(folder, manifest=manifest)
    assert recording.labels == {
        "artist": "A car",
        "composer": "C table",
        "album": "album of the tags",
        "year": "1836",
    }
    assert (recording.title, recording.lyrics) == ("T table", "L car")


def test_each_of_several_folders_has_its_own_table(tmp_path, save, manifest):
    places = [tmp_path / "x" / "music", tmp_path / "y" / "music"]
    for number, place in enumerate(places):
        place.mkdir(parents=True)
        save("a.wav", 0.5 + number).rename(place / "a.wav")
        (place / "labels.csv").write_text(f"file,artist\na.wav,artist {number}\n")
    corpus = scan(places, manifest=manifest)
    assert {one.id: one.labels["artist"] for one in corpus} == {
        "music/a.wav": "artist 0",
        "music-2/a.wav": "artist 1",
    }


def test_a_row_without_its_file_is_named(folder, save, manifest, table):
    save("a.wav", 0.5)
    table('file,lyrics\na.wav,"one\ntwo"\ngone.wav,la\n')
    corpus = scan(folder, manifest=manifest)
    assert len(corpus) == 1
    (skipped,) = Corpus.load(manifest).skipped
    assert skipped.id == "labels.csv, line 4"
    assert "no audio file 'gone.wav'" in skipped.reason
    table("file,lyrics\n")
    assert not scan(folder, manifest=manifest).skipped


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"file,artist\na.wav,A\n\n./a.wav,B\n", "line 4: './a.wav' has a row in line 2 already"),
        (b"file,artist\na.wav,Dvor\xe1k\n", "line 2: byte 0xe1 is not UTF-8; save"),
        (b"path,artist\na.wav,A\n", "line 1: the columns are path, artist; expected .*'file'"),
        (
            b"file;artist\na.wav;A\n",
            "line 1: the columns are file;artist; expected names with comm",
        ),
        (b"file,artist,artist\n", "line 1: a column is called 'artist' twice"),
        (b"file,,artist\n", "line 1: a column is called ''; expected a name"),
        (b"file,lyrics\na.wav,la, la\n", "line 2: 3 cells; expected 2 at most"),
        (b'file,lyrics\na.wav,"la\nla', "line 2: unexpected end of data; expected commas"),
        (b"file,artist\n,A\n", "line 2: there is no file; expected its path"),
        (b"file,split\na.wav,dev\n", "line 2: split is 'dev'; expected train, valid, test"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_before_anything_is_decoded(
    folder, save, manifest, monkeypatch, content, said
):
    save("a.wav", 0.5)
    (folder / "labels.csv").write_bytes(content)
    monkeypatch.setattr(corpus_module, "measure", lambda path: pytest.fail("decoded"))
    with pytest.raises(DataError, match=f"labels.csv, {said}"):
        scan(folder, manifest=manifest)
    assert not manifest.exists()


def test_a_label_put_right_takes_effect_without_decoding_or_encoding(
    folder, save, manifest, table, monkeypatch, tmp_path
):
    for name in ("a.wav", "b.wav"):
        save(name, 0.5, hz=200 if name == "a.wav" else 300)
    table("file,artist,lyrics\na.wav,Elle,la\n")
    before = scan(folder, manifest=manifest)
    cache = ArrayCache(tmp_path / "codes", "key", {"codes": FieldSpec(dtype="uint16")})
    cache.fill(before, lambda recording: {"codes": np.zeros(5, np.uint16)})
    monkeypatch.setattr(corpus_module, "measure", lambda path: pytest.fail("decoded"))
    table("file,artist,lyrics\na.wav,Ella,la la\n")
    after = scan(folder, manifest=manifest)
    assert (after.recordings[0].labels, after.recordings[0].lyrics) == ({"artist": "Ella"}, "la la")
    assert after.digest != before.digest
    ArrayCache(tmp_path / "codes", "key", {"codes": FieldSpec(dtype="uint16")}).fill(
        after, lambda recording: pytest.fail("encoded")
    )


def test_lyrics_alone_change_the_digest_and_nothing_else_does_without_them(
    folder, save, manifest, table
):
    save("a.wav", 0.5)
    without = scan(folder, manifest=manifest).digest
    table("file,lyrics\na.wav,la\n")
    assert scan(folder, manifest=manifest).digest != without
    table("file,lyrics\na.wav,\n")
    assert scan(folder, manifest=manifest).digest == without


def test_a_manifest_of_an_earlier_version_loads_and_spares_decoding(
    folder, save, manifest, monkeypatch
):
    save("a.wav", 0.5)
    (folder / "a.json").write_text('{"composer": "Bach", "lyrics": "la"}')
    scan(folder, manifest=manifest)
    line = json.loads(manifest.read_text())
    assert line.pop("lyrics") == "la"
    manifest.write_text(json.dumps(line) + "\n")
    (old,) = Corpus.load(manifest)
    assert (old.labels, old.lyrics) == ({"composer": "Bach"}, None)
    monkeypatch.setattr(corpus_module, "measure", lambda path: pytest.fail("decoded"))
    (new,) = scan(folder, manifest=manifest)
    assert new.lyrics == "la"


SYLLABLE = {"start_s": 0.1, "end_s": 0.2, "begin": 0, "end": 2}


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("la", "la"),
        (" \n", None),
        ({"text": "la"}, "la"),
        ({"text": "la", "sung": []}, "la"),
        ({"text": "la", "sung": [SYLLABLE | {"note": 60}]}, {"text": "la", "sung": [SYLLABLE]}),
    ],
)
def test_lyrics_of_a_side_car_are_kept_as_they_are_needed(folder, save, manifest, told, kept):
    save("a.wav", 0.5)
    (folder / "a.json").write_text(json.dumps({"lyrics": told}))
    (recording,) = scan(folder, manifest=manifest)
    assert recording.lyrics == kept


@pytest.mark.parametrize(
    ("car", "reason"),
    [
        ({"lyrics": ["la"]}, "lyrics is .*; expected a text, or an object"),
        ({"lyrics": {"text": "la", "sung": 3}}, "lyrics is .*; expected a text, or an object"),
        ({"lyrics": {"text": "la", "sung": [{}]}}, "a syllable is {}; expected an object with"),
        (
            {"lyrics": {"text": "la", "sung": [{"start_s": 0, "end_s": 1, "begin": 0, "end": 3}]}},
            "a syllable is characters 0 to 3 of lyrics; .* <= 2, the length",
        ),
        ({"artist": {"name": "A"}}, "artist is .*; expected a text"),
        ({"artist": 3}, "artist is 3; expected a text"),
    ],
)
def test_a_side_car_that_tells_something_else_is_named(folder, save, manifest, car, reason):
    save("a.wav", 0.5)
    (folder / "a.json").write_text(json.dumps(car))
    (skipped,) = scan(folder, manifest=manifest).skipped
    with pytest.raises(DataError, match=f"side-car a.json: {reason}"):
        raise DataError(skipped.reason)


def test_the_summary_counts_labels_by_file_and_keywords_each(folder, save, manifest, table):
    for name, seconds in (("a.wav", 1.0), ("b.wav", 2.0), ("c.wav", 3.0)):
        save(name, seconds)
    table('file,genre,keywords,lyrics\na.wav,waltz,"slow; sad",la\nb.wav,,"sad, loud",\nc.wav\n')
    timed = {"text": "la", "sung": [SYLLABLE]}
    (folder / "b.json").write_text(json.dumps({"lyrics": timed}))
    report = summary(scan(folder, manifest=manifest))
    assert report["labelled"] == {"genre": 1, "keywords": 2}
    assert report["lyrics"] == {"files": 2, "timed": 1}
    assert list(report["labels"]["keywords"]) == ["sad", "loud", "slow"]
    assert report["labels"]["keywords"]["sad"] == pytest.approx(3 / 3600, abs=1e-6)
    assert report["labels"]["genre"] == {"waltz": pytest.approx(1 / 3600, abs=1e-6)}


def test_a_table_outside_the_folder_is_not_taken(folder, save, manifest):
    save("a.wav", 0.5)
    Path(folder.parent / "labels.csv").write_text("file,artist\na.wav,A\n")
    (recording,) = scan(folder, manifest=manifest)
    assert recording.labels == {}
