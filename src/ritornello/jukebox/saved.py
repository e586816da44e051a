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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ritornello.checkpoint import read_json, read_tensors, write_json, write_tensors
from ritornello.errors import CheckpointError, ConfigError
from ritornello.interfaces import Request, Section
from ritornello.jukebox.code_transformer import LevelCodes
from ritornello.jukebox.windows import Window

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
        sizes: Of the codebooks, by level.
    """

    folder: Path
    sizes: Sequence[int]

    @classmethod
    def open(
        cls,
        folder: Path,
        made_of: Mapping[str, Any],
        beginning: Mapping[int, LevelCodes],
        sizes: Sequence[int],
    ) -> "SavedTake":
        """Begin a take in `folder`, or go on with the same one.

        Args:
            folder: Made when it is not there.
            made_of: Everything that decides the codes, as JSON can hold it.
            beginning: Codes by level that it begins with.
            sizes: Of the codebooks, by level.

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
            return cls(folder=folder, sizes=sizes)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(
                f"{folder} is there and holds no take; expected a new or empty folder"
            )
        folder.mkdir(parents=True, exist_ok=True)
        if named:
            _write(folder / BEGINNING, named)
        write_json(place, wanted)
        return cls(folder=folder, sizes=sizes)

    def get(self, level: int, window: Window) -> LevelCodes | None:
        """The codes of a finished window; None when it is not.

        Raises:
            CheckpointError: The file holds something else.
        """
        path = self._window(level, window.index)
        if not path.is_file():
            return None
        return _window_codes(path, self.sizes[level], window.end - window.known)

    def put(self, level: int, index: int, codes: LevelCodes) -> None:
        """Keep the codes of a finished window."""
        path = self._window(level, index)
        path.parent.mkdir(exist_ok=True)
        _write(path, {"codes": codes.to(torch.int32)})

    def _window(self, level: int, index: int) -> Path:
        return self.folder / level_name(level) / f"{index:06d}.safetensors"


def _window_codes(path: Path, size: int, count: int | None = None) -> LevelCodes:
    """The codes in the file of a window.

    Args:
        path: The file.
        size: Of the codebook.
        count: Codes in it; None for any number from 1 on.

    Raises:
        CheckpointError: It is damaged, or holds anything else.
    """
    tensors = read_tensors(path)
    found = ", ".join(
        f"{name} {tuple(one.shape)} of {one.dtype}" for name, one in sorted(tensors.items())
    )
    expected = f"codes (1, {count or 'any'}) of torch.int32 from 0 to {size - 1}"
    codes = tensors.get("codes")
    if codes is not None and codes.numel():
        found += f" from {codes.min()} to {codes.max()}"
        fits = codes.dtype == torch.int32 and codes.shape == (1, count or codes.shape[-1])
        if fits and codes.min() >= 0 and codes.max() < size:
            return codes.long()
    raise CheckpointError(
        f"{path} holds {found or 'nothing'}; expected {expected}. Delete this file, and make the "
        "take again with its own flags, to draw the window again."
    )


def read_take(folder: Path, sizes: Sequence[int], codebooks: str) -> dict[int, LevelCodes]:
    """All codes of a take by level, from its beginning on; levels without any are left out.

    Args:
        folder: The take.
        sizes: Of the model's codebooks, by level.
        codebooks: Digest of the codebooks that the codes must be of.

    Raises:
        ConfigError: There is no take, or it is of other codebooks.
        CheckpointError: A window between others is missing, or a file is damaged or holds other
            codes than were drawn.
    """
    if not (folder / TAKE).is_file():
        raise ConfigError(f"{folder} holds no take; expected a folder that --save wrote")
    take = _read_take(folder)
    if take.get("codebooks") != codebooks:
        raise ConfigError(
            f"the codes in {folder} were made with other codebooks than this model's. Use the "
            "model that made them."
        )
    begins = read_tensors(folder / BEGINNING) if (folder / BEGINNING).is_file() else {}
    if digest_of(begins) != take.get("begins_with"):
        raise CheckpointError(
            f"{folder / BEGINNING} does not hold the codes that the take begins with; make it again"
        )
    taken = {}
    for level, size in enumerate(sizes):
        name = level_name(level)
        paths = sorted((folder / name).glob("[0-9]*.safetensors"))
        if [path.stem for path in paths] != [f"{index:06d}" for index in range(len(paths))]:
            raise CheckpointError(f"{folder / name} lacks windows between others; make it again")
        parts = [_window_codes(path, size) for path in paths]
        hop = parts[0].shape[1] if parts else 0
        for path, part in zip(paths, parts, strict=True):
            # Every window draws one hop, and the last one of a piece what is left of it.
            if part.shape[1] > hop or (part.shape[1] < hop and path != paths[-1]):
                raise CheckpointError(
                    f"{path} holds {part.shape[1]} codes; expected {hop}, as in the first window. "
                    "Delete this file, and make the take again with its own flags, to draw the "
                    "window again."
                )
        parts = [begins[name], *parts] if name in begins else parts
        if parts:
            taken[level] = torch.cat(parts, 1)
    return taken


def told_of(folder: Path) -> Request:
    """What a take was told: its labels, lyrics and form.

    Raises:
        CheckpointError: The take's record of it cannot be read.
    """
    take = _read_take(folder)
    try:
        asked = take["request"]
        sections = tuple(Section(**section) for section in asked["form"])
        return Request(labels=dict(asked["labels"]), lyrics=asked["lyrics"], form=sections)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{folder / TAKE} does not say what was asked for ({error!r}); make the take again"
        ) from error


def skipped_s(folder: Path) -> float:
    """Seconds of its piece that lie before a take's first code."""
    return float(_read_take(folder).get("skipped_s", 0.0))


def _read_take(folder: Path) -> dict[str, Any]:
    found = read_json(folder / TAKE)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise CheckpointError(f"{folder / TAKE} is not of format {FORMAT}")
    return found
