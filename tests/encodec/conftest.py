"""One small codec, trained once from end to end, for every test that needs a trained one."""

from functools import partial

import numpy as np
import pytest
import soundfile

from ritornello.encodec import train
from ritornello.encodec.generate import Encodec
from ritornello.encodec.presets import nano
from ritornello.training.options import TrainOptions
from tests.encodec.codecs import RATE, drawn
from tests.training import brief_runs
from tests.training.brief_runs import Trained

run_briefly = partial(brief_runs.run_briefly, train, steps={"encodec": 60})


def write_tones(folder, count=3, notes=12):
    """Recordings of decaying notes of four pitches, in another order in each."""
    folder.mkdir(parents=True, exist_ok=True)
    time = np.arange(RATE // 4) / RATE
    for number in range(count):
        pitches = np.random.default_rng(number).choice([100, 150, 220, 330], notes)
        played = [0.5 * np.sin(2 * np.pi * hz * time) * np.exp(-4 * time) for hz in pitches]
        soundfile.write(folder / f"tones{number}.wav", np.concatenate(played), RATE)
    return folder


@pytest.fixture(scope="session")
def tones(tmp_path_factory):
    return write_tones(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory, tones):
    """The nano preset after some steps, half of them with discriminators."""
    run = tmp_path_factory.mktemp("encodec") / "run"
    options = TrainOptions(data=(tones,), run=run, preset="nano")
    return Trained(options=options, result=run_briefly(options))


@pytest.fixture(scope="session")
def codec_model(tmp_path_factory):
    """A model folder whose weights were drawn, not trained."""
    folder = tmp_path_factory.mktemp("models") / "codec"
    codec = drawn(nano().codec)
    Encodec(nano(), codec).save(folder)
    return folder
