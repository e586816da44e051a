"""What is known of one audio file: its measurements, its side-car, its place in the split.

A file `FILE.json` beside `FILE.flac` is its side-car, a JSON object with any of these texts:

    work      the piece; all recordings of a work are on one side of the split
    title     for people
    composer  becomes the label `composer`
    licence   of the recording
    split     train, valid or test: overrides the rule of `splits`
    labels    an object of further labels, text to text

Other keys are left to whoever wrote them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ritornello.audio.features import clipping_ratio, silence_ratio
from ritornello.audio.io import probe, read_audio, read_blocks
from ritornello.data.splits import SPLITS
from ritornello.errors import AudioError, DataError
from ritornello.interfaces import Audio

BLOCK_S = 10.0
MAX_CHANNELS = 2


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """What decoding a whole file tells.

    Attributes:
        samples: Length in samples per channel.
        sample_rate: Samples per second.
        channels: Number of channels.
        silence: Part of the time that is silent, 0 to 1.
        clipping: Part of the samples that are clipped, 0 to 1.
        sha256: Hash of the file's bytes.
        audio_sha256: Hash of the decoded samples: equal for a WAV file and a FLAC copy of it.
    """

    samples: int
    sample_rate: int
    channels: int
    silence: float
    clipping: float
    sha256: str
    audio_sha256: str


@dataclass(frozen=True, kw_only=True)
class SideCar:
    """What the JSON file beside a recording says; all empty without one."""

    work: str | None = None
    title: str | None = None
    licence: str | None = None
    split: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One usable audio file of a dataset.

    Attributes:
        id: Path relative to the dataset's folder, with forward slashes; unique in a corpus.
        path: The file.
        split: train, valid or test.
        work: Its split key: the side-car's work, or else the id without suffix.
        title: The side-car's title, or else the file's name.
        licence: The side-car's licence, if any.
        labels: Conditions by name, e.g. composer.
        measured: What decoding it told.
    """

    id: str
    path: Path
    split: str
    work: str
    title: str
    licence: str | None
    labels: Mapping[str, str]
    measured: Measurements

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.measured.samples / self.measured.sample_rate

    @property
    def audio_sha256(self) -> str:
        """Hash of the decoded samples: what caches of derived arrays depend on."""
        return self.measured.audio_sha256

    def read(
        self,
        *,
        start_s: float = 0.0,
        duration_s: float | None = None,
        sample_rate: int | None = None,
        channels: int | None = None,
    ) -> Audio:
        """The audio, or a part of it, resampled and mixed down where asked."""
        return read_audio(
            self.path,
            start_s=start_s,
            duration_s=duration_s,
            sample_rate=sample_rate,
            channels=channels,
        )


def measure(path: Path) -> Measurements:
    """Decode `path` from first to last block, in constant memory, and tell what it holds.

    Raises:
        AudioError: It is not audio we can use; the message says why.
    """
    info = probe(path)
    if info.channels > MAX_CHANNELS:
        raise AudioError(
            f"has {info.channels} channels; expected 1 or 2. Mix it down, or split it, first."
        )
    audio_hash = hashlib.sha256(f"{info.sample_rate} {info.channels}\n".encode())
    samples = 0
    silent = clipped = 0.0
    for block in read_blocks(path, BLOCK_S):
        time = block.samples.shape[1]
        audio_hash.update(np.ascontiguousarray(block.samples.T).data)
        samples += time
        silent += silence_ratio(block.samples, block.sample_rate) * time
        clipped += clipping_ratio(block.samples) * time
    with path.open("rb") as file:
        file_hash = hashlib.file_digest(file, "sha256")
    return Measurements(
        samples=samples,
        sample_rate=info.sample_rate,
        channels=info.channels,
        silence=silent / samples,
        clipping=clipped / samples,
        sha256=file_hash.hexdigest(),
        audio_sha256=audio_hash.hexdigest(),
    )


def side_car_of(path: Path) -> SideCar:
    """The side-car of the audio file `path`; an empty one if there is none.

    Raises:
        DataError: It is there but not what the module's text describes.
    """
    file = path.with_suffix(".json")
    if not file.is_file():
        return SideCar()
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise DataError(f"side-car {file.name} is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"side-car {file.name} holds {type(content).__name__}; expected an object")
    labels = content.get("labels", {})
    if not isinstance(labels, dict) or not all(isinstance(text, str) for text in labels.values()):
        raise DataError(f"side-car {file.name}: labels is {labels!r}; expected texts by name")
    composer = _text(content, "composer", file.name)
    if composer is not None:
        labels = {"composer": composer, **labels}
    split = _text(content, "split", file.name)
    if split not in (None, *SPLITS):
        raise DataError(f"side-car {file.name}: split is {split!r}; expected {', '.join(SPLITS)}")
    return SideCar(
        work=_text(content, "work", file.name),
        title=_text(content, "title", file.name),
        licence=_text(content, "licence", file.name),
        split=split,
        labels=labels,
    )


def _text(content: Mapping[str, Any], key: str, name: str) -> str | None:
    value = content.get(key)
    if value is not None and not isinstance(value, str):
        raise DataError(f"side-car {name}: {key} is {value!r}; expected a text")
    return value


def default_work(recording_id: str) -> str:
    """The split key of a recording without a side-car: its id without suffix."""
    return str(PurePosixPath(recording_id).with_suffix(""))
