"""Sings: the sounds of spoken words on the notes of a song, by one of four singers.

    words -> Festival (singing_words) -> sounds in time (singing_diction) -> WORLD -> voice

Four singers are made of one speaking voice: each has its compass, its size of vocal tract (the
spectral envelope stretched along frequency), its brightness, breath and vibrato. The pitch goes
from note to note in 30 ms and is there when the vowel begins; vibrato sets in later.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ritornello.data.recipes.singing_diction import Placed, Uttered, divide, place, warp
from ritornello.data.recipes.singing_words import (
    BINS,
    FFT_SIZE,
    FRAME_S,
    LEAST_POWER,
    RATE_HZ,
    Speaker,
    Spoken,
    load_world,
)
from ritornello.data.recipes.songs_score import Note, Song, Word, sayable
from ritornello.errors import DataError

GLIDE_S = 0.03
VIBRATO_DELAY_S = 0.25
VIBRATO_GROWTH_S = 0.3
DRIFT_CENTS = 4.0
DRIFT_S = 0.4
PHRASE_REST_S = 0.15
PHRASE_ARCH_DB = 2.5  # a phrase is louder in its middle
HIGH_LOUD_DB = 0.25  # per semitone above the song's middle
ATTACK_S = 0.015
RELEASE_S = 0.06
JOIN_FRAMES = 3
MARGIN_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Singer:
    """Who sings.

    Attributes:
        name: The artist.
        register: For people.
        middle: MIDI key that suits the middle of a song best.
        formants: Factor of all formant frequencies against the speaking voice.
        brightness_db: Per octave above 1 kHz.
        breath: Share of noise added in the highest octaves, 0 to 1.
        vibrato_cents: Depth to each side.
        vibrato_hz: Rate.
    """

    name: str
    register: str
    middle: int
    formants: float
    brightness_db: float
    breath: float
    vibrato_cents: float
    vibrato_hz: float


SINGERS = (
    Singer(
        name="Clara",
        register="soprano",
        middle=72,
        formants=1.04,
        brightness_db=1.0,
        breath=0.02,
        vibrato_cents=45,
        vibrato_hz=5.8,
    ),
    Singer(
        name="Edith",
        register="alto",
        middle=64,
        formants=0.96,
        brightness_db=-1.5,
        breath=0.15,
        vibrato_cents=25,
        vibrato_hz=5.3,
    ),
    Singer(
        name="Robin",
        register="tenor",
        middle=60,
        formants=0.88,
        brightness_db=1.0,
        breath=0.04,
        vibrato_cents=35,
        vibrato_hz=5.5,
    ),
    Singer(
        name="Arthur",
        register="baritone",
        middle=54,
        formants=0.82,
        brightness_db=-0.5,
        breath=0.05,
        vibrato_cents=30,
        vibrato_hz=5.1,
    ),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sung:
    """A sung song.

    Attributes:
        wave: The voice alone, dry, at `RATE_HZ`.
        placed: When each syllable sounds.
    """

    wave: Float[np.ndarray, " time"]
    placed: tuple[Placed, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """One syllable on its way: its word, its place there, its notes and its place in the song."""

    spoken: Spoken
    uttered: Uttered
    notes: tuple[Note, ...]
    placed: Placed


def sing(song: Song, singer: Singer, speaker: Speaker, draw: np.random.Generator) -> Sung:
    """The song's voice, as long as the song.

    Raises:
        DataError: A syllable cannot be spoken.
    """
    spoken = diction(song.words, speaker)
    notes = [syllable.notes for syllable in song.syllables]
    placed = place([uttered for _, uttered in spoken], notes)
    lines = [
        Line(spoken=word, uttered=uttered, notes=group, placed=where)
        for (word, uttered), group, where in zip(spoken, notes, placed, strict=True)
    ]
    total_s = max(song.duration_s, placed[-1].end_s) + MARGIN_S
    wave = np.zeros(round(total_s * RATE_HZ) + 1)
    middle = float(np.median(song.pitches))
    for phrase in _phrases(lines):
        start, sound = _sing_phrase(phrase, singer, middle, draw)
        end = min(len(wave), start + len(sound))
        wave[start:end] += sound[: end - start]
    return Sung(wave=wave, placed=tuple(placed))


def diction(words: Sequence[Word], speaker: Speaker) -> list[tuple[Spoken, Uttered]]:
    """Every syllable of the score with the spoken word that it is in.

    A word that is spoken in fewer syllables than the score has is spoken syllable by syllable.
    """
    said = speaker.say(word.spoken for word in words if word.spoken)
    whole = [
        divide(spoken, len(word.syllables)) if (spoken := said.get(word.spoken)) else None
        for word in words
    ]
    apart = [word for word, found in zip(words, whole, strict=True) if found is None]
    alone = speaker.say(
        text for word in apart for one in word.syllables if (text := sayable(one.text))
    )
    result: list[tuple[Spoken, Uttered]] = []
    for word, found in zip(words, whole, strict=True):
        spoken = said.get(word.spoken)
        if found is not None and spoken is not None:
            result += [(spoken, uttered) for uttered in found]
            continue
        for one in word.syllables:
            part = alone.get(sayable(one.text))
            uttered = divide(part, 1) if part is not None else None
            if part is None or uttered is None:
                raise DataError(
                    f"the syllable {one.text!r} cannot be spoken; expected letters that make a "
                    "sound in English"
                )
            result.append((part, uttered[0]))
    return result


def _phrases(lines: Sequence[Line]) -> list[list[Line]]:
    """Syllables between which the voice does not rest."""
    groups: list[list[Line]] = []
    for line in lines:
        if groups and line.placed.start_s - groups[-1][-1].placed.end_s < PHRASE_REST_S:
            groups[-1].append(line)
        else:
            groups.append([line])
    return groups


# ------------------------------------------------------------------ one phrase


def _sing_phrase(
    lines: Sequence[Line], singer: Singer, middle: float, draw: np.random.Generator
) -> tuple[int, Float[np.ndarray, " time"]]:
    """The first sample of a phrase in the song, and its sound."""
    first = max(0, round((lines[0].placed.start_s - MARGIN_S) / FRAME_S))
    frames = round((lines[-1].placed.end_s + MARGIN_S) / FRAME_S) - first
    at_s = (first + np.arange(frames)) * FRAME_S
    power = np.full((frames, BINS), np.log(LEAST_POWER))
    noise = np.ones((frames, BINS))
    voiced = np.zeros(frames, bool)
    for line in lines:
        begin, end = (round(s / FRAME_S) - first for s in (line.placed.start_s, line.placed.end_s))
        begin, end = max(0, begin), min(frames, end)
        heard = warp(line.uttered, line.placed, at_s[begin:end]) / FRAME_S
        power[begin:end] = _between(line.spoken.log_envelope, heard)
        noise[begin:end] = _between(line.spoken.aperiodicity, heard)
        nearest = np.clip(heard.astype(int), 0, len(line.spoken.voiced) - 1)
        voiced[begin:end] = line.spoken.voiced[nearest]
        _smooth_join(power, noise, voiced, begin)
    loud_db = _loudness(lines, at_s, middle)
    power += np.log(10) / 10 * loud_db[:, None]
    power, noise = _coloured(power, noise, singer)
    pitch = np.where(voiced, melody(lines, at_s, singer, draw), 0.0)
    sound = load_world().synthesize(
        pitch, np.exp(power), np.clip(noise, 0.0, 1.0), RATE_HZ, FRAME_S * 1000
    )
    return round(first * FRAME_S * RATE_HZ), sound


def _between(
    frames: Float[np.ndarray, "rows columns"], places: Float[np.ndarray, " places"], axis: int = 0
) -> Float[np.ndarray, "_rows _columns"]:
    """Values at fractional places along `axis`, by straight lines."""
    last = frames.shape[axis] - 1
    places = np.clip(places, 0, last)
    low = places.astype(int)
    share = np.expand_dims(places - low, 1 - axis)
    before = np.take(frames, low, axis)
    return before + share * (np.take(frames, np.minimum(low + 1, last), axis) - before)


def _smooth_join(
    power: Float[np.ndarray, "frames bins"],
    noise: Float[np.ndarray, "frames bins"],
    voiced: np.ndarray,
    join: int,
) -> None:
    """Lead one voiced sound over into the next where two syllables meet, in place.

    Words were spoken one by one, so their sounds do not fit without it.
    """
    low, high = join - JOIN_FRAMES - 1, join + JOIN_FRAMES
    if low < 0 or high >= len(voiced) or not voiced[low : high + 1].all():
        return
    share = np.linspace(0, 1, high - low + 1)[:, None]
    for frames in (power, noise):
        frames[low : high + 1] = (1 - share) * frames[low] + share * frames[high]


def _loudness(
    lines: Sequence[Line], at_s: Float[np.ndarray, " frames"], middle: float
) -> Float[np.ndarray, " frames"]:
    """Decibels over a phrase: an arch, high notes louder, a soft beginning and end."""
    start, end = lines[0].placed.start_s, lines[-1].placed.end_s
    arch = PHRASE_ARCH_DB * np.sin(np.pi * np.clip((at_s - start) / (end - start), 0, 1))
    height = np.zeros_like(at_s)
    for line in lines:
        for note in line.notes:
            height[at_s >= note.start_s - GLIDE_S] = note.pitch - middle
    ramp = np.minimum((at_s - start) / ATTACK_S, (end - at_s) / RELEASE_S)
    return arch + HIGH_LOUD_DB * height + 20 * np.log10(np.clip(ramp, 1e-3, 1.0))


def _coloured(
    power: Float[np.ndarray, "frames bins"], noise: Float[np.ndarray, "frames bins"], singer: Singer
) -> tuple[Float[np.ndarray, "frames bins"], Float[np.ndarray, "frames bins"]]:
    """Envelope and noise of the speaking voice in the singer's vocal tract."""
    places = np.arange(BINS) / singer.formants
    power, noise = _between(power, places, axis=1), _between(noise, places, axis=1)
    hertz = np.arange(BINS) * RATE_HZ / FFT_SIZE
    octaves = np.log2(np.maximum(hertz, 1000.0) / 1000.0)
    power = power + np.log(10) / 10 * singer.brightness_db * octaves
    noise = noise + singer.breath * (octaves / 4) * (1 - noise)
    return power, noise


