"""The pages: commands parse and work, links and places in the code exist, tables are current."""

import ast
import json
import os
import re
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest

from ritornello import checkpoint
from ritornello.audio.io import write_audio
from ritornello.cli.main import main
from ritornello.errors import ConfigError
from ritornello.interfaces import Audio
from tests.ada.stacks import drawn_stack
from tests.jukebox.players import drawn_jukebox
from tests.markdown import (
    ROOT,
    anchors,
    blocks,
    commands,
    defines,
    file_of,
    links,
    places,
    shell_lines,
)
from tests.parsing import accepts  # noqa: F401 - a fixture
from tests.stemgen.conftest import drawn_player

PAGES = sorted((ROOT / "docs").glob("*.md"))
TABLES = [*PAGES, *sorted((ROOT / "src/ritornello").glob("*/README.md"))]
TEXT = {path: path.read_text(encoding="utf-8") for path in TABLES}
COMMANDS = sorted({tuple(words) for path in PAGES for words in commands(TEXT[path])})
COMMAND_LINE = TEXT[ROOT / "docs/command-line.md"]
NOT_RUN = {"train", "tune", "make", "-", "evaluate", "report", "originality", "listen", "reproduce"}
"""Words of commands that take long, need a sound font or more music, or write to stdout."""


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_commands_parse(words, accepts):  # noqa: F811
    accepts(list(words))


def test_what_does_not_parse_is_noticed(accepts):  # noqa: F811
    for wrong in ("generate --colour red", "sing", "data mak piano --out x"):
        with pytest.raises(pytest.fail.Exception):
            accepts(["ritornello", *wrong.split()])
    with pytest.raises(ConfigError, match="nonsense"):
        accepts(["ritornello", "train", "musika", "--data=d", "--run=r", "gan.nonsense=1"])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_page_is_in_the_index_and_its_links_lead_somewhere(path):
    assert path.name == "README.md" or path.name in links(TEXT[ROOT / "docs/README.md"])
    for target in links(TEXT[path]):
        file, _, anchor = target.partition("#")
        page = (path.parent / file).resolve() if file else path
        assert page.exists(), target
        assert not anchor or anchor in anchors(page.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("path", TABLES, ids=lambda path: "/".join(path.parts[-2:]))
def test_code_named_in_tables_exists(path):
    for name, symbol in places(TEXT[path]):
        file = file_of(name, path)
        assert file is not None, f"{path.name} names {name}, which does not exist"
        assert symbol is None or defines(file, symbol), f"{path.name}: no {symbol} in {name}"


@pytest.mark.parametrize("page", ["docs/musika.md", "src/ritornello/ada/README.md"])
def test_the_paper_is_mapped_to_code_and_to_tests(page):
    named = places(TEXT[ROOT / page])
    tests = [symbol for name, symbol in named if "test_" in name]
    assert len(tests) >= 25
    assert len(named) - len(tests) >= 35


def test_tables_of_sizes_are_what_the_script_prints():
    sizes = runpy.run_path(str(ROOT / "examples/preset_sizes.py"))
    again = "run `python examples/preset_sizes.py` and paste its table"
    assert sizes["sizes_table"]() in TEXT[ROOT / "docs/musika.md"], again
    assert sizes["ada_table"]() in TEXT[ROOT / "docs/ada.md"], again
    assert sizes["cache_table"]() in TEXT[ROOT / "docs/training.md"], again


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_python_blocks_are_python(path):
    for code in blocks(TEXT[path], "python"):
        ast.parse(code)


@pytest.fixture
def home(nano_model, tmp_path, monkeypatch):
    """A folder to work in, with recordings in `~` and small models as those in the box."""
    box, recordings = tmp_path / "box", tmp_path / "recordings"
    recordings.mkdir()
    shutil.copytree(nano_model, box / "piano")
    drawn_stack(2).save(box / "ada-piano")
    drawn_jukebox(levels=3).save(box / "jukebox-piano")
    drawn_player(stems=("bass", "chords", "drums", "melody")).save(box / "stemgen-band")
    draw = np.random.default_rng(0)
    for name in ("one", "two"):
        samples = 0.1 * draw.standard_normal((2, 44100)).astype(np.float32)
        write_audio(recordings / f"{name}.wav", Audio(samples=samples, sample_rate=22050))
    monkeypatch.setattr(checkpoint, "SHIPPED", box)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_command_line_page_plays(home, capsys):
    """Its commands work one after the other, and their JSON has the fields it lists."""
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", COMMAND_LINE, re.MULTILINE)
    fields = {name.replace("`", ""): set(re.findall(r"`(\w+)`", told)) for name, told in rows}
    assert len(shell_lines(COMMAND_LINE)) == len(commands(COMMAND_LINE))
    played = [words for words in commands(COMMAND_LINE) if not NOT_RUN.intersection(words)]
    assert len(played) >= 12
    for words in played:
        code = main([*map(os.path.expanduser, words[1:]), "--json"])
        out = capsys.readouterr()
        assert code == 0, (words, out.err)
        result = json.loads(out.out)
        verb = "data scan" if words[1] == "data" else words[1]
        if words[1:] == ["models", "piano"]:
            verb = "a model of models"
        if verb in fields:
            assert set(result) - {"card"} == fields[verb], words
        for take in result.get("takes", []):
            assert set(take) == fields["a take of generate"]
    for page in ("audio-flow.md", "data.md"):
        for code in blocks(TEXT[ROOT / "docs" / page], "python"):
            exec(compile(code, page, "exec"), {})
    assert "True" in capsys.readouterr().out


@pytest.mark.slow
def test_the_stemgen_page_plays(home, capsys):
    """A session from a mix to a band, its commands one after the other."""
    draw = np.random.default_rng(1)
    for name in ("mix", "pads", "loop", "start"):
        samples = 0.1 * draw.standard_normal((1, 14 * 1600)).astype(np.float32)
        write_audio(Path(f"{name}.wav"), Audio(samples=samples, sample_rate=1600))
    played = commands(TEXT[ROOT / "docs/stemgen.md"])
    assert len(played) >= 10
    for words in played:
        code = main([*words[1:], "--json"])
        out = capsys.readouterr()
        assert code == 0, (words, out.out, out.err)
    for made in ("bass.wav", "both.wav", "best.wav", "song/keys.wav", "layers/mix.wav"):
        assert Path(made).exists(), made
