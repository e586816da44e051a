"""The picture of the README: real piano, the same through the codec, and two generated pieces.

    python benchmarks/picture.py piano --reference RECORDINGS --out docs/images/piano.png

RECORDINGS is a folder (or its manifest) with held-out recordings, split "valid".
"""

import argparse
import tempfile
from pathlib import Path

import ritornello
from ritornello.data.corpus import Corpus, scan
from ritornello.evaluation.pictures import save_comparison

START_S, SECONDS = 20.0, 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="piano")
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/images/piano.png"))
    parser.add_argument("--seeds", type=int, nargs=2, default=(3, 7))
    options = parser.parse_args()
    if options.reference.is_file():
        corpus = Corpus.load(options.reference)
    else:
        with tempfile.TemporaryDirectory() as folder:
            corpus = scan(options.reference, manifest=Path(folder) / "manifest.jsonl")
    recording = next(r for r in corpus.split("valid") if r.duration_s > START_S + SECONDS)
    model = ritornello.load(options.model)
    real = recording.read(
        start_s=START_S, duration_s=SECONDS, sample_rate=model.sample_rate, channels=model.channels
    )
    clips = {"real (held out)": real, "through the codec": model.reconstruct(real)}
    for seed in options.seeds:
        request = ritornello.Request(seconds=SECONDS, seed=seed)
        clips[f"generated, seed {seed}"] = model.generate(request)
    save_comparison(clips, options.out)
    print(f"{options.out}: {recording.title}")


if __name__ == "__main__":
    main()
