"""`ritornello data scan DIR --stems`: what multitrack songs there are below a folder."""

import argparse
from typing import Any

from ritornello.cli.console import emit


def scan_stems_verb(options: argparse.Namespace) -> int:
    """Scan the folders of `options` for songs with stems and report them; the exit code."""
    from ritornello.cli.data import printable, progress_bar
    from ritornello.data.stems import scan_stems, stem_summary

    workers = options.workers or 1
    with progress_bar("scanning") as progress:
        corpus = scan_stems(options.dir, options.manifest, workers, progress)
    written = str(options.manifest) if options.manifest else None
    report = {"folders": [str(folder) for folder in options.dir], "manifest": written}
    report |= stem_summary(corpus)
    emit(report, as_json=options.json, text=map(printable, stem_lines(report)))
    return 0


def stem_lines(report: dict[str, Any]) -> list[str]:
    """The report of a scan for stems as lines for a person."""
    from ritornello.cli.data import hours_text, row, skipped_lines

    stems = ", ".join(f"{name} {count}" for name, count in report["stems"].items())
    sounding = ", ".join(
        f"{name} {hours_text(hours)}" for name, hours in report["sounding_hours"].items()
    )
    splits = ", ".join(
        f"{name} {_songs(split['songs'])} {hours_text(split['hours'])}"
        for name, split in report["splits"].items()
    )
    lines = [
        f"{', '.join(report['folders'])}: {_songs(report['songs'])}, "
        f"{hours_text(report['hours'])}, {sum(report['stems'].values())} stems",
        *row("works", str(report["works"])),
        *row("stems", stems),
        *row("sounding", sounding),
        *row("split", splits),
    ]
    if report["silent_stems"]:
        lines += row("silent", f"from beginning to end: {report['silent_stems']}")
    lines += skipped_lines(report["skipped"])
    if report["manifest"]:
        lines += row("manifest", report["manifest"])
    return lines


def _songs(count: int) -> str:
    return f"{count} song" if count == 1 else f"{count} songs"
