"""Held-out mixes, the stems that they really had, and what a model makes in their place.

    drawn       (context, target) of songs that were not trained on, no two at the same place; those
                judged and those that they are judged against are of different songs
    made        one stem for every pair by one way of decoding, from one seed per pair
    judged      distance of stems, descriptors of mixes, and whether stems follow their own mixes

All ways of decoding answer the same mixes, so that differences are theirs. Stems are kept as files,
and only what is missing is made.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ritornello.audio.features import silence_ratio
from ritornello.audio.io import read_audio, write_audio
from ritornello.data.stems import Song, StemCorpus, read_stem
from ritornello.data.submix import draw_pair
from ritornello.errors import DataError
from ritornello.evaluation import adherence
from ritornello.evaluation.clips import clips_of
from ritornello.evaluation.embedding import Embedding
from ritornello.evaluation.hearing import Hearing
from ritornello.evaluation.intervals import Estimate
from ritornello.evaluation.judgement import judge
from ritornello.interfaces import Audio, Request
from ritornello.stemgen.config import DecodingConfig
from ritornello.stemgen.generate import StemGen

Progress = Callable[[int, int, str], None]
Figures = dict[str, Estimate]

STEMS, MIXES = "stems", "mixes"
MOST_SILENT = 0.5
"""Share of a context or target that may be silent."""

TRIES = 50
ALL = "all"
"""In place of a split: every song."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A mix to answer, and the stem that it had.

    Attributes:
        name: Of its files.
        song: Where it is from.
        context: The mix without the stem, mono.
        target: The stem.
        category: What it is.
    """

    name: str
    song: str
    context: Audio
    target: Audio
    category: str


def draw_both(
    corpus: StemCorpus, split: str, count: int, seconds: float, sample_rate: int, seed: int
) -> tuple[list[Trial], list[Trial]]:
    """`count` trials that are judged and as many that they are judged against, of other songs.

    Args:
        corpus: Songs.
        split: Those that the model was not trained on; "all" where that is all of them.
        count: Of either.
        seconds: Length of a trial.
        sample_rate: Samples per second.
        seed: Draws songs, places and stems.

    Raises:
        DataError: The split's songs have not as many.
    """
    songs = corpus.songs if split == ALL else corpus.split(split).songs
    long = [song for song in songs if song.seconds >= seconds]
    if len(long) < 2:
        raise DataError(
            f"{len(long)} songs of the split {split!r} last {seconds:g} s; expected some to judge "
            "and others to judge against. Give more songs."
        )
    order = np.random.default_rng(seed).permutation(len(long))
    half = len(long) // 2
    judged, others = ([long[one] for one in part] for part in (order[:half], order[half:]))
    return (
        draw_trials(judged, count, seconds, sample_rate, seed),
        draw_trials(others, count, seconds, sample_rate, seed + 1),
    )


def draw_trials(
    songs: Sequence[Song], count: int, seconds: float, sample_rate: int, seed: int
) -> list[Trial]:
    """`count` trials, spread evenly over the songs, at places of their own.

    Raises:
        DataError: The songs have not as many.
    """
    draw, trials = np.random.default_rng(seed), []
    places = {song.id: _places(song, seconds, draw) for song in songs}
    while len(trials) < count:
        before = len(trials)
        for song in songs:
            if len(trials) < count and places[song.id]:
                start_s = places[song.id].pop()
                trial = _trial(song, start_s, seconds, sample_rate, draw, len(trials))
                trials += [] if trial is None else [trial]
        if len(trials) == before and not any(places.values()):
            raise DataError(
                f"{len(songs)} songs have {len(trials)} places where a mix and a stem sound for "
                f"{seconds:g} s; expected {count}. Ask for fewer."
            )
    return trials


def _places(song: Song, seconds: float, draw: np.random.Generator) -> list[float]:
    """Seconds that excerpts begin at, side by side, in random order."""
    count = int(song.seconds // seconds)
    rest = song.seconds - count * seconds
    starts = draw.uniform(0, rest) + seconds * draw.permutation(count)
    return starts.tolist()


def _trial(
    song: Song,
    start_s: float,
    seconds: float,
    rate: int,
    draw: np.random.Generator,
    number: int,
) -> Trial | None:
    """A pair at a place; None where it is too silent."""
    for _ in range(TRIES):
        pair = draw_pair(draw, len(song.stems))
        waves = [read_stem(song.stems[one], start_s, seconds, rate) for one in pair.context]
        context = np.stack(waves).sum(axis=0, keepdims=True, dtype=np.float32)
        target = read_stem(song.stems[pair.target], start_s, seconds, rate)[None]
        if max(silence_ratio(side, rate) for side in (context, target)) <= MOST_SILENT:
            return Trial(
                name=f"{number:03d}",
                song=song.id,
                context=Audio(samples=context, sample_rate=rate),
                target=Audio(samples=target, sample_rate=rate),
                category=song.stems[pair.target].category,
            )
    return None


# ------------------------------------------------------------------ made


def keep_real(trials: Sequence[Trial], folder: Path) -> None:
    """Write the real stems and their mixes."""
    for trial in trials:
        _keep(folder, trial, trial.target)


def keep_made(
    system: StemGen,
    decoding: DecodingConfig,
    trials: Sequence[Trial],
    folder: Path,
    progress: Progress | None = None,
) -> None:
    """Write what the model answers, for trials that have no answer there yet."""
    player = system.with_decoding(decoding)
    for number, trial in enumerate(trials):
        if progress is not None:
            progress(number, len(trials), folder.name)
        if not (folder / MIXES / f"{trial.name}.flac").exists():
            request = Request(mix=trial.context, stem=trial.category, seed=number)
            _keep(folder, trial, player.generate(request))


def keep_reconstructed(system: StemGen, trials: Sequence[Trial], folder: Path) -> None:
    """Write the real stems through the codec: the best that the model could do."""
    for trial in trials:
        _keep(folder, trial, system.reconstruct(trial.target))


def _keep(folder: Path, trial: Trial, stem: Audio) -> None:
    """The stem, then its mix, each whole or not at all."""
    both = trial.context.samples + stem.samples
    peak = max(1.0, float(np.abs(both).max()))
    for name, samples in ((STEMS, stem.samples), (MIXES, both / peak)):
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        audio = replace(stem, samples=samples.astype(np.float32), meta={})
        write_audio(place / f"{trial.name}.flac", audio)


# ------------------------------------------------------------------ judged


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Real trials that others are judged against.

    Attributes:
        trials: Others than those judged.
        stems: Heard.
        mixes: Heard.
        embeddings: For distances; the first is that of adherence.
        seconds: Of every clip.
    """

    trials: Sequence[Trial]
    stems: Hearing
    mixes: Hearing
    embeddings: Sequence[Embedding]
    seconds: float

    @classmethod
    def kept(
        cls, trials: Sequence[Trial], folder: Path, embeddings: Sequence[Embedding]
    ) -> "Reference":
        """Of real trials that are kept in `folder`."""
        seconds = trials[0].target.duration_s
        sides = {
            name: Hearing(clips_of(folder / name, seconds=seconds, count=None), "reference")
            for name in (STEMS, MIXES)
        }
        return cls(
            trials=trials,
            stems=sides[STEMS],
            mixes=sides[MIXES],
            embeddings=embeddings,
            seconds=seconds,
        )


