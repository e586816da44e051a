"""`ritornello report`: any number of models and folders on one page that works offline."""

import os
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ritornello.cli.console import VerbParser, emit
from ritornello.cli.evaluate import (
    Judged,
    Setting,
    add_setting,
    bench_of,
    judge_target,
    kept,
    result_path,
    setting_of,
)
from ritornello.errors import ConfigError, RitornelloError

if TYPE_CHECKING:
    from ritornello.evaluation.clips import ClipSet
    from ritornello.evaluation.report import Report, SystemPart

LONG_SHOWN = 2
SUFFIXES = (".html", ".htm")

Progress = Callable[[int, int, str], None]


def run(argv: list[str]) -> int:
    """Judge every target by the same reference and write the page."""
    options = build_parser().parse(argv)
    if options.takes < 1:
        raise ConfigError(f"--takes is {options.takes}; expected at least 1")
    setting = setting_of(options)
    result_path(options.out, *SUFFIXES, reference=setting.reference)

    from ritornello.cli.data import progress_bar
    from ritornello.evaluation.report_page import page

    with kept(setting.cache) as folder, progress_bar("judging") as progress:
        command = shlex.join(["ritornello", "report", *argv])
        report = gather(options, setting, folder, progress, command)
    text = page(report)
    write_whole(options.out, text)
    result = {
        "path": str(options.out),
        "bytes": len(text.encode()),
        "systems": {system.name: system.judgement.to_json() for system in report.systems},
    }
    told = [
        f"{options.out}: {', '.join(system.name for system in report.systems)}, "
        f"{result['bytes'] / 1e6:.1f} MB"
    ]
    emit(result, as_json=options.json, text=told)
    return 0


def build_parser() -> VerbParser:
    """The flags of the verb."""
    parser = VerbParser(
        "report",
        "Judge models and folders of audio by the same real music, and write one HTML page with\n"
        "figures, players, spectrograms and curves. It needs no network, now or later.",
        [
            "ritornello report piano --reference ~/recordings -o report.html",
            "ritornello report piano runs/mine ~/takes --reference ~/recordings -o report.html",
            "ritornello report runs/mine --reference manifest.jsonl --split valid "
            "--training manifest.jsonl -o report.html",
        ],
    )
    parser.add_argument("targets", nargs="+", metavar="MODEL|DIR", help="models, folders of audio")
    add_setting(parser, clips=32)
    add = parser.add_argument
    add("-o", "--out", type=Path, default=Path("report.html"), metavar="FILE", help="report.html")
    add("--title", default="How good is it?", help="heading of the page")
    add("--takes", type=int, default=8, help="excerpts to listen to of each (8)")
    add(
        "--training",
        type=Path,
        metavar="DIR",
        help="the training music (of a manifest its train split): also show what comes nearest",
    )
    return parser


def gather(
    options: Any, setting: Setting, folder: Path, progress: Progress, command: str
) -> "Report":
    """Everything the page shows, one target after the other."""
    from ritornello.evaluation.report import Report, excerpts_of, told_apart

    if setting.cache is None:  # what embeds or is fingerprinted for one target serves the next
        setting = replace(setting, cache=folder)
    bench = bench_of(options.targets, setting)
    training = training_of(options.training, bench.reference.clips, setting, progress)
    parts: list[SystemPart] = []
    for target in options.targets:
        judged = judge_target(target, bench, folder, progress)
        parts.append(part_of(judged, options.takes, training, setting, progress))
    names = told_apart([part.name for part in parts])
    parts = [
        replace(part, judgement=replace(part.judgement, name=name))
        for part, name in zip(parts, names, strict=True)
    ]
    return Report(
        title=options.title,
        systems=parts,
        reference=excerpts_of(bench.reference.clips, options.takes),
        command=command,
    )


def training_of(
    source: Path | None, reference: "ClipSet", setting: Setting, progress: Progress
) -> "ClipSet | None":
    """The training music, if it was given; refused before any work if it cannot be searched.

    Raises:
        DataError: No such music, clips too short or too few, or music of the reference in it.
    """
    if source is None:
        return None

    from ritornello.evaluation import originality
    from ritornello.evaluation.clips import clips_of

    source = source.expanduser()
    training = clips_of(
        source,
        seconds=setting.seconds,
        count=None,
        seed=setting.seed,
        split="train" if source.is_file() else None,
        progress=progress,
    )
    # No output is made yet: a clip of the training music, of their length, stands for them.
    originality.validate(training[:1], training, reference)
    return training


def part_of(
    judged: Judged,
    takes: int,
    training: "ClipSet | None",
    setting: Setting,
    progress: Progress,
) -> "SystemPart":
    """What the page shows of one target."""
    from ritornello.evaluation.report import SystemPart, close_pairs, excerpts_of, long_piece

    part = SystemPart(
        judgement=judged.judgement,
        excerpts=excerpts_of(judged.generated, takes),
        long_pieces=[long_piece(clip) for clip in list(judged.long or ())[:LONG_SHOWN]],
    )
    if training is None:
        return part

    import numpy as np

    from ritornello.evaluation import originality

    try:
        found = originality.evaluate(
            judged.generated,
            training,
            judged.reference,
            draw=np.random.default_rng(setting.seed),
            cache=setting.cache.expanduser() / "fingerprints" if setting.cache else None,
            progress=progress,
        )
    except RitornelloError as error:  # what was judged is not thrown away for it
        return replace(part, originality_warnings=[f"No originality: {error}"])
    return replace(
        part,
        pairs=close_pairs(found),
        originality=found.figures,
        originality_warnings=found.warnings,
    )


def write_whole(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    temporary = path.with_name(f".{path.name}.writing")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
