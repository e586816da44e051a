"""Guided attention: a head is shown in training which letter is being sung; ours.

    sung_tokens    for every code the lyric token that is sung then, from known times
    guided_bits    how surprised a head's attention is by them

The paper's models find the alignment by themselves, in weeks. Where a dataset says when every
syllable is sung, one head can be told; the other heads stay free, and sampling is told nothing.
Tachibana et al. 2018 ("Efficiently trainable text-to-speech system based on deep convolutional
networks with guided attention", section 4.1) guide a whole matrix towards its diagonal; here the
times are known.

Deviation: the paper has no such term. It is a choice of the configuration, off in its presets.
"""

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ritornello.jukebox.lyrics import LyricWindow
from ritornello.jukebox.song_lyrics import SongLyrics

SILENT = -1
"""In the place of a token: nothing is sung."""

LEAST = 1e-6
"""Share of the attention below which a frame costs no more."""

SungTokens = Int64[Tensor, "batch frames"]
HeadWeights = Float[Tensor, "batch frames lyrics"]


def sung_tokens(
    song: SongLyrics, window: LyricWindow, start_s: float, frames: int, frame_rate_hz: float
) -> Int64[np.ndarray, " frames"]:
    """Index within `window` of the token being sung at each frame; SILENT where none is.

    Within a syllable the letters follow one another in proportion to the time.

    Args:
        song: With known times; without, every frame is SILENT.
        window: The lyric window that the model is told.
        start_s: Time of the first frame in the song.
        frames: How many.
        frame_rate_hz: Of them.
    """
    found = np.full(frames, SILENT, dtype=np.int64)
    if not song.sung:
        return found
    index_of = {place: index for index, place in enumerate(window.places) if place >= 0}
    times = start_s + (np.arange(frames) + 0.5) / frame_rate_hz
    starts = np.array([one.start_s for one in song.sung])
    for frame, number in enumerate(np.searchsorted(starts, times, side="right") - 1):
        one = song.sung[number]
        if number < 0 or times[frame] >= one.end_s or one.end == one.begin:
            continue
        share = (times[frame] - one.start_s) / (one.end_s - one.start_s)
        found[frame] = index_of.get(one.begin + int(share * (one.end - one.begin)), SILENT)
    return found


def guided_bits(weights: HeadWeights, sung: SungTokens, slack: int) -> Float[Tensor, ""]:
    """Mean over sung frames of -log2 of the attention within `slack` tokens of the sung one.

    Args:
        weights: Of one head; rows add up to at most 1.
        sung: Of `sung_tokens`.
        slack: Tokens to either side that count as well.
    """
    tokens = torch.arange(weights.shape[2], device=weights.device)
    is_near = (tokens - sung[..., None]).abs() <= slack
    near = (weights * is_near).sum(2).clamp(min=LEAST)
    is_sung = sung != SILENT
    return -(near.log2() * is_sung).sum() / is_sung.sum().clamp(min=1)
