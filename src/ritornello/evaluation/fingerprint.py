"""What a stretch of music is by its notes alone, and where in hours of other music they recur.

A fingerprint is the moments and pitches at which something begins: peaks of the rise of a
log-frequency spectrogram. Two stretches are compared by laying one over the other, at every moment
and in every key, and counting the onsets that coincide. Landmark pairs (Wang 2003) and quads
(Sonnleitner & Widmer 2014) hash such peaks to find candidate places; here every place is tried,
which misses none, and is fast enough because a cell of the music searched is a single byte.

Conventions
    onsets        int32 (onsets, 2): frame at FRAME_RATE_HZ, and row, counted upwards from
                  LOWEST_HZ, ROWS_PER_SEMITONE to a semitone; in order of time
    semitones     how much higher the query is than what it is found in, within +-MAX_SEMITONES
    tempo         how much faster the query is than what it is found in: 1 for music in another
                  key, 2 ** (semitones / 12) for a recording played faster or slower
    similarity    coincident onsets over the geometric mean of the onsets of both, 0 to 1

What it never sees: gain (the root of the magnitude rises in proportion, and rises only compete with
their neighbours), the loudness of notes, and where a clip was cut. What it cannot follow: another
tempo at the same pitch, another voicing, ornaments, timing moved by more than a tenth of a second.
"""

import hashlib
import itertools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ritornello.audio.io import probe, read_audio, with_channels
from ritornello.audio.resample import resample
from ritornello.errors import DataError
from ritornello.evaluation.spectra import validate

ANALYSIS_RATE_HZ = 11025
N_FFT, HOP = 4096, 1024
FRAME_RATE_HZ = ANALYSIS_RATE_HZ / HOP
LOWEST_HZ = 82.407
SEMITONES, ROWS_PER_SEMITONE = 60, 2
ROWS = SEMITONES * ROWS_PER_SEMITONE
ONSETS_PER_S = 8.0
MAX_SEMITONES = 6

# Half a semitone more on either side, so that a transposition that is no whole number is found.
MAX_SHIFT = MAX_SEMITONES * ROWS_PER_SEMITONE + 1

FASTEST = 2 ** (MAX_SHIFT / (12 * ROWS_PER_SEMITONE))
LONGEST_QUERY_FRAMES = round(30 * FRAME_RATE_HZ)

_RISE_FRAMES = 2
_APART = 2  # rows and frames on either side in which an onset is the only one
_REACH_FRAMES = round(FRAME_RATE_HZ)  # onsets compete with those of a second before and after
_STRONGEST_PER_FRAME = 12
_FAINTEST = 0.03  # of the highest levels: 60 dB below them in power
_STFT_FRAMES = 1024
_CHUNK_FRAMES = 1500
_BLOCK_FRAMES = 1 << 16  # the votes of a block stay in the processor's cache
_GAP_FRAMES = 32
_FEWEST_SHARE = 0.5  # a place counts as having at least this share of the query's onsets

Onsets = Int[np.ndarray, "_onsets 2"]
Levels = Float[np.ndarray, "rows frames"]
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """The onsets of a recording and its length in frames."""

    onsets: Onsets
    frames: int


@dataclass(frozen=True, kw_only=True)
class Match:
    """Where in the music searched a query coincides best.

    Attributes:
        similarity: 0 to 1, see the module's text.
        recording: Index of the recording.
        start_s: Where the counterpart of the query's beginning lies; may be a little before 0.
        semitones: How much higher the query is.
        tempo: How much faster the query is.
    """

    similarity: float
    recording: int
    start_s: float
    semitones: float
    tempo: float


