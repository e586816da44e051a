"""A paper's experiments in one folder: what all rows share, and training one of them to its end.

    FOLDER/experiment.json          scale, music and precision; another one is refused
    FOLDER/manifest.jsonl           the music, where it was given as a folder of audio
    FOLDER/rows/ROW-seed0/          the run of a row: resumable, with its model
    FOLDER/rows/ROW-seed0.json      its figures, once it is finished

What rows there are, and what each of them trains, is the paper's. All are computed on one thread
and in one precision, so that rows side by side are alike.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from ritornello.checkpoint import read_json, write_json
from ritornello.config import from_dict, to_dict
from ritornello.data.corpus import Corpus
from ritornello.data.jobs import Progress, exclusive
from ritornello.errors import ConfigError, DataError
from ritornello.interfaces import Stage
from ritornello.training.logs import Display, Report, read_metrics_table
from ritornello.training.loop import train_chain
from ritornello.training.plan import Plan, StagePlan
from ritornello.training.run import RunFolder, StageFolder
from ritornello.training.scales import Scale
from ritornello.training.setup import scan_anew

EXPERIMENT_FILE, MANIFEST_FILE = "experiment.json", "manifest.jsonl"
DEFAULT_SCALE = "mini"
CURVE_POINTS = 100

AnyScale = TypeVar("AnyScale", bound=Scale)


@dataclass(frozen=True, kw_only=True)
class Experiment(Generic[AnyScale]):
    """An experiment's folder and what all of its rows share; small enough to hand to a process.

    Attributes:
        folder: Where everything is kept.
        scale: How far below the paper.
        manifest: Of the music.
        digest: Hash of the part of the music that is used.
        precision: "fp32" or "bf16", of every row.
    """

    folder: Path
    scale: AnyScale
    manifest: Path
    digest: str
    precision: str

    def corpus(self) -> Corpus:
        """The part of the music that is used."""
        return part_of(Corpus.load(self.manifest), self.scale)

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


def music(corpus: Corpus) -> dict[str, dict[str, float]]:
    """Recordings and minutes of each split."""
    parts = {name: corpus.split(name) for name in ("train", "valid")}
    return {
        name: {"recordings": len(part), "minutes": round(part.hours * 60, 2)}
        for name, part in parts.items()
    }


def training_precision() -> str:
    """bfloat16 on processors that multiply matrices in it; one for all rows of an experiment."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    in_bf16 = capabilities.get("amx_bf16") or capabilities.get("avx512_bf16")
    return "bf16" if in_bf16 or torch.cuda.is_available() else "fp32"


# ------------------------------------------------------------------ opening


def open_experiment(
    folder: Path,
    scale: str | None,
    data: Path | None,
    find_scale: Callable[[str], AnyScale],
    *,
    accept: Callable[[AnyScale], None] | None = None,
    progress: Progress | None = None,
) -> Experiment[AnyScale]:
    """The experiment in `folder`, begun now if there is none.

    Args:
        folder: Where everything is kept.
        scale: Name of the scale; None takes the folder's, or "mini".
        data: Folder of audio or manifest; None takes the folder's.
        find_scale: The paper's scales by name.
        accept: Called with the scale before anything is written; raises what it has against the
            rows in the folder.
        progress: Called while a folder of audio is scanned.

    Raises:
        ConfigError: The folder holds an experiment of another scale or other music, or rows
            trained with other numbers than the scale now has, or there is neither music nor a
            begun experiment. What is in the folder stays as it was.
        DataError: No usable recordings.
    """
    file = folder / EXPERIMENT_FILE
    known = read_json(file) if file.exists() else {}
    chosen = find_scale(scale or known.get("scale", DEFAULT_SCALE))
    if known and chosen.name != known["scale"]:
        raise ConfigError(
            f"{folder} holds an experiment at scale {known['scale']}, not {chosen.name}; give "
            "another folder, or the same scale to go on"
        )
    if data is None and not known:
        raise ConfigError(f"{folder} holds no experiment yet; say what to learn from with --data")
    if known:
        _refuse_other_sizes(folder, chosen, from_dict(type(chosen), known["sizes"]))
    if accept is not None:
        accept(chosen)
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
    for name in ours.trained_by:
        now, then = getattr(ours, name), getattr(known, name)
        if now != then:
            raise ConfigError(
                f"{folder} holds an experiment at a scale {ours.name} with {name} {then}, which "
                f"now is {now}: rows could not be compared; give another folder"
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


# ------------------------------------------------------------------ one row


@dataclass(frozen=True, kw_only=True)
class RowWork:
    """What training a row is.

    Attributes:
        stage: The network and how it is trained.
        system: Name of the system.
        config: The row's whole model as JSON values.
        upgrade: What settings that an older version wrote mean in this one.
        curve_of: Columns of the metrics that become the curve: trained on, and held out.
        told: What the row's figures say besides.
    """

    stage: Stage
    system: str
    config: Mapping[str, Any]
    upgrade: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    curve_of: tuple[str, str]
    told: Mapping[str, Any] = field(default_factory=dict)


def train_row(
    experiment: Experiment[Any],
    id: str,
    seed: int,
    make: Callable[[], RowWork],
    display: Display,
) -> bool:
    """Train a row to its end, from where it was left; whether it got there.

    A row is trained by one process at a time: another one waits, and finds it finished.

    Args:
        experiment: Where.
        id: Name of the row.
        seed: Its seed.
        make: Gives the work; called where the row is not finished.
        display: Where it is shown.
    """
    with exclusive(experiment.folder / "rows" / f"{id}-seed{seed}.lock"):
        if experiment.result(id, seed) is not None:
            return True
        work, run = make(), experiment.run(id, seed)
        stage = work.stage
        run.begin(work.system, work.config, seed, work.upgrade)
        _settle(run, stage.name, experiment)
        result = train_chain([stage], run, seed=seed, display=RowDisplay(display, id, seed))
        if not result.finished:
            return False
        told = {
            "row": id,
            "seed": seed,
            "scale": experiment.scale.name,
            "figures": result.figures[stage.name],
            "steps": result.step,
            "seconds": round(result.seconds, 1),
            "parameters": _parameters(stage),
            "curve": curve(run.stage(stage.name), *work.curve_of),
        }
        write_json(experiment.result_file(id, seed), told | dict(work.told))
        return True


def _settle(run: RunFolder, stage: str, experiment: Experiment[Any]) -> None:
    """One thread and one precision for every row, so that rows side by side are alike."""
    if run.compute(stage) is None:
        choice = {"threads": 1, "precision": experiment.precision, "seconds_per_step": 0.0}
        run.keep_compute(stage, choice)
    if not run.plan_file.exists():
        Plan(stages={stage: StagePlan(evaluations=experiment.scale.evaluations)}).write(run)


def _parameters(stage: Stage) -> int:
    built = stage.build(torch.Generator())
    return sum(part.numel() for module in built.values() for part in module.parameters())


def curve(folder: StageFolder, trained: str, held_out: str) -> dict[str, list[list[float]]]:
    """Two columns over steps: "train", means of some steps each, and "held_out"; pairs (step, y).

    Args:
        folder: Of a stage.
        trained: Column of what is trained on.
        held_out: Column of what is held out.
    """
    rows = read_metrics_table(folder.metrics)
    points = _points(rows, trained)
    blocks = np.array_split(np.array(points), min(CURVE_POINTS, len(points))) if points else []
    means = [[float(step), float(value)] for step, value in (block.mean(0) for block in blocks)]
    return {"train": means, "held_out": _points(rows, held_out)}


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
