"""How many times faster than real time EnCodec encodes and decodes, at every size.

    python benchmarks/encodec_speed.py --out benchmarks/results

Random weights, whose speed is that of trained ones. Medians of several runs by processor time,
which other work on the machine disturbs least, and by the clock. Prints a table, and writes
`encodec_speed.json` with a description of the machine.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from ritornello.encodec.codec import EncodecCodec, build_network
from ritornello.encodec.presets import PRESETS
from ritornello.encodec.seanet import initialise
from ritornello.evaluation import speed


def drawn(preset: str) -> EncodecCodec:
    """A codec of that size, its codebooks standing on what it makes of noise."""
    config, draw = PRESETS[preset]().codec, torch.Generator().manual_seed(0)
    network = build_network(config).eval()
    initialise(network, draw)
    network.requires_grad_(False)
    wave = 0.1 * torch.randn(1, config.channels, config.sample_rate, generator=draw)
    queries = network.queries(network.fast(wave))
    for level, book in enumerate(network.quantizer.books):
        book.begin(network.quantizer(queries).residuals[level], draw)
    return EncodecCodec(network)


def rows(preset: str, seconds: float, repeats: int) -> list[dict[str, Any]]:
    """Encoding and decoding at one size."""
    codec = drawn(preset)
    samples, draw = round(seconds * codec.sample_rate), torch.Generator().manual_seed(1)
    wave = 0.1 * torch.randn(1, codec.channels, samples, generator=draw)
    codes = codec.encode(wave)
    work: dict[str, Callable[[], Any]] = {
        "encode": lambda: codec.encode(wave),
        "decode": lambda: codec.decode(codes, samples),
    }
    found = []
    for direction, act in work.items():
        timing = speed.measure(act, repeats=repeats)
        found.append(
            {
                "preset": preset,
                "direction": direction,
                "parameters": sum(weight.numel() for weight in codec.network.parameters()),
                "seconds": seconds,
                "times_real_time": seconds / timing.median_wall_s,
                "times_real_time_cpu": seconds / timing.median_cpu_s,
            }
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--presets", nargs="+", default=["small", "paper"], choices=PRESETS)
    parser.add_argument("--seconds", type=float, default=10.0, help="of audio (10)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    every = [
        row for preset in options.presets for row in rows(preset, options.seconds, options.repeats)
    ]
    table = Table(title=f"EnCodec, {options.threads} thread(s): times faster than real time")
    for heading in ("preset", "parameters", "direction", "by the clock", "by processor time"):
        table.add_column(heading, justify="left" if heading == "preset" else "right")
    for row in every:
        clock, cpu = (f"{row[name]:.1f}" for name in ("times_real_time", "times_real_time_cpu"))
        table.add_row(row["preset"], f"{row['parameters']:,}", row["direction"], clock, cpu)
    Console().print(table)
    options.out.mkdir(parents=True, exist_ok=True)
    result = {"threads": options.threads, "machine": speed.machine(), "rows": every}
    (options.out / "encodec_speed.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
