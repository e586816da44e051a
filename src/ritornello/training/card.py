"""The card of a finished run: what it learnt from, for how long, how it scores, what it may do.

A system adds what is its own: a summary and sections.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from ritornello.checkpoint import Card, write_card
from ritornello.data.corpus import Corpus, Recording
from ritornello.data.stems import Song, StemCorpus
from ritornello.training.logs import duration
from ritornello.training.loop import ChainResult
from ritornello.training.run import RunFolder

LISTED = 400


def write_run_card(
    folder: Path,
    system: str,
    summary: str,
    corpus: Corpus | StemCorpus,
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
        corpus: What it was trained on: recordings, or songs with stems.
        run: Where it was trained.
        result: How that ended, with the figures of every stage.
        origin: A sentence about the weights it was started from, if any.
        sections: What the system has to say besides, by title.
    """
    kind = _kind(corpus)
    licences = Counter(_licence(piece) or "not stated" for piece in corpus)
    told = ", ".join(f"{name} ({count} {kind})" for name, count in licences.most_common())
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
                f"The weights were made from the {kind} listed here; what may be done with them "
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


def _kind(corpus: Corpus | StemCorpus) -> str:
    return "recordings" if isinstance(corpus, Corpus) else "songs"


def _licence(piece: Recording | Song) -> str | None:
    return piece.licence if isinstance(piece, Recording) else piece.labels.get("licence")


def _material(corpus: Corpus | StemCorpus) -> str:
    held_out, kind = corpus.split("valid"), _kind(corpus)
    judged = (
        f"{len(held_out)} {kind} ({duration(held_out.hours * 3600)}) of other works were held "
        "out for the figures below"
        if len(held_out)
        else "nothing was held out: the figures below are of the music trained on"
    )
    works = sorted({f"- {piece.work}" for piece in corpus.split("train")})
    more = [f"- and {len(works) - LISTED} more"] if len(works) > LISTED else []
    return "\n".join(
        [
            f"{len(corpus)} {kind}, {duration(corpus.hours * 3600)}; {judged}.",
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
