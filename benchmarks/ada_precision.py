"""What bytes cost an ADA stack: held-out NLL of every network in fp32 and in int8.

Every network hears held-out music (its own symbols, given the codes above) through the compiled
step, once per precision. The gate for offering int8: at most 0.01 nats more per symbol.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from ritornello.ada.codec import Sequences
from ritornello.ada.generate import AdaStack
from ritornello.ada.sampling import PRECISIONS
from ritornello.evaluation import likelihood
from ritornello.evaluation.clips import clips_of
from ritornello.loading import load

GATE_NATS = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="shipped name or model folder of an ADA stack")
    parser.add_argument("--reference", type=Path, required=True, help="folder or manifest of audio")
    parser.add_argument("--split", help="with a manifest: its held-out split, e.g. valid")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    stack = load(options.model)
    if not isinstance(stack, AdaStack):
        parser.error(f"{options.model} is no ada model")
    clips = clips_of(
        options.reference, seconds=options.seconds, count=options.clips, split=options.split
    )
    waves = [clip.read(sample_rate=stack.sample_rate, channels=1).samples for clip in clips]
    rows = list(compared(stack, [known_symbols(stack, wave) for wave in waves]))
    print(f"nats per symbol, {len(waves)} clips")
    for row in rows:
        verdict = "ok" if row["change"] <= GATE_NATS else f"above {GATE_NATS}"
        figures = f"{row['fp32']:.4f} fp32, {row['int8']:.4f} int8, {row['change']:+.4f}"
        print(f"{row['network']}: {figures}: {verdict}")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "ada_precision.json").write_text(json.dumps(rows, indent=2) + "\n")


def known_symbols(stack: AdaStack, wave: np.ndarray) -> list[Sequences]:
    """Mu-law symbols, then codes of every level, of one clip."""
    if stack.codec is None:
        raise SystemExit("this model has no levels")
    return stack.codec.symbols(torch.from_numpy(wave)[None])


def compared(stack: AdaStack, clips: list[list[Sequences]]) -> Iterator[dict[str, float | str]]:
    """NLL of every network in both precisions, lowest first."""
    for index in range(len(stack.levels) + 1):
        name = f"level{index + 1}" if index < len(stack.levels) else "prior"
        nats = {
            precision: float(np.mean([surprise(stack, precision, index, clip) for clip in clips]))
            for precision in PRECISIONS
        }
        yield {"network": name, **nats, "change": nats["int8"] - nats["fp32"]}


def surprise(stack: AdaStack, precision: str, index: int, clip: list[Sequences]) -> float:
    """Mean NLL in nats of one clip's symbols under one network."""
    instruments = stack.instruments(precision)
    symbols = clip[index].numpy()
    if index < len(stack.levels):
        player = instruments.players[index]
        sampler, hop = player.sampler, player.ada.config.hop
        biases = player.biases(clip[index + 1])
    else:
        sampler, biases, hop = instruments.prior, None, 1
    logits = sampler.logits(sampler.initial_state(1), symbols, biases=biases, hop=hop)
    spread = torch.from_numpy(logits).double().log_softmax(-1).numpy()
    return float(likelihood.surprise(spread, symbols).mean())


if __name__ == "__main__":
    main()
