"""Which rows are trained for a table, and what each of them stands on."""

from collections.abc import Sequence

from ritornello.ada.experiments import BELOW_SEED, Experiment, train_row
from ritornello.ada.rows import find_row, with_below
from ritornello.training import side_by_side
from ritornello.training.logs import Display
from ritornello.training.side_by_side import Task


def stands_on(task: Task) -> frozenset[Task]:
    """What has to be finished before: the rows whose codes it reads."""
    return frozenset(Task(below, BELOW_SEED) for below in find_row(task.row).below)


def tasks_for(rows: Sequence[str], seeds: int) -> list[Task]:
    """Everything to train for `rows`, what others stand on first; its rows below with seed 0 only.

    Args:
        rows: Numbers of rows.
        seeds: How many seeds, from 0.
    """
    asked = {find_row(row).same_as or row for row in rows}
    every = with_below(tuple(rows))
    return [
        Task(row, seed)
        for row in every
        for seed in range(seeds if row in asked else BELOW_SEED + 1)
    ]


def train_rows(
    experiment: Experiment, tasks: Sequence[Task], jobs: int, display: Display | None = None
) -> None:
    """Train what is not finished yet, `jobs` rows at a time.

    Raises:
        KeyboardInterrupt: Somebody stopped it; every row is saved.
        TrainingError: A row failed; the others are saved.
    """
    side_by_side.train_rows(
        experiment, tasks, jobs, train_row, stands_on=stands_on, display=display
    )
