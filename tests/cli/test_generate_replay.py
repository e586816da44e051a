"""`generate` and `replay` end to end: same bytes, takes, forms, provenance, refusals."""

import json

import numpy as np
import pytest

from ritornello.audio.io import read_audio, read_provenance, write_audio
from ritornello.cli import generate
from ritornello.cli.main import main
from ritornello.interfaces import Audio


@pytest.fixture
def ritornello(capsys):
    """Run a command line with --json: exit code, result, stderr."""

    def call(*words):
        code = main([*map(str, words), "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out), err

    return call


def test_the_same_call_writes_the_same_bytes(tmp_path, nano_model, ritornello):
    for name in ("a.wav", "b.wav"):
        code, result, _ = ritornello(
            "generate", nano_model, "-o", tmp_path / name, "--seconds", 1.5, "--seed", 3
        )
        assert code == 0
        (take,) = result["takes"]
        assert (take["seconds"], take["sample_rate"], take["seed"]) == (1.5, 22050, 3)
        assert take["times_real_time"] > 0
        assert take["gain_db"] <= 0
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_a_file_says_how_it_was_made(tmp_path, nano_model, ritornello):
    ritornello("generate", nano_model, "-o", tmp_path / "a.wav", "--seconds", 1, "--to-seed", 7)
    record = read_provenance(tmp_path / "a.wav")
    assert record["model"] == str(nano_model)
    assert record["request"]["seconds"] == 1.0
    assert record["options"]["to_seed"] == 7
    assert len(record["weights_sha256"]) == 64
    assert {"ritornello", "torch", "threads", "precision", "kernel_path", "gain_db"} <= set(record)
    assert not any(key for key in record if "date" in key or "time" in key)


def test_takes_have_their_own_seeds(tmp_path, nano_model, ritornello):
    out = tmp_path / "take.wav"
    _, result, _ = ritornello("generate", nano_model, "-o", out, "--seconds", 0.5, "-n", 2)
    assert [take["seed"] for take in result["takes"]] == [0, 1]
    one, two = (read_audio(take["path"]).samples for take in result["takes"])
    assert (tmp_path / "take-1.wav").exists()
    assert not np.array_equal(one, two)
    ritornello("generate", nano_model, "-o", out, "--seconds", 0.5, "--seed", 1)
    assert np.array_equal(read_audio(out).samples, two)


def test_a_form_prints_its_sections_as_rounded(tmp_path, nano_model, ritornello):
    _, result, _ = ritornello(
        "generate", nano_model, "-o", tmp_path / "a.wav", "--form", "A:1,B:1,A:1"
    )
    sections = result["takes"][0]["sections"]
    assert [letter for letter, _, _ in sections] == ["A", "B", "A"]
    assert sections[-1][2] == pytest.approx(result["takes"][0]["seconds"], abs=1e-4)
    assert (
        main(
            [
                "generate",
                str(nano_model),
                "-o",
                str(tmp_path / "a.wav"),
                "--form",
                "AB",
                "--seconds",
                "2",
            ]
        )
        == 0
    )


def test_controls_reach_the_music(tmp_path, nano_model, ritornello):
    curve = tmp_path / "curve.csv"
    curve.write_text("0,0\n1,1\n")
    for name, control in (("a", "density=0"), ("b", "density=1"), ("c", f"density={curve}")):
        out = tmp_path / f"{name}.wav"
        code, _, _ = ritornello("generate", nano_model, "-o", out, "--seconds", 1, "--set", control)
        assert code == 0
    a, b, c = (read_audio(tmp_path / f"{name}.wav").samples for name in "abc")
    assert not np.array_equal(a, b)
    assert not np.array_equal(b, c)


def test_a_long_piece_is_streamed_and_sounds_the_same(
    tmp_path, nano_model, ritornello, monkeypatch
):
    words = ("generate", nano_model, "--seconds", 2.5, "-o")
    ritornello(*words, tmp_path / "whole.wav")
    monkeypatch.setattr(generate, "WHOLE_UP_TO_S", 2.0)
    ritornello(*words, tmp_path / "streamed.wav")
    ways = [read_provenance(tmp_path / name) for name in ("whole.wav", "streamed.wav")]
    assert [way["how"] for way in ways] == ["whole", "stream"]
    whole, streamed = (
        read_audio(tmp_path / name).samples / 10 ** (way["gain_db"] / 20)
        for name, way in zip(("whole.wav", "streamed.wav"), ways, strict=True)
    )
    middle = slice(1000, -1000)
    whole -= whole.mean(axis=1, keepdims=True)
    streamed -= streamed.mean(axis=1, keepdims=True)
    assert np.abs(whole[:, middle] - streamed[:, middle]).max() < 1e-3


@pytest.mark.parametrize("how", ["whole", "stream"])
def test_replay_makes_the_same_bits(tmp_path, nano_model, ritornello, monkeypatch, how):
    if how == "stream":
        monkeypatch.setattr(generate, "WHOLE_UP_TO_S", 0.5)
    out = tmp_path / "a.wav"
    ritornello(
        *("generate", nano_model, "-o", out, "--form", "A:1,B:1", "--set", "density=0.7"),
        *("--seed", 5, "--to-seed", 6, "--temperature", 0.9),
    )
    code, result, _ = ritornello("replay", out)
    assert (code, result["identical"], result["differences"]) == (0, True, {})


def test_replay_says_what_differs(tmp_path, nano_model, ritornello):
    from ritornello.audio.io import write_audio
    from ritornello.interfaces import Audio

    ritornello("generate", nano_model, "-o", tmp_path / "a.wav", "--seconds", 1)
    record = {**read_provenance(tmp_path / "a.wav"), "torch": "1.0"}
    samples = read_audio(tmp_path / "a.wav").samples
    write_audio(tmp_path / "b.wav", Audio(samples=samples * 0.5, sample_rate=22050, meta=record))
    code, result, _ = ritornello("replay", tmp_path / "b.wav")
    assert code == 1
    assert not result["identical"]
    assert result["largest_difference"] > 0.01
    assert result["differences"]["torch"]["then"] == "1.0"


def test_replay_refuses_a_file_that_says_nothing(tmp_path, ritornello):
    from ritornello.audio.io import write_audio
    from ritornello.interfaces import Audio

    write_audio(tmp_path / "a.wav", Audio(samples=np.ones((1, 9), np.float32), sample_rate=8000))
    code, result, err = ritornello("replay", tmp_path / "a.wav")
    assert code == 1
    assert "does not say how it was made" in result["error"]
    assert err.startswith("error: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--continue", "{audio}"], "'continue'; systems that can: ada"),
        (["--mix", "{audio}", "--stem", "bass"], "'accompany'"),
        (["--composer", "bach"], "'labels'"),
        (["--lyrics", "{text}"], "'lyrics'"),
        (["--seconds", "-1"], "expected a positive number"),
        (["--seed", "-1"], "whole number >= 0"),
        (["--threads", "0"], "1 to 1024"),
        (["-n", "0"], "at least 1"),
        (["--set", "desnity=0.7"], "desnity"),
        (["--form", "A:x"], "expected letters"),
        (["-o", "{folder}/none/a.wav"], "there is no folder"),
        (["-o", "{folder}/a.mp3"], "ending in .wav or .flac"),
    ],
)
def test_refusals_leave_nothing_behind(tmp_path, nano_model, ritornello, words, message):
    from ritornello.audio.io import write_audio
    from ritornello.interfaces import Audio

    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 22050)).astype(np.float32)
    write_audio(tmp_path / "in.wav", Audio(samples=noise, sample_rate=22050))
    (tmp_path / "words.txt").write_text("la la")
    before = sorted(tmp_path.iterdir())
    places = {"audio": tmp_path / "in.wav", "text": tmp_path / "words.txt", "folder": tmp_path}
    given = [word.format(**places) for word in words]
    code, result, err = ritornello(
        "generate", nano_model, "-o", tmp_path / "out.wav", "--seconds", 1, *given
    )
    assert code == 1
    assert message in result["error"]
    assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_an_unknown_model_is_named(tmp_path, ritornello):
    code, result, _ = ritornello("generate", "no-such-model", "-o", tmp_path / "a.wav")
    assert code == 1
    assert "no-such-model" in result["error"]


def test_a_silent_file_has_no_peak(tmp_path, nano_model, ritornello):
    code, result, _ = ritornello(
        "generate", nano_model, "-o", tmp_path / "a.wav", "--seconds", 1e-9
    )
    assert code == 0
    assert result["takes"][0]["peak_dbfs"] is None


def test_an_empty_form_is_refused(tmp_path, nano_model, ritornello):
    code, result, _ = ritornello("generate", nano_model, "-o", tmp_path / "a.wav", "--form", "")
    assert (code, result["kind"]) == (1, "ConfigError")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("lost", ["model", "threads", "how", "inputs", "options"])
def test_half_a_record_cannot_be_replayed(tmp_path, ritornello, lost):
    record = {
        "request": {},
        "model": "x",
        "threads": 1,
        "how": "whole",
        "inputs": {},
        "options": {},
    }
    del record[lost]
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 1000)).astype(np.float32)
    write_audio(tmp_path / "a.wav", Audio(samples=noise, sample_rate=8000, meta=record))
    code, result, _ = ritornello("replay", tmp_path / "a.wav")
    assert (code, result["kind"]) == (1, "DataError")
    assert f"no {lost}" in result["error"]
