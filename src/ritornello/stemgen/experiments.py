"""The paper's experiments in kind: guidance, causal bias, naive against best (section 4).

    stemgen-guidance      table 1: guidance by the mix and by the stem, on and off
    stemgen-causal-bias   table 2: how much being early counts when candidates are ranked
    stemgen-final         table 3: no guidance and no bias against the model's own way

A row is a way of decoding; the weights are those of one trained model. All rows answer the same
held-out mixes. Rows of real stems and of real stems through the codec stand beside them: what
perfect answers and perfect tokens would get.

Not as in the paper: FAD is musicnn's, not VGGish's, and MIRDD is made of open tools, so that only
the order of rows can be compared with the paper's figures.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ritornello.checkpoint import read_json, write_json
from ritornello.errors import DataError
from ritornello.evaluation.embedding import Embedding
from ritornello.evaluation.intervals import Estimate
from ritornello.evaluation.reading import interval, shown
from ritornello.stemgen import trials
from ritornello.stemgen.config import DecodingConfig
from ritornello.stemgen.generate import StemGen
from ritornello.stemgen.trials import Progress, Reference, Trial

REAL, CODEC = "real", "real, through the codec"
SHOWN = ("fad", "kid", "mirdd_open_js", "apa", "beat_f", "chroma_correlation", "silence_ratio")
SETTINGS_FILE = "settings.json"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way of decoding.

    Attributes:
        name: In the table, and of its folder.
        decoding: The way.
        published: The paper's figures of it: FAD, MIRDD.
    """

    name: str
    decoding: DecodingConfig
    published: Mapping[str, float] = field(default_factory=dict)


def guidance_rows(own: DecodingConfig) -> list[Row]:
    """Table 1: strengths of 1 or the model's own, by the form in which they are apart."""

    def guided(stem: float, context: float) -> DecodingConfig:
        kind = own.guidance.kind if own.guidance.kind != "joint" else "nested"
        return replace(own, guidance=replace(own.guidance, kind=kind, stem=stem, context=context))

    context, stem = max(own.guidance.context, 1.5), max(own.guidance.stem, 1.5)
    return [
        Row(name="none", decoding=guided(1, 1), published={"fad": 4.30, "mirdd": 0.41}),
        Row(name="stem", decoding=guided(stem, 1), published={"fad": 3.66, "mirdd": 0.26}),
        Row(name="mix", decoding=guided(1, context), published={"fad": 3.20, "mirdd": 0.29}),
        Row(name="both", decoding=guided(stem, context), published={"fad": 3.17, "mirdd": 0.25}),
    ]


def causal_rows(own: DecodingConfig) -> list[Row]:
    """Table 2: weights of the bias; ours has fewer steps and so needs larger ones."""
    published = {
        0.0: {"fad": 3.18, "mirdd": 0.32},
        0.1: {"fad": 3.12, "mirdd": 0.14},
        0.2: {"fad": 3.13, "mirdd": 0.18},
        0.5: {"fad": 3.17, "mirdd": 0.20},
    }
    return [
        Row(
            name=f"bias {weight:g}",
            decoding=replace(own, ranking=replace(own.ranking, kind="causal", causal=weight)),
            published=figures,
        )
        for weight, figures in published.items()
    ]


def final_rows(own: DecodingConfig) -> list[Row]:
    """Table 3: neither guidance nor bias, and the model's own way."""
    plain = replace(own.guidance, kind="joint", context=1.0, stem=1.0)
    unbiased = replace(own.ranking, kind="causal", causal=0.0)
    naive = replace(own, guidance=plain, ranking=unbiased)
    return [
        Row(name="naive", decoding=naive, published={"fad": 4.3, "mirdd": 0.43}),
        Row(name="best", decoding=own, published={"fad": 3.12, "mirdd": 0.14}),
    ]


