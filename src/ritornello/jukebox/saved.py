"""Takes on the disk: the codes of every finished window, so that nothing has to be drawn twice.

    TAKE/
      take.json                      what it is made of: model, request, kernels, beginning
      beginning.safetensors          the codes it begins with, if any
      level2/000000.safetensors ...  the codes that each window drew

Every file is written under another name and renamed when it is complete. The same order finds its
windows again and goes on behind them, bit for bit; another order is refused. A finished take can be
upsampled from its top codes, or gone on with.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ritornello.checkpoint import read_json, read_tensors, write_json, write_tensors
from ritornello.errors import CheckpointError, ConfigError
from ritornello.jukebox.code_transformer import LevelCodes

FORMAT = "ritornello-jukebox-take-1"
TAKE, BEGINNING = "take.json", "beginning.safetensors"


def level_name(level: int) -> str:
    """Folder of a level's windows, and tensor of what it begins with."""
    return f"level{level}"


def digest_of(tensors: Mapping[str, torch.Tensor]) -> str:
    """A sha256 (hex) over named tensors."""
    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def _write(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write a file, whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write_tensors(partial, tensors)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True)
class SavedTake:
    """One take being made; a `sampling.Store`.

    Attributes:
        folder: Where it lies.
    """

    folder: Path

    @classmethod
    def open(
        cls, folder: Path, made_of: Mapping[str, Any], beginning: Mapping[int, LevelCodes]
    ) -> "SavedTake":
        """Begin a take in `folder`, or go on with the same one.

        Args:
            folder: Made when it is not there.
            made_of: Everything that decides the codes, as JSON can hold it.
            beginning: Codes by level that it begins with.

        Raises:
            ConfigError: Another take is there, or something else.
        """
        named = {level_name(level): codes for level, codes in beginning.items()}
        wanted = {"format": FORMAT, **made_of, "begins_with": digest_of(named)}
        place = folder / TAKE
        if place.is_file():
            found = _read_take(folder)
            for name in sorted(wanted.keys() | found.keys()):
                if found.get(name) != wanted.get(name):
                    raise ConfigError(
                        f"{folder} holds a take with {name} {found.get(name)!r}; this one has "
                        f"{wanted.get(name)!r}. Give the same flags to go on with it, or another "
                        "folder."
                    )
            return cls(folder=folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(
                f"{folder} is there and holds no take; expected a new or empty folder"
            )
        folder.mkdir(parents=True, exist_ok=True)
        if named:
            _write(folder / BEGINNING, named)
        write_json(place, wanted)
        return cls(folder=folder)

    def get(self, level: int, index: int) -> LevelCodes | None:
        """The codes of a finished window; None when it is not."""
        path = self._window(level, index)
        return read_tensors(path)["codes"].long() if path.is_file() else None

    def put(self, level: int, index: int, codes: LevelCodes) -> None:
        """Keep the codes of a finished window."""
        path = self._window(level, index)
        path.parent.mkdir(exist_ok=True)
        _write(path, {"codes": codes.to(torch.int32)})

    def _window(self, level: int, index: int) -> Path:
        return self.folder / level_name(level) / f"{index:06d}.safetensors"


def read_take(folder: Path, levels: int, codebooks: str) -> dict[int, LevelCodes]:
    """All codes of a take by level, from its beginning on; levels without any are left out.

    Args:
        folder: The take.
        levels: Levels of the model.
        codebooks: Digest of the codebooks that the codes must be of.

    Raises:
        ConfigError: There is no take, or it is of other codebooks.
        CheckpointError: A window between others is missing, or a file is damaged.
    """
    if not (folder / TAKE).is_file():
        raise ConfigError(f"{folder} holds no take; expected a folder that --save wrote")
    if _read_take(folder).get("codebooks") != codebooks:
        raise ConfigError(
            f"the codes in {folder} were made with other codebooks than this model's. Use the "
            "model that made them."
        )
    begins = read_tensors(folder / BEGINNING) if (folder / BEGINNING).is_file() else {}
    taken = {}
    for level in range(levels):
        name = level_name(level)
        paths = sorted((folder / name).glob("[0-9]*.safetensors"))
        if [path.stem for path in paths] != [f"{index:06d}" for index in range(len(paths))]:
            raise CheckpointError(f"{folder / name} lacks windows between others; make it again")
        parts = [begins[name]] if name in begins else []
        parts += [read_tensors(path)["codes"].long() for path in paths]
        if parts:
            taken[level] = torch.cat(parts, 1)
    return taken


def skipped_s(folder: Path) -> float:
    """Seconds of its piece that lie before a take's first code."""
    return float(_read_take(folder).get("skipped_s", 0.0))


def _read_take(folder: Path) -> dict[str, Any]:
    found = read_json(folder / TAKE)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise CheckpointError(f"{folder / TAKE} is not of format {FORMAT}")
    return found
