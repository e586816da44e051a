"""What tests read out of Markdown pages: command lines, links, places in the code."""

import ast
import functools
import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES, TESTS = ROOT / "src/ritornello", ROOT / "tests"
PLACE = re.compile(r"([\w/]+\.py)(?:: ([\w.]+))?")


def blocks(text, language):
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def shell_lines(text):
    """Every line of the shell blocks."""
    return [line for block in blocks(text, "bash") for line in block.strip().splitlines()]


def commands(text):
    """Words of every `ritornello ...` in the shell blocks, up to a pipe or the like."""
    found = [re.search(r"ritornello .*", line) for line in shell_lines(text)]
    ends = re.compile(r" (?:\||&&|>) ")
    return [shlex.split(ends.split(one[0])[0], comments=True) for one in found if one]


def links(text):
    """Targets of links inside the repository."""
    return sorted(set(re.findall(r"\]\(([^)\s:]+)\)", text)))


def anchors(text):
    """The anchors that a Git host makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def places(text):
    """(file, symbol or None) of all code that tables name: `file.py: symbol`, `another_symbol`."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    found = set()
    for cell in (cell for row in rows for cell in row.split("|")):
        file = None
        for span in re.findall(r"`([^`]+)`", cell):
            place = PLACE.fullmatch(span)
            if place:
                file = place[1]
                found.add((file, place[2]))
            elif file and re.fullmatch(r"[\w.]+", span):
                found.add((file, span))
    return sorted(found, key=str)


def file_of(name, page):
    """The file that a page means, None if there is none; a system's own page means its folder."""
    root = TESTS if Path(name).name.startswith("test_") else SOURCES
    own = page.parent.name if page.stem == "README" else page.stem
    return next((f for f in (root / own / name, root / name) if f.is_file()), None)


@functools.cache
def syntax(path):
    """The statements of a module."""
    return ast.parse(path.read_text(encoding="utf-8")).body


def defines(path, symbol):
    """Whether a module defines `symbol`, which may be a `Class.method`."""
    nodes = syntax(path)
    for name in symbol.split("."):
        named = [node for node in nodes if getattr(node, "name", None) == name]
        if not named:
            return False
        nodes = getattr(named[0], "body", [])
    return True
