"""`report` end to end: one page, no half-written one, the same systems told apart."""

import json

import numpy as np
import pytest

from ritornello.audio.io import write_audio
from ritornello.cli.evaluate import bench_of, judge_target, setting_of
from ritornello.cli.main import main
from ritornello.cli.report import build_parser, part_of, training_of, write_whole
from ritornello.evaluation import descriptors, long_pieces
from ritornello.evaluation.clips import clips_of
from ritornello.interfaces import Audio

RATE = 16000
FAST = ("--clips", 2, "--seconds", 0.5, "--takes", 1, "--metrics", "frechet,level")


@pytest.fixture
def folders(tmp_path):
    """Three folders of noisy tones: `a/takes`, `b/takes` and `real`."""
    draw = np.random.default_rng(0)
    for name in ("a/takes", "b/takes", "real"):
        (tmp_path / name).mkdir(parents=True)
        for number in range(4):
            wave = 0.1 * draw.standard_normal((1, RATE)).astype(np.float32)
            write_audio(tmp_path / name / f"{number}.wav", Audio(samples=wave, sample_rate=RATE))
    return tmp_path


def report(*words):
    return main(["report", *map(str, words)])


@pytest.mark.slow
def test_two_folders_on_one_page(folders, capsys):
    out = folders / "report.html"
    targets = (folders / "a/takes", folders / "b/takes")
    words = ("--reference", folders / "real", *FAST, "-o", out, "--title", "Mine <b>", "--json")
    assert report(*targets, *words) == 0
    result = json.loads(capsys.readouterr().out)
    assert list(result["systems"]) == ["takes", "takes (2)"]
    assert result["bytes"] == out.stat().st_size
    text = out.read_text(encoding="utf-8")
    assert "<h1>Mine &lt;b&gt;</h1>" in text
    assert text.count("<audio") == 3
    assert "ritornello report" in text


@pytest.mark.slow
def test_the_reference_is_transcribed_and_followed_once_for_all_targets(folders, monkeypatch):
    transcribed, followed = [], []
    describe, hear_long = descriptors.describe, long_pieces.hear_long

    def describe_and_tell(samples, rate):
        transcribed.append(samples.tobytes())
        return describe(samples, rate)

    def hear_and_tell(clips, what, progress):
        followed.append(what)
        return hear_long(clips, what, progress)

    monkeypatch.setattr(descriptors, "describe", describe_and_tell)
    monkeypatch.setattr(long_pieces, "hear_long", hear_and_tell)
    words = ("--clips", 2, "--seconds", 0.5, "--takes", 1, "--long", 1, "--long-seconds", 1)
    targets = (folders / "a/takes", folders / "b/takes")
    out = folders / "report.html"
    assert report(*targets, "--reference", folders / "real", *words, "-o", out) == 0
    assert len(transcribed) == len(set(transcribed)) == 4 + 2 + 2
    assert followed == ["generated", "reference", "generated"]


@pytest.mark.parametrize("late", ["empty", "typo"])
def test_every_target_is_checked_before_one_is_judged(folders, capsys, monkeypatch, late):
    (folders / "empty").mkdir()
    monkeypatch.setattr("ritornello.cli.report.judge_target", never)
    out = folders / "report.html"
    targets = (folders / "a/takes", folders / late)
    assert report(*targets, "--reference", folders / "real", *FAST, "-o", out) == 1
    assert late in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("training", "says"), [("b/takes", "held-out clips; expected at least"), ("typo", "typo")]
)
def test_the_training_music_is_checked_before_a_target_is_judged(
    folders, capsys, monkeypatch, training, says
):
    monkeypatch.setattr("ritornello.cli.report.judge_target", never)
    words = ("--reference", folders / "real", *FAST, "--training", folders / training)
    assert report(folders / "a/takes", *words, "-o", folders / "report.html") == 1
    assert says in capsys.readouterr().err


def test_training_music_that_can_be_searched_is_taken(tmp_path):
    draw = np.random.default_rng(0)
    for name in ("train", "real"):
        (tmp_path / name).mkdir()
        wave = 0.1 * draw.standard_normal((1, 41 * 8000)).astype(np.float32)
        write_audio(tmp_path / name / "a.wav", Audio(samples=wave, sample_rate=8000))
    words = ["x", "--reference", str(tmp_path / "real"), "--seconds", "5", "--clips", "4"]
    setting = setting_of(build_parser().parse(words))
    reference = clips_of(tmp_path / "real", seconds=5.0, count=8)
    training = training_of(tmp_path / "train", reference, setting, lambda *_: None)
    assert training is not None
    assert len(training) == 8
    assert training_of(None, reference, setting, lambda *_: None) is None


def test_what_was_judged_survives_a_search_without_notes(folders):
    """Noise has too few onsets to be searched: the page says so, and has the figures."""
    words = ["--reference", str(folders / "real"), *map(str, FAST), "--long", "0"]
    setting = setting_of(build_parser().parse(["x", *words]))
    target = str(folders / "a/takes")
    judged = judge_target(target, bench_of([target], setting), folders, lambda *_: None)
    part = part_of(judged, 1, judged.reference, setting, lambda *_: None)
    assert part.figures == judged.judgement.figures
    assert part.originality_warnings[0].startswith("No originality: ")


def never(*args):
    raise AssertionError("judged before all was checked")


def test_the_page_needs_a_name_that_browsers_know(folders, capsys):
    words = (folders / "real", "--reference", folders / "real", "-o", folders / "report.pdf")
    assert report(*words) == 1
    assert ".html" in capsys.readouterr().err


def test_a_page_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "page.html"
    write_whole(path, "old")
    with pytest.raises(UnicodeEncodeError, match="surrogates"):
        write_whole(path, "\ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
