"""Components that a run takes over from another model and does not train: copied once, kept as is.

A chain trains its components in order, each from what the ones before it make of the music. Taken
ones stand in for trained ones; a run that began with some must go on with the same.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ritornello.checkpoint import whole_folder, write_checksums, write_config
from ritornello.errors import ConfigError
from ritornello.training.run import RunFolder


def refuse_other_shapes(start: Path, pairs: Mapping[str, tuple[Any, Any]]) -> None:
    """Refuse to take weights over into networks of another shape.

    Args:
        start: The model they are from.
        pairs: By name: what is configured here, and what it is there.

    Raises:
        ConfigError: Names the first that differs.
    """
    for name, (ours, theirs) in pairs.items():
        if ours != theirs:
            raise ConfigError(
                f"{name} is {ours}, {start} has {theirs}; weights cannot be taken over into "
                "another shape. Leave that setting as it is, or train without them."
            )


def refuse_other_beginning(run: RunFolder, names: Sequence[str], taken: Sequence[str]) -> None:
    """Refuse to resume a run as if it had begun otherwise: its components would be lost.

    Args:
        run: The run.
        names: Of the components that may be taken over.
        taken: Those that are.

    Raises:
        ConfigError: The run trained one that is now given, or was given one that is not now.
    """
    for name in names:
        trained = run.stage(name).path.exists()
        if trained and name in taken:
            raise ConfigError(
                f"{run.path} trains its own {name}; --from and --from-codec begin a run of their "
                "own. Give another --run folder."
            )
        if not trained and name not in taken and (run.model / name).is_dir():
            raise ConfigError(
                f"{run.path} has taken {name} over from another model; repeat the --from or "
                "--from-codec it was begun with to resume it."
            )


def refuse_gap(
    stage: str | None, needs: Sequence[str], taken: Sequence[str], run: RunFolder
) -> None:
    """Refuse to train `stage` alone before the components whose codes it is trained on.

    Args:
        stage: What was asked for; None for the whole chain.
        needs: Components that have to be there first.
        taken: Components that are taken over.
        run: The run.

    Raises:
        ConfigError: Names the component to train first.
    """
    for name in needs if stage is not None else ():
        if name not in taken and not (run.model / name).is_dir():
            raise ConfigError(
                f"{stage} is trained on codes that {run.path} does not have yet: train {name} "
                f"first, with --stage {name}, or leave --stage out to train all in order"
            )


def take_components(
    start: Path, taken: Sequence[str], run: RunFolder, system: str, config: dict[str, Any]
) -> None:
    """Copy components of the model in `start` into the run's model, once."""
    if all((run.model / name).is_dir() for name in taken):
        return
    with whole_folder(run.model, keep=True) as folder:
        for name in taken:
            shutil.copytree(start / name, folder / name)
        write_config(folder, system, config)
        write_checksums(folder)
