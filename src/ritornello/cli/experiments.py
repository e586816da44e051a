"""Flags that `reproduce` has for every paper's experiments: folder, music, scale, rows."""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from ritornello.cli.console import UsageError, VerbParser
from ritornello.config import nearest
from ritornello.errors import ConfigError

Opened = TypeVar("Opened")


def add_experiment(parser: VerbParser, scales: str) -> None:
    """Add the flags of the folder.

    Args:
        parser: Of the verb.
        scales: What the scales are, for the help.
    """
    add = parser.add_argument
    add("-o", "--out", type=Path, required=True, metavar="DIR", help="folder of the experiments")
    add(
        "--data",
        type=Path,
        metavar="MUSIC",
        help="a folder of audio, or the manifest of `data scan` (the folder's)",
    )
    add("--scale", metavar="S", help=f"{scales} (mini)")


def add_rows(parser: VerbParser, seeds: int, *, stand_on_others: bool) -> None:
    """Add the flags of what is trained.

    Args:
        parser: Of the verb.
        seeds: Of every row, unless others are asked for.
        stand_on_others: Whether rows need others.
    """
    add = parser.add_argument
    also = ", and those they stand on" if stand_on_others else ""
    add("--rows", metavar="A,B", help=f"only these rows{also} (all)")
    add("--seeds", type=int, default=seeds, metavar="N", help=f"seeds of every row ({seeds})")
    add("--jobs", type=int, default=1, metavar="N", help="rows at a time, one core each (1)")


def refuse_below_one(options: argparse.Namespace, *names: str) -> None:
    """Refuse counts below 1.

    Raises:
        UsageError: Names the first of them.
    """
    for name in names:
        if getattr(options, name, 1) < 1:
            raise UsageError(f"--{name} is {getattr(options, name)}; expected at least 1")


def asked_rows(words: str | None, known: Iterable[str], table: str) -> tuple[str, ...]:
    """The rows that were asked for; all of the table without a wish.

    Args:
        words: As given, with commas.
        known: All rows.
        table: What the table is called.

    Raises:
        UsageError: A row that does not exist, or none at all.
    """
    every = tuple(known)
    if words is None:
        return every
    rows = tuple(word.strip() for word in words.split(",") if word.strip())
    for row in rows:
        if row not in every:
            raise UsageError(f"{table} has no row {row!r}; {nearest(row, every)}")
    if not rows:
        raise UsageError(f"--rows names none; expected {', '.join(every)}")
    return rows


def opened(options: argparse.Namespace, open_experiment: Callable[..., Opened]) -> Opened:
    """The experiment of the folder that was given.

    Args:
        options: As parsed.
        open_experiment: The paper's function of that name.

    Raises:
        ConfigError: The folder is a file, or holds another experiment.
    """
    if options.out.exists() and not options.out.is_dir():
        raise ConfigError(f"cannot write to {options.out}: it is a file; give a folder")
    data = options.data.expanduser() if options.data is not None else None

    from ritornello.cli.data import progress_bar

    with progress_bar("scanning") as progress:
        return open_experiment(options.out, options.scale, data, progress=progress)
