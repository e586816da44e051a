"""The self-similarity matrix of a piece: how much every moment sounds like every other.

Conventions
    wave        float (channels, time), a piece of 20 s to 30 min; the mean of the channels is used
    features    unit rows (cells, dim), one per half second; 0 where the piece is silent
    matrix      (cells, cells): cosine of the cells' features, in [-1, 1]

A cell is described by its chroma and its timbre. Both are centred on the piece's own mean, so that
two moments are alike when they differ from the rest of the piece in the same way, and two unrelated
ones have 0 on average.
"""

import numpy as np
from jaxtyping import Float

from ritornello.audio import features as measures
from ritornello.audio.resample import resample
from ritornello.errors import AudioError
from ritornello.evaluation.spectra import decibels, mel_filters, power
from ritornello.evaluation.spectra import validate as validate_audio
from ritornello.interfaces import Audio

CELL_S = 0.5
SHORTEST_S, LONGEST_S = 20.0, 1800.0
RATE_HZ = 22050
N_FFT = 2048
BLOCK = 64
MELS = 24
SILENT_DB = -60.0
LEAST_SPREAD = 1e-3

Wave = Float[np.ndarray, "_channels _time"]
Features = Float[np.ndarray, "cells _dim"]
Matrix = Float[np.ndarray, "cells cells"]


def validate(wave: Wave, sample_rate: int) -> None:
    """Refuse what has no form to judge.

    Raises:
        AudioError: Empty, not finite, silent, shorter than 20 s or longer than 30 min.
    """
    validate_audio(wave)
    duration_s = wave.shape[1] / sample_rate
    if not SHORTEST_S <= duration_s <= LONGEST_S:
        raise AudioError(
            f"the piece lasts {duration_s:.1f} s; expected {SHORTEST_S:g} to {LONGEST_S:g} s to "
            "judge its form"
        )
    if not (np.abs(wave.mean(axis=0)) > 10 ** (SILENT_DB / 20)).any():
        raise AudioError("the piece is silent: it has no form to judge")


def raw_cells(
    wave: Wave, sample_rate: int, cell_s: float = CELL_S
) -> tuple[Float[np.ndarray, "cells pitches"], Float[np.ndarray, "cells mels"]]:
    """Chroma shares (cells, 12) and mel levels in dB (cells, 24) of each cell of `cell_s`."""
    mono = resample(wave.mean(axis=0, keepdims=True).astype(np.float32), sample_rate, RATE_HZ)
    length = round(cell_s * RATE_HZ)
    cells = mono.shape[1] // length
    chroma = measures.chroma(Audio(samples=mono, sample_rate=RATE_HZ), 1 / cell_s, cells)
    # Half a cell or more to both sides, so that even the shortest cells hold a spectrum.
    reach = max(length // 2, N_FFT)
    padded = np.pad(mono[0], reach)[length // 2 :]
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach)[::length][:cells]
    filters = mel_filters(RATE_HZ, N_FFT, MELS)
    levels = [
        decibels((filters @ power(block, N_FFT, N_FFT // 2)[..., 1:-1]).mean(axis=-1))
        for block in (windows[start : start + BLOCK] for start in range(0, cells, BLOCK))
    ]
    return chroma.T.astype(np.float64), np.concatenate(levels)


def unit_features(
    chroma: Float[np.ndarray, "cells pitches"], levels: Float[np.ndarray, "cells mels"]
) -> Features:
    """Chroma and timbre as one unit vector per cell, each centred on the piece, weighing the same.

    Levels are counted from 60 dB below full scale, so that what is below does not matter. Cells
    that are silent are 0.
    """
    audible = levels.max(axis=1) > SILENT_DB
    parts = []
    for part in (np.sqrt(chroma), np.maximum(levels, SILENT_DB)):
        centred = part - (part[audible].mean(axis=0) if audible.any() else 0)
        spread = np.sqrt(np.mean(centred[audible] ** 2) * part.shape[1]) if audible.any() else 0
        parts.append(centred / max(float(spread), LEAST_SPREAD) * audible[:, None])
    joined = np.concatenate(parts, axis=1)
    norms = np.linalg.norm(joined, axis=1, keepdims=True)
    return joined / np.maximum(norms, LEAST_SPREAD)


def smoothed(part: Float[np.ndarray, "cells _dim"]) -> Float[np.ndarray, "cells _dim"]:
    """Each cell with half of its neighbours, so that a return between two cells is still seen."""
    padded = np.pad(part, ((1, 1), (0, 0)), mode="edge")
    return 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]


def features(wave: Wave, sample_rate: int) -> Features:
    """Unit features of every half second.

    Raises:
        AudioError: As `validate`.
    """
    validate(wave, sample_rate)
    chroma, levels = raw_cells(wave, sample_rate)
    return unit_features(smoothed(chroma), smoothed(levels))


def self_similarity(wave: Wave, sample_rate: int) -> Matrix:
    """Cosine similarity of every half second with every other, in [-1, 1].

    Raises:
        AudioError: As `validate`.
    """
    rows = features(wave, sample_rate)
    return rows @ rows.T


def self_similarity_any_key(wave: Wave, sample_rate: int) -> Matrix:
    """As `self_similarity`, with the best of the twelve transpositions of every pair.

    The best of twelve is larger by chance too: compare such matrices only with their like.
    """
    validate(wave, sample_rate)
    chroma, levels = (smoothed(part) for part in raw_cells(wave, sample_rate))
    rows = unit_features(chroma, levels)
    turned = (unit_features(np.roll(chroma, key, axis=1), levels) for key in range(12))
    return np.max([rows @ other.T for other in turned], axis=0)
