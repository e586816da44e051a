"""Clips of recordings to judge: which places of which files, chosen once and read when needed.

Conventions
    source       a folder of audio (sub-folders too), one audio file, or the manifest of a scan
    recording    one audio file; clips of one recording are alike, so that metrics which split a
                 set keep them together (`ClipSet.recordings`)
    place        start of a clip, on the file's own grid of samples

The choice. Recordings are taken in turn, in an order drawn from the seed: the first place of each,
then the second of each, and so on. The places of a recording never overlap: as many as fit, in
random order, with random gaps. Both draws are settled by the seed and the recording alone, so that
asking for more clips keeps those chosen before. Whoever wants comparable figures of two sets takes
the same number of clips of the same length from both.

What cannot be used is listed with its reason and never passed over in silence: files that cannot
be read, recordings shorter than a clip, places without sound. Every chosen clip has been read once
from end to end; only its place is kept, so that memory does not grow with the music.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np

from ritornello.audio.features import SILENCE_DBFS, silence_ratio
from ritornello.audio.io import SUFFIXES, probe, read_audio
from ritornello.data.corpus import Corpus, Skipped
from ritornello.data.files import Found, walk
from ritornello.data.jobs import Progress
from ritornello.data.recordings import MAX_CHANNELS
from ritornello.errors import AudioError, ConfigError, DataError
from ritornello.interfaces import Audio

SHORTEST_CLIP_S = 0.1

# What a clip may lack at its end, filled with silence: resampling and codecs with whole frames
# round lengths, and an MP3 knows its own length by estimate only.
SHORTFALL_S = 0.06
SHORTFALL_SHARE = 0.05

REASONS_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A place in a recording.

    Attributes:
        name: Unique in its set: the recording's id and the start in seconds.
        path: The audio file.
        start_s: Where the clip begins.
        seconds: How long it is.
    """

    name: str
    path: Path
    start_s: float
    seconds: float

    def read(self, sample_rate: int | None = None, channels: int | None = None) -> Audio:
        """The audio of the clip, always exactly `seconds` long.

        Args:
            sample_rate: Rate to resample to; None keeps the file's.
            channels: 1 or 2; None keeps the file's.

        Raises:
            AudioError: The file has gone, or changed so that the clip is no longer in it.
        """
        audio = read_audio(
            self.path,
            start_s=self.start_s,
            duration_s=self.seconds,
            sample_rate=sample_rate,
            channels=channels,
        )
        length = round(self.seconds * audio.sample_rate)
        missing = length - audio.samples.shape[1]
        # One sample more: places lie on the file's grid, which another rate does not share.
        if missing > _shortfall_s(self.seconds) * audio.sample_rate + 1:
            raise AudioError(
                f"{self.path}: got {audio.duration_s:.3f} s from {self.start_s:.3f} s on; expected "
                f"{self.seconds:g} s. The file changed since the clip was chosen: choose again."
            )
        samples = np.pad(audio.samples, ((0, 0), (0, max(0, missing))))
        return Audio(samples=samples, sample_rate=audio.sample_rate)


