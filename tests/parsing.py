"""Command lines through the real parsers, stopped before anything is done."""

import importlib

import pytest

from ritornello.cli import train
from ritornello.cli.console import VerbParser
from ritornello.cli.main import main
from ritornello.config import with_overrides
from ritornello.systems import SYSTEMS


class Parsed(BaseException):
    """The command line made sense."""


@pytest.fixture
def accepts(monkeypatch):
    """A function that fails for words the command line refuses."""
    parse = VerbParser.parse

    def parse_and_stop(self, argv):
        raise Parsed(parse(self, argv))

    def check(words):
        assert words[0] == "ritornello"
        if words[1] == "train":
            system, options = train.parse(words[2:])
            presets = importlib.import_module(f"{SYSTEMS[system].package}.presets").PRESETS
            with_overrides(presets[options.preset or "small"](), options.overrides)
        with monkeypatch.context() as patched:
            patched.setattr(VerbParser, "parse", parse_and_stop)
            with pytest.raises(Parsed):
                main(words[1:])

    return check
