"""What StemGen's transformer costs: a training step and a forward, at the sizes of the presets.

    python benchmarks/stemgen_speed.py --out benchmarks/results

Random weights and tokens; codec and data loading are left out. Training steps are whole ones:
forward, gradients, optimiser, average. Rates are medians by processor time, which other work on the
machine disturbs least, and by the clock. The paper's size needs 6 GB for its training step; a
smaller `--batch` changes little of a rate in seconds of music. Prints a table, and writes
`stemgen_speed.json` with a description of the machine.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from ritornello.evaluation import speed
from ritornello.stemgen.config import StemGenConfig
from ritornello.stemgen.network import StemTransformer, initialise
from ritornello.stemgen.pairs import PairBatch
from ritornello.stemgen.presets import PRESETS
from ritornello.stemgen.train_transformer import TransformerStage, conditions_of
from ritornello.training.distributed import World
from ritornello.training.step import new_state, take_step

Row = dict[str, Any]


class NoPairs:
    """In the place of music: steps are measured on noise."""

    dropped = None

    def fill(self, progress: object = None) -> None:
        """Nothing to do."""

    def draw(self, draw: torch.Generator, count: int, frames: int, split: str = "") -> PairBatch:
        """Never called."""
        raise NotImplementedError


def stage_for(config: StemGenConfig) -> TransformerStage:
    """The training of a model."""
    return TransformerStage(config, NoPairs(), Path("/nowhere"))  # type: ignore[arg-type]


def timed(work: Callable[[], Any], seconds: float, options: argparse.Namespace) -> Row:
    """How long `work` takes, and how much music it goes through per second."""
    found = speed.measure(work, repeats=options.repeats, warmups=1)
    return {
        "cpu_s": found.median_cpu_s,
        "wall_s": found.median_wall_s,
        "audio_s_per_cpu_s": seconds / found.median_cpu_s,
        "audio_s_per_s": seconds / found.median_wall_s,
    }


def training_rows(name: str, config: StemGenConfig, options: argparse.Namespace) -> Iterator[Row]:
    """A training step in every precision."""
    stage, batch = stage_for(config), config.training.batch
    for precision in options.precisions:
        state = new_state(stage, 0, total_steps=10_000, precision=precision, world=World())
        work = lambda state=state: take_step(stage, state, 0, stage.example)  # noqa: E731
        row = timed(work, batch * config.seconds, options)
        yield {"size": name, "what": "training step", "batch": batch, "compute": precision} | row


def forward_rows(name: str, config: StemGenConfig, options: argparse.Namespace) -> Iterator[Row]:
    """A forward of one window, and of three, as two sources of guidance need."""
    network = StemTransformer(config)
    initialise(network, torch.Generator().manual_seed(0))
    network.eval().requires_grad_(False)
    for rows in (1, 3):
        one = replace(config, training=replace(config.training, batch=rows))
        pairs = stage_for(one).example(torch.Generator().manual_seed(0))
        told = conditions_of(pairs)
        work = lambda told=told, pairs=pairs: network(told, pairs.target, 0)  # noqa: E731
        with torch.inference_mode():
            row = timed(work, rows * config.seconds, options)
        yield {"size": name, "what": "forward", "batch": rows, "compute": "fp32"} | row


PARTS = {"training": training_rows, "forward": forward_rows}


def rows_of(options: argparse.Namespace) -> Iterator[Row]:
    """Every size and part."""
    for name in options.sizes:
        config = replace(PRESETS[name](), stems=("bass", "drums", "chords", "melody"))
        batch = options.batch or config.training.batch
        config = replace(config, training=replace(config.training, batch=batch))
        for part in options.parts:
            yield from PARTS[part](name, config, options)


def main() -> None:
    """Measure all rows, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--sizes", nargs="+", choices=PRESETS, default=["small"])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--precisions", nargs="+", choices=("fp32", "bf16"), default=["fp32"])
    parser.add_argument("--batch", type=int, help="of training steps (the preset's)")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rows = list(rows_of(options))
    table = Table(*rows[0])
    for row in rows:
        told = (
            f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()
        )
        table.add_row(*told)
    Console().print(table)
    options.out.mkdir(parents=True, exist_ok=True)
    document = {"machine": speed.machine(), "rows": rows}
    place = options.out / "stemgen_speed.json"
    place.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
