"""One small model, trained once from end to end, for every test that needs a trained one."""

import pytest

from ritornello.musika import train, train_codec, train_gan
from ritornello.training.options import TrainOptions
from tests.musika.plucks import plucks, write
from tests.training import brief_runs
from tests.training.brief_runs import Trained

STEPS = {"level1": 12, "level2": 8, "sharpen": 4, "gan": 6}


def run_briefly(options, *, steps=STEPS, stop_in=None, at=2):
    """`brief_runs.run_briefly` with little music heard and judged."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_codec, "HEARD_S", 1.5)
        patch.setattr(train_gan, "HEARD_S", 1.5)
        patch.setattr(train_gan, "EVALUATED", 32)
        return brief_runs.run_briefly(train, options, steps=steps, stop_in=stop_in, at=at)


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
