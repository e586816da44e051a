"""Does a stem listen to the music it was made for?

Conventions
    pair      (context, stem): two waves (channels, time) of one length; the context is all other
              instruments, the stem what answers it
    anchor    the same figures for the same contexts and stems in shuffled pairs, no stem with its
              own context: what a stem scores that listens to nothing
    heard     what is measured of a wave once: onsets, tempo, chroma

Metrics (1 is best but for the silence ratio; each with NAME_anchor)
    beat_f               F-measure of the beats of context and stem, within 70 ms
    chroma_correlation   of the pitch classes of context and stem, beat by beat
    onset_coincidence    share of the stem's onsets within 50 ms of one of the context's, above what
                         as many onsets anywhere would score; 0 is chance
    silence_ratio        share of the time in which the stem is silent; the same in any pairing, so
                         it has no anchor
    apa                  accompaniment prompt adherence: are the mixes more like mixes of matched
                         pairs than of shuffled pairs? 1 matched, 0 shuffled; needs reference pairs

A silent stem scores 0 wherever it would have to follow. Shuffled pairs of one tempo and key still
fit by chance: a figure says something by its distance from its anchor, and the anchor is honest
only where pairs come from different pieces.

APA is from Grachten & Nistal, "Measuring audio prompt adherence with distribution-based embedding
distances" (2024): the mix is embedded, not the stem, so that what is judged is how the two go
together. Embeddings differ in how much of that they hear: compare under one embedding only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ritornello.audio import features
from ritornello.audio.io import with_channels
from ritornello.errors import AudioError, DataError, MissingDependencyError
from ritornello.evaluation import rhythm
from ritornello.evaluation.embedding import Embedding
from ritornello.evaluation.frechet import set_distance
from ritornello.evaluation.intervals import Estimate, clustered, mean_interval
from ritornello.evaluation.spectra import validate as validate_audio
from ritornello.interfaces import Audio

LEAST_PAIRS = 4
LEAST_PATCHES = 40
SHUFFLES = 3
COMPONENTS = 10
ONSET_REACH_S = 0.05
CHROMA_RATE_HZ = 20.0
CELL_S = 0.5
LEAST_SPREAD = 1e-9

Wave = Float[np.ndarray, "_channels _time"]
Pair = tuple[Wave, Wave]
Patches = Float[np.ndarray, "_patches dim"]
Times = Float[np.ndarray, " _times"]


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What the figures need to know of a wave.

    Attributes:
        duration_s: Its length.
        strength: Onset strength at ONSET_RATE_HZ, (frames,).
        tempo_bpm: Beats per minute; None where there is no pulse.
        onsets_s: Onsets.
        chroma: Pitch classes at CHROMA_RATE_HZ; columns of silence are 0.
    """

    duration_s: float
    strength: Float[np.ndarray, " frames"]
    tempo_bpm: float | None
    onsets_s: Times
    chroma: Float[np.ndarray, "pitches _frames"]


def validate(pairs: Sequence[Pair], sample_rate: int) -> None:
    """Refuse pairs that nothing can be said of.

    Raises:
        DataError: Fewer than four pairs: they cannot be shuffled fairly.
        AudioError: Context and stem of different lengths, not finite, shorter than two seconds, or
            a silent context.
    """
    if len(pairs) < LEAST_PAIRS:
        raise DataError(
            f"got {len(pairs)} pairs of context and stem; expected {LEAST_PAIRS} or more, to "
            "compare with shuffled pairs"
        )
    for number, (context, stem) in enumerate(pairs):
        validate_audio(context)
        validate_audio(stem)
        if context.shape[1] != stem.shape[1]:
            raise AudioError(
                f"pair {number}: the context has {context.shape[1]} samples and the stem "
                f"{stem.shape[1]}; expected the same length"
            )
        if context.shape[1] < 2 * sample_rate:
            raise AudioError(
                f"pair {number} lasts {context.shape[1] / sample_rate:.2f} s; expected 2 or more"
            )
        if features.silence_ratio(context, sample_rate) == 1:
            raise AudioError(f"pair {number}: the context is silent: there is nothing to follow")


