"""What listeners said as one picture: means with intervals per scale, and who was preferred."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ritornello.errors import DataError
from ritornello.evaluation.pictures import ACCENT, BACKGROUND, INK, finish, new_figure
from ritornello.evaluation.ratings import HIGHEST, LOWEST

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WEAK = "#8f8a9e"


def save_picture(result: dict[str, Any], path: Path, title: str | None = None) -> Path:
    """Write a PNG of what `ratings.evaluate` returned, and return its path.

    One panel per scale with mean and interval of every system, best first by the last scale, and
    one with the share of comparisons that the row won against the column.

    Raises:
        DataError: There is nothing to draw.
    """
    systems, pairs = result["systems"], result["preferences"]["pairs"]
    scales = list(dict.fromkeys(scale for figures in systems.values() for scale in figures))
    if not scales and not pairs:
        raise DataError("there are no votes to draw; expected at least one")
    count = len(scales) + bool(pairs)
    names = _order(result)
    figure = new_figure(width_in=1.6 + 3.2 * count, height_in=1.6 + 0.45 * len(names))
    panels = list(figure.subplots(1, count, squeeze=False)[0])
    for panel, scale in zip(panels, scales, strict=False):
        _draw_scale(panel, scale, {n: systems.get(n, {}).get(scale) for n in names})
    if pairs:
        _draw_preferences(panels[-1], [n for n in names if any(_in(n, p) for p in pairs)], pairs)
    for panel in panels:
        panel.title.set(color=INK, fontsize=11)
    return finish(figure, panels, None, title, path)


def _in(name: str, pair: dict[str, Any]) -> bool:
    return name in (pair["first"], pair["second"])


def _order(result: dict[str, Any]) -> list[str]:
    """Rated systems from best to worst by the mean of the last scale, then those only compared."""
    rated = {name: list(figures.values())[-1] for name, figures in result["systems"].items()}
    best_first = sorted(rated, key=lambda name: -rated[name]["value"])
    compared = [
        pair[side] for pair in result["preferences"]["pairs"] for side in ("first", "second")
    ]
    return list(dict.fromkeys([*best_first, *compared]))


def _draw_scale(panel: "Axes", scale: str, figures: dict[str, dict[str, Any] | None]) -> None:
    """Mean and interval of every system, one below the other."""
    for row, figure in enumerate(figures.values()):
        if figure is None:
            continue
        panel.plot([figure["low"], figure["high"]], [row, row], color=ACCENT, linewidth=2)
        panel.plot([figure["value"]], [row], "o", color=ACCENT, markersize=7)
        panel.annotate(
            f"{figure['value']:.2f}",
            (figure["value"], row),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            color=INK,
            fontsize=8,
        )
    panel.set_yticks(range(len(figures)), list(figures))
    panel.set_ylim(len(figures) - 0.4, -0.7)
    panel.set_xlim(LOWEST - 0.2, HIGHEST + 0.2)
    panel.set_xticks(range(LOWEST, HIGHEST + 1))
    panel.grid(axis="x", color="#2b2937")
    panel.set_title(scale)
    panel.set_xlabel("mean of ratings, 95 % interval")


def _draw_preferences(panel: "Axes", names: list[str], pairs: list[dict[str, Any]]) -> None:
    """Win rates of rows against columns, numbers in the cells; empty where never compared."""
    from matplotlib.colors import LinearSegmentedColormap

    rates = np.full((len(names), len(names)), np.nan)
    for pair in pairs:
        row, column = names.index(pair["first"]), names.index(pair["second"])
        rates[row, column], rates[column, row] = pair["value"], 1 - pair["value"]
    colours = LinearSegmentedColormap.from_list("preference", ["#27406b", BACKGROUND, "#a8402c"])
    panel.imshow(rates, cmap=colours, vmin=0, vmax=1, aspect="auto")
    for (row, column), rate in np.ndenumerate(rates):
        text, colour = ("", WEAK) if np.isnan(rate) else (f"{100 * rate:.0f} %", INK)
        panel.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    panel.set_xticks(range(len(names)), names, rotation=30, ha="right")
    panel.set_yticks(range(len(names)), names)
    panel.set_title("row preferred to column")
