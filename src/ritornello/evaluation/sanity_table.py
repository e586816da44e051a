"""The sanity table: what every metric said of every set, against what was expected of it.

Conventions
    figures    metric -> set -> Estimate; real against real, at half the size, under "null"
    damaged    metric -> degradation -> Estimates, mildest grade first

`SanityTable.verdict` is the sum of it: all expected pairs apart, all claimed degradations rising.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ritornello.evaluation.intervals import Estimate
from ritornello.evaluation.sanity import (
    CLAIMS,
    EXPECTED,
    GRADES,
    GradeVerdict,
    OrderVerdict,
    judge_grades,
    judge_order,
    place_of,
)

SETS = ("piano", "reconstruction", "organ", "harp", "vibraphone", "other", "noise", "generator")
UNITS = {"noise": "dB", "low_pass": "Hz", "wobble": "cents", "shuffle": "s"}
UNDAMAGED = "piano"

BySet = Mapping[str, Estimate]
ByKind = Mapping[str, Sequence[Estimate]]


@dataclass(frozen=True, kw_only=True)
class SanityTable:
    """All figures and verdicts of one run.

    Attributes:
        figures: Metric -> set -> figure.
        damaged: Metric -> degradation -> figures, mildest first.
        gaps: Set or damage -> metric -> how much further than the same clips undamaged.
        missing: Set -> why it could not be made.
        settings: Clips, seconds, seed, model, reference: what decides the figures.
        warnings: What the figures are worth.
    """

    figures: Mapping[str, BySet]
    damaged: Mapping[str, ByKind]
    gaps: Mapping[str, BySet] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def order(self) -> dict[str, list[OrderVerdict]]:
        """The expected pairs of every metric, judged."""
        return {
            metric: judge_order(self.figures[metric], pairs)
            for metric, pairs in EXPECTED.items()
            if metric in self.figures
        }

    def grades(self) -> dict[str, dict[str, GradeVerdict]]:
        """What every metric makes of every degradation."""
        return {
            metric: {
                kind: judge_grades(
                    self.figures[metric][UNDAMAGED], figures, claimed=kind in CLAIMS[metric]
                )
                for kind, figures in kinds.items()
            }
            for metric, kinds in self.damaged.items()
        }

    def places(self, name: str = "generator") -> dict[str, tuple[int, int]]:
        """Place of a set under every metric, 1 the nearest, and of how many; the null is no set."""
        sets = {
            metric: {each: figure for each, figure in figures.items() if each in SETS}
            for metric, figures in self.figures.items()
        }
        return {
            metric: place_of(name, figures) for metric, figures in sets.items() if name in figures
        }

    def to_json(self) -> dict[str, Any]:
        """Figures and verdicts as plain JSON values."""
        return {
            "settings": dict(self.settings),
            "figures": {
                metric: {name: figure.to_dict() for name, figure in figures.items()}
                for metric, figures in self.figures.items()
            },
            "order": {
                metric: [asdict(each) for each in all_] for metric, all_ in self.order().items()
            },
            "damaged": {
                metric: {kind: [figure.to_dict() for figure in row] for kind, row in kinds.items()}
                for metric, kinds in self.damaged.items()
            },
            "grades": {
                metric: {kind: asdict(verdict) for kind, verdict in kinds.items()}
                for metric, kinds in self.grades().items()
            },
            "gaps": {
                name: {metric: figure.to_dict() for metric, figure in figures.items()}
                for name, figures in self.gaps.items()
            },
            "generator_place": {metric: list(place) for metric, place in self.places().items()},
            "missing": dict(self.missing),
            "warnings": list(self.warnings),
        }


def markdown(table: SanityTable) -> str:
    """The table as a page: figures, expected order, degradations, and what is blind to what."""
    metrics = [metric for metric in EXPECTED if metric in table.figures]
    names = [name for name in SETS if any(name in table.figures[metric] for metric in metrics)]
    lines = ["# Do the metrics see what they should?", ""]
    lines += [f"{key}: {value}  " for key, value in table.settings.items()]
    lines += ["", "## Every set against held-out piano", "", *_header(["set", *metrics])]
    for name in names:
        cells = [str(table.figures[metric].get(name, "")) for metric in metrics]
        lines.append(_row([name, *cells]))
    nulls = [str(table.figures[metric].get("null", "")) for metric in metrics]
    lines.append(_row(["(real against real, the reference's halves)", *nulls]))
    lines += ["", "## The order fixed beforehand", "", *_header(["nearer < further", *metrics])]
    order = table.order()
    pairs = list(dict.fromkeys((v.nearer, v.further) for each in order.values() for v in each))
    for nearer, further in pairs:
        found = [
            next(
                (v.verdict for v in order[m] if (v.nearer, v.further) == (nearer, further)),
                "not claimed",
            )
            for m in metrics
        ]
        lines.append(_row([f"{nearer} < {further}", *found]))
    if table.damaged:
        lines += ["", "## Degradations, mildest to worst", "", *_header(["degradation", *metrics])]
        grades = table.grades()
        for kind, amounts in GRADES.items():
            steps = ", ".join(f"{amount:g}" for amount in amounts)
            cells = [_grade_cell(grades.get(metric, {}).get(kind)) for metric in metrics]
            lines.append(_row([f"{kind} ({steps} {UNITS[kind]})", *cells]))
    if table.gaps:
        lines += ["", "## How much further than the same clips undamaged", ""]
        columns = list(dict.fromkeys(metric for row in table.gaps.values() for metric in row))
        lines += _header(["", *columns])
        lines += [
            _row([name, *(str(row.get(metric, "")) for metric in columns)])
            for name, row in table.gaps.items()
        ]
    if table.places():
        placed = (
            f"{metric} {place} of {count}" for metric, (place, count) in table.places().items()
        )
        lines += ["", "The generator's place, 1 the nearest: " + ", ".join(placed) + "."]
    lines += ["", *(f"Left out: {name}: {why}  " for name, why in table.missing.items())]
    lines += [f"Mind: {warning}  " for warning in table.warnings]
    return "\n".join(lines).rstrip() + "\n"


def _grade_cell(verdict: GradeVerdict | None) -> str:
    if verdict is None:
        return ""
    return f"{verdict.verdict} ({verdict.spearman:.2f})" + (
        "" if verdict.claimed else ", unclaimed"
    )


def _header(cells: Sequence[str]) -> list[str]:
    return [_row(cells), "|" + "---|" * len(cells)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def save_picture(table: SanityTable, path: Path) -> Path:
    """Write a PNG: per metric the sets with their intervals, and the curves of the degradations."""
    from ritornello.evaluation.pictures import ACCENT, INK, finish, new_figure

    metrics = [metric for metric in EXPECTED if metric in table.figures]
    figure = new_figure(width_in=2.6 * len(metrics) + 1.2, height_in=5.6)
    panels = figure.subplots(2, len(metrics), squeeze=False)
    for column, metric in enumerate(metrics):
        sets = [name for name in SETS if name in table.figures[metric]]
        rows = [table.figures[metric][name] for name in sets]
        values = np.array([row.value for row in rows])
        reach = np.array([[v - r.low, r.high - v] for v, r in zip(values, rows, strict=True)])
        top, foot = panels[0, column], panels[1, column]
        top.errorbar(
            values, np.arange(len(sets)), xerr=np.maximum(reach.T, 0), fmt="o", color=ACCENT, ms=3
        )
        top.set_yticks(np.arange(len(sets)), sets if column == 0 else [""] * len(sets))
        top.invert_yaxis()
        top.set_title(metric, color=INK, fontsize=9)
        for kind, row in table.damaged.get(metric, {}).items():
            steps = [table.figures[metric][UNDAMAGED].value, *(each.value for each in row)]
            foot.plot(range(len(steps)), steps, marker="o", markersize=3, label=kind)
        foot.set_xlabel("grade")
        foot.set_xticks(range(5))
    if table.damaged:
        panels[1, 0].legend(fontsize=7)
    return finish(figure, list(panels.ravel()), None, None, path)
