"""The lineage of a population as a picture: one panel of likelihoods, one of alpha, one of beta.

Every member is a line over steps. An arrow leads from the copied member to the one that copied it,
at the step where that happened; a cross marks divergence, a ring a collapsed codebook. The path of
the best member, back through all whom it copied, is drawn thick.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from ritornello.ada.tune_population import Lineage, Point
from ritornello.errors import DataError
from ritornello.evaluation.pictures import ACCENT, INK, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = (("nll", "held-out NLL, nats"), ("alpha", "alpha"), ("beta", "beta"))
COLOURS = "viridis"
"""Of the members, by number: any size of population gets as many shades."""


def draw_lineage(lineage: Lineage, path: Path, title: str) -> Path:
    """Write the picture as PNG, and return where.

    Raises:
        DataError: Nothing has been reported yet.
    """
    if not lineage.points:
        raise DataError("the record holds no points to draw; expected at least one report")
    figure = new_figure(width_in=9.0, height_in=9.0)
    axes = figure.subplots(len(PANELS), 1, sharex=True)
    for panel, (name, label) in zip(axes, PANELS, strict=True):
        _draw_members(panel, lineage, name)
        _draw_copies(panel, lineage, name)
        _draw_best(panel, lineage, name)
        panel.set_ylabel(label)
        if name != "nll":
            panel.set_yscale("log")
    axes[-1].set_xlabel("step")
    axes[0].legend(fontsize=7, frameon=False, labelcolor=INK, ncols=4)
    return finish(figure, list(axes), None, title, path)


def spans(lineage: Lineage, member: int, name: str) -> list[tuple[list[int], list[float]]]:
    """Steps and values of one member's line, broken where it copied or has no value.

    Alpha and beta hold over the whole interval before a point, the NLL at the point alone.
    """
    found: list[tuple[list[int], list[float]]] = []
    before = 0
    for point in lineage.of(member):
        value = getattr(point, name)
        if not found or point.origin != member or value is None:
            found.append(([], []))
        if value is not None:
            steps, values = found[-1]
            ends = [point.step] if name == "nll" else [before, point.step]
            steps += ends
            values += [value] * len(ends)
        before = point.step
    return [span for span in found if span[0]]


def _draw_members(panel: "Axes", lineage: Lineage, name: str) -> None:
    from matplotlib import colormaps

    members = sorted({point.member for point in lineage.points})
    for member in members:
        colour = colormaps[COLOURS](0.2 + 0.8 * member / max(1, len(members) - 1))
        for index, (steps, values) in enumerate(spans(lineage, member, name)):
            label = f"member {member}" if index == 0 else None
            panel.plot(steps, values, color=colour, linewidth=1.1, marker=".", label=label)
    for failure, marker in (("diverged", "x"), ("collapsed", "o")):
        failed = [point for point in lineage.points if point.failure == failure]
        places = [(p.step, _height(lineage, p, name)) for p in failed]
        if places:
            steps, heights = zip(*places, strict=True)
            panel.plot(
                steps,
                heights,
                linestyle="",
                marker=marker,
                markersize=8,
                color=ACCENT,
                fillstyle="none",
                zorder=4,
                label=failure,
            )


def _height(lineage: Lineage, point: Point, name: str) -> float:
    """Where a point stands in a panel; one without an NLL stands at the worst one there is."""
    value = getattr(point, name)
    if value is not None:
        return value
    return max((p.nll for p in lineage.points if p.nll is not None), default=0.0)


def _draw_copies(panel: "Axes", lineage: Lineage, name: str) -> None:
    """Arrows from donor to copier at the step of the copy."""
    places = {(point.step, point.member): point for point in lineage.points}
    steps = sorted({point.step for point in lineage.points})
    for point in lineage.points:
        if point.origin == point.member or point.step == steps[0]:
            continue
        at = steps[steps.index(point.step) - 1]
        ends = [places.get((at, number)) for number in (point.origin, point.member)]
        if None in ends:
            continue
        start, end = (_height(lineage, known, name) for known in ends if known is not None)
        arrow = {"arrowstyle": "->", "color": INK, "alpha": 0.7, "linewidth": 0.8}
        panel.annotate("", xy=(at, end), xytext=(at, start), arrowprops=arrow)


def _draw_best(panel: "Axes", lineage: Lineage, name: str) -> None:
    """The path that led to the best member, thick and behind the others."""
    best = lineage.best()
    if best is None:
        return
    path = lineage.path(best)
    steps: list[int] = []
    values: list[float] = []
    for before, point in zip([0, *(p.step for p in path[:-1])], path, strict=True):
        ends = [point.step] if name == "nll" else [before, point.step]
        steps += ends
        values += [_height(lineage, point, name)] * len(ends)
    panel.plot(steps, values, color=ACCENT, linewidth=5, alpha=0.45, zorder=1, label="best path")
