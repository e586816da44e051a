"""What a person sees while a run trains, and the table that remains of it.

`LiveDisplay` redraws a terminal; `PlainDisplay` writes a line now and then, for files and pipes;
both go to stderr so that stdout stays free for results. `Metrics` is RUN/STAGE/metrics.csv: one row
per logged step, appended; resuming drops the rows after the step it resumes from.
"""

import csv
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

SMOOTHING = 0.98
PLAIN_EVERY_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Report:
    """Where a stage stands.

    Attributes:
        stage: Its name.
        step: Steps finished.
        total_steps: Steps planned.
        losses: Smoothed, by name.
        steps_per_s: At present.
        stage_left_s: Until this stage ends.
        chain_left_s: Until the last stage ends.
    """

    stage: str
    step: int
    total_steps: int
    losses: Mapping[str, float]
    steps_per_s: float
    stage_left_s: float
    chain_left_s: float


class Display(ABC):
    """Shows a run to a person; used as a context."""

    @abstractmethod
    def say(self, text: str) -> None:
        """Something happened."""

    @abstractmethod
    def report(self, report: Report) -> None:
        """A step is done."""

    @abstractmethod
    def close(self) -> None:
        """Stop drawing."""


class PlainDisplay(Display):
    """Lines of text, at most one report in `PLAIN_EVERY_S`."""

    def __init__(self, console: Console) -> None:
        """Write to `console`."""
        self._console = console
        self._last_s = float("-inf")

    def say(self, text: str) -> None:
        """Write `text` as a line."""
        self._console.print(escape(text), soft_wrap=True, highlight=False)

    def report(self, report: Report) -> None:
        """Write a line, if the last one is old enough."""
        now = time.monotonic()
        if now - self._last_s < PLAIN_EVERY_S and report.step < report.total_steps:
            return
        self._last_s = now
        losses = "  ".join(f"{name} {value:.4g}" for name, value in report.losses.items())
        self.say(
            f"{report.stage} {report.step}/{report.total_steps}  {losses}  "
            f"{report.steps_per_s:.3g} steps/s  left {duration(report.stage_left_s)}, "
            f"chain {duration(report.chain_left_s)}"
        )

    def close(self) -> None:
        """Nothing is being drawn."""


class LiveDisplay(Display):
    """A bar and a table of losses, redrawn in place."""

    def __init__(self, console: Console) -> None:
        """Draw on `console`, a terminal."""
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}  {task.fields[pace]}"),
            console=console,
        )
        self._task = self._progress.add_task("", total=1, pace="", visible=False)
        self._live = Live(self._progress, console=console, refresh_per_second=4, transient=True)
        self._live.start()

    def say(self, text: str) -> None:
        """Write `text` above the bar."""
        self._live.console.print(escape(text), highlight=False)

    def report(self, report: Report) -> None:
        """Redraw."""
        pace = (
            f"{report.steps_per_s:.3g} steps/s  left {duration(report.stage_left_s)}  "
            f"chain {duration(report.chain_left_s)}"
        )
        self._progress.update(
            self._task,
            description=report.stage,
            completed=report.step,
            total=report.total_steps,
            pace=pace,
            visible=True,
        )
        losses = Table.grid(padding=(0, 2))
        for name, value in report.losses.items():
            losses.add_row(f"[dim]{escape(name)}", f"{value:.5g}")
        both = Table.grid()
        both.add_row(self._progress)
        both.add_row(losses)
        self._live.update(both)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._live.stop()


class SilentDisplay(Display):
    """Shows nothing: for the processes beside the first."""

    def say(self, text: str) -> None:
        """Ignore `text`."""

    def report(self, report: Report) -> None:
        """Ignore `report`."""

    def close(self) -> None:
        """Nothing to close."""


def terminal_display() -> Display:
    """The display that fits stderr: live on a terminal, lines elsewhere."""
    console = Console(stderr=True)
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)


def duration(seconds: float) -> str:
    """A length of time as people write it, e.g. 1h05m, 12m30s, 8s."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


class Smoothed:
    """Exponential means of named losses for the eye; the table keeps the true means."""

    def __init__(self) -> None:
        """Nothing seen yet."""
        self._sums: dict[str, float] = {}
        self._weights: dict[str, float] = {}

    def add(self, losses: Mapping[str, float]) -> dict[str, float]:
        """Take in one step's losses; the means so far."""
        for name, value in losses.items():
            self._sums[name] = SMOOTHING * self._sums.get(name, 0.0) + value
            self._weights[name] = SMOOTHING * self._weights.get(name, 0.0) + 1.0
        return {name: self._sums[name] / self._weights[name] for name in self._sums}


class Window:
    """True means of losses since the last row of the table; part of the saved state."""

    def __init__(self, sums: Mapping[str, Iterable[float]] | None = None) -> None:
        """Go on from `sums` (name -> sum, count), or start empty."""
        self.sums = {name: list(pair) for name, pair in (sums or {}).items()}

    def add(self, losses: Mapping[str, float]) -> None:
        """Take in one step's losses."""
        for name, value in losses.items():
            total, count = self.sums.get(name, (0.0, 0.0))
            self.sums[name] = [total + value, count + 1.0]

    def means(self) -> dict[str, float]:
        """The means, and start anew."""
        means = {name: total / count for name, (total, count) in self.sums.items()}
        self.sums = {}
        return means


class Metrics:
    """A CSV table, one row per step; other columns than `step` appear when first written."""

    def __init__(self, path: Path, *, resume_step: int) -> None:
        """Open `path`, dropping rows beyond `resume_step`, which will come again."""
        self._path = path
        rows = read_metrics_table(path)
        self._columns = list(rows[0]) if rows else ["step"]
        kept = [row for row in rows if int(row["step"]) <= resume_step]
        self._last = kept[-1] if kept else {}
        if rows:
            self._rewrite(kept)

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Append a row, or complete the last one if it is of the same step."""
        row = {"step": str(step)} | {name: f"{value:.8g}" for name, value in figures.items()}
        new = [name for name in row if name not in self._columns]
        same = self._last.get("step") == row["step"]
        if new or same or not self._path.exists():
            rows = read_metrics_table(self._path)
            self._columns += new
            row = rows.pop() | row if same else row
            self._rewrite([*rows, row])
        else:
            with self._path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self._columns, restval="").writerow(row)
        self._last = row

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        """Write all rows under a temporary name and rename it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns, restval="")
            writer.writeheader()
            writer.writerows(rows)
        temporary.replace(self._path)


def read_metrics_table(path: Path) -> list[dict[str, str]]:
    """The rows of a metrics table; a last line cut off by a kill is left out."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    return list(csv.DictReader(whole.splitlines()))
