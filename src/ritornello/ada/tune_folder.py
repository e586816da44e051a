"""The folder of a tuning: which settings and music are its own, and the task they make.

A population is a function of both, and so is every path that is trained again: a folder goes on
with nothing else. The manifest lies outside the caches, which may be deleted.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ritornello.ada.config import StackConfig
from ritornello.ada.tune_member import Task
from ritornello.ada.tune_population import TuneRules
from ritornello.checkpoint import read_json
from ritornello.config import from_dict, to_dict
from ritornello.data.corpus import Corpus
from ritornello.data.jobs import exclusive
from ritornello.errors import CheckpointError, TrainingError
from ritornello.training.run import RunFolder
from ritornello.training.setup import scan_or_refuse

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
    manifest, new = run.path / MANIFEST, run.path / f"new-{MANIFEST}"
    with exclusive(run.path / f"{new.name}.scan.lock"):
        if manifest.exists():  # what is measured already is not measured again
            shutil.copyfile(manifest, new)
        try:
            music = scan_or_refuse(data, new).digest
            if known_music(run) not in (None, music):
                raise TrainingError(
                    f"{run.path} holds a population on other music; give the same music to go on "
                    "with it, or another folder with -o"
                )
            begin(run, {**config, "music": music}, seed)
            new.replace(manifest)
        finally:
            new.unlink(missing_ok=True)


def known_music(run: RunFolder) -> str | None:
    """Hash of the music that the folder has begun with; None if that is not known."""
    config = (run.settings() or {}).get("config", {})
    earlier = run.cache / MANIFEST
    if "rules" in config and "music" not in config and earlier.exists():
        return Corpus.load(earlier).digest
    return config.get("music")


def begin(run: RunFolder, config: Mapping[str, Any], seed: int) -> None:
    """Record `config`, or check that the folder has begun with it.

    Settings that have been added since have their defaults in a folder from before.

    Raises:
        TrainingError: The folder belongs to other settings; names the first that differs.
    """

    def upgraded(old: Mapping[str, Any]) -> Mapping[str, Any]:
        if "rules" not in old:
            return old
        stack = to_dict(from_dict(StackConfig, old["stack"]))
        rules = to_dict(from_dict(TuneRules, old["rules"]))
        return {"music": config.get("music"), **old, "stack": stack, "rules": rules}

    try:
        run.begin("ada", config, seed, upgraded)
    except TrainingError as error:
        # Folders of runs are given with --run, this verb's with -o.
        told = str(error).replace("another --run folder", "another folder with -o")
        raise TrainingError(told) from None


def task_of(run: RunFolder) -> Task:
    """What the population of a tuning's folder trains; CheckpointError if it has none."""
    settings = run.settings()
    if settings is None or "rules" not in settings["config"]:
        raise CheckpointError(f"{run.path} is no folder that `ritornello tune ada` has written")
    places = run.path / MANIFEST, run.cache / MANIFEST  # the second: folders from before
    manifest = next((place for place in places if place.exists()), None)
    if manifest is None:
        raise CheckpointError(
            f"{places[0]} is missing, which lists the music; the tuning's own command writes it "
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
