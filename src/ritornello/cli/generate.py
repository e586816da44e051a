"""`ritornello generate`: one verb for all systems, from a request to finished files."""

import dataclasses
import itertools
import math
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ritornello.cli.console import ProgressLine, VerbParser, emit, output_path
from ritornello.cli.playing import Order, add_model, add_request, load, order, saved_in
from ritornello.cli.stems import best_first, faded_ends, ranked, write_both
from ritornello.errors import ConfigError

if TYPE_CHECKING:
    from ritornello.audio.io import WriteReport
    from ritornello.interfaces import Audio, Request, System

Written = tuple["WriteReport", Mapping[str, Any]]
"""What writing did to a piece, and what it says of itself."""

DEFAULT_SECONDS = 30.0
WHOLE_UP_TO_S = 120.0
"""Longer pieces are streamed to the disk, in memory that does not grow with their length."""

SUFFIXES = (".wav", ".flac")
TOLD = ("stem", "retries", "candidates", "candidate")
"""What a stem's meta says that a user wants to know."""


def run(argv: list[str]) -> int:
    """Generate one piece, or several takes of it."""
    options = build_parser().parse(argv)
    if options.takes < 1:
        raise ConfigError(f"-n is {options.takes}; expected at least 1")
    seconds = options.seconds
    has_length = (options.form, options.from_codes, options.mix, options.stem_in)
    if seconds is None and all(one is None for one in has_length):
        seconds = DEFAULT_SECONDS
    if options.mixdown is not None and options.mix is None:
        raise ConfigError("--mixdown is the mix with its stem; expected --mix with it")
    ordered = order(options, seconds)
    out = options.out or Path(f"{Path(options.model).resolve().name}.wav")
    paths = [
        output_path(path, SUFFIXES, never=tuple(ordered.inputs.values()))
        for path in take_paths(out, options.takes)
    ]
    never = (*ordered.inputs.values(), *paths)
    mixdowns = [
        output_path(path, SUFFIXES, never=never)
        for path in (take_paths(options.mixdown, options.takes) if options.mixdown else ())
    ]
    system, load_s = load(ordered.model, options.threads)
    takes = []
    for number, path in enumerate(paths):
        request = dataclasses.replace(ordered.request, seed=options.seed + number)
        take = dataclasses.replace(ordered, request=request)
        if options.takes > 1 and options.save is not None:
            folder = str(Path(options.save) / f"take-{number + 1}")
            take = dataclasses.replace(take, options=saved_in(ordered.options, folder))
        takes.append(write_piece(system, take, path, how_to_write(system, request)))
        if mixdowns:
            both = write_both(mixdowns[number], path, take, options.stem_level)
            takes[-1] = {**takes[-1], "mixdown": both}
    takes = ranked(takes, ordered)
    result = {
        "model": ordered.model.name,
        "system": ordered.model.system,
        "load_s": round(load_s, 3),
        "takes": takes,
    }
    text = [*itertools.chain.from_iterable(map(_lines, takes)), *best_first(takes)]
    emit(result, as_json=options.json, text=text)
    return 0


def build_parser() -> VerbParser:
    """The flags of the verb."""
    parser = VerbParser(
        "generate",
        "Generate a piece and write it as 24-bit WAV or FLAC. The same call writes the same\n"
        "bytes; an audio file that has the name already is replaced. Pieces of more than two\n"
        "minutes are streamed to the disk. With --continue the file begins with the recording\n"
        "given, and --seconds counts the new music after it.",
        [
            "ritornello generate -o piano.wav",
            "ritornello generate piano -o long.flac --seconds 600 --seed 3 --to-seed 7",
            "ritornello generate piano -o song.wav --form A:16,B:8,A:16 --set density=0.7",
            "ritornello generate piano -o take.wav -n 4        # take-1.wav .. take-4.wav",
            "ritornello generate ada-piano -o more.wav --continue beginning.wav --seconds 20",
            "ritornello generate ada-piano -o calm.wav --temperatures 0.4,0.95,1",
            "ritornello generate runs/songs -o song.wav --composer bach --lyrics text.txt",
            "ritornello generate runs/songs -o a.wav -n 4 --level 2 --seconds 20 --save takes",
            "ritornello generate runs/songs -o b.wav --from-codes takes/take-2",
            "ritornello generate runs/mine -o mine.wav --set density=curve.csv --json",
            "ritornello generate stemgen-band --mix mix.wav --stem bass -o bass.wav",
            "ritornello generate stemgen-band --mix mix.wav --stem bass -o b.wav -n 4 --loop",
        ],
    )
    add_model(parser)
    add = parser.add_argument
    add("-o", "--out", type=Path, metavar="FILE", help="a .wav or .flac file (MODEL.wav)")
    add("--seconds", type=float, help=f"length ({DEFAULT_SECONDS:g}, or the length of the form)")
    add(
        "-n",
        dest="takes",
        type=int,
        default=1,
        metavar="TAKES",
        help="write FILE-1 .. FILE-n, with seeds seed, seed+1, ... (1)",
    )
    add("--mixdown", type=Path, metavar="FILE", help="write --mix with its stem, too")
    add("--stem-level", type=float, metavar="LU", help="its loudness there against the mix's (-3)")
    add_request(parser)
    return parser


