"""Every verb that plays, with a Jukebox: labels, levels, takes, refusals."""

import json

import numpy as np
import pytest
from tests.jukebox.players import RATE, drawn_jukebox, tone

from ritornello.audio.io import read_audio, read_provenance, write_audio
from ritornello.cli.main import main
from ritornello.interfaces import Audio


@pytest.fixture(scope="module")
def jukebox_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "jukebox"
    drawn_jukebox(levels=3).save(folder)
    return folder


@pytest.fixture
def ritornello(capsys):
    """Run a command line with --json: exit code, result, stderr."""

    def call(*words):
        code = main([*map(str, words), "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out), err

    return call


def test_generate_then_replay(tmp_path, jukebox_model, ritornello):
    out, take = tmp_path / "a.wav", tmp_path / "take"
    words = ["--seconds", 0.1, "--composer", "Bach", "--genre", "fugue", "--guidance", 2]
    code, result, _ = ritornello("generate", jukebox_model, "-o", out, "--save", take, *words)
    assert code == 0
    assert result["takes"][0]["seconds"] == 0.1
    record = read_provenance(out)
    assert record["request"]["labels"] == {"composer": "Bach", "genre": "fugue"}
    assert (record["options"]["save"], record["level"]) == (None, 0)
    code, result, _ = ritornello("replay", out)
    assert (code, result["identical"], result["differences"]) == (0, True, {})


def test_sketch_choose_go_on_and_upsample(tmp_path, jukebox_model, ritornello):
    """Co-composition: two sketches, the second one gone on with, then made whole."""
    takes, out = tmp_path / "takes", tmp_path / "a.wav"
    words = ["--level", 2, "--seconds", 0.08]
    code, result, _ = ritornello(
        "generate", jukebox_model, "-o", out, "-n", 2, "--save", takes, *words
    )
    assert (code, len(result["takes"])) == (0, 2)
    chosen, longer = takes / "take-2", tmp_path / "longer"
    words += ["--continue-codes", chosen, "--save", longer]
    assert ritornello("generate", jukebox_model, "-o", out, *words)[0] == 0
    assert read_audio(out).samples.shape == (1, round(0.16 * RATE))
    code, result, _ = ritornello("generate", jukebox_model, "-o", out, "--from-codes", longer)
    assert code == 0
    assert result["takes"][0]["seconds"] == 0.16
    assert ritornello("replay", out)[1]["identical"]


def test_stream_continues_a_recording(tmp_path, jukebox_model, ritornello):
    write_audio(tmp_path / "in.wav", tone(0.2, rate=44100, channels=2))
    out = tmp_path / "b.wav"
    words = ["--continue", tmp_path / "in.wav", "--seconds", 0.05, "--artist", "dvorak"]
    assert ritornello("stream", jukebox_model, "--to", out, *words)[0] == 0
    assert read_audio(out).samples.shape == (1, round(0.25 * RATE))


@pytest.mark.parametrize("level", [0, 2])
def test_encode_then_decode_is_reconstruct(tmp_path, jukebox_model, ritornello, level):
    write_audio(tmp_path / "in.wav", tone(0.128))
    codes, out, straight = (tmp_path / n for n in ("in.safetensors", "out.wav", "straight.wav"))
    words = [jukebox_model, tmp_path / "in.wav", "--level", level]
    code, result, _ = ritornello("encode", *words, "-o", codes)
    assert (code, result["shape"]) == (0, [1, 1, 1024 // (8 * 4**level)])
    assert ritornello("decode", codes, "-o", out)[0] == 0
    assert ritornello("reconstruct", *words, "-o", straight)[0] == 0
    assert np.array_equal(read_audio(out).samples, read_audio(straight).samples)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--composer", "bahc"], "unknown artist 'bahc'; did you mean 'bach'"),
        (["--lyrics", "TEXT"], "trained without lyrics"),
        (["--form", "ABAB"], "trained without recall"),
        (["--level", "3"], "level is 3; this model has 0, 1, 2"),
        (["--continue", "SHORT"], "the prompt lasts 2 ms; expected at least 16 ms"),
        (["--from-codes", "nowhere"], "holds no take; expected a folder that --save wrote"),
        (["--song-seconds", "-1"], "song_s is -1.0; expected a positive number"),
        (["--to-seed", "4"], "system jukebox has no such option"),
    ],
)
def test_what_makes_no_sense_is_one_line(tmp_path, jukebox_model, capsys, words, message):
    short, text, out = tmp_path / "short.wav", tmp_path / "text.txt", tmp_path / "o.wav"
    write_audio(short, Audio(samples=np.zeros((1, 88), np.float32), sample_rate=44100))
    text.write_text("la la")
    names = {"SHORT": str(short), "TEXT": str(text)}
    words = [names.get(word, word) for word in words]
    assert main(["generate", str(jukebox_model), *words, "-o", str(out)]) == 1
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_other_systems_refuse_what_only_a_jukebox_has(tmp_path, nano_model, capsys):
    words = ["generate", str(nano_model), "-o", str(tmp_path / "o.wav")]
    assert main([*words, "--song-seconds", "60"]) == 1
    assert "cannot take --song-seconds: system musika has no such option" in capsys.readouterr().err
    assert main([*words, "--lyrics", __file__]) == 1
    assert "systems that can: jukebox" in capsys.readouterr().err
