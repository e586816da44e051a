"""The card of a finished run: what it learnt from, for how long, how it scores, what it may do.

A system adds what is its own: a summary and sections.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from ritornello.checkpoint import Card, write_card
from ritornello.data.corpus import Corpus
from ritornello.training.logs import duration
from ritornello.training.loop import ChainResult
from ritornello.training.run import RunFolder

LISTED = 400


def write_run_card(
    folder: Path,
    system: str,
    summary: str,
    corpus: Corpus,
    run: RunFolder,
    result: ChainResult,
    *,
    origin: str | None = None,
    sections: Mapping[str, str] | None = None,
) -> None:
    """Write README.md of the finished model in `folder`.

    Args:
        folder: The model.
        system: Name of its system.
        summary: What it is, in a sentence.
        corpus: What it was trained on.
        run: Where it was trained.
        result: How that ended, with the figures of every stage.
        origin: A sentence about the weights it was started from, if any.
        sections: What the system has to say besides, by title.
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
            title=f"{system}: {run.path.name}",
            summary=summary,
            licence="other",
            outputs=(
                "The weights were made from the recordings listed here; what may be done with them "
                f"and with outputs follows from the licences of those: {told}."
            ),
            tags=("music", "text-free", system, "audio-generation"),
            sections={
                "Trained on": _material(corpus),
                "Training": _training(run, result, origin),
                **(sections or {}),
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
