"""When which word is sung, as the prior's attention has learnt it (section 4.2, figure 4).

    attention     window by window over a song: how much each code takes from each letter
    path          the likeliest way through the words in order, with rests between them
    sung          when each word, or syllable, begins and ends; saved as JSON, drawn as a picture
    scores        against known times, beside the linear heuristic

Which layer and head aligns is not known beforehand: `choose_head` takes the one whose onsets are
nearest to the known ones, on songs that are then not scored. The windows of lyrics are those of the
linear heuristic, also for songs with known times, so that nothing of these is told.

Conventions
    seen      float (frames, characters): a row's weights on the letters add up to 1, or are all 0
    places    (begin, end) of each word or syllable in the composed text, in order
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ritornello.checkpoint import write_json
from ritornello.errors import CapabilityError, DataError
from ritornello.evaluation.intervals import Estimate, resampled
from ritornello.jukebox.code_transformer import LevelCodes
from ritornello.jukebox.conditions import Conditions
from ritornello.jukebox.lyrics import LinearTiming, Sung, lyric_window
from ritornello.jukebox.prior import TopPrior
from ritornello.jukebox.prior_config import LyricsConfig, PriorConfig
from ritornello.jukebox.song_lyrics import SongLyrics
from ritornello.jukebox.windows import Context, windows

NEAR_S = 0.3
"""An onset no further than this from the true one counts as found."""

LEAST = 1e-6
"""Share of the attention that even a letter which is not looked at gets."""

LOOKS_AT_LYRICS = ("encoder", "lyrics", "dense")

Seen = Float[np.ndarray, "_frames _characters"]
Places = Sequence[tuple[int, int]]


# ------------------------------------------------------------------ what attention looks at


def lyrics_config(config: PriorConfig) -> LyricsConfig:
    """How the prior is told lyrics.

    Raises:
        CapabilityError: It is told none.
    """
    if config.lyrics is None:
        raise CapabilityError(
            "this prior was made without lyrics, so nothing aligns with them. "
            "Load a model that sings."
        )
    return config.lyrics


def lyric_layers(config: PriorConfig) -> list[int]:
    """Layers of the prior that see the lyrics whole.

    Raises:
        CapabilityError: As `lyrics_config`.
    """
    lyrics_config(config)
    names = config.transformer.layers
    return [layer for layer, name in enumerate(names) if name in LOOKS_AT_LYRICS]


@torch.inference_mode()
def attention(
    prior: TopPrior, codes: LevelCodes, lyrics: SongLyrics, told: Conditions, layer: int
) -> Float[np.ndarray, "_heads _frames _characters"]:
    """How much each code takes from each letter, by every head of a layer.

    Windows move on by half a context, so that every code but the first ones is seen after half a
    context or more. Letters outside a window's lyrics get nothing from it.

    Args:
        prior: With lyrics.
        codes: Of the top level, of one whole song.
        lyrics: Of the song; `timing` chooses the windows (see `song_lyrics.evenly`).
        told: Labels and length of the song; its times and lyrics are filled in here.
        layer: One of `lyric_layers`.

    Raises:
        CapabilityError: As `lyrics_config`.
    """
    config = prior.config
    tokens, context = lyrics_config(config).tokens, config.frames
    frames = codes.shape[1]
    seen = torch.zeros(config.transformer.heads, frames, len(lyrics.text))
    for window in windows(Context(codes=context, hop=max(1, context // 2)), total=frames):
        start_s = window.start / config.frame_rate_hz
        part = lyric_window(lyrics.spelt, lyrics.timing, start_s, config.context_s, tokens)
        conditions = replace(
            told, start_s=torch.tensor([start_s]), lyrics=torch.tensor([part.tokens])
        )
        heard = codes[:, window.start : window.end]
        weights = prior.lyric_weights(heard, conditions, layer)[0]
        _add(
            seen[:, window.known : window.end],
            weights[:, window.known - window.start :],
            part.places,
        )
    total = seen.sum(2, keepdim=True)
    return (seen / torch.where(total > 0, total, 1.0)).numpy()


def _add(
    seen: Float[Tensor, "heads frames characters"],
    weights: Float[Tensor, "heads frames tokens"],
    places: Sequence[int],
) -> None:
    """Add the weights of a window's tokens to those of their letters; padding is left out."""
    letters = torch.tensor(places)
    is_letter = letters >= 0
    seen.index_add_(2, letters[is_letter], weights[:, :, is_letter])


# ------------------------------------------------------------------ from attention to times


def words(text: str) -> list[tuple[int, int]]:
    """Places of what stands between spaces, for lyrics whose syllables are not known."""
    return [found.span() for found in re.finditer(r"\S+", text)]


