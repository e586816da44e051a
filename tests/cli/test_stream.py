"""`stream` to a file and to a pipe: seekable, whole when stopped, quiet when the reader leaves."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import soundfile

from ritornello.audio.io import read_audio
from ritornello.cli import stream
from ritornello.cli.main import main


def test_a_seeked_stream_is_a_part_of_the_piece(tmp_path, nano_model):
    words = ["stream", str(nano_model), "--seed", "2", "--to"]
    assert main([*words, str(tmp_path / "all.wav"), "--seconds", "4"]) == 0
    assert main([*words, str(tmp_path / "part.wav"), "--seconds", "1.5", "--seek", "2"]) == 0
    whole, part = (read_audio(tmp_path / name).samples for name in ("all.wav", "part.wav"))
    assert part.shape[1] == round(1.5 * 22050)
    assert whole.shape[1] == 4 * 22050
    fade = round(0.01 * 22050)
    span = slice(2 * 22050 + fade, round(3.5 * 22050) - fade)
    assert np.array_equal(whole[:, span], part[:, fade:-fade])


def test_the_result_tells_of_the_stream(tmp_path, nano_model, capsys):
    out = str(tmp_path / "a.wav")
    assert main(["stream", str(nano_model), "--to", out, "--seconds", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["seconds"] == pytest.approx(1.0)
    assert 0 < result["first_sound_s"] <= result["elapsed_s"]
    assert main(["replay", out]) == 0


def test_a_pipe_gets_a_wav_and_the_result_goes_to_stderr(nano_model, capfdbinary):
    assert main(["stream", str(nano_model), "--to", "-", "--seconds", "1", "--json"]) == 0
    sound, messages = capfdbinary.readouterr()
    assert json.loads(messages)["to"] == "-"
    assert len(sound) == 44 + 22050 * 2 * 2
    samples, rate = soundfile.read(io.BytesIO(sound))
    assert (samples.shape, rate) == ((22050, 2), 22050)
    assert np.abs(samples).max() > 0.001


def test_errors_before_a_pipe_leave_it_empty(nano_model, capfdbinary):
    assert main(["stream", str(nano_model), "--to", "-", "--seek", "-1", "--json"]) == 1
    sound, messages = capfdbinary.readouterr()
    assert sound == b""
    assert b"seek_s is -1" in messages


def test_a_reader_that_leaves_ends_an_endless_stream_quietly(nano_model, monkeypatch, capfd):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert main(["stream", str(nano_model), "--to", "-", "--raw"]) == 0
        monkeypatch.undo()
    assert capfd.readouterr().err == "-: 0.0 s, seed 0\n"


def test_ctrl_c_leaves_a_whole_file(tmp_path, nano_model, capsys):
    out = tmp_path / "endless.wav"

    def interrupt_once_it_plays():
        while not list(tmp_path.glob(".*partial")):
            time.sleep(0.01)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt_once_it_plays, daemon=True).start()
    assert main(["stream", str(nano_model), "--to", str(out), "--json"]) == 0
    seconds = json.loads(capsys.readouterr().out)["seconds"]
    assert seconds > 0
    assert read_audio(out).duration_s == pytest.approx(seconds)
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.slow
def test_the_command_itself_survives_a_reader_that_leaves(nano_model):
    process = subprocess.Popen(
        [sys.executable, "-m", "ritornello", "stream", str(nano_model), "--to", "-", "--raw"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert len(process.stdout.read(4000)) == 4000
    process.stdout.close()
    errors = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(timeout=60) == 0
    assert "Traceback" not in errors
    assert "Broken" not in errors


def test_speakers_without_sounddevice_say_what_to_install(nano_model, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert main(["stream", str(nano_model)]) == 1
    assert 'pip install "ritornello[live]"' in capsys.readouterr().err


def test_raw_needs_a_pipe(tmp_path, nano_model, capsys):
    assert main(["stream", str(nano_model), "--raw", "--to", str(tmp_path / "a.wav")]) == 1
    assert "--raw is for pipes" in capsys.readouterr().err


def test_a_second_signal_breaks_off():
    calls = []
    with stream.stop_on_signals(lambda: calls.append(1)):
        signal.raise_signal(signal.SIGINT)
        assert calls == [1]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert calls == [1]
