"""Key and chords of a recording, from its notes.

Conventions
    chroma        (pitch_classes, cells), C first: how much each pitch class sounds in each cell of
                  time; any scale, all zeros where nothing sounds
    keys, chords  0..11 major on C, C sharp, ... B; 12..23 minor on the same; NO_CHORD = 24

Metrics
    key                 the best of 24 keys and how clearly it wins
    chord_labels        a triad per cell
    variety             number of different triads
    alternation_ratio   share of the chord changes that swap major and minor

The notes' chroma is used rather than the spectrum's: a spectrum holds the overtones, and the third
and fifth partial of a low C alone read as a C major triad.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ritornello.errors import DataError
from ritornello.evaluation.notes import Notes

CELL_S = 0.5
NO_CHORD = 24
CHORD_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")

MAJOR_PROFILE = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR_PROFILE = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)

NO_CHORD_SCORE = 0.55  # cosine that a triad must beat; a lone note reaches 0.58
SCORE_SHARPNESS = 24.0
CHANGE_PROBABILITY = 0.25  # per cell

Chroma = Float[np.ndarray, "pitch_classes cells"]
Labels = Int[np.ndarray, " cells"]


@dataclass(frozen=True, kw_only=True)
class Key:
    """The key of a recording.

    Attributes:
        index: 0..11 major, 12..23 minor.
        correlation: Of the pitch class histogram with the key's profile, -1..1.
        margin: How far the correlation lies above the best other key's; near 0 it is a guess, and
            the relative key (C major, A minor) is the usual rival.
    """

    index: int
    correlation: float
    margin: float

    def __str__(self) -> str:
        """The key's name, e.g. `F# minor`."""
        return f"{CHORD_NAMES[self.index % 12]} {'minor' if self.index >= 12 else 'major'}"


def validate(chroma: Chroma) -> None:
    """Refuse what is no chroma.

    Raises:
        DataError: Other than twelve rows, or negative or not finite values.
    """
    if chroma.shape[0] != 12:
        raise DataError(f"got {chroma.shape[0]} pitch classes; expected 12 rows, C first")
    if not np.isfinite(chroma).all() or (chroma < 0).any():
        raise DataError("the chroma holds negative, NaN or infinite values; expected amounts >= 0")


def notes_chroma(notes: Notes, edges_s: Float[np.ndarray, " edges"]) -> Chroma:
    """How long each pitch class sounds in each cell [edge, next edge), weighted by strength.

    A cell's values are note-seconds per second: two Cs through the whole cell give up to 2.
    """
    start, end = edges_s[:-1, None], edges_s[1:, None]
    overlap = np.minimum(notes.end_s, end) - np.maximum(notes.start_s, start)
    weights = np.maximum(overlap, 0) * notes.strength / (end - start)
    return np.stack([weights[:, notes.pitch % 12 == each].sum(axis=1) for each in range(12)])


def cell_edges(
    duration_s: float, beats_s: Float[np.ndarray, " beats"] | None = None
) -> Float[np.ndarray, " edges"]:
    """Edges of cells from 0 to the end: the beats where there are two or more, else CELL_S each."""
    if beats_s is None or len(beats_s) < 2:
        return np.linspace(0, duration_s, max(2, round(duration_s / CELL_S) + 1))
    inside = beats_s[(beats_s > 0.1) & (beats_s < duration_s - 0.1)]
    return np.concatenate([[0.0], inside, [duration_s]])


def key(histogram: Float[np.ndarray, " pitch_classes"]) -> Key | None:
    """The key whose probe-tone profile correlates best with a pitch class histogram.

    Profiles of Krumhansl & Kessler (1982), the method of Krumhansl & Schmuckler. None where the
    histogram is flat (silence, noise, all twelve equally).

    Raises:
        DataError: Other than 12 values, or negative or not finite ones.
    """
    validate(histogram[:, None])
    if np.ptp(histogram) <= 1e-9 * max(1.0, float(histogram.max())):
        return None
    correlations = np.array(
        [
            np.corrcoef(np.roll(profile, tonic), histogram)[0, 1]
            for profile in (MAJOR_PROFILE, MINOR_PROFILE)
            for tonic in range(12)
        ]
    )
    second, first = np.sort(correlations)[-2:]
    return Key(
        index=int(correlations.argmax()), correlation=float(first), margin=float(first - second)
    )


