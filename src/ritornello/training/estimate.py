"""What a chain would cost, measured on a few steps of noise before anything is trained."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from ritornello.interfaces import Stage
from ritornello.training.distributed import World, joined_world
from ritornello.training.logs import duration
from ritornello.training.plan import EVALUATION_PART, MARGIN
from ritornello.training.probe import probe

ESTIMATE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class StageEstimate:
    """The cost of one stage; preparing its data comes on top and shortens it.

    Attributes:
        stage: Its name.
        parameters: Trainable numbers.
        memory_mb: Peak memory of the process while measuring; None where it cannot be known.
        threads: Fastest number of threads.
        precision: Fastest precision.
        seconds_per_step: Measured.
        steps: How many fit, evaluations taken off.
        ends_s: Seconds from the start of the chain to the end of this stage.
    """

    stage: str
    parameters: int
    memory_mb: float | None
    threads: int
    precision: str
    seconds_per_step: float
    steps: int
    ends_s: float


def estimate_chain(
    stages: Sequence[Stage], *, seed: int, time_limit_s: float | None
) -> list[StageEstimate]:
    """Measure every stage of a chain on `stage.example`; nothing is written.

    Args:
        stages: The chain, bottom first; neither data nor earlier stages are needed.
        seed: Of the weights and the noise.
        time_limit_s: Time for all stages together; None takes each stage's own steps.
    """
    with joined_world() as world:
        return _estimates(stages, seed, time_limit_s, world)


def _estimates(
    stages: Sequence[Stage], seed: int, time_limit_s: float | None, world: World
) -> list[StageEstimate]:
    estimates: list[StageEstimate] = []
    shares = sum(stage.share for stage in stages)
    ends_s = 0.0
    for stage in stages:
        measured = probe(stage, seed, world, limit_s=ESTIMATE_S, on_example=True)
        speed_s = measured.chosen.seconds_per_step
        if time_limit_s is None:
            steps = stage.steps
            ends_s += steps * speed_s / (1 - EVALUATION_PART - MARGIN)
        else:
            budget_s = time_limit_s * stage.share / shares
            steps = max(1, int(budget_s * (1 - EVALUATION_PART - MARGIN) / speed_s))
            ends_s += budget_s
        estimates.append(
            StageEstimate(
                stage=stage.name,
                parameters=measured.parameters,
                memory_mb=measured.memory_mb,
                threads=measured.chosen.threads,
                precision=measured.chosen.precision,
                seconds_per_step=speed_s,
                steps=steps,
                ends_s=ends_s,
            )
        )
    return estimates


def estimate_table(estimates: Sequence[StageEstimate]) -> Table:
    """The estimates as a table for a terminal."""
    table = Table(title="Plan (preparation of the data comes on top)")
    for heading in ("stage", "parameters", "memory", "compute", "s / step", "steps", "ends after"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for estimate in estimates:
        memory = "?" if estimate.memory_mb is None else f"{estimate.memory_mb:,.0f} MB"
        table.add_row(
            estimate.stage,
            f"{estimate.parameters:,}",
            memory,
            f"{estimate.threads} thread(s), {estimate.precision}",
            f"{estimate.seconds_per_step:.3g}",
            f"{estimate.steps:,}",
            duration(estimate.ends_s),
        )
    return table
