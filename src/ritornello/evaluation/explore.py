"""What a folder of samples holds, gathered before it becomes a page to explore.

Conventions
    sample    an audio file below the folder, with all that is known of it
    facet     a property to filter by, with its values; composers are artists here
    segment   a stretch of lyrics, with the seconds in which it is sung where these are known

What is known of `song.wav` comes from three places, the later ones added to the earlier:

    its own metadata         what this package writes: model, request with seed, labels, lyrics
    song.json                the side-car: title, artist, composer, genre, labels, lyrics ...
    song.alignment.json      when which part of the lyrics is sung

Lyrics are a text, or an object {"text", "sung": [{"start_s", "end_s", "begin", "end"}]} whose
places count characters of the composed (NFC) text. A JSON file may be such an object as a whole.
"""

import json
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ritornello.audio.io import SUFFIXES, probe, read_provenance
from ritornello.data.files import walk
from ritornello.data.jobs import Progress
from ritornello.errors import AudioError, DataError

FACETS = {
    "artist": ("artist", "artists", "composer"),
    "genre": ("genre", "genres"),
    "model": ("model",),
    "seed": ("seed",),
    "album": ("album",),
    "year": ("year",),
}
"""Facets and the keys that they are read from, in the order in which a page offers them."""

ALIGNMENT_SUFFIX = ".alignment.json"

