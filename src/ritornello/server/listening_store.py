"""The votes of a listening test: one SQLite file in the test's folder.

Pages are written down when a listener joins, so that a session never changes under the listener,
and votes are kept under (listener, page, scale): the same vote sent twice is one vote, and of two
different ones the later stands. Every call is one transaction on a connection of its own; any
number of tabs, and a restart in the middle, do no harm.
"""

import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from ritornello.errors import ConfigError, DataError
from ritornello.evaluation.ratings import HIGHEST, LOWEST, Preference, Rating
from ritornello.server.listening_plan import PLAN_FILE, SCALES, Plan, load_plan, session

VOTES_FILE = "votes.sqlite"
LISTENED_SHARE = 0.8
"""How much of a clip must have played before it can be judged."""

LONGEST_NAME = 40
PREFERENCE = "preference"
LEFT, UNDECIDED, RIGHT = 1, 0, -1

CODE = re.compile(r"[a-z2-7]{8}")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"

_TABLES = """
CREATE TABLE IF NOT EXISTS listeners (
    code TEXT PRIMARY KEY,
    number INTEGER NOT NULL UNIQUE,
    name TEXT NOT NULL,
    joined TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE IF NOT EXISTS pages (
    code TEXT NOT NULL REFERENCES listeners (code),
    page INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('rate', 'pair')),
    first TEXT NOT NULL,
    second TEXT,
    PRIMARY KEY (code, page)
);
CREATE TABLE IF NOT EXISTS heard (
    code TEXT NOT NULL,
    page INTEGER NOT NULL,
    clip TEXT NOT NULL,
    PRIMARY KEY (code, page, clip)
);
CREATE TABLE IF NOT EXISTS votes (
    code TEXT NOT NULL,
    page INTEGER NOT NULL,
    scale TEXT NOT NULL,
    value INTEGER NOT NULL,
    voted TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (code, page, scale),
    FOREIGN KEY (code, page) REFERENCES pages (code, page)
);
"""


class UnknownError(DataError):
    """A listener, page or clip that this test does not have."""


class GoneError(DataError):
    """What belongs to this test was there when it was opened, and is no more."""


