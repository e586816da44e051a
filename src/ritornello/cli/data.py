"""`ritornello data make RECIPE` and `ritornello data scan DIR`: datasets, made and looked at."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ritornello.cli.console import UsageError, VerbParser, emit
from ritornello.cli.data_bands import make_bands_verb
from ritornello.cli.data_stems import scan_stems_verb
from ritornello.config import nearest

HELP = """\
usage: ritornello data make RECIPE --out DIR [--flags]
       ritornello data scan DIR [--flags]

Any folder of audio is a dataset. `scan` shows what is in one; `make` renders one.

  make piano   solo piano from MIDI: performances as played, scores with expression
  make songs   singing with piano from MusicXML, with exact times of all syllables
  make bands   multitrack songs: drums, bass, chords, melody as stems of equal length
  scan         hours, rates, silence, clipping, split and labels; what was skipped, and why;
               with --stems: multitrack songs, a folder each, and the categories of their stems

examples:
  ritornello data make piano --out piano --hours 2
  ritornello data make piano --out piano --midi ~/midi --rate 44100
  ritornello data make songs --out songs
  ritornello data make bands --out bands --songs 20
  ritornello data scan ~/recordings
  ritornello data scan ~/recordings --manifest recordings.jsonl --json
  ritornello data scan ~/multitracks --stems

`ritornello data scan --help` and `ritornello data make RECIPE --help` list the flags."""

SHOWN_VALUES = 12


def run(argv: list[str]) -> int:
    """Run `data` with the words after it; the exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        print(HELP)
        return 0 if argv else 2
    actions: dict[str, Callable[[list[str]], int]] = {"make": _make, "scan": _scan}
    if argv[0] not in actions:
        raise UsageError(f"data cannot {argv[0]!r}; {nearest(argv[0], actions)}")
    return actions[argv[0]](argv[1:])


def _make(argv: list[str]) -> int:
    recipes: dict[str, Callable[[list[str]], int]] = {
        "piano": _make_piano,
        "songs": _make_songs,
        "bands": make_bands_verb,
    }
    if not argv or argv[0] in ("-h", "--help"):
        print(HELP)
        return 0 if argv else 2
    if argv[0] not in recipes:
        raise UsageError(f"there is no recipe {argv[0]!r}; {nearest(argv[0], recipes)}")
    return recipes[argv[0]](argv[1:])