def melody(
    lines: Sequence[Line],
    at_s: Float[np.ndarray, " frames"],
    singer: Singer,
    draw: np.random.Generator,
) -> Float[np.ndarray, " frames"]:
    """Pitch in Hz: notes joined by glides that end on the beat, vibrato, and a slow drift."""
    notes = [note for line in lines for note in line.notes]
    # The frame before a note is the middle of the glide to it.
    steps = np.searchsorted([note.start_s - GLIDE_S / 2 for note in notes], at_s, side="right") - 1
    steps = np.clip(steps, 0, None)
    keys = np.array([note.pitch for note in notes], np.float64)[steps]
    half = round(GLIDE_S / FRAME_S / 2)
    glide = np.hanning(2 * half + 3)[1:-1]
    keys = np.convolve(np.pad(keys, half, mode="edge"), glide / glide.sum(), mode="valid")
    since_s = at_s - np.array([note.start_s for note in notes])[steps]
    depth = np.clip((since_s - VIBRATO_DELAY_S) / VIBRATO_GROWTH_S, 0, 1) * singer.vibrato_cents
    vibrato = depth * np.sin(2 * np.pi * singer.vibrato_hz * since_s)
    cents = vibrato + _drift(len(at_s), draw)
    return 440.0 * 2 ** ((keys - 69 + cents / 100) / 12)


def _drift(frames: int, draw: np.random.Generator) -> Float[np.ndarray, " frames"]:
    """Cents of slow wandering that no voice is without."""
    width = round(DRIFT_S / FRAME_S)
    window = np.hanning(width + 2)[1:-1]
    noise = draw.standard_normal(frames + width - 1)
    return DRIFT_CENTS * np.convolve(noise, window / np.sqrt((window**2).sum()), mode="valid")