def take_paths(out: Path, takes: int) -> list[Path]:
    """`out` itself for one take, `out-1 .. out-n` for several."""
    if takes == 1:
        return [out]
    return [out.with_stem(f"{out.stem}-{number}") for number in range(1, takes + 1)]


def write_piece(system: "System", ordered: Order, path: Path, how: str) -> dict[str, Any]:
    """Play an order into `path`, with its provenance; what a user wants to know of the file.

    Args:
        system: The loaded model.
        ordered: What to play.
        path: A .wav or .flac file.
        how: "whole", or "stream" in constant memory.
    """
    start = time.perf_counter()
    write = {"whole": _write_whole, "stream": _write_streamed}[how]
    report, meta = write(system, ordered, path)
    elapsed_s = time.perf_counter() - start
    seconds = report.frames / system.sample_rate
    if report.clipped:
        print(f"{path}: {report.clipped} samples were limited to the peak", file=sys.stderr)
    return {
        "path": str(path),
        "seconds": seconds,
        "sample_rate": system.sample_rate,
        "channels": system.channels,
        "seed": ordered.request.seed,
        "elapsed_s": round(elapsed_s, 3),
        "times_real_time": round(seconds / elapsed_s, 2),
        "gain_db": round(report.gain_db, 3),
        "peak_dbfs": round(report.peak_dbfs, 3) if math.isfinite(report.peak_dbfs) else None,
        "clipped": report.clipped,
        "sections": meta.get("form", []),
        **{name: meta[name] for name in TOLD if name in meta},
    }


def how_to_write(system: "System", request: "Request") -> str:
    """How to play a request: "stream" when too long to hold in memory, otherwise "whole"."""
    seconds = request.seconds or sum(section.seconds or 0.0 for section in request.form)
    return "stream" if "stream" in system.capabilities and seconds > WHOLE_UP_TO_S else "whole"


def _write_whole(system: "System", ordered: Order, path: Path) -> Written:
    from ritornello.audio.io import write_audio

    audio = faded_ends(system.generate(ordered.request, ordered.options), ordered)
    meta = ordered.record("whole", audio.meta)
    report = write_audio(path, dataclasses.replace(audio, meta=meta))
    return report, audio.meta


def _write_streamed(system: "System", ordered: Order, path: Path) -> Written:
    blocks = faded(system.stream(ordered.request, ordered.options))
    shown = with_progress(blocks, path.name, ordered.request.seconds)
    return write_blocks(system, ordered, path, shown)


def write_blocks(
    system: "System", ordered: Order, path: Path, blocks: Iterator["Audio"]
) -> Written:
    """Write the blocks of a stream with its provenance; the report and the piece's meta."""
    from ritornello.audio.io import AudioWriter

    first = next(blocks)
    meta = ordered.record("stream", first.meta)
    with AudioWriter(path, system.sample_rate, system.channels, meta=meta) as writer:
        for block in itertools.chain([first], blocks):
            writer.write(block)
    return writer.report(), first.meta


def faded(blocks: Iterator["Audio"]) -> Iterator["Audio"]:
    """The blocks of a piece, with short fades where it begins and ends."""
    import numpy as np

    from ritornello.audio.io import FADE_S, fade

    held = fade(next(blocks), end_s=0)
    for block in blocks:
        if block.duration_s < FADE_S:  # a last crumb is too short to fade out by itself
            samples = np.concatenate([held.samples, block.samples], axis=1)
            held = dataclasses.replace(held, samples=samples)
        else:
            yield held
            held = block
    yield fade(held, start_s=0)


def with_progress(blocks: Iterator["Audio"], what: str, total_s: float | None) -> Iterator["Audio"]:
    """The blocks unchanged, with a line on the terminal that says how far they have come."""
    line = ProgressLine(what, total_s)
    done_s = 0.0
    try:
        for block in blocks:
            yield block
            done_s += block.duration_s
            line.update(done_s)
    finally:
        line.close()


def _lines(take: dict[str, Any]) -> list[str]:
    sections = [
        f"  {letter}  {start_s:7.2f} s - {end_s:.2f} s"
        for letter, start_s, end_s in take["sections"]
    ]
    return [
        f"{take['path']}: {take['seconds']:.1f} s, {take['sample_rate']} Hz, seed {take['seed']}, "
        f"made in {take['elapsed_s']:.1f} s ({take['times_real_time']:.1f} x real time)",
        *sections,
    ]
