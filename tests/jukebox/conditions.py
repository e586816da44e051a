"""Conditions and codes drawn for tests."""

import torch

from ritornello.jukebox.conditions import Conditions
from ritornello.jukebox.labels import MISSING


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def integers(high, *shape, seed=0):
    return torch.randint(high, shape, generator=draw(seed))


def conditions_for(config, batch=2, seed=0):
    """Labels, times and lyrics as a prior's (or upsampler's) configuration has them."""
    labels, lyrics = config.labels, getattr(config, "lyrics", None)
    genres = integers(labels.genres, batch, labels.genre_slots, seed=seed)
    genres[0, -1] = MISSING
    return Conditions(
        artist=integers(labels.artists, batch, seed=seed + 1),
        genres=genres,
        total_s=torch.linspace(10.0, 20.0, batch),
        start_s=torch.linspace(0.0, 8.0, batch),
        lyrics=None if lyrics is None else integers(lyrics.symbols, batch, lyrics.tokens, seed=5),
    )
