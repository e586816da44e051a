"""Folders of multitrack songs: scanned once into a manifest, split by work, read stem by stem.

Which files are stems is told by `stem_layouts`; they are measured as any recordings are (`corpus`),
and kept beside the manifest so that a second scan decodes only what is new. A song is used when two
or more of its stems sound and all of them are equally long; stems that differ by less than
SPREAD_S are cut to the shortest, others are refused by name.
"""

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Float32

from ritornello.audio.io import read_audio
from ritornello.audio.resample import resampled_length
from ritornello.data.corpus import Skipped, scan
from ritornello.data.jobs import Progress
from ritornello.data.recordings import Recording
from ritornello.data.splits import SPLITS, Member, assign
from ritornello.data.stem_layouts import EXAMPLE, SongLayout, layouts_below
from ritornello.errors import DataError

SPREAD_S = 0.05
SILENT = "silent from beginning to end"
VALID = 0.1
"""Part of the works held out; more than of recordings, since songs with stems are few."""


@dataclass(frozen=True, kw_only=True)
class Stem:
    """One track of a song.

    Attributes:
        name: For people.
        category: What plays, or its role (see `stem_categories`).
        path: The file.
        samples: Its length per channel at its own rate.
        sample_rate: Samples per second.
        channels: 1 or 2.
        silence: Part of the time that is silent, 0 to 1.
        audio_sha256: Hash of the decoded samples.
    """

    name: str
    category: str
    path: Path
    samples: int
    sample_rate: int
    channels: int
    silence: float = 0.0
    audio_sha256: str = ""

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.samples / self.sample_rate


