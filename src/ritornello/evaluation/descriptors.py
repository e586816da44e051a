"""MIRDD-open: do two sets of clips use notes, chords and rhythm alike?

This is NOT the MIRDD of the StemGen paper (Parker et al. 2024, Sec. 4.2), and its figures must not
be compared with that paper's. The idea is the paper's: describe every clip by what music
information retrieval can tell of it, compare the distributions of each descriptor over two sets,
take the mean. The tools are others (the paper's are not public), and binning, smoothing and the
direction of the divergence, which the paper does not give, are chosen here. The eleven descriptors
are the paper's; tempo is added.

Conventions
    generated, reference   one `Descriptors` per clip; clips of one length, heard by one transcriber
    recordings             for every clip the recording it is from (see `patches`)
    bins                   fixed, the same for both sets; the last one is "none": no note, no chord,
                           no beat; so silence is a value like any other, and far from music
    mass                   how one clip spreads over the bins; sums to 1, so that all clips weigh
                           the same, however many notes they hold
    smoothing              one clip's mass, spread evenly over the bins, is added to each set

Metrics, in bits, for each descriptor and (`mirdd_open`) as the mean over all
    _js            Jensen-Shannon divergence, 0 (alike) to 1 (no value in common)
    _kl            Kullback-Leibler divergence of the reference from the generated set: large where
                   the generated set lacks what real music has
    _kl_reverse    of the generated set from the reference: large where it has what music lacks
    _null          real against real: two halves of the reference of the same size

Two finite sets from the same music are above 0, the more so the smaller they are and the more bins
there are: only the gap to the null means anything. Tempo, bars and keys of short clips are partly
guesses (see `rhythm` and `harmony`); the guesses are made alike for both sets.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ritornello.errors import AudioError, DataError
from ritornello.evaluation import harmony, rhythm, structure
from ritornello.evaluation.fad import around
from ritornello.evaluation.intervals import Estimate
from ritornello.evaluation.notes import BASIC_PITCH, LOWEST_PITCH, PITCHES, Notes, transcribe
from ritornello.evaluation.patches import LEAST_ITEMS, PatchSet, Recordings, pooled

SPLITS = 200
LENGTH_TOLERANCE = 0.1
FEW_CLIPS = 50
FORM_FROM_S = 20.0  # shorter clips have no sections to label

RANGE_STEP = 6  # semitones per bin of the pitch range
MOST_PERCUSSIVE, MOST_CHORDS, MOST_SECTIONS = 9, 8, 5
RATIO_BINS = 5
SLOWEST_BPM, TEMPO_BINS, BINS_PER_OCTAVE = 40.0, 16, 6

Wave = Float[np.ndarray, "channels _time"]
Mass = Float[np.ndarray, " bins"]
Masses = Float[np.ndarray, "clips bins"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Descriptors:
    """What is described of one clip; None (or empty) for what it does not have.

    Attributes:
        pitches: MIDI numbers of all notes.
        key: 0..11 major, 12..23 minor.
        chords: Triad per beat, 0..11 major, 12..23 minor, 24 none.
        alternation: Share of the chord changes that swap major and minor.
        percussive_density: Most percussive onsets in 0.6 s.
        beats_per_bar: 2, 3 or 4.
        tempo_bpm: Beats per minute.
        sections: Share of the time in each section letter, most of all first (A, B, ...); None for
            clips too short to have sections, empty for silence.
        transcriber: Who heard the notes; figures of two transcribers cannot be compared.
        duration_s: Length of the clip.
    """

    pitches: Int[np.ndarray, " notes"]
    key: int | None
    chords: Int[np.ndarray, " cells"]
    alternation: float | None
    percussive_density: int
    beats_per_bar: int | None
    tempo_bpm: float | None
    sections: tuple[float, ...] | None
    transcriber: str
    duration_s: float


def describe(wave: Wave, sample_rate: int) -> Descriptors:
    """The descriptors of one clip, by the best transcriber there is.

    Raises:
        AudioError: Empty or not finite.
    """
    notes = transcribe(wave, sample_rate)
    return described(wave, sample_rate, notes)


def described(wave: Wave, sample_rate: int, notes: Notes) -> Descriptors:
    """The descriptors of one clip whose notes are known or heard by a transcriber of choice.

    Raises:
        AudioError: Empty or not finite.
    """
    pulse = rhythm.measure(wave, sample_rate, notes)
    chroma = harmony.notes_chroma(notes, harmony.cell_edges(notes.duration_s, pulse.beats_s))
    chords = harmony.chord_labels(chroma)
    key = harmony.key(chroma.mean(axis=1))
    return Descriptors(
        pitches=notes.pitch,
        key=None if key is None else key.index,
        chords=chords,
        alternation=harmony.alternation_ratio(chords),
        percussive_density=pulse.percussive_density,
        beats_per_bar=None if pulse.bar is None else pulse.bar.beats,
        tempo_bpm=pulse.tempo_bpm,
        sections=_sections(wave, sample_rate),
        transcriber=notes.transcriber,
        duration_s=notes.duration_s,
    )


def _sections(wave: Wave, sample_rate: int) -> tuple[float, ...] | None:
    """Share of the time in each section letter, largest first."""
    if wave.shape[1] < FORM_FROM_S * sample_rate:
        return None
    try:
        found = structure.labels(wave, sample_rate)
    except AudioError:  # what else it refuses: silence, and pieces of hours
        return ()
    seconds: dict[str, float] = {}
    for start_s, end_s, letter in found:
        seconds[letter] = seconds.get(letter, 0.0) + end_s - start_s
    total = sum(seconds.values())
    return tuple(sorted((each / total for each in seconds.values()), reverse=True))


# --- from descriptors to distributions ----------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The bins of one descriptor.

    Attributes:
        name: Of the descriptor.
        bins: Number of bins without "none".
        mass: The clip's mass over these bins in any scale; all zeros for none.
    """

    name: str
    bins: int
    mass: Callable[[Descriptors], Mass]


