"""Draws a training pair from the stems of a song: a context to listen to, a stem to answer with.

The context is the sum of a non-empty proper subset of the stems, the target one stem that is not
in it (StemGen, section 3.1). Each of the N (2^(N-1) - 1) pairs of a song is equally likely: the
target is drawn first, then a subset of what is left.

Deviation: the context is heard at another gain and with low noise, so that a model learns to listen
to recordings whose level and cleanliness it has not seen.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from ritornello.audio.loudness import from_db
from ritornello.errors import DataError

GAIN_DB = 6.0
NOISE_DBFS = (-80.0, -55.0)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Stems by number: those of the context in ascending order, and the target."""

    context: tuple[int, ...]
    target: int


@dataclass(frozen=True, kw_only=True)
class Treatment:
    """How a context is heard: its gain, and the level of the white noise added to it."""

    gain_db: float
    noise_dbfs: float


def draw_pair(draw: np.random.Generator, stems: int) -> Pair:
    """One of all pairs that a song of `stems` stems has, each equally likely.

    Raises:
        DataError: There are fewer than two stems.
    """
    if stems < 2:
        raise DataError(f"a pair needs at least 2 stems; got {stems}")
    target = int(draw.integers(stems))
    others = [stem for stem in range(stems) if stem != target]
    is_member = np.zeros(len(others), bool)
    while not is_member.any():
        is_member = draw.integers(2, size=len(others)).astype(bool)
    context = tuple(stem for stem, member in zip(others, is_member, strict=True) if member)
    return Pair(context=context, target=target)


def draw_treatment(draw: np.random.Generator) -> Treatment:
    """A gain within +-GAIN_DB and a level of noise within NOISE_DBFS, uniform in dB."""
    return Treatment(
        gain_db=float(draw.uniform(-GAIN_DB, GAIN_DB)), noise_dbfs=float(draw.uniform(*NOISE_DBFS))
    )


def submix(
    stems: Float32[np.ndarray, "stems time"], members: tuple[int, ...]
) -> Float32[np.ndarray, " time"]:
    """The sum of some stems; it may go beyond [-1, 1]."""
    return stems[list(members)].sum(axis=0, dtype=np.float32)


def treated(
    mix: Float32[np.ndarray, " time"], treatment: Treatment, draw: np.random.Generator
) -> Float32[np.ndarray, " time"]:
    """A mix as the model is to hear it: with gain and noise, never beyond full scale."""
    gain = from_db(treatment.gain_db)
    peak = float(np.abs(mix).max(initial=0.0)) * gain
    heard = mix * np.float32(gain / max(1.0, peak))
    noise = draw.standard_normal(len(mix), dtype=np.float32)
    return np.clip(heard + noise * np.float32(from_db(treatment.noise_dbfs)), -1.0, 1.0)
