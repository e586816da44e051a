"""How good a Jukebox is: its levels, its bits, its obedience to names, its distance, its speed.

    python benchmarks/jukebox_quality.py MODEL --reference MANIFEST --out benchmarks/results

MANIFEST is that of the data it was trained on (`ritornello data scan`), so that the recordings that
it has not heard are known: the split "valid". Figures come with a 95 % interval and the number of
items that it rests on. Prints tables, keeps the generated takes to be heard, writes
`jukebox_quality.json`.

    levels      each autoencoder by itself: spectral convergence, use of its codebook
    bits        each transformer on held-out codes, with labels and without, beside the unigram
    names       a classifier on musicnn's features, taught real music of each name, asked whose a
                take is that was made for a name
    distance    FAD and KID of the same takes, as many for every name

The classifier learns from music that went through the model's autoencoder of the level played, as
takes did: or else it would hear the autoencoder and not the composer.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from ritornello.audio.io import read_audio, write_audio
from ritornello.data.corpus import Corpus
from ritornello.data.recordings import Recording
from ritornello.errors import DataError
from ritornello.evaluation import labelled, speed
from ritornello.evaluation.clips import clips_of
from ritornello.evaluation.codec_judgement import judge_codec
from ritornello.evaluation.embedding import Embedding, load_embedding
from ritornello.evaluation.hearing import Hearing
from ritornello.evaluation.intervals import Estimate, mean_interval, without_interval
from ritornello.evaluation.judgement import judge
from ritornello.evaluation.labelled import LabelledClips
from ritornello.evaluation.likelihood import bits, unigram, unigram_surprise
from ritornello.interfaces import Audio, Request
from ritornello.jukebox.conditions import without_labels
from ritornello.jukebox.generate import Jukebox, Options
from ritornello.jukebox.labels import normalised
from ritornello.jukebox.recordings import CodeCorpus
from ritornello.jukebox.train import code_stages
from ritornello.jukebox.train_codes import CodeStage
from ritornello.loading import FoundModel, find

PARTS = ("levels", "bits", "names", "distance")
LEVEL_FIGURES = (
    "spectral_convergence_db",
    "log_mel_distance_db",
    "onset_correlation",
    "usage",
    "perplexity",
    "bit_rate",
    "entropy_bit_rate",
)
TABLE_WIDTH = 112

Figures = dict[str, Estimate]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a run of the benchmark judges.

    Attributes:
        model: Where the weights are.
        system: The model, loaded.
        corpus: Recordings of all splits.
        asked: The flags.
        names: To ask for, in the order of their labels.
        draw: Source of every resampling.
    """

    model: FoundModel
    system: Jukebox
    corpus: Corpus
    asked: argparse.Namespace
    names: Sequence[str]
    draw: np.random.Generator


# ------------------------------------------------------------------ levels


def judge_levels(setting: Setting) -> dict[str, Figures]:
    """What each autoencoder loses of held-out clips, and how much of its codebook it uses."""
    asked = setting.asked
    clips = clips_of(
        asked.reference, seconds=asked.seconds, count=asked.clips, seed=asked.seed, split="valid"
    )
    found = {}
    for level in sorted(setting.system.vqvaes):
        codec = setting.system.codec_at(level)
        figures = judge_codec(codec, clips, setting.draw)
        found[f"level {level}, hop {codec.hop_samples}"] = {
            name: figures[name] for name in LEVEL_FIGURES
        }
    return found


# ------------------------------------------------------------------ bits


def judge_bits(setting: Setting) -> dict[str, Figures]:
    """Bits per code of every transformer on held-out excerpts, intervals over excerpts."""
    system, asked = setting.system, setting.asked
    corpus = some_recordings(setting)
    folder = asked.cache or asked.out / "codes"
    music = CodeCorpus(corpus, system.config, setting.model.folder, folder)
    models = {system.top: system.prior, **system.upsamplers}
    return {
        stage.name: bits_of(stage, models[stage.level], setting)
        for stage in code_stages(system.config, music, None)
        if stage.level in models
    }


