"""One small model, trained once from end to end, for every test that needs a trained one."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ritornello.jukebox import train
from ritornello.training.options import TrainOptions
from ritornello.training.run import RunFolder
from tests.training.interrupting import interrupted

STEPS = {"vqvae0": 8, "vqvae1": 8, "prior": 8, "upsampler0": 6}
PLAIN = {"threads": 1, "precision": "fp32", "seconds_per_step": 0.01}
RATE = 8000


def write_songs(folder, names, seconds=3.0):
    """Recordings of a few steady tones each, by two composers, with words."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        draw = np.random.default_rng(seed)
        time = np.arange(round(seconds * RATE)) / RATE
        tones = [np.sin(2 * np.pi * hz * time) for hz in draw.uniform(100, 900, 3)]
        samples = 0.2 * np.sum(tones, 0) + 0.01 * draw.standard_normal(len(time))
        soundfile.write(folder / f"{name}.wav", np.stack([samples, 0.5 * samples], 1), RATE)
        side_car = {
            "composer": ("Bach", "Bach", "Chopin")[seed % 3],
            "labels": {"genre": "slow waltz"},
            "lyrics": f"La la {name}",
        }
        (folder / f"{name}.json").write_text(json.dumps(side_car))
    return folder


def run_briefly(options, *, stop_in=None, at=2):
    """`run_training` with a few steps per stage, as if threads and precision were known.

    `stop_in` names a stage that is interrupted while it draws batch `at`.
    """
    run, real_chain = RunFolder(options.run), train.chain

    def short_chain(*args):
        stages = real_chain(*args)
        for stage in stages:
            run.keep_compute(stage.name, PLAIN)
            stage.steps = STEPS[stage.name]
            if stage.name == stop_in:
                interrupted(stage, at)
        return stages

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
def songs(tmp_path_factory):
    """Three works, one of which is held out."""
    return write_songs(tmp_path_factory.mktemp("songs"), ("one", "two", "three"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory, songs):
    """The nano preset after a few steps of every stage."""
    run = tmp_path_factory.mktemp("jukebox") / "run"
    options = TrainOptions(data=(songs,), run=run, preset="nano")
    return Trained(options=options, result=run_briefly(options))
