"""Arrays on disk that survive being killed: one growing file per field, and an index to trust.

Each field's file holds the arrays of all recordings one after the other. `index.jsonl` says what is
where: a header (the key the arrays were made with, the fields), then a line per finished recording.
A line is written only after its arrays are on disk; whatever lies behind the last line is the rest
of an interrupted write and is cut off before the next one. So a killed fill goes on where it was,
and a store made with another key (other codec weights, other settings) is emptied and made again.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ritornello.errors import ConfigError, DataError

FORMAT = "ritornello-cache-1"
DTYPES = ("float16", "float32", "int16", "uint8", "uint16", "int64")


@dataclass(frozen=True, kw_only=True)
class FieldSpec:
    """What one field stores for each frame: an array of `shape_per_frame` in `dtype`."""

    shape_per_frame: tuple[int, ...] = ()
    dtype: str = "float16"

    def __post_init__(self) -> None:
        """Refuse types that the cache does not store."""
        if self.dtype not in DTYPES:
            raise ConfigError(f"dtype is {self.dtype!r}; expected one of {', '.join(DTYPES)}")
        if any(size < 1 for size in self.shape_per_frame):
            raise ConfigError(f"shape_per_frame is {self.shape_per_frame}; expected sizes >= 1")

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame."""
        return int(np.prod(self.shape_per_frame, dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Where a recording's frames are: `frames` of them from `offset` on, in every field.

    A recording is known by its decoded audio: renamed or copied, its arrays are the same.
    """

    audio_sha256: str
    offset: int
    frames: int


class Store:
    """The files of a cache: what is trusted, what is cut off, what is appended."""

    def __init__(self, folder: Path, key: str, fields: Mapping[str, FieldSpec]) -> None:
        self.folder = folder
        self.fields = fields
        self.index = folder / "index.jsonl"
        described = {name: asdict(spec) for name, spec in sorted(fields.items())}
        header = {"format": FORMAT, "key": key, "fields": described}
        self.header = json.dumps(header, sort_keys=True)
        self.entries: dict[str, Entry] = {}
        self.end = 0

    def data_file(self, name: str) -> Path:
        """The file with the arrays of field `name`."""
        return self.folder / f"{name}.bin"

    def read(self) -> dict[str, Entry]:
        """The entries to trust: an unbroken chain from the start, all inside the data files."""
        header, *lines = self._index_lines()
        if header != self.header:
            return {}
        stored = min(self._stored_frames(name) for name in self.fields)
        entries: dict[str, Entry] = {}
        end = 0
        for line in lines[:-1]:  # What follows the last line break is empty or torn.
            try:
                entry = Entry(**json.loads(line))
            except (ValueError, TypeError):
                break
            if entry.offset != end or entry.offset + entry.frames > stored:
                break
            entries[entry.audio_sha256] = entry
            end += entry.frames
        return entries

    def recover(self) -> None:
        """Make the files hold the trusted entries and nothing else."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._remove_other_key()
        self.entries = self.read()
        self.end = sum(entry.frames for entry in self.entries.values())
        self._rewrite_index()
        for name, spec in self.fields.items():
            with self.data_file(name).open("ab") as file:
                file.truncate(self.end * spec.frame_bytes)

    def append(self, audio_sha256: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Store the arrays of one recording: first the data, down to the disk, then its line."""
        for name, array in arrays.items():
            with self.data_file(name).open("ab") as file:
                file.write(np.ascontiguousarray(array).data)
                file.flush()
                os.fsync(file.fileno())
        frames = len(next(iter(arrays.values())))
        entry = Entry(audio_sha256=audio_sha256, offset=self.end, frames=frames)
        with self.index.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(entry)) + "\n")
        self.entries[entry.audio_sha256] = entry
        self.end += frames

    def _index_lines(self) -> list[str]:
        return self.index.read_text(encoding="utf-8").split("\n") if self.index.exists() else [""]

    def _remove_other_key(self) -> None:
        """Delete the arrays that another key or other fields left here."""
        header = self._index_lines()[0]
        if header in ("", self.header):
            return
        try:
            fields = json.loads(header)["fields"]
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{self.index} is not the index of a cache; choose another cache folder"
            ) from error
        for name in fields:
            self.data_file(name).unlink(missing_ok=True)

    def _stored_frames(self, name: str) -> int:
        file = self.data_file(name)
        return file.stat().st_size // self.fields[name].frame_bytes if file.exists() else 0

    def _rewrite_index(self) -> None:
        lines = [self.header, *(json.dumps(asdict(entry)) for entry in self.entries.values())]
        temporary = self.index.with_suffix(".tmp")
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
        os.replace(temporary, self.index)


def mapped(file: Path, frames: int, spec: FieldSpec) -> np.ndarray:
    """The first `frames` frames of `file`, read-only, without loading them."""
    shape = (frames, *spec.shape_per_frame)
    if 0 in shape:  # Nothing can be mapped.
        return np.empty(shape, spec.dtype)
    mapped = np.memmap(file, dtype=spec.dtype, mode="r", shape=shape)
    return mapped.view(np.ndarray)  # Slicing the subclass costs more than the copy of a crop.
