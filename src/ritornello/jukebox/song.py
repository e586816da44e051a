"""From a request to what the networks are told: labels, times, lyrics, and sections that return.

    request.labels     rows of artist and genres; a name without a row is refused, the nearest named
    request.lyrics     spelt once; every window of music gets its window of them
    request.form       letters on the frames of the top level; one that returns is recalled
    time               where each window lies in a song of how many seconds; without end it stands
                       still in the middle, or begins again where there are lyrics to sing

Sections 4.1 and 4.2 of the paper. Forms are ours: `conditions.py` and `RecallConfig` say how a
prior is reminded of the last section with the same letter.
"""

import logging
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from jaxtyping import Int64
from torch import Tensor

from ritornello.errors import CapabilityError, ConfigError
from ritornello.interfaces import Request, Section
from ritornello.jukebox.conditions import NOTHING, Conditions, without_labels
from ritornello.jukebox.config import JukeboxConfig
from ritornello.jukebox.labels import MISSING, UNKNOWN_ID, Vocabulary, asked_genre_ids
from ritornello.jukebox.lyrics import lyric_window, no_lyrics
from ritornello.jukebox.prior_config import LyricsConfig
from ritornello.jukebox.song_lyrics import SongLyrics, evenly
from ritornello.jukebox.windows import Tape, Window, context_for

logger = logging.getLogger(__name__)

ENDLESS_S = 180.0
"""Length that a model is told of a piece without end."""

HELD_AT = 0.5
"""Share of its length at which the time told of an endless piece without words stands still."""

ARTIST_LABELS = ("artist", "composer")
ARTIST, GENRE = "artist", "genre"


# ------------------------------------------------------------------ labels


def label_rows(config: JukeboxConfig, labels: Mapping[str, str]) -> Conditions:
    """Rows of the labels asked for, for one song; what is not asked for is left open.

    Raises:
        CapabilityError: The model was trained without labels.
        ConfigError: A label or a name that the model does not know, or two artists.
    """
    slots = config.prior.labels.genre_slots
    artist, genres = UNKNOWN_ID, [MISSING] * slots
    if not config.genres[1:]:  # as all recordings without a genre in training
        genres[0] = UNKNOWN_ID
    known = {ARTIST: config.artists[1:], GENRE: config.genres[1:]}
    asked = _asked(labels)
    for kind in asked:
        if not known[kind]:
            others = " and ".join(other for other in known if known[other])
            raise CapabilityError(
                f"this model was trained without {kind} names; it knows {others or 'no labels'}. "
                "Train one on recordings that have them."
            )
    if ARTIST in asked:
        artist = Vocabulary(kind=ARTIST, names=config.artists).id_of(asked[ARTIST])
    if GENRE in asked:
        vocabulary = Vocabulary(kind=GENRE, names=config.genres)
        genres[:] = asked_genre_ids(vocabulary, asked[GENRE], slots)
    return Conditions(
        artist=torch.tensor([artist]),
        genres=torch.tensor([genres]),
        total_s=torch.zeros(1),
        start_s=torch.zeros(1),
    )