def derangement(
    items: int, draw: np.random.Generator, groups: Sequence[str] | None = None
) -> Int[np.ndarray, " items"]:
    """A random order in which nothing stays in its place, nor within its group.

    Groups lie side by side, in random order, and everything moves on by the size of the largest.

    Raises:
        DataError: One group holds more than half of the items.
    """
    numbers = np.arange(items)
    if groups is not None:
        numbers = np.unique(np.asarray(groups), return_inverse=True)[1]
    sizes = np.bincount(numbers)
    if 2 * sizes.max() > items:
        raise DataError(
            f"{sizes.max()} of {items} pairs come from one piece, so that they cannot be shuffled "
            "between pieces; give more pieces"
        )
    mixed = draw.permutation(items)
    places = draw.permutation(len(sizes))
    laid = mixed[np.argsort(places[numbers[mixed]], kind="stable")]
    order = np.empty(items, dtype=np.int64)
    order[laid] = np.roll(laid, int(sizes.max()))
    return order


def listen(wave: Wave, sample_rate: int) -> Heard:
    """Onsets, tempo and chroma of a wave, its channels together."""
    audio = Audio(samples=with_channels(wave.astype(np.float32), 1), sample_rate=sample_rate)
    strength = features.onset_strength(audio)
    return Heard(
        duration_s=audio.duration_s,
        strength=strength,
        tempo_bpm=features.tempo(audio),
        onsets_s=features.pick_peaks(strength),
        chroma=features.chroma(audio, CHROMA_RATE_HZ, int(audio.duration_s * CHROMA_RATE_HZ)),
    )


def beats_at(heard: Heard, tempo_bpm: float | None, duration_s: float) -> Times:
    """The pulse of a wave near a given tempo, up to `duration_s`; none without tempo or onsets."""
    if tempo_bpm is None or not len(heard.onsets_s):
        return np.zeros(0)
    beats_s = rhythm.beats(heard.strength.astype(np.float64), tempo_bpm)
    return beats_s[beats_s < duration_s]


def beat_f(context_beats_s: Times, stem_beats_s: Times) -> float:
    """F-measure of the stem's beats against the context's, within 70 ms; 0 where either has none.

    Raises:
        MissingDependencyError: mir_eval is not installed.
    """
    try:
        from mir_eval.beat import f_measure
    except ImportError as error:
        raise MissingDependencyError(
            "the beat F-measure", "mir_eval", 'pip install "ritornello[eval]"'
        ) from error
    if not (len(context_beats_s) and len(stem_beats_s)):
        return 0.0
    return float(f_measure(context_beats_s, stem_beats_s))


def chroma_correlation(
    context: Float[np.ndarray, "pitches _frames"],
    stem: Float[np.ndarray, "pitches _others"],
    beats_s: Times,
) -> float:
    """Mean over the context's beats of the correlation of the two chromas; 0 if never both sound.

    Between beats chroma is averaged; where there are no beats, over half seconds.
    """
    frames = min(context.shape[1], stem.shape[1])
    if len(beats_s) < 2:
        beats_s = np.arange(0, frames / CHROMA_RATE_HZ, CELL_S)
    starts = np.unique(np.round(beats_s * CHROMA_RATE_HZ).astype(int))
    starts = starts[starts < frames]
    correlations = []
    for start, stop in zip(starts, [*starts[1:], frames], strict=True):
        one, other = (side[:, start:stop].mean(axis=1) for side in (context, stem))
        if min(one.std(), other.std()) > LEAST_SPREAD:
            correlations.append(np.corrcoef(one, other)[0, 1])
    return float(np.mean(correlations)) if correlations else 0.0


def onset_coincidence(context_s: Times, stem_s: Times, duration_s: float) -> float:
    """`(share - chance) / (1 - chance)` of the stem's onsets that meet one of the context's.

    Chance is the share of the time within 50 ms of an onset of the context. 1 where all meet, 0
    for onsets anywhere or none, below 0 for onsets that avoid the context's.
    """
    if not (len(context_s) and len(stem_s)):
        return 0.0
    gaps = np.diff(context_s)
    reached_s = np.minimum(gaps, 2 * ONSET_REACH_S).sum()
    reached_s += min(context_s[0], ONSET_REACH_S) + min(duration_s - context_s[-1], ONSET_REACH_S)
    chance = min(float(reached_s / duration_s), 1.0)
    if chance > 0.95:
        return 0.0  # the context never stops: nothing can be told from meeting it
    nearest = np.abs(stem_s[:, None] - context_s[None]).min(axis=1)
    share = float(np.mean(nearest <= ONSET_REACH_S))
    return (share - chance) / (1 - chance)


