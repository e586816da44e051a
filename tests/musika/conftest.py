"""One small model, trained once from end to end, for every test that needs a trained one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ritornello.checkpoint import find_model
from ritornello.config import to_dict
from ritornello.musika import train, train_codec, train_gan
from ritornello.training.options import TrainOptions
from ritornello.training.run import RunFolder
from tests.musika.plucks import plucks, write
from tests.training.interrupting import interrupted

STEPS = {"level1": 12, "level2": 8, "sharpen": 4, "gan": 6}
PLAIN = {"threads": 1, "precision": "fp32", "seconds_per_step": 0.01}


def run_briefly(options, *, steps=STEPS, stop_in=None, at=2):
    """`run_training` with a few steps per stage, as if threads and precision were known.

    `stop_in` names a stage that is interrupted while it draws batch `at`.
    """
    run = RunFolder(options.run)
    real_chain = train.chain

    def short_chain(*args):
        stages = real_chain(*args)
        for stage in stages:
            stage.steps = steps[stage.name]
            if stage.name == stop_in:
                interrupted(stage, at)
        return stages

    if run.settings() is None:
        start = options.from_model or options.from_codec
        config = train.resolved_config(options, None, find_model(start) if start else None)
        run.begin("musika", to_dict(config), options.seed or 0)
        for name in STEPS:
            run.keep_compute(name, PLAIN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "chain", short_chain)
        patch.setattr(train_codec, "HEARD_S", 1.5)
        patch.setattr(train_gan, "HEARD_S", 1.5)
        patch.setattr(train_gan, "EVALUATED", 32)
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


@pytest.fixture(scope="session")
def music(tmp_path_factory):
    """A folder of three short recordings, one of which is held out."""
    folder = tmp_path_factory.mktemp("music") / "plucks"
    return write(folder, {f"piece {seed}": plucks(4.0, seed) for seed in range(3)})


@pytest.fixture(scope="session")
def trained(tmp_path_factory, music):
    """The whole nano chain, trained for a few steps."""
    options = TrainOptions(
        data=(music,), run=tmp_path_factory.mktemp("runs") / "mine", preset="nano"
    )
    return Trained(options=options, result=run_briefly(options))
