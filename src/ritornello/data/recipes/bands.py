"""The bands recipe: multitrack songs with a form, drawn and rendered stem by stem.

    seed, number -> SongPlan -> MMA's accompaniment + a melody -> a stem per category -> FLAC + JSON

Every song is a folder: `drums.flac`, `bass.flac`, `chords.flac`, `melody.flac` and where its groove
has them `arpeggio.flac` and `pads.flac`, equally long and sample-aligned, with `song.json`. The
same recipe writes the same bytes, for any number of workers; a second run makes only what is
missing or was made otherwise, and more songs leave the first ones as they are.
"""

import hashlib
import json
import shutil
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import soundfile

from ritornello.data.recipes.bands_accompaniment import find_mma, mma_version
from ritornello.data.recipes.bands_grooves import CATEGORIES, GROOVES
from ritornello.data.recipes.bands_mix import Part, Stem, band_parts, render_stems
from ritornello.data.recipes.bands_plan import SongPlan, draw_plan
from ritornello.data.recipes.midi import load_mido
from ritornello.data.recipes.render import find_sound_font, load_fluidsynth
from ritornello.data.recipes.workers import (
    PART_SUFFIX,
    RATES,
    Progress,
    Rendered,
    gathered,
    stop_asked,
    tidy_workers,
)
from ritornello.errors import ConfigError, DataError

RECIPE_VERSION = 1
SONG_FILE = "song.json"
LICENCE = "public domain (drawn by rule)"


@dataclass(frozen=True, kw_only=True)
class BandsRecipe:
    """What to render, and how.

    Attributes:
        out: Folder for the songs; made when missing.
        songs: How many.
        rate: Sample rate of the files, Hz.
        channels: 1 or 2.
        soundfont: General MIDI sound font; None takes an installed one.
        seed: Draws everything.
        workers: Processes; 0 means one per core.
    """

    out: Path
    songs: int = 400
    rate: int = 44100
    channels: int = 2
    soundfont: Path | None = None
    seed: int = 0
    workers: int = 0

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        if self.songs < 1:
            raise ConfigError(f"songs is {self.songs}; expected at least 1")
        if self.rate not in RATES:
            raise ConfigError(f"rate is {self.rate}; expected one of {', '.join(map(str, RATES))}")
        if self.channels not in (1, 2):
            raise ConfigError(f"channels is {self.channels}; expected 1 or 2")
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; expected a whole number >= 0")
        if self.workers < 0:
            raise ConfigError(f"workers is {self.workers}; expected 0 (one per core) or more")


