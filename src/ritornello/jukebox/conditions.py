"""What a prior is told besides codes: artist, genres, times, lyrics (section 4.1), and recalls.

    start vector   artist's row + genres' rows       stands where the token before the first would
    timing         total length + elapsed time + fraction, a row of a table each, for every frame
    recall         ours: the codes of an earlier section that is to return, frame by frame

Guidance needs a model that also knows music without labels: `drop_labels` takes them away from some
training examples, `without_labels` from all. Axes: batch, frames, width; slots are the genre words
that one song may have.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ritornello.jukebox.labels import MISSING, UNKNOWN_ID
from ritornello.jukebox.prior_config import LabelsConfig, RecallConfig, TimingConfig

Start = Float[Tensor, "batch width"]
PerFrame = Float[Tensor, "batch frames width"]
LyricTokens = Int64[Tensor, "batch lyrics"]
Recalled = Int64[Tensor, "batch frames"]

NOTHING = -1
"""Stands for a frame that nothing is recalled of."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What is known of each example's music.

    Attributes:
        artist: Row of the artist; 0 is unknown.
        genres: Rows of the genre words; -1 in slots that are left empty.
        total_s: Length of the whole song.
        start_s: Where in it the window of codes begins.
        lyrics: Tokens of the lyrics' window; None for models without lyrics.
        recalled: Codes of the section that is to return, for every frame of the window; `NOTHING`
            where none is. None is nothing anywhere.
    """

    artist: Int64[Tensor, " batch"]
    genres: Int64[Tensor, "batch slots"]
    total_s: Float[Tensor, " batch"]
    start_s: Float[Tensor, " batch"]
    lyrics: LyricTokens | None = None
    recalled: Recalled | None = None

    def __getitem__(self, rows: slice) -> "Conditions":
        """Of some of the examples."""
        return Conditions(
            artist=self.artist[rows],
            genres=self.genres[rows],
            total_s=self.total_s[rows],
            start_s=self.start_s[rows],
            lyrics=None if self.lyrics is None else self.lyrics[rows],
            recalled=None if self.recalled is None else self.recalled[rows],
        )


def without_labels(conditions: Conditions) -> Conditions:
    """The same without artist and genres: unknown, and no words."""
    return replace(
        conditions,
        artist=torch.full_like(conditions.artist, UNKNOWN_ID),
        genres=torch.full_like(conditions.genres, MISSING),
    )


def drop_labels(conditions: Conditions, share: float, draw: torch.Generator) -> Conditions:
    """Labels taken away from each example with probability `share`; times and lyrics stay."""
    is_dropped = torch.rand(len(conditions.artist), generator=draw) < share
    is_dropped = is_dropped.to(conditions.artist.device)
    bare = without_labels(conditions)
    return replace(
        conditions,
        artist=torch.where(is_dropped, bare.artist, conditions.artist),
        genres=torch.where(is_dropped[:, None], bare.genres, conditions.genres),
    )


class LabelTables(nn.Module):
    """Artist and genres as one vector, with which a sequence starts."""

    def __init__(self, config: LabelsConfig, width: int) -> None:
        super().__init__()
        self.artists = nn.Embedding(config.artists, width)
        self.genres = nn.Embedding(config.genres, width)

    def forward(self, conditions: Conditions) -> Start:
        """The artist's row plus those of the genres, each as it is: a bag of words."""
        is_there = conditions.genres != MISSING
        rows = self.genres(conditions.genres.where(is_there, 0))
        return self.artists(conditions.artist) + (rows * is_there[..., None]).sum(1)


class TimeTable(nn.Module):
    """A binned number as a row of a table."""

    def __init__(self, low: float, high: float, bins: int, width: int) -> None:
        super().__init__()
        self.low, self.high = low, high
        self.table = nn.Embedding(bins, width)

    def forward(self, values: Float[Tensor, "*lead"]) -> Float[Tensor, "*lead width"]:
        """Rows of values; beyond the ends those of the ends."""
        bins = self.table.num_embeddings
        share = (values - self.low) / (self.high - self.low)
        return self.table((share * bins).long().clamp(0, bins - 1))


class TimingTables(nn.Module):
    """Total length, elapsed time and fraction of the song that is over, for every frame."""

    def __init__(self, config: TimingConfig, width: int, frame_rate_hz: float) -> None:
        super().__init__()
        self.frame_rate_hz = frame_rate_hz
        longest = config.longest_s
        self.total = TimeTable(config.shortest_s, longest, config.bins, width)
        self.elapsed = TimeTable(0.0, longest, config.bins, width)
        self.fraction = TimeTable(0.0, 1.0, config.bins, width)

    def forward(self, conditions: Conditions, frames: int) -> PerFrame:
        """The sum of the three for `frames` frames from `start_s` on."""
        steps = torch.arange(frames, device=conditions.start_s.device)
        elapsed = conditions.start_s[:, None] + steps / self.frame_rate_hz
        total = conditions.total_s[:, None]
        return self.total(total) + self.elapsed(elapsed) + self.fraction(elapsed / total)


class RecallTable(nn.Module):
    """Recalled codes as a vector for every frame; row 0 is nothing."""

    def __init__(self, codes: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(1 + codes, width)

    def forward(self, recalled: Recalled) -> PerFrame:
        """A row for every frame."""
        return self.table(recalled - NOTHING)


def spoilt(codes: Recalled, count: int, config: RecallConfig, draw: torch.Generator) -> Recalled:
    """What a training excerpt is told of itself: less than all, and not all of it true.

    A share of the excerpts is told nothing. Of the others stretches are lost, and single codes are
    wrong; how many is drawn for each excerpt, so that a recall is heard as loosely as it deserves.

    Args:
        codes: (batch, frames).
        count: Codes in the codebook.
        config: How much is spoilt.
        draw: Source of all of it.
    """
    batch, frames = codes.shape

    def share(most: float) -> Float[Tensor, "batch 1"]:
        return most * torch.rand(batch, 1, generator=draw)

    stretches = -(-frames // config.stretch) + 1
    is_lost = torch.rand(batch, stretches, generator=draw) < share(config.lost)
    shift = torch.randint(config.stretch, (batch, 1), generator=draw)
    is_lost = is_lost.gather(1, (torch.arange(frames) + shift) // config.stretch)
    is_wrong = torch.rand(batch, frames, generator=draw) < share(config.wrong)
    anything = torch.randint(count, codes.shape, generator=draw)
    untold = torch.rand(batch, 1, generator=draw) < config.dropout
    told = torch.where(is_wrong.to(codes.device), anything.to(codes.device), codes)
    return told.masked_fill((is_lost | untold).to(codes.device), NOTHING)
