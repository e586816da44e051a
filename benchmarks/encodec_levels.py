"""What do the codebooks of an EnCodec keep, and do their codes stand still?

    python benchmarks/encodec_levels.py MODEL --data STEMS --out benchmarks/results

MODEL has an EnCodec (a codec of its own, or a StemGen). Excerpts of the single stems of held-out
songs go through 1, 2, ... of its codebooks: spectral convergence and distance of log-mel spectra,
by stem, and the bits a second that they take. And of the frames that sound: how often a code is
that of the frame before, and the entropy of its codes in bits. What changes all the time
without being heard is what a language model wastes its training on.

Prints tables, writes `encodec_levels.json`.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from rich.console import Console
from rich.table import Table

from ritornello.data.stems import StemCorpus, read_stem, scan_stems
from ritornello.encodec.codec import EncodecCodec, load_codec
from ritornello.evaluation.intervals import mean_interval
from ritornello.evaluation.reconstruction import log_mel_distance_db, spectral_convergence_db
from ritornello.loading import find

LOUD = 0.01
"""Root mean square of a frame that sounds, and of an excerpt that is used."""

Wave = Float32[np.ndarray, "channels time"]


def excerpts(
    corpus: StemCorpus, seconds: float, songs: int, rate: int
) -> Iterator[tuple[str, Wave]]:
    """The middle of every stem of some held-out songs, those that can be heard."""
    for song in corpus.split("valid").songs[:songs]:
        start_s = max(0.0, (song.seconds - seconds) / 2)
        for stem in song.stems:
            wave = read_stem(stem, start_s, seconds, rate)[None]
            if float(np.sqrt((wave**2).mean())) > LOUD:
                yield stem.category, wave


@torch.inference_mode()
def through(codec: EncodecCodec, codes: Int64[torch.Tensor, "1 levels frames"], time: int) -> Wave:
    """Audio of the first levels alone."""
    network = codec.network
    vectors = network.quantizer.look_up(codes)
    return network.decoder(network.widen(vectors.transpose(1, 2)))[0, :, :time].numpy()


def entropy_bits(values: Int64[np.ndarray, " n"]) -> float:
    """Of what occurs."""
    counts = np.unique(values, return_counts=True)[1]
    shares = counts / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--songs", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    codec = load_codec(find(options.model).folder)
    rate, hop, levels = codec.sample_rate, codec.hop_samples, codec.codebooks
    kept: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    before: list[list[Int64[np.ndarray, " n"]]] = [[] for _ in range(levels)]
    after: list[list[Int64[np.ndarray, " n"]]] = [[] for _ in range(levels)]
    for category, wave in excerpts(
        scan_stems([options.data]), options.seconds, options.songs, rate
    ):
        codes = codec.encode(torch.from_numpy(wave)[None])
        for count in range(1, levels + 1):
            made = through(codec, codes[:, :count], wave.shape[1])
            row = kept[f"{count} of {levels}"]
            row[category].append(spectral_convergence_db(wave, made, rate))
            row["log_mel_db"].append(log_mel_distance_db(wave, made, rate))
        frames = wave.shape[1] // hop
        loud = np.sqrt((wave[0, : frames * hop].reshape(frames, hop) ** 2).mean(1)) > LOUD
        both = loud[1:] & loud[:-1]
        for level, sequence in enumerate(codes[0, :, :frames].numpy()):
            before[level].append(sequence[:-1][both])
            after[level].append(sequence[1:][both])
    draw = np.random.default_rng(0)
    found: dict[str, Any] = {"kept": {}, "codes": {}}
    for name, row in kept.items():
        mel = mean_interval(np.array(row.pop("log_mel_db")), draw)
        every = [value for values in row.values() for value in values]
        bits = int(name.split()[0]) * log2(codec.codebook_size) * codec.frame_rate_hz
        found["kept"][name] = {
            "bits_per_second": bits,
            "spectral_convergence_db": mean_interval(np.array(every), draw).to_dict(),
            "log_mel_distance_db": mel.to_dict(),
            "by_stem": {stem: float(np.mean(values)) for stem, values in sorted(row.items())},
        }
    for level in range(levels):
        old, new = np.concatenate(before[level]), np.concatenate(after[level])
        found["codes"][f"level {level}"] = {
            "frames": len(new),
            "same_as_before": float((old == new).mean()),
            "bits": entropy_bits(new),
        }
    show(found)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "encodec_levels.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    Console().print(f"written to {path}")


def show(found: dict[str, Any]) -> None:
    """Two tables."""
    stems = list(next(iter(found["kept"].values()))["by_stem"])
    table = Table(title="Spectral convergence in dB, by codebooks and stem")
    for heading in ("codebooks", "bit/s", "all", "log-mel, dB", *stems):
        table.add_column(heading, justify="right")
    for name, row in found["kept"].items():
        figures = [row["spectral_convergence_db"]["value"], row["log_mel_distance_db"]["value"]]
        cells = [f"{value:.2f}" for value in (*figures, *(row["by_stem"][one] for one in stems))]
        table.add_row(name, f"{row['bits_per_second']:.0f}", *cells)
    Console().print(table)
    table = Table(title="Codes of frames that sound")
    for heading in ("level", "frames", "same as before", "bits"):
        table.add_column(heading, justify="right")
    for name, row in found["codes"].items():
        figures = (row["same_as_before"], row["bits"])
        table.add_row(name, str(row["frames"]), *(f"{value:.3g}" for value in figures))
    Console().print(table)


if __name__ == "__main__":
    main()