def some_recordings(setting: Setting) -> Corpus:
    """As many recordings of the splits "train" and "valid" as asked, long enough for a context."""
    least_s, draw = setting.system.config.prior.context_s, np.random.default_rng(setting.asked.seed)
    chosen: list[Recording] = []
    for split in ("train", "valid"):
        own = [one for one in setting.corpus.split(split) if one.duration_s > least_s]
        order = draw.permutation(len(own))[: setting.asked.recordings]
        chosen += [own[place] for place in order.tolist()]
    return Corpus(chosen)


@torch.inference_mode()
def bits_of(stage: CodeStage, model: torch.nn.Module, setting: Setting) -> Figures:
    """Of one transformer: with labels, without, and of who knows the codes' frequencies alone."""
    stage.prepare()
    split = stage.music.split_to_judge(stage.frames)
    generator = torch.Generator().manual_seed(setting.asked.seed)
    trained_on = stage.draw(generator, setting.asked.excerpts, "train")
    held_out = stage.draw(generator, setting.asked.excerpts, split)
    frequencies = unigram([trained_on.codes.flatten().numpy()[None]], stage.codes)
    rows: list[dict[str, float]] = []
    for excerpt in held_out.split(1):
        bare = replace(excerpt, conditions=without_labels(excerpt.conditions))
        naive = unigram_surprise(frequencies, excerpt.codes.numpy())
        rows.append(
            {
                "bits": float(stage.losses(model, excerpt)["bits"]),
                "unlabelled_bits": float(stage.losses(model, bare)["bits"]),
                "unigram_bits": bits(float(naive.mean())),
            }
        )
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    columns["gain_bits"] = columns["unigram_bits"] - columns["bits"]
    columns["label_gain_bits"] = columns["unlabelled_bits"] - columns["bits"]
    figures = {name: mean_interval(values, setting.draw) for name, values in columns.items()}
    return figures | {"uniform_bits": without_interval(float(np.log2(stage.codes)), len(rows))}


# ------------------------------------------------------------------ takes


def takes(setting: Setting) -> tuple[list[tuple[Path, int]], Figures]:
    """Takes for every name in turn, kept under the weights' name: files, whose; and the speed."""
    asked, system = setting.asked, setting.system
    folder = asked.out / f"takes-{setting.model.weights_sha256[:12]}-{asked.seconds:g}s"
    folder.mkdir(parents=True, exist_ok=True)
    options = Options(precision=asked.precision, level=asked.level)
    files, rates = [], []
    for take in range(asked.takes):
        for index, name in enumerate(setting.names):
            seed = asked.seed + take * len(setting.names) + index
            path = folder / f"{name}-{seed}-{asked.precision}-{asked.level}-{asked.guidance}.wav"
            files.append((path, index))
            if path.is_file():
                continue
            request = Request(
                seconds=asked.seconds,
                seed=seed,
                labels={asked.label: name},
                guidance=asked.guidance,
            )
            start = time.perf_counter()
            audio = system.generate(request, options)
            rates.append(speed.times_real_time(audio.duration_s, time.perf_counter() - start))
            write_audio(path, audio)
    told = {"times_real_time": mean_interval(np.array(rates), setting.draw)} if rates else {}
    return files, told


# ------------------------------------------------------------------ names


def judge_names(setting: Setting, files: Sequence[tuple[Path, int]]) -> Mapping[str, Any]:
    """Whether takes are heard as the name that they were made for."""
    embedding = load_embedding("musicnn")
    sides = {
        split: clips_for(setting, embedding, split, through_the_level_played(setting))
        for split in ("train", "valid")
    }
    generated = described(
        ((read_audio(path), index, path.name) for path, index in files), embedding
    )
    found = labelled.judge(sides["train"], sides["valid"], generated, setting.names, setting.draw)
    return {
        "figures": found.figures,
        "held out, heard as": found.held_out,
        "asked for, heard as": found.generated,
    }


