"""Any folder is a dataset: scanned once into a manifest, then known without opening a file.

The manifest is JSON Lines, one line per audio file in order of path: what was measured, what it is
described as, the split; or, for a file that cannot be used, `"skipped": reason`. It is written
where the caller says and never into the folder itself.

While scanning, each file's measurements go to `MANIFEST.partial` as soon as they are known. An
interrupted scan, and a scan of a folder that has grown, take from the partial and the earlier
manifest what is unchanged in size and time of modification, and measure the rest. Files are decoded
block by block: memory grows with the number of files (some kilobytes each), not with their length.
Descriptions (side-cars, the table, tags) are read by every scan: a label that is put right takes
effect without anything being decoded again.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import permutations
from pathlib import Path, PurePosixPath
from typing import Any

from ritornello.data.files import Found, walk
from ritornello.data.jobs import Progress, completed, exclusive
from ritornello.data.label_table import LabelTable, read_label_table
from ritornello.data.recordings import (
    Description,
    Measurements,
    Recording,
    default_work,
    measure,
    side_car_of,
)
from ritornello.data.splits import SPLITS, Member, assign
from ritornello.data.tags import missing_reader, tags_of
from ritornello.errors import AudioError, DataError

logger = logging.getLogger(__name__)

MEASURED = tuple(field.name for field in fields(Measurements))


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A file that is not used, and why."""

    id: str
    reason: str


class Corpus:
    """The usable recordings of a dataset in order of path, and what was skipped.

    Args:
        recordings: Usable audio files.
        skipped: The others, with reasons.
    """

    def __init__(self, recordings: list[Recording], skipped: list[Skipped] | None = None) -> None:
        self.recordings = tuple(sorted(recordings, key=lambda recording: recording.id))
        self.skipped = tuple(skipped or ())

    @classmethod
    def load(cls, manifest: Path) -> "Corpus":
        """The corpus that `scan` wrote to `manifest`.

        Raises:
            DataError: It is missing or not a manifest.
        """
        recordings: list[Recording] = []
        skipped: list[Skipped] = []
        try:
            for line in _lines(manifest):
                if "skipped" in line:
                    skipped.append(Skipped(id=line["id"], reason=line["skipped"]))
                else:
                    recordings.append(_recording(line))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{manifest} is not a readable manifest ({type(error).__name__}: {error}); "
                "scan the folder again"
            ) from error
        return cls(recordings, skipped)

    def __iter__(self) -> Iterator[Recording]:
        return iter(self.recordings)

    def __len__(self) -> int:
        return len(self.recordings)

    def split(self, name: str) -> "Corpus":
        """The recordings of one split: train, valid or test."""
        if name not in SPLITS:
            raise DataError(f"there is no split {name!r}; expected {', '.join(SPLITS)}")
        return Corpus([recording for recording in self if recording.split == name])

    @property
    def hours(self) -> float:
        """Hours of usable audio."""
        return sum(recording.duration_s for recording in self) / 3600

    @property
    def digest(self) -> str:
        """Hash of all that training can notice: ids, audio, splits, labels, lyrics."""
        parts = [
            [
                r.id,
                r.audio_sha256,
                r.split,
                sorted(r.labels.items()),
                *([r.lyrics] * bool(r.lyrics)),
            ]
            for r in self
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def scan(
    folder: Path | Sequence[Path],
    *,
    manifest: Path,
    workers: int | None = None,
    progress: Progress | None = None,
    valid: float = 0.05,
    test: float = 0.0,
) -> Corpus:
    """Measure every audio file below `folder`, split them by work, and write `manifest`.

    Args:
        folder: Any folder; sub-folders are searched too. Of several folders, each file's id starts
            with its folder's name.
        manifest: File to write, outside of `folder`.
        workers: Files decoded at a time; None means one per processor, at most four.
        progress: Called as progress(done, total, id of the file).
        valid: Part of the works held out for validation (see `splits`).
        test: Part of the works held out for tests.

    Raises:
        DataError: There is no such folder, one lies in another, or the manifest in one of them; a
            table of labels is not what `label_table` describes.
    """
    folders = [folder] if isinstance(folder, Path) else list(folder)
    _refuse_places(folders, manifest)
    named = list(_named(folders))
    found = [file for prefix, start in named for file in walk(start, prefix)]
    table = _tables(named, [file.id for file in found])
    workers = min(os.cpu_count() or 1, 4) if workers is None else workers
    manifest.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(manifest.with_name(manifest.name + ".lock")):
        partial = manifest.with_name(manifest.name + ".partial")
        known = _known(manifest) | _known(partial)
        lines = _measure_all(found, known, partial, workers, progress)
        _finish(lines, table, manifest, valid=valid, test=test)
        partial.unlink(missing_ok=True)
    return Corpus.load(manifest)


def _refuse_places(folders: list[Path], manifest: Path) -> None:
    if not folders:
        raise DataError("no data folder was given; expected at least one")
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder} is not a folder; expected a folder with audio files")
        if manifest.resolve().is_relative_to(folder.resolve()):
            raise DataError(
                f"the manifest {manifest} would lie inside the data folder {folder}, which is "
                "never written to; choose a place outside of it"
            )
    for inner, outer in permutations(folders, 2):
        if inner.resolve().is_relative_to(outer.resolve()):
            raise DataError(f"the data folder {inner} lies in {outer}; give one of them")


