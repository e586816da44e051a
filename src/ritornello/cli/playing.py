"""What the verbs that play a model share: which model, how many threads, what is asked of it."""

import argparse
import csv
import dataclasses
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ritornello.cli.console import VerbParser
from ritornello.cli.stems import STEM_OPTIONS, add_stem_flags
from ritornello.errors import CapabilityError, ConfigError

if TYPE_CHECKING:
    from ritornello.interfaces import Request, System
    from ritornello.loading import FoundModel

DEFAULT_MODEL = "piano"
DEFAULT_THREADS = 1
"""One thread: always the same bits whatever the machine's cores, and never slowed by neighbours."""

MAX_THREADS = 1024

SHORT_LABELS = ("composer", "artist", "genre")
OWN_OPTIONS = (
    "to_seed",
    "temperatures",
    "precision",
    "passes",
    "level",
    "save",
    "from_codes",
    "continue_codes",
    *STEM_OPTIONS,
)
OWN_FLAGS = {"seek_s": "--seek", "song_s": "--song-seconds", "every": "--keep-every"}
"""Flags that are not called like the option they set."""


def add_model(parser: VerbParser) -> None:
    """Add MODEL (the shipped piano when absent) and --threads."""
    parser.add_argument(
        "model",
        nargs="?",
        default=DEFAULT_MODEL,
        metavar="MODEL",
        help=f"shipped name, model folder or run folder ({DEFAULT_MODEL})",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=DEFAULT_THREADS,
        help=f"CPU threads; part of what makes the bits ({DEFAULT_THREADS})",
    )


def add_request(parser: VerbParser) -> None:
    """Add what a piece can be asked to be: seed, controls, form, inputs, the system's options."""
    add = parser.add_argument
    add("--seed", type=int, default=0, help="whole number >= 0; the same seed, the same music (0)")
    add("--temperature", type=float, default=1.0, help="spread of the draws, 0 to 4 (1)")
    add("--top-p", type=float, default=1.0, help="nucleus, for systems that sample codes (1)")
    add("--guidance", type=float, help="classifier-free guidance, for systems that have it")
    add(
        "--set",
        dest="controls",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a control: a number, or a CSV file of seconds,value rows for a curve over time",
    )
    add("--form", metavar="FORM", help="sections that return: AABA, or with seconds A:16,B:8,A:16")
    add("--to-seed", type=int, metavar="SEED", help="travel from --seed's style to this one's")
    add(
        "--temperatures",
        type=float_list,
        metavar="T1,..,TN",
        help="one for each network, from the lowest level up to the prior: 0.4,0.95,1",
    )
    add("--precision", metavar="NAME", help="fp32, or int8 where a system has it: faster (fp32)")
    add("--continue", dest="prompt", type=Path, metavar="FILE", help="audio to continue")
    add("--mix", type=Path, metavar="FILE", help="audio to accompany, with --stem")
    add("--stem", metavar="NAME", help="the instrument wanted beside --mix")
    for label in SHORT_LABELS:
        add(f"--{label}", metavar="NAME", help=f"short for --label {label}=NAME")
    add(
        "--label",
        dest="labels",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a label the model was trained with",
    )
    add("--lyrics", type=Path, metavar="FILE", help="text file with the words to sing")
    add_stem_flags(parser)
    add_takes(parser)


def add_takes(parser: VerbParser) -> None:
    """Add what a system with levels of codes can be asked for: sketches, and saved takes."""
    add = parser.add_argument
    add(
        "--level", type=int, metavar="K", help="play level K and those above; 0 is all the way down"
    )
    add(
        "--song-seconds",
        type=float,
        metavar="S",
        help="length of the song it is said to be part of",
    )
    add("--passes", type=int, metavar="N", help="fill windows in N passes, if it can: 4 to 8")
    add("--save", metavar="DIR", help="keep all codes there; the same call goes on with them")
    add("--from-codes", metavar="DIR", help="upsample a saved take from its top codes")
    add("--continue-codes", metavar="DIR", help="go on with a saved take; --seconds are added")


@dataclass(frozen=True, kw_only=True)
class Order:
    """One piece, ordered: the model, the request, the system's own options, the input files."""

    model: "FoundModel"
    request: "Request"
    options: Any
    inputs: dict[str, Path]

    def record(self, how: str, played: Mapping[str, Any]) -> dict[str, Any]:
        """The provenance of the piece with meta `played`, made "whole" or as a "stream"."""
        from ritornello import provenance

        options = saved_in(self.options, None)
        return provenance.record(self.model, self.request, options, self.inputs, how, played)


