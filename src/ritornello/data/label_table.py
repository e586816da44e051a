"""What `labels.csv` in a dataset's folder tells of its recordings.

A table with commas in UTF-8, one row per file, its first row the names of the columns:

    file,artist,genre,keywords,lyrics
    first/song.flac,Ella Example,swing,"slow, brushes","Blue evening, blue evening"

`file` is the path inside the folder; work, title, licence, split and lyrics are what side-cars call
so; every other column is a label. Columns may be left out, cells left empty, files left without a
row. A table that cannot be understood stops the scan, and is read before anything is decoded.
"""

import csv
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from ritornello.data.recordings import Description, checked_lyrics, checked_split
from ritornello.errors import DataError

TABLE = "labels.csv"
FILE = "file"
TOLD = ("work", "title", "licence", "split", "lyrics")
"""Columns that are no labels."""


@dataclass(frozen=True, kw_only=True)
class LabelTable:
    """The rows of a table.

    Attributes:
        rows: By id of the recording.
        strangers: Rows of files that are not there: which row, and what is wrong with it.
    """

    rows: Mapping[str, Description]
    strangers: Mapping[str, str]


def read_label_table(folder: Path, prefix: str, ids: Iterable[str]) -> LabelTable:
    """The table of a folder; one without rows if there is none.

    Args:
        folder: Of the dataset.
        prefix: What the ids of its recordings begin with.
        ids: Of every audio file found, also in other folders.

    Raises:
        DataError: The table is not what the module's text describes; the line is named.
    """
    rows: dict[str, Description] = {}
    strangers: dict[str, str] = {}
    path = folder / TABLE
    if not path.is_file():
        return LabelTable(rows=rows, strangers=strangers)
    files = {
        _comparable(name.removeprefix(prefix)): name for name in ids if name.startswith(prefix)
    }
    first_line: dict[str, int] = {}
    for line, row in _rows(path):
        name = row.pop(FILE)
        where = f"{path}, line {line}"
        if not name:
            raise DataError(f"{where}: there is no file; expected its path in the column {FILE!r}")
        key = _comparable(name)
        before = first_line.setdefault(key, line)
        if before != line:
            raise DataError(
                f"{where}: {name!r} has a row in line {before} already; leave one of them"
            )
        if key in files:
            rows[files[key]] = _description(row, where)
        else:
            strangers[f"{prefix}{TABLE}, line {line}"] = (
                f"there is no audio file {name!r}; expected a path inside the folder, with suffix"
            )
    return LabelTable(rows=rows, strangers=strangers)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Every row that is not empty, by column, with the line it begins in."""
    reader = csv.reader(StringIO(_text(path), newline=""), strict=True)
    columns: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            begins, line = line, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if columns is None:
                columns = _columns(cells, f"{path}, line {begins}")
                continue
            if len(cells) > len(columns):
                raise DataError(
                    f"{path}, line {begins}: {len(cells)} cells; expected {len(columns)} at most. "
                    "A text with commas stands in quotes."
                )
            padded = cells + [""] * (len(columns) - len(cells))
            yield begins, dict(zip(columns, (cell.strip() for cell in padded), strict=True))
    except csv.Error as error:
        raise DataError(
            f"{path}, line {line}: {error}; expected commas between cells, and quotes around a "
            "cell that holds commas, quotes (doubled) or lines"
        ) from error


def _text(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")  # spreadsheets put a mark in front
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8; save the table "
            "as UTF-8"
        ) from error


def _columns(cells: list[str], where: str) -> list[str]:
    names = [cell.strip().lower() for cell in cells]
    if FILE not in names:
        raise DataError(
            f"{where}: the columns are {', '.join(names)[:80]}; expected names with commas between "
            f"them, one of them {FILE!r}"
        )
    for name in names:
        if not name or names.count(name) > 1:
            raise DataError(
                f"{where}: a column is called {name!r}{' twice' if name else ''}; expected a name "
                "of its own for each"
            )
    return names


def _description(row: Mapping[str, str], where: str) -> Description:
    told = {name: text for name, text in row.items() if text}
    return Description(
        work=told.get("work"),
        title=told.get("title"),
        licence=told.get("licence"),
        split=checked_split(told.get("split"), where),
        labels={name: text for name, text in told.items() if name not in TOLD},
        lyrics=checked_lyrics(told.get("lyrics"), where),
    )


def _comparable(name: str) -> str:
    """A path as tables of every system write it, in one way."""
    return unicodedata.normalize("NFC", name.replace("\\", "/")).removeprefix("./")
