"""The songs recipe: scores with words become a dataset of singing with exact syllable times.

    MusicXML or own tunes -> Song -> key, tempo, singer -> voice + piano in a room -> FLAC + JSON

Every song is sung several times, each time by another singer in another key, tempo and room. A
long song is cut at rests of its voice. Each of the parts (mix, voice, accompaniment) is a dataset
of its own, in a folder of that name. The same recipe writes the same bytes, for any number of
workers, and a second run makes only what is missing or was made otherwise.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ritornello.data.recipes.catalogue import Entry, catalogue, slug
from ritornello.data.recipes.render import (
    Piano,
    Room,
    draw_room,
    find_sound_font,
    load_fluidsynth,
)
from ritornello.data.recipes.singing_diction import Placed
from ritornello.data.recipes.singing_voice import SINGERS, Singer, sing
from ritornello.data.recipes.singing_words import load_world, speaker
from ritornello.data.recipes.songs_lieder import SUFFIXES, load_music21, read_song
from ritornello.data.recipes.songs_mix import (
    Stereo,
    balanced,
    piano_in_room,
    played,
    voice_in_room,
)
from ritornello.data.recipes.songs_own import own_songs
from ritornello.data.recipes.songs_score import (
    Song,
    cut,
    faster,
    later,
    sung_higher,
    transposed,
)
from ritornello.data.recipes.songs_solo import at_new_times, shortened
from ritornello.data.recipes.workers import (
    PART_SUFFIX,
    RATES,
    Progress,
    Rendered,
    Workers,
    gathered,
    stop_asked,
    tidy_workers,
)
from ritornello.errors import ConfigError, DataError

RECIPE_VERSION = 1
PARTS = ("mix", "voice", "accompaniment")
SOLO = "solo"
LONGEST_S = 150.0
LEAD_S = 0.4
TEMPO_SPREAD = 0.06
PIANO_DB = (-9.0, -4.0)  # against the voice
TOUCH = (50.0, 64.0)


@dataclass(frozen=True, kw_only=True)
class SongsRecipe:
    """What to render, and how.

    Attributes:
        out: Folder for the parts' folders; made when missing.
        lieder: Folders of MusicXML with words; none means the recipe's own tunes.
        parts: Which of mix, voice, accompaniment and solo to write; solo is the voice with its long
            rests cut down, and so not aligned with the others.
        hours: Stop planning when this much music is planned; None renders everything.
        rate: Sample rate of the files, Hz.
        soundfont: General MIDI sound font; None takes an installed one.
        seed: Draws singers, keys, tempos, rooms and the order.
        renders: Times that each song is sung, by different singers.
        workers: Processes; 0 means one per core.
    """

    out: Path
    lieder: tuple[Path, ...] = ()
    parts: tuple[str, ...] = PARTS
    hours: float | None = None
    rate: int = 44100
    soundfont: Path | None = None
    seed: int = 0
    renders: int = 2
    workers: int = 0

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        known = (*PARTS, SOLO)
        if not self.parts or set(self.parts) - set(known):
            raise ConfigError(
                f"parts is {','.join(self.parts)!r}; expected some of {','.join(known)}"
            )
        if self.hours is not None and not 0 < self.hours < float("inf"):
            raise ConfigError(f"hours is {self.hours}; expected a positive number")
        if self.rate not in RATES:
            raise ConfigError(f"rate is {self.rate}; expected one of {', '.join(map(str, RATES))}")
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; expected a whole number >= 0")
        if not 1 <= self.renders <= len(SINGERS):
            raise ConfigError(
                f"renders is {self.renders}; expected 1 to {len(SINGERS)}, one per singer"
            )
        if self.workers < 0:
            raise ConfigError(f"workers is {self.workers}; expected 0 (one per core) or more")


@dataclass(frozen=True, kw_only=True)
class SongsSummary:
    """What `make_songs` did.

    Attributes:
        out: The folder of the parts.
        rendered: Takes made now (each has a file per part).
        reused: Takes found finished, made by the same recipe.
        hours: Music in the takes made or found.
        works: Different works among them.
        syllables: Sung in all of them.
        artists: Hours per singer.
        skipped: (file, reason) of the songs that could not be sung.
    """

    out: Path
    rendered: int
    reused: int
    hours: float
    works: int
    syllables: int
    artists: dict[str, float]
    skipped: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Surveyed:
    """A song that can be rendered, in the pieces that it is cut into.

    Attributes:
        pieces: At least one.
        name: For files; unique in a run after `plan`.
        source: Where it is from.
        sha256: Of what it was read from.
    """

    pieces: tuple[Song, ...]
    name: str
    source: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Job:
    """One take to make; everything a worker needs to know."""

    surveyed: Surveyed
    piece: int
    number: int
    stem: str
    singer: Singer
    sound_font: Path
    out: Path
    parts: tuple[str, ...]
    rate: int
    seed: int

    @property
    def song(self) -> Song:
        """What is sung, as it is written."""
        return self.surveyed.pieces[self.piece]

    @property
    def key(self) -> str:
        """Hash of all that decides the bytes of the files."""
        settings = {
            "recipe": RECIPE_VERSION,
            "song": self.surveyed.sha256,
            "piece": self.piece,
            "singer": asdict(self.singer),
            "sound_font": [self.sound_font.name, self.sound_font.stat().st_size],
            "rate": self.rate,
            "seed": self.seed,
            "number": self.number,
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def files(self) -> dict[str, Path]:
        """The audio of each part; no accompaniment where nothing is played."""
        return {
            part: self.out / part / f"{self.stem}.flac"
            for part in self.parts
            if part != "accompaniment" or len(self.song.accompaniment)
        }


@dataclass(frozen=True, kw_only=True)
class Variation:
    """How one take of a song differs from the score.

    Attributes:
        transpose: Semitones, of voice and piano.
        octaves: Of the voice alone, to suit the singer.
        tempo: Factor of the speed.
        piano_db: Level of the piano against the voice.
        touch: MIDI velocity of the piano's inner voices.
        room: Around both.
    """

    transpose: int
    octaves: int
    tempo: float
    piano_db: float
    touch: float
    room: Room


@dataclass(frozen=True, kw_only=True)
class Made(Rendered):
    """A finished take."""

    job: Job


def make_songs(config: SongsRecipe, *, progress: Progress | None = None) -> SongsSummary:
    """Render the datasets that `config` describes, or what of them is missing.

    Raises:
        DataError: No score was found, or none of them can be sung.
        MissingDependencyError: Festival, its voice, pyworld, FluidSynth, a sound font or music21
            is not installed.
        KeyboardInterrupt: After cleaning up; finished files stay and are found again.
    """
    _check_machine(config)
    sound_font = find_sound_font(config.soundfont)
    folders = [config.out / part for part in config.parts]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    with tidy_workers(config.workers, folders) as workers:
        surveyed, unusable = _survey(config, workers)
        jobs = plan(surveyed, config, sound_font)
        made, failed = gathered(workers.unordered(make_take, jobs), Made, len(jobs), progress)
    return _summarise(config, made, unusable + failed)


def _check_machine(config: SongsRecipe) -> None:
    """Whether all is there that workers will need, so that its absence is one clear error."""
    load_fluidsynth()
    load_world()
    speaker().say(["la"])
    if config.lieder:
        load_music21()


# ------------------------------------------------------------------ which songs


def _survey(config: SongsRecipe, workers: Workers) -> tuple[list[Surveyed], list[tuple[str, str]]]:
    """The songs in an order that does not depend on workers, (file, reason) of the others."""
    if not config.lieder:
        return [
            _surveyed(
                song,
                slug(song.title),
                "own tunes",
                repr((song.words, song.accompaniment.tolist())).encode(),
            )
            for song in own_songs()
        ], []
    entries = [
        entry
        for folder in config.lieder
        for entry in catalogue(
            folder,
            suffixes=SUFFIXES,
            what="MusicXML",
            instead="pass --lieder another folder, or leave it out for the recipe's own tunes",
        )
    ]
    results = list(workers.unordered(survey_score, entries))
    surveyed = [result for result in results if isinstance(result, Surveyed)]
    skipped = sorted(result for result in results if not isinstance(result, Surveyed))
    if not surveyed:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped[:3])
        raise DataError(f"none of {len(entries)} scores can be sung ({reasons})")
    return sorted(surveyed, key=lambda one: (one.sha256, one.source)), skipped


def survey_score(entry: Entry) -> Surveyed | tuple[str, str]:
    """The song in a score, or (file, reason) when it cannot be used."""
    try:
        song = read_song(entry)
    except DataError as error:
        return entry.relative, str(error)
    content = entry.path.read_bytes()
    return _surveyed(song, slug(entry.path.stem), f"{entry.source}/{entry.relative}", content)


def _surveyed(song: Song, name: str, source: str, content: bytes) -> Surveyed:
    # Cut as it is written, with room for the slowest take.
    pieces = cut(song, LONGEST_S * float(np.exp(-TEMPO_SPREAD)))
    sha256 = hashlib.sha256(content).hexdigest()
    return Surveyed(pieces=tuple(pieces), name=name, source=source, sha256=sha256)


def plan(surveyed: list[Surveyed], config: SongsRecipe, sound_font: Path) -> list[Job]:
    """The takes to make, in an order whose beginning is already a good dataset.

    First every song once, then every song by another singer, and so on; within a pass the order is
    drawn with the seed, and the singers take turns.
    """
    names = Counter(one.name for one in surveyed)

    def drawn(one: Surveyed) -> str:
        return hashlib.sha256(f"{config.seed}/{one.sha256}".encode()).hexdigest()

    order = sorted(surveyed, key=lambda one: (drawn(one), one.source))
    jobs, seconds = [], 0.0
    for number in range(1, config.renders + 1):
        for turn, one in enumerate(order):
            singer = SINGERS[(turn + number - 1) % len(SINGERS)]
            clash = f"-{drawn(one)[:8]}" if names[one.name] > 1 else ""
            for piece, song in enumerate(one.pieces):
                if config.hours is not None and seconds >= config.hours * 3600:
                    return jobs
                seconds += song.duration_s
                suffix = f"p{piece + 1}" if len(one.pieces) > 1 else ""
                jobs.append(
                    Job(
                        surveyed=one,
                        piece=piece,
                        number=number,
                        stem=f"{one.name}{clash}__{slug(singer.name)}{suffix}",
                        singer=singer,
                        sound_font=sound_font,
                        out=config.out,
                        parts=config.parts,
                        rate=config.rate,
                        seed=config.seed,
                    )
                )
    return jobs


# ------------------------------------------------------------------ one take


def make_take(job: Job) -> Made | tuple[str, str]:
    """Make the files of one take, unless they are there; (file, reason) when it cannot be sung.

    Audio is renamed into place last: a FLAC file that exists is whole and has its side-car.
    """
    seconds = _finished(job)
    if seconds is not None:
        return Made(name=job.stem, job=job, seconds=seconds, reused=True)
    try:
        variation = draw_variation(job)
        song = varied(job.song, variation)
        waves, placed = perform_take(job, song, variation)
    except DataError as error:
        return job.surveyed.source, str(error)
    seconds = round(waves["mix"].shape[1] / job.rate, 3)
    short = shortened(waves["voice"], job.rate) if SOLO in job.parts else None
    if short is not None:
        waves[SOLO] = short.wave
    for part, path in job.files.items():
        car = _side_car(job, song, placed, part)
        if part == SOLO and short is not None:
            car = at_new_times(car, short)
        car |= {
            "render": {
                "key": job.key,
                "seconds": seconds,
                "number": job.number,
                "seed": job.seed,
                "rate": job.rate,
                "sound_font": job.sound_font.name,
                "singer": asdict(job.singer),
                "variation": asdict(variation),
            }
        }
        _write(path, waves[part], job.rate, car)
    return Made(name=job.stem, job=job, seconds=seconds, reused=False)


def _finished(job: Job) -> float | None:
    """Seconds of a take whose files are all there, made in the same way."""
    seconds = None
    for path in job.files.values():
        car = path.with_suffix(".json")
        if not (path.is_file() and car.is_file()):
            return None
        try:
            rendered = json.loads(car.read_text(encoding="utf-8"))["render"]
            seconds = float(rendered["seconds"]) if rendered["key"] == job.key else None
        except (ValueError, KeyError):
            seconds = None
        if seconds is None:
            return None
    return seconds


def _draw_for(job: Job, purpose: str) -> np.random.Generator:
    """The generator of one decision about one take, the same on every run and machine."""
    text = f"{job.seed}/{job.surveyed.sha256}/{job.number}/{purpose}"
    return np.random.default_rng(int(hashlib.sha256(text.encode()).hexdigest()[:32], 16))


def draw_variation(job: Job) -> Variation:
    """How this take differs; the pieces of one song have the same."""
    draw = _draw_for(job, "variation")
    pitches = [pitch for song in job.surveyed.pieces for pitch in song.pitches]
    away = job.singer.middle - float(np.median(pitches))
    octaves = round(away / 12)
    # What is left after whole octaves is met half way by the key.
    towards = int(np.clip(round((away - 12 * octaves) / 2), -3, 3))
    return Variation(
        transpose=towards + int(draw.integers(-1, 2)),
        octaves=octaves,
        tempo=float(np.exp(draw.uniform(-TEMPO_SPREAD, TEMPO_SPREAD))),
        piano_db=float(draw.uniform(*PIANO_DB)),
        touch=float(draw.uniform(*TOUCH)),
        room=draw_room(draw),
    )


def varied(song: Song, variation: Variation) -> Song:
    """`song` in another key, tempo and octave, after a moment of silence."""
    moved = faster(transposed(song, variation.transpose), variation.tempo)
    return later(sung_higher(moved, 12 * variation.octaves), LEAD_S)


def perform_take(
    job: Job, song: Song, variation: Variation
) -> tuple[dict[str, Stereo], tuple[Placed, ...]]:
    """The audio of every part, and when each syllable sounds."""
    sung = sing(song, job.singer, speaker(), _draw_for(job, f"voice {job.piece}"))
    voice = voice_in_room(sung.wave, variation.room, job.rate)
    accompaniment = None
    if len(song.accompaniment):
        performance = played(song, variation.touch, _draw_for(job, f"piano {job.piece}"))
        piano = Piano(job.sound_font, job.rate, 0.0)
        try:
            accompaniment = piano_in_room(performance, piano, variation.room, job.rate, stop_asked)
        finally:
            piano.close()
    voice, accompaniment, mix = balanced(voice, accompaniment, variation.piano_db)
    waves = {"mix": mix, "voice": voice}
    if accompaniment is not None:
        waves["accompaniment"] = accompaniment
    return waves, sung.placed


def _side_car(job: Job, song: Song, placed: tuple[Placed, ...], part: str) -> dict[str, Any]:
    """What a part is; who sings and what, where somebody does."""
    car: dict[str, Any] = {
        "work": song.work,
        "title": song.title,
        "composer": song.composer,
        "genre": song.genre,
        "labels": {"genre": slug(song.genre)},
        "source": job.surveyed.source,
        "licence": song.licence,
        "part": part,
        "sections": [_rounded(asdict(section)) for section in song.sections],
    }
    if part == "accompaniment":
        return car
    car["artist"] = job.singer.name
    car["labels"]["artist"] = slug(job.singer.name)
    car["lyrics"] = {
        "text": song.text,
        "sung": [
            _rounded({"start_s": where.start_s, "end_s": where.end_s})
            | {"begin": syllable.begin, "end": syllable.end}
            for syllable, where in zip(song.syllables, placed, strict=True)
        ],
    }
    car["notes"] = [
        _rounded(asdict(note)) for syllable in song.syllables for note in syllable.notes
    ]
    return car


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Times to a tenth of a millisecond."""
    return {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in values.items()
    }


