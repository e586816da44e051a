"""A report as one HTML page: everything inside, nothing fetched, readable without its script.

Conventions
    page       a whole document; its content policy forbids every outside address
    names      of files, models and warnings are escaped wherever they appear
    figures    one card each: all systems on one axis, real music's interval as a band behind them;
               a system is marked as best only where its interval is apart from all others

The page fits a phone, a desk, the dark, and paper, where players give way to the files' names.
"""

import html
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ritornello.evaluation import report_pictures as draw
from ritornello.evaluation.intervals import Estimate
from ritornello.evaluation.reading import (
    beside,
    best_of,
    interval,
    is_detail,
    judged,
    reading,
    shown,
)
from ritornello.evaluation.report import ClosePair, Excerpt, LongPiece, Report, SystemPart

HEADLINES = ("fad", "fad_infinity", "kid", "mirdd_open_js", "frechet_distance", "variety_ratio")
MOST_HEADLINES = 4
PITCH_CLASSES = ("C", "", "D", "", "E", "F", "", "G", "", "A", "", "B")
COUNTED = {
    "loudness_dbfs": "Level of the clips, dBFS",
    "onset_rate_hz": "Onsets a second",
    "bandwidth_hz": "Bandwidth, Hz",
    "side_energy_db": "Side energy, dB",
}
BETTER = {
    "lower": "lower is better",
    "higher": "higher is better",
    "real": "near real music is better",
    "": "",
}
POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'"
)
ONE_AT_A_TIME = (
    "document.addEventListener('play', e => document.querySelectorAll('audio').forEach("
    "a => a !== e.target && a.pause()), true)"
)


def page(report: Report) -> str:
    """The whole report as one HTML text."""
    kbps = draw.bit_rate_kbps(report.players_s)
    body = [
        _header(report),
        _summary(report),
        _figures(report),
        *(_system(system, report, kbps) for system in report.systems),
        _reference(report, kbps),
        _making(report),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{safe(report.title)}</title>\n<style>\n{style()}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + f"\n<script>{ONE_AT_A_TIME}</script>\n</body>\n</html>\n"
    )


@lru_cache(maxsize=1)
def style() -> str:
    """The page's style sheet."""
    return Path(__file__).with_name("report.css").read_text(encoding="utf-8")


def safe(text: object) -> str:
    """Any text, harmless in HTML and in its attributes."""
    return html.escape(str(text), quote=True)


# ---- head and figures ------------------------------------------------------------------------


def _header(report: Report) -> str:
    first = report.systems[0].judgement.material
    made, real = first.get("generated", {}), first.get("reference", {})
    said = (
        f"{made.get('clips', '?')} clips of {made.get('seconds', 0):g} s of each system, judged by "
        f"{real.get('clips', '?')} clips of real music. Every figure has its 95 % interval over "
        "clips; the band behind it is what real music itself gets. Where intervals overlap, there "
        "is no winner."
    )
    links = "".join(
        f'<a href="#system-{number}">{safe(system.name)}</a>'
        for number, system in enumerate(report.systems)
    )
    nav = f'<nav aria-label="Systems">{links}<a href="#reference">Real music</a></nav>'
    return f"<header><h1>{safe(report.title)}</h1><p>{safe(said)}</p>{nav}</header>"


def _summary(report: Report) -> str:
    """The main figures, one row per system."""
    names = [name for name in HEADLINES if name in report.figure_names()][:MOST_HEADLINES]
    best = {name: _best(name, report) for name in names}
    with_speed = any(system.speed for system in report.systems)
    head = "".join(f'<th scope="col">{safe(reading(name).label)}</th>' for name in names)
    head += '<th scope="col">Speed</th>' * with_speed
    rows = []
    for system in report.systems:
        cells = "".join(_summary_cell(system, name, best[name]) for name in names)
        if with_speed:
            speed = system.speed
            told = f"{speed['times_real_time']:.1f} x" if speed else "-"
            cells += f'<td data-label="Speed">{told}</td>'
        rows.append(f'<tr><th scope="row">{safe(system.name)}</th>{cells}</tr>')
    reals = [_real(name, report) for name in names]
    cells = "".join(
        f'<td data-label="{safe(reading(name).label)}">{shown(real.value) if real else "-"}</td>'
        for name, real in zip(names, reals, strict=True)
    )
    rows.append(
        f'<tr class="usual"><th scope="row">real music</th>{cells}{"<td></td>" * with_speed}</tr>'
    )
    return (
        '<section><h2>In short</h2><div class="scroll"><table class="summary"><thead><tr>'
        f'<th scope="col">System</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
        "</div></section>"
    )


