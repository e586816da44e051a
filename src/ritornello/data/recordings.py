"""What is known of one audio file: its measurements, its description, its place in the split.

A description has three sources: what stands in the file itself (`tags`), in the folder's table
(`label_table`), and beside the file. Of what several of them tell, the side-car counts before the
table, and the table before the tags.

A file `FILE.json` beside `FILE.flac` is its side-car, a JSON object with any of these texts:

    work      the piece; all recordings of a work are on one side of the split
    title     for people
    licence   of the recording
    split     train, valid or test: overrides the rule of `splits`
    artist, composer, album, genre, year, keywords
              become labels of those names; a year may be a number, and each a list of texts
    labels    an object of labels of any name, text to text; it counts before those above, and an
              empty text takes a label away
    lyrics    a text, or {"text": ..., "sung": [{"start_s", "end_s", "begin", "end"}, ...]}: from
              when to when the characters from `begin` to `end` are sung; a text may have times
              in front of its lines (see `timed_lines`)

Other keys are left to whoever wrote them.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ritornello.audio.features import clipping_ratio, silence_ratio
from ritornello.audio.io import probe, read_audio, read_blocks
from ritornello.data.splits import SPLITS
from ritornello.data.timed_lines import timed_lines
from ritornello.errors import AudioError, DataError
from ritornello.interfaces import Audio

BLOCK_S = 10.0
MAX_CHANNELS = 2

LABELS = ("artist", "composer", "album", "genre", "year", "keywords")
"""Labels that every source knows by name; side-cars and tables may have others."""

Lyrics = str | Mapping[str, Any]
"""A text, or a text and when its syllables are sung, as the module's text has it."""


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
class Description:
    """What one source, or all together, tells of a recording; None or empty where it says nothing.

    Attributes:
        work: The piece.
        title: For people.
        licence: Of the recording.
        split: train, valid or test, where somebody decided.
        labels: Conditions by name.
        lyrics: What is sung, and when.
    """

    work: str | None = None
    title: str | None = None
    licence: str | None = None
    split: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    lyrics: Lyrics | None = None

    def over(self, other: "Description") -> "Description":
        """This one, and the other's where this one says nothing; labels one by one."""
        return Description(
            work=self.work or other.work,
            title=self.title or other.title,
            licence=self.licence or other.licence,
            split=self.split or other.split,
            labels={**other.labels, **self.labels},
            lyrics=self.lyrics or other.lyrics,
        )


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One usable audio file of a dataset.

    Attributes:
        id: Path relative to the dataset's folder, with forward slashes; unique in a corpus.
        path: The file.
        split: train, valid or test.
        work: Its split key: the work it is described as, or else the id without suffix.
        title: The title it is described with, or else the file's name.
        licence: Of the recording, if anybody says.
        labels: Conditions by name, e.g. composer.
        measured: What decoding it told.
        lyrics: What is sung, if anybody says, and when.
    """

    id: str
    path: Path
    split: str
    work: str
    title: str
    licence: str | None
    labels: Mapping[str, str]
    measured: Measurements
    lyrics: Lyrics | None = None

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


def side_car_of(path: Path) -> Description:
    """What the side-car of the audio file `path` tells; nothing if there is none.

    Raises:
        DataError: It is there but not what the module's text describes.
    """
    file = path.with_suffix(".json")
    if not file.is_file():
        return Description()
    where = f"side-car {file.name}"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise DataError(f"{where} is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{where} holds {type(content).__name__}; expected an object")
    labels = content.get("labels", {})
    if not isinstance(labels, dict) or not all(isinstance(text, str) for text in labels.values()):
        raise DataError(f"{where}: labels is {labels!r}; expected texts by name")
    named = {name: _label(content[name], name, where) for name in LABELS if content.get(name)}
    return Description(
        work=_text(content, "work", where),
        title=_text(content, "title", where),
        licence=_text(content, "licence", where),
        split=checked_split(_text(content, "split", where), where),
        labels=named | labels,
        lyrics=checked_lyrics(content.get("lyrics"), where),
    )


def checked_split(split: str | None, where: str) -> str | None:
    """`split` if there is such a one, or none; else DataError, which says where it stood."""
    if split not in (None, *SPLITS):
        raise DataError(f"{where}: split is {split!r}; expected {', '.join(SPLITS)}")
    return split


def checked_lyrics(lyrics: Any, where: str) -> Lyrics | None:
    """Lyrics as a manifest keeps them; None where nothing is sung.

    Args:
        lyrics: As the module's text describes them, or None.
        where: Where they stood, for the message.

    Raises:
        DataError: They are something else.
    """
    match lyrics:
        case None:
            return None
        case str():
            return timed_lines(lyrics) or (lyrics if lyrics.strip() else None)
        case {"text": str(text), "sung": list(sung)} if sung:
            length = len(unicodedata.normalize("NFC", text))
            return {"text": text, "sung": [_syllable(one, where, length) for one in sung]}
        case {"text": str(text)} if not lyrics.get("sung"):
            return text if text.strip() else None
    raise DataError(
        f"{where}: lyrics is {str(lyrics)[:80]!r}; expected a text, or an object with "
        '"text" and "sung"'
    )


def _syllable(one: Any, where: str, length: int) -> dict[str, float]:
    try:
        times = {name: float(one[name]) for name in ("start_s", "end_s")}
        places = {name: int(one[name]) for name in ("begin", "end")}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{where}: a syllable is {str(one)[:80]}; expected an object with numbers start_s, "
            "end_s, begin, end"
        ) from error
    if not 0 <= places["begin"] <= places["end"] <= length:
        raise DataError(
            f"{where}: a syllable is characters {places['begin']} to {places['end']} of lyrics; "
            f"expected 0 <= begin <= end <= {length}, the length of the text (composed, NFC)"
        )
    return times | places


def _text(content: Mapping[str, Any], key: str, where: str) -> str | None:
    value = content.get(key)
    if value is not None and not isinstance(value, str):
        raise DataError(f"{where}: {key} is {value!r}; expected a text")
    return value


def _label(value: Any, name: str, where: str) -> str:
    """A text, the figures of a year, or what a list of texts holds."""
    if isinstance(value, str):
        return value
    if name == "year" and isinstance(value, int):
        return str(value)
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value)
    raise DataError(f"{where}: {name} is {value!r}; expected a text")


def listed(label: str) -> list[str]:
    """The members of a label that lists several, such as keywords: between commas or semicolons."""
    return [member for part in re.split("[,;]", label) if (member := part.strip())]


def default_work(recording_id: str) -> str:
    """The split key of a recording that nobody gave a work: its id without suffix."""
    return str(PurePosixPath(recording_id).with_suffix(""))