@dataclass(frozen=True, kw_only=True)
class Song:
    """A song whose stems, started together, are its mix.

    Attributes:
        id: Its folder below the data folder, with forward slashes.
        work: The piece: all takes of a work are on one side of the split.
        split: train, valid or test.
        seconds: Length of the shortest stem.
        stems: At least two, in order of file.
        labels: What is known of it: title, genre, key, form.
        bpm: Beats per minute, if known.
    """

    id: str
    work: str
    split: str
    seconds: float
    stems: tuple[Stem, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    bpm: float | None = None


class StemCorpus:
    """The usable songs of a dataset in order of id, and what was skipped.

    Args:
        songs: Songs of two stems or more.
        skipped: Files and folders that are not used, with reasons.
    """

    def __init__(self, songs: Sequence[Song], skipped: Sequence[Skipped] = ()) -> None:
        self.songs = tuple(sorted(songs, key=lambda song: song.id))
        self.skipped = tuple(skipped)

    def __iter__(self) -> Iterator[Song]:
        return iter(self.songs)

    def __len__(self) -> int:
        return len(self.songs)

    def split(self, name: str) -> "StemCorpus":
        """The songs of one split: train, valid or test."""
        if name not in SPLITS:
            raise DataError(f"there is no split {name!r}; expected {', '.join(SPLITS)}")
        return StemCorpus([song for song in self if song.split == name])

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories that occur, sorted."""
        return tuple(sorted({stem.category for song in self for stem in song.stems}))

    @property
    def hours(self) -> float:
        """Hours of songs; each has several times that in stems."""
        return sum(song.seconds for song in self) / 3600

    def digest(self) -> str:
        """Hash of all that training can notice: ids, splits, audio and categories of stems."""
        parts = [
            [song.id, song.split, [[stem.audio_sha256, stem.category] for stem in song.stems]]
            for song in self
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def save(self, manifest: Path) -> None:
        """Write the corpus as JSON Lines, a song or a skipped file a line, whole or not at all."""
        manifest.parent.mkdir(parents=True, exist_ok=True)
        temporary = manifest.with_name(manifest.name + ".tmp")
        with temporary.open("w", encoding="utf-8") as file:
            for song in self:
                file.write(json.dumps(asdict(song), default=str) + "\n")
            for one in self.skipped:
                file.write(json.dumps({"id": one.id, "skipped": one.reason}) + "\n")
        os.replace(temporary, manifest)

    @classmethod
    def load(cls, manifest: Path) -> "StemCorpus":
        """The corpus that `save` or `scan_stems` wrote.

        Raises:
            DataError: It is missing or not such a manifest.
        """
        songs, skipped = [], []
        try:
            for text in manifest.read_text(encoding="utf-8").splitlines():
                line = json.loads(text)
                if "skipped" in line:
                    skipped.append(Skipped(id=line["id"], reason=line["skipped"]))
                else:
                    stems = tuple(
                        Stem(**one | {"path": Path(one["path"])}) for one in line["stems"]
                    )
                    songs.append(Song(**line | {"stems": stems}))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{manifest} is not a readable manifest of songs ({type(error).__name__}: "
                f"{error}); scan the folder again"
            ) from error
        return cls(songs, skipped)


# ------------------------------------------------------------------ scanning


def scan_stems(
    folders: Sequence[Path],
    manifest: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
    *,
    valid: float = VALID,
) -> StemCorpus:
    """The multitrack songs below some folders, measured and split by work.

    Args:
        folders: Data folders; they are never written to.
        manifest: Where to keep what was found, outside of them; the measurements of the files go
            beside it.
        workers: Files decoded at a time.
        progress: Called as progress(done, total, id of the file).
        valid: Part of the works held out.

    Raises:
        DataError: No folder holds a song with stems; says what is expected.
    """
    layouts = [layout for folder in folders for layout in layouts_below(folder)]
    if not any(len(layout.stems) >= 2 for layout in layouts):
        raise _no_songs(folders, [one for layout in layouts for one in layout.refused])
    with _measurements(manifest) as place:
        corpus = scan(folders, manifest=place, workers=workers, progress=progress)
    by_path = {recording.path: recording for recording in corpus}
    stem_paths = {stem.path for layout in layouts for stem in layout.stems}
    skipped = [one for one in corpus.skipped if _is_stem(one, folders, stem_paths)]
    found: list[tuple[SongLayout, Song]] = []
    for layout in layouts:
        skipped += layout.refused
        if layout.stems:
            song, refused = _song(layout, by_path)
            skipped += refused
            found += [(layout, song)] if song else []
    if not found:
        raise _no_songs(folders, skipped)
    stems = StemCorpus(_split(found, valid), skipped)
    if manifest is not None:
        stems.save(manifest)
    return stems


def _no_songs(folders: Sequence[Path], skipped: Sequence[Skipped]) -> DataError:
    named = ", ".join(str(folder) for folder in folders)
    reasons = "".join(f"\n  {one.id}: {one.reason}" for one in skipped[:5])
    why = f"Found instead:{reasons}\n" if reasons else ""
    return DataError(
        f"there is no multitrack song in {named}. {why}StemGen learns from stems: {EXAMPLE}"
    )


@contextmanager
def _measurements(manifest: Path | None) -> Iterator[Path]:
    """Where the measurements of the files go: beside the manifest, or nowhere for long."""
    if manifest is not None:
        yield manifest.with_name(manifest.name + ".files")
        return
    with tempfile.TemporaryDirectory(prefix="ritornello-stems-") as folder:
        yield Path(folder) / "files"


def _is_stem(one: Skipped, folders: Sequence[Path], stems: set[Path]) -> bool:
    """Whether a file that could not be measured was to be a stem; others are told of once."""
    inside = PurePosixPath(one.id)
    if len(folders) > 1:  # The id begins with the name of one of them.
        inside = inside.relative_to(inside.parts[0]) if inside.parts else inside
    return any(folder.absolute() / inside in stems for folder in folders)


def _song(
    layout: SongLayout, by_path: Mapping[Path, Recording]
) -> tuple[Song | None, list[Skipped]]:
    """The song of a layout, if two of its stems can be used; and what cannot, with reasons."""
    skipped: list[Skipped] = []
    stems: list[Stem] = []
    song_id = str(layout.place)
    for file in layout.stems:
        recording = by_path.get(file.path)
        if recording is None:
            continue
        measured = recording.measured
        song_id = _song_id(recording, layout.place)
        if measured.silence >= 1:
            skipped.append(Skipped(id=recording.id, reason=SILENT))
            continue
        stems.append(
            Stem(
                name=file.name,
                category=file.category,
                path=file.path,
                samples=measured.samples,
                sample_rate=measured.sample_rate,
                channels=measured.channels,
                silence=measured.silence,
                audio_sha256=measured.audio_sha256,
            )
        )
    refusal = _refusal(stems)
    if refusal is not None:
        return None, [*skipped, Skipped(id=song_id, reason=refusal)]
    seconds = min(stem.seconds for stem in stems)
    work = layout.work or song_id
    song = Song(
        id=song_id,
        work=work,
        split="train",
        seconds=seconds,
        stems=tuple(stems),
        labels=dict(layout.labels),
        bpm=layout.bpm,
    )
    return song, skipped


def _song_id(recording: Recording, place: PurePosixPath) -> str:
    """The song's folder as the corpus names it; a data folder that is a song gives its own name."""
    above = PurePosixPath(recording.id).parent
    home = above.parent if above.name.lower() == "stems" else above
    return recording.path.parent.name if str(home) == "." else str(home)


def _refusal(stems: Sequence[Stem]) -> str | None:
    """Why these stems are no song, if so."""
    if len(stems) < 2:
        return f"{len(stems)} of its stems can be used; expected at least 2"
    shortest = min(stems, key=lambda stem: stem.seconds)
    longest = max(stems, key=lambda stem: stem.seconds)
    if longest.seconds - shortest.seconds >= SPREAD_S:
        return (
            f"{shortest.path.name} lasts {shortest.seconds:.3f} s and {longest.path.name} "
            f"{longest.seconds:.3f} s; expected stems of equal length that start together. "
            "Export them all from the first bar to the last."
        )
    return None


def _split(found: Sequence[tuple[SongLayout, Song]], valid: float) -> list[Song]:
    """The songs with their splits; songs that share a work or a recorded stem are on one side."""
    members = [
        Member(name=song.id, key=song.work, audio=stem.audio_sha256, wanted=layout.split)
        for layout, song in found
        for stem in song.stems
    ]
    splits = {
        member.name: split
        for member, split in zip(members, assign(members, valid=valid), strict=True)
    }
    return [replace(song, split=splits[song.id]) for _, song in found]


# ------------------------------------------------------------------ reading


def read_stem(
    stem: Stem, start_s: float, seconds: float, sample_rate: int
) -> Float32[np.ndarray, " time"]:
    """A stretch of a stem, mono: exactly round(seconds * sample_rate) samples.

    What lies before its beginning or after its end is silent.
    """
    time = round(seconds * sample_rate)
    first = round(start_s * sample_rate)
    total = resampled_length(stem.samples, stem.sample_rate, sample_rate)
    start, stop = max(first, 0), min(first + time, total)
    out = np.zeros(time, np.float32)
    if start < stop:
        audio = read_audio(
            stem.path,
            start_s=start / sample_rate,
            duration_s=(stop - start) / sample_rate,
            sample_rate=sample_rate,
            channels=1,
        )
        read = audio.samples[0, : stop - start]
        out[start - first : start - first + len(read)] = read
    return out


def stem_summary(corpus: StemCorpus) -> dict[str, Any]:
    """What a corpus holds, as plain values for JSON: songs, hours, stems by category and split."""
    stems = Counter(stem.category for song in corpus for stem in song.stems)
    hours = dict.fromkeys(stems, 0.0)
    for song in corpus:
        for stem in song.stems:
            hours[stem.category] += stem.seconds * (1 - stem.silence) / 3600
    return {
        "songs": len(corpus),
        "works": len({song.work for song in corpus}),
        "hours": round(corpus.hours, 6),
        "stems": dict(sorted(stems.items(), key=lambda pair: (-pair[1], pair[0]))),
        "sounding_hours": {name: round(hours[name], 6) for name in sorted(hours)},
        "silent_stems": sum(one.reason == SILENT for one in corpus.skipped),
        "splits": {
            name: {"songs": len(part), "hours": round(part.hours, 6)}
            for name in SPLITS
            if len(part := corpus.split(name))
        },
        "skipped": [{"id": one.id, "reason": one.reason} for one in corpus.skipped],
    }
