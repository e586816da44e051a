"""How many symbols a second a WaveNet samples: plain torch steps beside the compiled ones.

    python benchmarks/wavenet_speed.py --out benchmarks/results

Random weights, softmax and draw included. Networks: the lowest local model of ADA's `small` preset,
the paper's local model, and with `--networks large` the paper's large WaveNet; "saved" are weights
that went through half precision, as those of any model folder. Rates are medians of
several runs by processor time, which other work on the machine disturbs least, and by the clock.
Prints a table with the rate over that of 16 kHz audio, and writes `wavenet_speed.json` with a
description of the machine.
"""

import argparse
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from ritornello.ada import presets
from ritornello.ada.model import LocalModel
from ritornello.ada.sampling import TorchSampler, kernel_weights
from ritornello.evaluation import speed
from ritornello.native.wavenet import WaveNetKernel, available_paths
from ritornello.nn.wavenet import initialise

SYMBOLS = 256
AUDIO_RATE_HZ = 16_000
NETWORKS = {
    "small": lambda: presets.small().levels[0].local,
    "paper": lambda: presets.audio_vq().local,
    "large": presets.large_wavenet,
}


def samplers(model: LocalModel, paths: list[str]) -> Iterator[tuple[str, str, Any]]:
    """Path, precision and sampler, the plain one first."""
    yield "torch", "fp32", TorchSampler(model)
    trained, saved = kernel_weights(model), kernel_weights(copy.deepcopy(model).half().float())
    for path in paths:
        yield path, "fp32", WaveNetKernel(trained, path=path)
        yield path, "fp32, saved", WaveNetKernel(saved, path=path)
        yield path, "int8", WaveNetKernel(saved, path=path, precision="int8")


def measure(sampler: Any, batch: int, options: argparse.Namespace) -> dict[str, float]:
    """Rates over all streams, of runs about `options.seconds` long after a shorter one."""
    draw, state = np.random.default_rng(0), sampler.initial_state(batch)

    def sample(steps: int) -> None:
        sampler.sample(state, draw.random((batch, steps), dtype=np.float32))

    trial = speed.measure(lambda: sample(20), repeats=2)
    steps = max(20, int(20 * options.seconds / min(trial.cpu_s)))
    timing = speed.measure(lambda: sample(steps), repeats=options.repeats)
    per_cpu_second = batch * steps / timing.median_cpu_s
    return {
        "steps": steps,
        "per_cpu_second": per_cpu_second,
        "per_second": batch * steps / timing.median_wall_s,
        "times_audio_rate": per_cpu_second / AUDIO_RATE_HZ,
    }


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Every network, sampler and batch."""
    for name in options.networks:
        model = LocalModel(NETWORKS[name](), SYMBOLS, "continuous").eval()
        initialise(model, torch.Generator().manual_seed(0))
        for path, precision, sampler in samplers(model, options.paths):
            for batch in options.batches:
                row = {"network": name, "path": path, "precision": precision, "batch": batch}
                yield row | measure(sampler, batch, options)


def main() -> None:
    """Measure all rows, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["small", "paper"])
    parser.add_argument("--paths", nargs="*", default=list(available_paths()))
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="processor time of one run")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table, found = Table(title="Symbols a second, one thread"), []
    headings = ("network", "path", "precision", "batch", "per cpu s", "per s", "x 16 kHz")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index < 3 else "right")
    for row in rows(options):
        found.append(row)
        table.add_row(
            *(str(row[name]) for name in ("network", "path", "precision", "batch")),
            f"{row['per_cpu_second']:,.0f}",
            f"{row['per_second']:,.0f}",
            f"{row['times_audio_rate']:.2f}",
        )
    Console().print(table)
    options.out.mkdir(parents=True, exist_ok=True)
    result = {"rows": found, "machine": speed.machine()}
    path = options.out / "wavenet_speed.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    Console().print(f"written to {path}")


if __name__ == "__main__":
    main()
