"""Memory-mapped caches of what a stage computes per recording: latents, codes, features, curves.

Frames come first in every array, so that a crop of N frames is one contiguous read and drawing one
costs microseconds. All fields of a cache share one frame clock; a field that is k times faster
takes a leading axis of k in its `shape_per_frame`. How the arrays survive interruption and a change
of the codec is told in `store`.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64

from ritornello.data.corpus import Corpus, Recording
from ritornello.data.jobs import Progress, completed, exclusive
from ritornello.data.store import Entry, FieldSpec, Store, mapped
from ritornello.errors import ConfigError, DataError

logger = logging.getLogger(__name__)

Compute = Callable[[Recording], Mapping[str, np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a batch of crops was drawn: recordings by their index in the corpus, first frames."""

    recordings: Int64[np.ndarray, " batch"]
    starts: Int64[np.ndarray, " batch"]


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """The valid starts of crops of one length in one split, numbered through.

    Attributes:
        recordings: Corpus indices of the recordings that are long enough.
        begins: Number of each one's first valid start.
        total: How many valid starts there are.
    """

    recordings: Int64[np.ndarray, " some"]
    begins: Int64[np.ndarray, " some"]
    total: int


class ArrayCache:
    """Per-recording arrays on disk, filled once and drawn from at every training step.

    Args:
        folder: Where the cache lives; made if missing. Never a folder of audio.
        key: Whatever the arrays depend on besides the audio, e.g. hash of the codec's weights and
            settings. Another key empties the cache.
        fields: What is stored per frame, by name.
    """

    def __init__(self, folder: Path, key: str, fields: Mapping[str, FieldSpec]) -> None:
        if not fields or not all(name.isidentifier() for name in fields):
            raise ConfigError(
                f"fields are {sorted(fields)}; expected at least one, each named by an identifier"
            )
        self.folder = folder
        self.fields = dict(fields)
        self._store = Store(folder, key, self.fields)
        self._corpus: Corpus | None = None
        self._entries: list[Entry] = []
        self._arrays: dict[str, np.ndarray] = {}
        self._plans: dict[tuple[str, int], _Plan] = {}

    def fill(
        self,
        corpus: Corpus,
        compute: Compute,
        progress: Progress | None = None,
        *,
        workers: int = 1,
    ) -> None:
        """Compute and store what is missing for `corpus`, then open the cache for drawing.

        Work done before is found again, recording by recording. Other processes wait meanwhile.

        Args:
            corpus: The recordings wanted. Others that the cache has are left alone and not drawn.
            compute: Arrays by field, each (frames, *shape_per_frame), of one recording. It runs in
                threads if there are several workers; set torch's gradient mode inside it.
            progress: Called as progress(done, total, recording id).
            workers: Recordings computed at a time; this many results are in memory.

        Raises:
            DataError: `compute` returned what the fields do not describe.
        """
        with exclusive(self.folder / "lock"):
            self._store.recover()
            wanted = {recording.audio_sha256: recording for recording in corpus}
            missing = [r for audio, r in wanted.items() if audio not in self._store.entries]
            done, total = len(wanted) - len(missing), len(wanted)
            if progress:
                progress(done, total, "")
            for recording, arrays in completed(compute, missing, workers):
                self._store.append(recording.audio_sha256, _checked(recording, arrays, self.fields))
                done += 1
                if progress:
                    progress(done, total, recording.id)
        self.attach(corpus)

    def attach(self, corpus: Corpus) -> None:
        """Open the finished cache of `corpus` for drawing, without computing anything.

        Raises:
            DataError: The cache has another key or lacks recordings.
        """
        entries = self._store.read()
        missing = [r.id for r in corpus if r.audio_sha256 not in entries]
        if missing:
            raise DataError(
                f"the cache {self.folder} lacks {len(missing)} of {len(corpus)} recordings "
                f"(first: {missing[0]}) or was made with other settings; call fill() first"
            )
        # In corpus order, whatever order the recordings were computed in: draws depend on this.
        self._entries = [entries[recording.audio_sha256] for recording in corpus]
        self._corpus = corpus
        self._plans = {}
        end = max((entry.offset + entry.frames for entry in self._entries), default=0)
        self._arrays = {
            name: mapped(self._store.data_file(name), end, spec)
            for name, spec in self.fields.items()
        }

    def draw(
        self, generator: torch.Generator, frames: int, batch: int, split: str = "train"
    ) -> dict[str, np.ndarray]:
        """Random crops by field, each (batch, frames, *shape_per_frame), in the stored type.

        Every valid start of the split is equally likely; no crop crosses two recordings. The draw
        depends on `generator` alone.
        """
        return self.gather(self.locate(generator, frames, batch, split), frames)

    def locate(
        self, generator: torch.Generator, frames: int, batch: int, split: str = "train"
    ) -> Places:
        """Random places of `batch` crops of `frames` frames.

        Raises:
            DataError: No recording of the split is long enough.
        """
        plan = self._plan(frames, split)
        numbers = torch.randint(plan.total, (batch,), generator=generator).numpy()
        which = np.searchsorted(plan.begins, numbers, side="right") - 1
        return Places(recordings=plan.recordings[which], starts=numbers - plan.begins[which])

    def gather(self, places: Places, frames: int) -> dict[str, np.ndarray]:
        """The crops of `frames` frames at `places`, by field: (batch, frames, *shape_per_frame)."""
        firsts: list[int] = []
        for index, start in zip(places.recordings.tolist(), places.starts.tolist(), strict=True):
            entry = self._entries[index]
            if not 0 <= start <= entry.frames - frames:
                raise DataError(
                    f"a crop of {frames} frames at {start} is not inside recording {index}, "
                    f"which has {entry.frames} frames"
                )
            firsts.append(entry.offset + start)
        crops = {}
        for name, array in self._arrays.items():
            crops[name] = np.empty((len(firsts), frames, *array.shape[1:]), array.dtype)
            for row, first in enumerate(firsts):
                crops[name][row] = array[first : first + frames]
        return crops

    def read(self, recording_id: str) -> dict[str, np.ndarray]:
        """Everything stored of one recording, by field: read-only (frames, *shape_per_frame)."""
        for recording, entry in self._opened():
            if recording.id == recording_id:
                rows = slice(entry.offset, entry.offset + entry.frames)
                return {name: array[rows] for name, array in self._arrays.items()}
        raise DataError(f"the cache {self.folder} has no recording {recording_id!r}")

    def frames(self, split: str = "train") -> int:
        """Frames stored for the recordings of `split`."""
        return sum(entry.frames for r, entry in self._opened() if r.split == split)

    def too_short(self, frames: int, split: str = "train") -> list[str]:
        """Recordings of `split` that hold no crop of `frames` frames and are thus never drawn."""
        opened = self._opened()
        return [r.id for r, entry in opened if r.split == split and entry.frames < frames]

    def _opened(self) -> list[tuple[Recording, Entry]]:
        if self._corpus is None:
            raise DataError(f"the cache {self.folder} is not open; call fill() or attach() first")
        return list(zip(self._corpus, self._entries, strict=True))

    def _plan(self, frames: int, split: str) -> _Plan:
        if (split, frames) in self._plans:
            return self._plans[split, frames]
        if frames < 1:
            raise ConfigError(f"frames is {frames}; expected at least 1")
        opened = enumerate(self._opened())
        entries = [(index, entry) for index, (r, entry) in opened if r.split == split]
        usable = [(index, entry) for index, entry in entries if entry.frames >= frames]
        if not usable:
            longest = max((entry.frames for _, entry in entries), default=0)
            raise DataError(
                f"no recording of the {split} split has {frames} frames; it has {len(entries)} "
                f"recordings, the longest of {longest} frames; use shorter crops or longer music"
            )
        if len(usable) < len(entries):
            logger.warning(
                "%d of %d recordings of the %s split are shorter than a crop of %d frames "
                "and are not drawn from",
                len(entries) - len(usable),
                len(entries),
                split,
                frames,
            )
        starts = np.array([entry.frames - frames + 1 for _, entry in usable], dtype=np.int64)
        plan = _Plan(
            recordings=np.array([index for index, _ in usable], dtype=np.int64),
            begins=np.cumsum(starts) - starts,
            total=int(starts.sum()),
        )
        self._plans[split, frames] = plan
        return plan


