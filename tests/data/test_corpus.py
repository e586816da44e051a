"""Scanning: every file accepted or skipped by name with the reason; resumable; never in the way."""

import json
import os
import tracemalloc

import numpy as np
import pytest
import soundfile

from ritornello.data import corpus as corpus_module
from ritornello.data.corpus import Corpus, scan
from ritornello.data.recordings import measure
from ritornello.data.summary import summary
from ritornello.errors import DataError

GOOD = {
    "CAPITALS.FLAC",
    "good.wav",
    "sub folder/mp3.mp3",
    "sub folder/ogg vorbis.ogg",
    "sub folder/opus.opus",
    'Çà l\'été "live" (part 1).flac',
}
REASONS = {
    "dangling.wav": "link that leads nowhere",
    "eight.wav": "has 8 channels; expected 1 or 2",
    "empty.wav": "empty",
    "music.zip": "archive; unpack it",
    "nan.wav": "NaN",
    "one sample.wav": "holds 1 samples",
    "pipe.wav": "not a regular file",
    "song.m4a": "convert it to FLAC",
    "text.wav": "not an audio file",
    "truncated.flac": "truncated",
    "truncated.wav": "truncated",
}


@pytest.fixture
def manifest(tmp_path):
    return tmp_path / "run" / "cache" / "manifest.jsonl"


@pytest.fixture
def measured(monkeypatch):
    """The names of the files that are decoded, in order."""
    names = []
    real = corpus_module.measure
    monkeypatch.setattr(
        corpus_module, "measure", lambda path: names.append(path.name) or real(path)
    )
    return names


def lines_of(manifest):
    return [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]


def tree(folder):
    return sorted(path.as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("workers", [1, 3])
def test_every_file_is_accepted_or_skipped_by_name_with_the_reason(nasty, manifest, workers):
    before = tree(nasty)
    corpus = scan(nasty, manifest=manifest, workers=workers)
    assert {recording.id for recording in corpus} == GOOD
    skipped = {one.id: one.reason for one in corpus.skipped}
    assert skipped.keys() == REASONS.keys()
    for name, reason in REASONS.items():
        assert reason in skipped[name]
        assert str(nasty) not in skipped[name]
    assert tree(nasty) == before
    assert [line["id"] for line in lines_of(manifest)] == sorted(GOOD | REASONS.keys())


def test_what_is_measured(folder, save, manifest):
    save("stereo.flac", 25.0, channels=2, rate=22050)
    loud = np.concatenate([np.zeros(8000), np.ones(8000)])
    soundfile.write(folder / "half silent.wav", loud, 8000, subtype="FLOAT")
    half, stereo = scan(folder, manifest=manifest)
    assert (stereo.measured.sample_rate, stereo.measured.channels) == (22050, 2)
    assert stereo.duration_s == 25.0
    assert stereo.measured.silence < 0.05
    assert stereo.measured.clipping == 0
    assert half.measured.silence == pytest.approx(0.5, abs=0.05)
    assert half.measured.clipping == pytest.approx(0.5, abs=0.01)
    assert half.read(start_s=1.5).samples.shape == (1, 4000)
    assert stereo.title == "stereo"


def test_the_manifest_is_read_back_as_it_was(nasty, manifest):
    corpus = scan(nasty, manifest=manifest)
    again = Corpus.load(manifest)
    assert again.recordings == corpus.recordings
    assert again.skipped == corpus.skipped
    assert again.digest == corpus.digest
    line = next(line for line in lines_of(manifest) if line["id"] == "good.wav")
    assert line["duration"] == 1.0
    assert line["path"] == str(nasty / "good.wav")


def test_a_second_scan_decodes_only_what_has_changed(folder, save, manifest, measured):
    for name in ("a.wav", "b.wav", "c.wav"):
        save(name)
    scan(folder, manifest=manifest, workers=1)
    save("b.wav", 2.0)
    save("d.wav")
    (folder / "c.wav").unlink()
    measured.clear()
    corpus = scan(folder, manifest=manifest, workers=1)
    assert measured == ["b.wav", "d.wav"]
    assert [recording.id for recording in corpus] == ["a.wav", "b.wav", "d.wav"]
    assert corpus.recordings[1].duration_s == 2.0


def test_an_interrupted_scan_goes_on_where_it_was(folder, save, manifest, measured):
    for number in range(5):
        save(f"{number}.wav", hz=200 + number)

    def stop(done, total, name):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(folder, manifest=manifest, workers=1, progress=stop)
    assert not manifest.exists()
    partial = manifest.with_name("manifest.jsonl.partial")
    with partial.open("a") as file:
        file.write('{"id": "3.wav", "siz')  # what a kill leaves
    corpus = scan(folder, manifest=manifest, workers=1)
    assert measured == ["0.wav", "1.wav", "2.wav", "3.wav", "4.wav"]
    assert len(corpus) == 5
    assert list(manifest.parent.iterdir()) == [manifest]


def test_skipped_files_are_looked_at_again(folder, save, manifest):
    (folder / "a.wav").write_bytes(b"")
    save("b.wav")
    assert len(scan(folder, manifest=manifest)) == 1
    save("a.wav")
    assert len(scan(folder, manifest=manifest).skipped) == 0


def test_side_cars_are_merged_and_keep_works_together(folder, save, manifest):
    for number in range(8):
        save(f"take {number}.wav", hz=200 + 10 * number)
        side_car = {
            "work": f"work {number % 2}",
            "title": f"Take {number}",
            "composer": "Clara Schumann",
            "licence": "CC0",
            "labels": {"mood": "calm"},
            "render": {"anything": [1, 2]},
        }
        (folder / f"take {number}.json").write_text(json.dumps(side_car))
    corpus = scan(folder, manifest=manifest)
    first = corpus.recordings[0]
    assert (first.work, first.title, first.licence) == ("work 0", "Take 0", "CC0")
    assert first.labels == {"composer": "Clara Schumann", "mood": "calm"}
    for work in ("work 0", "work 1"):
        assert len({recording.split for recording in corpus if recording.work == work}) == 1
    assert {recording.split for recording in corpus} == {"train", "valid"}
    (folder / "take 0.json").write_text('{"title": "New title"}')
    assert scan(folder, manifest=manifest).recordings[0].title == "New title"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not readable JSON"),
        ("[1]", "holds list; expected an object"),
        ('{"work": 3}', "work is 3; expected a text"),
        ('{"split": "holdout"}', "split is 'holdout'; expected train, valid, test"),
        ('{"labels": {"bpm": 120}}', "expected texts by name"),
    ],
)
def test_a_recording_with_a_broken_side_car_is_skipped(folder, save, manifest, text, reason):
    save("a.wav")
    (folder / "a.json").write_text(text)
    corpus = scan(folder, manifest=manifest)
    assert not corpus.recordings
    assert reason in corpus.skipped[0].reason
    (folder / "a.json").unlink()
    assert len(scan(folder, manifest=manifest)) == 1


