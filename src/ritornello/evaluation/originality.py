"""Does the model copy? The nearest training excerpt of every output, and what that nearness means.

All music shares something: scales, cadences, figures. So the nearness of an output to the training
music says nothing by itself; it is compared with how near real pieces come that the model never
saw. An output is called a copy only when such nearness would hardly happen to a held-out piece.

Conventions
    outputs, held_out   clips of one length; every clip is searched window by window, so that a
                        copied passage inside a clip is found, and both sides have equal chances
    training            the recordings that these clips are from, searched whole
    similarity          see `fingerprint`; of an embedding, 1 - distance, with the distance
                        (1 - cosine) / 2 between patches about the training music's mean
    nearest             the most similar window of a clip and its counterpart in the training music

Metrics
    similarity        mean over outputs of the nearest similarity; _null over held-out clips
    windows_nearer    share of the outputs' windows that are nearer to training than 99 % of the
                      held-out windows; 0.01 when nothing is copied; _null of the held-out clips
                      themselves, each against those of other recordings
    copied            share of outputs that are copies, with Wilson's interval; _null of the
                      held-out clips, by the chances that were fitted to these same clips: it finds
                      music on both sides, but does not measure the rate of false alarms

Names of an embedding's figures begin with `embedding_`.

What makes a clip a copy, and the figures above: `nearness`. The measure is only as wide as the
held-out music: many clips of a few recordings are few (see ENOUGH_HELD_OUT), and a few held-out
pieces that do occur in training are told as warnings.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from ritornello.audio.io import probe
from ritornello.errors import DataError
from ritornello.evaluation.clips import Clip, ClipSet
from ritornello.evaluation.fingerprint import (
    FRAME_RATE_HZ,
    Index,
    Match,
    fingerprint,
    index_files,
)
from ritornello.evaluation.intervals import Estimate
from ritornello.evaluation.nearness import FALSE_ALARM, Pair, Search, figures_of, judge

if TYPE_CHECKING:
    from ritornello.evaluation.embedding import Embedding

WINDOW_S = 10.0
SHORTEST_WINDOW_S = 5.0
FEWEST_ONSETS = 24
MOST_PER_FRAME, MOST_PER_ROW = 4, 5
FEWEST_HELD_OUT = 8
ENOUGH_HELD_OUT = 60
"""Recordings, not clips: those of one recording are alike, and say little more than one."""

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class Originality:
    """What was found.

    Attributes:
        figures: By the names in the module's text.
        closest: The pair of every output, nearest first.
        held_out: The same of the held-out clips.
        closest_by_embedding: The pair of every output by the embedding; empty without one.
        warnings: What the figures are worth, and what was left out.
        settings: Window, hours searched, numbers of clips, name of the embedding.
    """

    figures: Mapping[str, Estimate]
    closest: list[Pair]
    held_out: list[Pair]
    closest_by_embedding: list[Pair] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {
            "figures": {name: figure.to_dict() for name, figure in self.figures.items()},
            "closest": [pair.to_dict() for pair in self.closest],
            "closest_by_embedding": [pair.to_dict() for pair in self.closest_by_embedding],
            "held_out": [pair.to_dict() for pair in self.held_out],
            "warnings": self.warnings,
            "settings": dict(self.settings),
        }


def validate(outputs: ClipSet, training: ClipSet, held_out: ClipSet) -> None:
    """Refuse sets that cannot be compared.

    Raises:
        DataError: Too few clips, clips of different or too small length, or held-out recordings
            that are training recordings or outputs.
    """
    if not len(outputs) or not len(training) or len(held_out) < FEWEST_HELD_OUT:
        raise DataError(
            f"got {len(outputs)} outputs, {len(training)} training clips and {len(held_out)} "
            f"held-out clips; expected at least 1, 1 and {FEWEST_HELD_OUT}"
        )
    lengths = {clip.seconds for clips in (outputs, held_out) for clip in clips}
    if len(lengths) > 1 or min(lengths) < SHORTEST_WINDOW_S:
        raise DataError(
            f"outputs and held-out clips last {', '.join(f'{s:g}' for s in sorted(lengths))} s; "
            f"expected one length for all, at least {SHORTEST_WINDOW_S:g} s"
        )
    shared = _files(training) & _files(held_out)
    if shared:
        raise DataError(
            f"{len(shared)} held-out recordings are training recordings as well, the first is "
            f"{min(shared)}; expected music that the model never saw"
        )
    same = _same_files(outputs, held_out)
    if same:
        raise DataError(
            f"{len(same)} outputs are held-out recordings as well, the first is {min(same)}; "
            "expected real music to measure the outputs by, not the outputs themselves"
        )


def search(clip: Clip, index: Index, recordings: Sequence[Path]) -> Search | None:
    """The nearest training excerpt of a clip by fingerprint; None where it has too few onsets.

    Args:
        clip: Of an output or a held-out piece.
        index: The training music.
        recordings: The files of the index.
    """
    audio = clip.read()
    made = fingerprint(audio.samples, audio.sample_rate)
    frames = round(min(WINDOW_S, clip.seconds) * FRAME_RATE_HZ)
    found: list[tuple[float, Match]] = []
    for start in _window_starts(made.frames, frames):
        moments = made.onsets[:, 0] - start
        inside = (moments >= 0) & (moments < frames)
        window = thinned(np.stack([moments[inside], made.onsets[inside, 1]], axis=1))
        if len(window) >= FEWEST_ONSETS:
            found.append((start / FRAME_RATE_HZ, index.search(window, frames)))
    if not found:
        return None
    start_s, best = max(found, key=lambda entry: entry[1].similarity)
    seconds = frames / FRAME_RATE_HZ
    return Search(
        similarities=np.array([match.similarity for _, match in found]),
        output=_part(clip, start_s, seconds),
        training=_place(recordings[best.recording], best.start_s, seconds * best.tempo),
        semitones=best.semitones,
        tempo=best.tempo,
    )


def thinned(onsets: Int[np.ndarray, "_onsets 2"]) -> Int[np.ndarray, "_kept 2"]:
    """At most MOST_PER_FRAME onsets of each frame and MOST_PER_ROW of each row, evenly chosen.

    A final chord coincides with any like it, and chords in even quavers with any others: without
    this, held-out pieces that end or move so look like copies.
    """
    for column, most in ((0, MOST_PER_FRAME), (1, MOST_PER_ROW)):
        kept = np.ones(len(onsets), bool)
        for value in np.unique(onsets[:, column]):
            own = np.flatnonzero(onsets[:, column] == value)
            if len(own) > most:
                kept[own] = np.diff(np.arange(len(own) + 1) * most // len(own)) > 0
        onsets = onsets[kept]
    return onsets


def _window_starts(frames: int, window: int) -> list[int]:
    """First frames of windows that overlap by half; the last one ends where the clip does."""
    last = max(0, frames - 1 - window)
    return sorted({*range(0, last + 1, max(1, window // 2)), last})


def _part(clip: Clip, start_s: float, seconds: float) -> Clip:
    """A window of a clip as a clip of its own."""
    length = min(seconds, clip.seconds - start_s)
    return _place(clip.path, clip.start_s + start_s, length)


def _place(path: Path, start_s: float, seconds: float) -> Clip:
    """A place in a recording, cut to what there is of it."""
    duration_s = probe(path).duration_s
    start_s = min(max(0.0, start_s), max(0.0, duration_s - SHORTEST_WINDOW_S))
    seconds = min(seconds, duration_s - start_s)
    return Clip(name=f"{path.name}@{start_s:.3f}", path=path, start_s=start_s, seconds=seconds)


def search_embedded(
    clips: ClipSet,
    patches: Sequence[Float[np.ndarray, "_patches dim"]],
    training: ClipSet,
    training_patches: Sequence[Float[np.ndarray, "_patches dim"]],
    patch_s: float,
) -> list[Search]:
    """The nearest training patch of every clip by an embedding.

    Args:
        clips: Outputs or held-out clips.
        patches: Their embeddings, clip by clip.
        training: Clips of the training music.
        training_patches: Their embeddings.
        patch_s: Seconds from one patch to the next.
    """
    music = np.concatenate(training_patches).astype(np.float64)
    mean = music.mean(axis=0)
    directions = _unit(music - mean)
    places = [(clip, at) for clip, own in zip(training, training_patches, strict=True)
              for at in range(len(own))]  # fmt: skip
    found = []
    for clip, own in zip(clips, patches, strict=True):
        cosines = _unit(own.astype(np.float64) - mean) @ directions.T
        patch, place = np.unravel_index(int(cosines.argmax()), cosines.shape)
        there, at = places[int(place)]
        found.append(
            Search(
                similarities=(1 + cosines.max(axis=1)) / 2,
                output=_part(clip, int(patch) * patch_s, patch_s),
                training=_part(there, at * patch_s, patch_s),
                semitones=None,
                tempo=1.0,
            )
        )
    return found


def _unit(vectors: Float[np.ndarray, "vectors dim"]) -> Float[np.ndarray, "vectors dim"]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def evaluate(
    outputs: ClipSet,
    training: ClipSet,
    held_out: ClipSet,
    *,
    draw: np.random.Generator,
    embedding: "Embedding | None" = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Originality:
    """Whether `outputs` copy the recordings of `training`, by the measure of `held_out`.

    Args:
        outputs: Clips of the model's pieces.
        training: Clips of the music it was trained on: by fingerprint their recordings are searched
            whole, by the embedding the clips themselves.
        held_out: Clips, as long as the outputs, of real music of the same kind that it never saw.
        draw: Source of the resampling.
        embedding: A second measure of nearness; None for the fingerprint alone.
        cache: Folder for fingerprints and embeddings; None keeps none.
        progress: Called as progress(done, total, name) for recordings, then for clips.

    Raises:
        DataError: Sets that cannot be compared, or outputs without notes.
        AudioError: A file that cannot be read.
    """
    validate(outputs, training, held_out)
    recordings = sorted(_files(training))
    index = index_files(recordings, cache=cache, progress=progress)
    clips = [*outputs, *held_out]
    searches = []
    for number, clip in enumerate(clips):
        if progress:
            progress(number, len(clips), clip.name)
        searches.append(search(clip, index, recordings))
    if progress:
        progress(len(clips), len(clips), "")
    made = [found for found in searches[: len(outputs)] if found is not None]
    null = [found for found in searches[len(outputs) :] if found is not None]
    if not made or len(null) < FEWEST_HELD_OUT:
        raise DataError(
            f"{len(made)} outputs and {len(null)} held-out clips have {FEWEST_ONSETS} onsets or "
            f"more in a window; expected at least 1 and {FEWEST_HELD_OUT}"
        )
    closest, closest_held_out = judge(made, null)
    figures = figures_of(made, null, draw)
    by_embedding: list[Pair] = []
    if embedding is not None:
        own, real = _embedded(outputs, training, held_out, embedding, cache, progress)
        by_embedding, _ = judge(own, real)
        own_figures = figures_of(own, real, draw)
        figures |= {f"embedding_{name}": figure for name, figure in own_figures.items()}
    return Originality(
        figures=figures,
        closest=closest,
        held_out=closest_held_out,
        closest_by_embedding=by_embedding,
        warnings=_warnings(len(outputs) - len(made), closest_held_out),
        settings={
            "window_s": min(WINDOW_S, outputs[0].seconds),
            "clip_s": outputs[0].seconds,
            "outputs": len(made),
            "held_out": len(null),
            "held_out_recordings": _recordings(closest_held_out),
            "training_recordings": len(recordings),
            "training_hours": round(index.hours, 3),
            "false_alarm": FALSE_ALARM,
            "embedding": None if embedding is None else embedding.name,
        },
    )


def _embedded(
    outputs: ClipSet,
    training: ClipSet,
    held_out: ClipSet,
    embedding: "Embedding",
    cache: Path | None,
    progress: Progress | None,
) -> tuple[list[Search], list[Search]]:
    """What the embedding finds for the outputs and for the held-out clips."""
    from ritornello.evaluation.embedding import embed_clips

    made, music, real = (
        embed_clips(clips, embedding, cache=cache, progress=progress)
        for clips in (outputs, training, held_out)
    )
    return (
        search_embedded(outputs, made, training, music, embedding.patch_s),
        search_embedded(held_out, real, training, music, embedding.patch_s),
    )


def _warnings(without_notes: int, held_out: Sequence[Pair]) -> list[str]:
    """What a reader has to know before the figures."""
    told = []
    if without_notes:
        told.append(f"{without_notes} outputs were left out: too few onsets to compare")
    recordings = _recordings(held_out)
    if recordings < ENOUGH_HELD_OUT:
        told.append(
            f"only {len(held_out)} held-out clips of {recordings} recordings: below "
            f"{ENOUGH_HELD_OUT} recordings, however many clips, the chances are rough, and an "
            "innocent set is accused up to four times as often as promised"
        )
    for pair in held_out:
        if pair.copied:
            told.append(
                f"the held-out {pair.output.name} is found in training ({pair.training.name}, "
                f"similarity {pair.similarity:.2f}): the same music may be on both sides"
            )
    return told


def _files(clips: ClipSet) -> set[Path]:
    return {clip.path.resolve() for clip in clips}


def _recordings(pairs: Sequence[Pair]) -> int:
    """How many different recordings the outputs of `pairs` are from."""
    return len({pair.output.path for pair in pairs})


def _same_files(outputs: ClipSet, held_out: ClipSet) -> set[Path]:
    """The files of `outputs` that are files of `held_out` too, under whatever name."""
    sizes = {path.stat().st_size for path in _files(held_out)}
    candidates = {path for path in _files(outputs) if path.stat().st_size in sizes}
    sizes = {path.stat().st_size for path in candidates}
    real = {_digest(path) for path in _files(held_out) if path.stat().st_size in sizes}
    return {path for path in candidates if _digest(path) in real}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