def _checked(
    recording: Recording, arrays: Mapping[str, np.ndarray], fields: Mapping[str, FieldSpec]
) -> dict[str, np.ndarray]:
    """`arrays` in the types of `fields`; DataError if they do not fit without loss of meaning."""
    if set(arrays) != set(fields):
        raise DataError(
            f"{recording.id}: computed fields {sorted(arrays)}; expected {sorted(fields)}"
        )
    frames = {name: len(array) for name, array in arrays.items()}
    if len(set(frames.values())) != 1:
        raise DataError(
            f"{recording.id}: fields differ in frames: {frames}; expected equal numbers"
        )
    return {
        name: _stored(f"{recording.id}: {name}", arrays[name], spec)
        for name, spec in fields.items()
    }


def _stored(name: str, array: np.ndarray, spec: FieldSpec) -> np.ndarray:
    if array.shape[1:] != spec.shape_per_frame:
        raise DataError(f"{name} has {array.shape[1:]} per frame; expected {spec.shape_per_frame}")
    if np.issubdtype(spec.dtype, np.integer):
        limits = np.iinfo(spec.dtype)
        if not np.issubdtype(array.dtype, np.integer):
            raise DataError(f"{name} is {array.dtype}; expected whole numbers for {spec.dtype}")
        if array.size and (array.min() < limits.min or array.max() > limits.max):
            raise DataError(
                f"{name} is {array.min()} to {array.max()}; {spec.dtype} holds {limits.min} to "
                f"{limits.max}. Use a wider type."
            )
        return array.astype(spec.dtype)
    with np.errstate(over="ignore"):
        converted = array.astype(spec.dtype)
    if not np.isfinite(converted).all():
        raise DataError(f"{name} has NaN or values too large for {spec.dtype}")
    return converted
