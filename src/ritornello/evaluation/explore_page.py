"""A folder of samples as one HTML page: players, spectrograms, filters, lyrics, maps.

Conventions
    card     one sample: name, picture, facets, lyrics; its file is a link, which needs no script
    number   of a card, from 0 in the order of the folder; what maps and the script know it by
    point    a place on a map, drawn in a square of FRAME units

The page is written while samples are read: of each, only a name, facets and what is heard of it
stay in memory. Maps therefore stand after the cards, and the style sheet puts them first.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from jaxtyping import Float

from ritornello.data.jobs import Progress
from ritornello.errors import AudioError, DataError
from ritornello.evaluation.explore import (
    FACETS,
    Folder,
    Refusal,
    Sample,
    Segment,
    nothing_to_show,
    refusal,
)
from ritornello.evaluation.explore_map import LAYOUTS, LabelTable, Layout
from ritornello.evaluation.explore_sound import BANDS, COLUMNS, Address, Hear, Heard, picture
from ritornello.evaluation.report_page import safe, style

POLICY = (
    "default-src 'none'; img-src data:; media-src data: file: 'self'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'"
)
FRAME, MARGIN = 400.0, 16.0
FEWEST_POINTS = 3
MOST_NAMED_POINTS = 80
NAMES = {"artist": "Artist, composer"}

Point = tuple[float, float]
Points = Float[np.ndarray, "items 2"]


@dataclass(frozen=True, kw_only=True)
class PagePlan:
    """What goes on the page besides the folder.

    Attributes:
        title: Its heading.
        address: Where players find a sample.
        hear: What tells samples apart on the map; None draws no map of them.
        layout: How maps are laid out.
        tables: What a model learnt of its labels, a map each.
    """

    title: str
    address: Address
    hear: Hear | None = None
    layout: Layout = LAYOUTS["pca"]
    tables: Sequence[LabelTable] = ()


@dataclass(kw_only=True)
class Explored:
    """What came of it.

    Attributes:
        shown: Samples that have a card, by number.
        refused: Files that have none.
        heard: What was heard of samples, by number.
        unmapped: Samples that are too short for a place on the map.
    """

    shown: list[Sample] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    heard: dict[int, Heard] = field(default_factory=dict)
    unmapped: list[str] = field(default_factory=list)

    def facets(self) -> dict[str, Counter[str]]:
        """How many samples have which value, for every facet that some sample has."""
        counts: dict[str, Counter[str]] = {facet: Counter() for facet in FACETS}
        for sample in self.shown:
            for facet, values in sample.facets.items():
                counts.setdefault(facet, Counter()).update(values)
        return {facet: values for facet, values in counts.items() if values}


def write_page(
    out: Path, folder: Folder, plan: PagePlan, progress: Progress | None = None
) -> Explored:
    """Read every sample and write the page, whole or not at all.

    Raises:
        DataError: Not one sample could be decoded, or there are too many for the layout.
    """
    if plan.hear is not None:
        plan.layout.require(len(folder.samples))
    explored = Explored(refused=list(folder.refused))
    temporary = out.with_name(f".{out.name}.{os.getpid()}.writing")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            _write(file, folder, plan, explored, progress)
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)
    return explored


def _write(
    file: TextIO,
    folder: Folder,
    plan: PagePlan,
    explored: Explored,
    progress: Progress | None,
) -> None:
    file.write(_head(plan.title))
    total = len(folder.samples)
    for done, sample in enumerate(folder.samples):
        if progress is not None:
            progress(done, total, sample.id)
        try:
            drawn, address = picture(sample), plan.address(sample)
            heard = plan.hear(sample) if plan.hear is not None else None
        except (AudioError, OSError) as error:
            explored.refused.append(refusal(sample.id, sample.path, error))
            continue
        number = len(explored.shown)
        explored.shown.append(sample)
        if heard is not None:
            explored.heard[number] = heard
        elif plan.hear is not None:
            explored.unmapped.append(sample.id)
        file.write(card(sample, number, drawn, address))
    if progress is not None:
        progress(total, total, "")
    if not explored.shown:
        raise DataError(nothing_to_show(folder.path, explored.refused))
    file.writelines(_tail(folder, plan, explored))


# ---- frame -----------------------------------------------------------------------------------


def _head(title: str) -> str:
    """All up to the first card."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{safe(title)}</title>\n<style>\n{style()}{_beside('explore.css')}</style>\n"
        f"</head>\n<body>\n<header><h1>{safe(title)}</h1></header>\n{CONTROLS}"
        '<main class="explorer">\n<section id="cards" aria-label="Samples">\n'
    )


CONTROLS = (
    '<form id="controls" hidden><label>Search<input type="search" id="search" '
    'placeholder="name, label, lyrics"></label><span id="filters"></span>'
    '<label>Sort by<select id="sort"></select></label>'
    '<label class="tick"><input type="checkbox" id="on">Play on</label>'
    '<button type="reset">Show all</button><output id="count"></output></form>\n'
)
PLAYER = (
    '<aside id="player" hidden><p id="playing" aria-live="polite"></p>'
    '<audio controls preload="metadata"></audio>'
    "<p class='keys'>space plays and pauses, arrows move</p></aside>\n"
)


def _tail(folder: Folder, plan: PagePlan, explored: Explored) -> Iterator[str]:
    """All after the last card."""
    yield "</section>\n"
    maps = [*sample_map(plan, explored), *label_maps(plan)]
    if maps:
        yield f'<section id="maps" aria-label="Maps">{"".join(maps)}</section>\n'
    yield "</main>\n"
    yield _left_out("Files that are not shown", explored.refused)
    yield _left_out("Side-cars that are not read", folder.unread)
    yield f'{PLAYER}<script type="application/json" id="samples">{_data(explored)}</script>\n'
    yield f"<script>\n{_beside('explore.js')}</script>\n</body>\n</html>\n"


