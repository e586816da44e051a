"""`ritornello reproduce ada-table-1|2|3|ada-figure-2`: the ADA paper's experiments in kind."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ritornello.cli.console import UsageError, VerbParser, emit
from ritornello.cli.experiments import (
    add_experiment,
    add_rows,
    asked_rows,
    opened,
    refuse_below_one,
)
from ritornello.errors import DataError

if TYPE_CHECKING:
    from ritornello.ada.experiments import Experiment

TABLE_WORDS = {"ada-table-1": 1, "ada-table-2": 2, "ada-table-3": 3}
FIGURE_WORD = "ada-figure-2"
SUMMARIES = {
    "ada-table-1": "autoencoders on audio: VQ-VAE and AMAE, inputs, hop 8 and 64",
    "ada-table-2": "autoencoders on codes: decoders that see 32 to 256 codes",
    "ada-table-3": "stacks of one to three levels: receptive fields, samples, a blind test",
    "ada-figure-2": "how far back audio and codes must be known to be foretold",
}
SCALES = "nano: seconds, for tests; mini: minutes a row; paper"
SAMPLES, LONGEST_S = 4, 120.0


def run_table(word: str, argv: list[str]) -> int:
    """Train what is missing of a table, and print it beside the paper's."""
    options = _table_parser(word).parse(argv)
    number = TABLE_WORDS[word]
    from ritornello.ada.rows import TABLES

    rows = asked_rows(options.rows, TABLES[number], f"table {number}")
    refuse_below_one(options, "seeds", "jobs", "samples")
    seconds = getattr(options, "seconds", None)
    if seconds is not None and not 1 <= seconds <= LONGEST_S:
        raise UsageError(f"--seconds is {seconds:g}; expected 1 to {LONGEST_S:g}")

    from ritornello.ada import tables
    from ritornello.ada.experiments import open_experiment
    from ritornello.ada.rows_side_by_side import tasks_for, train_rows
    from ritornello.checkpoint import write_json

    experiment = opened(options, open_experiment)
    train_rows(experiment, tasks_for(rows, options.seeds), options.jobs)
    told = tables.table(experiment, number)
    lines = []
    if number == 3:
        told["samples"], lines = _samples(experiment, options)
    out, name = experiment.folder, f"table-{number}"
    command = shlex.join(["ritornello", "reproduce", word, *argv])
    page = tables.markdown(told, command, f"{name}.png")
    tables.save_curves(experiment, number, out / f"{name}.png")
    write_json(out / f"{name}.json", told | {"command": command})
    (out / f"{name}.md").write_text(page, encoding="utf-8")
    written = f"{out}: {name}.md, {name}.json, {name}.png"
    emit(told, as_json=options.json, text=[page, *lines, written])
    return 0


def run_figure(argv: list[str]) -> int:
    """Train row 1.2 if it is missing, and draw the predictability of audio and of its codes."""
    parser = VerbParser(
        f"reproduce {FIGURE_WORD}",
        "Figure 2: the predictability profiles of audio and of the codes of row 1.2, which is\n"
        "trained first where it is missing.",
        [f"ritornello reproduce {FIGURE_WORD} -o ada --data ~/piano --scale mini"],
    )
    add_experiment(parser, SCALES)
    options = parser.parse(argv)

    from ritornello.ada.experiments import open_experiment
    from ritornello.ada.profiles import BELOW_SEED, CODED_ROW, figure_2
    from ritornello.ada.rows_side_by_side import train_rows
    from ritornello.ada.tables import notes
    from ritornello.checkpoint import write_json
    from ritornello.cli.console import table
    from ritornello.cli.data import progress_bar
    from ritornello.evaluation.reading import interval, shown
    from ritornello.training.side_by_side import Task

    experiment = opened(options, open_experiment)
    train_rows(experiment, [Task(CODED_ROW, BELOW_SEED)], 1)
    with progress_bar("foretelling") as progress:
        figure = figure_2(experiment, progress)
    out = experiment.folder
    figure.save_picture(out / "figure-2.png")
    result = figure.as_json() | {"scale": experiment.scale.name, "notes": notes(experiment, 1)}
    result["command"] = shlex.join(["ritornello", "reproduce", FIGURE_WORD, *argv])
    write_json(out / "figure-2.json", result)
    rows = [
        (str(length), shown(one.value), interval(one), shown(other.value), interval(other))
        for length, one, other in zip(
            figure.audio.lengths, figure.audio.nats, figure.codes.nats, strict=True
        )
    ]
    header = ("r", "audio, nats", "95 % interval", "codes, nats", "95 % interval")
    lines = [
        *table(rows, header),
        f"the encoder of {CODED_ROW} sees {figure.transition:g} codes to one side",
        *result["notes"],
        f"{out}: figure-2.json, figure-2.png",
    ]
    emit(result, as_json=options.json, text=lines)
    return 0


