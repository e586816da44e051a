"""The piano recipe: any folder of MIDI becomes a dataset of rendered solo piano.

    MIDI -> Piece -> Performance -> variation -> sampled piano in a room -> FLAC + JSON side-car

Human performances are played as they are, scores with the rules of `recipes.expression`. Every
piece is rendered several times. The first render is the piece in its own key; each further one has
another expression, room, key, tempo, touch and tuning. The same recipe writes the same bytes, for
any number of workers, and a second run makes only what is missing or was made otherwise.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ritornello.data.recipes.catalogue import (
    Entry,
    catalogue,
    composer_buckets,
    slug,
)
from ritornello.data.recipes.expression import EXPRESSION_VERSION, perform
from ritornello.data.recipes.midi import (
    KEYBOARD,
    Performance,
    as_played,
    is_performance,
    load_mido,
    read_midi,
    to_seconds,
)
from ritornello.data.recipes.render import (
    Room,
    draw_room,
    find_sound_font,
    load_fluidsynth,
    render,
)
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

Kind = Literal["performance", "score"]


@dataclass(frozen=True, kw_only=True)
class PianoRecipe:
    """What to render, and how.

    Attributes:
        out: Folder for the audio; made when missing.
        midi: Folders of MIDI files; none means the keyboard works in music21's corpus.
        hours: Stop planning when this much music is planned; None renders everything.
        rate: Sample rate of the files, Hz.
        soundfont: General MIDI sound font; None takes an installed one.
        seed: Draws expression, rooms, keys and the order.
        renders: Renders per piece.
        workers: Processes; 0 means one per core.
    """

    out: Path
    midi: tuple[Path, ...] = ()
    hours: float | None = None
    rate: int = 44100
    soundfont: Path | None = None
    seed: int = 0
    renders: int = 2
    workers: int = 0

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        if self.hours is not None and not 0 < self.hours < float("inf"):
            raise ConfigError(f"hours is {self.hours}; expected a positive number")
        if self.rate not in RATES:
            raise ConfigError(f"rate is {self.rate}; expected one of {', '.join(map(str, RATES))}")
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; expected a whole number >= 0")
        if self.renders < 1:
            raise ConfigError(f"renders is {self.renders}; expected at least 1")
        if self.workers < 0:
            raise ConfigError(f"workers is {self.workers}; expected 0 (one per core) or more")


@dataclass(frozen=True, kw_only=True)
class PianoSummary:
    """What `make_piano` did.

    Attributes:
        out: The dataset.
        rendered: Files made now.
        reused: Files found finished, made by the same recipe.
        hours: Music in the files made or found.
        works: Different works among them.
        composers: Hours per composer label.
        skipped: (file, reason) of the MIDI files that could not be used.
    """

    out: Path
    rendered: int
    reused: int
    hours: float
    works: int
    composers: dict[str, float]
    skipped: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Variation:
    """How one render of a piece differs from the piece.

    Attributes:
        transpose: Semitones.
        tempo: Factor of the speed.
        touch: Exponent of the velocity curve; above 1 softens the soft notes.
        tuning_cents: Tuning of the whole piano.
        room: The room.
    """

    transpose: int
    tempo: float
    touch: float
    tuning_cents: float
    room: Room


@dataclass(frozen=True, kw_only=True)
class Surveyed:
    """A MIDI file that can be rendered: its entry, kind, nominal length and content hash."""

    entry: Entry
    kind: Kind
    seconds: float
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Job:
    """One file to make; everything a worker needs to know."""

    piece: Surveyed
    number: int
    stem: str
    composer_label: str
    sound_font: Path
    out: Path
    rate: int
    seed: int

    @property
    def key(self) -> str:
        """Hash of all that decides the bytes of the file."""
        settings = {
            "recipe": RECIPE_VERSION,
            "expression": EXPRESSION_VERSION if self.piece.kind == "score" else None,
            "midi": self.piece.sha256,
            "sound_font": [self.sound_font.name, self.sound_font.stat().st_size],
            "rate": self.rate,
            "seed": self.seed,
            "number": self.number,
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Made(Rendered):
    """A finished file."""

    job: Job


def make_piano(config: PianoRecipe, *, progress: Progress | None = None) -> PianoSummary:
    """Render the dataset that `config` describes, or what of it is missing.

    Raises:
        DataError: No MIDI file was found, or none of them could be read.
        MissingDependencyError: FluidSynth, a sound font, mido or music21 is not installed.
        KeyboardInterrupt: After cleaning up; finished files stay and are found again.
    """
    load_fluidsynth()
    load_mido()  # before the workers need it, so that its absence is one clear error
    sound_font = find_sound_font(config.soundfont)
    config.out.mkdir(parents=True, exist_ok=True)
    entries = _entries(config)
    with tidy_workers(config.workers, [config.out]) as workers:
        surveyed, unusable = _survey(entries, workers)
        jobs = plan(surveyed, config, sound_font)
        made, failed = gathered(workers.unordered(make_file, jobs), Made, len(jobs), progress)
    return _summarise(config, made, unusable + failed)


def _entries(config: PianoRecipe) -> list[Entry]:
    """All MIDI files of the recipe."""
    if config.midi:
        return [entry for folder in config.midi for entry in catalogue(folder)]
    from ritornello.data.recipes.corpus_works import write_corpus_works

    folder = config.out / ".midi"  # hidden, so that a scan for audio does not look at it
    write_corpus_works(folder)
    return catalogue(folder)


def _survey(entries: list[Entry], workers: Workers) -> tuple[list[Surveyed], list[tuple[str, str]]]:
    """The usable files in an order that does not depend on workers, (file, reason) of the rest."""
    results = list(workers.unordered(survey_file, entries))
    surveyed = [result for result in results if isinstance(result, Surveyed)]
    skipped = sorted(result for result in results if not isinstance(result, Surveyed))
    if not surveyed:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped[:3])
        raise DataError(f"none of {len(entries)} MIDI files can be used ({reasons})")
    return sorted(surveyed, key=lambda piece: (piece.sha256, piece.entry.relative)), skipped


def survey_file(entry: Entry) -> Surveyed | tuple[str, str]:
    """What is in a MIDI file, or (file, reason) when it cannot be used."""
    try:
        piece = read_midi(entry.path)
    except DataError as error:
        return entry.relative, str(error)
    played = is_performance(piece)
    seconds = (
        as_played(piece).duration_s if played else float(to_seconds(piece.offset, piece.tempo)[-1])
    )
    return Surveyed(
        entry=entry,
        kind="performance" if played else "score",
        seconds=seconds,
        sha256=hashlib.sha256(entry.path.read_bytes()).hexdigest(),
    )


def plan(surveyed: list[Surveyed], config: PianoRecipe, sound_font: Path) -> list[Job]:
    """The files to make, in an order whose beginning is already a good dataset.

    First every performance once, then every score once, then the further renders, mixed. Within a
    pass the order is drawn with the seed, so that the first hours hold many composers.
    """
    labels = composer_buckets(
        (piece.entry for piece in surveyed),
        {piece.entry.path: piece.seconds for piece in surveyed},
    )
    stems = _stems(surveyed)

    def order(item: tuple[int, Surveyed]) -> tuple[Any, ...]:
        number, piece = item
        drawn = hashlib.sha256(f"{config.seed}/{piece.sha256}".encode()).hexdigest()
        first_pass_kind = piece.kind if number == 1 else ""
        return number, first_pass_kind, drawn, piece.entry.relative

    items = sorted(
        ((number, piece) for number in range(1, config.renders + 1) for piece in surveyed),
        key=order,
    )
    jobs, seconds = [], 0.0
    for number, piece in items:
        if config.hours is not None and seconds >= config.hours * 3600:
            break
        seconds += piece.seconds
        jobs.append(
            Job(
                piece=piece,
                number=number,
                stem=f"{stems[piece.entry.path]}__r{number}",
                composer_label=labels[piece.entry.composer],
                sound_font=sound_font,
                out=config.out,
                rate=config.rate,
                seed=config.seed,
            )
        )
    return jobs


def _stems(surveyed: Iterable[Surveyed]) -> dict[Path, str]:
    """Safe file names COMPOSER__WORK__TITLE; those that collide get a piece of their hash."""
    by_name: dict[str, list[Surveyed]] = defaultdict(list)
    for piece in surveyed:
        who = slug(piece.entry.composer)
        work = piece.entry.work.removeprefix(f"{who}-")
        by_name[f"{who}__{slug(work)}__{slug(piece.entry.title)}"].append(piece)
    return {
        piece.entry.path: name if len(pieces) == 1 else f"{name}-{_short_hash(piece)}"
        for name, pieces in by_name.items()
        for piece in pieces
    }


def _short_hash(piece: Surveyed) -> str:
    text = f"{piece.sha256}/{piece.entry.source}/{piece.entry.relative}"
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def make_file(job: Job) -> Made | tuple[str, str]:
    """Make one file and its side-car, unless they are there; (file, reason) when it cannot be.

    The audio is renamed into place last: a FLAC file that exists is whole and has its side-car.
    """
    audio, sidecar = job.out / f"{job.stem}.flac", job.out / f"{job.stem}.json"
    render_before = _finished(audio, sidecar)
    if render_before is not None and render_before.get("key") == job.key:
        _write_sidecar(sidecar, job, render_before)  # labels may have changed with the collection
        return Made(name=job.stem, job=job, seconds=float(render_before["seconds"]), reused=True)
    part = job.out / f".{job.stem}.flac{PART_SUFFIX}"
    try:
        performance, described = perform_job(job)
        variation = draw_variation(job, performance)
        measured = render(
            varied(performance, variation),
            part,
            sound_font=job.sound_font,
            rate_hz=job.rate,
            room=variation.room,
            tuning_cents=variation.tuning_cents,
            stopped=stop_asked,
        )
        audio.unlink(missing_ok=True)
        _write_sidecar(
            sidecar,
            job,
            {
                "key": job.key,
                "kind": job.piece.kind,
                "number": job.number,
                "seed": job.seed,
                "rate": job.rate,
                "sound_font": job.sound_font.name,
                **measured,
                "variation": asdict(variation),
                "expression": described,
            },
        )
        part.rename(audio)
    except DataError as error:
        return job.piece.entry.relative, str(error)
    finally:
        part.unlink(missing_ok=True)
    return Made(name=job.stem, job=job, seconds=measured["seconds"], reused=False)


def _finished(audio: Path, sidecar: Path) -> dict[str, Any] | None:
    """The "render" part of the side-car of a finished file."""
    if not (audio.is_file() and sidecar.is_file()):
        return None
    try:
        return json.loads(sidecar.read_text(encoding="utf-8"))["render"]
    except (ValueError, KeyError):
        return None


def _write_sidecar(path: Path, job: Job, rendered: Mapping[str, Any]) -> None:
    """Write the side-car whole or not at all."""
    entry = job.piece.entry
    content = {
        "work": entry.work,
        "title": entry.title,
        "composer": entry.composer,
        "labels": {"composer": job.composer_label},
        "source": f"{entry.source}/{entry.relative}",
        "licence": entry.licence,
        "render": rendered,
    }
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    part = path.with_name(f".{path.name}{PART_SUFFIX}")
    part.write_text(text, encoding="utf-8")
    part.rename(path)


def _draw_for(job: Job, purpose: str) -> np.random.Generator:
    """The generator of one decision about one render, the same on every run and machine."""
    text = f"{job.seed}/{job.piece.sha256}/{job.number}/{purpose}"
    return np.random.default_rng(int(hashlib.sha256(text.encode()).hexdigest()[:32], 16))


def perform_job(job: Job) -> tuple[Performance, dict[str, Any]]:
    """The job's piece as played, and how the expression was drawn where the piece is a score."""
    piece = read_midi(job.piece.entry.path)
    if job.piece.kind == "performance":
        return as_played(piece), {}
    composer = job.piece.entry.composer
    performance, style = perform(piece, composer, _draw_for(job, "expression"))
    return performance, asdict(style)