def _one(value: float | None, bins: int) -> Mass:
    """All mass in one bin; values beyond the last bin fall into it."""
    mass = np.zeros(bins)
    if value is not None:
        mass[min(max(int(value), 0), bins - 1)] = 1
    return mass


def _counts(values: np.ndarray, bins: int) -> Mass:
    """How often each bin occurs."""
    return np.bincount(values, minlength=bins).astype(np.float64)


def _pitch_range(clip: Descriptors) -> float | None:
    return float(np.ptp(clip.pitches) // RANGE_STEP) if len(clip.pitches) else None


def _tempo_bin(tempo_bpm: float | None) -> float | None:
    """Sixths of an octave above the slowest."""
    if tempo_bpm is None:
        return None
    return float(np.floor(BINS_PER_OCTAVE * np.log2(tempo_bpm / SLOWEST_BPM)))


def _ratio_bin(ratio: float | None) -> float | None:
    return None if ratio is None else ratio * RATIO_BINS


def _section_shares(clip: Descriptors) -> Mass:
    mass = np.zeros(MOST_SECTIONS)
    for rank, share in enumerate(clip.sections or ()):
        mass[min(rank, MOST_SECTIONS - 1)] += share
    return mass


SCALES = (
    Scale(name="key", bins=24, mass=lambda clip: _one(clip.key, 24)),
    Scale(name="pitch_range", bins=15, mass=lambda clip: _one(_pitch_range(clip), 15)),
    Scale(
        name="pitch_class_variety",
        bins=13,
        mass=lambda clip: _one(len(np.unique(clip.pitches % 12)) or None, 13),
    ),
    Scale(
        name="percussive_density",
        bins=MOST_PERCUSSIVE + 1,
        mass=lambda clip: _one(clip.percussive_density or None, MOST_PERCUSSIVE + 1),
    ),
    Scale(name="beats_per_bar", bins=5, mass=lambda clip: _one(clip.beats_per_bar, 5)),
    Scale(
        name="chord_variety",
        bins=MOST_CHORDS + 1,
        mass=lambda clip: _one(harmony.variety(clip.chords) or None, MOST_CHORDS + 1),
    ),
    Scale(
        name="chord_alternation",
        bins=RATIO_BINS,
        mass=lambda clip: _one(_ratio_bin(clip.alternation), RATIO_BINS),
    ),
    Scale(
        name="pitches",
        bins=PITCHES,
        mass=lambda clip: _counts(clip.pitches - LOWEST_PITCH, PITCHES),
    ),
    Scale(name="pitch_classes", bins=12, mass=lambda clip: _counts(clip.pitches % 12, 12)),
    Scale(
        name="chords",
        bins=24,
        mass=lambda clip: _counts(clip.chords[clip.chords != harmony.NO_CHORD], 24),
    ),
    Scale(name="tempo", bins=TEMPO_BINS, mass=lambda clip: _one(_tempo_bin(clip.tempo_bpm), 16)),
    Scale(name="structure", bins=MOST_SECTIONS, mass=_section_shares),
)
"""The descriptors; `structure` is left out where clips are too short to have sections."""


def mass(clip: Descriptors, scale: Scale) -> Mass:
    """How a clip spreads over a descriptor's bins and "none", (bins + 1,); sums to 1."""
    spread = np.append(scale.mass(clip), 0.0)
    if spread.sum() == 0:
        spread[-1] = 1.0
    return spread / spread.sum()


def distribution(total: Float[np.ndarray, "*draws bins"]) -> Float[np.ndarray, "*draws bins"]:
    """The smoothed distribution of summed masses: one more clip's mass, spread evenly."""
    return (total + 1 / total.shape[-1]) / (total.sum(axis=-1, keepdims=True) + 1)


def kullback_leibler(
    p: Float[np.ndarray, "draws bins"], q: Float[np.ndarray, "draws bins"]
) -> Float[np.ndarray, " draws"]:
    """`sum p log2(p / q)` in bits; bins that p does not use count 0; q must cover p."""
    ratio = np.divide(p, q, out=np.ones_like(p), where=p > 0)
    return (p * np.log2(ratio)).sum(axis=-1)


def jensen_shannon(
    p: Float[np.ndarray, "draws bins"], q: Float[np.ndarray, "draws bins"]
) -> Float[np.ndarray, " draws"]:
    """Mean divergence of p and q from their mean, in bits: 0 for equal, 1 for disjoint."""
    middle = (p + q) / 2
    return (kullback_leibler(p, middle) + kullback_leibler(q, middle)) / 2


DIVERGENCES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "js": jensen_shannon,
    "kl": lambda generated, reference: kullback_leibler(reference, generated),
    "kl_reverse": kullback_leibler,
}


