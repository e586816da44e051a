"""The folder of a training run: what is kept, where, and how it survives a kill at any moment.

RUN/config.json     system, resolved config, seed, and the chosen threads and precision per stage
RUN/plan.json       time limit, steps per stage, time spent, every change of plan
RUN/cache/          latents and codes; may be deleted, is made again
RUN/model/          the trained model, playable when the last stage has been evaluated once
RUN/STAGE/state/    the two newest training states
RUN/lock            there while a process trains
RUN/STAGE/          metrics.csv, curves.png, samples/, finished.json
"""

import logging
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ritornello.checkpoint import (
    finite,
    read_json,
    read_tensors,
    verify,
    whole_folder,
    write_checksums,
    write_json,
    write_tensors,
)
from ritornello.data.jobs import exclusive
from ritornello.errors import CheckpointError, TrainingError
from ritornello.training.state import TrainState

KEPT_STATES = 2
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageFolder:
    """What one stage keeps inside a run."""

    path: Path

    @property
    def states(self) -> Path:
        """Folder of the saved training states."""
        return self.path / "state"

    @property
    def metrics(self) -> Path:
        """Losses and figures by step."""
        return self.path / "metrics.csv"

    @property
    def curves(self) -> Path:
        """Picture of `metrics`."""
        return self.path / "curves.png"

    @property
    def samples(self) -> Path:
        """Audio and spectrograms written while training."""
        return self.path / "samples"

    def save(self, state: TrainState, notes: Mapping[str, Any]) -> Path:
        """Write `state` and `notes` whole or not at all; the older of three states goes.

        `notes` is what the loop wants back on resuming; anything JSON can hold.
        """
        place = self.states / f"step-{state.step:09d}"
        with whole_folder(place) as folder:
            write_tensors(folder / "state.safetensors", state.tensors())
            write_json(folder / "state.json", {"counters": state.counters(), "notes": dict(notes)})
            write_checksums(folder)
        for old in self._saved()[:-KEPT_STATES]:
            shutil.rmtree(old)
        state.last_saved = place
        return place

    def restore(self, state: TrainState) -> dict[str, Any] | None:
        """Bring `state` to the newest saved state; its notes, or None when nothing was saved.

        A damaged state is passed over, with a warning, for the one before it.
        """
        damaged: list[str] = []
        for place in reversed(self._saved()):
            try:
                tensors, numbers = self._read(place)
            except CheckpointError as error:
                log.warning("%s; trying the state before it", error)
                damaged.append(str(error))
                continue
            state.restore(tensors, numbers["counters"])
            state.last_saved = place
            return numbers["notes"]
        if damaged:
            raise TrainingError(
                f"No saved state in {self.states} can be read: {'; '.join(damaged)}. Delete that "
                "folder to train this stage from its start."
            )
        return None

    def _read(self, place: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and numbers of one saved state, verified."""
        verify(place)
        return read_tensors(place / "state.safetensors"), read_json(place / "state.json")

    def _saved(self) -> list[Path]:
        """Complete saved states, oldest first."""
        return sorted(self.states.glob("step-*"))

    @property
    def finished(self) -> bool:
        """Whether the stage reached the end of its plan."""
        return (self.path / "finished.json").exists()

    def finish(self, step: int, figures: Mapping[str, float]) -> None:
        """Record that the stage ended at `step` with these figures."""
        write_json(self.path / "finished.json", {"step": step, "figures": finite(figures)})

    def reopen(self) -> None:
        """Forget that the stage was finished."""
        (self.path / "finished.json").unlink(missing_ok=True)

    def finished_step(self) -> int:
        """The step the stage finished at."""
        return read_json(self.path / "finished.json")["step"]

    def figures(self) -> dict[str, float | None]:
        """The figures the stage finished with."""
        return read_json(self.path / "finished.json")["figures"]


@dataclass(frozen=True)
class RunFolder:
    """A training run on disk."""

    path: Path

    @property
    def model(self) -> Path:
        """The model folder that the stages export into."""
        return self.path / "model"

    @property
    def cache(self) -> Path:
        """Default place of latents and codes."""
        return self.path / "cache"

    @property
    def plan_file(self) -> Path:
        """Where the plan is recorded."""
        return self.path / "plan.json"

    def held(self) -> AbstractContextManager[None]:
        """Keep other processes from training this run; a killed process lets go of it.

        Raises:
            TrainingError: On entering, if another process trains it.
        """
        busy = TrainingError(
            f"{self.path} is being trained by another process. Wait until it ends, stop it (it "
            "saves what it has), or give another --run folder."
        )
        return exclusive(self.path / "lock", busy)

    def stage(self, name: str) -> StageFolder:
        """The folder of the stage `name`."""
        return StageFolder(self.path / name)

    def begin(
        self,
        system: str,
        config: Mapping[str, Any],
        seed: int,
        upgrade: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
    ) -> None:
        """Record what this run trains, or check that it is what the run has trained so far.

        Args:
            system: Name of the system.
            config: Its settings, as JSON values.
            seed: Of the run.
            upgrade: What settings that an older version wrote mean in this one.

        Raises:
            TrainingError: If the run belongs to other settings; names the first that differs.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        asked = {"system": system, "seed": seed, "config": dict(config)}
        known = self.settings()
        if known is None:
            write_json(self.path / "config.json", asked | {"compute": {}})
            return
        if known["system"] == system:
            known["config"] = upgrade(known["config"])
        difference = _first_difference(asked, known, "")
        if difference:
            raise TrainingError(
                f"{self.path} belongs to other settings: {difference}. Repeat the run's own "
                "settings to resume it, or give another folder."
            )

    def settings(self) -> dict[str, Any] | None:
        """The run's config.json, None before the first start."""
        path = self.path / "config.json"
        return read_json(path) if path.exists() else None

    def compute(self, stage: str) -> dict[str, Any] | None:
        """Threads and precision chosen for `stage`, None before its probe."""
        return (self.settings() or {}).get("compute", {}).get(stage)

    def keep_compute(self, stage: str, choice: Mapping[str, Any]) -> None:
        """Keep threads and precision of `stage` in the run's config."""
        self.path.mkdir(parents=True, exist_ok=True)
        settings = self.settings() or {}
        compute = settings.get("compute", {}) | {stage: dict(choice)}
        write_json(self.path / "config.json", settings | {"compute": compute})


def _first_difference(asked: Any, known: Any, path: str) -> str | None:
    """Where `asked` says other than `known`, in words; what `asked` leaves out is not compared."""
    if isinstance(asked, Mapping) and isinstance(known, Mapping):
        for key, value in asked.items():
            below = f"{path}.{key}".lstrip(".")
            if key not in known:
                return f"{below} is new"
            difference = _first_difference(value, known[key], below)
            if difference:
                return difference
        return None
    if isinstance(asked, list | tuple) and isinstance(known, list | tuple):
        if len(asked) != len(known):
            return f"{path} has {len(asked)} entries, the run has {len(known)}"
        # Counted from 1, as overrides count: levels.1.batch.
        pairs = (
            _first_difference(value, known[index], f"{path}.{index + 1}")
            for index, value in enumerate(asked)
        )
        return next((difference for difference in pairs if difference), None)
    return None if asked == known else f"{path} is {asked!r}, the run has {known!r}"