def aligned(seen: Seen, places: Places, frame_rate_hz: float) -> tuple[Sung, ...]:
    """When each place is sung: the likeliest path that sings all of them once and in order.

    A frame belongs to a place with the share of attention that its letters get, and to the rest
    before or after it with the share of a place when attention looks nowhere, 1 / places.

    Args:
        seen: Of one head.
        places: What is to be found, one or more.
        frame_rate_hz: Of the rows of `seen`.

    Raises:
        DataError: No places, or fewer frames than places.
    """
    frames, count = len(seen), len(places)
    if not count or frames < count:
        raise DataError(
            f"got {count} places to find in {frames} frames; expected one or more, and a frame for "
            "each. Is this a song with words?"
        )
    shares = np.stack([seen[:, begin:end].sum(axis=1) for begin, end in places], axis=1)
    surely = np.full((frames, 2 * count + 1), np.log(1 / count))
    surely[:, 1::2] = np.log(shares + LEAST)
    path = _best_path(surely)
    found = []
    for index, (begin, end) in enumerate(places):
        own = np.flatnonzero(path == 2 * index + 1)
        times = own[0] / frame_rate_hz, (own[-1] + 1) / frame_rate_hz
        found.append(Sung(start_s=times[0], end_s=times[1], begin=begin, end=end))
    return tuple(found)


def _best_path(surely: Float[np.ndarray, "frames states"]) -> np.ndarray:
    """The state of every frame; odd states must all be passed through, even ones are rests."""
    frames, states = surely.shape
    is_place = np.arange(states) % 2 == 1
    came_from = np.zeros((frames, states), dtype=np.int8)
    score = np.full(states, -np.inf)
    score[:2] = surely[0, :2]
    for frame in range(1, frames):
        before = np.full((3, states), -np.inf)
        before[0] = score
        before[1, 1:] = score[:-1]
        before[2, 2:] = np.where(is_place[2:], score[:-2], -np.inf)
        came_from[frame] = before.argmax(axis=0)
        score = before.max(axis=0) + surely[frame]
    path = np.empty(frames, dtype=np.int64)
    path[-1] = states - 1 if score[-1] > score[-2] else states - 2
    for frame in range(frames - 1, 0, -1):
        path[frame - 1] = path[frame] - came_from[frame, path[frame]]
    return path


def linear(lyrics: SongLyrics, places: Places, total_s: float) -> tuple[Sung, ...]:
    """The paper's heuristic: as if all characters took the same time."""
    spelt = lyrics.spelt
    timing = LinearTiming(tokens=max(1, len(spelt.tokens)), total_s=total_s)
    share_s = timing.total_s / timing.tokens
    before = np.searchsorted(spelt.places, [[begin, end] for begin, end in places])
    return tuple(
        Sung(start_s=first * share_s, end_s=last * share_s, begin=begin, end=end)
        for (first, last), (begin, end) in zip(before.tolist(), places, strict=True)
    )


# ------------------------------------------------------------------ scores


def onset_errors_s(truth: Sequence[Sung], found: Sequence[Sung]) -> Float[np.ndarray, " places"]:
    """How far each onset is from the true one.

    Raises:
        DataError: They are of different places.
    """
    theirs, ours = ([(one.begin, one.end) for one in side] for side in (truth, found))
    if theirs != ours or not theirs:
        raise DataError(
            f"got onsets of {len(ours)} places, truth of {len(theirs)}; expected the same places, "
            "one at least"
        )
    return np.abs([one.start_s - other.start_s for one, other in zip(truth, found, strict=True)])


def evaluate(
    truths: Sequence[Sequence[Sung]],
    found: Sequence[Sequence[Sung]],
    heuristic: Sequence[Sequence[Sung]],
    draw: np.random.Generator,
) -> dict[str, Estimate]:
    """Mean error of the onsets and share within `NEAR_S`, with intervals over songs.

    Args:
        truths: Known times of each song.
        found: What attention says.
        heuristic: What `linear` says.
        draw: Source of the intervals.

    Returns:
        "onset_error_s", "onsets_near" and, of the heuristic, both with "linear_" before.

    Raises:
        DataError: No songs, different numbers of them, or as `onset_errors_s`.
    """
    figures: dict[str, Estimate] = {}
    for prefix, side in (("", found), ("linear_", heuristic)):
        if not len(truths) == len(side):
            raise DataError(f"got {len(side)} songs, truth of {len(truths)}; expected the same")
        errors = [onset_errors_s(*pair) for pair in zip(truths, side, strict=True)]

        def mean_error(chosen: np.ndarray, errors: list = errors) -> float:
            return float(np.concatenate([errors[song] for song in chosen]).mean())

        def share_near(chosen: np.ndarray, errors: list = errors) -> float:
            return float((np.concatenate([errors[song] for song in chosen]) <= NEAR_S).mean())

        figures[f"{prefix}onset_error_s"] = resampled(len(errors), mean_error, draw)
        figures[f"{prefix}onsets_near"] = resampled(len(errors), share_near, draw)
    return figures