def _write(path: Path, wave: Stereo, rate_hz: int, car: Mapping[str, Any]) -> None:
    """A file and its side-car, whole or not at all."""
    audio = path.with_name(f".{path.name}{PART_SUFFIX}")
    words = path.with_name(f".{path.stem}.json{PART_SUFFIX}")
    try:
        soundfile.write(audio, wave.T, rate_hz, "PCM_16", format="FLAC", compression_level=0.5)
        words.write_text(json.dumps(car, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        path.unlink(missing_ok=True)  # its old side-car goes next
        words.rename(path.with_suffix(".json"))
        audio.rename(path)
    finally:
        audio.unlink(missing_ok=True)
        words.unlink(missing_ok=True)


def _summarise(
    config: SongsRecipe, made: list[Made], skipped: list[tuple[str, str]]
) -> SongsSummary:
    """The counts of a finished run."""
    hours: dict[str, float] = defaultdict(float)
    for take in made:
        hours[slug(take.job.singer.name)] += take.seconds / 3600
    return SongsSummary(
        out=config.out,
        rendered=sum(not take.reused for take in made),
        reused=sum(take.reused for take in made),
        hours=round(sum(hours.values()), 3),
        works=len({take.job.song.work for take in made}),
        syllables=sum(len(take.job.song.syllables) for take in made),
        artists={name: round(hours[name], 3) for name in sorted(hours)},
        skipped=tuple(dict.fromkeys(skipped)),
    )
