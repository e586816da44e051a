"""The card of a trained model: what it learnt from, for how long, how it scores, what it may do."""

from collections import Counter
from pathlib import Path

from ritornello.checkpoint import Card, write_card
from ritornello.data.corpus import Corpus
from ritornello.musika.config import MusikaConfig
from ritornello.training.loop import ChainResult
from ritornello.training.run import RunFolder

LISTED = 400


def write_model_card(
    folder: Path,
    config: MusikaConfig,
    corpus: Corpus,
    run: RunFolder,
    result: ChainResult,
    start: Path | None,
) -> None:
    """Write README.md of the finished model in `folder`."""
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
                "Training": _training(run, result, start),
                "Controls": _controls(config),
            },
            metrics=metrics,
        ),
    )


def _material(corpus: Corpus) -> str:
    held_out = corpus.split("valid")
    works = sorted({f"- {recording.work}" for recording in corpus.split("train")})
    more = [f"- and {len(works) - LISTED} more"] if len(works) > LISTED else []
    return "\n".join(
        [
            f"{len(corpus)} recordings, {corpus.hours:.1f} hours; {len(held_out)} recordings "
            f"({held_out.hours:.1f} hours) of other works were held out for the figures below.",
            "",
            *works[:LISTED],
            *more,
        ]
    )


def _training(run: RunFolder, result: ChainResult, start: Path | None) -> str:
    rows = [f"Wall-clock time over all stages: {result.seconds / 3600:.2f} hours."]
    if start is not None:
        rows.append(f"Started from the weights of `{start.name}`.")
    for stage in result.figures:
        compute = run.compute(stage) or {}
        rows.append(
            f"- {stage}: {run.stage(stage).finished_step()} steps, "
            f"{compute.get('threads')} thread(s), {compute.get('precision')}"
        )
    return "\n".join(rows)


def _controls(config: MusikaConfig) -> str:
    if not config.gan.controls:
        return "None."
    names = ", ".join(config.gan.controls)
    return f"{names}: each from 0 to 1, the 5th and 95th percentile of the training set."
