"""What every verb shares at the terminal: its parser, its result, its errors, its progress line.

Results go to stdout (as JSON with `--json`), everything else to stderr. Exit codes: 0 done, 1 an
error that the message explains, 2 a command line that makes no sense, 130 interrupted.
"""

import argparse
import json
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ritornello.config import nearest
from ritornello.errors import ConfigError, RitornelloError

DURATION_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}


class UsageError(RitornelloError):
    """A command line that makes no sense; exit code 2."""


class VerbParser(argparse.ArgumentParser):
    """The parser of one verb: `--json` included, an example in the help, near misses named."""

    def __init__(self, verb: str, description: str, examples: Sequence[str]) -> None:
        """Start the parser of `verb`; `examples` are whole command lines shown below the help."""
        super().__init__(
            prog=f"ritornello {verb}",
            description=description,
            epilog="examples:\n" + "\n".join(f"  {example}" for example in examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.add_argument(
            "--json", action="store_true", help="the result as JSON on stdout, logs on stderr"
        )

    def parse(self, argv: list[str]) -> argparse.Namespace:
        """The options in `argv`; an unknown flag is a UsageError with the nearest one."""
        options, unknown = self.parse_known_intermixed_args(argv)
        if unknown:
            flag = unknown[0].partition("=")[0]
            hint = nearest(flag, self._option_string_actions) if flag.startswith("-") else ""
            self.error(f"unknown argument {unknown[0]!r}" + (f"; {hint}" if hint else ""))
        return options

    def error(self, message: str) -> NoReturn:
        """Raise UsageError instead of leaving the process."""
        raise UsageError(f"{message} (see `{self.prog} --help`)")


def guarded(action: Callable[[], int], *, as_json: bool) -> int:
    """The exit code of `action`, with every error that has an explanation told in one line."""
    try:
        return action()
    except RitornelloError as error:
        _tell(type(error).__name__, str(error), as_json=as_json)
        return 2 if isinstance(error, UsageError) else 1
    except BrokenPipeError:
        # The reader has seen enough (`| head`): stay silent, also when Python flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        _tell(type(error).__name__, str(error), as_json=as_json)
        return 1
    except KeyboardInterrupt:
        _tell("KeyboardInterrupt", "interrupted", as_json=as_json)
        return 130
    except SystemExit as leaving:  # argparse after printing --help
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except Exception as error:  # a mistake of ours: told in full, and to scripts as JSON too
        traceback.print_exc()
        _tell(type(error).__name__, str(error) or "no message", as_json=as_json)
        return 1


def _tell(kind: str, message: str, *, as_json: bool) -> None:
    line = " ".join(message.split())
    print(f"error: {line}", file=sys.stderr, flush=True)
    if as_json:
        print(json.dumps({"error": line, "kind": kind}), flush=True)


def emit(result: Any, *, as_json: bool, text: Iterable[str]) -> None:
    """Print the result: as one JSON document, or as the lines of `text` for a person."""
    if as_json:
        print(json.dumps(result, indent=2, allow_nan=False))
    else:
        for line in text:
            print(line)
    sys.stdout.flush()


def table(rows: Sequence[Sequence[Any]], header: Sequence[str]) -> list[str]:
    """Lines of a plain table with aligned columns."""
    cells = [list(header), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def duration_s(text: str) -> float:
    """Seconds meant by `90`, `90s`, `2m`, `1h30m` or `1.5h`."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([smh])", text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * DURATION_UNITS_S[unit] for number, unit in parts)
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"got {text!r}; expected a length of time such as 90, 90s, 60m or 1h30m"
        ) from None


def output_path(path: Path, suffixes: Sequence[str], never: Sequence[Path] = ()) -> Path:
    """`path`, checked before any work is done: right suffix, folder there, none of `never`.

    An existing file of that kind is written over, as any recorder does; nothing else ever is.
    """
    if path.suffix.lower() not in suffixes:
        raise ConfigError(
            f"cannot write {path.name!r}: expected a name ending in {' or '.join(suffixes)}"
        )
    if path.is_dir():
        raise ConfigError(f"cannot write {path}: it is a folder; give a file name")
    if not path.parent.is_dir():
        raise ConfigError(f"cannot write {path}: there is no folder {path.parent}; create it first")
    if any(path.resolve() == other.resolve() for other in never):
        raise ConfigError(f"cannot write {path}: it is also the input; give another name")
    return path


class ProgressLine:
    """One line on stderr that rewrites itself; silent when stderr is not a terminal."""

    def __init__(self, what: str, total_s: float | None) -> None:
        """Count seconds of audio made towards `total_s` (None: endless)."""
        self._what = what
        self._total_s = total_s
        self._start = time.perf_counter()
        self._shown = sys.stderr.isatty()

    def update(self, done_s: float) -> None:
        """Show `done_s` seconds of audio, and how many times real time that is."""
        if not self._shown:
            return
        speed = done_s / max(time.perf_counter() - self._start, 1e-9)
        goal = f" of {self._total_s:.0f} s" if self._total_s is not None else " s"
        print(
            f"\r{self._what}  {done_s:.0f}{goal}  {speed:.0f} x real time   ",
            end="",
            file=sys.stderr,
            flush=True,
        )

    def close(self) -> None:
        """Wipe the line."""
        if self._shown:
            print("\r" + " " * 78 + "\r", end="", file=sys.stderr, flush=True)