# --- two sets -------------------------------------------------------------------------------------


def validate(generated: Sequence[Descriptors], reference: Sequence[Descriptors]) -> None:
    """Refuse sets whose figures would mean nothing.

    Raises:
        DataError: Fewer than LEAST_ITEMS clips in a set, two transcribers, or clips of different
            lengths: what a clip holds grows with its length.
    """
    for name, clips in (("generated", generated), ("reference", reference)):
        if len(clips) < LEAST_ITEMS:
            raise DataError(
                f"got {len(clips)} {name} clip{'' if len(clips) == 1 else 's'}; expected "
                f"{LEAST_ITEMS} or more in each set: fewer have no distribution. Take more, or "
                "shorter, clips."
            )
    clips = [*generated, *reference]
    transcribers = sorted({clip.transcriber for clip in clips})
    if len(transcribers) > 1:
        raise DataError(
            f"notes heard by {' and '.join(transcribers)} cannot be compared; describe both sets "
            "in one installation"
        )
    durations = np.array([clip.duration_s for clip in clips])
    usual = float(np.median(durations))
    if (np.abs(durations - usual) > LENGTH_TOLERANCE * usual).any():
        raise DataError(
            f"clips last {durations.min():.3g} to {durations.max():.3g} s; expected one length "
            f"within {LENGTH_TOLERANCE:.0%}: longer clips hold more chords and a wider range"
        )


def scales_of(clips: Sequence[Descriptors]) -> list[Scale]:
    """The descriptors that all clips have."""
    has_form = all(clip.sections is not None for clip in clips)
    return [scale for scale in SCALES if scale.name != "structure" or has_form]


