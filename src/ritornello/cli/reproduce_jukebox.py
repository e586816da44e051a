"""`ritornello reproduce jukebox-reconstruction`: Jukebox's ablations in kind."""

import shlex

from ritornello.cli.console import VerbParser, emit
from ritornello.cli.experiments import (
    add_experiment,
    add_rows,
    asked_rows,
    opened,
    refuse_below_one,
)

WORD = "jukebox-reconstruction"
SCALES = "nano: seconds, for tests; mini: a minute or two a row; small: an hour a row; paper"
NAME = "reconstruction"


def run_reconstruction(argv: list[str]) -> int:
    """Train what is missing of the table, and print it beside the paper's figures."""
    options = _parser().parse(argv)
    from ritornello.jukebox.rows import ROWS

    rows = asked_rows(options.rows, ROWS, "the table")
    refuse_below_one(options, "seeds", "jobs")

    from ritornello.checkpoint import write_json
    from ritornello.jukebox import tables
    from ritornello.jukebox.experiments import open_experiment, train_row
    from ritornello.training.side_by_side import Task, train_rows

    experiment = opened(options, open_experiment)
    tasks = [Task(row, seed) for seed in range(options.seeds) for row in rows]
    train_rows(experiment, tasks, options.jobs, train_row)
    told = tables.table(experiment)
    out = experiment.folder
    command = shlex.join(["ritornello", "reproduce", WORD, *argv])
    page = tables.markdown(told, command, f"{NAME}.png")
    tables.save_picture(told, out / f"{NAME}.png")
    write_json(out / f"{NAME}.json", told | {"command": command})
    (out / f"{NAME}.md").write_text(page, encoding="utf-8")
    written = f"{out}: {NAME}.md, {NAME}.json, {NAME}.png"
    emit(told, as_json=options.json, text=[page, written])
    return 0


def _parser() -> VerbParser:
    parser = VerbParser(
        f"reproduce {WORD}",
        "Spectral convergence of Jukebox's autoencoders: hops 8, 32 and 128 with and without\n"
        "restart of unused codes, smaller codebooks and none, no spectral loss. Rows train for\n"
        "equal steps. Stop at any moment; the same command goes on, finished rows are kept.",
        [
            f"ritornello reproduce {WORD} -o vqvae --data ~/piano --scale mini --jobs 2",
            f"ritornello reproduce {WORD} -o vqvae --rows 8,8-no-restart --json",
        ],
    )
    add_experiment(parser, SCALES)
    add_rows(parser, 2, stand_on_others=False)
    return parser
