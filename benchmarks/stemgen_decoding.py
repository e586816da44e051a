"""How fast does a StemGen answer: seconds of stem a second, by steps, guidance and precision.

    python benchmarks/stemgen_decoding.py --out benchmarks/results

A window of the small preset with random weights and tokens: what one step more or one row more
costs does not depend on what was learnt. Codec rows are encoding and decoding the window's audio,
which a stem needs once each besides. The paper's size is measured by one forward of its own number
of rows, and its decoding is that times its steps. Rates are medians by processor time, which other
work on the machine disturbs least, and by the clock; above 1 is faster than real time.

Prints a table and writes `stemgen_decoding.json`.
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
from ritornello.stemgen.combiner import FREE, Conditions
from ritornello.stemgen.config import DecodingConfig, GuidanceConfig, StemGenConfig
from ritornello.stemgen.decoding import decode
from ritornello.stemgen.generate import StemGen
from ritornello.stemgen.guidance import Guidance
from ritornello.stemgen.network import StemTransformer
from ritornello.stemgen.presets import paper, small

STEPS = {"24,12,6,6": (24, 12, 6, 6), "12,6,3,3": (12, 6, 3, 3), "64,32,16,16": (64, 32, 16, 16)}
GUIDANCE = {
    "none": GuidanceConfig(context=1.0, stem=1.0),
    "joint 2": GuidanceConfig(),
    "product 3 3": GuidanceConfig(kind="product", context=3.0, stem=3.0, anneal=False),
    "nested 2 1.5": GuidanceConfig(kind="nested", stem=1.5),
}
ROWS = [(steps, "joint 2", "fp32") for steps in STEPS]
ROWS += [("24,12,6,6", kind, "fp32") for kind in GUIDANCE if kind != "joint 2"]
ROWS += [("24,12,6,6", "joint 2", "bf16")]

Row = dict[str, Any]


def told(config: StemGenConfig, batch: int) -> Conditions:
    """Conditions of a window, drawn."""
    codec, draw = config.codec, torch.Generator().manual_seed(1)
    size = (batch, codec.codebooks, config.frames)
    return Conditions(
        context=torch.randint(codec.codebook_size, size, generator=draw),
        category=torch.zeros(batch, dtype=torch.int64),
        activity=torch.full((batch, config.frames), FREE),
    )


def timed(what: str, work: Callable[[], Any], seconds: float, repeats: int) -> Row:
    """A row: seconds of stem a second."""
    found = speed.measure(work, repeats=repeats, warmups=1)
    return {
        "what": what,
        "cpu_s": found.median_cpu_s,
        "wall_s": found.median_wall_s,
        "per_cpu_s": seconds / found.median_cpu_s,
        "per_s": seconds / found.median_wall_s,
    }


def decoding_rows(player: StemGen, options: argparse.Namespace) -> Iterator[Row]:
    """Every way of decoding a window, and the codec."""
    config, conditions = player.config, told(player.config, 1)

    def work(decoding: DecodingConfig, is_half: bool) -> Callable[[], Any]:
        def run() -> Any:
            draw = torch.Generator().manual_seed(0)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_half):
                return decode(player.network, conditions, None, decoding, draw)

        return run

    for steps, kind, precision in ROWS:
        decoding = replace(config.decoding, steps=STEPS[steps], guidance=GUIDANCE[kind])
        rows = len(Guidance(GUIDANCE[kind]).sources)
        what = f"small, {steps} steps, guidance {kind} ({rows} rows), {precision}"
        yield timed(what, work(decoding, precision == "bf16"), config.seconds, options.repeats)
    time = round(config.seconds * player.sample_rate)
    wave = 0.1 * torch.randn(1, 1, time, generator=torch.Generator().manual_seed(0))
    codes = player.codec.encode(wave)
    encode, play = (lambda: player.codec.encode(wave)), (lambda: player.codec.decode(codes))
    yield timed("small, codec encodes", encode, config.seconds, options.repeats)
    yield timed("small, codec decodes", play, config.seconds, options.repeats)


def paper_row() -> Row:
    """One forward at the paper's size, taken for all of its steps."""
    config = paper()
    with torch.device("meta"):
        network = StemTransformer(config)
    network = network.to_empty(device="cpu").eval().requires_grad_(False)
    for weights in network.parameters():
        torch.nn.init.normal_(weights, std=0.02, generator=torch.Generator().manual_seed(0))
    rows, steps = len(Guidance(config.decoding.guidance).sources), sum(config.decoding.steps)
    conditions = told(config, rows)
    seen = torch.full_like(conditions.context, network.mask)
    forward = torch.inference_mode()(lambda: network(conditions, seen, 0))
    one = timed("", forward, config.seconds / steps, 1)
    return {**one, "what": f"paper, {steps} x one forward of {rows} rows"}


def main() -> None:
    """Measure all rows, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--paper", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = replace(small(), stems=("bass", "chords", "drums", "melody"))
    player = StemGen.untrained(config, torch.Generator().manual_seed(0))
    found = list(decoding_rows(player, options))
    if options.paper:
        found.append(paper_row())
    table = Table(title=f"Seconds of stem a second, {options.threads} thread(s)")
    for index, heading in enumerate(("what", "cpu s", "per cpu s", "per s")):
        table.add_column(heading, justify="left" if index < 1 else "right")
    for row in found:
        figures = (f"{row[name]:.3g}" for name in ("cpu_s", "per_cpu_s", "per_s"))
        table.add_row(row["what"], *figures)
    Console().print(table)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "stemgen_decoding.json"
    result = {"threads": options.threads, "rows": found, "machine": speed.machine()}
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    Console().print(f"written to {path}")


if __name__ == "__main__":
    main()
