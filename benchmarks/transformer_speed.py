"""How many codes a second Jukebox's transformers sample: plain torch steps beside compiled ones.

    python benchmarks/transformer_speed.py --out benchmarks/results

Random weights that went through half precision, as those of any model folder; softmax and draw
included. Networks: the prior and the upsamplers of the `small` preset; the size at which the
published code was measured (width 512, 12 layers, 8 heads, untied); with `--networks paper` one of
the paper's upsamplers, which needs 8 GB. Rates are medians of several runs by processor time, which
other work on the machine disturbs least, and by the clock; every run begins a new window. Prints a
table, and writes `transformer_speed.json` with a description of the machine.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from ritornello.evaluation import speed
from ritornello.jukebox import prior_presets
from ritornello.jukebox.code_transformer import CodeModel, CodeTransformer, initialise
from ritornello.jukebox.prior_config import TransformerConfig, plain_order
from ritornello.jukebox.stepping import KernelStepper, Stepper, TorchStepper
from ritornello.native.library import available_paths


def measured_elsewhere() -> TransformerConfig:
    """What the published sampler makes 60 to 95 codes per CPU second with, and 440 of 8 songs."""
    return TransformerConfig(
        width=512, heads=8, layers=plain_order(12), blocks=32, block_length=32, is_tied=False
    )


NETWORKS: dict[str, tuple[Callable[[], TransformerConfig], int]] = {
    "small prior": (lambda: prior_presets.small().transformer, 512),
    "small upsampler, 6": (lambda: prior_presets.small_upsampler(6).transformer, 512),
    "small upsampler, 9": (lambda: prior_presets.small_upsampler(9).transformer, 512),
    "256 x 9": (lambda: prior_presets.small_transformer(256, plain_order(9), 4, 32, 32), 512),
    "512 x 12": (measured_elsewhere, 2048),
    "paper": (lambda: prior_presets.paper_upsampler(0).transformer, 2048),
}
USUAL = [name for name in NETWORKS if name != "paper"]


class Codes(CodeModel):
    """A transformer with nothing around it."""

    def __init__(self, config: TransformerConfig, symbols: int) -> None:
        super().__init__()
        self.transformer = CodeTransformer(config, symbols)
        initialise(self.transformer, torch.Generator().manual_seed(0))
        self.requires_grad_(False).half().float()


def steppers(model: Codes, options: argparse.Namespace) -> Iterator[tuple[str, Stepper]]:
    """Precision and stepper, the plain one first."""
    if options.torch:
        yield "fp32", TorchStepper(model)
    for path in options.paths:
        for precision in options.precisions:
            yield precision, KernelStepper(model, path=path, precision=precision)


def measure(
    stepper: Stepper, model: Codes, batch: int, options: argparse.Namespace
) -> dict[str, float]:
    """Rates over all songs, of runs about `options.seconds` long after a shorter one."""
    draw, config = torch.Generator().manual_seed(0), model.transformer.config
    start = torch.randn(batch, config.width, generator=draw)
    told = torch.randn(batch, min(config.context, options.most), config.width, generator=draw)

    def run(steps: int) -> speed.Timing:
        uniforms = np.random.default_rng(0).random((batch, steps), dtype=np.float32)
        state = stepper.begin(model.transformer.initial_state(start, told))
        return speed.measure(lambda: stepper.sample(state, uniforms), repeats=1, warmups=0)

    first = min(20, told.shape[1])
    trial = run(first)
    steps = int(first * options.seconds / trial.median_cpu_s)
    steps = max(first, min(steps, told.shape[1]))
    runs = [run(steps) for _ in range(options.repeats)]
    return {
        "steps": steps,
        "per_cpu_second": batch * steps / float(np.median([r.median_cpu_s for r in runs])),
        "per_second": batch * steps / float(np.median([r.median_wall_s for r in runs])),
        "best_per_second": batch * steps / min(r.median_wall_s for r in runs),
    }


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Every network, stepper and batch."""
    for name in options.networks:
        make, symbols = NETWORKS[name]
        model = Codes(make(), symbols)
        trunk = sum(p.numel() for p in model.transformer.trunk.parameters())
        for precision, stepper in steppers(model, options):
            for batch in options.batches:
                row = {"network": name, "weights": trunk, "path": stepper.path}
                row |= {"precision": precision, "batch": batch}
                yield row | measure(stepper, model, batch, options)


def main() -> None:
    """Measure all rows, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=USUAL)
    parser.add_argument("--paths", nargs="*", default=list(available_paths()[:1]))
    parser.add_argument("--precisions", nargs="+", default=["fp32", "int8"])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3, help="processor time of one run")
    parser.add_argument("--most", type=int, default=1 << 20, help="steps of a run, at most")
    parser.add_argument("--torch", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    table, found = Table(title="Codes a second, one thread"), []
    headings = ("network", "path", "precision", "batch", "per cpu s", "per s", "best per s")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index < 3 else "right")
    for row in rows(options):
        found.append(row)
        table.add_row(
            *(str(row[name]) for name in ("network", "path", "precision", "batch")),
            *(f"{row[name]:,.0f}" for name in ("per_cpu_second", "per_second", "best_per_second")),
        )
    Console().print(table)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "transformer_speed.json"
    result = {"rows": found, "machine": speed.machine()}
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    Console().print(f"written to {path}")


if __name__ == "__main__":
    main()
