"""The paper's experiments in one folder: what a row trains on, training it, what is kept of it.

    FOLDER/experiment.json          scale, music and precision; another one is refused
    FOLDER/manifest.jsonl           the music, where it was given as a folder of audio
    FOLDER/cache/                   mu-law symbols, and the codes of finished rows
    FOLDER/rows/1.2-seed0/          the run of a row: resumable, with its model
    FOLDER/rows/1.2-seed0.json      its figures, once it is finished

All tables share a folder: a row that stands on the codes of another finds it trained already. Rows
on codes always read those of seed 0, so that seeds differ in the training of the row alone.
"""

from functools import partial
from pathlib import Path

from ritornello.ada.codec import load_level, load_prior
from ritornello.ada.config import StackConfig, StageConfig
from ritornello.ada.generate import AdaStack
from ritornello.ada.recordings import SymbolCorpus, audio_symbols, code_symbols
from ritornello.ada.rows import Row, find_row, trained
from ritornello.ada.scales import Scale, at_scale, find_scale
from ritornello.ada.train_levels import LevelStage, PriorStage, scored_excerpts, trained_level
from ritornello.checkpoint import read_json
from ritornello.config import from_dict, to_dict
from ritornello.data.jobs import Progress
from ritornello.errors import ConfigError
from ritornello.training import experiments
from ritornello.training.experiments import RowWork
from ritornello.training.logs import Display

BELOW_SEED = 0
"""The seed whose codes all rows above learn from."""

Experiment = experiments.Experiment[Scale]


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
    accept = partial(_refuse_other_steps, folder)
    return experiments.open_experiment(
        folder, scale, data, find_scale, accept=accept, progress=progress
    )


def stack_of(experiment: Experiment, row: Row) -> StackConfig:
    """The row's model at the experiment's scale."""
    return at_scale(row.stack(), experiment.scale)


def _refuse_other_steps(folder: Path, scale: Scale) -> None:
    """Refuse finished rows of other training than the scale's: equal steps are what a table is."""
    for file in sorted((folder / "rows").glob("*-seed*.json")):
        told = read_json(file)
        row = find_row(told["row"])
        training = row_training(row, at_scale(row.stack(), scale))
        ours = training.steps, training.batch * training.crop
        theirs = told["steps"], told["symbols_per_step"]
        if ours != theirs:
            raise ConfigError(
                f"{file} is a row of {theirs[0]} steps of {theirs[1]} symbols; at scale "
                f"{scale.name} it has {ours[0]} of {ours[1]}: rows could not be compared. Give "
                "another folder, or delete that file and the folder of its name to train it again"
            )


def row_training(row: Row, stack: StackConfig) -> StageConfig:
    """How the row's own network is trained, of its whole model."""
    return stack.prior.training if row.is_prior else stack.levels[len(row.below)].training


def codes_scored(row: Row, stack: StackConfig) -> int:
    """Codes that the perplexity of an autoencoder's row is of: those of the excerpts it scores."""
    level = stack.levels[len(row.below)]
    excerpts = scored_excerpts(level.training, level.local.receptive_field)
    return excerpts * (level.training.crop // level.hop)


# ------------------------------------------------------------------ one row


def symbols_under(experiment: Experiment, row: Row) -> SymbolCorpus:
    """What a row learns from: the audio, or the codes of the rows it stands on; not filled yet."""
    stack = stack_of(experiment, row)
    cache = experiment.folder / "cache"
    symbols = audio_symbols(experiment.corpus(), stack.sample_rate, cache / "audio")
    for index, below in enumerate(row.below):
        trained_below = partial(
            trained_level, experiment.run(below, BELOW_SEED).model, index, stack
        )
        folder = cache / f"codes-{'-'.join(row.below[: index + 1])}"
        symbols = code_symbols(symbols, stack.levels[index], trained_below, folder)
    return symbols


def train_row(experiment: Experiment, id: str, seed: int, display: Display) -> bool:
    """Train a row to its end, from where it was left; whether it got there."""
    return experiments.train_row(experiment, id, seed, partial(_work, experiment, id), display)


def _work(experiment: Experiment, id: str) -> RowWork:
    """What training the row is; the codes it learns from are not made before it trains."""
    row = find_row(id)
    symbols, stack, level = (
        symbols_under(experiment, row),
        stack_of(experiment, row),
        len(row.below),
    )
    stage = PriorStage(stack, symbols) if row.is_prior else LevelStage(stack, level, symbols)
    network = stack.prior.network if row.is_prior else stack.levels[level].local
    return RowWork(
        stage=stage,
        system="ada",
        config=to_dict(stack),
        # What a row began before a setting was added to the config has that setting's default.
        upgrade=lambda old: to_dict(from_dict(StackConfig, old)),
        curve_of=("nll", "eval/nll"),
        told={
            "component": row.component,
            "symbols_per_step": stage.config.batch * stage.config.crop,
            "symbol_rate_hz": symbols.rate_hz,
            "receptive_field": network.receptive_field,
        },
    )


def whole_model(experiment: Experiment, row: Row) -> AdaStack:
    """The row's model, put together from the networks of its rows, all of seed 0."""
    stack, top = stack_of(experiment, row), experiment.run(trained(row.id).id, BELOW_SEED).model
    levels = [
        load_level(experiment.run(below, BELOW_SEED).model, index, stack)
        for index, below in enumerate(row.below)
    ]
    return AdaStack(stack, levels, load_prior(top, stack))