def follow(context: Heard, stem: Heard) -> dict[str, float]:
    """How one stem follows one context, over the time that both last.

    The stem's pulse is looked for at the context's tempo: half of it or twice of it is no mistake.
    """
    duration_s = min(context.duration_s, stem.duration_s)
    beats_s = beats_at(context, context.tempo_bpm, duration_s)
    onsets = [heard.onsets_s[heard.onsets_s < duration_s] for heard in (context, stem)]
    return {
        "beat_f": beat_f(beats_s, beats_at(stem, context.tempo_bpm, duration_s)),
        "chroma_correlation": chroma_correlation(context.chroma, stem.chroma, beats_s),
        "onset_coincidence": onset_coincidence(onsets[0], onsets[1], duration_s),
    }


def mixed(context: Wave, stem: Wave) -> Float[np.ndarray, "_channels _time"]:
    """Context and stem together, mono (1, time), as long as the shorter."""
    time = min(context.shape[1], stem.shape[1])
    one, other = (with_channels(side[:, :time].astype(np.float32), 1) for side in (context, stem))
    return one + other


@dataclass(frozen=True, kw_only=True)
class Yardstick:
    """The reference of APA: matched and shuffled pairs in the space where distances are taken.

    Attributes:
        mean: Of the matched patches, (dim,).
        whitener: To COMPONENTS principal components of unit variance, (dim, components).
        matched: Whitened patches of matched pairs.
        shuffled: Whitened patches of shuffled pairs.
        apart: Distance between the two.
    """

    mean: Float[np.ndarray, " dim"]
    whitener: Float[np.ndarray, "dim components"]
    matched: Float[np.ndarray, "matched components"]
    shuffled: Float[np.ndarray, "shuffled components"]
    apart: float

    @classmethod
    def of(cls, matched: Patches, shuffled: Patches) -> "Yardstick":
        """The space fitted to the matched patches, and both sets in it.

        Raises:
            DataError: Too few patches, or all the same.
        """
        if len(matched) < LEAST_PATCHES or len(shuffled) < LEAST_PATCHES:
            raise DataError(
                f"the reference pairs give {len(matched)} patches; expected {LEAST_PATCHES} or "
                "more: give more pairs or longer ones"
            )
        mean = matched.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov(matched, rowvar=False))
        kept = np.argsort(values)[::-1][:COMPONENTS]
        kept = kept[values[kept] > LEAST_SPREAD * max(float(values.max()), LEAST_SPREAD)]
        if not len(kept):
            raise DataError("all reference patches are the same; expected different pairs")
        whitener = vectors[:, kept] / np.sqrt(values[kept])
        one, other = ((patches - mean) @ whitener for patches in (matched, shuffled))
        return cls(
            mean=mean,
            whitener=whitener,
            matched=one,
            shuffled=other,
            apart=set_distance(one, other),
        )

    def apa(self, patches: Patches) -> float:
        """Accompaniment prompt adherence of a set of mixes, in [0, 1].

        `1/2 + (d_anti - d_ref) / (2 max(d(ref, anti), |d_anti - d_ref|))`, Frechet distances.
        """
        placed = (patches - self.mean) @ self.whitener
        nearer = set_distance(placed, self.shuffled) - set_distance(placed, self.matched)
        scale = max(self.apart, abs(nearer))
        return 0.5 + nearer / (2 * scale) if scale > 0 else 0.5


def embedded(
    pairs: Sequence[Pair],
    order: Int[np.ndarray, " pairs"],
    sample_rate: int,
    embedding: Embedding,
) -> list[Patches]:
    """Patches of the mixes of every context with the stem of pair `order`, one array per mix."""
    return [
        np.asarray(embedding.embed(mixed(context, pairs[other][1]), sample_rate), np.float64)
        for (context, _), other in zip(pairs, order, strict=True)
    ]


