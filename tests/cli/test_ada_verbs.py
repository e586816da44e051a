"""Every verb that plays, with an ADA stack: prompts, levels, temperatures, refusals."""

import json

import numpy as np
import pytest
from tests.ada.stacks import RATE, drawn_stack

from ritornello.ada import sampling
from ritornello.audio.io import read_audio, read_provenance, write_audio
from ritornello.cli.main import main
from ritornello.interfaces import Audio
from ritornello.native.library import available_paths


@pytest.fixture(scope="module")
def ada_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "stack"
    drawn_stack(2).save(folder)
    return folder


@pytest.fixture
def recording(tmp_path):
    """Half a second of stereo sound at another rate than the model's."""
    time = np.arange(22050) / 44100
    wave = 0.3 * np.sin(2 * np.pi * 220 * time)
    samples = np.stack([wave, wave]).astype(np.float32)
    write_audio(tmp_path / "in.wav", Audio(samples=samples, sample_rate=44100))
    return tmp_path / "in.wav"


@pytest.fixture
def ritornello(capsys):
    """Run a command line with --json: exit code, result, stderr."""

    def call(*words):
        code = main([*map(str, words), "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out), err

    return call


def test_generate_then_replay(tmp_path, ada_model, ritornello):
    out = tmp_path / "a.wav"
    words = ["--seconds", 0.4, "--seed", 3, "--temperatures", "0.9,0.95,1", "--top-p", 0.95]
    code, result, _ = ritornello("generate", ada_model, "-o", out, *words)
    assert code == 0
    assert result["takes"][0]["seconds"] == 0.4
    code, result, _ = ritornello("replay", out)
    assert (code, result["identical"], result["differences"]) == (0, True, {})


def test_a_file_says_how_its_steps_were_computed(tmp_path, ada_model, ritornello, monkeypatch):
    out = tmp_path / "a.wav"
    assert ritornello("stream", ada_model, "--to", out, "--seconds", 0.2)[0] == 0
    fastest = (*available_paths(), "torch")[0]
    record = read_provenance(out)
    assert record["kernel_path"].startswith("torch ")
    assert record["kernel_path"].endswith(f", steps {fastest}")
    assert (record["precision"], "kernel" in record) == ("float32", False)
    assert ritornello("replay", out)[1]["differences"] == {}
    monkeypatch.setattr(sampling, "available_paths", tuple)
    differences = ritornello("replay", out)[1]["differences"]
    if fastest == "torch":
        assert not differences
    else:
        assert set(differences) == {"kernel_path"}
        assert differences["kernel_path"]["now"].endswith(", steps torch")


@pytest.mark.skipif(not available_paths(), reason="the compiled step is not installed")
def test_a_file_says_that_it_was_made_of_bytes(tmp_path, ada_model, ritornello):
    out = tmp_path / "a.wav"
    words = ["--seconds", 0.2, "--precision", "int8"]
    assert ritornello("generate", ada_model, "-o", out, *words)[0] == 0
    assert read_provenance(out)["precision"] == "int8"
    assert ritornello("replay", out)[1]["identical"]


def test_takes_are_the_pieces_of_their_seeds(tmp_path, ada_model, ritornello):
    words = ["--seconds", 0.2, "-o", tmp_path / "a.wav"]
    assert ritornello("generate", ada_model, "-n", 2, *words)[0] == 0
    assert ritornello("generate", ada_model, "--seed", 1, *words)[0] == 0
    second = read_audio(tmp_path / "a-2.wav").samples
    assert np.array_equal(second, read_audio(tmp_path / "a.wav").samples)


def test_continue_writes_the_prompt_and_then_new_music(tmp_path, ada_model, recording, ritornello):
    out = tmp_path / "more.wav"
    words = ["generate", ada_model, "--continue", recording, "-o", out, "--seconds", 0.3]
    assert ritornello(*words)[0] == 0
    piece = read_audio(out)
    assert (piece.samples.shape, piece.sample_rate) == ((1, round(0.8 * RATE)), RATE)
    prompt = read_audio(recording, sample_rate=RATE, channels=1).samples
    heard = slice(100, 900)
    gain = (piece.samples[0, heard] @ prompt[0, heard]) / (prompt[0, heard] @ prompt[0, heard])
    assert 0.5 < gain <= 1.001
    np.testing.assert_allclose(piece.samples[0, heard], gain * prompt[0, heard], atol=0.02)
    assert ritornello("replay", out)[1]["identical"]
    assert ritornello(*words[:-4], "-o", recording)[0] == 1


def test_stream_is_the_piece(tmp_path, ada_model, ritornello):
    for verb, flag, name in (("generate", "-o", "a.flac"), ("stream", "--to", "b.flac")):
        code, _, _ = ritornello(verb, ada_model, flag, tmp_path / name, "--seconds", 0.6)
        assert code == 0
    whole, streamed = (read_audio(tmp_path / n).samples[0] for n in ("a.flac", "b.flac"))
    assert whole.shape == streamed.shape
    # a stream's gain is fixed and its offset left in; the music is the same
    assert np.corrcoef(whole, streamed)[0, 1] > 0.999


@pytest.mark.parametrize("level", [1, 2])
def test_encode_then_decode_is_reconstruct(tmp_path, ada_model, recording, ritornello, level):
    codes, out, straight = (tmp_path / n for n in ("in.safetensors", "out.wav", "straight.wav"))
    code, result, _ = ritornello("encode", ada_model, recording, "-o", codes, "--level", level)
    assert code == 0
    assert result["kind"] == "codes"
    assert result["shape"] == [1, 1, 1000 // (4 * level)]
    assert ritornello("decode", codes, "-o", out)[0] == 0
    words = ["reconstruct", ada_model, recording, "-o", straight, "--level", level]
    assert ritornello(*words)[0] == 0
    assert np.array_equal(read_audio(out).samples, read_audio(straight).samples)


def test_reconstruct_without_a_level_uses_all(tmp_path, ada_model, recording, ritornello):
    for name, words in (("all.wav", []), ("two.wav", ["--level", 2])):
        ritornello("reconstruct", ada_model, recording, "-o", tmp_path / name, *words)
    both = [read_audio(tmp_path / name).samples for name in ("all.wav", "two.wav")]
    assert np.array_equal(*both)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["reconstruct", "IN", "--level", "3"], "level is 3; this model has 1, 2"),
        (["encode", "IN", "--level", "0"], "level is 0; this model has 1, 2"),
        (["generate", "--continue", "SHORT"], "the prompt lasts 2 ms; expected at least 4 ms"),
        (["generate", "--temperatures", "1,1"], "got 2 temperatures; expected 3"),
        (["generate", "--precision", "fp8"], "precision is 'fp8'"),
        (["generate", "--to-seed", "4"], "system ada has no such option"),
        (["generate", "--form", "AABA"], "cannot do 'form'"),
        (["stream", "--seek", "4", "--seconds", "1"], "cannot take --seek"),
    ],
)
def test_what_makes_no_sense_is_one_line(tmp_path, ada_model, recording, capsys, words, message):
    short = tmp_path / "short.wav"
    write_audio(short, Audio(samples=np.zeros((1, 88), np.float32), sample_rate=44100))
    names = {"IN": recording, "SHORT": short}
    verb, *rest = (str(names.get(word, word)) for word in words)
    out = tmp_path / ("o.safetensors" if verb == "encode" else "o.wav")
    flag = "--to" if verb == "stream" else "-o"
    assert main([verb, str(ada_model), *rest, flag, str(out)]) == 1
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_other_systems_refuse_what_only_stacks_have(tmp_path, nano_model, recording, capsys):
    out = str(tmp_path / "o.wav")
    words = ["reconstruct", str(nano_model), str(recording), "-o", out, "--level", "1"]
    assert main(words) == 1
    assert "musika model, whose codec is one whole" in capsys.readouterr().err
    assert main(["generate", str(nano_model), "-o", out, "--temperatures", "1,1"]) == 1
    assert "system musika has no such option" in capsys.readouterr().err
    assert main(["generate", str(nano_model), "-o", out, "--temperatures", "1,x"]) == 2
    assert "expected numbers with commas between" in capsys.readouterr().err
