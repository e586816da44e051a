"""How good a Musika model is: its codec, its width, its seams, its variety, its obedience.

    python benchmarks/musika_quality.py piano --reference RECORDINGS --out benchmarks/results

RECORDINGS is a folder (or the manifest of one) that holds recordings the model has not been trained
on; by default those of the split "valid" are used. Figures come with a 95 % bootstrap interval and
the number of items it rests on. Prints a table, writes `musika_quality.json` and spectrograms side
by side.

Three reconstructions are compared on the same clips: the codec; Griffin-Lim on the codec's own
magnitudes (what the codec's phase adds); Griffin-Lim on the true magnitudes (what would be left to
lose if the magnitudes were perfect).
"""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import ritornello
from ritornello.audio.stft import StftConfig, griffin_lim, stft
from ritornello.data.corpus import Corpus, scan
from ritornello.errors import DataError
from ritornello.evaluation import (
    controls,
    diversity,
    frechet,
    pictures,
    reconstruction,
    seams,
    speed,
    stereo,
)
from ritornello.evaluation.excerpts import describe_all, pieces_of
from ritornello.evaluation.intervals import Estimate, mean_interval, resampled, summarise
from ritornello.interfaces import Audio, Request
from ritornello.musika.controls import measure
from ritornello.musika.generate import Musika

GRIFFIN_LIM_PASSES = 32
PIECES_PER_TAKE = 4
CONSTANTS = (0.1, 0.3, 0.5, 0.7, 0.9)
TAKES_PER_CONSTANT = 2
CURVE_S = 30.0
CONTROL_RATE_HZ = 4.0
SEAM_S = 60.0
PICTURES = 3
TABLE_WIDTH = 112

Figures = dict[str, Estimate]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a run of the benchmark judges.

    Attributes:
        system: The model.
        clips: Held-out recordings at the model's rate and channels, all of the same length.
        takes: How many pieces to generate where a set is judged.
        seconds: Length of clips and takes.
        draw: Source of every resampling.
    """

    system: Musika
    clips: list[Audio]
    takes: int
    seconds: float
    draw: np.random.Generator


# ------------------------------------------------------------------ material


def held_out_clips(options: argparse.Namespace, sample_rate: int, channels: int) -> list[Audio]:
    """Clips from as many recordings as there are, taken in turn, at random places."""
    corpus = reference_corpus(options)
    long_enough = [r for r in corpus if r.duration_s >= options.seconds]
    if not long_enough:
        raise DataError(
            f"{options.reference} has {len(corpus)} recordings in the split {options.split!r}, "
            f"none of {options.seconds:g} s or more; choose another --split or --seconds"
        )
    draw = np.random.default_rng(options.seed)
    order = [long_enough[int(index)] for index in draw.permutation(len(long_enough))]
    clips = []
    for index in range(options.clips):
        recording = order[index % len(order)]
        start_s = draw.uniform(0, recording.duration_s - options.seconds)
        clip = recording.read(
            start_s=start_s,
            duration_s=options.seconds,
            sample_rate=sample_rate,
            channels=channels,
        )
        clips.append(clip)
    shortest = min(clip.samples.shape[1] for clip in clips)
    return [
        Audio(samples=clip.samples[:, :shortest], sample_rate=sample_rate)
        for clip in clips
        if np.any(clip.samples)
    ]


def reference_corpus(options: argparse.Namespace) -> Corpus:
    """The reference's recordings of the split asked for; a folder is scanned first."""
    if options.reference.is_dir():
        options.out.mkdir(parents=True, exist_ok=True)
        corpus = scan(options.reference, manifest=options.out / "reference.jsonl")
    else:
        corpus = Corpus.load(options.reference)
    return corpus if options.split == "all" else corpus.split(options.split)


def takes_of(setting: Setting, count: int, seconds: float, **request: Any) -> list[Audio]:
    """`count` pieces with seeds 0, 1, 2, ..."""
    return [
        setting.system.generate(Request(seconds=seconds, seed=seed, **request))
        for seed in range(count)
    ]


# ------------------------------------------------------------------ codec


def reconstructions(setting: Setting) -> dict[str, Callable[[Audio], Audio]]:
    """The ways from a clip's latents (or magnitudes) back to audio, by name."""
    config = setting.system.config.stft
    transform = StftConfig(n_fft=config.n_fft, hop_length=config.hop_length)

    def pass_through(magnitude: torch.Tensor, clip: Audio) -> Audio:
        """Griffin-Lim on magnitudes (channels, bins, frames), from a seeded random phase."""
        time = clip.samples.shape[1]
        wave = griffin_lim(
            magnitude[..., : transform.frames_for(time)],
            transform,
            time,
            GRIFFIN_LIM_PASSES,
            generator=torch.Generator().manual_seed(0),
        )
        return replace(clip, samples=wave.numpy())

    def own_magnitudes(clip: Audio) -> Audio:
        return pass_through(decoded_magnitudes(setting.system, clip), clip)

    def true_magnitudes(clip: Audio) -> Audio:
        return pass_through(stft(torch.from_numpy(clip.samples), transform).abs(), clip)

    return {
        "codec": setting.system.reconstruct,
        "griffin_lim_own_magnitudes": own_magnitudes,
        "griffin_lim_true_magnitudes": true_magnitudes,
    }


