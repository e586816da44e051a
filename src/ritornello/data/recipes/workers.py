"""Processes that render in parallel and stop cleanly when the user interrupts."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from itertools import islice
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from typing import Any


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
