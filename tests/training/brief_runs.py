"""A system's whole training in a few steps, and what it leaves on the disk."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ritornello.checkpoint import read_tensors
from ritornello.training.options import TrainOptions
from ritornello.training.run import RunFolder
from tests.training.interrupting import interrupted

PLAIN = {"threads": 1, "precision": "fp32", "seconds_per_step": 0.01}


def run_briefly(train, options, *, steps, stop_in=None, at=2):
    """`train.run_training` with a few steps per stage, as if threads and precision were known.

    `train` is the system's module, `steps` says how many by the stage's name, and `stop_in` names a
    stage that is interrupted while it draws batch `at`.
    """
    real_chain = train.train_chain

    def short_chain(stages, run, **settings):
        for stage in stages:
            run.keep_compute(stage.name, PLAIN)
            stage.steps = steps[stage.name]
            if stage.name == stop_in:
                interrupted(stage, at)
        return real_chain(stages, run, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "train_chain", short_chain)
        return train.run_training(options)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A finished run, what it was asked, what it answered."""

    options: TrainOptions
    result: dict[str, Any]

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.options.run)

    @property
    def model(self) -> Path:
        return self.run.model


def model_files(folder):
    """The bytes of all weights in a model folder, by their places in it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*.safetensors"))
    }


def newest_state(run, stage):
    """Tensors of the newest training state of a stage."""
    return read_tensors(sorted(run.stage(stage).states.iterdir())[-1] / "state.safetensors")
