"""A sound font of one decaying tone, and MIDI files written note by note."""

import struct

import mido
import numpy as np
import pytest


def chunk(name, data):
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def tiny_sound_font():
    """SF2 bytes: bank 0, program 0, one sample of a decaying 440 Hz tone on key 69."""
    rate = 22050
    seconds = np.arange(rate) / rate
    tone = 0.8 * np.sin(2 * np.pi * 440 * seconds) * np.exp(-4 * seconds)
    samples = np.concatenate([np.round(32767 * tone), np.zeros(46)]).astype("<i2").tobytes()
    preset = struct.pack("<20sHHHIII", b"Tone", 0, 0, 0, 0, 0, 0)
    preset += struct.pack("<20sHHHIII", b"EOP", 0, 0, 1, 0, 0, 0)
    instrument = struct.pack("<20sH", b"Tone", 0) + struct.pack("<20sH", b"EOI", 1)
    bags = struct.pack("<HHHH", 0, 0, 1, 0)
    header = struct.pack("<20sIIIIIBbHH", b"Tone", 0, rate, 8, rate - 8, rate, 69, 0, 0, 1)
    header += struct.pack("<20sIIIIIBbHH", b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0)
    no_modulator = bytes(10)
    info = chunk(b"ifil", struct.pack("<HH", 2, 1)) + chunk(b"isng", b"EMU8000\0")
    info += chunk(b"INAM", b"Tone\0\0")
    data = chunk(b"phdr", preset) + chunk(b"pbag", bags) + chunk(b"pmod", no_modulator)
    data += chunk(b"pgen", struct.pack("<HHHH", 41, 0, 0, 0)) + chunk(b"inst", instrument)
    data += chunk(b"ibag", bags) + chunk(b"imod", no_modulator)
    data += chunk(b"igen", struct.pack("<HHHH", 53, 0, 0, 0)) + chunk(b"shdr", header)
    body = b"sfbk" + chunk(b"LIST", b"INFO" + info)
    body += chunk(b"LIST", b"sdta" + chunk(b"smpl", samples)) + chunk(b"LIST", b"pdta" + data)
    return chunk(b"RIFF", body)


@pytest.fixture(scope="session")
def sound_font(tmp_path_factory):
    """A sound font that loads in a millisecond; skips where FluidSynth itself is missing."""
    pytest.importorskip("fluidsynth", exc_type=ImportError)
    path = tmp_path_factory.mktemp("fonts") / "tone.sf2"
    path.write_bytes(tiny_sound_font())
    return path


@pytest.fixture
def write_midi():
    """A function that writes a MIDI file.

    `notes` are (start, length, pitch, velocity[, channel]) in ticks, `others` are (tick, message).
    """

    def write(path, notes, *, others=(), ticks_per_beat=384):
        events = list(others)
        for start, length, pitch, velocity, *channel in notes:
            where = {"note": pitch, "channel": channel[0] if channel else 0}
            events.append((start, mido.Message("note_on", velocity=velocity, **where)))
            events.append((start + length, mido.Message("note_off", **where)))
        events.sort(key=lambda event: (event[0], event[1].type != "note_off"))
        track, now = mido.MidiTrack(), 0
        for tick, message in events:
            track.append(message.copy(time=tick - now))
            now = tick
        file = mido.MidiFile(ticks_per_beat=ticks_per_beat)
        file.tracks.append(track)
        path.parent.mkdir(parents=True, exist_ok=True)
        file.save(str(path))
        return path

    return write


def chorale(bars=8, quarter=384):
    """Notes of a small score: a melody in quarters over half-note triads, on the grid."""
    notes = []
    for bar in range(bars):
        root = (48, 53, 55, 48)[bar % 4]
        for half in range(2):
            start = (4 * bar + 2 * half) * quarter
            notes += [(start, 2 * quarter, root + step, 90) for step in (0, 4, 7)]
        for beat in range(4):
            pitch = 72 + (0, 2, 4, 7, 5, 4, 2, 0)[(4 * bar + beat) % 8]
            notes.append(((4 * bar + beat) * quarter, quarter, pitch, 90))
    return notes


def improvisation(count=120, seed=0):
    """Notes as a human plays them: free onsets and varied velocities."""
    draw = np.random.default_rng(seed)
    start = np.cumsum(draw.integers(90, 400, count))
    return [
        (int(at), int(draw.integers(100, 500)), int(draw.integers(40, 85)), int(velocity))
        for at, velocity in zip(start, draw.integers(40, 100, count), strict=True)
    ]