# ------------------------------------------------------------------ the head that aligns


@dataclass(frozen=True, kw_only=True)
class TimedSong:
    """A song whose syllables have known times.

    Attributes:
        codes: Of the top level, (1, frames).
        lyrics: With the linear heuristic as timing.
        told: Labels and length, as the prior is told them.
        truth: When what is sung.
    """

    codes: LevelCodes
    lyrics: SongLyrics
    told: Conditions
    truth: tuple[Sung, ...]

    @property
    def places(self) -> list[tuple[int, int]]:
        """What is to be found."""
        return [(one.begin, one.end) for one in self.truth]


@dataclass(frozen=True, kw_only=True)
class Head:
    """Where a prior aligns.

    Attributes:
        layer: One of `lyric_layers`.
        head: Of that layer's attention.
        error_s: Mean error of the onsets on the songs it was chosen by.
    """

    layer: int
    head: int
    error_s: float


def choose_head(prior: TopPrior, songs: Sequence[TimedSong]) -> Head:
    """The layer and head whose onsets are nearest to the known ones; the earliest of equals.

    Args:
        prior: With lyrics.
        songs: Held-out songs; the figures of the head found are to be made on others.

    Raises:
        DataError: No songs.
        CapabilityError: As `lyrics_config`.
    """
    if not songs:
        raise DataError("got no songs with known times to choose a head by; expected at least one")
    rate_hz = prior.config.frame_rate_hz
    heads: list[Head] = []
    for layer in lyric_layers(prior.config):
        errors: list[list[np.ndarray]] = [[] for _ in range(prior.config.transformer.heads)]
        for song in songs:
            seen = attention(prior, song.codes, song.lyrics, song.told, layer)
            for head, own in enumerate(errors):
                found = aligned(seen[head], song.places, rate_hz)
                own.append(onset_errors_s(song.truth, found))
        heads += [
            Head(layer=layer, head=head, error_s=float(np.concatenate(own).mean()))
            for head, own in enumerate(errors)
        ]
    return min(heads, key=lambda head: head.error_s)


# ------------------------------------------------------------------ files


def to_json(text: str, sung: Sequence[Sung]) -> dict[str, Any]:
    """As a side-car's "lyrics" has it (`song_lyrics`); times in milliseconds' precision."""
    rounded = [
        asdict(one) | {"start_s": round(one.start_s, 3), "end_s": round(one.end_s, 3)}
        for one in sung
    ]
    return {"text": text, "sung": rounded}


def save_json(text: str, sung: Sequence[Sung], path: Path) -> Path:
    """Write `to_json` and return the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, to_json(text, sung))
    return path


def load_json(path: Path) -> tuple[str, tuple[Sung, ...]]:
    """Text and times that `save_json` wrote.

    Raises:
        DataError: The file holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return str(values["text"]), tuple(Sung(**one) for one in values["sung"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} holds no alignment ({error}); expected text and sung") from error


def save_picture(
    seen: Seen,
    frame_rate_hz: float,
    lines: dict[str, Sequence[Sung]],
    path: Path,
    title: str | None = None,
) -> Path:
    """Write a PNG of the attention, letters over seconds, with onsets drawn over it; return it.

    Args:
        seen: Of one head.
        frame_rate_hz: Of its rows.
        lines: Onsets by what they are called, e.g. "sung", "found".
        path: PNG file.
        title: Above the picture.
    """
    from ritornello.evaluation.pictures import ACCENT, INK, finish, new_figure

    figure = new_figure(width_in=9.0, height_in=5.0)
    panel = figure.subplots()
    frames, characters = seen.shape
    brightness = np.sqrt(seen.T / max(float(seen.max()), LEAST))
    extent = (0.0, frames / frame_rate_hz, 0.0, float(characters))
    panel.imshow(brightness, origin="lower", aspect="auto", cmap="magma", extent=extent)
    for colour, (name, sung) in zip((INK, ACCENT, "#6fc3df"), lines.items(), strict=False):
        times = [one.start_s for one in sung]
        letters = [one.begin for one in sung]
        panel.step(times, letters, where="post", color=colour, linewidth=1.0, label=name)
    if lines:
        panel.legend(loc="upper left", fontsize=8)
    panel.set_xlabel("seconds")
    panel.set_ylabel("letter of the lyrics")
    panel.yaxis.label.set_color(INK)
    return finish(figure, [panel], None, title, path)
