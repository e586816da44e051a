"""Does a StemGen follow mixes from anywhere: any recordings, not made by the recipe it learnt from?

    python benchmarks/stemgen_mixes.py MODEL --mixes DIR --stems drums,bass --out benchmarks/results

Excerpts of every recording below DIR are answered with each of the stems. Each stem is judged by
its own mix and, as the anchor, by those of other recordings: shared beats, attacks that meet beyond
chance, shared pitch classes. Intervals are of 95 %, over recordings.

Prints tables, keeps the stems to be heard, writes `stemgen_mixes.json`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from ritornello.audio.io import read_audio, with_channels, write_audio
from ritornello.audio.resample import resample
from ritornello.evaluation import adherence
from ritornello.interfaces import Audio, Request
from ritornello.loading import find
from ritornello.stemgen.generate import StemGen
from ritornello.stemgen.options import StemGenOptions

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
NAMES = ("beat_f", "onset_coincidence", "chroma_correlation")


def excerpts(folder: Path, seconds: float, count: int, rate: int) -> list[tuple[str, Audio]]:
    """Recordings and excerpts of them, mono and at `rate`."""
    found = []
    for path in sorted(one for one in folder.rglob("*") if one.suffix in SUFFIXES):
        whole = read_audio(path)
        mono = resample(with_channels(whole.samples, 1), whole.sample_rate, rate)
        time = round(seconds * rate)
        if mono.shape[1] <= time:
            continue
        for start in np.linspace(0, mono.shape[1] - time, count + 2)[1:-1]:
            wave = mono[:, int(start) : int(start) + time].astype(np.float32)
            found.append((str(path.relative_to(folder)), Audio(samples=wave, sample_rate=rate)))
    return found


def main() -> None:
    """Make, judge, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--mixes", type=Path, required=True)
    parser.add_argument("--stems", default="drums,bass")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--each", type=int, default=4, help="excerpts of every recording")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    player = StemGen.load(find(options.model).folder)
    heard = excerpts(options.mixes, options.seconds, options.each, player.sample_rate)
    groups = [name for name, _ in heard]
    told: dict[str, Any] = {"recordings": sorted(set(groups)), "excerpts": len(heard), "stems": {}}
    table = Table(
        title=f"{len(heard)} excerpts of {len(set(groups))} recordings; anchor in brackets"
    )
    for heading in ("stem", *NAMES, "silence"):
        table.add_column(heading)
    for stem in options.stems.split(","):
        pairs = []
        for number, (_, mix) in enumerate(heard):
            request = Request(mix=mix, stem=stem, seed=number)
            made = player.generate(request, StemGenOptions(precision=options.precision))
            place = options.out / "stemgen_mixes" / stem
            place.mkdir(parents=True, exist_ok=True)
            write_audio(place / f"{number:03d}.flac", made)
            pairs.append((mix.samples, made.samples))
        draw = np.random.default_rng(0)
        figures = adherence.evaluate(pairs, player.sample_rate, None, draw, groups=groups)
        told["stems"][stem] = {name: one.to_dict() for name, one in figures.items()}
        cells = [f"{figures[name]} ({figures[name + '_anchor']})" for name in NAMES]
        table.add_row(stem, *cells, str(figures["silence_ratio"]))
    Console().print(table)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "stemgen_mixes.json"
    path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    Console().print(f"written to {path}")


if __name__ == "__main__":
    main()