def _left_out(title: str, refused: Sequence[Refusal]) -> str:
    if not refused:
        return ""
    items = "".join(f"<li><b>{safe(each.name)}</b> {safe(each.reason)}</li>" for each in refused)
    return (
        f'<details class="left-out"><summary>{title}: {len(refused)}</summary>'
        f"<ul>{items}</ul></details>\n"
    )


def _data(explored: Explored) -> str:
    """What the script needs to know, harmless inside an HTML script element."""
    data = {
        "facets": {facet: _named(facet) for facet in explored.facets()},
        "samples": [_row(sample) for sample in explored.shown],
    }
    text = json.dumps(data, ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _row(sample: Sample) -> dict[str, Any]:
    return {
        "id": sample.id,
        "title": sample.title,
        "duration_s": round(sample.duration_s, 3),
        "facets": {facet: list(values) for facet, values in sample.facets.items()},
    }


def _named(facet: str) -> str:
    return NAMES.get(facet, facet[:1].upper() + facet[1:])


@lru_cache(maxsize=2)
def _beside(name: str) -> str:
    """A text file beside this one."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


# ---- cards -----------------------------------------------------------------------------------


def card(sample: Sample, number: int, drawn: str, address: str) -> str:
    """One sample, as an element of the page."""
    download = " download" if address.startswith("data:") else ""
    says = f"Mel spectrogram of {sample.title}"
    return (
        f'<article class="sample" id="sample-{number}" data-number="{number}">'
        f'<h2><button type="button" class="play" aria-label="Play {safe(sample.title)}"></button>'
        f'<a class="address" href="{safe(address)}" title="{safe(sample.id)}"{download}>'
        f"{safe(sample.title)}</a></h2>"
        f'<div class="picture"><img loading="lazy" decoding="async" src="{drawn}" '
        f'alt="{safe(says)}" width="{COLUMNS}" height="{BANDS}"><i class="head"></i></div>'
        f'<p class="facts">{_facts(sample.facets)}<span class="length">{_length(sample)}</span></p>'
        f"{_lyrics(sample.lyrics)}</article>\n"
    )


def _facts(facets: Mapping[str, Iterable[str]]) -> str:
    return "".join(
        f"<span><small>{safe(facet)}</small> {safe(', '.join(values))}</span>"
        for facet, values in facets.items()
    )


def _length(sample: Sample) -> str:
    minutes, seconds = divmod(round(sample.duration_s), 60)
    return f"{minutes}:{seconds:02}"


def _lyrics(segments: Sequence[Segment]) -> str:
    if not segments:
        return ""
    said = "".join(
        safe(each.text)
        if each.start_s is None
        else f'<span data-from="{each.start_s:g}" data-to="{each.end_s:g}">{safe(each.text)}</span>'
        for each in segments
    )
    return f'<details class="lyrics"><summary>Lyrics</summary><p>{said}</p></details>'


# ---- maps ------------------------------------------------------------------------------------


def sample_map(plan: PagePlan, explored: Explored) -> Iterator[str]:
    """The map of samples, if enough of them were heard."""
    numbers = sorted(explored.heard)
    if len(numbers) < FEWEST_POINTS:
        return
    points = plan.layout.points(np.stack([explored.heard[number] for number in numbers]))
    circles = "".join(
        f'<circle data-number="{number}" cx="{x:.1f}" cy="{y:.1f}" r="6">'
        f"<title>{safe(explored.shown[number].title)}</title></circle>"
        for number, (x, y) in zip(numbers, _on_paper(points), strict=True)
    )
    yield _map(
        "samples",
        "How the samples sound",
        f"{plan.layout.says} Choose a point to hear it.",
        circles,
        '<label id="colours" hidden>Colour by<select></select></label><div id="legend"></div>',
    )


def label_maps(plan: PagePlan) -> Iterator[str]:
    """A map for each of a model's tables."""
    for table in plan.tables:
        named = len(table.names) <= MOST_NAMED_POINTS
        places = _on_paper(plan.layout.points(table.rows))
        marks = "".join(
            _label_mark(table.facet, name, place, named)
            for name, place in zip(table.names, places, strict=True)
        )
        says = f"{plan.layout.says} Choose one to filter by it."
        yield _map(f"{table.facet}s", f"What the model knows of {table.facet}s", says, marks)


def _label_mark(facet: str, name: str, place: Point, named: bool) -> str:
    x, y = place
    right = x > FRAME / 2
    text = (
        f'<text x="{x + (-8 if right else 8):.1f}" y="{y + 4:.1f}" '
        f'text-anchor="{"end" if right else "start"}">{safe(name)}</text>'
        if named
        else ""
    )
    return (
        f'<g class="label" data-facet="{safe(facet)}" data-value="{safe(name)}">'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{safe(name)}</title></circle>{text}</g>'
    )


def _map(name: str, title: str, says: str, marks: str, below: str = "") -> str:
    return (
        f'<figure class="map" id="map-{safe(name)}"><h2>{safe(title)}</h2>'
        f'<svg viewBox="0 0 {FRAME:g} {FRAME:g}" role="img" aria-label="{safe(title)}">{marks}'
        f"</svg><figcaption>{safe(says)}</figcaption>{below}</figure>"
    )


def _on_paper(points: Points) -> list[Point]:
    """Points of the unit square on the map's paper, upwards as in a diagram."""
    reach = FRAME - 2 * MARGIN
    return [(MARGIN + reach * x, MARGIN + reach * (1 - y)) for x, y in points.tolist()]