Facets = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A stretch of lyrics; without times it is a text that is not known to be sung."""

    text: str
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One audio file.

    Attributes:
        id: Path inside the folder, with forward slashes.
        path: The file.
        title: What it is shown by.
        duration_s: Its length.
        facets: Values by facet.
        lyrics: All of the text, in order.
    """

    id: str
    path: Path
    title: str
    duration_s: float
    facets: Facets = field(default_factory=dict)
    lyrics: tuple[Segment, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A file that is left out, or a part of what is said of it, and why."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder's samples.

    Attributes:
        path: The folder.
        samples: In the order of their paths.
        refused: Files that are not shown.
        unread: Side-cars that are not believed; their samples are shown without them.
    """

    path: Path
    samples: tuple[Sample, ...]
    refused: tuple[Refusal, ...] = ()
    unread: tuple[Refusal, ...] = ()


def gather(folder: Path, progress: Progress | None = None) -> Folder:
    """All samples below a folder, without decoding them.

    Args:
        folder: Where to look, subfolders included.
        progress: Called as progress(done, total, name) before every file, and after all.

    Raises:
        DataError: No such folder, or nothing in it that can be played; with the reasons.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; expected one with audio in it")
    found = list(walk(folder))
    samples: list[Sample] = []
    refused: list[Refusal] = []
    unread: list[Refusal] = []
    for number, file in enumerate(found):
        if progress is not None:
            progress(number, len(found), file.id)
        if file.refused is not None:
            refused.append(Refusal(name=file.id, reason=file.refused))
            continue
        try:
            samples.append(_sample(file.id, file.path, unread))
        except (AudioError, OSError) as error:
            refused.append(refusal(file.id, file.path, error))
    if progress is not None:
        progress(len(found), len(found), "")
    if not samples:
        raise DataError(nothing_to_show(folder, refused))
    return Folder(
        path=folder,
        samples=tuple(spelt_alike(samples)),
        refused=tuple(refused),
        unread=tuple(unread),
    )


def refusal(name: str, path: Path, error: Exception) -> Refusal:
    """The error as a reason, without the path that the name tells already."""
    return Refusal(name=name, reason=str(error).removeprefix(f"{path}: "))


def nothing_to_show(folder: Path, refused: Iterable[Refusal]) -> str:
    """What to say of a folder without a single sample."""
    reasons = [f"{each.name}: {each.reason}" for each in refused]
    said = "; ".join(reasons[:3]) + (f"; and {len(reasons) - 3} more" if len(reasons) > 3 else "")
    wanted = " ".join(sorted(SUFFIXES))
    return f"{folder} holds no audio that can be shown; expected files ending in {wanted}" + (
        f". Left out: {said}" if said else ""
    )


def _sample(name: str, path: Path, unread: list[Refusal]) -> Sample:
    """One file with all that is said of it; side-cars that cannot be believed go to `unread`."""
    info = probe(path)
    said = read_provenance(path)
    request = said.get("request")
    own = {**request, **said} if isinstance(request, dict) else said
    facets = [facets_of(own), folder_facet(name)]
    title, lyrics = None, _lyrics_or_none(own)
    for file in (path.with_suffix(".json"), path.with_suffix(ALIGNMENT_SUFFIX)):
        try:
            content = _json_object(file)
            if content is None:
                continue
            facets.append(facets_of(content))
            title = content.get("title", title)
            lyrics = segments_of(content if "sung" in content else content.get("lyrics")) or lyrics
        except DataError as error:
            shown = PurePosixPath(name).with_name(file.name)
            unread.append(Refusal(name=str(shown), reason=str(error)))
    return Sample(
        id=name,
        path=path,
        title=title if isinstance(title, str) and title.strip() else PurePosixPath(name).stem,
        duration_s=info.duration_s,
        facets=_merged(facets),
        lyrics=lyrics,
    )


def _json_object(file: Path) -> dict[str, Any] | None:
    """What a side-car holds; None if there is none."""
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise DataError(f"is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"holds {type(content).__name__}; expected an object")
    return content


# ---- facets ----------------------------------------------------------------------------------


def facets_of(said: Mapping[str, Any]) -> Facets:
    """The facets in a JSON object; labels of other names are facets of their own."""
    labels = said.get("labels")
    labels = labels if isinstance(labels, dict) else {}
    known = {key: facet for facet, keys in FACETS.items() for key in keys}
    pairs = [(facet, said.get(key)) for key, facet in known.items()]
    pairs += [(known.get(str(key), str(key)), value) for key, value in labels.items()]
    return _merged({facet: tuple(_texts(value))} for facet, value in pairs)


def folder_facet(name: str) -> Facets:
    """The subfolder that a sample lies in, for folders that sort their samples."""
    parent = str(PurePosixPath(name).parent)
    return {} if parent == "." else {"folder": (parent,)}


def _texts(value: Any) -> Iterator[str]:
    """Texts and whole numbers, alone or in a list; anything else is nobody's name."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, str | int) and not isinstance(each, bool) and str(each).strip():
            yield str(each).strip()


def _merged(all_facets: Iterable[Facets]) -> Facets:
    """Every value once, known facets first."""
    values: dict[str, dict[str, str]] = {facet: {} for facet in FACETS}
    for facets in all_facets:
        for facet, texts in facets.items():
            known = values.setdefault(facet, {})
            for text in texts:
                known.setdefault(_folded(text), text)
    return {facet: tuple(texts.values()) for facet, texts in values.items() if texts}


def _folded(text: str) -> str:
    """What is the same of a name however it is written: "Dvořák", "dvorak"."""
    letters = unicodedata.normalize("NFKD", text).casefold()
    letters = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub(r"[\W_]+", " ", letters).strip() or text


def spelt_alike(samples: Iterable[Sample]) -> Iterator[Sample]:
    """The samples with the first spelling of every value: recordings say Bach, models bach."""
    spelt: dict[tuple[str, str], str] = {}
    for sample in samples:
        facets = {
            facet: tuple(spelt.setdefault((facet, _folded(text)), text) for text in texts)
            for facet, texts in sample.facets.items()
        }
        yield replace(sample, facets=facets)


# ---- lyrics ----------------------------------------------------------------------------------


def segments_of(lyrics: Any) -> tuple[Segment, ...]:
    """Lyrics cut where singing begins and ends; joined, the segments are the whole text.

    Args:
        lyrics: A text, an object with "text" and "sung", or None.

    Raises:
        DataError: It is none of these, or its times or places are out of order.
    """
    if lyrics is None or lyrics == "":
        return ()
    content = {"text": lyrics} if isinstance(lyrics, str) else lyrics
    text = content.get("text") if isinstance(content, dict) else None
    if not isinstance(text, str):
        raise DataError(f"lyrics are {str(lyrics)[:60]!r}; expected a text, or an object with one")
    text = unicodedata.normalize("NFC", text)
    sung = content.get("sung") or []
    if not isinstance(sung, list):
        raise DataError(f"sung is {str(sung)[:60]!r}; expected a list of objects")
    return tuple(_segments(text, sung))


def _segments(text: str, sung: list[Any]) -> Iterator[Segment]:
    at = 0
    for one in sung:
        start_s, end_s, begin, end = _times_and_places(one)
        if not (0 <= start_s <= end_s < math.inf and at <= begin <= end <= len(text)):
            raise DataError(
                f"sung has {one} after character {at} of {len(text)}; expected times and places "
                "in order, one after the other"
            )
        if begin > at:
            yield Segment(text=text[at:begin])
        if end > begin:
            yield Segment(text=text[begin:end], start_s=start_s, end_s=end_s)
        at = end
    if at < len(text):
        yield Segment(text=text[at:])


def _times_and_places(one: Any) -> tuple[float, float, int, int]:
    try:
        start_s, end_s = float(one["start_s"]), float(one["end_s"])
        begin, end = int(one["begin"]), int(one["end"])
    except (TypeError, KeyError, ValueError, OverflowError):
        raise DataError(
            f"sung has {str(one)[:80]}; expected numbers start_s, end_s, begin and end"
        ) from None
    return start_s, end_s, begin, end


def _lyrics_or_none(own: Mapping[str, Any]) -> tuple[Segment, ...]:
    """The lyrics in a file's own metadata, unless they are of a shape from elsewhere."""
    try:
        return segments_of(own.get("lyrics"))
    except DataError:
        return ()
