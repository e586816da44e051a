"""Training a row of the paper's ablations (section 5.3); `training/experiments.py` has the folder.

A row without quantisation is the same stage with another bottleneck, one that lets queries pass.
"""

from functools import partial
from pathlib import Path

import torch
from torch import nn

from ritornello.config import from_dict, to_dict
from ritornello.data.jobs import Progress
from ritornello.jukebox.config import JukeboxConfig
from ritornello.jukebox.published import MEASURE
from ritornello.jukebox.rows import find_row
from ritornello.jukebox.scales import Scale, find_scale
from ritornello.jukebox.train_vqvae import VqVaeStage
from ritornello.jukebox.vqvae import LevelCodes, Queries
from ritornello.nn.quantize import Quantised
from ritornello.training import experiments
from ritornello.training.distributed import World
from ritornello.training.experiments import RowWork
from ritornello.training.logs import Display
from ritornello.training.state import TrainState

Experiment = experiments.Experiment[Scale]


class PassingThrough(nn.Module):
    """In place of a `Quantiser`: queries as they are, all of the same code, and nothing to learn.

    Nothing is taken from codes, so there is no `look_up`.
    """

    def forward(self, queries: Queries) -> Quantised:
        """The queries; vectors are (batch, frames, dim)."""
        vectors = queries.transpose(1, 2)
        codes = torch.zeros(vectors.shape[:2], dtype=torch.int64, device=vectors.device)
        return Quantised(vectors=vectors, codes=codes, commitment=vectors.new_zeros(()).float())

    def learn(
        self, queries: Queries, codes: LevelCodes, draw: torch.Generator, world: World
    ) -> int:
        """Nothing; no code is placed anew."""
        return 0


class UnquantisedStage(VqVaeStage):
    """An autoencoder without codes: what the networks alone can do."""

    def build(self, init: torch.Generator) -> dict[str, nn.Module]:
        """The level, its bottleneck taken out."""
        built = super().build(init)
        built["vqvae"].set_submodule("quantiser", PassingThrough())
        return built

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Spectral convergence; there are no codes to count."""
        return {MEASURE: super().evaluate(state)[MEASURE]}

    def export(self, state: TrainState, folder: Path) -> None:
        """Nothing: a level without codes is no codec."""


def open_experiment(
    folder: Path,
    scale: str | None,
    data: Path | None,
    *,
    progress: Progress | None = None,
) -> Experiment:
    """The experiment in `folder`, begun now if there is none; see `training/experiments.py`.

    Args:
        folder: Where everything is kept.
        scale: Name of the scale; None takes the folder's, or "mini".
        data: Folder of audio or manifest; None takes the folder's.
        progress: Called while a folder of audio is scanned.
    """
    return experiments.open_experiment(folder, scale, data, find_scale, progress=progress)


def train_row(experiment: Experiment, id: str, seed: int, display: Display) -> bool:
    """Train a row to its end, from where it was left; whether it got there."""
    return experiments.train_row(experiment, id, seed, partial(_work, experiment, id), display)


def _work(experiment: Experiment, id: str) -> RowWork:
    """What training the row is."""
    row, corpus = find_row(id), experiment.corpus()
    model = row.model(experiment.scale)
    stage = (VqVaeStage if row.is_quantised else UnquantisedStage)(model, 0, corpus)
    return RowWork(
        stage=stage,
        system="jukebox",
        config=to_dict(model),
        upgrade=lambda old: to_dict(from_dict(JukeboxConfig, old)),
        curve_of=("total", f"eval/{MEASURE}"),
        told={"samples_per_step": stage.config.batch * model.training.excerpt},
    )
