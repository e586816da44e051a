"""Reads keyboard music from MIDI files, and tells human performances from engraved scores.

A file becomes a `Piece`: notes and pedal on the file's own grid of ticks, with its tempos and
metres. A performance is played as it is (`as_played`); a score first needs the expression rules of
`recipes.expression`. Both end as a `Performance`, in seconds, which `recipes.render` plays.

Everything is played on one piano: program changes are ignored and the drum channel is dropped.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ritornello.errors import DataError, MissingDependencyError

DRUM_CHANNEL = 9
SUSTAIN_PEDAL = 64
GRID_PER_QUARTER = 24  # every duplet, triplet and their halves down to the 32nd note
DEFAULT_US_PER_QUARTER = 500_000  # the MIDI standard's tempo until one is set
KEYBOARD = (21, 108)

Notes = list[tuple[float, float, int, int]]
"""(onset, offset, pitch, velocity), times in quarter notes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """Notes as the file writes them; times in quarter notes, sorted by onset, then by pitch.

    Attributes:
        onset: Note starts, quarter notes.
        offset: Note ends, quarter notes; never before the same key is struck again.
        pitch: MIDI keys inside the piano's compass.
        velocity: 1 to 127.
        tempo: Rows (quarter, seconds per quarter), from quarter 0.
        metre: Rows (quarter, quarters per bar, quarters per beat), from quarter 0.
        pedal: Rows (quarter, 0 to 127) of the sustain pedal.
        ticks_per_quarter: The file's resolution.
    """

    onset: Float[np.ndarray, " notes"]
    offset: Float[np.ndarray, " notes"]
    pitch: Int[np.ndarray, " notes"]
    velocity: Int[np.ndarray, " notes"]
    tempo: Float[np.ndarray, "changes 2"]
    metre: Float[np.ndarray, "metres 3"]
    pedal: Float[np.ndarray, "events 2"]
    ticks_per_quarter: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Performance:
    """What the hands and the foot do, in seconds; the first note starts at zero or later.

    Attributes:
        onset: Key presses, seconds.
        offset: Key releases, seconds.
        pitch: MIDI keys.
        velocity: 1 to 127; fractions are kept until the piano is played.
        pedal: Rows (seconds, 0 to 127), sorted by time.
    """

    onset: Float[np.ndarray, " notes"]
    offset: Float[np.ndarray, " notes"]
    pitch: Int[np.ndarray, " notes"]
    velocity: Float[np.ndarray, " notes"]
    pedal: Float[np.ndarray, "events 2"]

    @property
    def duration_s(self) -> float:
        """Seconds from zero to the last release."""
        return float(self.offset.max())


def load_mido() -> Any:
    """The mido module; raises MissingDependencyError when it is not installed."""
    try:
        import mido
    except ImportError as error:
        raise MissingDependencyError(
            "reading MIDI", "mido", "pip install 'ritornello[data]'"
        ) from error
    return mido


def read_midi(path: Path) -> Piece:
    """The piano part of a MIDI file, all tracks and channels but the drums together.

    Raises:
        DataError: The file is no MIDI file, is cut short, or holds no notes for a piano.
        MissingDependencyError: mido is not installed.
    """
    mido = load_mido()
    try:
        file = mido.MidiFile(str(path), clip=True)
        events = [track_events(track) for track in file.tracks]
    except Exception as error:  # mido raises whatever the broken bytes lead it to
        raise DataError(f"{path.name} is not a readable MIDI file ({error!r})") from error
    if file.type == 2 or not 0 < file.ticks_per_beat < 0x8000:
        raise DataError(
            f"{path.name} has MIDI type {file.type} and {file.ticks_per_beat} ticks per quarter; "
            "expected type 0 or 1 with a positive resolution"
        )
    return _gather(events, file.ticks_per_beat, path.name)


def track_events(track: Any) -> list[tuple[int, Any]]:
    """Messages of one track with their absolute ticks."""
    ticks, events = 0, []
    for message in track:
        ticks += message.time
        events.append((ticks, message))
    return events


def _gather(tracks: list[list[tuple[int, Any]]], ticks_per_quarter: int, name: str) -> Piece:
    """One piece from all tracks."""
    notes: list[tuple[float, float, int, int]] = []
    tempo = {0.0: DEFAULT_US_PER_QUARTER / 1e6}
    metre = {0.0: (4.0, 1.0)}
    pedal: list[tuple[float, float]] = []
    for track in tracks:
        notes += pair_notes(track, ticks_per_quarter)
        for ticks, message in track:
            quarter = ticks / ticks_per_quarter
            if message.type == "set_tempo" and message.tempo > 0:
                tempo[quarter] = message.tempo / 1e6
            elif message.type == "time_signature":
                metre[quarter] = _metre(message.numerator, message.denominator)
            elif message.type == "control_change" and message.control == SUSTAIN_PEDAL:
                pedal.append((quarter, float(message.value)))
    if not notes:
        raise DataError(f"{name} holds no notes for a piano")
    onset, offset, pitch, velocity = _one_hand_per_key(notes)
    return Piece(
        onset=onset,
        offset=offset,
        pitch=pitch,
        velocity=velocity,
        tempo=np.array(sorted(tempo.items())),
        metre=np.array([(at, *metre[at]) for at in sorted(metre)]),
        pedal=np.array(sorted(pedal)).reshape(-1, 2),
        ticks_per_quarter=ticks_per_quarter,
    )


