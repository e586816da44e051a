"""The files of a dataset's folder that are audio, or look as if somebody hoped so."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ritornello.audio.io import SUFFIXES

# Not audio to us, but music may be inside: these are named in the report instead of passed over.
ARCHIVES = frozenset({".zip", ".pk3", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz"})
UNREADABLE = frozenset(
    {".m4a", ".aac", ".mp4", ".m4b", ".alac", ".wma", ".ape", ".wv", ".mpc", ".mka", ".webm"}
    | {".amr", ".ra", ".dsf", ".dff", ".tta", ".mod", ".xm", ".it", ".s3m"}
)


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file of the folder: its id (relative path with forward slashes), and why not, if not."""

    id: str
    path: Path
    refused: str | None = None


def walk(folder: Path, prefix: str = "") -> Iterator[Found]:
    """Every audio file below `folder`, and every file that is refused by name, sorted by folder.

    Ids are `prefix` and the path inside `folder`.

    Hidden files and folders are passed over. Linked folders are followed once, and not at all when
    they lead back into `folder`, where the files have a name of their own already.
    """
    yield from _walk(folder, prefix, folder.resolve(), {_identity(folder)})


def _walk(folder: Path, prefix: str, root: Path, seen: set[tuple[int, int]]) -> Iterator[Found]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        yield Found(id=prefix or ".", path=folder, refused=f"folder not readable: {error.strerror}")
        return
    for entry in entries:
        path, name = folder / entry.name, prefix + entry.name
        if entry.name.startswith("."):
            continue
        if not path.is_dir():
            yield from _file(path, name)
        elif entry.is_symlink() and path.resolve().is_relative_to(root):
            continue
        elif _identity(path) not in seen:
            seen.add(_identity(path))
            yield from _walk(path, name + "/", root, seen)


def _file(path: Path, name: str) -> Iterator[Found]:
    suffix = path.suffix.lower()
    if suffix in ARCHIVES:
        yield Found(id=name, path=path, refused="an archive; unpack it if there is music inside")
    elif suffix in UNREADABLE:
        yield Found(
            id=name, path=path, refused=f"{suffix} cannot be decoded here; convert it to FLAC"
        )
    elif suffix in SUFFIXES:
        yield Found(id=name, path=path, refused=_refusal(path))


def _refusal(path: Path) -> str | None:
    """Why a file with the right suffix is not even opened, if so."""
    if not path.is_file():  # A pipe or a socket would block whoever opens it.
        return "not a regular file, or a link that leads nowhere"
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:  # The decoders want names that are text.
        return "its name, or a folder's above it, is not valid UTF-8; rename it"
    return None


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
