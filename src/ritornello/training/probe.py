"""Which threads and precision are fastest for a stage, measured on its own steps.

Two OpenMP threads on a busy machine can be ten times slower than one, and bfloat16 pays only on
processors that compute in it; neither can be known without trying. The probe runs once per stage,
in training only, on a state that is thrown away.
"""

import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch

from ritornello.interfaces import Stage
from ritornello.training.distributed import World
from ritornello.training.step import new_state, take_step

MEASURED_STEPS = 3
# bfloat16 costs accuracy, and a second thread costs a core that the caches, another run or the
# player could use: both have to pay for themselves.
BF16_GAIN = 1.15
DOUBLING_GAIN = 1.3


@dataclass(frozen=True, kw_only=True)
class Compute:
    """How a stage is computed.

    Attributes:
        threads: OpenMP threads of this process.
        precision: "fp32" or "bf16".
        seconds_per_step: Median, measured.
    """

    threads: int
    precision: str
    seconds_per_step: float

    def apply(self) -> None:
        """Set the threads of this process, as far as the machine has them."""
        torch.set_num_threads(min(self.threads, available_cores()))


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What was measured and what is kept of it.

    Attributes:
        chosen: The fastest.
        tried: All that were measured.
        parameters: Trainable numbers.
        memory_mb: Peak memory of the process while measuring; None where it cannot be known.
    """

    chosen: Compute
    tried: tuple[Compute, ...]
    parameters: int
    memory_mb: float | None

    def as_json(self) -> dict[str, Any]:
        """For the run's config."""
        return asdict(self.chosen) | {"tried": [asdict(compute) for compute in self.tried]}


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def candidates(stage: Stage, world: World) -> list[tuple[int, str]]:
    """(threads, precision) to try, the plainest first."""
    if world.device.type == "cuda":
        return [(torch.get_num_threads(), precision) for precision in stage.precisions]
    cores = max(1, available_cores() // world.size)
    threads = sorted({1, *(2**n for n in range(1, 6) if 2**n < cores), cores})
    return [(count, precision) for count in threads for precision in stage.precisions]


def probe(
    stage: Stage, seed: int, world: World, *, limit_s: float, on_example: bool = False
) -> Probe:
    """Measure every candidate on a few steps of `stage` and choose.

    Args:
        stage: Prepared, unless `on_example`.
        seed: The run's.
        world: The processes that train together; rank 0 chooses.
        limit_s: After so many seconds no further candidate is tried.
        on_example: Use `stage.example` in place of `stage.batch`.
    """
    threads_before = torch.get_num_threads()
    make_batch = stage.example if on_example else stage.batch
    state = new_state(stage, seed, total_steps=1000, precision="fp32", world=world)
    tries = candidates(stage, world)
    tried: list[Compute] = []
    start_s = time.perf_counter()
    for threads, precision in tries:
        if tried and world.from_first(time.perf_counter() - start_s > limit_s):
            break
        torch.set_num_threads(threads)
        state.precision = precision
        step = partial(take_step, stage, state, seed, make_batch)
        seconds = _measure(step, world, limit_s / len(tries))
        tried.append(Compute(threads=threads, precision=precision, seconds_per_step=seconds))
    torch.set_num_threads(threads_before)
    return Probe(
        chosen=tried[world.from_first(tried.index(_fastest(tried)))],
        tried=tuple(tried),
        parameters=state.parameter_count(),
        memory_mb=_peak_memory_mb(world),
    )


def _measure(step: Callable[[], Any], world: World, limit_s: float) -> float:
    """Median seconds of a few steps after a first one; fewer when they take long."""
    first_s = _seconds(step, world)
    count = MEASURED_STEPS if first_s * MEASURED_STEPS < limit_s else 1
    count = world.from_first(count)
    return statistics.median([_seconds(step, world) for _ in range(count)])


def _fastest(tried: list[Compute]) -> Compute:
    """The fastest, with a handicap on bfloat16 and on every doubling of the threads."""

    def cost(compute: Compute) -> float:
        handicap = BF16_GAIN if compute.precision == "bf16" else 1.0
        return compute.seconds_per_step * handicap * DOUBLING_GAIN ** math.log2(compute.threads)

    return min(tried, key=cost)


def _seconds(action: Callable[[], Any], world: World) -> float:
    """How long `action` takes."""
    start = time.perf_counter()
    action()
    if world.device.type == "cuda":
        torch.cuda.synchronize(world.device)
    return time.perf_counter() - start


def _peak_memory_mb(world: World) -> float | None:
    """The most memory this process has held."""
    if world.device.type == "cuda":
        return torch.cuda.max_memory_allocated(world.device) / 2**20
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