@dataclass(frozen=True, kw_only=True)
class BandsSummary:
    """What `make_bands` did.

    Attributes:
        out: The folder of songs.
        rendered: Songs made now.
        reused: Songs found finished, made by the same recipe.
        hours: Music in the songs made or found.
        genres: Hours per groove family.
        stems: Songs that have each category.
        skipped: (song, reason) of those that could not be made.
    """

    out: Path
    rendered: int
    reused: int
    hours: float
    genres: dict[str, float]
    stems: dict[str, int]
    skipped: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One song to make; everything a worker needs to know."""

    plan: SongPlan
    sound_font: Path
    mma: str
    out: Path
    rate: int
    channels: int

    @property
    def folder(self) -> Path:
        """Where the song goes."""
        return self.out / self.plan.id

    @property
    def key(self) -> str:
        """Hash of all that decides the bytes of the files."""
        settings = {
            "recipe": RECIPE_VERSION,
            "plan": asdict(self.plan),
            "mma": self.mma,
            "sound_font": [self.sound_font.name, self.sound_font.stat().st_size],
            "rate": self.rate,
            "channels": self.channels,
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Made(Rendered):
    """A finished song."""

    genre: str
    stems: tuple[str, ...]


def planned(config: BandsRecipe) -> list[SongPlan]:
    """What would be rendered; needs neither MMA nor a sound font."""
    return [draw_plan(config.seed, number, GROOVES) for number in range(config.songs)]


def make_bands(config: BandsRecipe, *, progress: Progress | None = None) -> BandsSummary:
    """Render the songs that `config` describes, or what of them is missing.

    Raises:
        DataError: None of the songs can be made.
        MissingDependencyError: MMA, FluidSynth, a sound font or mido is not installed.
        KeyboardInterrupt: After cleaning up; finished songs stay and are found again.
    """
    # Before the workers need them, so that what is missing is one clear error.
    load_fluidsynth()
    load_mido()
    find_mma()
    sound_font = find_sound_font(config.soundfont)
    version = mma_version()
    config.out.mkdir(parents=True, exist_ok=True)
    jobs = [
        Job(
            plan=plan,
            sound_font=sound_font,
            mma=version,
            out=config.out,
            rate=config.rate,
            channels=config.channels,
        )
        for plan in planned(config)
    ]
    with tidy_workers(config.workers, [config.out]) as workers:
        results = workers.unordered(make_song, jobs)
        made, skipped = gathered(results, Made, len(jobs), progress)
    if not made:
        raise DataError(f"none of {len(jobs)} songs can be made ({skipped[0][1]})")
    return _summarise(config, made, skipped)


def make_song(job: Job) -> Made | tuple[str, str]:
    """Make the folder of one song, unless it is there; (song, reason) when it cannot be made.

    A folder is renamed into place last: one that exists is whole.
    """
    found = _finished(job)
    if found is not None:
        return _made(job, found, reused=True)
    part = job.out / f".{job.plan.id}{PART_SUFFIX}"
    shutil.rmtree(part, ignore_errors=True)
    try:
        parts = band_parts(job.plan)
        stems = render_stems(
            job.plan,
            parts,
            sound_font=job.sound_font,
            rate_hz=job.rate,
            channels=job.channels,
            stopped=stop_asked,
        )
        part.mkdir()
        for category, wave in stems.items():
            soundfile.write(
                part / f"{category}.flac", wave.T, job.rate, "PCM_16", compression_level=0.5
            )
        song = describe(job, parts, stems)
        text = json.dumps(song, indent=1, ensure_ascii=False) + "\n"
        (part / SONG_FILE).write_text(text, encoding="utf-8")
        if job.folder.exists():
            shutil.rmtree(job.folder)
        part.rename(job.folder)
    except DataError as error:
        return job.plan.id, str(error)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return _made(job, song, reused=False)


def _finished(job: Job) -> dict[str, Any] | None:
    """What `song.json` says, where the song is whole and was made in the same way."""
    path = job.folder / SONG_FILE
    if not path.is_file():
        return None
    try:
        song = json.loads(path.read_text(encoding="utf-8"))
        same = song["render"]["key"] == job.key
        whole = all((job.folder / stem["file"]).is_file() for stem in song["stems"])
    except (ValueError, KeyError, TypeError):
        return None
    return song if same and whole else None


def _made(job: Job, song: dict[str, Any], *, reused: bool) -> Made:
    return Made(
        name=job.plan.id,
        genre=song["genre"],
        seconds=float(song["render"]["seconds"]),
        stems=tuple(stem["category"] for stem in song["stems"]),
        reused=reused,
    )


def describe(job: Job, parts: dict[str, list[Part]], stems: dict[str, Stem]) -> dict[str, Any]:
    """The content of `song.json`."""
    plan = job.plan
    starts = plan.starts_s
    samples = next(iter(stems.values())).shape[1]
    return {
        "work": plan.id,
        "title": plan.title,
        "genre": plan.family.name,
        "bpm": plan.bpm,
        "key": str(plan.key),
        "beats_per_bar": plan.groove.beats_per_bar,
        "bars": plan.bars,
        "form": plan.form,
        "seed": plan.seed,
        "sections": [
            {"letter": letter, "start_s": round(start, 4), "end_s": round(end, 4)}
            for letter, start, end in zip(plan.form, starts, starts[1:], strict=False)
        ],
        "stems": [
            {
                "file": f"{category}.flac",
                "category": category,
                "name": category.capitalize(),
                "program": some[0].program,
                "enters_s": round(starts[plan.enters[category]], 4),
            }
            for category, some in parts.items()
        ],
        "licence": LICENCE,
        "render": {
            "key": job.key,
            "seconds": round(samples / job.rate, 3),
            "number": plan.number,
            "rate": job.rate,
            "channels": job.channels,
            "sound_font": job.sound_font.name,
            "mma": job.mma,
            "groove": plan.groove.verse,
            "chorus_groove": plan.groove.chorus,
            "chords": {letter: plan.chord_names(letter) for letter in sorted(plan.sections)},
            "programs": {
                category: [part.program for part in some] for category, some in parts.items()
            },
            "room": asdict(plan.room),
        },
    }


def _summarise(
    config: BandsRecipe, made: list[Made], skipped: list[tuple[str, str]]
) -> BandsSummary:
    """The counts of a finished run."""
    hours: dict[str, float] = defaultdict(float)
    for song in made:
        hours[song.genre] += song.seconds / 3600
    return BandsSummary(
        out=config.out,
        rendered=sum(not song.reused for song in made),
        reused=sum(song.reused for song in made),
        hours=round(sum(hours.values()), 3),
        genres={name: round(hours[name], 3) for name in sorted(hours)},
        stems={category: sum(category in song.stems for song in made) for category in CATEGORIES},
        skipped=tuple(sorted(skipped)),
    )
