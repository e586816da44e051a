"""The card of a trained model: what it learnt from, for how long, how it scores, what it may do."""

from collections import Counter
from pathlib import Path

from ritornello.checkpoint import Card, read_json, write_card
from ritornello.data.corpus import Corpus
from ritornello.musika.config import MusikaConfig
from ritornello.musika.generate import load_scales
from ritornello.musika.train_gan import UNFITTED
from ritornello.training.logs import duration
from ritornello.training.loop import ChainResult
from ritornello.training.run import RunFolder

LISTED = 400


def write_model_card(
    folder: Path,
    config: MusikaConfig,
    corpus: Corpus,
    run: RunFolder,
    result: ChainResult,
    origin: str | None,
) -> None:
    """Write README.md of the finished model in `folder`.

    Args:
        folder: The model.
        config: Its configuration.
        corpus: What it was trained on.
        run: Where it was trained.
        result: How that ended, with the figures of every stage.
        origin: A sentence about the weights it was started from, if any.
    """
    licences = Counter(recording.licence or "not stated" for recording in corpus)
    told = ", ".join(f"{name} ({count} recordings)" for name, count in licences.most_common())
    metrics = {
        f"{stage}/{name}": value
        for stage, figures in result.figures.items()
        for name, value in figures.items()
        if value is not None
    }
    write_card(
        folder,
        Card(
            title=f"musika: {run.path.name}",
            summary=(
                f"A Musika model: {config.sample_rate / 1000:g} kHz, "
                f"{'stereo' if config.channels == 2 else 'mono'}, chunks of {config.chunk_s:.2f} s "
                f"made from {config.latent_dim} latents at {config.latent_rate_hz:.2f} Hz."
            ),
            licence="other",
            outputs=(
                "The weights were made from the recordings listed here; what may be done with them "
                f"and with outputs follows from the licences of those: {told}."
            ),
            tags=("music", "text-free", "musika", "audio-generation"),
            sections={
                "Trained on": _material(corpus),
                "Training": _training(run, result, origin),
                "Controls": _controls(folder, config),
            },
            metrics=metrics,
        ),
    )


def _material(corpus: Corpus) -> str:
    held_out = corpus.split("valid")
    judged = (
        f"{len(held_out)} recordings ({duration(held_out.hours * 3600)}) of other works were held "
        "out for the figures below"
        if len(held_out)
        else "nothing was held out: the figures below are of the music trained on"
    )
    works = sorted({f"- {recording.work}" for recording in corpus.split("train")})
    more = [f"- and {len(works) - LISTED} more"] if len(works) > LISTED else []
    return "\n".join(
        [
            f"{len(corpus)} recordings, {duration(corpus.hours * 3600)}; {judged}.",
            "",
            *works[:LISTED],
            *more,
        ]
    )


def _training(run: RunFolder, result: ChainResult, origin: str | None) -> str:
    rows = [f"Wall-clock time over all stages: {duration(result.seconds)}."]
    rows += ["", origin] if origin else []
    rows.append("")
    for stage in result.figures:
        compute = run.compute(stage) or {}
        rows.append(
            f"- {stage}: {run.stage(stage).finished_step()} steps, "
            f"{compute.get('threads')} thread(s), {compute.get('precision')}"
        )
    return "\n".join(rows)


UNITS = {"density": "notes per second", "loudness": "LUFS", "tempo": "beats per minute"}


def _controls(folder: Path, config: MusikaConfig) -> str:
    """What 0 and 1 mean for each control."""
    if not config.gan.controls:
        return "None."
    settings = read_json(folder / "generator" / "config.json")
    rows = []
    for name, scale in load_scales(settings, config.gan.controls).items():
        meaning = f"0 is {scale.low:.3g}, 1 is {scale.high:.3g} {UNITS.get(name, '')}".strip()
        rows.append(
            f"- {name}: without effect, since this music does not vary in it"
            if scale == UNFITTED
            else f"- {name}: {meaning}"
        )
    return "\n".join(rows)