def _metre(numerator: int, denominator: int) -> tuple[float, float]:
    """Quarters per bar and per beat; 6/8, 9/8 and 12/8 beat in dotted quarters."""
    unit = 4.0 / denominator
    compound = denominator >= 8 and numerator > 3 and numerator % 3 == 0
    return max(1, numerator) * unit, unit * (3 if compound else 1)


def pair_notes(
    track: list[tuple[int, Any]], ticks_per_quarter: int, *, drums: bool = False
) -> Notes:
    """(onset, offset, pitch, velocity) in quarters; a note nobody ends lasts one quarter.

    Args:
        track: Messages with their ticks.
        ticks_per_quarter: The file's resolution.
        drums: Whether to read the drum channel, instead of all others.
    """
    held: dict[tuple[int, int], list[tuple[int, int]]] = {}
    notes = []

    def close(key: tuple[int, int], end: int) -> None:
        start, velocity = held[key].pop(0)
        if end > start:
            notes.append((start / ticks_per_quarter, end / ticks_per_quarter, key[1], velocity))

    for ticks, message in track:
        if message.type not in ("note_on", "note_off"):
            continue
        if (message.channel == DRUM_CHANNEL) != drums:
            continue
        key = (message.channel, message.note)
        if message.type == "note_on" and message.velocity > 0:
            held.setdefault(key, []).append((ticks, message.velocity))
        elif held.get(key):
            close(key, ticks)
    for key, open_notes in held.items():
        for start, _ in list(open_notes):
            close(key, start + ticks_per_quarter)
    return [note for note in notes if KEYBOARD[0] <= note[2] <= KEYBOARD[1]]


def _one_hand_per_key(notes: list[tuple[float, float, int, int]]) -> tuple[Any, Any, Any, Any]:
    """Sorted columns; unisons of two voices become one note, a key struck again ends its note."""
    merged: dict[tuple[float, int], tuple[float, int]] = {}
    for start, end, pitch, velocity in notes:
        end_before, velocity_before = merged.get((start, pitch), (0.0, 0))
        merged[start, pitch] = (max(end, end_before), max(velocity, velocity_before))
    keys = sorted(merged)
    onset = np.array([start for start, _ in keys])
    pitch = np.array([key for _, key in keys], dtype=np.int64)
    offset = np.array([merged[key][0] for key in keys])
    velocity = np.array([merged[key][1] for key in keys], dtype=np.int64)
    for key in np.unique(pitch):
        (at,) = np.nonzero(pitch == key)
        offset[at[:-1]] = np.minimum(offset[at[:-1]], onset[at[1:]])
    return onset, offset, pitch, velocity


def is_performance(piece: Piece, *, passage_notes: int = 64) -> bool:
    """Whether a human played it: velocities vary, and onsets ignore the grid of the quarter note.

    The onsets' phases within a grid step concentrate in a score, passage by passage (a grace note
    may shift all that follows it), and spread over the circle in a performance.
    """
    if len(np.unique(piece.velocity)) < 8:
        return False
    phases = np.exp(2j * np.pi * GRID_PER_QUARTER * piece.onset)
    passages = np.array_split(phases, max(1, len(phases) // passage_notes))
    return float(np.mean([abs(passage.mean()) for passage in passages])) < 0.5


def to_seconds(
    quarters: Float[np.ndarray, " events"], tempo: Float[np.ndarray, "changes 2"]
) -> Float[np.ndarray, " events"]:
    """Seconds of score positions under the tempo map `tempo` of a Piece."""
    starts = np.concatenate([[0.0], np.cumsum(np.diff(tempo[:, 0]) * tempo[:-1, 1])])
    row = np.clip(np.searchsorted(tempo[:, 0], quarters, side="right") - 1, 0, None)
    return starts[row] + (quarters - tempo[row, 0]) * tempo[row, 1]


def as_played(piece: Piece) -> Performance:
    """The performance a file recorded, with its own timing, velocities and pedal."""
    pedal = piece.pedal.copy()
    if len(pedal):
        pedal[:, 0] = to_seconds(pedal[:, 0], piece.tempo)
    return without_silences(
        Performance(
            onset=to_seconds(piece.onset, piece.tempo),
            offset=to_seconds(piece.offset, piece.tempo),
            pitch=piece.pitch,
            velocity=piece.velocity.astype(np.float64),
            pedal=pedal,
        )
    )


def without_silences(
    performance: Performance, *, longest_s: float = 3.0, lead_s: float = 0.25
) -> Performance:
    """The same with at most `longest_s` between a release and the next note, `lead_s` before all.

    Transcribed concerts hold applause, and excerpts start minutes into their file.
    """
    released = np.maximum.accumulate(performance.offset)
    excess = np.maximum(0.0, performance.onset[1:] - released[:-1] - longest_s)
    excess = np.concatenate([[performance.onset[0] - lead_s], excess])
    cut = np.cumsum(excess)
    pedal = performance.pedal.copy()
    if len(pedal):
        # A pedal move inside a silence belongs to the note after it, and never precedes the piece.
        row = np.clip(np.searchsorted(performance.onset, pedal[:, 0]), 0, len(cut) - 1)
        pedal[:, 0] = np.maximum.accumulate(np.maximum(0.0, pedal[:, 0] - cut[row]))
    return Performance(
        onset=performance.onset - cut,
        offset=performance.offset - cut,
        pitch=performance.pitch,
        velocity=performance.velocity,
        pedal=pedal,
    )
