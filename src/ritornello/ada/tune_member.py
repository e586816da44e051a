"""One member of a population: a level that trains at an alpha and a beta that others may set.

Nothing here knows of Ray: the same steps are taken in a population, after an interruption, and when
a schedule is trained again alone, so that all three give the same weights bit for bit.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch

from ritornello.ada.config import StackConfig
from ritornello.ada.model import Ada
from ritornello.ada.train_levels import LevelStage, stack_symbols
from ritornello.ada.tune_schedule import Schedule
from ritornello.checkpoint import (
    read_json,
    read_tensors,
    verify,
    write_checksums,
    write_json,
    write_tensors,
)
from ritornello.config import from_dict
from ritornello.data.corpus import Corpus
from ritornello.training.distributed import World
from ritornello.training.seeds import seeded_torch
from ritornello.training.step import new_state, take_step

STATE = "state.safetensors"
NOTES = "state.json"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a population trains, in words that travel to other machines as JSON.

    Attributes:
        stack: The stack's configuration as plain values.
        index: Which of its levels, 0 for the lowest.
        manifest: The scanned corpus.
        cache: Folder of cached symbols.
        below: Model folder whose levels lie below; None for the lowest level.
        seed: Of weights and batches.
        precision: "fp32" or "bf16".
    """

    stack: dict[str, Any]
    index: int
    manifest: str
    cache: str
    below: str | None
    seed: int
    precision: str = "fp32"

    @property
    def config(self) -> StackConfig:
        """The stack's configuration."""
        return from_dict(StackConfig, self.stack)


def level_stage(task: Task) -> LevelStage:
    """The stage that `task` is about; its caches are where the task says."""
    corpus, stack = Corpus.load(Path(task.manifest)), task.config
    # The lowest level reads no codes, so that it needs no model to make them.
    below = Path(task.below or task.cache)
    symbols = stack_symbols(stack, corpus, below, Path(task.cache))
    return LevelStage(stack, task.index, symbols[task.index])


class Member:
    """A level in training, with the alpha and beta that hold at present.

    Args:
        task: What is trained.
        stage: The task's stage, prepared.
        steps: Steps of the whole training; learning rates depend on it.
    """

    def __init__(self, task: Task, stage: LevelStage, steps: int) -> None:
        self.task, self.stage = task, stage
        # All ranks are members: each is a world of its own, on the device its process was given.
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.state = new_state(
            stage,
            task.seed,
            total_steps=steps,
            precision=task.precision,
            world=World(device=device),
        )

    def set(self, alpha: float, beta: float) -> None:
        """Go on with these."""
        for module in (self.state.modules["ada"], self.state.best("ada")):
            bottleneck = cast(Ada, module).bottleneck
            bottleneck.config = replace(bottleneck.config, alpha=alpha, beta=beta)

    def train(self, until: int) -> None:
        """Take steps until `until` are done.

        Raises:
            TrainingError: A loss or a gradient is not finite.
        """
        while self.state.step < until:
            losses = take_step(self.stage, self.state, self.task.seed, self.stage.batch)
            for name, value in losses.items():
                self.state.refuse_nonfinite(name, torch.tensor(value))

    def judge(self) -> dict[str, float]:
        """Held-out figures with the averaged weights."""
        place = (self.stage.name, self.state.step, "look")
        with torch.no_grad(), seeded_torch(self.task.seed, *place):
            figures = self.stage.evaluate(self.state)
        for module in self.state.modules.values():
            module.train()
        return figures

    def save(self, folder: Path, number: int) -> None:
        """Write the training state of member `number` into the empty `folder`."""
        write_tensors(folder / STATE, self.state.tensors())
        write_json(folder / NOTES, {"counters": self.state.counters(), "member": number})
        write_checksums(folder)

    def restore(self, folder: Path) -> int:
        """Become the state in `folder`; the number of the member that saved it.

        Raises:
            CheckpointError: It is missing, altered, or of another network.
        """
        verify(folder)
        notes = read_json(folder / NOTES)
        self.state.restore(read_tensors(folder / STATE), notes["counters"])
        return int(notes["member"])


def follow(member: Member, schedule: Schedule, say: Callable[[int], None]) -> None:
    """Train `member` to its end along `schedule`; `say` hears the step of every change."""
    starts = [piece.step for piece in schedule.pieces if piece.step < member.state.total_steps]
    for start, end in zip(starts, [*starts[1:], member.state.total_steps], strict=True):
        member.set(*schedule.at(start))
        member.train(end)
        say(end)