class VoteStore:
    """Who takes part in the test in `folder`, what they have heard and how they judged it."""

    def __init__(self, folder: Path) -> None:
        """Open the test; its votes begin empty.

        Raises:
            DataError: There is no test in `folder`, or its votes cannot be read.
        """
        self.folder = folder
        self.plan: Plan = load_plan(folder)
        self._path = folder / VOTES_FILE
        try:
            with closing(self._open("rwc")) as database:
                database.execute("PRAGMA journal_mode = WAL")
                database.executescript(_TABLES)
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"{self._path}: cannot be read ({error}); expected a file that this program wrote "
                "in a folder that may be written to"
            ) from error

    def join(self, name: str = "") -> str:
        """The code of a new listener, whose pages are fixed from now on.

        Raises:
            ConfigError: The name is too long or has control characters.
        """
        name = name.strip()
        if len(name) > LONGEST_NAME or not (name.isprintable()):
            raise ConfigError(
                f"got a name of {len(name)} characters; expected at most {LONGEST_NAME} printable "
                "ones"
            )
        code = "".join(secrets.choice(_ALPHABET) for _ in range(8))
        with self._writing() as database:
            (number,) = database.execute("SELECT count(*) FROM listeners").fetchone()
            database.execute(
                "INSERT INTO listeners (code, number, name) VALUES (?, ?, ?)", (code, number, name)
            )
            rows = [
                (code, page, trial.kind, trial.clips[0], (*trial.clips, None)[1])
                for page, trial in enumerate(session(self.plan, number))
            ]
            database.executemany("INSERT INTO pages VALUES (?, ?, ?, ?, ?)", rows)
        return code

    def state(self, code: str) -> dict[str, Any]:
        """All that a listener's browser needs: pages with clips, what was heard, and the votes.

        Raises:
            UnknownError: There is no such listener.
        """
        with closing(self._open()) as database:
            name = self._name(database, code)
            pages = [
                {"kind": kind, "clips": [clip for clip in (first, second) if clip], "heard": []}
                | {"votes": {}}
                for kind, first, second in database.execute(
                    "SELECT kind, first, second FROM pages WHERE code = ? ORDER BY page", (code,)
                )
            ]
            marks = "SELECT page, clip FROM heard WHERE code = ? ORDER BY page, clip"
            for page, clip in database.execute(marks, (code,)):
                pages[page]["heard"].append(clip)
            votes = "SELECT page, scale, value FROM votes WHERE code = ?"
            for page, scale, value in database.execute(votes, (code,)):
                pages[page]["votes"][scale] = value
        return {"code": code, "name": name, "pages": pages}

    def hear(self, code: str, page: int, clip: str, seconds: float) -> None:
        """Note that `clip` has played for `seconds` on that page; the same again changes nothing.

        Raises:
            UnknownError: No such listener, page, or clip on the page.
            ConfigError: Not enough of it has played.
        """
        enough = LISTENED_SHARE * self.plan.seconds
        if not enough <= seconds:
            raise ConfigError(f"{seconds:.1f} s have played; expected at least {enough:.1f} s")
        with self._writing() as database:
            if clip not in self._clips(database, code, page)[1]:
                raise UnknownError(f"page {page} has no clip {clip!r}")
            database.execute("INSERT OR IGNORE INTO heard VALUES (?, ?, ?)", (code, page, clip))

    def vote(self, code: str, page: int, scale: str, value: int) -> None:
        """Keep a vote; a later one on the same page and scale takes its place.

        Args:
            code: Who votes.
            page: Number of the page, from 0.
            scale: One of SCALES, or PREFERENCE on a page with two clips.
            value: 1 to 5; for a preference LEFT, UNDECIDED or RIGHT.

        Raises:
            UnknownError: No such listener or page.
            ConfigError: The scale is not on that page, the value is out of range, or the page's
                clips have not been heard yet.
        """
        with self._writing() as database:
            kind, clips = self._clips(database, code, page)
            scales = SCALES if kind == "rate" else (PREFERENCE,)
            lowest, highest = (LOWEST, HIGHEST) if kind == "rate" else (RIGHT, LEFT)
            if scale not in scales or not lowest <= value <= highest:
                raise ConfigError(
                    f"got {value} for {scale!r}; expected {' or '.join(scales)} from {lowest} to "
                    f"{highest}"
                )
            rows = database.execute(
                "SELECT clip FROM heard WHERE code = ? AND page = ?", (code, page)
            )
            unheard = set(clips) - {clip for (clip,) in rows}
            if unheard:
                raise ConfigError("listen first: not all clips of this page have been heard")
            database.execute(
                "INSERT INTO votes (code, page, scale, value) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (code, page, scale) DO UPDATE "
                "SET value = excluded.value, voted = CURRENT_TIMESTAMP "
                "WHERE value != excluded.value",
                (code, page, scale, value),
            )

    def ratings(self) -> list[Rating]:
        """Every score given so far, with the system behind it."""
        clips = {clip.id: clip for clip in self.plan.clips}
        return [
            Rating(
                listener=who,
                system=clips[clip].system,
                position=clips[clip].position,
                scale=scale,
                score=value,
            )
            for who, clip, _, scale, value in self._votes("rate")
        ]

    def preferences(self) -> list[Preference]:
        """Every choice made so far; `first` was on the left."""
        clips = {clip.id: clip for clip in self.plan.clips}
        choices = []
        for who, left, right, _, value in self._votes("pair"):
            assert right is not None
            first, second = clips[left].system, clips[right].system
            winner = {LEFT: first, UNDECIDED: None, RIGHT: second}[value]
            choices.append(
                Preference(
                    listener=who,
                    position=clips[left].position,
                    first=first,
                    second=second,
                    winner=winner,
                )
            )
        return choices

    def progress(self) -> dict[str, tuple[int, int]]:
        """Votes given and votes asked for, by listener."""
        with closing(self._open()) as database:
            rows = database.execute(
                "SELECT code, name, (SELECT count(*) FROM votes WHERE votes.code = l.code),"
                " (SELECT sum(CASE kind WHEN 'rate' THEN ? ELSE 1 END) FROM pages"
                "  WHERE pages.code = l.code) FROM listeners l ORDER BY number",
                (len(SCALES),),
            ).fetchall()
        return {_label(code, name): (given, asked) for code, name, given, asked in rows}

    def _votes(self, kind: str) -> list[tuple[str, str, str | None, str, int]]:
        """(listener, first clip, second clip, scale, value) of all votes on pages of `kind`."""
        with closing(self._open()) as database:
            rows = database.execute(
                "SELECT code, name, first, second, scale, value FROM votes "
                "JOIN pages USING (code, page) JOIN listeners USING (code) "
                "WHERE kind = ? ORDER BY number, page, scale",
                (kind,),
            ).fetchall()
        return [(_label(code, name), *rest) for code, name, *rest in rows]

    def _name(self, database: sqlite3.Connection, code: str) -> str:
        row = database.execute("SELECT name FROM listeners WHERE code = ?", (code,)).fetchone()
        if row is None:
            raise UnknownError(f"there is no listener {code!r} in this test")
        return row[0]

    def _clips(
        self, database: sqlite3.Connection, code: str, page: int
    ) -> tuple[str, tuple[str, ...]]:
        """Kind and clips of a listener's page."""
        row = None
        if page.bit_length() < 64:  # SQLite has no longer numbers
            row = database.execute(
                "SELECT kind, first, second FROM pages WHERE code = ? AND page = ?", (code, page)
            ).fetchone()
        if row is None:
            raise UnknownError(f"listener {code!r} has no page {page}")
        return row[0], tuple(clip for clip in row[1:] if clip is not None)

    def _open(self, mode: str = "rw") -> sqlite3.Connection:
        """A connection; with "rw" the file must exist, with "rwc" it is created if need be.

        Raises:
            GoneError: The test was moved or deleted since it was opened.
        """
        if not (self.folder / PLAN_FILE).is_file() or (mode == "rw" and not self._path.is_file()):
            raise GoneError("the test's folder has gone: put it back, or end this server")
        url = f"{self._path.absolute().as_uri()}?mode={mode}"
        database = sqlite3.connect(url, uri=True, timeout=10.0, isolation_level=None)
        database.execute("PRAGMA foreign_keys = ON")
        return database

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the right to write from its start, so that no two interleave."""
        with closing(self._open()) as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")


def _label(code: str, name: str) -> str:
    """How a listener is called in results: the name, made unique by the code."""
    return f"{name} ({code})" if name else code
