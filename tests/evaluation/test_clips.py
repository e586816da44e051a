import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.data.corpus import scan
from ritornello.errors import AudioError, ConfigError, DataError
from ritornello.evaluation import clips
from ritornello.evaluation.clips import Clip, clips_of

RATE = 8000


def counting(seconds, rate=RATE, channels=1):
    """Audio whose every sample tells its own place: a rising ramp, (time, channels)."""
    ramp = np.linspace(-0.9, 0.9, round(seconds * rate), dtype=np.float32)
    return np.repeat(ramp[:, None], channels, axis=1)


def write(path, samples, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="FLOAT" if path.suffix == ".wav" else None)
    return path


@pytest.fixture
def folder(tmp_path):
    for name, seconds in {"a": 5.5, "b": 9.0, "sub/c": 3.2}.items():
        write(tmp_path / "music" / f"{name}.wav", counting(seconds))
    return tmp_path / "music"


def places(chosen):
    return {(clip.path.name, clip.start_s) for clip in chosen}


def test_every_place_is_taken_once_and_none_overlap(folder):
    chosen = clips_of(folder, seconds=1.0, count=None)
    assert len(chosen) == 5 + 9 + 3 == len(places(chosen))
    for path in {clip.path for clip in chosen}:
        starts = sorted(clip.start_s for clip in chosen if clip.path == path)
        assert np.all(np.diff(starts) >= 1.0 - 1e-9)
        assert starts[0] >= 0
        assert starts[-1] + 1.0 <= soundfile.info(path).duration + 1e-9
    assert chosen.skipped == ()
    assert chosen.warnings == []


