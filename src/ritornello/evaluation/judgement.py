"""One set of clips against another by every metric there is: figures, nulls, and their worth.

Conventions
    generated, reference   clips of one length; metrics compare equal numbers of both, and split
                           the reference for their null, so that it best has twice as many
    rate                   what is made by hand is measured at the lower of the two sides' sample
                           rates; embeddings bring clips to their own
    rows                   what was measured of each clip, for histograms and curves

Metrics, by the names that `judge` takes
    fad, kid      distance in the space of one or more embeddings
    mirdd         divergence of musical descriptors
    frechet       distance of hand-made features
    diversity     variety among and inside takes
    stereo        width, where both sides have two channels
    level         loudness, bandwidth, pace of the clips

A metric that cannot say anything of these clips is left out with a warning; asked for by name, it
raises instead. Clips are read one at a time: memory does not grow with their number. A reference
that judges several sets is passed as a `Hearing`, and is heard once for all of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from math import nan
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ritornello.errors import DataError, RitornelloError
from ritornello.evaluation import diversity, fad, frechet, kid
from ritornello.evaluation.clips import ClipSet
from ritornello.evaluation.embedding import Embedding
from ritornello.evaluation.hearing import Hearing
from ritornello.evaluation.intervals import Estimate, summarise
from ritornello.evaluation.patches import Patches, few_recordings
from ritornello.evaluation.sets import (
    Heard,
    Progress,
    Row,
    gaps,
    shared,
    side_of,
    validate,
    worth,
)

METRICS = ("fad", "kid", "mirdd", "frechet", "diversity", "stereo", "level")
FORMAT = 1

Figures = dict[str, Estimate]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the metrics say of one set of clips.

    Attributes:
        name: What the judged set is called.
        figures: Estimates by name; `x_null` and `x_real` stand beside `x` (see `reading`).
        warnings: What the figures are worth, in sentences.
        material: Counts, seconds, rates, channels and hashes of both sides, and the embeddings.
        rows: Per clip: `set` ("generated" or "reference"), `clip`, `start_s` and its figures.
        notes: What a caller adds: speed, originality, the command line.
    """

    name: str
    figures: Figures
    warnings: tuple[str, ...] = ()
    material: Mapping[str, Any] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)

    def with_more(
        self, figures: Figures, warnings: Sequence[str] = (), **notes: Any
    ) -> "Judgement":
        """This judgement and further figures, warnings and notes."""
        return replace(
            self,
            figures=self.figures | figures,
            warnings=(*self.warnings, *warnings),
            notes={**self.notes, **notes},
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; a figure that is not finite becomes null."""
        return {"format": FORMAT} | json_ready(asdict(self))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Judgement":
        """The judgement that `to_json` wrote.

        Raises:
            DataError: Of another format, or not a judgement.
        """
        if values.get("format") != FORMAT:
            raise DataError(
                f"got a judgement of format {values.get('format')!r}, expected {FORMAT}; "
                "judge again with this version"
            )
        try:
            figures = {name: _estimate(figure) for name, figure in values["figures"].items()}
            return cls(
                name=values["name"],
                figures=figures,
                warnings=tuple(values["warnings"]),
                material=values["material"],
                rows=tuple(values["rows"]),
                notes=values["notes"],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"not a judgement: {error!r}; judge again") from error


def _estimate(values: Mapping[str, Any]) -> Estimate:
    ends = {key: nan if values[key] is None else float(values[key]) for key in ENDS}
    return Estimate(items=int(values["items"]), **ends)


ENDS = ("value", "low", "high")


def json_ready(value: Any) -> Any:
    """`value` with plain numbers, texts, lists and dicts only; NaN and infinity become None."""
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [json_ready(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


# ---- the metrics -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Case:
    """Two sets and all that the metrics need to judge one by the other."""

    generated: Hearing
    reference: Hearing
    heard: Mapping[str, list[Heard]]
    embeddings: Sequence[Embedding]
    draw: np.random.Generator
    cache: Path | None
    progress: Progress | None
    warnings: list[str]

    def warn(self, warnings: Sequence[str]) -> None:
        """Add warnings that have not been given yet."""
        self.warnings.extend(warning for warning in warnings if warning not in self.warnings)

    def warn_of_few_recordings(self) -> None:
        """Say which side has too few recordings to be split by them."""
        self.warn(few_recordings("generated", self.generated.clips.recordings))
        self.warn(few_recordings("reference", self.reference.clips.recordings))

    @property
    def recordings(self) -> dict[str, list[str]]:
        """The recording of every clip, which metrics keep together when they split a set."""
        return {
            "generated_recordings": self.generated.clips.recordings,
            "reference_recordings": self.reference.clips.recordings,
        }

    @cached_property
    def patches(self) -> dict[str, tuple[list[Patches], list[Patches]]]:
        """Both sides in the space of every embedding, by its name."""
        if not self.embeddings:
            raise DataError("got no embedding to measure distances in; expected at least one")
        return {
            embedding.name: (
                self.generated.patches(embedding, self.cache, self.progress),
                self.reference.patches(embedding, self.cache, self.progress),
            )
            for embedding in self.embeddings
        }

    def features(self, what: str) -> np.ndarray:
        """Hand-made features (clips, parts, dim) of one side."""
        return np.stack([heard.features for heard in self.heard[what]])


def by_embedding(case: Case, metric: ModuleType) -> Figures:
    """FAD or KID in every embedding's space; all but the first carry the embedding's name."""
    figures: Figures = {}
    for number, (name, (made, real)) in enumerate(case.patches.items()):
        found = metric.evaluate(made, real, case.draw, **case.recordings)
        figures |= found if number == 0 else named_after(name, found)
        case.warn(metric.warnings(made, real, **case.recordings))
    return figures


def named_after(embedding: str, figures: Figures) -> Figures:
    """`fad_null` becomes `fad_codec_null` for an embedding called codec."""
    return {
        f"{name.removesuffix('_null')}_{embedding}{'_null' * name.endswith('_null')}": estimate
        for name, estimate in figures.items()
    }


def by_descriptors(case: Case) -> Figures:
    """MIRDD-open of what a listener could write down."""
    from ritornello.evaluation import descriptors

    made = case.generated.described(case.progress)
    real = case.reference.described(case.progress)
    case.warn(descriptors.warnings(made, real, **case.recordings))
    return descriptors.evaluate(made, real, case.draw, **case.recordings)


def by_hand(case: Case) -> Figures:
    """Frechet distance of the hand-made features, and its null."""
    case.warn_of_few_recordings()
    found = frechet.evaluate(
        case.features("reference"), case.features("generated"), case.draw, **case.recordings
    )
    return {
        "frechet_distance": found["frechet_distance"],
        "frechet_distance_null": found["frechet_null"],
    }


def by_variety(case: Case) -> Figures:
    """Variety over that of the reference, and the reference's halves over one another."""
    made, real = case.features("generated"), case.features("reference")
    case.warn_of_few_recordings()
    figures = diversity.evaluate(made, real, case.draw, **case.recordings)
    null = diversity.null(real, case.draw, case.reference.clips.recordings)
    figures |= {f"{name}_null": estimate for name, estimate in null.items()}
    return figures


def by_width(case: Case) -> Figures:
    """Stereo figures of the generated clips, and of the reference's."""
    widths = {what: [heard.width for heard in side] for what, side in case.heard.items()}
    stereo_rows = {what: [w for w in side if w is not None] for what, side in widths.items()}
    if any(len(stereo_rows[what]) < len(side) for what, side in widths.items()):
        raise DataError("one side has clips of one channel, which have no width")
    return both_sides(case, stereo_rows)


def by_level(case: Case) -> Figures:
    """Level, bandwidth and pace of the generated clips, and of the reference's."""
    wanted = ("loudness_dbfs", "bandwidth_hz", "onset_rate_hz")
    rows = {
        what: [{name: heard.row[name] for name in wanted} for heard in side]
        for what, side in case.heard.items()
    }
    return both_sides(case, rows)


def both_sides(case: Case, rows: Mapping[str, Sequence[Mapping[str, float]]]) -> Figures:
    """Means over clips under their names, those of the reference with `_real`."""
    made = summarise(list(rows["generated"]), case.draw)
    real = summarise(list(rows["reference"]), case.draw)
    return made | {f"{name}_real": estimate for name, estimate in real.items()}


JUDGES: dict[str, Callable[[Case], Figures]] = {
    "fad": lambda case: by_embedding(case, fad),
    "kid": lambda case: by_embedding(case, kid),
    "mirdd": by_descriptors,
    "frechet": by_hand,
    "diversity": by_variety,
    "stereo": by_width,
    "level": by_level,
}


def judge(
    generated: ClipSet,
    reference: ClipSet | Hearing,
    *,
    draw: np.random.Generator,
    embeddings: Sequence[Embedding] = (),
    metrics: Sequence[str] | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
    name: str | None = None,
) -> Judgement:
    """All figures of the generated set against the reference.

    Args:
        generated: The set to judge.
        reference: Real music: clips of the same length, best twice as many; or a hearing of them,
            which keeps what was heard for the next set.
        draw: Source of splits and resampling.
        embeddings: Spaces for FAD and KID; the first one's figures carry no name.
        metrics: Which of METRICS, none of which may then fail; None: all that can say anything.
        cache: Folder for embeddings, by content.
        progress: Called as progress(done, total, what is being done).
        name: What to call the judged set; the source's name by default.

    Raises:
        DataError: As `validate`; an unknown metric; an asked metric that cannot judge these clips;
            or none that can.
        AudioError: A clip cannot be read.
    """
    real = reference if isinstance(reference, Hearing) else Hearing(reference, "reference")
    made = Hearing(generated, "generated")
    validate(generated, real.clips)
    wanted = METRICS if metrics is None else tuple(metrics)
    unknown = [metric for metric in wanted if metric not in JUDGES]
    if unknown:
        raise DataError(f"there is no metric {unknown[0]!r}; expected {', '.join(METRICS)}")
    sides = {"generated": side_of(generated), "reference": side_of(real.clips)}
    rate = min(min(side.sample_rates) for side in sides.values())
    heard = {hearing.what: hearing.measured(rate, progress) for hearing in (made, real)}
    warnings = [f"{warning}." for clips in (generated, real.clips) for warning in clips.warnings]
    warnings += worth(sides["generated"], sides["reference"]) + shared(generated, real.clips)
    warnings += gaps(heard)
    case = Case(
        generated=made,
        reference=real,
        heard=heard,
        embeddings=embeddings,
        draw=draw,
        cache=cache,
        progress=progress,
        warnings=warnings,
    )
    figures: Figures = {}
    for metric in wanted:
        try:
            figures |= JUDGES[metric](case)
        except RitornelloError as error:
            if metrics is not None:
                raise
            warnings.append(f"No {metric}: {error}")
    if wanted and not figures:
        raise DataError("no metric can judge these clips. " + " ".join(warnings))
    return Judgement(
        name=name or Path(generated.source).stem,
        figures=figures,
        warnings=tuple(warnings),
        material={
            **{what: asdict(side) for what, side in sides.items()},
            "compared_at_hz": rate,
            "embeddings": {embedding.name: embedding.key for embedding in embeddings},
        },
        rows=tuple(item.row for side in heard.values() for item in side),
    )
