"""The README's command lines parse, its links lead somewhere, its first example plays."""

import re

import pytest

from ritornello.checkpoint import shipped_models
from ritornello.cli.main import main
from tests.markdown import ROOT, blocks, commands, links
from tests.parsing import accepts  # noqa: F401 - a fixture

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = commands(README)


def test_there_are_commands_to_check():
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_readme_commands_parse(command, accepts):  # noqa: F811
    accepts(command)


def test_ci_runs_the_first_two_blocks():
    first, second = blocks(README, "bash")[:2]
    assert first.strip().endswith("ritornello generate -o piano.wav")
    assert second.strip().endswith("pytest")
    assert all("-c constraints.txt" in block for block in (first, second))


@pytest.mark.parametrize("target", links(README))
def test_readme_links_lead_to_files(target):
    assert (ROOT / target).exists()


@pytest.mark.skipif("piano" not in shipped_models(), reason="the piano model is not in this box")
def test_readme_python_example_plays(capsys):
    (code,) = blocks(README, "python")
    exec(compile(code.replace("seconds=10", "seconds=2"), "README.md", "exec"), {})
    assert re.search(r"\(2, \d+\) 44100|\(2, \d+\) 22050", capsys.readouterr().out)


@pytest.mark.skipif("piano" not in shipped_models(), reason="the piano model is not in this box")
def test_the_first_command_plays(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["generate", "-o", "piano.wav", "--seconds", "3"]) == 0
    assert (tmp_path / "piano.wav").stat().st_size > 3 * 22050 * 3
