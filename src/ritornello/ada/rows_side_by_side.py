"""Rows of an experiment side by side, one single-thread process each, in the order they need.

A row starts when the rows it stands on are finished. Processes are in sessions of their own, so
that Ctrl-C reaches this one alone; it then asks each row to stop, which saves it. With one job the
rows train in this process, one after the other.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.process import BaseProcess

import torch
from rich.console import Console

from ritornello.ada.experiments import BELOW_SEED, Experiment, train_row
from ritornello.ada.rows import find_row, with_below
from ritornello.errors import ConfigError, RitornelloError, TrainingError
from ritornello.training.logs import Display, PlainDisplay

STOPPED, FAILED = 3, 1


@dataclass(frozen=True, order=True)
class Task:
    """One row with one seed."""

    row: str
    seed: int

    @property
    def after(self) -> frozenset["Task"]:
        """What has to be finished before."""
        return frozenset(Task(below, BELOW_SEED) for below in find_row(self.row).below)


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
    """Train what is not finished yet.

    Args:
        experiment: Where.
        tasks: Rows and seeds, each after those it stands on.
        jobs: Rows at a time.
        display: Where rows that train in this process are shown; stderr by default.

    Raises:
        KeyboardInterrupt: Somebody stopped it; every row is saved.
        TrainingError: A row failed; the others are saved.
    """
    if jobs < 1:
        raise ConfigError(f"got {jobs} jobs; expected at least 1")
    left = [task for task in tasks if experiment.result(task.row, task.seed) is None]
    if jobs > 1 and len(left) > 1:
        _side_by_side(experiment, left, jobs)
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


def _side_by_side(experiment: Experiment, left: list[Task], jobs: int) -> None:
    waiting, running = list(left), dict[Task, BaseProcess]()
    try:
        while waiting or running:
            for task in _ready(waiting, running)[: jobs - len(running)]:
                waiting.remove(task)
                running[task] = _started(experiment, task)
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


def _ready(waiting: Sequence[Task], running: Iterable[Task]) -> list[Task]:
    """Tasks whose rows below are neither waiting nor running."""
    open_tasks = {*waiting, *running}
    return [task for task in waiting if not task.after & open_tasks]


def _started(experiment: Experiment, task: Task) -> BaseProcess:
    process = get_context("spawn").Process(target=_train_alone, args=(experiment, task))
    process.start()
    return process


def _train_alone(experiment: Experiment, task: Task) -> None:
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
