"""What nearness to the training music means, by the measure of held-out music.

Conventions
    similarity       0 to 1, of a clip's nearest window and its counterpart in the training music
    null             the same of the held-out clips, which the model never saw

A clip is a copy when the chance that any of as many held-out clips comes as near is below
FALSE_ALARM. The chance is from Gumbel's distribution, which the best of very many local alignments
follows (Karlin & Altschul 1990), fitted by the median and the outer deciles of the held-out clips,
so that a few held-out pieces that do occur in training do not hide copies; those are told as
warnings.

The fit treats the held-out clips as independent. The held-out clips themselves are judged by the
distribution that was fitted to them: `copied_null` is no estimate of the false alarms.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from ritornello.errors import DataError
from ritornello.evaluation.clips import Clip
from ritornello.evaluation.intervals import Estimate, mean_interval, resampled
from ritornello.evaluation.ratings import wilson_interval

FALSE_ALARM = 0.05
NEAR_QUANTILE = 0.99

# Quantiles that Gumbel's distribution is fitted by, and where it has them in its own unit.
_FITTED = (0.1, 0.5, 0.9)
_LOWER, _MIDDLE, _UPPER = (-math.log(-math.log(p)) for p in _FITTED)
_LEAST_DISTANCE = 1e-6

Similarities = Float[np.ndarray, " windows"]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A clip's nearest window and its counterpart in the training music.

    Attributes:
        output: The window; `read()` gives its audio.
        training: The counterpart, as long as the same music is there.
        similarity: 0 to 1.
        semitones: How much higher the output is; None where that is not known.
        tempo: How much faster the output is.
        nearer_than: Share of the held-out clips that are less near, 0 to 1.
        p_value: Chance that one held-out clip comes as near.
        copied: Whether it is a copy by the module's rule.
    """

    output: Clip
    training: Clip
    similarity: float
    semitones: float | None
    tempo: float
    nearer_than: float
    p_value: float
    copied: bool

    def to_dict(self) -> dict[str, Any]:
        """The pair as plain JSON values."""
        plain = asdict(self)
        for side in ("output", "training"):
            plain[side]["path"] = str(plain[side]["path"])
        return plain


@dataclass(frozen=True, kw_only=True)
class Search:
    """What one clip's windows found: their similarities, and the nearest with its counterpart."""

    similarities: Similarities
    output: Clip
    training: Clip
    semitones: float | None
    tempo: float

    @property
    def nearest(self) -> float:
        """Similarity of the nearest window."""
        return float(self.similarities.max())


def chances(
    nearest: Float[np.ndarray, " clips"], null: Float[np.ndarray, " held_out"]
) -> Float[np.ndarray, " clips"]:
    """Chance that one held-out clip comes as near: the tail of Gumbel's distribution.

    `1 - exp(-exp(-(s - location) / scale))`, location and scale from the null's median
    and outer deciles. Similarities s enter as -ln(1 - s), which leaves room at the upper end.

    Raises:
        DataError: The held-out clips are all equally near.
    """
    scores, held_out = (-np.log(np.maximum(1 - s, _LEAST_DISTANCE)) for s in (nearest, null))
    lower, middle, upper = np.quantile(held_out, _FITTED)
    scale = (upper - lower) / (_UPPER - _LOWER)
    if not scale > 0:
        raise DataError(
            "the held-out clips are all equally near to training; expected different music in them"
        )
    location = middle - scale * _MIDDLE
    return -np.expm1(-np.exp(-(scores - location) / scale))


def are_copies(chance: Float[np.ndarray, " clips"]) -> Bool[np.ndarray, " clips"]:
    """Which of n clips are copies: `1 - (1 - p)^n`, that any of n comes as near, is too small."""
    any_of_them = -np.expm1(len(chance) * np.log1p(-np.minimum(chance, 1 - 1e-12)))
    return any_of_them < FALSE_ALARM


def judge(outputs: Sequence[Search], held_out: Sequence[Search]) -> tuple[list[Pair], list[Pair]]:
    """The pairs of the outputs and of the held-out clips with what their nearness means.

    Both are nearest first. The rule is the same for both, each by the number of its own clips.
    """
    null = np.array([found.nearest for found in held_out])

    def pairs(searches: Sequence[Search]) -> list[Pair]:
        nearest = np.array([found.nearest for found in searches])
        chance = chances(nearest, null)
        made = [
            Pair(
                output=found.output,
                training=found.training,
                similarity=found.nearest,
                semitones=found.semitones,
                tempo=found.tempo,
                nearer_than=float(np.mean(null < found.nearest)),
                p_value=float(p),
                copied=bool(is_copy),
            )
            for found, p, is_copy in zip(searches, chance, are_copies(chance), strict=True)
        ]
        return sorted(made, key=lambda pair: -pair.similarity)

    return pairs(outputs), pairs(held_out)


def figures_of(
    outputs: Sequence[Search], held_out: Sequence[Search], draw: np.random.Generator
) -> dict[str, Estimate]:
    """All figures by the names in `originality`'s text."""
    pairs, null_pairs = judge(outputs, held_out)
    everything = np.concatenate([found.similarities for found in held_out])
    threshold = float(np.quantile(everything, NEAR_QUANTILE))
    nearer = [(found.similarities > threshold) for found in outputs]
    nearer_null = []
    for found in held_out:
        others = [
            other.similarities for other in held_out if other.output.path != found.output.path
        ]
        limit = np.quantile(np.concatenate(others), NEAR_QUANTILE) if others else threshold
        nearer_null.append(found.similarities > limit)
    return {
        "similarity": mean_interval(np.array([found.nearest for found in outputs]), draw),
        "similarity_null": mean_interval(np.array([found.nearest for found in held_out]), draw),
        "windows_nearer": _pooled_share(nearer, draw),
        "windows_nearer_null": _pooled_share(nearer_null, draw),
        "copied": wilson_interval(sum(pair.copied for pair in pairs), len(pairs)),
        "copied_null": wilson_interval(sum(pair.copied for pair in null_pairs), len(null_pairs)),
    }


def _pooled_share(
    hits: Sequence[Bool[np.ndarray, " _windows"]], draw: np.random.Generator
) -> Estimate:
    """The share of hits among all windows; the interval is over clips."""
    sums = np.array([[clip.sum(), clip.size] for clip in hits], dtype=np.float64)

    def share(chosen: np.ndarray) -> float:
        hit, windows = sums[chosen].sum(axis=0)
        return float(hit / windows)

    return resampled(len(hits), share, draw)