def _named(folders: list[Path]) -> Iterator[tuple[str, Path]]:
    """Each folder with the prefix of its files' ids: none, or a name of its own among several."""
    taken: set[str] = set()
    for folder in folders:
        name = start = folder.resolve().name
        number = 1
        while name in taken:
            number += 1
            name = f"{start}-{number}"
        taken.add(name)
        yield (f"{name}/" if len(folders) > 1 else ""), folder.absolute()


def _measure_all(
    found: list[Found],
    known: Mapping[str, dict[str, Any]],
    partial: Path,
    workers: int,
    progress: Progress | None,
) -> list[dict[str, Any]]:
    """A line per file, without description and split, each saved to `partial` once it is known."""
    lines = {file.id: _unchanged(file, known.get(file.id)) for file in found}
    todo = [file for file in found if lines[file.id] is None]
    done = len(found) - len(todo)
    if progress:
        progress(done, len(found), "")
    with partial.open("a", encoding="utf-8") as journal:
        # A kill may have left half a line; what follows must start on a line of its own.
        journal.write("\n")
        for file, line in completed(_measured, todo, workers):
            lines[file.id] = line
            journal.write(json.dumps(line) + "\n")
            journal.flush()
            done += 1
            if progress:
                progress(done, len(found), file.id)
    return [line for _, line in sorted(lines.items()) if line is not None]


def _measured(file: Found) -> dict[str, Any]:
    """The line of one file: measurements, or why there are none."""
    line: dict[str, Any] = {"id": file.id, "path": str(file.path)}
    if file.refused is not None:
        return line | {"skipped": file.refused}
    try:
        status = file.path.stat()
        measured = measure(file.path)
    except AudioError as error:
        return line | {"skipped": str(error).removeprefix(f"{file.path}: ")}
    except OSError as error:
        return line | {"skipped": f"not readable: {error.strerror or error}"}
    duration_s = round(measured.samples / measured.sample_rate, 3)
    stamp = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
    return line | {"duration": duration_s} | asdict(measured) | stamp


def _unchanged(file: Found, line: dict[str, Any] | None) -> dict[str, Any] | None:
    """The known line of `file` if it still holds; skipped files are always looked at again."""
    if line is None or file.refused is not None or "skipped" in line:
        return None
    try:
        status = file.path.stat()
        kept = {key: line[key] for key in ("id", "duration", *MEASURED, "size", "mtime_ns")}
    except (OSError, KeyError):
        return None
    if (status.st_size, status.st_mtime_ns) != (kept["size"], kept["mtime_ns"]):
        return None
    return kept | {"path": str(file.path)}


def _tables(named: Sequence[tuple[str, Path]], ids: Sequence[str]) -> LabelTable:
    """The tables of all folders as one."""
    rows: dict[str, Description] = {}
    strangers: dict[str, str] = {}
    for prefix, folder in named:
        table = read_label_table(folder, prefix, ids)
        rows |= table.rows
        strangers |= table.strangers
    return LabelTable(rows=rows, strangers=strangers)


def _finish(
    lines: list[dict[str, Any]], table: LabelTable, manifest: Path, *, valid: float, test: float
) -> None:
    """Add descriptions and splits to `lines`, write them as the manifest, whole or not at all."""
    described: dict[str, Description] = {}
    members: list[Member] = []
    for line in lines:
        if "skipped" in line:
            continue
        name, path = line["id"], Path(line["path"])
        try:
            car = side_car_of(path)
        except DataError as error:
            # Its work, licence or split would be lost: better no recording than a wrong one.
            line["skipped"] = str(error)
            continue
        told = car.over(table.rows.get(name, Description())).over(tags_of(path))
        described[name] = told
        key = told.work or default_work(name)
        members.append(Member(name=name, key=key, audio=line["audio_sha256"], wanted=told.split))
    if described and (missing := missing_reader()):
        logger.warning(missing)
    splits = dict(zip(described, assign(members, valid=valid, test=test), strict=True))
    lines = lines + [{"id": row, "skipped": why} for row, why in table.strangers.items()]
    temporary = manifest.with_name(manifest.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        for line in lines:
            name = line["id"]
            told = _told(name, described[name], splits[name]) if name in described else {}
            file.write(json.dumps(line | told) + "\n")
    os.replace(temporary, manifest)


def _told(name: str, described: Description, split: str) -> dict[str, Any]:
    """What a manifest line says beyond the measurements."""
    told = {
        "split": split,
        "work": described.work or default_work(name),
        "title": described.title or PurePosixPath(name).stem,
        "licence": described.licence,
        "labels": {label: text for label, text in described.labels.items() if text},
    }
    return told | ({"lyrics": described.lyrics} if described.lyrics else {})


def _recording(line: Mapping[str, Any]) -> Recording:
    """The recording that a manifest line describes."""
    told = {key: line[key] for key in ("id", "split", "work", "title", "licence", "labels")}
    measured = Measurements(**{key: line[key] for key in MEASURED})
    lyrics = line.get("lyrics")
    return Recording(path=Path(line["path"]), measured=measured, lyrics=lyrics, **told)


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON Lines file, one at a time."""
    with file.open(encoding="utf-8") as opened:
        for text in opened:
            yield json.loads(text)


def _known(file: Path) -> dict[str, dict[str, Any]]:
    """Lines by id of a manifest that may be missing, torn at a kill, or of another version."""
    known: dict[str, dict[str, Any]] = {}
    if not file.exists():
        return known
    with file.open(encoding="utf-8", errors="replace") as opened:
        for text in opened:
            try:
                line = json.loads(text)
                known[line["id"]] = line
            except (ValueError, KeyError, TypeError):
                continue  # The file it spoke of is measured again.
    return known
