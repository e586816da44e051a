"""Sounds a band: every stem by itself, in one room, equally long, at levels that make a mix."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from jaxtyping import Float

from ritornello.data.recipes.bands_accompaniment import accompany
from ritornello.data.recipes.bands_plan import SongPlan, generator
from ritornello.data.recipes.midi import KEYBOARD, Notes, Performance
from ritornello.data.recipes.render import (
    BLOCK_S,
    CHANNELS,
    DRUM_BANK,
    TAIL_S,
    BlockConvolver,
    Instrument,
    Room,
    dry_blocks,
    impulse_response,
)
from ritornello.data.recipes.songs_mix import sounding_level

FONT_RATE_HZ = 44100  # what sound fonts are recorded at
LEVELS_DB = {
    "drums": -18.0,
    "bass": -18.0,
    "chords": -22.0,
    "melody": -18.5,
    "arpeggio": -24.0,
    "pads": -26.0,
}
"""Root mean square where a stem sounds, below full scale, before the gain of all stems."""
HIGHEST_PEAK = 0.89  # of the mix
JITTER_S = {"drums": 0.002, "bass": 0.003}  # standard deviation of onsets
USUAL_JITTER_S = 0.005
TOUCH_SPREAD = 4.0  # MIDI velocities
MELODY_TOUCH = (84.0, 14.0)  # MIDI velocity off the beat, and what an accent adds

Stem = Float[np.ndarray, "channels time"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one track of a stem plays, and on which program."""

    performance: Performance
    program: int


def band_parts(plan: SongPlan) -> dict[str, list[Part]]:
    """The parts of every stem, in the order of categories; stems that stay silent are left out.

    Raises:
        DataError: MMA cannot play the plan.
        MissingDependencyError: MMA or mido is not installed.
    """
    tracks = accompany(plan)
    tracks["melody"] = [melody_notes(plan)]
    parts: dict[str, list[Part]] = {}
    for purpose, (category, programs) in enumerate(plan.programs.items(), start=1):
        draw = generator(plan.seed, plan.number, purpose)
        from_s = plan.starts_s[plan.enters[category]]
        performances = [
            humanised(notes, plan.beat_s, category, from_s, draw)
            for notes in tracks.get(category, [])
        ]
        parts[category] = [
            Part(
                performance=one, program=programs[0 if category == "drums" else at % len(programs)]
            )
            for at, one in enumerate(performances)
            if len(one.onset)
        ]
    return {category: some for category, some in parts.items() if some}


def melody_notes(plan: SongPlan) -> Notes:
    """The melody of the whole song, the sections of one letter alike; times in quarters."""
    notes: Notes = []
    soft, accent = MELODY_TOUCH
    for letter, start_s in zip(plan.form, plan.starts_s, strict=False):
        start = start_s / plan.beat_s
        notes += [
            (start + n.start, start + n.start + n.beats, n.pitch, round(soft + accent * n.accent))
            for n in plan.sections[letter].melody
        ]
    return notes


def humanised(
    notes: Notes, beat_s: float, category: str, from_s: float, draw: np.random.Generator
) -> Performance:
    """The notes from `from_s` on, in seconds, a little uneven in time and touch.

    Args:
        notes: Times in quarters.
        beat_s: Seconds of a quarter.
        category: Drums and bass keep time best.
        from_s: What begins earlier is left out, but for what a player anticipates.
        draw: The unevenness.
    """
    columns = np.array(sorted(notes), dtype=float).reshape(-1, 4)
    start, end, pitch, velocity = columns[columns[:, 0] * beat_s >= from_s - 0.1 * beat_s].T
    spread = JITTER_S.get(category, USUAL_JITTER_S)
    late = np.clip(draw.standard_normal(len(start)), -2, 2) * spread
    onset = np.maximum(start * beat_s + late, 0.0)
    uneven = np.clip(draw.standard_normal(len(start)), -2, 2) * TOUCH_SPREAD
    return Performance(
        onset=onset,
        offset=np.maximum(end * beat_s + late, onset + 0.03),
        pitch=np.clip(pitch, *KEYBOARD).astype(int),
        velocity=np.clip(velocity + uneven, 1, 127),
        pedal=np.zeros((0, 2)),
    )


def render_stems(
    plan: SongPlan,
    parts: Mapping[str, list[Part]],
    *,
    sound_font: Path,
    rate_hz: int,
    channels: int,
    stopped: Callable[[], bool] = lambda: False,
) -> dict[str, Stem]:
    """Every stem of a song: from one time 0, equally long, together below full scale.

    Args:
        plan: Room and levels.
        parts: From `band_parts`.
        sound_font: A General MIDI sound font.
        rate_hz: Sample rate of the stems.
        channels: 1 or 2.
        stopped: Asked while rendering; true ends it with KeyboardInterrupt.
    """
    last_s = max(part.performance.duration_s for some in parts.values() for part in some)
    seconds = max(last_s, plan.seconds) + TAIL_S
    stems = {}
    for category, some in parts.items():
        dry = np.zeros((CHANNELS, round(seconds * FONT_RATE_HZ)), np.float32)
        for part in some:
            _add(dry, part, DRUM_BANK if category == "drums" else 0, sound_font, stopped)
        wet = _in_room(dry, plan.room, rate_hz, round(seconds * rate_hz))
        wave = wet.mean(axis=0, keepdims=True) if channels == 1 else wet
        gain_db = LEVELS_DB[category] + plan.levels_db[category]
        stems[category] = wave * np.float32(10 ** (gain_db / 20) / sounding_level(wave))
    peak = float(np.abs(sum(stems.values())).max())
    scale = np.float32(min(1.0, HIGHEST_PEAK / peak))
    return {category: scale * wave for category, wave in stems.items()}


def _add(
    dry: Float[np.ndarray, "2 time"],
    part: Part,
    bank: int,
    sound_font: Path,
    stopped: Callable[[], bool],
) -> None:
    """Play one part into `dry`."""
    instrument = Instrument(sound_font, FONT_RATE_HZ, program=part.program, bank=bank)
    at = 0
    try:
        for block in dry_blocks(part.performance, instrument, FONT_RATE_HZ):
            if stopped():
                raise KeyboardInterrupt
            room_left = dry[:, at : at + block.shape[1]]
            room_left += block[:, : room_left.shape[1]]
            at += block.shape[1]
    finally:
        instrument.close()


def _in_room(
    dry: Float[np.ndarray, "2 time"], room: Room, rate_hz: int, samples: int
) -> Float[np.ndarray, "2 _samples"]:
    """The stem at another rate, exactly so long, with the room around it."""
    if rate_hz != FONT_RATE_HZ:
        dry = soxr.resample(dry.T, FONT_RATE_HZ, rate_hz).T
        dry = np.pad(dry[:, :samples], ((0, 0), (0, max(0, samples - dry.shape[1]))))
    block = int(BLOCK_S * rate_hz)
    convolve = BlockConvolver(impulse_response(room, rate_hz), block)
    return np.concatenate(
        [
            convolve(np.ascontiguousarray(dry[:, at : at + block]))
            for at in range(0, dry.shape[1], block)
        ],
        axis=1,
    )
