"""From the name of a model to a system that plays, and what a system is able to do."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ritornello.checkpoint import find_model, read_config, weights_hash
from ritornello.config import nearest
from ritornello.errors import CapabilityError, CheckpointError
from ritornello.interfaces import Request, System
from ritornello.systems import SYSTEMS, SystemEntry, names_with


@dataclass(frozen=True, kw_only=True)
class FoundModel:
    """A model folder and whose system it is, before its weights are read.

    Attributes:
        name: As the user wrote it: a shipped name, a model folder or a run folder.
        folder: The model folder itself.
        system: Name of its system in `systems.SYSTEMS`.
    """

    name: str
    folder: Path
    system: str

    @property
    def entry(self) -> SystemEntry:
        """The system's row in the table of systems."""
        return SYSTEMS[self.system]

    @property
    def weights_sha256(self) -> str:
        """What identifies the weights, whatever the folder is called."""
        return weights_hash(self.folder)

    def require(self, needs: frozenset[str]) -> None:
        """Raise CapabilityError, naming systems that can, unless the system has all of `needs`."""
        for need in sorted(needs - self.entry.capabilities):
            able = ", ".join(names_with(need))
            raise CapabilityError(
                f"{self.name} is a {self.system} model, which cannot do {need!r}; systems that "
                f"can: {able or 'none in this version'}"
            )

    def check(self, request: Request) -> None:
        """Raise CapabilityError for a request that needs what the system cannot do."""
        self.require(request.needs())

    def options(self, **values: Any) -> Any:
        """The system's own `Options`, for what systems do not share."""
        return _generate_module(self.entry).Options(**values)

    def load(self) -> System:
        """The system with its weights, ready to play."""
        system_class = getattr(_generate_module(self.entry), self.entry.system_class)
        return system_class.load(self.folder)


def find(model: str | Path) -> FoundModel:
    """The model meant by a shipped name, a model folder or a run folder.

    Raises:
        CheckpointError: There is none, or it is of a system that this version does not have.
    """
    folder = find_model(model)
    system = read_config(folder)["system"]
    if system not in SYSTEMS:
        raise CheckpointError(
            f"{folder} is a {system!r} model; this version of ritornello has "
            f"{', '.join(SYSTEMS)} ({nearest(system, SYSTEMS)})"
        )
    return FoundModel(name=str(model), folder=folder, system=system)


def load(model: str | Path = "piano") -> System:
    """The system saved under a shipped name, in a model folder or in a run folder."""
    return find(model).load()


def _generate_module(entry: SystemEntry) -> Any:
    return importlib.import_module(f"{entry.package}.generate")
