"""Work over many recordings: a bounded pool, a progress callback, and a lock between processes."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Called as progress(done, total, name) before the first item and after each one.
Progress = Callable[[int, int, str], None]


def completed(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[tuple[Item, Result]]:
    """Pairs (item, function(item)) as they finish; at most `workers` results are alive at a time.

    One worker means the calling thread, in order. Threads serve here because decoding and tensor
    work release the interpreter's lock. The first exception ends the iteration and is raised.
    """
    if workers <= 1:
        for item in items:
            yield item, function(item)
        return
    queue = iter(items)
    with ThreadPoolExecutor(max_workers=workers) as pool:
        running: dict[Future[Result], Item] = {}
        try:
            while True:
                for item in islice(queue, workers - len(running)):
                    running[pool.submit(function, item)] = item
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def exclusive(lock: Path, refusal: Exception | None = None) -> Iterator[None]:
    """Hold the lock file `lock`; a second process waits here, and a killed one releases it.

    The ranks of a distributed run all prepare the same caches: the first one does the work, the
    others find it done. The file is gone afterwards.

    Args:
        lock: The file; its folder is made.
        refusal: What a second process raises instead of waiting.
    """
    try:
        import fcntl
    except ImportError:  # Not POSIX: one process at a time is then the caller's duty.
        yield
        return
    lock.parent.mkdir(parents=True, exist_ok=True)
    how = fcntl.LOCK_EX if refusal is None else fcntl.LOCK_EX | fcntl.LOCK_NB
    is_held = False
    while not is_held:
        with lock.open("a") as handle:
            try:
                fcntl.flock(handle, how)
            except BlockingIOError:
                if refusal is None:
                    raise
                raise refusal from None
            is_held = _is_file(handle, lock)  # Else who held it before has removed it since.
            if is_held:
                try:
                    yield
                finally:
                    lock.unlink(missing_ok=True)


def _is_file(handle: IO[str], path: Path) -> bool:
    """Whether the open `handle` is still the file that `path` names."""
    try:
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except FileNotFoundError:
        return False
