"""`evaluate` end to end on folders of audio and on a model that plays."""

import json
from pathlib import Path

import numpy as np
import pytest

from ritornello.audio.io import write_audio
from ritornello.cli.evaluate import build_parser, kept, lines, result_path, setting_of
from ritornello.cli.main import main
from ritornello.errors import ConfigError
from ritornello.evaluation.judgement import Judgement
from ritornello.interfaces import Audio

RATE = 16000


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two folders of tones with noise in them, four files each."""
    draw = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("audio")
    for name in ("takes", "real"):
        (root / name).mkdir()
        for number in range(4):
            time = np.arange(RATE) / RATE
            tone = np.sin(2 * np.pi * draw.uniform(200, 800) * time) * np.exp(-3 * time)
            wave = 0.2 * tone + 0.01 * draw.standard_normal((2, RATE))
            path = root / name / f"{number}.wav"
            write_audio(path, Audio(samples=wave.astype(np.float32), sample_rate=RATE))
    return root


@pytest.fixture
def evaluate(capsys):
    def call(*words):
        code = main(["evaluate", *map(str, words)])
        out, err = capsys.readouterr()
        return code, out, err

    return call


SMALL = ("--clips", 2, "--seconds", 0.5, "--metrics", "frechet,level")
LONG = ("--seconds", 0.5, "--long-seconds", 99)
NOPE = ("--seconds", 0.5, "--embedding", "nope")


def test_a_folder_against_a_folder_as_json(folders, evaluate, tmp_path):
    out = tmp_path / "takes.json"
    code, printed, _ = evaluate(
        folders / "takes", "--reference", folders / "real", *SMALL, "-o", out, "--json"
    )
    assert code == 0
    values = json.loads(printed)
    assert values == json.loads(out.read_text())
    judgement = Judgement.from_json(values)
    assert judgement.name == "takes"
    assert {"frechet_distance", "frechet_distance_null", "onset_rate_hz"} <= set(judgement.figures)
    made, real = judgement.material["generated"], judgement.material["reference"]
    assert (made["clips"], real["clips"]) == (2, 4)
    assert judgement.notes["setting"]["seconds"] == 0.5
    assert judgement.notes["command"].startswith("ritornello evaluate ")
    assert judgement.notes["speed"] is None


@pytest.mark.slow
def test_the_same_call_says_the_same(folders, evaluate):
    call = (folders / "takes", "--reference", folders / "real", *SMALL, "--json")
    assert evaluate(*call) == evaluate(*call)


def test_a_table_for_people(folders, evaluate):
    code, printed, _ = evaluate(folders / "takes", "--reference", folders / "real", *SMALL)
    assert code == 0
    assert printed.startswith("takes: 2 clips of 0.5 s")
    assert "Frechet distance by hand" in printed
    assert "what the figures are worth:" in printed
    assert "near real" in printed


def test_speed_is_in_the_table():
    side = {"clips": 1, "seconds": 1.0, "recordings": 1, "source": "x"}
    speed = {"times_real_time": 12.3, "threads": 1, "peak_memory_mb": 400.0}
    judgement = Judgement(
        name="m",
        figures={},
        material={"generated": side, "reference": side},
        notes={"speed": speed},
    )
    assert any("12.3 x real time" in line and "400 MB" in line for line in lines(judgement))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--metrics", "fda"), "there is no metric 'fda'; expected fad, "),
        (("--clips", 0), "expected at least 1"),
        (("--split", "valid"), "has no splits"),
        (("-o", "out.txt"), "expected a name ending in .json"),
        (("--metrics", "stereo,level", "--seconds", 99), "99 s"),
        (("--metrics", "level,structure", *LONG), "99 s"),
        (("--metrics", "fad", *NOPE), "expected musicnn, FILE.onnx, or a model"),
    ],
)
def test_refusals_in_one_line(folders, evaluate, words, says):
    code, _, err = evaluate(folders / "takes", "--reference", folders / "real", *words)
    assert code == 1
    assert says in err
    assert len(err.strip().splitlines()) == 1


def test_metrics_without_a_name_are_a_mistake_of_the_command_line(folders, evaluate):
    code, _, err = evaluate(folders / "takes", "--reference", folders / "real", "--metrics", ",")
    assert code == 2
    assert "--metrics names none; expected fad, kid" in err


def test_a_place_for_the_result_is_refused_before_judging(folders, evaluate):
    inside = folders / "real" / "result.json"
    code, _, err = evaluate(
        folders / "takes", "--reference", folders / "real", *SMALL, "-o", inside
    )
    assert code == 1
    assert "inside the reference" in err
    assert not inside.exists()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder that root cannot write to")
def test_a_folder_that_cannot_be_written_is_refused_before_judging(folders):
    with pytest.raises(ConfigError, match=r"cannot write /proc/result.json"):
        result_path(Path("/proc/result.json"), ".json", reference=folders / "real")


@pytest.mark.slow
def test_the_same_recordings_on_both_sides_are_told_first(folders, evaluate):
    words = ("--reference", folders / "real", *SMALL, "--json")
    code, printed, _ = evaluate(folders / "real", *words)
    assert code == 0
    warnings = json.loads(printed)["warnings"]
    assert "on both sides" in warnings[0]
    assert sum("on both sides" in warning for warning in warnings) == 1


def test_one_clip_is_no_clips():
    side = {"clips": 1, "seconds": 1.0, "recordings": 1, "source": "x"}
    judgement = Judgement(name="m", figures={}, material={"generated": side, "reference": side})
    assert lines(judgement)[0] == "m: 1 clip of 1 s from 1 recording, against 1 of x"


def test_an_empty_folder_and_one_that_is_not_there(folders, evaluate, tmp_path):
    for target in (tmp_path, tmp_path / "nowhere"):
        code, _, err = evaluate(target, "--reference", folders / "real", *SMALL)
        assert code == 1
        assert str(target) in err


def test_takes_are_kept_where_the_cache_is(tmp_path):
    with kept(tmp_path) as folder:
        assert folder == tmp_path / "takes"
    with kept(None) as folder:
        (folder / "x").touch()
    assert not folder.exists()


def test_defaults_are_what_the_help_says():
    setting = setting_of(build_parser().parse(["piano", "--reference", "music"]))
    assert (setting.clips, setting.seconds, setting.long_takes) == (32, 10.0, 4)
    assert setting.metrics is None
    assert setting.embeddings == ("musicnn",)


@pytest.mark.slow
def test_a_model_is_played_and_judged(folders, evaluate, nano_model, tmp_path):
    words = (nano_model, "--reference", folders / "real", *SMALL, "--cache", tmp_path, "--json")
    code, printed, err = evaluate(*words)
    assert code == 0, err
    judgement = Judgement.from_json(json.loads(printed))
    assert judgement.notes["speed"]["peak_memory_mb"] > 0
    assert len(list(tmp_path.glob("takes/*/*.flac"))) == 2
