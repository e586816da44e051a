"""Rows of an experiment side by side, one single-thread process each, in the order they need.

A row starts when the rows it stands on are finished. Processes are in sessions of their own, so
that Ctrl-C reaches this one alone; it then asks each row to stop, which saves it. With one job the
rows train in this process, one after the other.
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from rich.console import Console

from ritornello.errors import ConfigError, RitornelloError, TrainingError
from ritornello.training.experiments import Experiment
from ritornello.training.logs import Display, PlainDisplay

STOPPED, FAILED = 3, 1


@dataclass(frozen=True, order=True)
class Task:
    """One row with one seed."""

    row: str
    seed: int


TrainRow = Callable[[Any, str, int, Display], bool]
"""Called as (experiment, row, seed, display): whether the row reached its end; a module's own
function, which other processes can import."""

StandsOn = Callable[[Task], frozenset[Task]]
"""What has to be finished before a task."""


def on_nothing(task: Task) -> frozenset[Task]:
    """That no row stands on others."""
    return frozenset()


def train_rows(
    experiment: Experiment[Any],
    tasks: Sequence[Task],
    jobs: int,
    train_row: TrainRow,
    *,
    stands_on: StandsOn = on_nothing,
    display: Display | None = None,
) -> None:
    """Train what is not finished yet.

    Args:
        experiment: Where.
        tasks: Rows and seeds, each after those it stands on.
        jobs: Rows at a time.
        train_row: Trains one of them.
        stands_on: What has to be finished before.
        display: Where rows that train in this process are shown; stderr by default.

    Raises:
        KeyboardInterrupt: Somebody stopped it; every row is saved.
        TrainingError: A row failed; the others are saved.
    """
    if jobs < 1:
        raise ConfigError(f"got {jobs} jobs; expected at least 1")
    left = [task for task in tasks if experiment.result(task.row, task.seed) is None]
    if jobs > 1 and len(left) > 1:
        _side_by_side(experiment, left, jobs, train_row, stands_on)
        return
    threads = torch.get_num_threads()
    shown = display or _lines()
    try:
        for task in left:
            if not train_row(experiment, task.row, task.seed, shown):
                raise KeyboardInterrupt
    finally:
        torch.set_num_threads(threads)


def _lines() -> Display:
    return PlainDisplay(Console(stderr=True))


def _side_by_side(
    experiment: Experiment[Any],
    left: Sequence[Task],
    jobs: int,
    train_row: TrainRow,
    stands_on: StandsOn,
) -> None:
    waiting, running = list(left), dict[Task, BaseProcess]()
    try:
        while waiting or running:
            for task in ready(waiting, running, stands_on)[: jobs - len(running)]:
                waiting.remove(task)
                running[task] = _started(experiment, task, train_row)
            connection.wait([process.sentinel for process in running.values()])
            for task in [task for task, process in running.items() if not process.is_alive()]:
                process = running.pop(task)
                process.join()
                _refuse_unfinished(task, process.exitcode)
    finally:
        for process in running.values():
            process.terminate()  # SIGTERM: a row that trains finishes its step and saves
        for process in running.values():
            process.join()


def ready(waiting: Sequence[Task], running: Iterable[Task], stands_on: StandsOn) -> list[Task]:
    """Tasks that stand on nothing that is waiting or running."""
    open_tasks = {*waiting, *running}
    return [task for task in waiting if not stands_on(task) & open_tasks]


def _started(experiment: Experiment[Any], task: Task, train_row: TrainRow) -> BaseProcess:
    process = get_context("spawn").Process(target=_train_alone, args=(experiment, task, train_row))
    process.start()
    return process


def _train_alone(experiment: Experiment[Any], task: Task, train_row: TrainRow) -> None:
    """What a row's process does; its exit code tells how it ended."""
    if hasattr(os, "setsid"):
        os.setsid()
    torch.set_num_threads(1)
    display = _lines()
    try:
        finished = train_row(experiment, task.row, task.seed, display)
    except RitornelloError as error:
        display.say(f"row {task.row}, seed {task.seed}: error: {error}")
        sys.exit(FAILED)
    sys.exit(0 if finished else STOPPED)


def _refuse_unfinished(task: Task, code: int | None) -> None:
    if code == STOPPED:
        raise KeyboardInterrupt
    if code != 0:
        raise TrainingError(
            f"row {task.row}, seed {task.seed} failed (exit code {code}); what it said is above. "
            "The rows beside it are saved: the same command goes on with them"
        )