def judged(trials: Sequence[Trial], folder: Path, reference: Reference) -> Figures:
    """What the metrics say of the stems and mixes of one folder.

    Returns:
        "fad", "kid" of stems with their nulls, "mirdd_open_js" of mixes with its null, and of
        stem and mix together the figures of `evaluation.adherence` with their anchors.
    """
    seconds, draw = reference.seconds, np.random.default_rng(0)
    stems = clips_of(folder / STEMS, seconds=seconds, count=None)
    mixes = clips_of(folder / MIXES, seconds=seconds, count=None)
    of_stems = judge(
        stems,
        reference.stems,
        draw=draw,
        embeddings=reference.embeddings,
        metrics=("fad", "kid"),
    )
    of_mixes = judge(mixes, reference.mixes, draw=draw, metrics=("mirdd",))
    rate = trials[0].target.sample_rate
    pairs = [(trial.context.samples, _read(folder, trial, rate).samples) for trial in trials]
    real = [(trial.context.samples, trial.target.samples) for trial in reference.trials]
    follows = adherence.evaluate(
        pairs,
        rate,
        reference.embeddings[0],
        np.random.default_rng(0),
        reference=real,
        groups=[trial.song for trial in trials],
        reference_groups=[trial.song for trial in reference.trials],
    )
    return {**of_stems.figures, **of_mixes.figures, **follows}


def _read(folder: Path, trial: Trial, rate: int) -> Audio:
    return read_audio(folder / STEMS / f"{trial.name}.flac", sample_rate=rate, channels=1)


def plain(figures: Mapping[str, Estimate]) -> dict[str, Any]:
    """As JSON values."""
    return {name: figure.to_dict() for name, figure in figures.items()}