def _summary_cell(system: SystemPart, name: str, best: str | None) -> str:
    figure = system.figures.get(name)
    label = safe(reading(name).label)
    told = shown(figure.value) if figure else "-"
    mark = ' <span class="best">best</span>' if best == system.name else ""
    return f'<td data-label="{label}"><span>{told}{mark}</span></td>'


def _figures(report: Report) -> str:
    everything = {name: estimate for system in report.systems for name, estimate in _all(system)}
    names = judged(everything)
    cards = "".join(_card(name, report) for name in names if not is_detail(name))
    details = _details([name for name in names if is_detail(name)], report)
    return f'<section><h2>Figures</h2><div class="cards">{cards}</div>{details}</section>'


def _details(names: Sequence[str], report: Report) -> str:
    """The many figures that the means above are made of, one row each and system."""
    rows = []
    for name in names:
        for system in report.systems:
            figure, usual = system.figures.get(name), beside(name, system.figures)
            if figure is not None:
                real = f"{shown(usual.value)} ({interval(usual)})" if usual else "-"
                rows.append(
                    f'<tr><th scope="row">{safe(reading(name).label)}</th>'
                    f"<td>{safe(system.name)}</td><td>{shown(figure.value)}</td>"
                    f"<td>{interval(figure)}</td><td>{real}</td></tr>"
                )
    if not rows:
        return ""
    return (
        "<details><summary>Every descriptor by itself</summary>"
        '<div class="scroll"><table><thead><tr><th scope="col">Figure</th><th scope="col">System'
        '</th><th scope="col">Value</th><th scope="col">95 % interval</th>'
        f'<th scope="col">Real music</th></tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        "</details>"
    )


def _all(system: SystemPart) -> Iterator[tuple[str, Estimate]]:
    yield from system.figures.items()


def _card(name: str, report: Report) -> str:
    """One figure: every system's interval on a common axis."""
    read = reading(name)
    having = [system for system in report.systems if name in system.figures]
    usual = {system.name: beside(name, system.figures) for system in having}
    ends = draw.axis(
        [*(system.figures[name] for system in having), *(u for u in usual.values() if u)]
    )
    best = _best(name, report)
    rows = "".join(
        _figure_row(system.name, system.figures[name], usual[system.name], ends, best)
        for system in having
    )
    real = _real(name, report)
    if real is not None:
        rows += (
            '<tr class="usual"><th scope="row">real music</th>'
            f"<td>{shown(real.value)}</td><td>{interval(real)}</td><td>{real.items}</td></tr>"
        )
    return (
        f'<article class="card"><h3>{safe(read.label)}</h3><p class="says">'
        f"{safe(read.says)} <em>{BETTER[read.better]}</em></p>"
        '<table><thead><tr><th scope="col">System</th><th scope="col">Value</th>'
        '<th scope="col">95 % interval</th><th scope="col">n</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></article>"
    )


def _figure_row(
    system: str,
    figure: Estimate,
    usual: Estimate | None,
    ends: tuple[float, float],
    best: str | None,
) -> str:
    mark = ' <span class="best">best</span>' if best == system else ""
    said = f"{shown(figure.value)}, interval {interval(figure)}"
    bar = draw.interval_bar(figure, usual, ends, f"{system}: {said}")
    return (
        f'<tr><th scope="row">{safe(system)}{mark}</th><td>{shown(figure.value)}</td>'
        f"<td>{interval(figure)}</td><td>{figure.items}</td></tr>"
        f'<tr class="bars"><td colspan="4">{bar}</td></tr>'
    )


def _best(name: str, report: Report) -> str | None:
    having = {
        system.name: system.figures[name] for system in report.systems if name in system.figures
    }
    return best_of(name, having, _real(name, report)) if having else None


def _real(name: str, report: Report) -> Estimate | None:
    """What real music gets: that of the first system that has it, for all share the reference."""
    found = (beside(name, system.figures) for system in report.systems)
    return next((real for real in found if real is not None), None)


# ---- one system ------------------------------------------------------------------------------


def _system(system: SystemPart, report: Report, kbps: float) -> str:
    number = list(report.systems).index(system)
    parts = [
        _warnings([*system.judgement.warnings, *system.originality_warnings]),
        _speed(system.speed),
        _players(system.excerpts, kbps),
        _histograms(system.judgement.rows),
        _long_pieces(system.long_pieces),
        _pairs(system.pairs, kbps),
    ]
    return (
        f'<section id="system-{number}" class="system"><h2>{safe(system.name)}</h2>'
        f"{''.join(parts)}</section>"
    )