@torch.inference_mode()
def decoded_magnitudes(system: Musika, clip: Audio) -> torch.Tensor:
    """The linear magnitudes that the codec decodes for a clip, (channels, bins, frames)."""
    codec = system.codec
    latents = codec.encode(torch.from_numpy(clip.samples).unsqueeze(0))
    frames, ratio = latents.shape[-1], system.config.level2.ratio
    context = codec.context_latents
    whole_chunks = -frames % codec.chunk_frames
    held = torch.nn.functional.pad(latents, (context, whole_chunks + context), mode="replicate")
    log_magnitude = codec.level1["decoder"](codec.decode_level2(held))[0]
    inner = log_magnitude[..., context * ratio : (context + frames) * ratio]
    return codec.scale.magnitude(inner)


def judge_codec(setting: Setting) -> tuple[dict[str, Figures], dict[str, list[Audio]]]:
    """Figures of every way of reconstruction, and what it made of each clip."""
    made = {
        name: [way(clip) for clip in setting.clips]
        for name, way in reconstructions(setting).items()
    }
    figures = {}
    for name, audio in made.items():
        rows = [
            reconstruction.evaluate(clip.samples, again.samples, clip.sample_rate)
            for clip, again in zip(setting.clips, audio, strict=True)
        ]
        figures[name] = summarise(rows, setting.draw)
    return figures, made


def judge_stereo(setting: Setting, sets: Mapping[str, list[Audio]]) -> dict[str, Figures]:
    """Width of every set of recordings; nothing for a mono model."""
    if setting.system.channels != 2:
        return {}
    return {
        name: summarise(
            [stereo.evaluate(audio.samples, audio.sample_rate) for audio in audios], setting.draw
        )
        for name, audios in sets.items()
    }


# ------------------------------------------------------------------ generator


def judge_sets(setting: Setting, takes: list[Audio]) -> Figures:
    """Variety among and inside takes, and the distance of the set from real clips."""
    made, real = (
        np.stack([described(audio, setting.seconds) for audio in audios])
        for audios in (takes, setting.clips)
    )
    return {
        **diversity.evaluate(made, real, setting.draw),
        **frechet.evaluate(real, made, setting.draw),
    }


def described(audio: Audio, seconds: float) -> np.ndarray:
    """Features of the pieces of one recording, (pieces, dim)."""
    # A few samples less: clips resampled from other rates may end a sample early.
    piece_s = seconds / PIECES_PER_TAKE - 0.001
    pieces = pieces_of(audio.samples, audio.sample_rate, piece_s)[:PIECES_PER_TAKE]
    return describe_all(pieces, audio.sample_rate)


