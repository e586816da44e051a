"""How fast a Musika model plays: speed, time to the first sound, memory, and what each part costs.

    python benchmarks/musika_speed.py piano --out benchmarks/results

Every row is measured in a process of its own, so that peak memory is that row's and threads are
set before anything runs. Medians of several runs after one warm-up; wall time is what a user waits
for, processor time what it costs. Prints a table and writes `musika_speed.json` with a description
of the machine.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

LENGTHS_S = (30.0, 180.0)
THREADS = (1, 2)
STREAM_S = 180.0
PARTS_S = 60.0


# ------------------------------------------------------------------ one row, in its own process


def work(task: dict[str, Any]) -> dict[str, Any]:
    """Load the model and measure one row; runs in a process of its own."""
    import torch

    torch.set_num_threads(task["threads"])
    import ritornello
    from ritornello.evaluation import speed

    start = time.perf_counter()
    system = ritornello.load(task["model"])
    load_s = time.perf_counter() - start
    loaded_bytes = speed.memory_bytes()
    figures = ROWS[task["row"]](system, task)
    return {
        **task,
        **figures,
        "load_s": load_s,
        "memory_after_loading_bytes": loaded_bytes,
        "peak_memory_bytes": speed.peak_memory_bytes(),
        "machine": speed.machine(),
    }


def generate(system: Any, task: dict[str, Any]) -> dict[str, Any]:
    """Whole pieces of one length, each run with another seed."""
    from ritornello.evaluation import speed

    seeds = iter(range(1_000_000))
    timing = speed.measure(
        lambda: system.generate(request(task["seconds"], next(seeds))), repeats=task["repeats"]
    )
    return rates(task["seconds"], timing)


def first_sound(system: Any, task: dict[str, Any]) -> dict[str, Any]:
    """From asking for an endless stream to its first block; the first run is cold."""
    from ritornello.evaluation import speed

    seeds = iter(range(1_000_000))
    timing = speed.measure_first(
        lambda: system.stream(request(None, next(seeds))), repeats=1 + task["repeats"]
    )
    return {"cold_first_sound_s": timing.wall_s[0], **timing.to_dict()}


def stream(system: Any, task: dict[str, Any]) -> dict[str, Any]:
    """A long stream block by block: its speed, and whether its memory grows."""
    from ritornello.evaluation import speed

    memory: list[int] = []

    def play() -> None:
        memory.clear()
        for _ in system.stream(request(task["seconds"], 0)):
            memory.append(speed.memory_bytes())

    timing = speed.measure(play, repeats=task["repeats"])
    quarter = len(memory) // 4
    growth = max(memory[-quarter:]) - max(memory[:quarter]) if quarter else 0
    return {**rates(task["seconds"], timing), "memory_growth_bytes": growth}


def parts(system: Any, task: dict[str, Any]) -> dict[str, Any]:
    """Processor and wall time of each part while one piece is made, after a warm-up."""
    from ritornello.evaluation import speed

    system.generate(request(task["seconds"], 0))
    with speed.clocked_parts(parts_of(system)) as clock:
        timing = speed.measure(
            lambda: system.generate(request(task["seconds"], 1)), repeats=1, warmups=0
        )
    measured = clock.to_dict()
    rest = timing.median_cpu_s - sum(part["cpu_s"] for part in measured.values())
    return {**rates(task["seconds"], timing), "parts": measured, "rest_cpu_s": rest}


ROWS = {"generate": generate, "first_sound": first_sound, "stream": stream, "parts": parts}


def request(seconds: float | None, seed: int) -> Any:
    """A plain request."""
    from ritornello.interfaces import Request

    return Request(seconds=seconds, seed=seed)


def rates(seconds: float, timing: Any) -> dict[str, Any]:
    """A timing with the two rates that follow from it."""
    return {
        **timing.to_dict(),
        "times_real_time": seconds / timing.median_wall_s,
        "times_real_time_per_cpu_second": seconds / timing.median_cpu_s,
    }


def parts_of(system: Any) -> dict[str, tuple[Any, str]]:
    """Where the parts of a Musika model are entered; none of them calls another."""
    from ritornello.musika import codec

    return {
        "generator": (system.generator, "forward"),
        "level 2": (system.codec.level2["decoder"], "forward"),
        "level 1": (system.codec.level1["decoder"], "forward"),
        "phase from slopes": (codec, "pinned_phase"),
        "phase passes: stft": (codec, "stft"),
        "phase passes: istft": (codec, "istft"),
        "inverse stft": (codec, "istft_span"),
    }


# ------------------------------------------------------------------ all rows


def tasks(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The rows to measure, in order."""
    common = {"model": options.model, "repeats": options.repeats}
    for threads in options.threads:
        for seconds in options.seconds:
            yield {**common, "row": "generate", "seconds": seconds, "threads": threads}
        yield {**common, "row": "first_sound", "seconds": None, "threads": threads}
        yield {**common, "row": "stream", "seconds": STREAM_S, "threads": threads}
    yield {**common, "row": "parts", "seconds": PARTS_S, "threads": min(options.threads)}


def in_own_process(task: dict[str, Any]) -> dict[str, Any]:
    """Run `work` in a fresh interpreter and return what it measured."""
    command = [sys.executable, __file__, "--worker", json.dumps(task)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{task} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def show(rows: list[dict[str, Any]], console: Console) -> None:
    """The rows as two tables."""
    table = Table(title="Musika: speed")
    for heading in ("what", "seconds", "threads", "wall s", "x real time", "cpu s", "peak MB"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for row in rows:
        speed = f"{row['times_real_time']:.1f}" if "times_real_time" in row else ""
        table.add_row(
            row["row"].replace("_", " "),
            f"{row['seconds']:g}" if row["seconds"] else "",
            str(row["threads"]),
            f"{row['median_wall_s']:.3f}",
            speed,
            f"{row['median_cpu_s']:.3f}",
            f"{row['peak_memory_bytes'] / 1e6:.0f}",
        )
    console.print(table)
    costs = Table(title="Where the time goes")
    for heading in ("part", "cpu s per minute of music", "share"):
        costs.add_column(heading, justify="left" if heading == "part" else "right")
    for row in rows:
        if row["row"] == "parts":
            spent = {name: part["cpu_s"] for name, part in row["parts"].items()}
            spent["everything else"] = row["rest_cpu_s"]
            for name, cpu_s in spent.items():
                share = cpu_s / row["median_cpu_s"]
                costs.add_row(name, f"{cpu_s * 60 / row['seconds']:.3f}", f"{share:.0%}")
    console.print(costs)
    loads = sorted(row["load_s"] for row in rows)
    console.print(f"loading: {loads[len(loads) // 2]:.2f} s (median of {len(loads)})")


def main() -> None:
    """Measure all rows, print the tables and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="piano", help="shipped name or model folder")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, nargs="+", default=LENGTHS_S)
    parser.add_argument("--threads", type=int, nargs="+", default=THREADS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(work(json.loads(options.model))))
        return
    console = Console()
    rows = []
    for task in tasks(options):
        console.print(f"[dim]{task['row']} {task['seconds'] or ''} threads {task['threads']}")
        rows.append(in_own_process(task))
    show(rows, console)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "musika_speed.json"
    path.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")
    console.print(f"written to {path}")


if __name__ == "__main__":
    main()
