"""Every error the library raises on purpose, under one root.

A message says what was got, what was expected, and what to do next. Assertions are for internal
invariants only; a user never sees one for a wrong input.
"""


class RitornelloError(Exception):
    """Root of all errors raised on purpose; the command line prints it as one line and exits 1."""


class AudioError(RitornelloError):
    """A file or array that is not audio we can use (unreadable, empty, NaN, too many channels)."""


class ConfigError(RitornelloError):
    """A setting that is unknown, of the wrong type, or outside its range."""


class CheckpointError(RitornelloError):
    """A model folder that is incomplete, altered, of another version, or does not fit."""


class DataError(RitornelloError):
    """A dataset that is missing, empty, too short, or changed under a cache."""


class TrainingError(RitornelloError):
    """Training that cannot go on (NaN, divergence, a run that belongs to other settings)."""


class CapabilityError(RitornelloError):
    """A request for something this system cannot do; names the systems that can."""


class MissingDependencyError(RitornelloError):
    """An optional package or program that the asked feature needs and that is not installed."""

    def __init__(self, feature: str, package: str, install: str) -> None:
        """Say which feature needs which package and the one command that installs it."""
        super().__init__(
            f"{feature} needs {package}, which is not installed. Install it: {install}"
        )
