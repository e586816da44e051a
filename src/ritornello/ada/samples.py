"""Table 3's models as folders that play, and samples of each, for ears."""

from collections.abc import Sequence
from pathlib import Path

from ritornello.ada.experiments import BELOW_SEED, Experiment, whole_model
from ritornello.ada.generate import AdaStack
from ritornello.ada.rows import Row, with_below
from ritornello.audio.io import write_audio
from ritornello.interfaces import Request


def finished_rows(experiment: Experiment, rows: Sequence[str]) -> list[str]:
    """Those of `rows` whose every network is trained."""
    return [
        row
        for row in rows
        if all(experiment.result(below, BELOW_SEED) for below in with_below((row,)))
    ]


def make_model(experiment: Experiment, row: Row) -> Path:
    """The row's model folder, `models/3.6`; made if it is not there."""
    folder = experiment.folder / "models" / row.id
    if not folder.exists():
        whole_model(experiment, row).save(folder)
    return folder


def sample_folder(experiment: Experiment, row: str, seconds: float) -> Path:
    """Where samples of that length of a row's model are."""
    return experiment.folder / f"samples-{seconds:g}s" / row


def make_samples(experiment: Experiment, row: Row, *, count: int, seconds: float) -> list[Path]:
    """Samples of the row's model, `samples-10s/3.6/0.wav` and so on; those there are stay.

    Args:
        experiment: Where.
        row: Its model must have been made.
        count: How many, from seed 0.
        seconds: Length of each.
    """
    folder = sample_folder(experiment, row.id, seconds)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{seed}.wav" for seed in range(count)]
    missing = [(seed, path) for seed, path in enumerate(paths) if not path.exists()]
    if missing:
        system = AdaStack.load(experiment.folder / "models" / row.id)
        for seed, path in missing:
            write_audio(path, system.generate(Request(seconds=seconds, seed=seed)))
    return paths