def through_the_level_played(setting: Setting) -> Callable[[Audio], Audio]:
    """Audio through the autoencoder that takes are decoded by."""
    system, asked = setting.system, setting.asked.level
    level = max(system.lowest, system.config.plays) if asked is None else asked
    return partial(system.reconstruct, level=level)


def clips_for(
    setting: Setting, embedding: Embedding, split: str, through: Callable[[Audio], Audio]
) -> LabelledClips:
    """Real clips of every name, `through` the autoencoder."""
    asked = setting.asked
    chosen = labelled.clips_by_name(
        setting.corpus.split(split),
        asked.label,
        setting.names,
        seconds=asked.seconds,
        per_name=asked.label_clips,
        seed=asked.seed,
    )
    return described(
        ((through(clip.read()), index, work) for clip, index, work in chosen), embedding
    )


def described(material: Iterator[tuple[Audio, int, str]], embedding: Embedding) -> LabelledClips:
    """The mean patch of every clip, with whose it is and what it is from."""
    rows, labels, works = [], [], []
    for audio, index, work in material:
        rows.append(embedding.embed(audio.samples, audio.sample_rate).mean(axis=0))
        labels.append(index)
        works.append(work)
    return LabelledClips(
        features=np.stack(rows).astype(np.float64), labels=np.array(labels), works=tuple(works)
    )


# ------------------------------------------------------------------ distance


def judge_distance(setting: Setting, files: Sequence[tuple[Path, int]]) -> Figures:
    """FAD and KID of the takes against held-out recordings."""
    asked = setting.asked
    made = clips_of(files[0][0].parent, seconds=asked.seconds, count=len(files), seed=asked.seed)
    real = clips_of(
        asked.reference, seconds=asked.seconds, count=2 * len(files), seed=asked.seed, split="valid"
    )
    found = judge(
        made,
        Hearing(real, "reference"),
        draw=setting.draw,
        embeddings=[load_embedding("musicnn")],
        metrics=["fad", "kid"],
        cache=None,
        progress=None,
        name=setting.model.name,
    )
    return found.figures


# ------------------------------------------------------------------ report


def show(report: Mapping[str, Any], console: Console) -> None:
    """Every part's figures, and the confusion tables as such."""
    rows = Table(title="Jukebox: quality", caption="value [95 % interval]")
    for heading in ("what", "figure", "value", "items"):
        rows.add_column(heading, justify="right" if heading in ("value", "items") else "left")
    tables = []
    for part, figures in parts_of(report):
        if any("heard as" in word for word in part):
            tables.append((part, figures))
            continue
        for name, figure in figures.items():
            row = (": ".join(part), name.replace("_", " "), str(figure), str(figure.items))
            rows.add_row(*row)
        rows.add_section()
    console.print(rows)
    by_table: dict[str, dict[str, Figures]] = {}
    for part, figures in tables:
        by_table.setdefault(": ".join(part[:-1]), {})[part[-1]] = figures
    for title, confusion in by_table.items():
        console.print(confusion_table(title, confusion))


def confusion_table(title: str, confusion: Mapping[str, Figures]) -> Table:
    """Rows who it is by, columns who is heard, in per cent."""
    columns = list(dict.fromkeys(chain.from_iterable(confusion.values())))
    shown = Table("%", *columns, title=title)
    for name, row in confusion.items():
        shown.add_row(name, *(f"{100 * row[other].value:.0f}" for other in columns))
    return shown


def parts_of(
    report: Mapping[str, Any], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Figures]]:
    """Every mapping that holds figures, with the names on the way to it."""
    for name, part in report.items():
        if part and all(isinstance(value, Estimate) for value in part.values()):
            yield (*above, name), part
        else:
            yield from parts_of(part, (*above, name))