def draw_variation(job: Job, performance: Performance) -> Variation:
    """How the render with this number differs; the first one only has its room."""
    draw = _draw_for(job, "variation")
    room = draw_room(draw)
    if job.number == 1:
        return Variation(transpose=0, tempo=1.0, touch=1.0, tuning_cents=0.0, room=room)
    steps = [
        step
        for step in (-3, -2, -1, 1, 2, 3)
        if KEYBOARD[0] <= performance.pitch.min() + step
        and performance.pitch.max() + step <= KEYBOARD[1]
    ]
    return Variation(
        transpose=int(draw.choice(steps)) if steps else 0,
        tempo=float(np.exp(draw.uniform(-0.05, 0.05))),
        touch=float(np.exp(draw.uniform(-0.25, 0.25))),
        tuning_cents=float(draw.uniform(-8, 8)),
        room=room,
    )


def varied(performance: Performance, variation: Variation) -> Performance:
    """`performance` in another key, tempo and touch."""
    pedal = performance.pedal.copy()
    pedal[:, 0] /= variation.tempo
    return replace(
        performance,
        onset=performance.onset / variation.tempo,
        offset=performance.offset / variation.tempo,
        pitch=performance.pitch + variation.transpose,
        velocity=127 * (performance.velocity / 127) ** variation.touch,
        pedal=pedal,
    )


def _summarise(
    config: PianoRecipe, made: list[Made], skipped: list[tuple[str, str]]
) -> PianoSummary:
    """The counts of a finished run."""
    hours: dict[str, float] = defaultdict(float)
    for file in made:
        hours[file.job.composer_label] += file.seconds / 3600
    return PianoSummary(
        out=config.out,
        rendered=sum(not file.reused for file in made),
        reused=sum(file.reused for file in made),
        hours=round(sum(hours.values()), 3),
        works=len({file.job.piece.entry.work for file in made}),
        composers={name: round(hours[name], 3) for name in sorted(hours)},
        skipped=tuple(skipped),
    )
