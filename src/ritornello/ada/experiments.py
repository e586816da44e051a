"""The paper's experiments in one folder: what a row trains on, training it, what is kept of it.

    FOLDER/experiment.json          scale, music and precision; another one is refused
    FOLDER/manifest.jsonl           the music, where it was given as a folder of audio
    FOLDER/cache/                   mu-law symbols, and the codes of finished rows
    FOLDER/rows/1.2-seed0/          the run of a row: resumable, with its model
    FOLDER/rows/1.2-seed0.json      its figures, once it is finished

All tables share a folder: a row that stands on the codes of another finds it trained already. Rows
on codes always read those of seed 0, so that seeds differ in the training of the row alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ritornello.ada.codec import load_level, load_prior
from ritornello.ada.config import StackConfig, StageConfig
from ritornello.ada.generate import AdaStack
from ritornello.ada.recordings import SymbolCorpus, audio_symbols, code_symbols
from ritornello.ada.rows import Row, find_row, trained
from ritornello.ada.scales import Scale, at_scale, find_scale
from ritornello.ada.train_levels import LevelStage, PriorStage, scored_excerpts, trained_level
from ritornello.checkpoint import read_json, write_json
from ritornello.config import from_dict, to_dict
from ritornello.data.corpus import Corpus
from ritornello.data.jobs import Progress, exclusive
from ritornello.errors import ConfigError, DataError
from ritornello.training.logs import Display, Report, read_metrics_table
from ritornello.training.loop import train_chain
from ritornello.training.plan import Plan, StagePlan
from ritornello.training.run import RunFolder, StageFolder
from ritornello.training.setup import scan_anew

EXPERIMENT_FILE, MANIFEST_FILE = "experiment.json", "manifest.jsonl"
TRAINED_BY = ("narrower", "shorter", "layers", "training", "train_s", "valid_s")
"""What of a scale the figures of a row depend on."""
CURVE_POINTS = 100
BELOW_SEED = 0
"""The seed whose codes all rows above learn from."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """An experiment's folder and what all of its rows share; small enough to hand to a process.

    Attributes:
        folder: Where everything is kept.
        scale: How far below the paper.
        manifest: Of the music.
        digest: Hash of the part of the music that is used.
        precision: "fp32" or "bf16", of every row.
    """

    folder: Path
    scale: Scale
    manifest: Path
    digest: str
    precision: str

    def corpus(self) -> Corpus:
        """The part of the music that is used."""
        return part_of(Corpus.load(self.manifest), self.scale)

    def stack(self, row: Row) -> StackConfig:
        """The row's model at the experiment's scale."""
        return at_scale(row.stack(), self.scale)

    def run(self, row: str, seed: int) -> RunFolder:
        """The run of a row."""
        return RunFolder(self.folder / "rows" / f"{row}-seed{seed}")

    def result_file(self, row: str, seed: int) -> Path:
        """Where a finished row's figures are."""
        return self.folder / "rows" / f"{row}-seed{seed}.json"

    def result(self, row: str, seed: int) -> dict[str, Any] | None:
        """A finished row's figures; None before it is finished."""
        file = self.result_file(row, seed)
        return read_json(file) if file.exists() else None

    def results(self, row: str) -> list[dict[str, Any]]:
        """Figures of all finished seeds of a row, the lowest seed first."""
        files = (self.folder / "rows").glob(f"{row}-seed*.json")
        return sorted((read_json(file) for file in files), key=lambda one: one["seed"])