class ClipSet(Sequence[Clip]):
    """Clips in the order of their choice, where they are from, and what was left out.

    Args:
        clips: The chosen places.
        source: Folder, file or manifest they were chosen from.
        skipped: Files, or parts of files, that could not be used, with reasons.
        wanted: How many clips were asked for; None for all there are.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        *,
        source: Path,
        skipped: Sequence[Skipped] = (),
        wanted: int | None = None,
    ) -> None:
        self._clips = tuple(clips)
        self.source = source
        self.skipped = tuple(skipped)
        self.wanted = wanted

    @overload
    def __getitem__(self, index: int) -> Clip: ...
    @overload
    def __getitem__(self, index: slice) -> "ClipSet": ...
    def __getitem__(self, index: int | slice) -> "Clip | ClipSet":
        """One clip, or a part of the set."""
        if isinstance(index, slice):
            return ClipSet(self._clips[index], source=self.source, skipped=self.skipped)
        return self._clips[index]

    def __len__(self) -> int:
        return len(self._clips)

    def __iter__(self) -> Iterator[Clip]:
        return iter(self._clips)

    @property
    def recordings(self) -> list[str]:
        """For every clip the file it is from: what metrics keep together when they split a set."""
        return [str(clip.path) for clip in self]

    @property
    def warnings(self) -> list[str]:
        """What a reader of figures on these clips should know; empty if nothing."""
        told = []
        if self.wanted is not None and len(self) < self.wanted:
            told.append(f"{self.source}: asked for {self.wanted} clips, there are {len(self)}")
        if self.skipped:
            told.append(f"{self.source}: {_summary(self.skipped)}")
        return told


@dataclass(frozen=True, kw_only=True)
class _Source:
    """A readable audio file, long enough for a clip."""

    id: str
    path: Path
    sample_rate: int
    frames: int


def clips_of(
    source: Path,
    *,
    seconds: float,
    count: int | None,
    seed: int = 0,
    split: str | None = None,
    progress: Progress | None = None,
) -> ClipSet:
    """Clips of `source`, chosen as the module's text says.

    Args:
        source: A folder of audio, an audio file, or a manifest.
        seconds: Length of every clip.
        count: How many; fewer are given if there are no more places (see `ClipSet.warnings`).
            None takes every place that does not overlap another.
        seed: Of order and places.
        split: With a manifest: train, valid or test only. None takes all recordings.
        progress: Called as progress(done, total, name) before the first clip and after each one.

    Raises:
        DataError: No such source, a folder with a split, or no usable clip; says what was found.
        ConfigError: `seconds`, `count` or `seed` out of range.
    """
    validate(seconds, count, seed)
    found, skipped = _found(source, split)
    sources, unusable = _usable(found, seconds)
    clips, faulty = _chosen(sources, seconds, count, seed, progress)
    skipped += unusable + faulty
    if not clips:
        raise DataError(_nothing(source, seconds, len(found), skipped))
    return ClipSet(clips, source=source, skipped=skipped, wanted=count)


def validate(seconds: float, count: int | None, seed: int) -> None:
    """Refuse what no clips can be chosen by.

    Raises:
        ConfigError: `seconds`, `count` or `seed` out of range.
    """
    if not SHORTEST_CLIP_S <= seconds < float("inf"):
        raise ConfigError(f"clips of {seconds} s: expected {SHORTEST_CLIP_S} s or more")
    if count is not None and count < 1:
        raise ConfigError(f"count is {count}; expected 1 or more, or None for every place")
    if seed < 0:
        raise ConfigError(f"seed is {seed}; expected a whole number >= 0")


def _found(source: Path, split: str | None) -> tuple[list[Found], list[Skipped]]:
    """The audio files of `source` in order of id, and what its manifest skipped."""
    if source.is_dir() or source.suffix.lower() in SUFFIXES:
        if split is not None:
            raise DataError(
                f"{source} has no splits: got split {split!r}. Take all of it, or scan it first "
                "and give the manifest."
            )
        is_folder = source.is_dir()
        return list(walk(source)) if is_folder else [Found(id=source.name, path=source)], []
    if not source.exists():
        raise DataError(
            f"{source}: no such file or folder; expected a folder of audio or a manifest"
        )
    corpus = Corpus.load(source)
    skipped = list(corpus.skipped) if split is None else []
    chosen = corpus if split is None else corpus.split(split)
    return [Found(id=recording.id, path=recording.path) for recording in chosen], skipped


def _usable(found: list[Found], seconds: float) -> tuple[list[_Source], list[Skipped]]:
    """The files that can be read and hold a clip, by their headers, and the others."""
    sources, skipped = [], []
    for file in found:
        try:
            sources.append(_source(file, seconds))
        except (AudioError, OSError) as error:
            skipped.append(Skipped(id=file.id, reason=_reason(error, file.path)))
    return sources, skipped


def _source(file: Found, seconds: float) -> _Source:
    if file.refused is not None:
        raise AudioError(file.refused)
    info = probe(file.path)
    if info.channels > MAX_CHANNELS:
        raise AudioError(f"has {info.channels} channels; expected 1 or 2")
    if info.duration_s < seconds - _shortfall_s(seconds):
        raise AudioError(f"lasts {info.duration_s:.3f} s; expected {seconds:g} s or more")
    return _Source(id=file.id, path=file.path, sample_rate=info.sample_rate, frames=info.frames)


def _chosen(
    sources: list[_Source],
    seconds: float,
    count: int | None,
    seed: int,
    progress: Progress | None,
) -> tuple[list[Clip], list[Skipped]]:
    """Up to `count` clips with sound, recordings in turn, and the recordings found faulty."""
    order = sorted(sources, key=lambda source: _digest(seed, source.id))
    places = {source.id: _places(source, seconds, seed) for source in order}
    every = sum(len(left) for left in places.values())
    total = every if count is None else min(count, every)
    silent = dict.fromkeys(places, 0)
    clips: list[Clip] = []
    skipped: list[Skipped] = []
    if progress:
        progress(0, total, "")
    while order and len(clips) < total:
        for source in list(order):
            if len(clips) == total:
                break
            try:
                clip = _next_sounding(source, seconds, places[source.id], silent)
            except (AudioError, OSError) as error:
                clip = None
                skipped.append(Skipped(id=source.id, reason=_reason(error, source.path)))
            if clip is None:
                order.remove(source)
                continue
            clips.append(clip)
            if progress:
                progress(len(clips), total, source.id)
    used_up = [name for name, missing in silent.items() if missing and not places[name]]
    skipped += [Skipped(id=name, reason=_silence(silent[name], seconds)) for name in used_up]
    return clips, skipped


def _places(source: _Source, seconds: float, seed: int) -> list[int]:
    """First samples of all clips of a recording: as many as fit, random gaps, random order."""
    draw = np.random.default_rng(_digest(seed, source.id))
    length = round(seconds * source.sample_rate)
    fit = max(1, source.frames // length)
    slack = max(0, source.frames - fit * length)
    gaps = np.sort(draw.integers(0, slack + 1, size=fit))
    return draw.permutation(np.arange(fit) * length + gaps).tolist()


def _next_sounding(
    source: _Source, seconds: float, places: list[int], silent: dict[str, int]
) -> Clip | None:
    """The next of `places` with sound in it, which it is taken from; None if there is none.

    Reads the whole clip, so that damage and NaN are found here and not in the midst of judging.
    """
    while places:
        start_s = places.pop(0) / source.sample_rate
        name = f"{source.id}@{start_s:.3f}"
        clip = Clip(name=name, path=source.path, start_s=start_s, seconds=seconds)
        audio = clip.read()
        if silence_ratio(audio.samples, audio.sample_rate) < 1:
            return clip
        silent[source.id] += 1
    return None


def _digest(seed: int, name: str) -> int:
    """A number that depends on the seed and the recording alone."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:8], "big")