def _asked(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels by their one name: a composer is an artist."""
    expected = (*ARTIST_LABELS, GENRE)
    for name in labels:
        if name not in expected:
            raise ConfigError(f"unknown label {name!r}; expected {', '.join(expected)}")
    artists = {labels[name] for name in ARTIST_LABELS if name in labels}
    if len(artists) > 1:
        raise ConfigError(f"got two artists, {' and '.join(sorted(artists))}; expected one")
    asked = {ARTIST: artists.pop()} if artists else {}
    return asked | ({GENRE: labels[GENRE]} if GENRE in labels else {})


# ------------------------------------------------------------------ lyrics


def sung_lyrics(text: str, config: JukeboxConfig, total_s: float) -> SongLyrics:
    """The lyrics of a song, spread over all of it.

    Raises:
        CapabilityError: The model does not sing.
        ConfigError: They are blank, no letter is in the model's alphabet, or there are too many for
            the time.
    """
    lyrics = config.prior.lyrics
    if lyrics is None:
        raise CapabilityError(
            "this model was trained without lyrics, so it cannot sing. Use a model that was "
            "trained with them: `ritornello train jukebox --preset songs` makes one."
        )
    if all(unicodedata.category(letter)[0] in "ZC" for letter in text):  # spaces and controls
        raise ConfigError(f"the lyrics are blank, {text[:20]!r}; expected words, or no lyrics")
    sung = evenly(text, config.alphabet, total_s)
    count, context_s = len(sung.spelt.tokens), config.prior.context_s
    if not count:
        raise ConfigError(
            f"none of the {len(text)} letters of the lyrics is in the model's alphabet, "
            f"{config.alphabet}"
        )
    heard = count * min(1.0, context_s / total_s)
    if heard > lyrics.tokens:
        raise ConfigError(
            f"the lyrics have {count} {config.alphabet} for {total_s:.3g} s, which is "
            f"{heard:.0f} in a window of {context_s:.3g} s; expected at most {lyrics.tokens}. Ask "
            f"for {count * context_s / lyrics.tokens:.0f} s or more, or shorten the lyrics."
        )
    return sung


# ------------------------------------------------------------------ sections that return


@dataclass(frozen=True, kw_only=True)
class Form:
    """Sections on the frames of the top level, over and over.

    Attributes:
        letters: Of the sections, in order.
        lengths: Their frames.
        first: Frame at which the form begins.
    """

    letters: tuple[str, ...]
    lengths: tuple[int, ...]
    first: int = 0

    @property
    def frames(self) -> int:
        """Of the form once through."""
        return sum(self.lengths)

    def recalled_from(self, frame: int) -> int:
        """The frame of the last section with the same letter that `frame` is to be like.

        `NOTHING` in a letter's first section, and where that last section was shorter.
        """
        if frame < self.first:
            return NOTHING
        rounds, rest = divmod(frame - self.first, self.frames)
        starts = [0, *accumulate(self.lengths)]
        place = next(i for i, stop in enumerate(starts[1:]) if rest < stop)
        offset, letter, count = rest - starts[place], self.letters[place], len(self.letters)
        for back in range(1, count + 1):
            turn, earlier = divmod(place - back, count)
            if self.letters[earlier] == letter:
                is_there = rounds + turn >= 0 and offset < self.lengths[earlier]
                start = self.first + (rounds + turn) * self.frames + starts[earlier]
                return start + offset if is_there else NOTHING
        raise AssertionError("a letter returns after one round at the latest")

    def returns(self) -> list[tuple[str, int]]:
        """Letter of every section that returns once through, and how many frames after the last."""
        starts = [self.first + start for start in accumulate((0, *self.lengths[:-1]))]
        sources = map(self.recalled_from, starts)
        return [
            (letter, start - source)
            for letter, start, source in zip(self.letters, starts, sources, strict=True)
            if source != NOTHING
        ]

    def recalled(self, start: int, frames: int, tape: Tape) -> Int64[Tensor, "1 frames"]:
        """For the frames from `start` on the codes that return in them, as far as they are there.

        Args:
            start: First frame.
            frames: How many.
            tape: Codes of the song up to now, a round of the form at least.
        """
        codes = torch.full((1, frames), NOTHING)
        for index in range(frames):
            source = self.recalled_from(start + index)
            if tape.start <= source < tape.end:
                codes[:, index] = tape.read(source, source + 1)[:, 0]
        return codes

    def timetable(self, rate_hz: float) -> list[tuple[str, float, float]]:
        """Letter, beginning and end in seconds of every section, once through."""
        ends = [self.first + end for end in accumulate(self.lengths)]
        return [
            (letter, (end - length) / rate_hz, end / rate_hz)
            for letter, length, end in zip(self.letters, self.lengths, ends, strict=True)
        ]


def form_of(sections: Sequence[Section], config: JukeboxConfig, first: int) -> Form:
    """Sections in whole frames; those without a length last as long as a context.

    Raises:
        CapabilityError: The model does not remember sections.
    """
    prior = config.prior
    if prior.recall is None:
        raise CapabilityError(
            "this model was trained without recall, so no section returns in its music. Use one "
            "that was trained with it: `ritornello train jukebox --preset small` makes one."
        )
    lengths = [
        round((prior.context_s if section.seconds is None else section.seconds) * rate_hz)
        for section in sections
        for rate_hz in [prior.frame_rate_hz]
    ]
    form = Form(
        letters=tuple(section.letter for section in sections),
        lengths=tuple(max(1, length) for length in lengths),
        first=first,
    )
    hop = context_for(prior.frames, config.hops[-1]).hop
    for letter, back in form.returns():
        if back < hop:
            rate_hz = prior.frame_rate_hz
            logger.warning(
                "section %s returns after %.3g s, while it is still being drawn: only part of it "
                "is recalled. Sections that begin %.3g s after those they repeat are whole.",
                letter,
                back / rate_hz,
                hop / rate_hz,
            )
            break
    return form


# ------------------------------------------------------------------ all of it


@dataclass(frozen=True, kw_only=True)
class Song:
    """What is known of a whole piece.

    Attributes:
        config: Of the model.
        labels: Rows for one song.
        total_s: Its length as the model is told.
        is_endless: Whether the time told never comes to the end.
        skipped_s: Seconds of it before the first code.
        sung: Lyrics; None for none.
        form: Sections; None for a piece in one.
    """

    config: JukeboxConfig
    labels: Conditions
    total_s: float
    is_endless: bool = False
    skipped_s: float = 0.0
    sung: SongLyrics | None = None
    form: Form | None = None

    def conditions(self, window: Window, tape: Tape) -> Conditions:
        """What the prior is told for a window, of the codes that there are."""
        prior = self.config.prior
        start_s = self.skipped_s + window.start / prior.frame_rate_hz
        told_s = self._told_s(start_s)
        form, recalled = self.form, None
        if form is not None:
            recalled = form.recalled(window.start, prior.frames, tape)
        return replace(
            self.labels,
            total_s=torch.tensor([self.total_s]),
            start_s=torch.tensor([told_s]),
            lyrics=self._lyrics(told_s),
            recalled=recalled,
        )

    def _told_s(self, start_s: float) -> float:
        """Where the model is told that a window begins, of which lyrics are those sung there."""
        if not self.is_endless:
            return start_s
        if self.sung is None:
            return min(start_s, HELD_AT * self.total_s)
        turn_s = self.total_s - self.config.prior.context_s  # no song had a window begin later
        return start_s % turn_s if turn_s > 0 else 0.0

    def _lyrics(self, start_s: float) -> Int64[Tensor, "1 lyrics"] | None:
        """The lyrics around a window of music; padding alone for music without."""
        lyrics: LyricsConfig | None = self.config.prior.lyrics
        if lyrics is None:
            return None
        part = no_lyrics(lyrics.tokens)
        if self.sung is not None:
            context_s = self.config.prior.context_s
            part = lyric_window(
                self.sung.spelt, self.sung.timing, start_s, context_s, lyrics.tokens
            )
        return torch.tensor([part.tokens])


def song_of(
    request: Request,
    config: JukeboxConfig,
    *,
    known: int = 0,
    skipped_s: float = 0.0,
    total: int | None = None,
    told_s: float | None = None,
) -> Song:
    """The song that a request asks for.

    Args:
        request: Labels, lyrics, form.
        config: Of the model.
        known: Frames of the top level that it begins with.
        skipped_s: Seconds of it before those.
        total: Frames of the top level in all; None for ever.
        told_s: Length that the model is told; None for the real one.

    Raises:
        CapabilityError, ConfigError: As `label_rows`, `sung_lyrics` and `form_of`.
    """
    total_s = ENDLESS_S if total is None else skipped_s + total / config.prior.frame_rate_hz
    total_s = told_s or total_s
    return Song(
        config=config,
        labels=label_rows(config, request.labels),
        total_s=total_s,
        is_endless=total is None,
        skipped_s=skipped_s,
        sung=None if request.lyrics is None else sung_lyrics(request.lyrics, config, total_s),
        form=form_of(request.form, config, known) if request.form else None,
    )


def with_and_without_labels(conditions: Conditions) -> Conditions:
    """Two rows for every row, as guidance takes them: told its labels, and not."""
    bare = without_labels(conditions)
    lyrics, recalled = conditions.lyrics, conditions.recalled
    return Conditions(
        artist=_in_turn(conditions.artist, bare.artist),
        genres=_in_turn(conditions.genres, bare.genres),
        total_s=conditions.total_s.repeat_interleave(2),
        start_s=conditions.start_s.repeat_interleave(2),
        lyrics=None if lyrics is None else lyrics.repeat_interleave(2, 0),
        recalled=None if recalled is None else recalled.repeat_interleave(2, 0),
    )


def _in_turn(one: Tensor, other: Tensor) -> Tensor:
    """Rows of both in turn."""
    return torch.stack([one, other], 1).flatten(0, 1)