def judge_seams(setting: Setting) -> dict[str, dict[str, Any]]:
    """Change at the joints of generated chunks, and at the same moments of real recordings."""
    system = setting.system
    chunk_s, step_s = system.config.chunk_s, 1 / system.config.latent_rate_hz
    made = takes_of(setting, max(2, setting.takes // 4), SEAM_S)
    pieces = {"generated": (made, SEAM_S), "real": (setting.clips, setting.seconds)}
    figures = {}
    for name, (audios, seconds) in pieces.items():
        joints_s = np.arange(chunk_s, seconds - 0.1, chunk_s)
        if joints_s.size:
            waves = [audio.samples for audio in audios]
            found = seams.seam_ratio(waves, system.sample_rate, joints_s, step_s, setting.draw)
            figures[name] = {"seam_ratio": found.ratio, "p_value": found.p_value}
    return figures


def judge_controls(setting: Setting) -> dict[str, Figures]:
    """Adherence to constants and to curves, by control, with the null of free takes."""
    return {
        name: {**judge_constants(setting, name), **judge_curves(setting, name)}
        for name in setting.system.config.gan.controls
    }


def judge_constants(setting: Setting, control: str) -> Figures:
    """Slope and correlation of what was detected over what was asked, interval over takes."""
    pairs = []
    for constant in CONSTANTS:
        asked = {control: ((0.0, constant),)}
        for take in takes_of(setting, TAKES_PER_CONSTANT, setting.seconds, controls=asked):
            pairs.append((constant, float(np.nanmean(detected(setting, control, take)))))
    asked_all, detected_all = np.array(pairs).T

    def figure(name: str) -> Estimate:
        def statistic(chosen: np.ndarray) -> float:
            if np.ptp(asked_all[chosen]) == 0:
                return float("nan")
            return controls.evaluate(asked_all[chosen], detected_all[chosen])[name]

        return resampled(len(pairs), statistic, setting.draw)

    return {name: figure(name) for name in ("response_slope", "response_correlation")}


def judge_curves(setting: Setting, control: str) -> Figures:
    """Correlation with a slow wave that was asked for, and of free takes with the same wave."""
    times_s = (np.arange(round(CURVE_S * CONTROL_RATE_HZ)) + 0.5) / CONTROL_RATE_HZ
    followed, free, count = [], [], max(2, setting.takes // 2)
    for seed in range(count):
        asked = 0.5 - 0.4 * np.cos(2 * np.pi * (times_s / CURVE_S * 1.5 + seed / count))
        points = tuple(zip(times_s.tolist(), asked.tolist(), strict=True))
        for curves, wanted in ((followed, {control: points}), (free, {})):
            take = setting.system.generate(Request(seconds=CURVE_S, seed=seed, controls=wanted))
            curves.append(controls.curve_correlation(asked, detected(setting, control, take)))
    return {
        "curve_correlation": mean_interval(np.array(followed), setting.draw),
        "curve_correlation_of_free_takes": mean_interval(np.array(free), setting.draw),
    }


def detected(setting: Setting, control: str, take: Audio) -> np.ndarray:
    """The control measured on a take, on the model's scale from 0 to 1; not clipped."""
    frames = round(take.duration_s * CONTROL_RATE_HZ)
    raw = measure(take, [control], rate_hz=CONTROL_RATE_HZ, frames=frames)[0]
    scale = setting.system.control_scales[control]
    return np.nan_to_num((raw.astype(np.float64) - scale.low) / (scale.high - scale.low))


# ------------------------------------------------------------------ report


def draw_pictures(setting: Setting, made: Mapping[str, list[Audio]], out: Path) -> list[str]:
    """Spectrograms of the first clips: real, each reconstruction, and a take of the same length."""
    names = []
    for index in range(min(PICTURES, len(setting.clips), setting.takes)):
        shown = {"real": setting.clips[index]}
        shown |= {name.replace("_", " "): audios[index] for name, audios in made.items()}
        path = out / f"musika_quality_{index}.png"
        names.append(pictures.save_comparison(shown, path).name)
    return names


def show(report: Mapping[str, Any], console: Console) -> None:
    """All figures as one table."""
    table = Table(title="Musika: quality", caption="value [95 % interval]")
    for heading in ("what", "figure", "value", "items"):
        table.add_column(heading, justify="right" if heading in ("value", "items") else "left")
    for part, figures in flat(report):
        for name, figure in figures.items():
            items = str(figure.items) if isinstance(figure, Estimate) else ""
            value = str(figure) if isinstance(figure, Estimate) else f"{figure:.3g}"
            table.add_row(part, name.replace("_", " "), value, items)
        table.add_section()
    console.print(table)


def flat(report: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Mapping[str, Any]]]:
    """(name of the part, its figures) for every part that holds figures."""
    rows = []
    for name, part in report.items():
        if isinstance(part, Mapping) and part:
            if any(isinstance(value, Mapping) for value in part.values()):
                rows += flat(part, f"{prefix}{name}: ")
            else:
                rows.append((f"{prefix}{name}".replace("_", " "), part))
    return rows


def plain(value: Any) -> Any:
    """The report as JSON values."""
    if isinstance(value, Estimate):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    return value


def options_of_call() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="piano", help="shipped name or model folder")
    parser.add_argument("--reference", type=Path, required=True, help="folder or manifest")
    parser.add_argument("--split", default="valid", choices=("train", "valid", "test", "all"))
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--takes", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--seed", type=int, default=0, help="of the choice of clips")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    return parser.parse_args()


def main() -> None:
    """Judge the model, print the table, write JSON and pictures."""
    options = options_of_call()
    torch.set_num_threads(options.threads)
    system = ritornello.load(options.model)
    if not isinstance(system, Musika):
        raise SystemExit(f"{options.model} is a {system.name} model; expected musika")
    clips = held_out_clips(options, system.sample_rate, system.channels)
    setting = Setting(
        system=system,
        clips=clips,
        takes=options.takes,
        seconds=options.seconds,
        draw=np.random.default_rng(options.seed),
    )
    console = Console(width=TABLE_WIDTH)
    console.print(f"[dim]{len(clips)} clips, {options.takes} takes of {options.seconds:g} s: codec")
    codec, made = judge_codec(setting)
    console.print("[dim]takes: width, variety, distance")
    takes = takes_of(setting, options.takes, options.seconds)
    sets = {"real": clips, "reconstructed": made["codec"], "generated": takes}
    report = {
        "codec": codec,
        "stereo": judge_stereo(setting, sets),
        "set": {"takes": judge_sets(setting, takes)},
    }
    console.print("[dim]seams")
    report["seams"] = judge_seams(setting)
    console.print("[dim]controls")
    report["controls"] = judge_controls(setting)
    show(report, console)
    options.out.mkdir(parents=True, exist_ok=True)
    names = draw_pictures(setting, {**made, "generated": takes}, options.out)
    about = {
        "model": str(options.model),
        "split": options.split,
        "clips": len(clips),
        "takes": options.takes,
        "seconds": options.seconds,
        "griffin_lim_passes": GRIFFIN_LIM_PASSES,
        "pictures": names,
        "machine": speed.machine(),
    }
    path = options.out / "musika_quality.json"
    path.write_text(json.dumps({**about, **plain(report)}, indent=1) + "\n", encoding="utf-8")
    console.print(f"written to {path}")


if __name__ == "__main__":
    main()
