"""One small model, trained once from end to end, for every test that needs a trained one."""

import json
from functools import partial

import numpy as np
import pytest
import soundfile

from ritornello.jukebox import train
from ritornello.training.options import TrainOptions
from tests.training import brief_runs
from tests.training.brief_runs import Trained

STEPS = {"vqvae0": 8, "vqvae1": 8, "prior": 8, "upsampler0": 6}
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


run_briefly = partial(brief_runs.run_briefly, train, steps=STEPS)


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
