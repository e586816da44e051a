"""A picture of a piece's form: self-similarity, novelty, and the sections found.

Time runs to the right and upwards. A bright stripe beside the diagonal is music that returns, its
distance from the diagonal how much later; a bright square is a stretch that keeps its sound.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ritornello.evaluation.pictures import ACCENT, COLORMAP, INK, finish, new_figure
from ritornello.evaluation.structure import (
    CELL_S,
    Matrix,
    Sections,
    labels_of,
    novelty,
    self_similarity,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LETTER_COLORS = ("#f7705c", "#7fb8e6", "#e6c15a", "#8fd19e", "#c79be8", "#e89bb8")


def save_structure(
    wave: Float[np.ndarray, "_channels _time"],
    sample_rate: int,
    path: Path,
    title: str | None = None,
) -> Path:
    """Write a PNG of the self-similarity with novelty curve and letters below, and return it.

    Args:
        wave: A piece of 20 s to 30 min, (channels, time).
        sample_rate: Samples per second.
        path: PNG file to write.
        title: Line above the picture.

    Raises:
        AudioError: The piece is empty, not finite, silent, too short or too long.
    """
    matrix = self_similarity(wave, sample_rate)
    figure = new_figure(width_in=6.4, height_in=7.4)
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=[6.4, 1.0, 0.4])
    draw_matrix(top, matrix)
    draw_novelty(middle, matrix)
    draw_letters(bottom, labels_of(matrix))
    bottom.set_xlabel("seconds")
    return finish(figure, [top, middle, bottom], None, title, path)


def draw_matrix(panel: "Axes", matrix: Matrix) -> None:
    """Show similarity as brightness, from 0 (unrelated) to 1 (the same)."""
    end_s = len(matrix) * CELL_S
    panel.imshow(
        matrix,
        origin="lower",
        aspect="auto",
        cmap=COLORMAP,
        vmin=0,
        vmax=1,
        extent=(0, end_s, 0, end_s),
        interpolation="antialiased",
    )
    panel.set_ylabel("seconds")


def draw_novelty(panel: "Axes", matrix: Matrix) -> None:
    """Show how much the sound changes at each moment."""
    curve = novelty(matrix)
    panel.fill_between(np.arange(len(curve)) * CELL_S, curve, color=ACCENT, linewidth=0.3)
    panel.set_ylim(0, max(0.5, 1.05 * float(curve.max())))
    panel.set_ylabel("novelty")


def draw_letters(panel: "Axes", sections: Sections) -> None:
    """Show each section as a bar in its letter's colour."""
    colors: dict[str, str] = {}
    for start_s, end_s, name in sections:
        color = colors.setdefault(name, LETTER_COLORS[len(colors) % len(LETTER_COLORS)])
        panel.axvspan(start_s, end_s, color=color, alpha=0.45, linewidth=0.5)
        panel.text((start_s + end_s) / 2, 0.5, name, color=INK, ha="center", va="center", size=9)
    panel.set_ylim(0, 1)
    panel.set_yticks([])
