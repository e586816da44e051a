"""Our figures beside the paper's, and what became of its orderings (`training/verdicts.py`)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ritornello.ada.experiments import Experiment, codes_scored, row_training, stack_of
from ritornello.ada.published import HEARD, ORDERINGS, PUBLISHED
from ritornello.ada.rows import ROWS, TABLES, Row, trained
from ritornello.errors import DataError
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

MEASURES = ("train_nll", "nll", "perplexity")
UNITS = {1: "timestep", 2: "code", 3: "step of the top network"}
NOT_AVAILABLE = "not available"
STEPS = "steps x symbols"
NEEDS_LISTENERS = "needs listeners: `ritornello listen serve` on the blind test of this folder"
SCORED_PER_CODE = 20
"""Fewer codes than this per entry, and the perplexity of their sample is visibly too low."""

# ------------------------------------------------------------------ the table


def table(experiment: Experiment, number: int) -> dict[str, Any]:
    """One of the paper's tables from all rows that are finished, as plain JSON values.

    Raises:
        DataError: No row of it is.
    """
    results = {id: experiment.results(trained(id).id) for id in TABLES[number]}
    if not any(results.values()):
        raise DataError(f"no row of table {number} is finished in {experiment.folder}")
    verdicts = [
        verdict(ordering, results[ordering.lower], results[ordering.higher])
        for ordering in ORDERINGS[number]
    ]
    return {
        "table": number,
        "scale": experiment.scale.name,
        "music": music(experiment.corpus()),
        "precision": experiment.precision,
        "rows": [_row(experiment, ROWS[id], found) for id, found in results.items()],
        "rule": RULE,
        "orderings": [verdict.as_json() for verdict in verdicts],
        "heard": [{"found": found, "verdict": NEEDS_LISTENERS} for found in HEARD[number]],
        "notes": notes(experiment, number) + notes_on_rows(experiment, TABLES[number]),
    }


def _row(experiment: Experiment, row: Row, results: Seeds) -> dict[str, Any]:
    stack, published = stack_of(experiment, row), row.stack()
    network = stack.prior.network if row.is_prior else stack.levels[len(row.below)].local
    cells = {measure: over_seeds(results, measure) for measure in MEASURES}
    return {
        "row": row.id,
        "name": row.name,
        "same_as": row.same_as,
        "published": asdict(PUBLISHED[row.id]),
        "ours": {name: None if cell is None else asdict(cell) for name, cell in cells.items()},
        "seeds": [result["figures"] | {"seed": result["seed"]} for result in results],
        "steps": [result["steps"] for result in results],
        "symbols_per_step": [result["symbols_per_step"] for result in results],
        "parameters": results[0]["parameters"] if results else None,
        "receptive_field": network.receptive_field,
        "receptive_field_samples": stack.receptive_field_samples,
        "receptive_field_ms": stack.receptive_field_ms,
        "published_size_ms": published.receptive_field_ms,
    }


def notes(experiment: Experiment, number: int) -> list[str]:
    """What is not as in the paper, in sentences."""
    scale, used = experiment.scale, music(experiment.corpus())
    lines = [
        f"Scale {scale.name}: {scale.says}.",
        f"Music: {told_music(used['train'])} to learn from, {told_music(used['valid'])} held out; "
        "the paper had 413 hours of recorded piano.",
        f"Every row is computed in {experiment.precision} on one thread.",
    ]
    if scale.training is not None:
        training = scale.training
        lines.append(
            f"Every row: {training.steps} steps of {training.batch * training.crop} symbols; the "
            "paper trained 500,000 steps, unconditional WaveNets 200,000."
        )
    if not used["valid"]["recordings"]:
        lines.append("Nothing is held out: the figures are of the music trained on.")
    if number > 1:
        lines.append(
            "Levels on codes read those of the rows below with seed 0. VQ-VAEs on codes have fixed "
            "alpha and beta and revived codes in place of population based training."
        )
    if number == 3:
        lines.append(
            "The paper's ratings of fidelity and musicality are not available; NLLs of different "
            "rows are of different sequences and cannot be compared."
        )
    return lines


def notes_on_rows(experiment: Experiment, ids: Sequence[str]) -> list[str]:
    """What is not as in the paper in how rows are trained and scored, in sentences."""
    lines = [
        "The paper averages weights for evaluation alone, which is why its train NLLs can lie "
        "above its eval NLLs; here both are of averaged weights."
    ]
    rows = [ROWS[id] for id in ids]
    if any(row.stack().levels for row in rows):
        lines.append(
            "Scored excerpts lose their beginning, which lacks a past, and not their end, though "
            "codes depend on both sides: the last ones of an excerpt are made without what follows."
        )
    for row in rows:
        stack = stack_of(experiment, row)
        training = row_training(row, stack)
        network = stack.prior.network if row.is_prior else stack.levels[len(row.below)].local
        if network.receptive_field > training.crop:
            lines.append(
                f"Row {row.id} could see {network.receptive_field:,} symbols, but learns from "
                f"excerpts of {training.crop:,} and is scored on them: nothing further back counts."
            )
        if row.is_prior:
            continue
        scored, codes = codes_scored(row, stack), stack.levels[len(row.below)].quantiser.codes
        if scored < SCORED_PER_CODE * codes:
            lines.append(
                f"The perplexity of row {row.id} is an underestimate: it is of {scored:,} codes "
                f"for {codes} entries, fewer than {SCORED_PER_CODE} each. The paper says that "
                "its own of row 1.7 is underestimated too, being of sequences of one second."
            )
    return lines


# ------------------------------------------------------------------ the page


def markdown(told: Mapping[str, Any], command: str, picture: str) -> str:
    """The table as a page.

    Args:
        told: What `table` gave.
        command: The command that makes it again.
        picture: File name of the curves beside it.
    """
    number = told["table"]
    lines = [
        f"# Table {number} of the ADA paper, at scale {told['scale']}",
        "",
        f"NLLs are in nats per {UNITS[number]}: mean ± half the spread over seeds.",
        "",
        *(_table_3(told["rows"]) if number == 3 else _table_1_2(told["rows"])),
        "",
    ]
    if told["orderings"]:
        lines += [
            "## What the paper found",
            "",
            told["rule"],
            "",
            *orderings_grid(told["orderings"]),
        ]
        lines.append("")
    if told["heard"]:
        heard = [[one["found"], one["verdict"]] for one in told["heard"]]
        lines += ["## What the paper heard", "", *grid(["in the paper", "here"], heard), ""]
    lines += ["## Not as in the paper", "", *(f"- {note}" for note in told["notes"]), ""]
    lines += [f"![NLL over steps]({picture})", "", "Made with", "", f"    {command}", ""]
    return "\n".join(lines)


def _table_1_2(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    header = ["#", "model", "decoder sees", "seeds", STEPS]
    for measure in ("train NLL", "eval NLL", "perplexity"):
        header += [measure, f"{measure}, paper"]
    return grid(
        header,
        [
            [
                row["row"],
                row["name"],
                str(row["receptive_field"]),
                str(len(row["seeds"])),
                steps_cell(row, "symbols_per_step"),
                *(cell for measure in MEASURES for cell in _beside(row, measure)),
            ]
            for row in rows
        ],
    )


def _beside(row: Mapping[str, Any], measure: str) -> tuple[str, str]:
    """Our cell and the paper's."""
    ours, published = row["ours"][measure], row["published"][measure]
    return (
        "-" if ours is None else str(Spread(**ours)),
        "-" if published is None else f"{published:g}",
    )


