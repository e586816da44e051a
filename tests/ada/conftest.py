"""One small stack, trained once from end to end, for every test that needs a trained one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ritornello.ada import train
from ritornello.config import to_dict
from ritornello.training.options import TrainOptions
from ritornello.training.run import RunFolder
from tests.training.interrupting import interrupted

STEPS = {"level1": 12, "level2": 8, "prior": 6}
PLAIN = {"threads": 1, "precision": "fp32", "seconds_per_step": 0.01}
RATE = 8000


def write_tones(folder, names, seconds=3.0):
    """Recordings of a few steady tones each."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        draw = np.random.default_rng(seed)
        time = np.arange(round(seconds * RATE)) / RATE
        tones = [np.sin(2 * np.pi * hz * time) for hz in draw.uniform(100, 900, 3)]
        samples = 0.2 * np.sum(tones, 0) + 0.01 * draw.standard_normal(len(time))
        soundfile.write(folder / f"{name}.wav", samples, RATE)
    return folder


def run_briefly(options, *, stop_in=None, at=2):
    """`run_training` with a few steps per stage, as if threads and precision were known.

    `stop_in` names a stage that is interrupted while it draws batch `at`.
    """
    run = RunFolder(options.run)
    real_chain = train.chain

    def short_chain(*args):
        stages = real_chain(*args)
        for stage in stages:
            stage.steps = STEPS[stage.name]
            if stage.name == stop_in:
                interrupted(stage, at)
        return stages

    if run.settings() is None:
        start = train.starting_model(options)
        config = train.resolved_config(options, None, start)
        run.begin("ada", to_dict(config), options.seed or 0)
        for name in STEPS:
            run.keep_compute(name, PLAIN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "chain", short_chain)
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
def tones(tmp_path_factory):
    """Three works, one of which is held out."""
    return write_tones(tmp_path_factory.mktemp("tones"), ("one", "two", "three"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory, tones):
    """The nano preset after a few steps of every stage."""
    run = tmp_path_factory.mktemp("ada") / "run"
    options = TrainOptions(data=(tones,), run=run, preset="nano")
    return Trained(options=options, result=run_briefly(options))