# ------------------------------------------------------------------ flags


def _table_parser(word: str) -> VerbParser:
    parser = VerbParser(
        f"reproduce {word}",
        f"Table {TABLE_WORDS[word]} of the ADA paper: {SUMMARIES[word]}.\n"
        "Rows train for equal steps. Stop at any moment; the same command goes on, finished rows\n"
        "are kept, and all tables may share one folder.",
        [
            f"ritornello reproduce {word} -o ada --data ~/piano --scale mini --seeds 2 --jobs 2",
            f"ritornello reproduce {word} -o ada --rows {TABLE_WORDS[word]}.2 --json",
        ],
    )
    add_experiment(parser, SCALES)
    third = TABLE_WORDS[word] == 3
    add_rows(parser, 1 if third else 2, stand_on_others=True)
    add = parser.add_argument
    if third:
        add("--samples", type=int, default=SAMPLES, metavar="N", help="of every model (4)")
        add("--seconds", type=float, metavar="S", help="length of a sample (10; nano: 1)")
    return parser


# ------------------------------------------------------------------ table 3: models, samples, test


def _samples(
    experiment: "Experiment", options: argparse.Namespace
) -> tuple[dict[str, Any], list[str]]:
    """Models and samples of all finished rows, and the blind test once every row is there."""
    from ritornello.ada.rows import ROWS, TABLES
    from ritornello.ada.samples import finished_rows, make_model, make_samples

    seconds = options.seconds or experiment.scale.sample_s
    made: dict[str, Any] = {}
    for id in finished_rows(experiment, TABLES[3]):
        model = make_model(experiment, ROWS[id])
        takes = make_samples(experiment, ROWS[id], count=options.samples, seconds=seconds)
        made[id] = {"model": str(model), "samples": [str(take) for take in takes]}
    missing = [id for id in TABLES[3] if id not in made]
    told: dict[str, Any] = {"rows": made, "test": None}
    if missing:
        return told, [f"the blind test waits for rows {', '.join(missing)}"]
    test = experiment.folder / f"listening-test-{seconds:g}s"
    try:
        _listening_test(experiment, test, sorted(made), options.samples, seconds)
    except DataError as error:  # e.g. silent samples: the table stands without the test
        return told | {"refused": str(error)}, [f"no blind test: {error}"]
    serve = f"ritornello listen serve {shlex.quote(str(test))}"
    return told | {"test": str(test), "serve": serve}, [f"rate the samples blind:  {serve}"]


def _listening_test(
    experiment: "Experiment", test: Path, rows: Sequence[str], clips: int, seconds: float
) -> None:
    """Prepare the blind test; one that is there already may hold votes and stays."""
    from ritornello.ada.samples import sample_folder
    from ritornello.server.listening_clips import REFERENCE, Size, Source, make_test
    from ritornello.server.listening_plan import PLAN_FILE

    if (test / PLAN_FILE).exists():
        return
    sources = [
        Source(name=row, target=row, folder=sample_folder(experiment, row, seconds)) for row in rows
    ]
    held_out = "valid" if len(experiment.corpus().split("valid")) else None
    reference = Source(
        name=REFERENCE,
        target=str(experiment.manifest),
        folder=experiment.manifest,
        split=held_out,
    )
    size = Size(clips=clips, seconds=seconds, per_listener=clips)
    make_test(sources, reference, test, size, seed=0)
