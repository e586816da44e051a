"""The folder of a tuning: which settings and music are its own, and the task they make.

A population is a function of both, and so is every path that is trained again: a folder goes on
with nothing else. The manifest lies outside the caches, which may be deleted.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ritornello.ada.config import StackConfig
from ritornello.ada.tune_member import Task
from ritornello.ada.tune_population import TuneRules
from ritornello.checkpoint import read_json
from ritornello.config import from_dict, to_dict
from ritornello.data.corpus import Corpus
from ritornello.errors import CheckpointError, TrainingError
from ritornello.training.run import RunFolder
from ritornello.training.setup import refuse_empty, scan_anew

MANIFEST = "manifest.jsonl"


def begin_tuning(
    run: RunFolder, data: Sequence[Path], config: Mapping[str, Any], seed: int
) -> None:
    """Scan the music and record what is tuned, or check that it is what the folder has begun.

    Args:
        run: The tuning's folder; a manifest of its own gives way only to one of the same music.
        data: Folders of audio.
        config: Settings as JSON values: "stack", "rules" and what else there is.
        seed: Of the population.

    Raises:
        DataError: No usable recordings.
        TrainingError: The folder belongs to other music or other settings.
    """

    def accept(corpus: Corpus) -> None:
        refuse_empty(corpus, data)
        begun = (run.settings() or {}).get("config", {})
        if begun.get("music", corpus.digest) != corpus.digest:
            raise TrainingError(
                f"{run.path} holds a population on other music; give the same music to go on with "
                "it, or another folder"
            )
        run.begin("ada", {**config, "music": corpus.digest}, seed, upgraded)

    scan_anew(data, run.path / MANIFEST, accept)


def upgraded(old: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of an earlier version: what has been added since has its default."""
    kinds = {"stack": StackConfig, "rules": TuneRules}
    return {
        name: to_dict(from_dict(kinds[name], value)) if name in kinds else value
        for name, value in old.items()
    }


def task_of(run: RunFolder) -> Task:
    """What the population of a tuning's folder trains; CheckpointError if it has none."""
    settings = run.settings()
    if settings is None or "rules" not in settings["config"]:
        raise CheckpointError(f"{run.path} is no folder that `ritornello tune ada` has written")
    manifest = run.path / MANIFEST
    if not manifest.exists():
        raise CheckpointError(
            f"{manifest} is missing, which lists the music; the tuning's own command writes it "
            "again"
        )
    config = settings["config"]
    return Task(
        stack=config["stack"],
        index=config["level"] - 1,
        manifest=str(manifest),
        cache=str(run.cache),
        below=config["below"],
        seed=settings["seed"],
        precision=config["precision"],
    )


def finished_result(run: RunFolder) -> dict[str, Any] | None:
    """The result of a finished tuning, with where it lies now; None while it is not finished."""
    file = run.path / "result.json"
    if not file.exists() or not run.model.is_dir():
        return None
    return read_json(file) | {"folder": str(run.path), "model": str(run.model)}