def test_the_same_audio_twice_lands_on_one_side(folder, save, manifest):
    for number in range(30):
        samples, rate = soundfile.read(save(f"{number}.wav", 0.2, hz=200 + number), dtype="int16")
        copy = folder / "copies" / f"copy of {number}.flac"
        copy.parent.mkdir(exist_ok=True)
        soundfile.write(copy, samples, rate)
    corpus = scan(folder, manifest=manifest, valid=0.3)
    by_audio = {}
    for recording in corpus:
        by_audio.setdefault(recording.audio_sha256, set()).add(recording.split)
    assert len(by_audio) == 30
    assert all(len(splits) == 1 for splits in by_audio.values())
    assert summary(corpus)["duplicates"] == 30
    assert {recording.split for recording in corpus} == {"train", "valid"}


def test_several_folders_are_one_dataset(tmp_path, save, manifest):
    places = [tmp_path / "x" / "music", tmp_path / "y" / "music"]
    for number, place in enumerate(places):
        place.mkdir(parents=True)
        save("a.wav", 1.0 + number).rename(place / "a.wav")
    corpus = scan(places, manifest=manifest)
    assert [(r.id, r.duration_s) for r in corpus] == [("music-2/a.wav", 2.0), ("music/a.wav", 1.0)]
    with pytest.raises(DataError, match="lies in"):
        scan([tmp_path / "x", places[0]], manifest=manifest)


def test_linked_folders_outside_are_followed_once(tmp_path, folder, save, manifest):
    save("a.wav").rename(tmp_path / "b.wav")
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "b.wav").rename(outside / "b.wav")
    os.symlink(outside, folder / "one")
    os.symlink(outside, folder / "two")
    os.symlink(tmp_path, outside / "up")
    assert [r.id for r in scan(folder, manifest=manifest)] == ["one/b.wav"]


def test_a_file_name_that_is_not_text_is_skipped_by_name(folder, save, manifest):
    broken = os.fsdecode(b"caf\xe9.wav")
    save("plain.wav").rename(folder / broken)
    scan(folder, manifest=manifest)
    skipped = Corpus.load(manifest).skipped
    assert [one.id for one in skipped] == [broken]
    assert "rename it" in skipped[0].reason


def test_places_that_cannot_be(folder, save, tmp_path, manifest):
    save("a.wav")
    with pytest.raises(DataError, match="never written to"):
        scan(folder, manifest=folder / "deep" / "manifest.jsonl")
    with pytest.raises(DataError, match="is not a folder"):
        scan(tmp_path / "missing", manifest=manifest)
    with pytest.raises(DataError, match="no split 'dev'"):
        scan(folder, manifest=manifest).split("dev")
    manifest.write_text('{"id": "a.wav"}\n')
    with pytest.raises(DataError, match="not a readable manifest"):
        Corpus.load(manifest)
    assert len(scan(folder, manifest=manifest)) == 1


def test_memory_does_not_grow_with_the_length_of_a_file(save):
    peaks = []
    for seconds in (60, 600):
        path = save("long.wav", seconds, subtype="PCM_16")
        tracemalloc.start()
        measure(path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_progress_counts_every_file(nasty, manifest):
    reports = []
    scan(nasty, manifest=manifest, workers=2, progress=lambda *report: reports.append(report))
    total = len(GOOD) + len(REASONS)
    assert [done for done, _, _ in reports] == list(range(total + 1))
    assert {report[1] for report in reports} == {total}


def test_the_summary_adds_up(nasty, manifest):
    report = summary(scan(nasty, manifest=manifest))
    assert report["files"] == len(GOOD)
    assert sum(report["sample_rates"].values()) == len(GOOD)
    assert report["channels"] == {"1": 5, "2": 1}
    assert report["hours"] == pytest.approx(6 / 3600, rel=0.05)
    assert sum(split["files"] for split in report["splits"].values()) == len(GOOD)
    assert len(report["skipped"]) == len(REASONS)
    json.dumps(report, allow_nan=False)
