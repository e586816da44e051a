"""Puts a voice and a piano into one room: the three parts of a rendered song.

The parts are sample-aligned, equally long, and mix = voice + accompaniment.
"""

from collections.abc import Callable

import numpy as np
import soxr
from jaxtyping import Float

from ritornello.data.recipes.midi import Performance
from ritornello.data.recipes.render import (
    BLOCK_S,
    CHANNELS,
    BlockConvolver,
    Piano,
    Room,
    dry_blocks,
    impulse_response,
)
from ritornello.data.recipes.singing_words import RATE_HZ
from ritornello.data.recipes.songs_score import Song

VOICE_DB = -19.0  # root mean square where it sounds, below full scale
HIGHEST_PEAK = 0.97
TOUCH_SPREAD = 4.0  # MIDI velocities
OUTER_VOICE = 5.0  # by which the top and the bass note of a chord are louder
SILENCE = 1e-3

Stereo = Float[np.ndarray, "2 _time"]
"""A wave of any length; those of one song differ until `balanced` makes them equal."""


def played(song: Song, touch: float, draw: np.random.Generator) -> Performance:
    """The accompaniment as a careful pianist plays it: in time, softly, outer voices clearer.

    Args:
        song: With an accompaniment.
        touch: MIDI velocity of an inner voice.
        draw: Unevenness.
    """
    start, end, key = song.accompaniment.T
    chord = np.unique(start, return_inverse=True)[1]
    highest = np.full(chord.max() + 1, -1.0)
    lowest = np.full(chord.max() + 1, 128.0)
    np.maximum.at(highest, chord, key)
    np.minimum.at(lowest, chord, key)
    outer = (key == highest[chord]) | (key == lowest[chord])
    uneven = np.clip(draw.standard_normal(len(key)), -2, 2) * TOUCH_SPREAD
    return Performance(
        onset=start,
        offset=end,
        pitch=key.astype(int),
        velocity=touch + OUTER_VOICE * outer + uneven,
        pedal=np.zeros((0, 2)),
    )


def piano_in_room(
    performance: Performance, piano: Piano, room: Room, rate_hz: int, stopped: Callable[[], bool]
) -> Stereo:
    """The accompaniment's sound.

    Raises:
        KeyboardInterrupt: `stopped()` became true.
    """
    convolve = BlockConvolver(impulse_response(room, rate_hz), int(BLOCK_S * rate_hz))
    blocks = []
    for dry in dry_blocks(performance, piano, rate_hz):
        if stopped():
            raise KeyboardInterrupt
        blocks.append(convolve(dry))
    return np.concatenate(blocks, axis=1)


def voice_in_room(wave: Float[np.ndarray, " time"], room: Room, rate_hz: int) -> Stereo:
    """A dry voice of `RATE_HZ` in the middle of the room, with the room's decay after it."""
    dry = soxr.resample(wave, RATE_HZ, rate_hz).astype(np.float32)
    response = impulse_response(room, rate_hz)
    block = int(BLOCK_S * rate_hz)
    convolve = BlockConvolver(response, block)
    both = np.stack([np.pad(dry, (0, response.shape[1]))] * CHANNELS)
    return np.concatenate(
        [convolve(both[:, at : at + block]) for at in range(0, both.shape[1], block)], axis=1
    )


def balanced(
    voice: Stereo, accompaniment: Stereo | None, piano_db: float
) -> tuple[Stereo, Stereo | None, Stereo]:
    """(voice, accompaniment, mix), equally long, the mix below full scale.

    Args:
        voice: Of any level.
        accompaniment: Of any level, or None.
        piano_db: Level of the accompaniment against the voice, where each sounds.
    """
    voice = voice * (10 ** (VOICE_DB / 20) / sounding_level(voice))
    if accompaniment is None:
        scale = min(1.0, HIGHEST_PEAK / float(np.abs(voice).max()))
        return scale * voice, None, scale * voice
    accompaniment = accompaniment * (
        10 ** ((VOICE_DB + piano_db) / 20) / sounding_level(accompaniment)
    )
    time = max(voice.shape[1], accompaniment.shape[1])
    voice, accompaniment = (
        np.pad(wave, ((0, 0), (0, time - wave.shape[1]))) for wave in (voice, accompaniment)
    )
    mix = voice + accompaniment
    scale = min(1.0, HIGHEST_PEAK / float(np.abs(mix).max()))
    return scale * voice, scale * accompaniment, scale * mix


def sounding_level(wave: Float[np.ndarray, "_channels _time"]) -> float:
    """Root mean square of what is above silence."""
    loud = np.abs(wave) > SILENCE * np.abs(wave).max()
    return float(np.sqrt(np.mean(wave[loud] ** 2)))
