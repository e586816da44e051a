"""Names what a folder of MIDI files holds: composer, work, title, source and licence of each.

An index (`index.csv`, or any CSV file with a known file column, such as MAESTRO's) is believed
where there is one; elsewhere names come from folders and file names. The work key joins what must
stay on one side of a split: movements of an opus, and the performance and the score of one work,
which are recognised by composer and catalogue number.
"""

import csv
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ritornello.errors import DataError

MIDI_SUFFIXES = (".mid", ".midi")
FILE_COLUMNS = ("file", "midi_filename")
COLUMNS = {
    "composer": ("composer", "canonical_composer"),
    "work": ("work", "canonical_title"),
    "title": ("title", "canonical_title"),
    "source": ("source",),
    "licence": ("licence", "license"),
}
UNKNOWN_COMPOSER = "unknown"
UNKNOWN_LICENCE = "unknown: that of the file and its music"
# Catalogue abbreviations that number works within one composer, longest first. One letter alone
# (K, D, S, L, O) must be followed by digits at once or after a single separator.
_CATALOGUE = re.compile(
    r"(?<![a-z])(?P<name>bwv[ -]?anh|bwv|hwv|woo|wq|hob[ -]?[ivxl]+[a-z]?|opus|op|kv|k|d|s|l|o)"
    r"[ .:/-]{0,2}(?:no[ .-]{0,2})?(?P<number>\d+)"
)
_SAME_CATALOGUE = {"opus": "op", "o": "op", "kv": "k"}
# Works that performers' files and editors' files name in different ways.
_NICKNAMES = {"bergam": "l75", "estampes": "l100", "pour le piano": "l95"}
# Parts of a work in file names: "-mov-1", "no 3", "-part1", "cut", ...
_PART = re.compile(r"[ _-]+(mov|movement|part|cut|no)[ _.-]*\d*(?=$|[ _-])", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file of music and what is known of it; `work` is the key to split by."""

    path: Path
    relative: str
    composer: str
    work: str
    title: str
    source: str
    licence: str


def catalogue(
    folder: Path,
    *,
    suffixes: tuple[str, ...] = MIDI_SUFFIXES,
    what: str = "MIDI files",
    instead: str = "pass --midi another folder, or leave it out for the works in music21's corpus",
) -> list[Entry]:
    """Every file of a kind below `folder`, sorted by its relative path.

    Args:
        folder: With or without an index.
        suffixes: Of the kind, in lower case.
        what: The kind, for errors.
        instead: What to do where there are none, for errors.

    Raises:
        DataError: `folder` is no folder or holds no such files.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; expected one with {what}")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
    if not paths:
        raise DataError(f"no {what} ({', '.join(suffixes)}) found below {folder}; {instead}")
    index = _read_indices(folder)
    return [_entry(path, folder, index) for path in paths]


def _read_indices(folder: Path) -> dict[str, Mapping[str, str]]:
    """Rows of the CSV files at the top of `folder` that name MIDI files, by relative path."""
    rows: dict[str, Mapping[str, str]] = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            column = next((c for c in FILE_COLUMNS if c in (reader.fieldnames or ())), None)
            if column is not None:
                rows.update({row[column]: row for row in reader})
    return rows


def _entry(path: Path, folder: Path, index: Mapping[str, Mapping[str, str]]) -> Entry:
    """The entry of one file, from its row in the index or from its name."""
    relative = path.relative_to(folder).as_posix()
    row = index.get(relative, {})
    found = {
        field: next((row[name].strip() for name in names if row.get(name)), "")
        for field, names in COLUMNS.items()
    }
    composer = found["composer"] or _composer_from_name(path, folder)
    title = found["title"] or path.stem
    # The name of the file is asked too: an index may call a work by its nickname.
    work = work_key(composer, [found["work"], path.stem])
    return Entry(
        path=path,
        relative=relative,
        composer=composer,
        work=work,
        title=title,
        source=found["source"] or folder.resolve().name,
        licence=found["licence"] or UNKNOWN_LICENCE,
    )


def _composer_from_name(path: Path, folder: Path) -> str:
    """The folder a file lies in, or what stands before " - " or "__" in its name."""
    if path.parent != folder:
        return path.relative_to(folder).parts[0]
    head, separator, _ = re.sub(r" - |__", "\n", path.stem).partition("\n")
    return head if separator else UNKNOWN_COMPOSER


def work_key(composer: str, names: Iterable[str]) -> str:
    """The key of a work: "chopin-op10", or the composer and the name without movement and number.

    Numbers within an opus are dropped: Op. 10 No. 1 and No. 2 stay together.
    """
    names = [name for name in names if name]
    who = slug(composer)
    for name in names:
        match = _CATALOGUE.search(_plain(name))
        if match:
            abbreviation = re.sub(r"[ -]", "", match["name"])
            abbreviation = _SAME_CATALOGUE.get(abbreviation, abbreviation)
            separator = "-" if abbreviation.startswith("hob") else ""
            return f"{who}-{abbreviation}{separator}{int(match['number'])}"
    for nickname, number in _NICKNAMES.items():
        if any(nickname in _plain(name).replace("-", " ") for name in names):
            return f"{who}-{number}"
    rest = slug(_PART.sub("", names[0])) if names else "untitled"
    return rest if rest.startswith(f"{who}-") else f"{who}-{rest}"


def _plain(name: str) -> str:
    """Lower-case ASCII, underscores and accents gone."""
    folded = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return folded.lower().replace("_", " ")


def slug(name: str, longest: int = 60) -> str:
    """`name` in lower-case letters, digits and single dashes, for keys and file names."""
    return re.sub(r"[^a-z0-9]+", "-", _plain(name)).strip("-")[:longest].strip("-") or "unnamed"


def composer_buckets(
    entries: Iterable[Entry], seconds: Mapping[Path, float], *, least_hours: float = 0.3
) -> dict[str, str]:
    """The label of every composer: the name with enough hours in several works, else "other"."""
    hours: dict[str, float] = defaultdict(float)
    works: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        hours[entry.composer] += seconds.get(entry.path, 0.0) / 3600
        works[entry.composer].add(entry.work)
    return {
        name: slug(name)
        if hours[name] >= least_hours and len(works[name]) > 1 and name != UNKNOWN_COMPOSER
        else "other"
        for name in hours
    }
