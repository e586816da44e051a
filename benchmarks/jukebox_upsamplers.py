"""Which upsampler is faster: one code after the other, or all of a window in a few passes?

    python benchmarks/jukebox_upsamplers.py --out benchmarks/results

Upsamplers of the small size with random weights. Every run is one window of a song as it is
played: the conditioner over the codes above, half a window that is known, half a window that is
drawn; rates are of the codes drawn, of all songs together. Steps in torch and compiled, passes in
torch. `--known 0` is a window that knows nothing.

Prints a table with medians by processor time, which other work on the machine disturbs least, and
by the clock; writes `jukebox_upsamplers.json`. How good the codes are is not measured here.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from ritornello.evaluation import speed
from ritornello.jukebox import masked, upsampler
from ritornello.jukebox.conditions import Conditions
from ritornello.jukebox.masked_decoding import MaskedStepper
from ritornello.jukebox.prior_presets import SMALL_LABELS, small_masked, small_upsampler
from ritornello.jukebox.stepping import KernelStepper, TorchStepper, WindowSampler
from ritornello.native.library import available_paths


def samplers(options: argparse.Namespace) -> Iterator[tuple[str, nn.Module, WindowSampler]]:
    """Name, network and who draws with it."""
    draw = torch.Generator().manual_seed(0)
    plain = upsampler.Upsampler(small_upsampler(options.depth))
    upsampler.initialise(plain, draw)
    at_once = masked.MaskedUpsampler(small_masked(options.depth - options.depth % 2))
    masked.initialise(at_once, draw)
    for network in (plain, at_once):
        network.eval().requires_grad_(False).half().float()
    if options.torch:
        yield "steps, torch", plain, TorchStepper(plain)
    if available_paths():
        for precision in ("fp32", "int8"):
            stepper = KernelStepper(plain, precision=precision)
            yield f"steps, {stepper.path} {precision}", plain, stepper
    for passes in options.passes:
        yield f"{passes} passes, torch", at_once, MaskedStepper(at_once, passes)


def window(
    network: nn.Module, sampler: WindowSampler, batch: int, known: int
) -> Callable[[], object]:
    """One window of `batch` songs of which `known` codes are known."""
    config, draw = small_upsampler(6), torch.Generator().manual_seed(1)
    frames, ratio = config.frames, config.conditioner.ratio
    above = torch.randint(config.codes_above, (batch, frames // ratio), generator=draw)
    before = torch.randint(config.codes, (batch, known), generator=draw).numpy()
    numbers = torch.rand(batch, sampler.numbers * (frames - known), generator=draw).numpy()
    told = Conditions(
        artist=torch.zeros(batch, dtype=torch.int64),
        genres=torch.zeros(batch, SMALL_LABELS.genre_slots, dtype=torch.int64),
        total_s=torch.ones(batch),
        start_s=torch.zeros(batch),
    )

    def play() -> object:
        state = sampler.begin(network.begin(above, told))
        if known:
            sampler.read(before, state)
        return sampler.sample(state, numbers)

    return play


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Every sampler at every batch."""
    frames = small_upsampler(options.depth).frames
    for name, network, sampler in samplers(options):
        for batch in options.batches:
            found = speed.measure(
                window(network, sampler, batch, options.known), repeats=options.repeats
            )
            drawn = batch * (frames - options.known)
            yield {
                "sampler": name,
                "batch": batch,
                "weights": sum(weights.numel() for weights in network.parameters()),
                "per_cpu_second": drawn / found.median_cpu_s,
                "per_second": drawn / found.median_wall_s,
                "best_per_second": drawn / min(found.wall_s),
            }


def main() -> None:
    """Measure all rows, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--known", type=int, default=512, help="codes of a window's beginning")
    parser.add_argument("--passes", type=int, nargs="+", default=[4, 6, 8])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--torch", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    table, found = Table(title="Codes a second, one thread"), []
    for index, heading in enumerate(("sampler", "batch", "per cpu s", "per s", "best per s")):
        table.add_column(heading, justify="left" if index < 1 else "right")
    for row in rows(options):
        found.append(row)
        rates = (row[name] for name in ("per_cpu_second", "per_second", "best_per_second"))
        table.add_row(row["sampler"], str(row["batch"]), *(f"{rate:,.0f}" for rate in rates))
    Console().print(table)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "jukebox_upsamplers.json"
    asked = {"depth": options.depth, "known": options.known}
    result = {"asked": asked, "rows": found, "machine": speed.machine()}
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    Console().print(f"written to {path}")


if __name__ == "__main__":
    main()