def plain(value: Any) -> Any:
    """The report as JSON values."""
    if isinstance(value, Estimate):
        return value.to_dict()
    return {name: plain(part) for name, part in value.items()}


def options_of_call() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", help="shipped name, model folder or run folder")
    parser.add_argument("--reference", type=Path, required=True, help="manifest with splits")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--clips", type=int, default=48, help="held-out clips for the levels")
    parser.add_argument("--seconds", type=float, default=10.0, help="of clips and takes")
    parser.add_argument("--recordings", type=int, default=16, help="of each split, for the bits")
    parser.add_argument("--excerpts", type=int, default=48, help="contexts, for the bits")
    parser.add_argument("--label", default="composer")
    parser.add_argument("--names", nargs="+", help="default: all with enough held-out music")
    parser.add_argument("--label-clips", type=int, default=40, help="real clips of every name")
    parser.add_argument("--takes", type=int, default=8, help="generated for every name")
    parser.add_argument("--guidance", type=float, help="towards the name")
    parser.add_argument("--level", type=int, help="lowest level to play")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--cache", type=Path, help="of codes, e.g. that of the training run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    return parser.parse_args()


def known_names(system: Jukebox, corpus: Corpus, asked: argparse.Namespace) -> list[str]:
    """The names to ask for: all that the model knows and that held-out music can judge.

    Raises:
        DataError: Fewer than two.
    """
    known = set(system.config.artists)
    judged = labelled.names_to_judge(corpus, asked.label, asked.seconds)
    names = [
        name for name in judged if normalised(name) in known and name in (asked.names or judged)
    ]
    if len(names) < 2:
        raise DataError(
            f"got {names or 'no names'} to ask for; expected two or more that the model knows "
            f"({', '.join(sorted(known)) or 'none'}) and that have two recordings of "
            f"{asked.seconds:g} s in the splits train and valid each"
        )
    return names


def main() -> None:
    """Judge the model, print the tables, write JSON."""
    asked = options_of_call()
    torch.set_num_threads(asked.threads)
    model = find(asked.model)
    system = model.load()
    if not isinstance(system, Jukebox):
        raise SystemExit(f"{asked.model} is a {system.name} model; expected jukebox")
    asked.out.mkdir(parents=True, exist_ok=True)
    corpus = Corpus.load(asked.reference)
    needs_takes = not {"names", "distance"}.isdisjoint(asked.parts)
    setting = Setting(
        model=model,
        system=system,
        corpus=corpus,
        asked=asked,
        names=known_names(system, corpus, asked) if needs_takes else (),
        draw=np.random.default_rng(asked.seed),
    )
    console = Console(width=TABLE_WIDTH)
    report: dict[str, Any] = {}
    if "levels" in asked.parts:
        console.print("[dim]levels")
        report["levels"] = judge_levels(setting)
    if "bits" in asked.parts:
        console.print("[dim]bits")
        report["bits"] = judge_bits(setting)
    if needs_takes:
        console.print(f"[dim]{asked.takes} takes for each of {', '.join(setting.names)}")
        files, report["speed"] = takes(setting)
        if "names" in asked.parts:
            console.print("[dim]names")
            report["names"] = judge_names(setting, files)
        if "distance" in asked.parts:
            console.print("[dim]distance")
            report["distance"] = judge_distance(setting, files)
    show(report, console)
    about = {
        "model": str(asked.model),
        "weights_sha256": model.weights_sha256,
        "flags": {name: value for name, value in vars(asked).items() if name != "model"},
        "machine": speed.machine(),
    }
    path = asked.out / "jukebox_quality.json"
    text = json.dumps({**about, **plain(report)}, indent=1, default=str)
    path.write_text(text + "\n", encoding="utf-8")
    console.print(f"written to {path}")


if __name__ == "__main__":
    main()
