"""Has MMA play a chord chart, and sorts what it plays into stems by the names of its tracks.

MMA (Musical MIDI Accompaniment) is a program of its own, run on a chart in its language. It writes
a MIDI file with one named track per part: "Drum", "Walk", "Chord-Guitar". Only the notes are used;
instruments, levels and positions are drawn by the recipe.
"""

import re
import shutil
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

from ritornello.data.recipes.bands_plan import SongPlan
from ritornello.data.recipes.midi import DRUM_CHANNEL, Notes, load_mido, pair_notes, track_events
from ritornello.errors import DataError, MissingDependencyError

TIMEOUT_S = 120.0
SUSTAINED = re.compile(r"sus|string|voice|warm|pad", re.IGNORECASE)


def find_mma() -> str:
    """Where MMA is.

    Raises:
        MissingDependencyError: It is not installed.
    """
    where = shutil.which("mma")
    if where is None:
        raise MissingDependencyError(
            "the bands recipe", "MMA, which plays the accompaniment", "sudo apt install mma"
        )
    return where


def mma_version() -> str:
    """Its version, a part of what decides the bytes of a song."""
    done = subprocess.run([find_mma(), "-w", "-v"], capture_output=True, text=True, check=False)
    return (done.stdout.split() or ["unknown"])[-1]


# ------------------------------------------------------------------ charts


def chart(plan: SongPlan) -> str:
    """The song in MMA's language; sections of one letter are played from the same random seed."""
    lines = [f"Tempo {round(plan.bpm)}"]
    bar = 1
    for letter in plan.form:
        section = plan.sections[letter]
        lines += [f"Groove {section.groove}", f"RndSeed {section.seed}"]
        for chords in plan.chord_names(letter):
            lines.append(f"{bar} {chords}")
            bar += 1
    return "\n".join(lines) + "\n"


def _run(text: str, folder: Path) -> str | None:
    """Have MMA turn a chart into folder/song.mid; what it complains of, or None."""
    source = folder / "song.mma"
    source.write_text(text, encoding="utf-8")
    command = [find_mma(), "-w", "-f", str(folder / "song.mid"), str(source)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {TIMEOUT_S:g} s"
    if done.returncode == 0:
        return None
    return " ".join((done.stdout + done.stderr).split())[-300:]


# ------------------------------------------------------------------ tracks


def accompany(plan: SongPlan) -> dict[str, list[Notes]]:
    """What MMA plays: for each category the notes of each of its tracks, times in quarters.

    Raises:
        DataError: MMA cannot play the chart, or changes the tempo within it.
        MissingDependencyError: MMA or mido is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="ritornello-bands-") as folder:
        problem = _run(chart(plan), Path(folder))
        if problem is not None:
            raise DataError(f"MMA cannot play {plan.groove.verse}: {problem}")
        return split_tracks(Path(folder) / "song.mid")


def split_tracks(path: Path) -> dict[str, list[Notes]]:
    """The tracks of a MIDI file by the category that their names say; silent ones are left out.

    Raises:
        DataError: It is no MIDI file, or its tempo changes.
    """
    mido = load_mido()
    try:
        file = mido.MidiFile(str(path), clip=True)
    except Exception as error:  # mido raises whatever the broken bytes lead it to
        raise DataError(f"{path.name} is not a readable MIDI file ({error!r})") from error
    tempos = sum(message.type == "set_tempo" for track in file.tracks for message in track)
    if tempos > 1:
        raise DataError(f"{path.name} has {tempos} tempos; expected one")
    stems: dict[str, list[Notes]] = defaultdict(list)
    for track in file.tracks:
        channels = {message.channel for message in track if message.type == "note_on"}
        drums = DRUM_CHANNEL in channels
        notes = pair_notes(track_events(track), file.ticks_per_beat, drums=drums)
        if notes:
            stems["drums" if drums else category(track.name)].append(notes)
    return dict(stems)


def category(name: str) -> str:
    """The stem that a track belongs to, by its name.

    A "Bass" that names another instrument ("Bass-Sax", "Bass-Guitar") is MMA's way of writing
    riffs; they accompany and go with the chords.
    """
    kind, _, detail = name.partition("-")
    kind = kind.lower()
    if SUSTAINED.search(detail):
        return "pads"
    if kind == "walk" or (kind == "bass" and not detail):
        return "bass"
    return "arpeggio" if kind in ("arpeggio", "scale") else "chords"