def _warnings(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    items = "".join(f"<li>{safe(warning)}</li>" for warning in dict.fromkeys(warnings))
    return f'<aside class="warnings"><h3>What the figures are worth</h3><ul>{items}</ul></aside>'


def _speed(speed: Mapping[str, Any] | None) -> str:
    if not speed:
        return ""
    return (
        f'<p class="speed">Plays <strong>{speed["times_real_time"]:.1f} times real time</strong> '
        f"on {safe(speed.get('threads', '?'))} thread(s), {safe(speed.get('kernel_path', ''))}, "
        f"{speed['peak_memory_mb']:.0f} MB at most; median of {safe(speed.get('takes', '?'))} "
        f"takes of {speed['seconds']:g} s.</p>"
    )


def _players(excerpts: Sequence[Excerpt], kbps: float) -> str:
    cards = "".join(
        f'<figure class="excerpt"><figcaption class="file">{safe(excerpt.name)}</figcaption>'
        f"{draw.player(excerpt.audio, excerpt.name, kbps)}"
        f"{draw.spectrogram(excerpt.audio, excerpt.name)}</figure>"
        for excerpt in excerpts
    )
    return f'<h3>Listen</h3><div class="excerpts">{cards}</div>'


def _histograms(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the clips are like, bars, against the reference's, outlines."""
    made = [row for row in rows if row.get("set") == "generated"]
    real = [row for row in rows if row.get("set") == "reference"]
    if not made or not real:
        return ""
    drawings = []
    if all("chroma" in row for row in (*made, *real)):
        shares = [np.mean([row["chroma"] for row in side], axis=0) for side in (made, real)]
        drawings.append(draw.histogram(shares[0], shares[1], PITCH_CLASSES, "Pitch classes"))
    for key, title in COUNTED.items():
        sides = [[row[key] for row in side if row.get(key) is not None] for side in (made, real)]
        if all(sides):
            drawings.append(draw.histogram(*draw.binned(sides[0], sides[1]), title))
    return (
        '<h3>What the clips are like <small>bars; outlines: real music</small></h3><div class="'
        f'histograms">{"".join(drawings)}</div>'
    )


def _long_pieces(pieces: Sequence[LongPiece]) -> str:
    if not pieces:
        return ""
    figures = []
    for piece in pieces:
        curves = draw.curve(piece.loudness, "Loudness", "LUFS")
        curves += draw.curve(piece.density, "Density", "onsets a second")
        matrix = ""
        if piece.similarity is not None:
            matrix = draw.similarity(piece.similarity, piece.seconds, piece.name)
        figures.append(
            f'<div class="long"><h4 class="file">{safe(piece.name)}</h4>'
            f'<div class="over-time">{matrix}<div>{curves}</div></div></div>'
        )
    return (
        "<h3>Over time</h3><p>Bright squares on the diagonal are passages of one kind; bright "
        "stripes beside it are music that comes again.</p>" + "".join(figures)
    )


def _pairs(pairs: Sequence[ClosePair], kbps: float) -> str:
    if not pairs:
        return ""
    shown_pairs = "".join(
        f'<div class="pair{" copied" * pair.copied}"><p>{safe(pair.says)}'
        f"{' <strong>a copy</strong>' * pair.copied}</p>"
        + "".join(
            f'<div><p class="file">{what}: {safe(side.name)}</p>'
            f"{draw.player(side.audio, side.name, kbps)}</div>"
            for what, side in (("output", pair.output), ("training", pair.training))
        )
        + "</div>"
        for pair in pairs
    )
    return (
        "<h3>Nearest to the training music</h3><p>The outputs that come nearest, each above the "
        f"excerpt it comes near to.</p>{shown_pairs}"
    )


# ---- reference and making --------------------------------------------------------------------


def _reference(report: Report, kbps: float) -> str:
    return (
        '<section id="reference" class="system"><h2>Real music</h2>'
        f"{_players(report.reference, kbps)}</section>"
    )


def _making(report: Report) -> str:
    """Settings, hashes and the command: enough to make the page again."""
    tables = []
    for system in report.systems:
        judgement = system.judgement
        values = {
            **_flat("setting", judgement.notes.get("setting", {})),
            **_flat("", judgement.material),
            **_flat("", {"weights sha256": judgement.notes.get("weights")}),
        }
        rows = "".join(
            f'<tr><th scope="row">{safe(key)}</th><td>{safe(value)}</td></tr>'
            for key, value in values.items()
        )
        tables.append(
            f"<details><summary>{safe(system.name)}</summary>"
            f'<table class="settings"><tbody>{rows}</tbody></table></details>'
        )
    return (
        "<section><h2>How this page was made</h2><p>Players are MP3, brought to one loudness; "
        "the figures were measured on the files themselves.</p>"
        f"<pre><code>{safe(report.command)}</code></pre>{''.join(tables)}</section>"
    )


def _flat(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings as `generated clips: 32`; what is unset is left out."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix} {key}".strip()
        if isinstance(value, Mapping):
            flat |= _flat(name, value)
        elif value is not None:
            flat[name] = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
    return flat