def _shortfall_s(seconds: float) -> float:
    return min(SHORTFALL_S, SHORTFALL_SHARE * seconds)


def _silence(places: int, seconds: float) -> str:
    return (
        f"{places} place{'s' if places > 1 else ''} of {seconds:g} s silent "
        f"(below {SILENCE_DBFS:g} dBFS)"
    )


def _reason(error: Exception, path: Path) -> str:
    if isinstance(error, OSError):
        return f"not readable: {error.strerror or error}"
    return str(error).removeprefix(f"{path}: ")


def _summary(skipped: Sequence[Skipped]) -> str:
    """How many files were skipped, and the first few with reasons."""
    shown = "; ".join(f"{file.id}: {file.reason}" for file in skipped[:REASONS_SHOWN])
    more = len(skipped) - REASONS_SHOWN
    return f"{len(skipped)} skipped ({shown}{f'; and {more} more' if more > 0 else ''})"


def _nothing(source: Path, seconds: float, files: int, skipped: Sequence[Skipped]) -> str:
    """Why there is no clip, and what would help."""
    if not files and not skipped:
        return (
            f"{source} has no audio; expected files ending in {' '.join(sorted(SUFFIXES))} "
            "with music in them"
        )
    return (
        f"{source} has no clip of {seconds:g} s to judge: found {files} file"
        f"{'' if files == 1 else 's'}, {_summary(skipped)}. Give other audio or shorter clips."
    )
