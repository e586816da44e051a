"""The verb table: quick, torch-free help; errors in one line; exit codes."""

import json
import resource
import signal
import subprocess
import sys
import time

import pytest

from ritornello.cli import console
from ritornello.cli.main import VERBS, help_text, main
from ritornello.errors import ConfigError

CHECKED_HELP = (
    "import sys; from ritornello.cli.main import main; code = main({words!r});"
    "heavy = {{'torch', 'numpy'}} & set(sys.modules); sys.exit(code or ', '.join(heavy) or 0)"
)


def child(code):
    """Run Python code in a new process: what happened, and the CPU seconds it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def assert_quick(words, limit_s):
    """Run help in a new process within `limit_s` of CPU time; a busy machine has three tries."""
    for _ in range(3):
        done, cpu_s = child(CHECKED_HELP.format(words=words))
        assert done.returncode == 0, done.stderr
        if cpu_s < limit_s:
            return done.stdout
    raise AssertionError(f"{words} took {cpu_s:.2f} s of CPU time; expected under {limit_s} s")


def test_help_is_quick_and_torch_free():
    assert assert_quick(["--help"], 0.3).startswith("usage: ritornello VERB")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_quick_torch_free_help_with_an_example(verb):
    text = assert_quick([verb, "--help"], 0.6)
    assert "--json" in text
    assert f"  ritornello {verb}" in text.partition("examples:")[2]


def test_help_lists_every_verb():
    assert all(f"  {verb} " in help_text() for verb in VERBS)


def test_no_words_is_help_and_a_usage_error(capsys):
    assert main([]) == 2
    assert "verbs:" in capsys.readouterr().out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "ritornello 0.1.0\n"


def test_an_unknown_verb_names_the_nearest(capsys):
    assert main(["doctr"]) == 2
    assert capsys.readouterr().err == "error: there is no verb 'doctr'; did you mean 'doctor'?\n"


def test_an_unknown_flag_names_the_nearest(capsys):
    assert main(["doctor", "--jsn"]) == 2
    error = capsys.readouterr().err
    assert "unknown argument '--jsn'; did you mean '--json'?" in error
    assert "see `ritornello doctor --help`" in error


def test_errors_are_one_line_and_json_when_asked(capsys):
    def fail():
        raise ConfigError("got this\n  expected that")

    assert console.guarded(fail, as_json=True) == 1
    out, err = capsys.readouterr()
    assert err == "error: got this expected that\n"
    assert json.loads(out) == {"error": "got this expected that", "kind": "ConfigError"}
    assert console.guarded(fail, as_json=False) == 1
    assert capsys.readouterr().out == ""


def test_a_full_disk_is_told_in_one_line(capsys):
    def fail():
        raise OSError(28, "No space left on device", "a.wav")

    assert console.guarded(fail, as_json=False) == 1
    assert capsys.readouterr().err == "error: [Errno 28] No space left on device: 'a.wav'\n"


def test_an_interrupt_leaves_with_130(capsys):
    def interrupted():
        raise KeyboardInterrupt

    assert console.guarded(interrupted, as_json=False) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_a_bug_is_not_hidden(capsys):
    assert console.guarded(lambda: 1 // 0, as_json=False) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_closed_pipe_ends_quietly():
    code = "import sys; from ritornello.cli.main import main; sys.exit(main(['--help']))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 0
    assert error == ""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("2m", 120), ("1h30m", 5400), ("1.5h", 5400), ("0.5", 0.5)],
)
def test_durations(text, seconds):
    assert console.duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "5d", "1h 30m", "2m5"])
def test_wrong_durations_say_what_is_expected(text):
    with pytest.raises(console.argparse.ArgumentTypeError, match="such as 90, 90s, 60m or 1h30m"):
        console.duration_s(text)


def test_output_paths_are_checked_before_any_work(tmp_path):
    good = tmp_path / "a.wav"
    assert console.output_path(good, (".wav", ".flac")) == good
    good.write_bytes(b"an earlier take")
    assert console.output_path(good, (".wav", ".flac")) == good
    (tmp_path / "folder.wav").mkdir()
    for path, message in [
        (tmp_path / "a.txt", r"ending in \.wav or \.flac"),
        (tmp_path / "folder.wav", "it is a folder"),
        (tmp_path / "none" / "a.wav", "there is no folder"),
    ]:
        with pytest.raises(ConfigError, match=message):
            console.output_path(path, (".wav", ".flac"))
    with pytest.raises(ConfigError, match="also the input"):
        console.output_path(good, (".wav",), never=[tmp_path / "." / "a.wav"])


def test_tables_align():
    assert console.table([("a", 1), ("long", 22)], ("x", "number")) == [
        "x     number",
        "a     1",
        "long  22",
    ]


def test_a_mistake_of_ours_is_json_too_and_told_in_full(capsys):
    def broken():
        raise ZeroDivisionError("a mistake")

    assert console.guarded(broken, as_json=True) == 1
    out, err = capsys.readouterr()
    assert json.loads(out) == {"error": "a mistake", "kind": "ZeroDivisionError"}
    assert "Traceback" in err


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_terminated_piece_leaves_nothing_behind(nano_model, tmp_path, name):
    out = tmp_path / "endless.wav"
    command = [sys.executable, "-m", "ritornello", "generate", str(nano_model)]
    process = subprocess.Popen(
        [*command, "-o", str(out), "--seconds", "100000"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(tmp_path.iterdir()), "it has begun to write"
    process.send_signal(getattr(signal, name))
    assert process.wait(timeout=60) == 130
    assert not list(tmp_path.iterdir())
