"""Our spectral convergence beside the paper's, and what became of its orderings.

The rule of the verdicts stands in `training/verdicts.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ritornello.errors import DataError
from ritornello.jukebox.experiments import Experiment
from ritornello.jukebox.published import HIERARCHICAL_DB, MEASURE, ORDERINGS, PUBLISHED
from ritornello.jukebox.rows import ROWS, Row
from ritornello.jukebox.scales import Scale
from ritornello.training.experiments import music
from ritornello.training.verdicts import (
    RULE,
    Seeds,
    Spread,
    grid,
    orderings_grid,
    over_seeds,
    steps_cell,
    told_music,
    verdict,
)

MEASURES = (MEASURE, "perplexity", "codes_used")
DIGITS = {MEASURE: 2, "perplexity": 1}


def table(experiment: Experiment) -> dict[str, Any]:
    """The table of all rows that are finished, as plain JSON values.

    Raises:
        DataError: None is.
    """
    results = {id: experiment.results(id) for id in ROWS}
    if not any(results.values()):
        raise DataError(f"no row is finished in {experiment.folder}")
    verdicts = [verdict(one, results[one.lower], results[one.higher]) for one in ORDERINGS]
    return {
        "table": "reconstruction",
        "scale": experiment.scale.name,
        "music": music(experiment.corpus()),
        "precision": experiment.precision,
        "rows": [_row(ROWS[id], experiment.scale, found) for id, found in results.items()],
        "rule": RULE,
        "orderings": [one.as_json() for one in verdicts],
        "notes": notes(experiment),
    }


def _row(row: Row, scale: Scale, results: Seeds) -> dict[str, Any]:
    level = row.vqvae(scale).levels[0]
    cells = {measure: over_seeds(results, measure) for measure in MEASURES}
    return {
        "row": row.id,
        "name": row.name,
        "hop": level.hop_samples,
        "codes": level.codebook.codes if row.is_quantised else None,
        "published": PUBLISHED.get(row.id),
        "ours": {name: None if cell is None else asdict(cell) for name, cell in cells.items()},
        "seeds": [result["figures"] | {"seed": result["seed"]} for result in results],
        "steps": [result["steps"] for result in results],
        "samples_per_step": [result["samples_per_step"] for result in results],
        "seconds": [result["seconds"] for result in results],
        "parameters": results[0]["parameters"] if results else None,
    }


def notes(experiment: Experiment) -> list[str]:
    """What is not as in the paper, in sentences."""
    scale, used = experiment.scale, music(experiment.corpus())
    training, loss = scale.training, scale.vqvae.loss
    lines = [
        f"Scale {scale.name}: {scale.says}.",
        f"Music: {told_music(used['train'])} to learn from, {told_music(used['valid'])} held out; "
        "the paper had 1.2 million songs, at 44.1 kHz.",
        f"Every row: {training.steps:,} steps of {training.batch} excerpts of {scale.excerpt:,} "
        "samples; the paper trained 384,618 steps of 256 excerpts of 393,216.",
        f"Every row is computed in {experiment.precision} on one thread, and judged with averaged "
        "weights.",
        f"The full codebook has {scale.vqvae.levels[0].codebook.codes:,} codes, the paper's 2,048; "
        "its 256 stand beside our eighth.",
        "Unused codes are those below a share of uniform use; in the paper, below one use per "
        "step. Without restart codes begin on queries all the same.",
    ]
    if loss.log_magnitude:
        lines.append(
            "The loss has a term for logarithms of magnitudes, which the paper's has not; row "
            "128-no-spectral is trained without that too."
        )
    if not used["valid"]["recordings"]:
        lines.append("Nothing is held out: the figures are of the music trained on.")
    lines.append(
        "The paper's single autoencoder for all levels "
        f"({HIERARCHICAL_DB:+.1f} dB at hop 128) is no row here."
    )
    return lines


# ------------------------------------------------------------------ the page


def markdown(told: Mapping[str, Any], command: str, picture: str) -> str:
    """The table as a page.

    Args:
        told: What `table` gave.
        command: The command that makes it again.
        picture: File name of the picture beside it.
    """
    lines = [
        f"# Reconstruction by Jukebox's autoencoders, at scale {told['scale']}",
        "",
        "Spectral convergence of held-out music in dB, the lower the better: mean ± half the "
        "spread over seeds.",
        "",
        *_rows_grid(told["rows"]),
        "",
        "## What the paper found",
        "",
        told["rule"] + " Rows equal in the paper are held to lie within the noise.",
        "",
        *orderings_grid(told["orderings"]),
        "",
        "## Not as in the paper",
        "",
        *(f"- {note}" for note in told["notes"]),
        "",
        f"![Spectral convergence of every row]({picture})",
        "",
        "Made with",
        "",
        f"    {command}",
        "",
    ]
    return "\n".join(lines)


def _rows_grid(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    header = ["#", "model", "codes", "seeds", "steps x samples", "dB", "dB, paper"]
    header += ["perplexity", "codes in use"]
    return grid(
        header,
        [
            [
                row["row"],
                row["name"],
                "-" if row["codes"] is None else f"{row['codes']:,}",
                str(len(row["seeds"])),
                steps_cell(row, "samples_per_step"),
                _cell(row, MEASURE),
                "-" if row["published"] is None else f"{row['published']:.1f}",
                _cell(row, "perplexity"),
                _share(row),
            ]
            for row in rows
        ],
    )


def _cell(row: Mapping[str, Any], measure: str) -> str:
    ours = row["ours"][measure]
    return "-" if ours is None else Spread(**ours).cell(DIGITS[measure])


def _share(row: Mapping[str, Any]) -> str:
    used = row["ours"]["codes_used"]
    return "-" if used is None else f"{used['mean']:.0%}"


# ------------------------------------------------------------------ the picture


def save_picture(told: Mapping[str, Any], path: Path) -> Path:
    """Write a PNG of every finished row's convergence, and return it.

    A full dot is a seed, an empty one the paper's figure.
    """
    from ritornello.evaluation.pictures import ACCENT, INK, finish, new_figure

    shown = [row for row in told["rows"] if row["seeds"]]
    figure = new_figure(width_in=7.0, height_in=1.1 + 0.36 * len(shown))
    panel = figure.subplots()
    for place, row in enumerate(shown):
        decibels = [seed[MEASURE] for seed in row["seeds"]]
        panel.plot(decibels, [place] * len(decibels), "o", color=ACCENT, markersize=5)
        if row["published"] is not None:
            panel.plot([row["published"]], [place], "o", color=INK, fillstyle="none", markersize=7)
    panel.set_yticks(range(len(shown)), [row["name"] for row in shown])
    panel.invert_yaxis()
    panel.set_xlabel("spectral convergence, dB: full here, empty in the paper")
    return finish(figure, [panel], None, None, path)