def evaluate(
    generated: Sequence[Descriptors],
    reference: Sequence[Descriptors],
    draw: np.random.Generator,
    *,
    generated_recordings: Recordings = None,
    reference_recordings: Recordings = None,
) -> dict[str, Estimate]:
    """All figures by name: `mirdd_open_js`, `mirdd_open_js_null`, `key_js`, ...

    Means over random splits at a size that the null has too (see `fad`): half of the reference
    against as many generated recordings, and against the other half. Intervals are 1.96 standard
    deviations over halves of both sets; those of the nulls the range over splits.

    Args:
        generated: Every clip of the set to judge.
        reference: Every real clip; best twice as many recordings as generated ones.
        draw: Source of splits and halves.
        generated_recordings: As `ClipSet.recordings`; clips of one recording stay together.
        reference_recordings: The same of the reference.

    Raises:
        DataError: As `validate`.
    """
    validate(generated, reference)
    scales = scales_of([*generated, *reference])
    made = _pooled(generated, scales, generated_recordings)
    real = _pooled(reference, scales, reference_recordings)
    size = min(made.items, real.items // 2)
    one, other = _split(real, size, draw)
    some, _ = _split(made, size, draw)
    figures = _divergences(some, one, scales)
    null = _divergences(other, one, scales)
    halves = [_split(clips, clips.items // 2, draw)[0] for clips in (made, real)]
    spread = _divergences(halves[0], halves[1], scales)
    estimates = {}
    for name, values in figures.items():
        value, deviation = float(values.mean()), float(spread[name].std(ddof=1))
        estimates[name] = around(value, deviation, size, lowest=0.0)
        value, deviation = float(null[name].mean()), float(null[name].std(ddof=1))
        estimates[f"{name}_null"] = around(value, deviation, size, lowest=0.0)
    return estimates


def _pooled(clips: Sequence[Descriptors], scales: list[Scale], recordings: Recordings) -> PatchSet:
    """The masses of all clips, side by side for all descriptors, and their recordings."""
    rows = [np.concatenate([mass(clip, scale) for scale in scales])[None] for clip in clips]
    return pooled(rows, recordings)


def _split(
    clips: PatchSet, size: int, draw: np.random.Generator
) -> tuple[Float[np.ndarray, "draws bins"], Float[np.ndarray, "draws bins"]]:
    """Summed masses of `size` random recordings, and of `size` others (as far as there are any)."""
    ranks = draw.permuted(np.tile(np.arange(clips.items), (SPLITS, 1)), axis=1)[:, clips.item]
    first, second = ranks < size, (ranks >= size) & (ranks < 2 * size)
    return first.astype(float) @ clips.values, second.astype(float) @ clips.values


def _divergences(
    generated: Float[np.ndarray, "draws bins"],
    reference: Float[np.ndarray, "draws bins"],
    scales: list[Scale],
) -> dict[str, Float[np.ndarray, " draws"]]:
    """Every figure of every draw; first the means over the descriptors."""
    edges = np.cumsum([scale.bins + 1 for scale in scales])[:-1]
    pairs = [
        (distribution(p), distribution(q))
        for p, q in zip(
            np.split(generated, edges, axis=1), np.split(reference, edges, axis=1), strict=True
        )
    ]
    each = {
        f"{scale.name}_{name}": divergence(p, q)
        for scale, (p, q) in zip(scales, pairs, strict=True)
        for name, divergence in DIVERGENCES.items()
    }
    means = {
        f"mirdd_open_{name}": np.mean([each[f"{scale.name}_{name}"] for scale in scales], axis=0)
        for name in DIVERGENCES
    }
    return means | each


def warnings(
    generated: Sequence[Descriptors],
    reference: Sequence[Descriptors],
    *,
    generated_recordings: Recordings = None,
    reference_recordings: Recordings = None,
) -> list[str]:
    """What a reader of the figures should know of these sets; empty if nothing.

    Raises:
        DataError: As `validate`.
    """
    validate(generated, reference)
    told = []
    sets = (
        ("generated", generated, generated_recordings),
        ("reference", reference, reference_recordings),
    )
    for name, clips, recordings in sets:
        if len(clips) < FEW_CLIPS:
            told.append(f"{name}: {len(clips)} clips; distributions are steady from {FEW_CLIPS} on")
        if recordings is not None and len(set(recordings)) < LEAST_ITEMS:
            told.append(
                f"{name}: {len(set(recordings))} recordings only, so that every clip counts as "
                "independent: the intervals are too narrow and the null is too near"
            )
        silent = sum(len(clip.pitches) == 0 for clip in clips)
        if silent:
            told.append(f"{name}: no notes in {silent} of {len(clips)} clips")
    clips = [*generated, *reference]
    if len(scales_of(clips)) < len(SCALES):
        told.append(
            f"MIRDD-open without structure labels, which need clips of {FORM_FROM_S:g} s; "
            "do not compare its mean with one that has them"
        )
    if clips[0].transcriber != BASIC_PITCH:
        told.append(
            f"notes heard by {clips[0].transcriber}, which is markedly worse than {BASIC_PITCH}; "
            'install the better one: pip install "ritornello[eval]"'
        )
    return told
