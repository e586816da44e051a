"""Tags: each container's own kind becomes the same labels; unreadable ones never stop a scan."""

import importlib.util
import logging

import mutagen
import pytest
import soundfile
from mutagen.id3 import ID3, TALB, TCOM, TCON, TDRC, TIT2, TMOO, TPE1, TXXX, USLT

from ritornello.data import tags as tags_module
from ritornello.data.corpus import scan
from ritornello.data.recordings import Description
from ritornello.data.tags import tags_of

LYRICS = "Twinkle, twinkle,\nlittle star"
SAID = Description(
    title="Étude",
    labels={
        "artist": "Ella Example, Bob Beispiel",
        "composer": "Clara Schumann",
        "album": "Soirées",
        "genre": "Jazz",
        "year": "1836",
        "keywords": "slow, sad",
    },
    lyrics=LYRICS,
)
FORMATS = {
    "a.flac": {},
    "a.ogg": {},
    "a.opus": {"rate": 48000, "format": "OGG", "subtype": "OPUS"},
    "a.mp3": {"rate": 44100},
    "a.wav": {},
    "a.aiff": {},
}


def add_tags(path):
    """The tags of SAID, in the way of the container."""
    file = mutagen.File(path)
    if path.suffix in (".mp3", ".wav", ".aiff"):
        if file.tags is None:
            file.add_tags()
        for frame in (
            TPE1(text=["Ella Example", "Bob Beispiel"]),
            TCOM(text="Clara Schumann"),
            TALB(text="Soirées"),
            TCON(text="(8)"),
            TDRC(text="1836-05-01"),
            TMOO(text="slow, sad"),
            TIT2(text="Étude"),
            TXXX(desc="BPM guess", text="96"),
            USLT(lang="eng", text=LYRICS),
        ):
            file.tags.add(frame)
    else:
        file["ARTIST"] = ["Ella Example", "Bob Beispiel"]
        file["Composer"] = "Clara Schumann"
        file["ALBUM"] = "Soirées"
        file["GENRE"] = "Jazz"
        file["DATE"] = "1836-05-01"
        file["MOOD"] = ["slow", "sad"]
        file["TITLE"] = "Étude"
        file["LYRICS"] = LYRICS
    file.save()


@pytest.fixture
def without_mutagen(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


@pytest.mark.parametrize("name", FORMATS)
def test_every_container_tells_the_same(save, name):
    path = save(name, 0.5, **FORMATS[name])
    add_tags(path)
    assert tags_of(path) == SAID


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.mp3"])
def test_without_mutagen_what_libsndfile_knows_is_told(save, name, without_mutagen):
    path = save(name, 0.5, **FORMATS[name])
    add_tags(path)
    told = tags_of(path)
    assert told.title == "Étude"
    assert told.labels["album"] == "Soirées"
    assert told.labels["year"] == "1836"
    assert told.labels["artist"].startswith("Ella Example")
    # Of ID3 only the number of the genre is told.
    genre = {} if name == "a.mp3" else {"genre": "Jazz"}
    assert told.labels.keys() == {"artist", "album", "year"} | genre.keys()
    assert told.labels.get("genre") == genre.get("genre")
    assert told.lyrics is None


def test_info_chunks_of_wav_are_tags_and_id3_counts_before_them(save):
    path = save("a.wav", 0.5)
    with soundfile.SoundFile(path, "r+") as file:
        file.artist, file.genre, file.comment = "Info Artist", "Waltz", "Made by hand"
    assert tags_of(path) == Description(labels={"artist": "Info Artist", "genre": "Waltz"})
    file = mutagen.File(path)
    file.add_tags()
    file.tags.add(TPE1(text="Tagged Artist"))
    file.save()
    assert tags_of(path).labels == {"artist": "Tagged Artist", "genre": "Waltz"}


def test_a_file_without_tags_tells_nothing(save):
    for name, options in FORMATS.items():
        assert tags_of(save(name, 0.5, **options)) == Description()


def test_a_date_without_a_year_is_no_year(save):
    path = save("a.flac", 0.5)
    file = mutagen.File(path)
    file["DATE"], file["TITLE"] = "spring", "\0 \n"
    file.save()
    assert tags_of(path) == Description()


def test_an_artist_counts_before_the_artist_of_the_album(save):
    path = save("a.flac", 0.5)
    file = mutagen.File(path)
    file["ALBUMARTIST"] = "Various"
    file.save()
    assert tags_of(path).labels == {"artist": "Various"}
    file["ARTIST"] = "Ella"
    file.save()
    assert tags_of(path).labels == {"artist": "Ella"}


def test_unreadable_tags_are_told_and_do_not_cost_the_recording(
    folder, save, tmp_path, monkeypatch, caplog
):
    save("a.flac", 0.5)

    def torn(path):
        raise mutagen.MutagenError("a torn header")

    monkeypatch.setattr(mutagen, "File", torn)
    (recording,) = scan(folder, manifest=tmp_path / "manifest.jsonl")
    assert recording.labels == {}
    assert "a.flac are not readable: a torn header" in caplog.text


def test_a_scan_says_once_what_is_missing(folder, save, tmp_path, caplog, without_mutagen):
    for name in ("a.flac", "b.flac"):
        save(name, 0.5)
    with caplog.at_level(logging.WARNING):
        scan(folder, manifest=tmp_path / "manifest.jsonl", workers=1)
    (told,) = [one for one in caplog.messages if "mutagen" in one]
    assert 'pip install "ritornello[data]"' in told
    assert "lyrics" in told


def test_nothing_is_missing_with_mutagen():
    assert tags_module.missing_reader() is None


def test_the_tags_of_a_broken_mp3_are_none(save, caplog):
    path = save("a.mp3", 0.5, rate=44100)
    ID3().save(path)
    path.write_bytes(b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + path.read_bytes()[:64])
    assert tags_of(path) == Description()
