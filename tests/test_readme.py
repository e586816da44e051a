"""The README's command lines parse, its links lead somewhere, its first example plays."""

import re
import shlex
from pathlib import Path

import pytest

from ritornello.checkpoint import shipped_models
from ritornello.cli import generate, replay, stream, train
from ritornello.cli.main import VERBS, main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = [
    line
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.strip().splitlines()
]
COMMANDS = [
    shlex.split(command.split(" | ")[0])
    for line in SHELL
    for command in re.findall(r"ritornello .*", line)
]
PARSE = {
    "generate": lambda words: generate.build_parser().parse(words),
    "stream": lambda words: stream.build_parser().parse(words),
    "replay": lambda words: replay.build_parser().parse(words),
    "train": train.parse,
}


def test_there_are_commands_to_check():
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_readme_commands_name_verbs_that_exist(command):
    assert command[1] in VERBS


@pytest.mark.parametrize("command", [c for c in COMMANDS if c[1] in PARSE], ids=" ".join)
def test_readme_commands_parse(command):
    assert PARSE[command[1]](command[2:])


def test_ci_runs_the_first_two_blocks():
    first, second = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)[:2]
    assert first.strip().endswith("ritornello generate -o piano.wav")
    assert second.strip().endswith("pytest")
    assert all("-c constraints.txt" in block for block in (first, second))


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_readme_links_lead_to_files(target):
    assert (ROOT / target).exists()


@pytest.mark.skipif("piano" not in shipped_models(), reason="the piano model is not in this box")
def test_readme_python_example_plays(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(code.replace("seconds=10", "seconds=2"), "README.md", "exec"), {})
    assert re.search(r"\(2, \d+\) 44100|\(2, \d+\) 22050", capsys.readouterr().out)


@pytest.mark.skipif("piano" not in shipped_models(), reason="the piano model is not in this box")
def test_the_first_command_plays(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["generate", "-o", "piano.wav", "--seconds", "3"]) == 0
    assert (tmp_path / "piano.wav").stat().st_size > 3 * 22050 * 3
