"""How fast is it? Wall and processor time of any piece of work, memory, and the machine.

Conventions
    work       a callable without arguments; its result is thrown away
    wall_s     seconds on the clock: what a user waits for
    cpu_s      seconds of processor time over all threads: what it costs, and the steadier figure
               on a machine that does other things at the same time

Nothing here knows what is measured; benchmarks and the command line pass the callables.
"""

import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ritornello.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Several runs of the same work, in order.

    Attributes:
        wall_s: Seconds on the clock of each run.
        cpu_s: Seconds of processor time of each run, all threads.
    """

    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]

    @property
    def median_wall_s(self) -> float:
        """Median seconds on the clock."""
        return statistics.median(self.wall_s)

    @property
    def median_cpu_s(self) -> float:
        """Median seconds of processor time."""
        return statistics.median(self.cpu_s)

    def to_dict(self) -> dict[str, Any]:
        """Medians and all runs as plain JSON values."""
        return {
            "median_wall_s": self.median_wall_s,
            "median_cpu_s": self.median_cpu_s,
            "wall_s": list(self.wall_s),
            "cpu_s": list(self.cpu_s),
        }


def measure(work: Callable[[], Any], repeats: int = 3, warmups: int = 1) -> Timing:
    """Time `work` several times after warming up.

    Args:
        work: What to time.
        repeats: Timed runs, >= 1.
        warmups: Runs beforehand that do not count (caches, first allocations), >= 0.

    Raises:
        ConfigError: repeats or warmups out of range.
    """
    if repeats < 1 or warmups < 0:
        raise ConfigError(f"got repeats {repeats} and warmups {warmups}; expected at least 1 and 0")
    for _ in range(warmups):
        work()
    wall_s, cpu_s = [], []
    for _ in range(repeats):
        wall_start, cpu_start = time.perf_counter(), time.process_time()
        work()
        cpu_s.append(time.process_time() - cpu_start)
        wall_s.append(time.perf_counter() - wall_start)
    return Timing(wall_s=tuple(wall_s), cpu_s=tuple(cpu_s))


def measure_first(open_stream: Callable[[], Iterable[Any]], repeats: int = 3) -> Timing:
    """Time from asking for a stream to holding its first block; no warm-up, as a user meets it."""
    return measure(lambda: next(iter(open_stream())), repeats=repeats, warmups=0)


def times_real_time(seconds_made: float, wall_s: float) -> float:
    """Seconds of music made per second on the clock; above 1 keeps up with playing."""
    return seconds_made / wall_s


def peak_memory_bytes() -> int:
    """Most memory this process has held so far (resident set); it never falls again.

    So each figure needs a process of its own.
    """
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def memory_bytes() -> int:
    """Memory this process holds now (resident set); the peak where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return peak_memory_bytes()


@dataclass(kw_only=True)
class PartClock:
    """Time spent in named parts of a longer computation.

    Attributes:
        wall_s: Seconds on the clock by part.
        cpu_s: Seconds of processor time by part, all threads.
        calls: Number of calls by part.
    """

    wall_s: dict[str, float] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, with every call added to `part`."""

        def call(*args: Any, **kwargs: Any) -> Any:
            wall_start, cpu_start = time.perf_counter(), time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                cpu_s = time.process_time() - cpu_start
                wall_s = time.perf_counter() - wall_start
                self.cpu_s[part] = self.cpu_s.get(part, 0.0) + cpu_s
                self.wall_s[part] = self.wall_s.get(part, 0.0) + wall_s
                self.calls[part] = self.calls.get(part, 0) + 1

        return call

    def to_dict(self) -> dict[str, dict[str, float]]:
        """wall_s, cpu_s and calls of each part as plain JSON values."""
        return {
            part: {"wall_s": self.wall_s[part], "cpu_s": self.cpu_s[part], "calls": calls}
            for part, calls in self.calls.items()
        }


@contextmanager
def clocked_parts(parts: Mapping[str, tuple[Any, str]]) -> Iterator[PartClock]:
    """Time named functions while the block runs.

    Args:
        parts: Part name -> (object or module that holds the function, its attribute name), e.g.
            `{"generator": (model.generator, "forward")}`. Parts must not call one another, or the
            inner one is counted twice.

    Yields:
        The clock, filling as the parts are called. The functions are put back at the end.
    """
    clock = PartClock()
    held: list[tuple[Any, str, bool, Any]] = []
    try:
        for part, (owner, attribute) in parts.items():
            original = getattr(owner, attribute)
            held.append((owner, attribute, attribute in vars(owner), original))
            setattr(owner, attribute, clock.timed(part, original))
        yield clock
    finally:
        for owner, attribute, was_own, original in reversed(held):
            if was_own:
                setattr(owner, attribute, original)
            else:
                delattr(owner, attribute)


def machine() -> dict[str, Any]:
    """What the figures were measured on: processor, cores, load, and versions."""
    import torch

    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }


def processor_name() -> str:
    """The processor's name as the system gives it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
            for line in cpuinfo:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