def open_experiment(
    folder: Path,
    scale: str | None,
    data: Path | None,
    *,
    progress: Progress | None = None,
) -> Experiment:
    """The experiment in `folder`, begun now if there is none.

    Args:
        folder: Where everything is kept.
        scale: Name of the scale; None takes the folder's, or "mini".
        data: Folder of audio or manifest; None takes the folder's.
        progress: Called while a folder of audio is scanned.

    Raises:
        ConfigError: The folder holds an experiment of another scale or other music, or rows
            trained with other numbers than the scale now has, or there is neither music nor a
            begun experiment. What is in the folder stays as it was.
        DataError: No usable recordings.
    """
    file = folder / EXPERIMENT_FILE
    known = read_json(file) if file.exists() else {}
    chosen = find_scale(scale or known.get("scale", "mini"))
    if known and chosen.name != known["scale"]:
        raise ConfigError(
            f"{folder} holds an experiment at scale {known['scale']}, not {chosen.name}; give "
            "another folder, or the same scale to go on"
        )
    if data is None and not known:
        raise ConfigError(f"{folder} holds no experiment yet; say what to learn from with --data")
    if known:
        _refuse_other_sizes(folder, chosen, from_dict(Scale, known["sizes"]))
    _refuse_other_steps(folder, chosen)
    corpus, manifest = _music(folder, data, chosen, known, progress)
    experiment = Experiment(
        folder=folder,
        scale=chosen,
        manifest=manifest.resolve(),
        digest=corpus.digest,
        precision=known.get("precision") or training_precision(),
    )
    told = {
        "scale": chosen.name,
        "sizes": to_dict(chosen),
        "manifest": str(experiment.manifest),
        "digest": experiment.digest,
        "precision": experiment.precision,
        "music": music(corpus),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_json(file, told)
    return experiment


def _refuse_other_sizes(folder: Path, ours: Scale, known: Scale) -> None:
    """Refuse to go on where the scale of that name has become another one."""
    for name in TRAINED_BY:
        now, then = getattr(ours, name), getattr(known, name)
        if now != then:
            raise ConfigError(
                f"{folder} holds an experiment at a scale {ours.name} with {name} {then}, which "
                f"now is {now}: rows could not be compared; give another folder"
            )


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


def _music(
    folder: Path,
    data: Path | None,
    scale: Scale,
    known: Mapping[str, Any],
    progress: Progress | None,
) -> tuple[Corpus, Path]:
    """The part of the music that is used, and the manifest of all of it."""
    if data is None or data.is_file():
        manifest = data or Path(known["manifest"])
        corpus = Corpus.load(manifest)
        _refuse_other_music(corpus, manifest, scale, folder, known)
    else:
        manifest = folder / MANIFEST_FILE
        accept = partial(_refuse_other_music, data=data, scale=scale, folder=folder, known=known)
        corpus = scan_anew([data], manifest, accept, progress)
    return part_of(corpus, scale), manifest


def _refuse_other_music(
    corpus: Corpus, data: Path, scale: Scale, folder: Path, known: Mapping[str, Any]
) -> None:
    """Refuse music of which nothing can be used, or other music than the begun experiment's."""
    used = part_of(corpus, scale)
    if not len(used.split("train")):
        raise DataError(f"there is no usable recording to learn from in {data}")
    if known and known["digest"] != used.digest:
        raise ConfigError(
            f"{folder} holds an experiment on other music; give another folder, or the same music"
        )


def row_training(row: Row, stack: StackConfig) -> StageConfig:
    """How the row's own network is trained, of its whole model."""
    return stack.prior.training if row.is_prior else stack.levels[len(row.below)].training


def codes_scored(row: Row, stack: StackConfig) -> int:
    """Codes that the perplexity of an autoencoder's row is of: those of the excerpts it scores."""
    level = stack.levels[len(row.below)]
    excerpts = scored_excerpts(level.training, level.local.receptive_field)
    return excerpts * (level.training.crop // level.hop)


def music(corpus: Corpus) -> dict[str, dict[str, float]]:
    """Recordings and minutes of each split."""
    parts = {name: corpus.split(name) for name in ("train", "valid")}
    return {
        name: {"recordings": len(part), "minutes": round(part.hours * 60, 2)}
        for name, part in parts.items()
    }


def part_of(corpus: Corpus, scale: Scale) -> Corpus:
    """As much of each split as the scale asks for: whole recordings, in the order of their hash."""
    chosen = []
    for split, most_s in (("train", scale.train_s), ("valid", scale.valid_s)):
        taken_s = 0.0
        for recording in sorted(corpus.split(split), key=lambda one: one.audio_sha256):
            if most_s is not None and taken_s >= most_s:
                break
            chosen.append(recording)
            taken_s += recording.duration_s
    return Corpus(chosen)


def training_precision() -> str:
    """bfloat16 on processors that multiply matrices in it; one for all rows of an experiment."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    in_bf16 = capabilities.get("amx_bf16") or capabilities.get("avx512_bf16")
    return "bf16" if in_bf16 or torch.cuda.is_available() else "fp32"


# ------------------------------------------------------------------ one row


def symbols_under(experiment: Experiment, row: Row) -> SymbolCorpus:
    """What a row learns from: the audio, or the codes of the rows it stands on; not filled yet."""
    stack = experiment.stack(row)
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
    """Train a row to its end, from where it was left; whether it got there.

    A row is trained by one process at a time: another one waits, and finds it finished.
    """
    row = find_row(id)
    with exclusive(experiment.folder / "rows" / f"{id}-seed{seed}.lock"):
        if experiment.result(id, seed) is not None:
            return True
        symbols = symbols_under(experiment, row)
        stack, level = experiment.stack(row), len(row.below)
        stage = PriorStage(stack, symbols) if row.is_prior else LevelStage(stack, level, symbols)
        run = experiment.run(id, seed)
        # What a row began before a setting was added to the config has that setting's default.
        run.begin("ada", to_dict(stack), seed, lambda old: to_dict(from_dict(StackConfig, old)))
        _settle(run, stage.name, experiment)
        result = train_chain([stage], run, seed=seed, display=RowDisplay(display, id, seed))
        if not result.finished:
            return False
        network = stack.prior.network if row.is_prior else stack.levels[level].local
        told = {
            "row": id,
            "seed": seed,
            "scale": experiment.scale.name,
            "component": row.component,
            "figures": result.figures[stage.name],
            "steps": result.step,
            "symbols_per_step": stage.config.batch * stage.config.crop,
            "symbol_rate_hz": symbols.rate_hz,
            "seconds": round(result.seconds, 1),
            "parameters": _parameters(stage),
            "receptive_field": network.receptive_field,
            "curve": curve(run.stage(stage.name)),
        }
        write_json(experiment.result_file(id, seed), told)
        return True


def _settle(run: RunFolder, stage: str, experiment: Experiment) -> None:
    """One thread and one precision for every row, so that rows side by side are alike."""
    if run.compute(stage) is None:
        choice = {"threads": 1, "precision": experiment.precision, "seconds_per_step": 0.0}
        run.keep_compute(stage, choice)
    if not run.plan_file.exists():
        Plan(stages={stage: StagePlan(evaluations=experiment.scale.evaluations)}).write(run)


def _parameters(stage: LevelStage | PriorStage) -> int:
    built = stage.build(torch.Generator())
    return sum(part.numel() for module in built.values() for part in module.parameters())


def curve(folder: StageFolder) -> dict[str, list[list[float]]]:
    """NLL over steps: "train" means of some steps each, and "held_out"; pairs (step, nats)."""
    rows = read_metrics_table(folder.metrics)
    trained = _points(rows, "nll")
    blocks = np.array_split(np.array(trained), min(CURVE_POINTS, len(trained))) if trained else []
    means = [[float(step), float(nats)] for step, nats in (block.mean(0) for block in blocks)]
    return {"train": means, "held_out": _points(rows, "eval/nll")}


def _points(rows: list[dict[str, str]], column: str) -> list[list[float]]:
    return [[float(row["step"]), float(row[column])] for row in rows if row.get(column)]


class RowDisplay(Display):
    """Another display, told whose row it is: rows that train side by side share a terminal."""

    def __init__(self, display: Display, row: str, seed: int) -> None:
        """Show through `display`."""
        self._display, self._name = display, f"row {row}, seed {seed}"

    def say(self, text: str) -> None:
        """Pass it on with the row's name."""
        self._display.say(f"{self._name}: {text}")

    def report(self, report: Report) -> None:
        """Pass it on with the row's name."""
        self._display.report(replace(report, stage=self._name))

    def close(self) -> None:
        """Leave the display open for the next row; who made it closes it."""


def whole_model(experiment: Experiment, row: Row) -> AdaStack:
    """The row's model, put together from the networks of its rows, all of seed 0."""
    stack, top = experiment.stack(row), experiment.run(trained(row.id).id, BELOW_SEED).model
    levels = [
        load_level(experiment.run(below, BELOW_SEED).model, index, stack)
        for index, below in enumerate(row.below)
    ]
    return AdaStack(stack, levels, load_prior(top, stack))
