"""One small stack, trained once from end to end, for every test that needs a trained one."""

from functools import partial

import numpy as np
import pytest
import soundfile

from ritornello.ada import train
from ritornello.training.options import TrainOptions
from tests.training import brief_runs
from tests.training.brief_runs import Trained

STEPS = {"level1": 12, "level2": 8, "prior": 6}
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


run_briefly = partial(brief_runs.run_briefly, train, steps=STEPS)


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