@given(seconds=st.floats(0.1, 3.0), seed=st.integers(0, 10), frames=st.integers(24_000, 90_000))
@settings(max_examples=8)
def test_places_of_a_recording_lie_apart_and_inside(seconds, seed, frames):
    source = clips._Source(id="x", path=Path("x.wav"), sample_rate=RATE, frames=frames)
    length = round(seconds * RATE)
    starts = np.sort(clips._places(source, seconds, seed))
    assert len(starts) == max(1, frames // length)
    assert np.all(np.diff(starts) >= length)
    assert starts[0] >= 0
    assert starts[-1] + length <= max(frames, length)


def test_recordings_are_taken_in_turn(folder):
    names = [clip.path.name for clip in clips_of(folder, seconds=1.0, count=9)]
    assert sorted(names[:3]) == sorted(names[3:6]) == ["a.wav", "b.wav", "c.wav"]
    assert names[:3] == names[3:6] == names[6:9]


def test_same_seed_same_clips_and_more_only_adds(folder):
    few, many = (list(clips_of(folder, seconds=1.0, count=n, seed=4)) for n in (4, 11))
    assert many[:4] == few
    assert few != list(clips_of(folder, seconds=1.0, count=4, seed=5))


def test_other_recordings_do_not_move_the_places(folder):
    before = places(clips_of(folder, seconds=1.0, count=None))
    write(folder / "d.wav", counting(4.0))
    assert before < places(clips_of(folder, seconds=1.0, count=None))


def test_a_clip_reads_exactly_its_place(folder):
    clip = clips_of(folder / "b.wav", seconds=1.5, count=1)[0]
    start = round(clip.start_s * RATE)
    whole = counting(9.0)[:, 0]
    np.testing.assert_array_equal(clip.read().samples[0], whole[start : start + 12_000])
    assert clip.name == f"b.wav@{clip.start_s:.3f}"


@pytest.mark.parametrize("rate", [11_025, 16_000, 44_100])
def test_all_clips_have_the_same_length_at_any_rate(folder, rate):
    shapes = {c.read(rate, 2).samples.shape for c in clips_of(folder, seconds=1.1, count=None)}
    assert shapes == {(2, round(1.1 * rate))}


def test_silent_places_are_replaced_by_others_of_the_recording(tmp_path):
    samples = counting(8.0)
    samples[: 4 * RATE] = 1e-4
    write(tmp_path / "half.wav", samples)
    chosen = clips_of(tmp_path, seconds=1.0, count=4)
    assert len(chosen) == 4
    assert all(clip.start_s > 3.0 for clip in chosen)
    everything = clips_of(tmp_path, seconds=1.0, count=None)
    assert len(everything) in (4, 5)
    assert "silent (below -60 dBFS)" in everything.skipped[0].reason


def test_what_cannot_be_used_is_listed_with_its_reason(folder):
    write(folder / "silent.wav", np.zeros(4 * RATE))
    write(folder / "short.wav", counting(0.5))
    write(folder / "many.wav", counting(4.0, channels=3))
    (folder / "text.wav").write_text("not music")
    (folder / "music.zip").write_bytes(b"PK")
    damaged = counting(4.0)
    damaged[3 * RATE] = np.nan
    write(folder / "nan.wav", damaged)
    chosen = clips_of(folder, seconds=1.0, count=None)
    reasons = {skipped.id: skipped.reason for skipped in chosen.skipped}
    assert reasons.keys() == {
        "silent.wav", "short.wav", "many.wav", "text.wav", "music.zip", "nan.wav"
    }  # fmt: skip
    assert reasons["silent.wav"] == "4 places of 1 s silent (below -60 dBFS)"
    assert reasons["short.wav"] == "lasts 0.500 s; expected 1 s or more"
    assert "3 channels" in reasons["many.wav"]
    assert "not an audio file" in reasons["text.wav"]
    assert "archive" in reasons["music.zip"]
    assert "NaN" in reasons["nan.wav"]
    assert "6 skipped" in chosen.warnings[0]
    assert "and 3 more" in chosen.warnings[0]


def test_fewer_than_asked_for_is_said(folder):
    chosen = clips_of(folder, seconds=3.0, count=50)
    assert len(chosen) == 1 + 3 + 1
    assert chosen.warnings == [f"{folder}: asked for 50 clips, there are 5"]


def test_a_recording_as_long_as_the_clip_but_for_rounding_serves(tmp_path):
    write(tmp_path / "take.wav", counting(1.99))
    clip = clips_of(tmp_path, seconds=2.0, count=None)[0]
    audio = clip.read()
    assert clip.start_s == 0
    assert audio.samples.shape == (1, 2 * RATE)
    assert np.all(audio.samples[:, round(1.99 * RATE) :] == 0)


def test_a_file_that_changed_is_refused(folder):
    clip = Clip(name="x", path=folder / "a.wav", start_s=5.0, seconds=2.0)
    with pytest.raises(AudioError, match=r"got 0\.500 s from 5\.000 s on"):
        clip.read()


def test_a_manifest_gives_its_split(folder, tmp_path):
    for name in ("a", "b"):
        side_car = {"split": "valid" if name == "a" else "train"}
        (folder / f"{name}.json").write_text(json.dumps(side_car))
    manifest = tmp_path / "manifest.jsonl"
    scan(folder, manifest=manifest, workers=1)
    assert "a.wav" in {
        c.path.name for c in clips_of(manifest, seconds=1, count=None, split="valid")
    }
    trained = clips_of(manifest, seconds=1.0, count=None, split="train")
    assert {clip.path.name for clip in trained} >= {"b.wav"}
    assert "a.wav" not in {clip.path.name for clip in trained}
    everything = clips_of(manifest, seconds=1.0, count=None)
    assert places(everything) == places(clips_of(folder, seconds=1.0, count=None))
    with pytest.raises(DataError, match="no splits: got split 'valid'"):
        clips_of(folder, seconds=1.0, count=1, split="valid")


def test_a_manifest_whose_file_has_gone_says_so(folder, tmp_path):
    manifest = tmp_path / "manifest.jsonl"
    scan(folder, manifest=manifest, workers=1)
    (folder / "a.wav").unlink()
    chosen = clips_of(manifest, seconds=1.0, count=None)
    assert [(skipped.id, skipped.reason) for skipped in chosen.skipped] == [
        ("a.wav", "no such file")
    ]


def test_progress_counts_the_clips(folder):
    told = []
    clips_of(folder, seconds=1.0, count=3, progress=lambda *step: told.append(step[:2]))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_slices_and_recordings(folder):
    chosen = clips_of(folder, seconds=1.0, count=6)
    assert list(chosen[2:4]) == list(chosen)[2:4]
    assert chosen[2:4].source == folder
    assert chosen.recordings == [str(clip.path) for clip in chosen]


def test_refuses_what_holds_no_clip(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        clips_of(tmp_path / "nowhere", seconds=1.0, count=1)
    with pytest.raises(DataError, match=r"has no audio; expected files ending in \.aif"):
        clips_of(tmp_path, seconds=1.0, count=1)
    write(tmp_path / "short.wav", counting(0.5))
    with pytest.raises(DataError, match=r"found 1 file, 1 skipped \(short\.wav: lasts 0\.500 s"):
        clips_of(tmp_path, seconds=1.0, count=1)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [({"seconds": 0.0}, r"clips of 0\.0 s"), ({"seconds": float("nan")}, "clips of nan"),
     ({"count": 0}, "count is 0"), ({"seed": -1}, "seed is -1")],
)  # fmt: skip
def test_refuses_settings_out_of_range(folder, wrong, match):
    with pytest.raises(ConfigError, match=match):
        clips_of(folder, **({"seconds": 1.0, "count": 1} | wrong))
