"""`reconstruct`, `encode` and `decode`: exact lengths, the right weights, clear refusals."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file

from ritornello.audio.io import read_audio, write_audio
from ritornello.cli.main import main
from ritornello.interfaces import Audio


@pytest.fixture
def recording(tmp_path):
    """Half a second of mono sound at another rate than the model's."""
    time = np.arange(24000) / 48000
    samples = (0.3 * np.sin(2 * np.pi * 440 * time))[None].astype(np.float32)
    write_audio(tmp_path / "in.wav", Audio(samples=samples, sample_rate=48000))
    return tmp_path / "in.wav"


def test_reconstruct_keeps_the_length(tmp_path, nano_model, recording):
    out = tmp_path / "out.wav"
    assert main(["reconstruct", str(nano_model), str(recording), "-o", str(out)]) == 0
    again = read_audio(out)
    assert (again.samples.shape, again.sample_rate) == ((2, 11025), 22050)


def test_encode_then_decode_is_reconstruct(tmp_path, nano_model, recording, capsys):
    latents, out, straight = (tmp_path / n for n in ("in.safetensors", "out.wav", "straight.wav"))
    words = ["encode", str(nano_model), str(recording), "-o", str(latents), "--json"]
    assert main(words) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["kind"] == "latents"
    assert result["times_fewer_values"] > 1
    assert main(["decode", str(latents), "-o", str(out)]) == 0
    assert main(["reconstruct", str(nano_model), str(recording), "-o", str(straight)]) == 0
    assert np.array_equal(read_audio(out).samples, read_audio(straight).samples)


def test_decode_refuses_other_weights(tmp_path, nano_model, recording, capsys):
    from ritornello.checkpoint import write_checksums

    latents = tmp_path / "in.safetensors"
    main(["encode", str(nano_model), str(recording), "-o", str(latents)])
    other = tmp_path / "other"
    shutil.copytree(nano_model, other)
    weights = other / "level2" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-2] + b"\0\0")
    write_checksums(other)
    assert main(["decode", str(latents), "--model", str(other), "-o", str(tmp_path / "o.wav")]) == 1
    assert "encoded by other weights" in capsys.readouterr().err


def test_decode_refuses_what_encode_did_not_write(tmp_path, capsys):
    save_file({"x": np.zeros(3)}, tmp_path / "foreign.safetensors")
    (tmp_path / "text.safetensors").write_text("not tensors")
    for name, message in [
        ("foreign", "was not written by"),
        ("text", "is not a readable compressed file"),
        ("none", "no such file"),
    ]:
        words = ["decode", str(tmp_path / f"{name}.safetensors"), "-o", str(tmp_path / "o.wav")]
        assert main(words) == 1
        assert message in capsys.readouterr().err


def test_reconstruct_refuses_text_and_its_own_input(tmp_path, nano_model, recording, capsys):
    (tmp_path / "text.wav").write_text("this is no sound")
    words = [
        "reconstruct",
        str(nano_model),
        str(tmp_path / "text.wav"),
        "-o",
        str(tmp_path / "o.wav"),
    ]
    assert main(words) == 1
    assert "text.wav" in capsys.readouterr().err
    assert main(["reconstruct", str(nano_model), str(recording), "-o", str(recording)]) == 1
    assert "also the input" in capsys.readouterr().err