def _table_3(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    header = ["#", "model", "RF, samples", "RF, ms", "RF at the paper's size, ms", "RF, paper, ms"]
    header += ["seeds", STEPS, "train NLL", "eval NLL", "fidelity, paper", "musicality, paper"]
    return grid(
        header,
        [
            [
                row["row"],
                row["name"],
                f"{row['receptive_field_samples']:,}",
                f"{row['receptive_field_ms']:,.0f}",
                f"{row['published_size_ms']:,.0f}",
                f"{row['published']['receptive_field_ms']:,.0f}",
                str(len(row["seeds"])),
                steps_cell(row, "symbols_per_step"),
                *(_beside(row, measure)[0] for measure in ("train_nll", "nll")),
                NOT_AVAILABLE,
                NOT_AVAILABLE,
            ]
            for row in rows
        ],
    )


# ------------------------------------------------------------------ the picture


def save_curves(experiment: Experiment, number: int, path: Path) -> Path:
    """Write a PNG of every row's NLL over steps, one panel a row, and return it.

    Thin lines are the music trained on, dots the held-out music with averaged weights; the dotted
    line is what symbol frequencies alone would give.
    """
    from ritornello.evaluation.pictures import ACCENT, INK, finish, new_figure

    found = {id: experiment.results(trained(id).id) for id in TABLES[number]}
    shown = {id: results for id, results in found.items() if results}
    across = min(4, len(shown))
    down = -(-len(shown) // across)
    figure = new_figure(width_in=3.1 * across + 0.6, height_in=2.6 * down)
    grid = list(figure.subplots(down, across, squeeze=False).flat)
    for panel, (id, results) in zip(grid, shown.items(), strict=False):
        for result in results:
            steps, nats = zip(*result["curve"]["train"], strict=True)
            panel.plot(steps, nats, color=ACCENT, linewidth=0.7, alpha=0.7)
            steps, nats = zip(*result["curve"]["held_out"], strict=True)
            panel.plot(steps, nats, color=INK, linestyle="", marker="o", markersize=3)
            naive = result["figures"]["unigram_nll"]
            panel.axhline(naive, color=INK, linewidth=0.6, linestyle=":")
        panel.set_title(f"{id}  {ROWS[id].name}", color=INK, fontsize=8)
        panel.set_xlabel("steps")
    for panel in grid[len(shown) :]:
        panel.set_visible(False)
    return finish(figure, grid, None, f"Table {number}: NLL in nats", path)
