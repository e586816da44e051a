"""Processes that render in parallel and stop cleanly when the user interrupts."""

import os
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, TypeVar

RATES = (16000, 22050, 24000, 32000, 44100, 48000)
PART_SUFFIX = ".part"  # of hidden files and folders that are not whole yet

Progress = Callable[[int, int, str], None]
"""Called with (renders done, renders planned, name of the last one)."""


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A finished file or song.

    Attributes:
        name: Of the file or folder.
        seconds: Its length.
        reused: Whether it was found finished.
    """

    name: str
    seconds: float
    reused: bool


Made = TypeVar("Made", bound=Rendered)


class Workers:
    """Processes that apply a function to many items, and that stop cleanly."""

    def __init__(self, count: int) -> None:
        """Start `count` processes (0: one per core) as they are needed; 1 means none."""
        count = count or os.cpu_count() or 1
        context = get_context("spawn")  # forking a process that holds threads can hang
        self._stop = context.Event()
        self._count = count
        self._pool = (
            ProcessPoolExecutor(
                count, mp_context=context, initializer=_start_worker, initargs=(self._stop,)
            )
            if count > 1
            else None
        )

    def __enter__(self) -> "Workers":
        """The workers themselves."""
        return self

    def __exit__(self, *error: object) -> None:
        """Stop, after the running items have noticed."""
        self.stop()

    def unordered(self, function: Callable[[Any], Any], items: list[Any]) -> Iterator[Any]:
        """Results as they come; items start in their order, with few of them in flight."""
        if self._pool is None:
            yield from map(function, items)
            return
        ahead = iter(items)
        running = {self._pool.submit(function, item) for item in islice(ahead, 4 * self._count)}
        while running:
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {self._pool.submit(function, item) for item in islice(ahead, len(finished))}
            for future in finished:
                yield future.result()

    def stop(self) -> None:
        """Ask running items to end, drop the others, and wait."""
        self._stop.set()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


_asked: Event | None = None  # set once per worker process, by its initialiser


def _start_worker(stop: Event) -> None:
    """Leave Ctrl-C to the parent, which asks through `stop`."""
    global _asked
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _asked = stop


def stop_asked() -> bool:
    """Whether the parent wants this process to end."""
    return _asked is not None and _asked.is_set()


@contextmanager
def tidy_workers(count: int, folders: Iterable[Path]) -> Iterator[Workers]:
    """Workers that are stopped at the end, however it comes, and leave nothing half-written.

    Args:
        count: Processes; 0 means one per core.
        folders: Where they write; what is named `.*.part` there is removed.
    """
    with Workers(count) as workers:
        try:
            yield workers
        finally:
            workers.stop()
            for folder in folders:
                for part in folder.glob(f".*{PART_SUFFIX}"):
                    if part.is_dir():
                        shutil.rmtree(part)
                    else:
                        part.unlink(missing_ok=True)


def gathered(
    results: Iterable[Any], kind: type[Made], total: int, progress: Progress | None
) -> tuple[list[Made], list[tuple[str, str]]]:
    """What was made, and (name, reason) of what could not be, as they come.

    Args:
        results: Each a `kind` or such a pair.
        kind: Of what is made.
        total: How many will come.
        progress: Told after each.
    """
    made, skipped = [], []
    for done, result in enumerate(results, start=1):
        if isinstance(result, kind):
            made.append(result)
            name = result.name
        else:
            skipped.append(result)
            name = result[0]
        if progress is not None:
            progress(done, total, name)
    return made, skipped
