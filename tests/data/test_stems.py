"""Multitrack songs in every layout: found, measured, split by work, refused with a reason."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ritornello.data.stem_layouts import read_slakh_metadata
from ritornello.data.stems import SILENT, StemCorpus, read_stem, scan_stems, stem_summary
from ritornello.errors import DataError
from tests.data.conftest import RATE, tone

SECTOID = Path("/usr/share/games/fretsonfire/data/songs/sectoid")

METADATA = """\
UUID: 1a81ae092884234f3264e2f45927f00a
audio_dir: stems
normalized: false
overall_gain: 0.18
stems:
  S00:
    audio_rendered: true
    inst_class: Drums
    is_drum: true
    midi_program_name: Drums
    program_num: 128
  S01:
    audio_rendered: true
    inst_class: 'Strings (continued)'
    is_drum: false
    midi_program_name: String Ensemble 1
    program_num: 48
  S02:
    audio_rendered: false
    inst_class: Bass
    is_drum: false
    program_num: 33
target_peak: -1.0
"""


@pytest.fixture
def song(save):
    """song("name", bass=220, drums=330, seconds=1.0) writes a plain song of tones."""

    def write(place, seconds=1.0, suffix=".wav", **stems):
        for name, hz in stems.items():
            save(f"{place}/{name}{suffix}", seconds, hz=hz)

    return write


def reasons(corpus):
    return {one.id: one.reason for one in corpus.skipped}


def categories(song):
    return [stem.category for stem in song.stems]


# ---- layouts ---------------------------------------------------------------------------------


def test_a_plain_folder_is_a_song_by_the_names_of_its_files(folder, song, save):
    song("one", **{"Bass 1": 100, "Drums": 200, "mix": 300, "Track 07": 250})
    song("two/stems", suffix=".flac", keys=110, vox=120)
    save("two/mixture.flac")
    corpus = scan_stems([folder])
    assert [one.id for one in corpus] == ["one", "two"]
    assert [categories(one) for one in corpus] == [["bass", "drums"], ["piano", "voice"]]
    assert corpus.categories == ("bass", "drums", "piano", "voice")
    assert reasons(corpus).keys() == {"one/Track 07.wav"}
    assert "says no category" in reasons(corpus)["one/Track 07.wav"]
    assert corpus.hours == pytest.approx(2 / 3600)


def test_a_side_car_says_more_than_names(folder, song):
    song("s1", a=100, b=200, c=300, d=400)
    (folder / "s1/song.json").write_text(
        json.dumps(
            {
                "work": "Opus 1",
                "title": "First",
                "genre": "Bossa",
                "key": "C minor",
                "form": "ABAB",
                "bpm": 98,
                "split": "valid",
                "stems": [
                    {"file": "a.wav", "category": "drums", "name": "Kit"},
                    {"file": "b.wav", "category": "Hurdy-gurdy"},
                    {"file": "c.wav", "program": 33},
                    {"file": "d.wav", "name": "Lead Vox"},
                    {"file": "missing.wav", "category": "bass"},
                ],
            }
        )
    )
    song("s2", bass=110, drums=210)
    corpus = scan_stems([folder])
    first = corpus.songs[0]
    assert (first.id, first.work, first.split, first.bpm) == ("s1", "Opus 1", "valid", 98.0)
    assert categories(first) == ["drums", "hurdy-gurdy", "bass", "voice"]
    assert first.stems[0].name == "Kit"
    assert first.labels["genre"] == "Bossa"
    assert first.labels["form"] == "ABAB"
    assert "not there" in reasons(corpus)["s1/missing.wav"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"stems": [{"category": "bass"}]}', 'each name a "file"'),
        ('{"stems": [], "bpm": "fast"}', "bpm is 'fast'"),
        ("{", "not readable JSON"),
        ("[]", "holds list"),
        ('{"stems": [], "split": "maybe"}', "split is 'maybe'"),
    ],
)
def test_a_side_car_that_is_wrong_costs_its_song_alone(folder, song, text, reason):
    song("good", bass=100, drums=200)
    song("bad", bass=110, drums=210)
    (folder / "bad/song.json").write_text(text)
    corpus = scan_stems([folder])
    assert [one.id for one in corpus] == ["good"]
    assert reason in reasons(corpus)["bad"]


def test_slakh_is_read_by_its_metadata(folder, save):
    for split, track in (("train", "Track1"), ("validation", "Track2"), ("test", "Track3")):
        home = f"slakh/{split}/{track}"
        save(f"{home}/stems/S00.flac", hz=100 + len(split))
        save(f"{home}/stems/S01.flac", hz=200 + len(split))
        save(f"{home}/mix.flac", hz=300)
        (folder / home / "metadata.yaml").write_text(METADATA)
    corpus = scan_stems([folder])
    assert {one.id.split("/")[-1]: one.split for one in corpus} == {
        "Track1": "train",
        "Track2": "valid",
        "Track3": "test",
    }
    assert categories(corpus.songs[0]) == ["drums", "ensemble"]
    assert corpus.songs[0].stems[1].name == "String Ensemble 1"
    assert "never rendered" in reasons(corpus)["slakh/train/Track1/stems/S02"]


def test_slakh_metadata_without_stems_is_refused(tmp_path):
    file = tmp_path / "metadata.yaml"
    file.write_text("UUID: 1\nstems:\n")
    with pytest.raises(DataError, match="describes no stems"):
        read_slakh_metadata(file)


def test_musdb_holds_out_its_test_songs_and_some_of_its_train_songs(folder, song):
    hz = 100
    for split, count in (("train", 3), ("test", 1)):
        for number in range(count):
            hz += 10
            song(
                f"{split}/Artist - {split} {number}",
                drums=hz,
                bass=hz + 1,
                other=hz + 2,
                vocals=hz + 3,
                mixture=hz + 4,
            )
    corpus = scan_stems([folder])
    assert corpus.categories == ("bass", "drums", "other", "voice")
    assert [len(one.stems) for one in corpus] == [4] * 4
    assert [one.id for one in corpus.split("test")] == ["test/Artist - test 0"]
    assert len(corpus.split("valid")) == 1
    assert len(corpus.split("train")) == 2
    assert not corpus.skipped


def test_a_song_of_frets_on_fire_has_a_guitar_and_everything_else(folder, song):
    song("feelings", guitar=100, song=200, suffix=".ogg")
    (folder / "feelings/song.ini").write_text("[song]\nname = Feelings\nartist = Nobody\n")
    one = scan_stems([folder]).songs[0]
    assert categories(one) == ["guitar", "other"]
    assert one.labels == {"title": "Feelings", "artist": "Nobody"}


@pytest.mark.skipif(not SECTOID.is_dir(), reason="needs Debian's fretsonfire-songs-sectoid")
@pytest.mark.slow
def test_real_multitrack_songs_are_found():
    corpus = scan_stems([SECTOID])
    assert len(corpus) == 4
    assert corpus.categories == ("guitar", "other")
    assert corpus.hours == pytest.approx(0.2258, abs=1e-3)
    assert len(corpus.split("valid")) == 1


def test_a_folder_of_mixes_is_told_what_is_expected(folder, save, tmp_path):
    save("album/01 Intro.wav")
    save("album/02 Outro.wav")
    with pytest.raises(DataError, match=r"(?s)no multitrack song in .*album: 2 files.*drums\.wav"):
        scan_stems([folder])
    with pytest.raises(DataError, match="nowhere is not a folder; expected a folder per song"):
        scan_stems([tmp_path / "nowhere"])


# ---- what is refused -------------------------------------------------------------------------


def test_stems_of_unequal_length_are_cut_or_refused_by_name(folder, save):
    save("near/bass.wav", 1.0, hz=100)
    save("near/drums.wav", 1.04, hz=110)
    save("far/bass.wav", 1.0, hz=120)
    save("far/drums.wav", 1.06, hz=130)
    corpus = scan_stems([folder])
    assert [(one.id, one.seconds) for one in corpus] == [("near", 1.0)]
    assert "bass.wav lasts 1.000 s and drums.wav 1.060 s" in reasons(corpus)["far"]


def test_silent_and_broken_stems_are_left_out_by_name(folder, save):
    for name in ("a/bass.wav", "a/drums.wav", "b/bass.wav"):
        save(name, hz=100 + len(name) + ord(name[0]))
    for name in ("a/vocals.wav", "b/vocals.wav"):
        soundfile.write(folder / name, np.zeros(RATE), RATE)
    (folder / "a/guitar.wav").write_text("no sound at all")
    corpus = scan_stems([folder])
    assert [categories(one) for one in corpus] == [["bass", "drums"]]
    told = reasons(corpus)
    assert told["a/vocals.wav"] == told["b/vocals.wav"] == SILENT
    assert "not an audio file" in told["a/guitar.wav"]
    assert told["b"] == "1 of its stems can be used; expected at least 2"
    assert stem_summary(corpus)["silent_stems"] == 2


def test_several_stems_of_a_category_are_allowed(folder, song):
    song("choir", **{"Vocals 1": 100, "Vocals 2": 200, "Bass": 50})
    assert categories(scan_stems([folder]).songs[0]) == ["bass", "voice", "voice"]


# ---- split -----------------------------------------------------------------------------------


def test_takes_of_a_work_and_songs_with_a_common_stem_are_on_one_side(folder, song):
    for number in range(8):
        song(f"s{number:02}", bass=100 + number // 2, drums=200 + 10 * number)
    for number in (4, 6):
        stems = [{"file": "bass.wav"}, {"file": "drums.wav"}]
        side_car = folder / f"s{number:02}/song.json"
        side_car.write_text(json.dumps({"work": "one work", "stems": stems}))
    splits = {one.id: one.split for one in scan_stems([folder], valid=0.4)}
    assert set(splits.values()) == {"train", "valid"}
    for number in range(0, 8, 2):  # Neighbours share their bass.
        assert splits[f"s{number:02}"] == splits[f"s{number + 1:02}"]
    assert splits["s04"] == splits["s06"]


def test_a_folder_that_is_a_song_and_several_folders_have_ids_of_their_own(folder, song, tmp_path):
    song(".", bass=100, drums=200)
    assert [one.id for one in scan_stems([folder])] == ["data"]
    other = tmp_path / "more"
    other.mkdir()
    for name in ("bass.wav", "drums.wav"):
        soundfile.write(other / name, tone(0.5, hz=90), RATE)
    assert [one.id for one in scan_stems([folder, other])] == ["data", "more"]


# ---- manifest --------------------------------------------------------------------------------


def test_the_manifest_brings_the_corpus_back_and_spares_decoding(folder, song, tmp_path):
    song("one", bass=100, drums=200)
    song("two", bass=110, drums=210)
    (folder / "two/keys.wav").write_text("broken")
    manifest = tmp_path / "state/stems.jsonl"
    first = scan_stems([folder], manifest)
    loaded = StemCorpus.load(manifest)
    assert loaded.songs == first.songs
    assert loaded.skipped == first.skipped
    assert loaded.digest() == first.digest()
    seen = []
    scan_stems([folder], manifest, progress=lambda done, total, name: seen.append((done, total)))
    assert seen[0] == (4, 5)  # All that was measured is known; the broken one is looked at again.
    song("one", bass=105)
    assert scan_stems([folder], manifest).digest() != first.digest()


def test_a_manifest_of_something_else_is_refused(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"id": "x"}\n')
    for name in ("m.jsonl", "missing.jsonl"):
        with pytest.raises(DataError, match="not a readable manifest"):
            StemCorpus.load(tmp_path / name)


# ---- reading ---------------------------------------------------------------------------------


def test_a_stretch_of_a_stem_is_exact_mono_and_silent_beyond_its_ends(folder, save):
    save("s/bass.wav", 1.0, hz=100)
    save("s/drums.wav", 1.0, channels=2, rate=12000, hz=200)
    bass, drums = scan_stems([folder]).songs[0].stems
    whole = read_stem(bass, 0.0, 1.0, RATE)
    np.testing.assert_allclose(whole, tone(1.0, hz=100)[:, 0], atol=1e-4)
    np.testing.assert_array_equal(read_stem(bass, 0.25, 0.5, RATE), whole[2000:6000])
    around = read_stem(bass, -0.5, 2.0, RATE)
    np.testing.assert_array_equal(around[4000:12000], whole)
    assert not around[:4000].any()
    assert not around[12000:].any()
    assert not read_stem(bass, 5.0, 0.1, RATE).any()
    resampled = read_stem(drums, 0.2, 0.6, RATE)
    np.testing.assert_allclose(resampled, tone(1.0, hz=200)[1600:6400, 0], atol=2e-3)