def order(options: argparse.Namespace, seconds: float | None, **own: Any) -> Order:
    """The order that the parsed flags describe, checked before any weights are read.

    Args:
        options: Flags of `add_model` and `add_request`.
        seconds: Length of the piece; None leaves it to the form or the system.
        own: Further fields of the system's own Options; None leaves a field as it is.
    """
    from ritornello.audio.io import read_audio
    from ritornello.audio.mapped import read_mapped
    from ritornello.interfaces import Request
    from ritornello.loading import find
    from ritornello.musika.form import parse_form

    model = find(options.model)
    inputs = {
        name: path
        for name in ("prompt", "mix", "stem_in")
        if (path := getattr(options, name)) is not None
    }
    labels = dict(_pair(text, "--label") for text in options.labels)
    for label in SHORT_LABELS:
        if getattr(options, label) is not None:
            labels[label] = getattr(options, label)
    needs = {"prompt": "continue", "mix": "accompany", "stem_in": "accompany"}
    model.require(frozenset(needs[name] for name in inputs))
    request = Request(
        seconds=seconds,
        seed=options.seed,
        temperature=options.temperature,
        top_p=options.top_p,
        prompt=read_audio(options.prompt) if options.prompt else None,
        mix=read_mapped(options.mix) if options.mix else None,
        stem=options.stem,
        labels=labels,
        lyrics=read_lyrics(options.lyrics) if options.lyrics else None,
        controls=dict(read_control(text) for text in options.controls),
        form=parse_form(options.form) if options.form is not None else (),
        guidance=options.guidance,
    )
    model.check(request)
    own |= {name: getattr(options, name) for name in OWN_OPTIONS}
    own["song_s"] = options.song_seconds
    own["stem_in"] = read_mapped(options.stem_in) if options.stem_in else None
    return Order(model=model, request=request, options=own_options(model, own), inputs=inputs)


def saved_in(own: Any, folder: str | None) -> Any:
    """A system's own Options with another folder to save codes in, if it saves any.

    Where codes are kept is no part of what makes the bits, so records leave it out.
    """
    is_saved = getattr(own, "save", None) is not None
    return dataclasses.replace(own, save=folder) if is_saved else own


def own_options(model: "FoundModel", asked: Mapping[str, Any]) -> Any:
    """The system's own Options with what is asked of them.

    Args:
        model: The model.
        asked: Values by field; None is not asked.

    Raises:
        CapabilityError: The system has no such option.
    """
    known = {field.name for field in dataclasses.fields(model.options())}
    given = {name: value for name, value in asked.items() if value is not None}
    for name in given.keys() - known:
        flag = OWN_FLAGS.get(name, f"--{name.replace('_', '-')}")
        raise CapabilityError(
            f"{model.name} cannot take {flag}: system {model.system} has no such option"
        )
    return model.options(**given)


def load(model: "FoundModel", threads: int) -> tuple["System", float]:
    """The system, ready to play on `threads` threads, and the seconds that loading took."""
    if not 1 <= threads <= MAX_THREADS:
        raise ConfigError(f"--threads is {threads}; expected 1 to {MAX_THREADS}")
    start = time.perf_counter()

    import torch

    torch.set_num_threads(threads)
    return model.load(), time.perf_counter() - start


def float_list(text: str) -> tuple[float, ...]:
    """The numbers of `0.4,0.95,1`."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"got {text!r}; expected numbers with commas between, such as 0.4,0.95,1"
        ) from None


def read_control(text: str) -> tuple[str, tuple[tuple[float, float], ...]]:
    """A control's name and curve from `density=0.7` or `density=curve.csv`."""
    name, value = _pair(text, "--set")
    try:
        return name, ((0.0, float(value)),)
    except ValueError:
        return name, read_curve(Path(value))


def read_curve(path: Path) -> tuple[tuple[float, float], ...]:
    """The (seconds, value) rows of a CSV file; a first row without a number is a heading.

    Raises:
        ConfigError: No such file, not text, a row that is not two numbers, or times that do not
            rise.
    """
    if not path.is_file():
        raise ConfigError(f"control value {str(path)!r} is neither a number nor a CSV file")
    try:
        # Spreadsheets begin their UTF-8 files with a byte order mark.
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} is not a CSV file in UTF-8: {error}") from error
    points: list[tuple[float, float]] = []
    for number, row in enumerate(rows, start=1):
        if not "".join(row).strip() or (number == 1 and not any(map(_begins_a_number, row))):
            continue
        try:
            seconds, value = map(float, row)
        except ValueError:
            raise ConfigError(
                f"{path} line {number} is {','.join(row)!r}; expected seconds,value"
            ) from None
        before_s = points[-1][0] if points else -math.inf
        if not before_s < seconds < math.inf:
            raise ConfigError(f"{path} line {number}: time {seconds:g} s does not rise")
        points.append((seconds, value))
    if not points:
        raise ConfigError(f"{path} has no rows; expected seconds,value rows")
    return tuple(points)


def _begins_a_number(cell: str) -> bool:
    return cell.strip()[:1] in set("0123456789+-.")


def read_lyrics(path: Path) -> str:
    """The text of a lyrics file; ConfigError when it is missing, empty or not UTF-8."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read lyrics from {path}: {error}") from error
    if not text.strip():
        raise ConfigError(f"{path} has no words in it")
    return text


def _pair(text: str, flag: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise ConfigError(f"{flag} got {text!r}; expected NAME=VALUE")
    return name, value
