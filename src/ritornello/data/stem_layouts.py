"""Which files of a folder are the stems of which song, and of which category.

A song is a folder; a folder "stems" inside it belongs to it. Layouts, in order of precedence:

    song.json           a side-car: {"stems": [{"file", "category", "name", "program"}, ...]}, and
                        of the song "work", "title", "genre", "key", "form", "bpm", "split"
    metadata.yaml       Slakh2100: stems/S00.flac ... with program_num and is_drum
    names of the files  drums.wav, "Bass 2.flac", vocals.ogg; a mixture is passed over. MUSDB18's
                        unpacked songs are such folders, and songs of Frets on Fire (song.ini,
                        guitar.ogg), whose song.ogg is everything else

Folders named train, validation (or valid) and test above the songs decide the split, as in
Slakh2100 and MUSDB18; train alone leaves it to `splits` which of its songs are held out.
"""

import configparser
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ritornello.data.corpus import Skipped
from ritornello.data.files import Found, walk
from ritornello.data.recordings import checked_split
from ritornello.data.stem_categories import category_of_name, category_of_program, is_mix
from ritornello.errors import ConfigError, DataError

SONG_LABELS = ("title", "artist", "genre", "key", "form", "licence")
SPLIT_FOLDERS = {"valid": "valid", "validation": "valid", "test": "test"}

EXAMPLE = """expected a folder per song with its stems as files of equal length:
  DIR/my song/drums.wav
  DIR/my song/bass.wav
  DIR/my song/keys.wav
or with a song.json: {"stems": [{"file": "01.wav", "category": "drums"}, ...]}"""


@dataclass(frozen=True, kw_only=True)
class StemFile:
    """A file that holds one stem: its path, its name for people, its category."""

    path: Path
    name: str
    category: str


@dataclass(frozen=True, kw_only=True)
class SongLayout:
    """What the files of one song's folder are, before any of them is opened.

    Attributes:
        place: Its folder inside the data folder.
        stems: In order of file name.
        refused: Files that look like stems and cannot be taken for one.
        work: The piece, if somebody says.
        split: train, valid or test, if somebody decided.
        labels: What is known of the song.
        bpm: Beats per minute, if known.
    """

    place: PurePosixPath
    stems: tuple[StemFile, ...] = ()
    refused: tuple[Skipped, ...] = ()
    work: str | None = None
    split: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    bpm: float | None = None


def layouts_below(folder: Path) -> Iterator[SongLayout]:
    """Every folder below `folder` that has audio, as a song; those without stems say why.

    Raises:
        DataError: There is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; {EXAMPLE}")
    homes: dict[PurePosixPath, list[Found]] = {}
    for found in walk(folder.absolute()):
        homes.setdefault(_home(PurePosixPath(found.id).parent), []).append(found)
    for place, files in homes.items():
        try:
            layout = _read(folder.absolute() / place, place, files)
        except (DataError, ConfigError) as error:
            layout = SongLayout(place=place, refused=(_refused(place, str(error)),))
        if layout is not None:
            yield layout


def _home(place: PurePosixPath) -> PurePosixPath:
    """The folder of the song that files in `place` belong to."""
    return place.parent if place.name.lower() == "stems" else place


def _read(home: Path, place: PurePosixPath, files: Sequence[Found]) -> SongLayout | None:
    """The song in `home`; None for a folder that has mixes beside folders of stems, and no more."""
    if (home / "song.json").is_file() and "stems" in (told := _json(home / "song.json")):
        return _side_car(told, home, place)
    if (home / "metadata.yaml").is_file():
        return _slakh(read_slakh_metadata(home / "metadata.yaml"), home, place)
    return _plain(home, place, files)


def _refused(place: PurePosixPath, reason: str) -> Skipped:
    return Skipped(id=str(place), reason=reason)


def _split_of(home: Path, place: PurePosixPath) -> str | None:
    """The split that the folder above the song decides, if it is named so."""
    above = place.parent.name.lower()
    if above == "train":
        data = home.parent.parent
        has_valid = any((data / name).is_dir() for name in ("valid", "validation"))
        return "train" if has_valid else None
    return SPLIT_FOLDERS.get(above)


# ------------------------------------------------------------------ side-car


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file.name} is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{file.name} holds {type(content).__name__}; expected an object")
    return content


def _side_car(told: Mapping[str, Any], home: Path, place: PurePosixPath) -> SongLayout:
    entries = told["stems"]
    if not isinstance(entries, list) or not all(
        isinstance(one, dict) and isinstance(one.get("file"), str) for one in entries
    ):
        raise DataError('song.json: "stems" is not a list of objects that each name a "file"')
    stems, refused = [], []
    for one in entries:
        path = home / one["file"]
        if not path.is_file():
            refused.append(_refused(place / one["file"], "song.json names it, but it is not there"))
            continue
        name = str(one.get("name") or path.stem)
        stems.append(StemFile(path=path, name=name, category=_told_category(one, name)))
    work, bpm = told.get("work"), told.get("bpm")
    if bpm is not None and not (isinstance(bpm, int | float) and 0 < bpm < 1000):
        raise DataError(f"song.json: bpm is {bpm!r}; expected beats per minute")
    return SongLayout(
        place=place,
        stems=tuple(stems),
        refused=tuple(refused),
        work=str(work) if work else None,
        split=checked_split(told.get("split"), "song.json") or _split_of(home, place),
        labels={label: str(told[label]) for label in SONG_LABELS if told.get(label)},
        bpm=None if bpm is None else float(bpm),
    )


def _told_category(one: Mapping[str, Any], name: str) -> str:
    """What a side-car's entry says: its category, or else its program's, or else its name's."""
    told = one.get("category")
    if isinstance(told, str) and told.strip():
        # A category of the user's own is one more row of the model's table.
        return category_of_name(told) or told.strip().lower()
    if isinstance(one.get("program"), int):
        return category_of_program(one["program"])
    return category_of_name(name) or "other"