def _piano_parser() -> VerbParser:
    parser = VerbParser(
        "data make piano",
        "Render solo piano from MIDI into FLAC files with side-cars (composer, work, licence).\n"
        "Interrupted or called again, it makes only what is missing.",
        [
            "ritornello data make piano --out piano --hours 2",
            "ritornello data make piano --out piano --midi ~/maestro --midi ~/scores",
            "ritornello data make piano --out piano --rate 22050 --soundfont Grand.sf2",
        ],
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the audio")
    add(
        "--midi",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="a folder of MIDI files; again for more (keyboard works of music21's corpus)",
    )
    add("--hours", type=float, metavar="H", help="stop after this much music (everything)")
    add("--rate", type=int, default=44100, metavar="HZ", help="sample rate (44100)")
    add(
        "--renders",
        type=int,
        default=2,
        metavar="N",
        help="renders per piece, each with its own expression, key and room (2)",
    )
    add("--soundfont", type=Path, metavar="FILE", help="General MIDI sound font (an installed one)")
    add("--seed", type=int, default=0, help="draws expression, keys and rooms (0)")
    add("--workers", type=int, default=0, metavar="N", help="processes (0: one per core)")
    return parser


def _make_piano(argv: list[str]) -> int:
    options = _piano_parser().parse(argv)

    from dataclasses import asdict

    from ritornello.data.recipes.piano import PianoRecipe, make_piano

    recipe = PianoRecipe(
        out=options.out,
        midi=tuple(options.midi),
        hours=options.hours,
        rate=options.rate,
        soundfont=options.soundfont,
        seed=options.seed,
        renders=options.renders,
        workers=options.workers,
    )
    with progress_bar("rendering") as progress:
        made = make_piano(recipe, progress=progress)
    result = asdict(made) | {"out": str(made.out)}
    lines = [
        f"{hours_text(made.hours)} of piano in {made.out}: {made.works} works, "
        f"{made.rendered} files made, {made.reused} found finished",
        *row("composers", top(made.composers)),
        *skipped_lines([{"id": name, "reason": reason} for name, reason in made.skipped]),
        f"look at it:    ritornello data scan {made.out}",
        f"train on it:   ritornello train musika --data {made.out} --run runs/piano",
    ]
    emit(result, as_json=options.json, text=lines)
    return 0


def _songs_parser() -> VerbParser:
    parser = VerbParser(
        "data make songs",
        "Render singing with piano: FLAC files with side-cars (lyrics, when each syllable is\n"
        "sung, singer, sections), in a folder for each of mix, voice and accompaniment.\n"
        "Interrupted or called again, it makes only what is missing.",
        [
            "ritornello data make songs --out songs",
            "ritornello data make songs --out songs --lieder ~/scores --renders 4",
            "ritornello data make songs --out songs --parts mix --hours 2",
        ],
    )
    add = parser.add_argument
    add("--out", "-o", type=Path, required=True, metavar="DIR", help="folder for the parts")
    add(
        "--lieder",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="a folder of MusicXML with words; again for more (the recipe's own tunes)",
    )
    add(
        "--parts",
        default="mix,voice,accompaniment",
        metavar="PARTS",
        help="which to write (mix,voice,accompaniment); also solo, the voice with its rests cut",
    )
    add("--hours", type=float, metavar="H", help="stop after this much music (everything)")
    add("--rate", type=int, default=44100, metavar="HZ", help="sample rate (44100)")
    add(
        "--renders",
        type=int,
        default=2,
        metavar="N",
        help="takes per song, each by another of four singers (2)",
    )
    add("--soundfont", type=Path, metavar="FILE", help="General MIDI sound font (an installed one)")
    add("--seed", type=int, default=0, help="draws singers, keys, tempos and rooms (0)")
    add("--workers", type=int, default=0, metavar="N", help="processes (0: one per core)")
    return parser


def _make_songs(argv: list[str]) -> int:
    options = _songs_parser().parse(argv)

    from dataclasses import asdict

    from ritornello.data.recipes.songs import SongsRecipe, make_songs

    recipe = SongsRecipe(
        out=options.out,
        lieder=tuple(options.lieder),
        parts=tuple(options.parts.split(",")),
        hours=options.hours,
        rate=options.rate,
        soundfont=options.soundfont,
        seed=options.seed,
        renders=options.renders,
        workers=options.workers,
    )
    with progress_bar("singing") as progress:
        made = make_songs(recipe, progress=progress)
    result = asdict(made) | {"out": str(made.out)}
    first = made.out / recipe.parts[0]
    lines = [
        f"{hours_text(made.hours)} of songs in {made.out}: {made.works} works, {made.syllables} "
        f"syllables, {made.rendered} takes made, {made.reused} found finished",
        *row("singers", top(made.artists)),
        *skipped_lines([{"id": name, "reason": reason} for name, reason in made.skipped]),
        f"look at it:    ritornello data scan {first}",
    ]
    emit(result, as_json=options.json, text=lines)
    return 0


def _scan_parser() -> VerbParser:
    parser = VerbParser(
        "data scan",
        "Decode every audio file below a folder and report what is there. The folder is not\n"
        "written to. Exit code 1 when nothing in it can be used.",
        [
            "ritornello data scan ~/recordings",
            "ritornello data scan ~/recordings --manifest recordings.jsonl",
            "ritornello data scan ~/recordings --json",
            "ritornello data scan ~/multitracks --stems",
        ],
    )
    add = parser.add_argument
    add("dir", type=Path, nargs="+", metavar="DIR", help="a folder of audio, or several")
    add(
        "--manifest",
        type=Path,
        metavar="FILE",
        help="write a JSON line per file here, outside DIR; again with the same FILE, only what "
        "has changed is decoded",
    )
    add("--workers", type=int, metavar="N", help="files decoded at a time (one per core, up to 4)")
    add(
        "--stems",
        action="store_true",
        help="multitrack songs: a folder per song, a file per stem (docs/data-stems.md)",
    )
    return parser


def _scan(argv: list[str]) -> int:
    parser = _scan_parser()
    options = parser.parse(argv)
    if options.workers is not None and options.workers < 1:
        raise UsageError(f"--workers is {options.workers}; expected 1 or more")
    if options.stems:
        return scan_stems_verb(options)

    from ritornello.data.corpus import scan
    from ritornello.data.summary import summary

    with _manifest_place(options.manifest) as manifest, progress_bar("scanning") as progress:
        corpus = scan(options.dir, manifest=manifest, workers=options.workers, progress=progress)
    written = str(options.manifest) if options.manifest else None
    report = {"folders": [str(folder) for folder in options.dir], "manifest": written}
    report |= summary(corpus)
    emit(report, as_json=options.json, text=map(printable, scan_lines(report)))
    if not corpus.recordings:
        print("error: there is no audio here that can be used", file=sys.stderr)
        return 1
    return 0


@contextmanager
def _manifest_place(asked: Path | None) -> Iterator[Path]:
    """The manifest asked for, or one that lasts as long as the scan."""
    if asked is not None:
        yield asked
        return
    with tempfile.TemporaryDirectory(prefix="ritornello-scan-") as folder:
        yield Path(folder) / "manifest.jsonl"


def scan_lines(report: dict[str, Any]) -> list[str]:
    """The report of a scan as lines for a person."""
    channels = {"1": "mono", "2": "stereo"}
    lines = [
        f"{', '.join(report['folders'])}: {report['files']} recordings, "
        f"{hours_text(report['hours'])}",
        *row("works", str(report["works"])),
        *row("lengths", f"{_length(report['shortest_s'])} to {_length(report['longest_s'])}"),
        *row("rates", _counts({f"{r} Hz": n for r, n in report["sample_rates"].items()})),
        *row("channels", _counts({channels[c]: n for c, n in report["channels"].items()})),
        *row("silence", f"{report['silence']:.1%} of the time"),
        *row(
            "clipping",
            f"{report['clipping']:.4%} of the samples, in {_files(report['clipped_files'])}",
        ),
        *row("licences", _counts(report["licences"])),
        *row(
            "split",
            ", ".join(
                f"{name} {_files(split['files'])} {hours_text(split['hours'])}"
                for name, split in report["splits"].items()
                if split["files"]
            ),
        ),
    ]
    if report["duplicates"]:
        lines += row("duplicates", f"{_files(report['duplicates'])} with the audio of another one")
    for label, hours in report["labels"].items():
        lines += row(label, f"{_files(report['labelled'][label])}: {top(hours)}")
    if sung := report["lyrics"]["files"]:
        lines += row("lyrics", f"{_files(sung)}, {report['lyrics']['timed']} of them with times")
    lines = lines if report["files"] else lines[:1]
    lines += skipped_lines(report["skipped"])
    if report["manifest"]:
        lines += row("manifest", report["manifest"])
    return lines


def row(name: str, value: str) -> list[str]:
    """A line of a report, or none where there is no value."""
    return [f"  {name:<11} {value}"] if value else []


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {_files(count)}" for name, count in counts.items())


def top(hours: dict[str, float]) -> str:
    """The names with most hours, and how many more there are."""
    order = sorted(hours.items(), key=lambda pair: -pair[1])
    shown = [f"{name} {hours_text(amount)}" for name, amount in order[:SHOWN_VALUES]]
    more = len(order) - len(shown)
    return ", ".join(shown + ([f"and {more} more"] if more > 0 else []))


def skipped_lines(skipped: list[dict[str, str]]) -> list[str]:
    """What was left out and why, rows of "id" and "reason"."""
    if not skipped:
        return []
    return [
        *row("skipped", _files(len(skipped))),
        *(f"    {one['id']}: {one['reason']}" for one in skipped),
    ]


def _files(count: int) -> str:
    return f"{count} file" if count == 1 else f"{count} files"


def hours_text(hours: float) -> str:
    """Hours, or minutes or seconds where that reads better."""
    return f"{hours:.2f} h" if hours >= 1 else _length(hours * 3600)


def _length(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def printable(line: str) -> str:
    """`line` without the halves of characters that broken file names hold."""
    return line.encode("utf-8", "backslashreplace").decode("utf-8")


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """A callback progress(done, total, name) that draws on stderr; nothing without a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[name]}", markup=False),
    )
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(what, total=None, name="")

        def update(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, name=printable(name)[-40:])

        yield update