@lru_cache(maxsize=1)
def row_filters() -> Float[np.ndarray, "rows bins"]:
    """Triangles around the frequency of each row, a row wide on either side.

    Never less than a bin wide, so that none is empty.
    """
    centres_hz = LOWEST_HZ * 2 ** (np.arange(ROWS) / (12 * ROWS_PER_SEMITONE))
    bin_hz = ANALYSIS_RATE_HZ / N_FFT
    width_hz = np.maximum(centres_hz * (2 ** (1 / (12 * ROWS_PER_SEMITONE)) - 1), bin_hz)
    bins_hz = np.arange(N_FFT // 2 + 1) * bin_hz
    weights = np.maximum(0, 1 - np.abs(bins_hz - centres_hz[:, None]) / width_hz[:, None])
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def levels(mono: Float[np.ndarray, " time"]) -> Levels:
    """Square root of the magnitude in each row at ANALYSIS_RATE_HZ / HOP frames per second.

    Frame t is centred on sample t * HOP; outside of the signal there is silence.
    """
    frames = mono.shape[0] // HOP + 1
    padded = np.pad(mono.astype(np.float32), N_FFT // 2)
    framed = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP][:frames]
    window = np.hanning(N_FFT + 1)[:-1].astype(np.float32)
    parts = []
    for start in range(0, frames, _STFT_FRAMES):
        magnitude = np.abs(np.fft.rfft(framed[start : start + _STFT_FRAMES] * window))
        parts.append(np.sqrt(row_filters() @ magnitude.T.astype(np.float32)))
    return np.concatenate(parts, axis=1)


def pick_onsets(level: Levels) -> Onsets:
    """The strongest rises of each moment: about ONSETS_PER_S of them, whatever the loudness."""
    rise = np.zeros_like(level)
    rise[:, _RISE_FRAMES:] = np.maximum(0, level[:, _RISE_FRAMES:] - level[:, :-_RISE_FRAMES])
    highest = _local_maximum(_local_maximum(rise, axis=0), axis=1)
    peaks = np.where((rise == highest) & (rise > 0), rise, 0)
    if not peaks.any():
        return np.zeros((0, 2), np.int32)
    # Against the level and not the rises: a steady hum has none but those of its rounding.
    faintest = _FAINTEST * np.quantile(level.max(axis=0), 0.95)
    threshold = np.maximum(_least_of_strongest(peaks), max(faintest, np.finfo(np.float32).tiny))
    rows, frames = np.nonzero(peaks >= threshold)
    order = np.lexsort((rows, frames))
    return np.stack([frames[order], rows[order]], axis=1).astype(np.int32)


def _local_maximum(values: Levels, axis: int) -> Levels:
    """The largest of each value and its neighbours up to _APART away along `axis`."""
    pad = [(0, 0), (0, 0)]
    pad[axis] = (_APART, _APART)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(values, pad), 2 * _APART + 1, axis=axis
    )
    return windows.max(axis=-1)


def _least_of_strongest(peaks: Levels) -> Float[np.ndarray, " frames"]:
    """For each frame the least of as many peaks as may stay within a second on either side."""
    strongest = -np.sort(-peaks, axis=0)[:_STRONGEST_PER_FRAME]
    span = 2 * _REACH_FRAMES + 1
    padded = np.pad(strongest, ((0, 0), (_REACH_FRAMES, _REACH_FRAMES)))
    around = np.lib.stride_tricks.sliding_window_view(padded, span, axis=1)
    around = around.swapaxes(0, 1).reshape(peaks.shape[1], -1)
    allowed = round(ONSETS_PER_S * span / FRAME_RATE_HZ)
    return np.partition(around, -allowed, axis=1)[:, -allowed]


def fingerprint(wave: Float[np.ndarray, "channels time"], sample_rate: int) -> Fingerprint:
    """The fingerprint of audio at any rate; all channels are mixed.

    Raises:
        AudioError: No samples, or not finite.
    """
    validate(wave)
    mono = with_channels(wave.astype(np.float32), 1)
    level = levels(resample(mono, sample_rate, ANALYSIS_RATE_HZ)[0])
    return Fingerprint(onsets=pick_onsets(level), frames=level.shape[1])


def fingerprint_file(path: Path, cache: Path | None = None) -> Fingerprint:
    """The fingerprint of a whole file, decoded chunk by chunk: memory holds the levels alone.

    Args:
        path: The audio file.
        cache: Folder in which fingerprints are kept by the content of their file; None keeps none.

    Raises:
        AudioError: Not audio that can be read.
    """
    kept = None if cache is None else cache / "fingerprints" / f"{_key(path)}.npy"
    if kept is not None and (found := _load(kept)) is not None:
        return found
    level = np.concatenate(list(_level_chunks(path)), axis=1)
    made = Fingerprint(onsets=pick_onsets(level), frames=level.shape[1])
    if kept is not None:
        _store(kept, made)
    return made