# ------------------------------------------------------------------ Slakh2100


def read_slakh_metadata(file: Path) -> dict[str, dict[str, str]]:
    """The entries below `stems:` of a metadata.yaml by their names (S00 ...), as texts.

    The subset of YAML that Slakh2100 is written in: two levels of indentation, a scalar a line.
    """
    stems: dict[str, dict[str, str]] = {}
    entry: dict[str, str] | None = None
    is_inside = False
    for line in file.read_text(encoding="utf-8").splitlines():
        key, colon, value = line.strip().partition(":")
        if not colon or key.startswith("#"):
            continue
        if not line.startswith((" ", "\t")):
            is_inside, entry = key == "stems", None
        elif is_inside and not value.strip():
            entry = stems.setdefault(key, {})
        elif is_inside and entry is not None:
            entry[key] = value.strip().strip("'\"")
    if not stems:
        raise DataError(f"{file.name} describes no stems; expected Slakh2100's metadata")
    return stems


def _slakh(told: Mapping[str, Mapping[str, str]], home: Path, place: PurePosixPath) -> SongLayout:
    stems, refused = [], []
    for name, one in sorted(told.items()):
        path = _slakh_audio(home, name)
        if path is None:
            was_rendered = one.get("audio_rendered", "true").lower() == "true"
            reason = "its audio is not there" if was_rendered else "it was never rendered"
            refused.append(_refused(place / "stems" / name, reason))
            continue
        title = one.get("midi_program_name") or one.get("inst_class") or name
        stems.append(StemFile(path=path, name=title, category=_slakh_category(one)))
    return SongLayout(
        place=place, stems=tuple(stems), refused=tuple(refused), split=_split_of(home, place)
    )


def _slakh_audio(home: Path, name: str) -> Path | None:
    candidates = (home / "stems" / f"{name}{suffix}" for suffix in (".flac", ".wav"))
    return next((path for path in candidates if path.is_file()), None)


def _slakh_category(one: Mapping[str, str]) -> str:
    if one.get("is_drum", "").lower() == "true":
        return "drums"
    program = one.get("program_num", "")
    if program.isdigit() and int(program) < 128:
        return category_of_program(int(program))
    return category_of_name(one.get("inst_class", "")) or "other"


# ------------------------------------------------------------------ names of files


def _plain(home: Path, place: PurePosixPath, files: Sequence[Found]) -> SongLayout | None:
    """A folder whose files' names say what they are.

    A file of another name is no stem of "other": in a folder of finished pieces all would be.
    """
    has_ini = (home / "song.ini").is_file()
    stems, refused = [], []
    for found in files:
        name = found.path.stem
        category = "other" if has_ini and name.lower() == "song" else category_of_name(name)
        if is_mix(name):
            continue
        if category is None:
            reason = found.refused or "its name says no category of stem (drums, bass, keys ...)"
            refused.append(Skipped(id=found.id, reason=reason))
        elif found.refused is None:
            stems.append(StemFile(path=found.path, name=name, category=category))
    if not stems and not refused:
        return None
    labels = _ini_labels(home / "song.ini") if has_ini else {}
    return SongLayout(
        place=place,
        stems=tuple(stems),
        refused=tuple(refused) if stems else (_no_stems(place, files),),
        split=_split_of(home, place),
        labels=labels,
    )


def _no_stems(place: PurePosixPath, files: Sequence[Found]) -> Skipped:
    """One reason for a whole folder of finished pieces."""
    first = Path(files[0].id).name
    return _refused(place, f"{len(files)} files, no name of which says a stem (first: {first})")


def _ini_labels(file: Path) -> dict[str, str]:
    """Title and artist of a song of Frets on Fire; nothing where it does not say."""
    reader = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        reader.read_string(file.read_text(encoding="utf-8", errors="replace"))
    except configparser.Error:
        return {}
    told = {"title": reader.get("song", "name", fallback="")}
    told["artist"] = reader.get("song", "artist", fallback="")
    return {label: text for label, text in told.items() if text}