def triads() -> Float[np.ndarray, "chords pitch_classes"]:
    """The 24 triads as unit vectors, majors first."""
    templates = np.zeros((24, 12))
    for root in range(12):
        templates[root, [root, (root + 4) % 12, (root + 7) % 12]] = 1
        templates[12 + root, [root, (root + 3) % 12, (root + 7) % 12]] = 1
    return templates / np.sqrt(3)


def chord_labels(chroma: Chroma) -> Labels:
    """The triad of each cell, or NO_CHORD, as the likeliest sequence (Viterbi).

    Cosine with each triad against NO_CHORD's fixed score; a chord is kept from cell to cell unless
    another fits clearly better, so that passing notes are no chords.

    Raises:
        DataError: Not a chroma.
    """
    validate(chroma)
    norms = np.linalg.norm(chroma, axis=0)
    sounding = norms > 1e-9
    cosines = triads() @ chroma / np.where(sounding, norms, 1)
    scores = np.vstack([cosines, np.where(sounding, NO_CHORD_SCORE, 2.0)])
    keep = np.log(1 - CHANGE_PROBABILITY)
    change = np.log(CHANGE_PROBABILITY / NO_CHORD)
    return likeliest_path(SCORE_SHARPNESS * scores, keep, change)


def likeliest_path(
    log_scores: Float[np.ndarray, "states cells"], keep: float, change: float
) -> Labels:
    """The sequence of states with the largest sum of scores and transitions.

    Every transition costs the same (log probability `change`), staying costs `keep`; thus the best
    way into a state is to stay or to come from the best state of all, and no table is needed.
    """
    states, cells = log_scores.shape
    came_from = np.zeros((cells, states), dtype=np.int64)
    total = log_scores[:, 0].copy() if cells else np.zeros(states)
    for cell in range(1, cells):
        best = int(total.argmax())
        stays = total + keep >= total[best] + change
        came_from[cell] = np.where(stays, np.arange(states), best)
        total = np.where(stays, total + keep, total[best] + change) + log_scores[:, cell]
    path = np.zeros(cells, dtype=np.int64)
    state = int(total.argmax())
    for cell in range(cells - 1, -1, -1):
        path[cell] = state
        state = int(came_from[cell, state])
    return path


def variety(labels: Labels) -> int:
    """Number of different triads among the labels; NO_CHORD is none."""
    return len(np.unique(labels[labels != NO_CHORD]))


def alternation_ratio(labels: Labels) -> float | None:
    """Share of the chord changes that go from major to minor or back; None without any change.

    Cells without a chord are passed over: C, none, A minor is one change.
    """
    triads_only = labels[labels != NO_CHORD]
    changes = triads_only[1:] != triads_only[:-1]
    if not changes.any():
        return None
    swaps = (triads_only[1:] >= 12) != (triads_only[:-1] >= 12)
    return float(swaps[changes].mean())


def evaluate(notes: Notes, beats_s: Float[np.ndarray, " beats"] | None = None) -> dict[str, float]:
    """The figures of one recording; NaN for what it does not have (no notes, no chord change)."""
    chroma = notes_chroma(notes, cell_edges(notes.duration_s, beats_s))
    labels = chord_labels(chroma)
    found = key(chroma.mean(axis=1))
    ratio = alternation_ratio(labels)
    return {
        "key": float(found.index) if found else float("nan"),
        "key_margin": found.margin if found else float("nan"),
        "chord_variety": float(variety(labels)),
        "alternation_ratio": float("nan") if ratio is None else ratio,
    }