TABLES: dict[str, Callable[[DecodingConfig], list[Row]]] = {
    "stemgen-guidance": guidance_rows,
    "stemgen-causal-bias": causal_rows,
    "stemgen-final": final_rows,
}


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What a table is made from.

    Attributes:
        folder: Of everything that is kept.
        system: The model.
        judged: Trials to answer.
        reference: Real ones that answers are compared with.
        about: What the folder was made for; another is refused.
    """

    folder: Path
    system: StemGen
    judged: Sequence[Trial]
    reference: Reference
    about: Mapping[str, Any]


def open_experiment(
    folder: Path,
    system: StemGen,
    judged: Sequence[Trial],
    others: Sequence[Trial],
    embeddings: Sequence[Embedding],
    about: Mapping[str, Any],
) -> Experiment:
    """The experiment in `folder`, begun or gone on with; `others` are the reference.

    Raises:
        DataError: The folder holds another experiment.
    """
    file = folder / SETTINGS_FILE
    if file.exists() and read_json(file) != dict(about):
        raise DataError(
            f"{folder} holds stems made with other settings ({file}); give another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(file, dict(about))
    trials.keep_real(others, folder / "reference")
    trials.keep_real(judged, folder / REAL)
    trials.keep_reconstructed(system, judged, folder / CODEC)
    reference = Reference.kept(others, folder / "reference", embeddings)
    return Experiment(folder=folder, system=system, judged=judged, reference=reference, about=about)


def table(
    experiment: Experiment, rows: Sequence[Row], progress: Progress | None = None
) -> dict[str, Any]:
    """Every row's figures, as JSON values; stems that are missing are made first."""
    found: dict[str, Any] = {}
    for name in (REAL, CODEC):
        figures = trials.judged(experiment.judged, experiment.folder / name, experiment.reference)
        found[name] = {"figures": trials.plain(figures)}
    for row in rows:
        place = experiment.folder / row.name
        trials.keep_made(experiment.system, row.decoding, experiment.judged, place, progress)
        figures = trials.judged(experiment.judged, place, experiment.reference)
        found[row.name] = {"figures": trials.plain(figures), "published": dict(row.published)}
    return {"about": dict(experiment.about), "rows": found}


def markdown(told: Mapping[str, Any], title: str, command: str) -> str:
    """The table as a page."""
    rows = told["rows"]
    header = ["row", *SHOWN, "FAD, paper", "MIRDD, paper"]
    lines = [f"# {title}", "", _line(header), _line(["---"] * len(header))]
    for name, row in rows.items():
        cells = [name]
        for figure in SHOWN:
            cells.append(_cell(row["figures"], figure))
        published = row.get("published", {})
        cells += [_number(published.get("fad")), _number(published.get("mirdd"))]
        lines.append(_line(cells))
    nulls = rows[REAL]["figures"]
    lines += [
        "",
        f"{told['about']['trials']} held-out mixes of {told['about']['seconds']:g} s, answered by "
        "every row; distances are to as many others. Intervals of 95 % over mixes. What halves of "
        "the real material have against each other: "
        + ", ".join(
            f"{name} {_cell(nulls, name + '_null')}" for name in SHOWN if name + "_null" in nulls
        )
        + ".",
        "",
        "`apa` is 1 where a stem goes with its mix as real ones do and 0 where it goes with it as "
        "with other songs' mixes; `beat_f` and `chroma_correlation` are those of stem and mix; "
        "after the slash, of the same stems and the mixes of others.",
        "",
        "FAD (musicnn) and MIRDD (open tools) are not the paper's; only orders compare.",
        "",
        "Made with",
        "",
        f"    {command}",
        "",
    ]
    return "\n".join(lines)


def _cell(figures: Mapping[str, Any], name: str) -> str:
    if name not in figures:
        return "-"
    own = _estimate(figures[name])
    anchor = figures.get(name + "_anchor")
    return own if anchor is None else f"{own} / {_estimate(anchor)}"


def _estimate(values: Mapping[str, Any]) -> str:
    estimate = Estimate(**values)
    return f"{shown(estimate.value)} {interval(estimate)}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
