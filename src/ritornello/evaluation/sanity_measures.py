"""Every metric on every set of the sanity table: the figures that `sanity` then judges.

Conventions
    heard     what is kept of one clip: patches of each embedding, hand-made features of its
              pieces, musical descriptors; a file of arrays per clip, found again after a break
    figures   metric -> set -> Estimate, all sets against the same reference

Metrics
    fad, fad_infinity, kid   on musicnn's patches; `fad` is that of all clips against halves of the
                             reference, so that every set, and the null, which is one half against
                             the other, is judged at the same number of patches and has the same
                             bias
    fad_codec                the same FAD on the codec's latents
    frechet_excerpts         on the hand-made features of `excerpts`
    mirdd_open_js            mean Jensen-Shannon divergence of musical descriptors

Each metric has its null under `_null`: the reference's halves against each other, at about the size
of a set. Figures against the same reference can be compared with each other; sets that hold the
same clips more sharply, by `gap`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ritornello.audio.io import read_audio
from ritornello.evaluation import descriptors, excerpts, fad, frechet, kid
from ritornello.evaluation.degradations import degraded
from ritornello.evaluation.descriptors import Descriptors
from ritornello.evaluation.embedding import Embedding
from ritornello.evaluation.frechet import set_distance
from ritornello.evaluation.intervals import Estimate, around
from ritornello.evaluation.patches import halves, pooled
from ritornello.evaluation.sanity import GRADES, SEED
from ritornello.evaluation.sanity_material import Sample, levelled
from ritornello.interfaces import Audio

PIECES = 4
"""Parts of a clip, for the features that are told over time."""

Patches = Float[np.ndarray, "_patches _dim"]
Figures = dict[str, Estimate]
Damage = Callable[[Audio], Audio]
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Heard:
    """What is kept of one clip.

    Attributes:
        patches: Patches by name of the embedding.
        pieces: Hand-made features of its parts.
        described: Musical descriptors; None where they were not asked for.
        recording: What it counts as.
    """

    patches: Mapping[str, Patches]
    pieces: Float[np.ndarray, "pieces dim"]
    described: Descriptors | None
    recording: str


def hear(sample: Sample, audio: Audio, embeddings: Sequence[Embedding], *, notes: bool) -> Heard:
    """Everything that the metrics need of one clip; with `notes`, its descriptors too."""
    wave = audio.samples
    pieces = excerpts.pieces_of(wave, audio.sample_rate, audio.duration_s / PIECES)
    return Heard(
        patches={each.name: each.embed(wave, audio.sample_rate) for each in embeddings},
        pieces=excerpts.describe_all(pieces[:PIECES], audio.sample_rate),
        described=descriptors.describe(wave, audio.sample_rate) if notes else None,
        recording=sample.recording,
    )


def damage(kind: str, amount: float, number: int) -> Damage:
    """The degradation of one clip, at the loudness of all clips again."""
    # The same draw at every grade: the same noise, louder.
    seeds = [SEED, list(GRADES).index(kind), number]

    def apply(audio: Audio) -> Audio:
        draw = np.random.default_rng(seeds)
        spoilt = degraded(kind, audio.samples, audio.sample_rate, amount, draw)
        return levelled(Audio(samples=spoilt.astype(np.float32), sample_rate=audio.sample_rate))

    return apply


def hear_set(
    samples: Sequence[Sample],
    embeddings: Sequence[Embedding],
    cache: Path,
    *,
    notes: bool,
    damaged: Callable[[int], Damage] | None = None,
    progress: Progress | None = None,
) -> list[Heard]:
    """Every clip of a set, as it is or damaged; what `cache` holds is not heard again.

    Args:
        samples: The clips.
        embeddings: What embeds.
        cache: Folder of this set, with this damage.
        notes: Whether to describe the music as well.
        damaged: The damage of the clip of a number.
        progress: Called as progress(done, total, name of the folder).
    """
    cache.mkdir(parents=True, exist_ok=True)
    heard = []
    for number, sample in enumerate(samples):
        path = cache / f"{number:03d}.npz"
        found = _read(path, sample, embeddings, notes=notes)
        if found is None:
            audio = read_audio(sample.path)
            audio = damaged(number)(audio) if damaged else audio
            found = hear(sample, audio, embeddings, notes=notes)
            _write(path, found, embeddings)
        heard.append(found)
        if progress is not None:
            progress(number + 1, len(samples), cache.name)
    return heard


DESCRIBED = ("pitches", "chords")
TOLD = ("key", "alternation", "percussive_density", "beats_per_bar", "tempo_bpm", "duration_s")


def _write(path: Path, heard: Heard, embeddings: Sequence[Embedding]) -> None:
    """Keep what was heard of a clip, whole or not at all."""
    arrays = {f"patches {each.key}": heard.patches[each.name] for each in embeddings}
    arrays["pieces"] = heard.pieces
    told = heard.described
    if told is not None:
        arrays |= {name: getattr(told, name) for name in DESCRIBED}
        values = [getattr(told, name) for name in TOLD]
        arrays["told"] = np.array([np.nan if value is None else value for value in values])
        arrays["transcriber"] = np.array(told.transcriber)
        if told.sections is not None:
            arrays["sections"] = np.array(told.sections)
    part = path.with_suffix(".part.npz")
    np.savez(part, **arrays)  # pyright: ignore[reportArgumentType]
    part.rename(path)


def _read(
    path: Path, sample: Sample, embeddings: Sequence[Embedding], *, notes: bool
) -> Heard | None:
    """What `_write` kept, or None if it is not there or lacks something."""
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        wanted = {f"patches {each.key}" for each in embeddings} | ({"told"} if notes else set())
        if not wanted <= set(arrays.files):
            return None
        return Heard(
            patches={each.name: arrays[f"patches {each.key}"] for each in embeddings},
            pieces=arrays["pieces"],
            described=_described(arrays) if notes else None,
            recording=sample.recording,
        )


def _described(arrays: Mapping[str, np.ndarray]) -> Descriptors:
    told = {
        name: None if np.isnan(value) else float(value)
        for name, value in zip(TOLD, arrays["told"], strict=True)
    }
    key, bar = told["key"], told["beats_per_bar"]
    return Descriptors(
        pitches=arrays["pitches"],
        key=None if key is None else int(key),
        chords=arrays["chords"],
        alternation=told["alternation"],
        percussive_density=int(told["percussive_density"] or 0),
        beats_per_bar=None if bar is None else int(bar),
        tempo_bpm=told["tempo_bpm"],
        sections=tuple(arrays["sections"].tolist()) if "sections" in arrays else None,
        transcriber=str(arrays["transcriber"]),
        duration_s=told["duration_s"] or 0.0,
    )


def figures_of(made: Sequence[Heard], reference: Sequence[Heard]) -> Figures:
    """Every metric of one set, and its null under `_null`.

    Args:
        made: The set's clips.
        reference: The reference's, best twice as many.
    """
    draw = np.random.default_rng(SEED)
    musicnn, *others = list(made[0].patches)
    figures = _fad(made, reference, musicnn, draw)
    figures |= kid.evaluate(
        *_patches(made, reference, musicnn), draw, **_recordings(made, reference)
    )
    for name in others:
        figures["fad_codec"], figures["fad_codec_null"] = (
            _fad(made, reference, name, draw)[key] for key in ("fad", "fad_null")
        )
    by_hand = frechet.evaluate(
        np.stack([each.pieces for each in reference]),
        np.stack([each.pieces for each in made]),
        draw,
        **_recordings(made, reference),
    )
    figures["frechet_excerpts"] = by_hand["frechet_distance"]
    figures["frechet_excerpts_null"] = by_hand["frechet_null"]
    one, other = ([each.described for each in part if each.described] for part in (made, reference))
    if one and other:
        told = descriptors.evaluate(one, other, draw)
        figures |= {name: told[name] for name in ("mirdd_open_js", "mirdd_open_js_null")}
    return figures


def _fad(
    made: Sequence[Heard], reference: Sequence[Heard], name: str, draw: np.random.Generator
) -> Figures:
    """FAD of all clips against halves of the reference, FAD-infinity, and their nulls."""
    told = fad.evaluate(*_patches(made, reference, name), draw, **_recordings(made, reference))
    one, real = (
        pooled([each.patches[name] for each in part], [each.recording for each in part])
        for part in (made, reference)
    )
    found, null = [], []
    for _ in range(fad.SPLITS):
        order = draw.permutation(real.items)
        half, other = np.array_split(order, 2)
        found.append(set_distance(one.values, real.of_items(half)))
        null.append(set_distance(real.of_items(other), real.of_items(half)))
    deviation = (told["fad_all"].high - told["fad_all"].value) / 1.96
    return {
        "fad": around(float(np.mean(found)), deviation, one.items, lowest=0.0),
        "fad_null": fad.over_splits(null, real.items // 2),
        "fad_infinity": told["fad_infinity"],
        "fad_infinity_null": told["fad_infinity_null"],
    }


def _patches(
    made: Sequence[Heard], reference: Sequence[Heard], name: str
) -> tuple[list[Patches], list[Patches]]:
    return [each.patches[name] for each in made], [each.patches[name] for each in reference]


def gap(
    made: Sequence[Heard], clean: Sequence[Heard], reference: Sequence[Heard], name: str
) -> Estimate:
    """By how much FAD is larger for `made` than for `clean`, which hold the same clips.

    Both differ from the reference by their pieces, which says nothing of what was done to them. So
    the same halves of pieces and reference are drawn for both, as `fad` draws them, and the spread
    of the differences is put around the difference of all clips: which pieces were drawn cancels
    out. An interval above 0 says that the metric hears what was done.

    Args:
        made: The clips after something was done to them.
        clean: The same clips before, in the same order.
        reference: The reference's clips.
        name: Embedding.
    """
    draw = np.random.default_rng(SEED)
    (one, real), (other, _) = (
        [
            pooled([each.patches[name] for each in part], [each.recording for each in part])
            for part in (set_, reference)
        ]
        for set_ in (made, clean)
    )
    gaps = []
    for chosen, seen in halves(one, real, draw):
        part = real.of_items(seen)
        gaps.append(
            set_distance(one.of_items(chosen), part) - set_distance(other.of_items(chosen), part)
        )
    value = fad.distance(one, real) - fad.distance(other, real)
    return around(value, float(np.std(gaps, ddof=1)), one.items)


def warnings(made: Sequence[Heard], reference: Sequence[Heard]) -> list[str]:
    """What the figures of these sets are worth."""
    first = next(iter(made[0].patches))
    return fad.warnings(*_patches(made, reference, first), **_recordings(made, reference))


def _recordings(made: Sequence[Heard], reference: Sequence[Heard]) -> dict[str, list[str]]:
    return {
        "generated_recordings": [each.recording for each in made],
        "reference_recordings": [each.recording for each in reference],
    }