def evaluate_apa(
    pairs: Sequence[Pair],
    reference: Sequence[Pair],
    sample_rate: int,
    embedding: Embedding,
    draw: np.random.Generator,
    groups: Sequence[str] | None = None,
    reference_groups: Sequence[str] | None = None,
) -> dict[str, Estimate]:
    """APA of the pairs, `apa_anchor` of the same pairs shuffled, `apa_null` of real pairs.

    The null is the score of one half of the reference pairs against the other half; it is left out
    where a half has too few patches for that.

    Raises:
        AudioError: As `validate`.
        DataError: As `validate` and `Yardstick.of`.
    """
    validate(pairs, sample_rate)
    validate(reference, sample_rate)
    half = len(reference) // 2
    # Each half is shuffled in itself, so that it can be judged by the other.
    known = reference_groups
    sides = (None, None) if known is None else (known[:half], known[half:])
    order = np.concatenate(
        [
            derangement(half, draw, sides[0]),
            half + derangement(len(reference) - half, draw, sides[1]),
        ]
    )
    matched = embedded(reference, np.arange(len(reference)), sample_rate, embedding)
    shuffled = embedded(reference, order, sample_rate, embedding)
    whole = Yardstick.of(np.concatenate(matched), np.concatenate(shuffled))
    own = embedded(pairs, np.arange(len(pairs)), sample_rate, embedding)
    turns = [
        embedded(pairs, derangement(len(pairs), draw, groups), sample_rate, embedding)
        for _ in range(SHUFFLES)
    ]
    estimates = {
        "apa": _apa_of(whole, [own], draw, groups),
        "apa_anchor": _apa_of(whole, turns, draw, groups),
    }
    if min(sum(map(len, side)) for side in (matched[half:], shuffled[half:])) >= LEAST_PATCHES:
        other_half = Yardstick.of(np.concatenate(matched[half:]), np.concatenate(shuffled[half:]))
        estimates["apa_null"] = _apa_of(other_half, [matched[:half]], draw, sides[0])
    return estimates


def _apa_of(
    yardstick: Yardstick,
    sets: list[list[Patches]],
    draw: np.random.Generator,
    groups: Sequence[str] | None,
) -> Estimate:
    """Mean APA of sets of mixes, one mix per pair in each; the interval resamples whole groups."""

    def mean_apa(chosen: np.ndarray) -> float:
        resets = (np.concatenate([mixes[index] for index in chosen]) for mixes in sets)
        return float(np.mean([yardstick.apa(patches) for patches in resets]))

    return clustered(len(sets[0]), mean_apa, draw, groups=groups)


def evaluate(
    pairs: Sequence[Pair],
    sample_rate: int,
    embedding: Embedding | None,
    draw: np.random.Generator,
    *,
    reference: Sequence[Pair] | None = None,
    groups: Sequence[str] | None = None,
    reference_groups: Sequence[str] | None = None,
) -> dict[str, Estimate]:
    """All figures by name, with NAME_anchor, and intervals over pairs, or over their pieces.

    Args:
        pairs: What is judged: every context with the stem made for it.
        sample_rate: Samples per second of all waves.
        embedding: What APA embeds mixes with; None leaves APA out.
        draw: Source of the shuffles and of the resampling.
        reference: Real pairs for APA, others than those judged; None leaves APA out.
        groups: The piece that each pair is from; shuffled pairs are then of two pieces.
        reference_groups: The same of the reference.

    Raises:
        AudioError: As `validate`.
        DataError: As `validate`, `derangement` and `Yardstick.of`.
        MissingDependencyError: mir_eval is not installed.
    """
    validate(pairs, sample_rate)
    contexts = [listen(context, sample_rate) for context, _ in pairs]
    stems = [listen(stem, sample_rate) for _, stem in pairs]
    rows = [follow(context, stem) for context, stem in zip(contexts, stems, strict=True)]
    orders = [derangement(len(pairs), draw, groups) for _ in range(SHUFFLES)]
    anchors = [
        [follow(context, stems[order[index]]) for order in orders]
        for index, context in enumerate(contexts)
    ]
    figures = {}
    for name in rows[0]:
        figures[name] = mean_interval(np.array([row[name] for row in rows]), draw, groups)
        chance = np.array([np.mean([turn[name] for turn in turns]) for turns in anchors])
        figures[f"{name}_anchor"] = mean_interval(chance, draw, groups)
    silence = np.array([features.silence_ratio(stem, sample_rate) for _, stem in pairs])
    figures["silence_ratio"] = mean_interval(silence, draw, groups)
    if embedding is not None and reference is not None:
        figures |= evaluate_apa(
            pairs, reference, sample_rate, embedding, draw, groups, reference_groups
        )
    return figures
