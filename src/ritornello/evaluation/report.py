"""A report on any number of systems: what is gathered of each, before it becomes a page.

Conventions
    system       a model or a folder of audio that was judged
    excerpt      up to EXCERPT_S seconds of one of its clips, shown and played
    long piece   a longer clip, for curves over time and self-similarity

Clips are read here and nowhere later; `report_page.page` turns a Report into one HTML text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from ritornello.audio.features import loudness_curve, note_density
from ritornello.errors import DataError, RitornelloError
from ritornello.evaluation.clips import Clip
from ritornello.evaluation.intervals import Estimate
from ritornello.evaluation.judgement import Judgement
from ritornello.evaluation.originality import Originality
from ritornello.evaluation.self_similarity import self_similarity
from ritornello.interfaces import Audio

EXCERPT_S = 10.0
CURVE_RATE_HZ = 2.0
PAIRS_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """A clip's audio under the name it is shown by."""

    name: str
    audio: Audio


@dataclass(frozen=True, kw_only=True)
class LongPiece:
    """A long clip, measured over time.

    Attributes:
        name: What it is shown by.
        seconds: How long it is.
        loudness: Pairs (seconds, LUFS).
        density: Pairs (seconds, onsets per second).
        similarity: Self-similarity matrix, (cells, cells); None where it cannot be told.
    """

    name: str
    seconds: float
    loudness: Sequence[tuple[float, float]]
    density: Sequence[tuple[float, float]]
    similarity: Float[np.ndarray, "cells cells"] | None


@dataclass(frozen=True, kw_only=True)
class ClosePair:
    """An output beside its nearest training excerpt."""

    output: Excerpt
    training: Excerpt
    says: str
    copied: bool


@dataclass(frozen=True, kw_only=True)
class SystemPart:
    """All that the page shows of one system."""

    judgement: Judgement
    excerpts: Sequence[Excerpt]
    long_pieces: Sequence[LongPiece] = ()
    pairs: Sequence[ClosePair] = ()
    originality: Mapping[str, Estimate] = field(default_factory=dict)
    originality_warnings: Sequence[str] = ()

    @property
    def name(self) -> str:
        """What the system is called."""
        return self.judgement.name

    @property
    def figures(self) -> dict[str, Estimate]:
        """Figures of the judgement and of originality together."""
        return {**self.judgement.figures, **self.originality}

    @property
    def speed(self) -> Mapping[str, Any] | None:
        """Speed and memory, for a model."""
        return self.judgement.notes.get("speed")


@dataclass(frozen=True, kw_only=True)
class Report:
    """The whole report.

    Attributes:
        title: Heading of the page.
        systems: Judged systems, in the order asked for; names are told apart.
        reference: Excerpts of the real music.
        command: The command line that makes the page again.
    """

    title: str
    systems: Sequence[SystemPart]
    reference: Sequence[Excerpt]
    command: str

    def __post_init__(self) -> None:
        """Refuse a report on nothing, or on two systems of one name."""
        names = [system.name for system in self.systems]
        if not names:
            raise DataError("got no systems to report on, expected at least one")
        if len(set(names)) < len(names):
            raise DataError(f"got systems of the same name: {names}; expected different ones")

    @property
    def players_s(self) -> float:
        """Seconds of audio in the page."""
        excerpts = [excerpt for system in self.systems for excerpt in system.excerpts]
        for system in self.systems:
            excerpts += [side for pair in system.pairs for side in (pair.output, pair.training)]
        return sum(each.audio.duration_s for each in (*excerpts, *self.reference))

    def figure_names(self) -> list[str]:
        """Every figure that some system has, in order of first appearance."""
        return list(dict.fromkeys(name for system in self.systems for name in system.figures))


def told_apart(names: Sequence[str]) -> list[str]:
    """The names, with numbers where several are the same: `piano`, `piano (2)`."""
    told: list[str] = []
    for name in names:
        number, candidate = 1, name
        while candidate in told:
            number += 1
            candidate = f"{name} ({number})"
        told.append(candidate)
    return told


def excerpts_of(clips: Sequence[Clip], count: int, seconds: float = EXCERPT_S) -> list[Excerpt]:
    """The beginnings of the first `count` clips.

    Raises:
        AudioError: A clip cannot be read.
    """
    return [_excerpt(clip, seconds) for clip in list(clips)[:count]]


def place_of(clip: Clip) -> str:
    """A clip's file, and where in it the clip begins unless that is at its start."""
    minutes, seconds = divmod(round(clip.start_s), 60)
    return (
        f"{clip.path.name}, from {minutes}:{seconds:02}" if minutes or seconds else clip.path.name
    )


def _excerpt(clip: Clip, seconds: float = EXCERPT_S) -> Excerpt:
    audio = clip.read()
    samples = audio.samples[:2, : round(seconds * audio.sample_rate)]
    return Excerpt(name=place_of(clip), audio=Audio(samples=samples, sample_rate=audio.sample_rate))


def long_piece(clip: Clip) -> LongPiece:
    """A long clip's curves and self-similarity.

    Raises:
        AudioError: The clip cannot be read.
    """
    audio = clip.read()
    frames = max(2, int(audio.duration_s * CURVE_RATE_HZ))
    try:
        similarity = self_similarity(audio.samples, audio.sample_rate)
    except RitornelloError:  # too short or silent for it: the curves still say something
        similarity = None
    return LongPiece(
        name=place_of(clip),
        seconds=audio.duration_s,
        loudness=_points(loudness_curve(audio, CURVE_RATE_HZ, frames)),
        density=_points(note_density(audio, CURVE_RATE_HZ, frames)),
        similarity=similarity,
    )


def _points(values: Float[np.ndarray, " frames"]) -> list[tuple[float, float]]:
    return [((index + 0.5) / CURVE_RATE_HZ, float(value)) for index, value in enumerate(values)]


def close_pairs(originality: Originality, count: int = PAIRS_SHOWN) -> list[ClosePair]:
    """The nearest outputs and their counterparts in the training music, nearest first.

    Raises:
        AudioError: A clip cannot be read.
    """
    return [
        ClosePair(
            output=_excerpt(pair.output),
            training=_excerpt(pair.training),
            says=f"similarity {pair.similarity:.2f}, nearer than {pair.nearer_than:.0%} of the "
            f"held-out pieces, chance {pair.p_value:.2g}",
            copied=pair.copied,
        )
        for pair in originality.closest[:count]
    ]
