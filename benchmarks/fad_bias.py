"""How much too large distances of sets are for their size, where the true distance is 0.

    python benchmarks/fad_bias.py [--trials 6] [--out docs/images/fad-bias.png]

Both sets are drawn from one Gaussian whose variances fall as 1 / k and add up to dim / 10, as those
of embeddings roughly do. FAD, its extrapolation to endless sets and the kernel distance are shown
against the number of patches a side, as a table and as a picture, beside what each of them says of
music that really differs: its mean moved by 0.3 standard deviations in every direction.
"""

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from ritornello.evaluation import fad, kid
from ritornello.evaluation.patches import PatchSet, pooled
from ritornello.evaluation.pictures import finish, new_figure

DIMS = (32, 128, 200)
SIZES = (50, 100, 200, 400, 1000)
PATCHES_PER_CLIP = 2
SHIFT = 0.3
METRICS = ("FAD", "FAD-infinity", "KID")
COLOURS = {32: "#6fc3df", 128: "#f2b134", 200: "#f7705c"}


@dataclass
class Figures:
    """What one metric says: (dim, patches) -> a value per trial, at distance 0 and moved."""

    same: dict[tuple[int, int], list[float]] = field(default_factory=dict)
    moved: dict[tuple[int, int], list[float]] = field(default_factory=dict)


def gaussian_set(dim: int, patches: int, shift: float, draw: np.random.Generator) -> PatchSet:
    variances = 1 / np.arange(1, dim + 1)
    deviations = np.sqrt(variances / variances.sum() * dim / 10)
    shape = (patches // PATCHES_PER_CLIP, PATCHES_PER_CLIP, dim)
    return pooled(list((draw.standard_normal(shape) + shift) * deviations))


def distances(one: PatchSet, other: PatchSet, draw: np.random.Generator) -> dict[str, float]:
    """All metrics of two sets, every clip of them."""
    curve = fad.curve(one, np.arange(one.items), other, np.arange(other.items), draw)
    ones = (np.ones((1, one.items)), np.ones((1, other.items)))
    return {
        "FAD": fad.distance(one, other),
        "FAD-infinity": curve.at_infinity(),
        "KID": float(kid.distance(kid.sums_of(one, other), *ones)[0]),
    }


def measured(trials: int, draw: np.random.Generator) -> dict[str, Figures]:
    found = {name: Figures() for name in METRICS}
    for dim in DIMS:
        for patches in SIZES:
            for _ in range(trials):
                real = gaussian_set(dim, patches, 0.0, draw)
                for shift in (0.0, SHIFT):
                    made = gaussian_set(dim, patches, shift, draw)
                    for name, value in distances(made, real, draw).items():
                        figures = found[name].moved if shift else found[name].same
                        figures.setdefault((dim, patches), []).append(value)
    return found


def show(found: dict[str, Figures], console: Console) -> None:
    table = Table(title=f"true distance 0 (in brackets: moved by {SHIFT} deviations)")
    table.add_column("metric, dimensions")
    for patches in SIZES:
        table.add_column(f"{patches} patches", justify="right")
    for name, figures in found.items():
        for dim in DIMS:
            means = [
                [np.mean(values[dim, patches]) for values in (figures.same, figures.moved)]
                for patches in SIZES
            ]
            table.add_row(f"{name}, {dim}", *(f"{same:.3g} ({moved:.3g})" for same, moved in means))
        table.add_section()
    console.print(table)


def save(found: dict[str, Figures], path: Path) -> None:
    """A panel per metric, in units of the moved music's distance at the largest size: 0 is true."""
    figure = new_figure(width_in=8.4, height_in=3.2)
    panels = figure.subplots(1, len(METRICS), sharey=True)
    for panel, (name, figures) in zip(panels, found.items(), strict=True):
        for dim in DIMS:
            unit = np.mean(figures.moved[dim, SIZES[-1]])
            values = np.array([figures.same[dim, patches] for patches in SIZES]) / unit
            panel.plot(SIZES, values.mean(axis=1), "o-", ms=4, color=COLOURS[dim], label=f"{dim}")
            low, high = values.min(axis=1), values.max(axis=1)
            panel.fill_between(SIZES, low, high, color=COLOURS[dim], alpha=0.25, linewidth=0)
        panel.axhline(0, color="#d8d5e0", linewidth=0.8, linestyle=":")
        panel.axhline(1, color="#d8d5e0", linewidth=0.8, linestyle="--")
        panel.set_xscale("log")
        panel.set_xticks(SIZES, [str(patches) for patches in SIZES])
        panel.minorticks_off()
        panel.set_title(name, color="#d8d5e0", fontsize=11)
        panel.set_xlabel("patches a side")
    panels[0].set_yscale("symlog", linthresh=1)
    panels[0].set_yticks([0, 0.5, 1, 2, 4], ["0", "0.5", "1", "2", "4"])
    panels[0].set_ylabel("distance of equal music")
    legend = panels[2].legend(
        loc="upper right", title="dimensions", fontsize=8, labelcolor="#d8d5e0", frameon=False
    )
    legend.get_title().set_color("#d8d5e0")
    panels[-1].text(SIZES[0], 1.05, f"music moved by {SHIFT} deviations", color="#d8d5e0", size=8)
    finish(figure, list(panels), None, "What finite sets add where the true distance is 0", path)
    shrink(path)


def shrink(path: Path) -> None:
    """Rewrite a PNG of few colours with a palette: a third of the bytes."""
    from PIL import Image

    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(64, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/images/fad-bias.png"))
    options = parser.parse_args()
    found = measured(options.trials, np.random.default_rng(options.seed))
    console = Console(width=110)
    show(found, console)
    save(found, options.out)
    console.print(f"written to {options.out}, {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
