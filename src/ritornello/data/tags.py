"""What an audio file says of itself: tags that players and rippers write.

    Vorbis comments   in FLAC, Ogg and Opus
    ID3               in MP3, and in a chunk of WAV and AIFF
    INFO chunks       in WAV; NAME and AUTH in AIFF

The first two are read by mutagen. Without it libsndfile's few fields must do; it knows no composer,
no keywords and no lyrics (`missing_reader`). Tags that cannot be read are none: the music can.
"""

import importlib.util
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import soundfile

from ritornello.data.recordings import LABELS, Description, checked_lyrics

logger = logging.getLogger(__name__)

NAMES: Mapping[str, tuple[str, ...]] = {
    "artist": ("tpe1", "artist", "tpe2", "albumartist", "album artist"),
    "composer": ("tcom", "composer"),
    "album": ("talb", "album"),
    "genre": ("tcon", "genre"),
    "year": ("tdor", "tdrc", "originaldate", "originalyear", "date", "year"),
    "keywords": ("keywords", "tmoo", "mood"),
    "title": ("tit2", "title"),
    "licence": ("license", "licence", "wcop"),
    "lyrics": ("uslt", "lyrics", "unsyncedlyrics"),
}
"""Where what is found, the first that says something: ID3 frames, comments; in small letters."""

_CHUNKED = frozenset({".wav", ".wave", ".aif", ".aiff", ".aifc"})
_YEAR = re.compile(r"(?<!\d)\d{4}(?!\d)")

Said = dict[str, list[str]]


def tags_of(path: Path) -> Description:
    """What the tags of the audio file `path` tell: labels, title, licence and lyrics."""
    complete = missing_reader() is None
    said: Said = {}
    if path.suffix.lower() in _CHUNKED or not complete:
        said |= _plain(path)
    if complete:
        said |= _tagged(path)
    found = {what: values for what, names in NAMES.items() if (values := _first(said, names))}
    labels = {name: ", ".join(found[name]) for name in LABELS if name in found}
    year = _YEAR.search(labels.pop("year", ""))
    if year:
        labels["year"] = year.group()
    title, licence, lyrics = (found.get(name, [None])[0] for name in ("title", "licence", "lyrics"))
    sung = checked_lyrics(lyrics, f"tags of {path.name}")
    return Description(title=title, licence=licence, labels=labels, lyrics=sung)


def missing_reader() -> str | None:
    """What is not read here, and what would change that, in a line; None if everything is."""
    if importlib.util.find_spec("mutagen") is not None:
        return None
    return (
        "composer, keywords and lyrics are not read from the tags of audio files: that needs "
        'mutagen, which is not installed. Install it: pip install "ritornello[data]"'
    )


def _first(said: Said, names: Sequence[str]) -> list[str]:
    """The values under the first of these names that has any."""
    return next((said[name] for name in names if said.get(name)), [])


def _plain(path: Path) -> Said:
    """What libsndfile knows of a file."""
    try:
        with soundfile.SoundFile(path) as file:
            told = file.copy_metadata()
    except (soundfile.LibsndfileError, OSError) as error:
        logger.warning("the tags of %s are not readable: %s", path, error)
        return {}
    if "genre" in told:  # may be, or begin with, a number of a list that libsndfile leaves as it is
        told["genre"] = re.sub(r"^\(\d+\)", "", told["genre"])
    return {name: _texts([text]) for name, text in told.items()}


def _tagged(path: Path) -> Said:
    """What mutagen finds in a file."""
    import mutagen
    from mutagen.id3 import ID3

    try:
        file = mutagen.File(path)  # pyright: ignore[reportPrivateImportUsage]
    except (mutagen.MutagenError, ValueError, OSError) as error:  # pyright: ignore[reportPrivateImportUsage]
        logger.warning("the tags of %s are not readable: %s", path, error)
        return {}
    tags = None if file is None else file.tags
    if tags is None:
        return {}
    if isinstance(tags, ID3):
        return _framed(tags.values())
    return {name.lower(): _texts(values) for name, values in tags.as_dict().items()}


def _framed(frames: Sequence[Any]) -> Said:
    """ID3: each frame under its name, a user's own (TXXX) under the name the user gave."""
    said: Said = {}
    for frame in frames:
        name = frame.desc if frame.FrameID == "TXXX" else frame.FrameID
        # Genres may be numbers of a fixed list; addresses have no text.
        values = getattr(frame, "genres", None) or getattr(frame, "text", None)
        values = values or getattr(frame, "url", None) or []
        said.setdefault(name.lower(), []).extend(
            _texts([values] if isinstance(values, str) else values)
        )
    return said


def _texts(values: Sequence[Any]) -> list[str]:
    """The values that say something."""
    return [text for value in values if (text := str(value).strip("\0 \r\n\t"))]
