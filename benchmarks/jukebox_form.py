"""Does a section that is asked for again come back? A Jukebox with a form and without.

    python benchmarks/jukebox_form.py MODEL --form A:8,B:8,A:8,B:8 --out benchmarks/results

Every seed is played twice: with the form, and without. Both are judged by the same form, so that
the second is the null: what a piece of this model has in common with itself anyway. Figures are
those of `ritornello.evaluation.structure`, means over the seeds with a 95 % interval; the pieces
are kept to be heard, and `jukebox_form.json` is written.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from ritornello.audio.io import write_audio
from ritornello.evaluation import speed, structure
from ritornello.evaluation.intervals import mean_interval
from ritornello.interfaces import Audio, Request
from ritornello.jukebox.generate import Jukebox
from ritornello.loading import find
from ritornello.musika.form import parse_form

FIGURES = ("return_auc", "return_d_prime", "return_similarity", "return_lag_error_s", "letters_f")


def options_of_call() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", help="shipped name, model folder or run folder")
    parser.add_argument("--form", default="A:8,B:8,A:8,B:8")
    parser.add_argument("--pieces", type=int, default=12, help="seeds, each with and without")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    return parser.parse_args()


def main() -> None:
    """Play, judge, print, write JSON."""
    asked = options_of_call()
    torch.set_num_threads(asked.threads)
    model = find(asked.model)
    system = model.load()
    if not isinstance(system, Jukebox):
        raise SystemExit(f"{asked.model} is a {system.name} model; expected jukebox")
    sections = parse_form(asked.form)
    seconds = sum(section.seconds or system.config.prior.context_s for section in sections)
    asked.out.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[dict[str, float]]] = {"with": [], "without": []}
    form: list[tuple[str, float, float]] = []
    for seed in range(asked.pieces):
        told = Request(seconds=seconds, seed=seed, form=sections)
        for name, request in (("with", told), ("without", replace(told, form=()))):
            audio: Audio = system.generate(request)
            form = audio.meta.get("form", form)
            write_audio(asked.out / f"form-{seed}-{name}.wav", audio)
            asked_for = [(start_s, end_s, letter) for letter, start_s, end_s in form]
            rows[name].append(structure.evaluate(audio.samples, audio.sample_rate, asked_for))
    draw = np.random.default_rng(0)
    report = {
        figure: {
            name: mean_interval(np.array([row[figure] for row in own]), draw).to_dict()
            for name, own in rows.items()
        }
        for figure in FIGURES
    }
    shown = Table("figure", "with the form", "without")
    for figure, sides in report.items():
        cells = (
            f"{one['value']:.2f} [{one['low']:.2f}, {one['high']:.2f}]" for one in sides.values()
        )
        shown.add_row(figure, *cells)
    Console().print(shown)
    about = {
        "model": str(asked.model),
        "weights_sha256": model.weights_sha256,
        "form": asked.form,
        "machine": speed.machine(),
    }
    path = asked.out / "jukebox_form.json"
    path.write_text(json.dumps(about | report, indent=1, default=str) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