def _level_chunks(path: Path) -> Iterator[Levels]:
    """Levels of a file in order, each chunk read with the samples that its windows reach to."""
    info = probe(path)
    total = int(info.duration_s * ANALYSIS_RATE_HZ) // HOP + 1
    margin = N_FFT // HOP
    for first in range(0, total, _CHUNK_FRAMES):
        last = min(total, first + _CHUNK_FRAMES)
        start, stop = max(0, first - margin), last + margin
        audio = read_audio(
            path,
            start_s=start * HOP / ANALYSIS_RATE_HZ,
            duration_s=(stop - start) * HOP / ANALYSIS_RATE_HZ,
        )
        mono = resample(with_channels(audio.samples, 1), audio.sample_rate, ANALYSIS_RATE_HZ)[0]
        yield levels(mono)[:, first - start : last - start]


def _key(path: Path) -> str:
    """A name for the fingerprint of this content made with these settings."""
    settings = (ANALYSIS_RATE_HZ, N_FFT, HOP, LOWEST_HZ, ROWS, ONSETS_PER_S, _APART, _FAINTEST, 2)
    digest = hashlib.sha256(repr(settings).encode())
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:32]


def _load(kept: Path) -> Fingerprint | None:
    """What is kept under this name; None if nothing whole is."""
    try:
        rows = np.load(kept, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return Fingerprint(onsets=rows[1:], frames=int(rows[0, 0]))


def _store(kept: Path, made: Fingerprint) -> None:
    """Keep a fingerprint, whole or not at all: its length first, then its onsets."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    partial = kept.with_name(f"{kept.stem}.{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.save(file, np.concatenate([np.array([[made.frames, 0]], np.int32), made.onsets]))
    os.replace(partial, kept)


class Index:
    """Fingerprints laid end to end, to be searched at every place.

    A cell (row, frame) is 1 where an onset of a query may coincide: within one row and one frame of
    an onset of the music. Onsets stand further apart than that, so that none counts twice.

    Args:
        fingerprints: Of the recordings to search, in the order that `Match.recording` counts.

    Raises:
        DataError: No recordings.
    """

    def __init__(self, fingerprints: Sequence[Fingerprint]) -> None:
        if not fingerprints:
            raise DataError("got no recordings to search; expected at least one")
        lengths = [made.frames + _GAP_FRAMES for made in fingerprints]
        ends = np.cumsum(lengths)
        self.frames = int(ends[-1])
        self._starts = ends - lengths
        self._fingerprints = tuple(fingerprints)
        # Rows and frames beyond the ends stay empty: what is moved out of range finds nothing.
        beyond = int(LONGEST_QUERY_FRAMES * FASTEST) + 2
        self._cells = np.zeros((ROWS + 2 * MAX_SHIFT, self.frames + beyond), np.uint8)
        counts = np.zeros(self.frames + beyond, np.int32)
        for start, made in zip(self._starts, fingerprints, strict=True):
            frames, rows = made.onsets[:, 0] + start, made.onsets[:, 1] + MAX_SHIFT
            np.add.at(counts, frames, 1)
            for up, later in itertools.product((-1, 0, 1), repeat=2):
                self._cells[rows + up, np.maximum(frames + later, 0)] = 1
        self._onsets_before = np.concatenate([[0], np.cumsum(counts)])

    @property
    def hours(self) -> float:
        """Hours of music searched."""
        return self.frames / FRAME_RATE_HZ / 3600

    def search(self, onsets: Onsets, frames: int) -> Match:
        """The place, key and tempo at which a query coincides best.

        Args:
            onsets: Of the query, frames counted from its beginning; 1 to 255 of them.
            frames: Length of the query, at most LONGEST_QUERY_FRAMES.

        Raises:
            DataError: Too short or too long a query.
        """
        if not (0 < len(onsets) < 256 and 0 < frames <= LONGEST_QUERY_FRAMES):
            raise DataError(
                f"got a query of {len(onsets)} onsets in {frames} frames; expected 1 to 255 onsets "
                f"in at most {LONGEST_QUERY_FRAMES} frames"
            )
        best = _Place(similarity=0.0, frame=0, shift=0, tempo=1.0)
        for start in range(0, self.frames, _BLOCK_FRAMES):
            for shift in sorted(range(-MAX_SHIFT, MAX_SHIFT + 1), key=abs):
                for tempo in dict.fromkeys((1.0, 2 ** (shift / (12 * ROWS_PER_SEMITONE)))):
                    votes = self._votes(onsets, start, shift, tempo)
                    best = self._better(best, votes, start, shift, tempo, (len(onsets), frames))
        return self._match(best, onsets, frames)

    def _votes(self, onsets: Onsets, start: int, shift: int, tempo: float) -> np.ndarray:
        """Onsets that coincide when the query begins at frame start, start + 1, ..., uint8."""
        size = min(_BLOCK_FRAMES, self.frames - start)
        votes = np.zeros(size, np.uint8)
        rows = onsets[:, 1] - shift + MAX_SHIFT
        frames = np.rint(onsets[:, 0] * tempo).astype(np.int64) + start
        for row, frame in zip(rows.tolist(), frames.tolist(), strict=True):
            votes += self._cells[row, frame : frame + size]
        return votes

    def _better(
        self,
        best: "_Place",
        votes: np.ndarray,
        start: int,
        shift: int,
        tempo: float,
        query: tuple[int, int],
    ) -> "_Place":
        """The best place so far, after those of one block, key and tempo."""
        onsets, frames = query
        # What has fewer votes than this cannot win even where the music has next to no onsets.
        least = best.similarity * onsets * math.sqrt(_FEWEST_SHARE)
        if votes.max() <= least:
            return best
        places = np.flatnonzero(votes > least)
        ends = places + start + round(frames * tempo)
        there = self._onsets_before[ends] - self._onsets_before[places + start]
        # Onsets just outside of the span may coincide too: never fewer there than coincide.
        there = np.maximum(np.maximum(there, votes[places]), _FEWEST_SHARE * onsets)
        similarity = votes[places] / np.sqrt(onsets * there)
        place = int(similarity.argmax())
        if similarity[place] <= best.similarity:
            return best
        return _Place(float(similarity[place]), int(places[place]) + start, shift, tempo)

    def _match(self, best: "_Place", onsets: Onsets, frames: int) -> Match:
        """The best place in seconds of its recording, made exact by the onsets that coincide."""
        middle = best.frame + frames * best.tempo / 2
        recording = max(0, int(np.searchsorted(self._starts, middle, side="right")) - 1)
        start = best.frame - int(self._starts[recording])
        there = self._fingerprints[recording].onsets
        later = np.rint(onsets[:, 0] * best.tempo)[:, None] + start - there[:, 0]
        higher = onsets[:, 1][:, None] - there[:, 1]
        coincide = (np.abs(later) <= 1) & (np.abs(higher - best.shift) <= 1)
        shift, late = float(best.shift), 0.0
        if coincide.any():
            shift, late = float(higher[coincide].mean()), float(later[coincide].mean())
        semitones = shift / ROWS_PER_SEMITONE
        return Match(
            similarity=best.similarity,
            recording=recording,
            start_s=(start - late) / FRAME_RATE_HZ,
            semitones=semitones,
            tempo=1.0 if best.tempo == 1 else 2 ** (semitones / 12),
        )


class _Place(NamedTuple):
    """A place of the index: frame at which the query begins, rows it is higher, its tempo."""

    similarity: float
    frame: int
    shift: int
    tempo: float


def index_files(
    paths: Sequence[Path], *, cache: Path | None = None, progress: Progress | None = None
) -> Index:
    """The index of whole recordings.

    Args:
        paths: The audio files.
        cache: See `fingerprint_file`.
        progress: Called as progress(done, total, name) before the first file and after each.

    Raises:
        AudioError: A file cannot be read.
        DataError: No files.
    """
    made = []
    for number, path in enumerate(paths):
        if progress:
            progress(number, len(paths), path.name)
        made.append(fingerprint_file(path, cache))
    if progress:
        progress(len(paths), len(paths), "")
    return Index(made)
