"""One run of the sanity table: material, then figures, then verdicts; goes on after a break.

Everything is kept in one folder: the sets of clips (`sets`), what was heard of them (`heard`), and,
where no held-out piano was given, the piano recipe's renders of music21's keyboard works (`piano`),
so that anyone can repeat the table.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ritornello.data.recipes.piano import PianoRecipe, make_piano
from ritornello.data.recipes.render import find_sound_font, load_fluidsynth
from ritornello.errors import ConfigError, DataError, MissingDependencyError
from ritornello.evaluation import sanity_material as material
from ritornello.evaluation import sanity_measures as measures
from ritornello.evaluation.clips import Clip, clips_of
from ritornello.evaluation.embedding import Embedding
from ritornello.evaluation.patches import LEAST_ITEMS
from ritornello.evaluation.sanity import CLIP_S, CLIPS, GRADES, INSTRUMENTS, LOUDNESS_LUFS, SEED
from ritornello.evaluation.sanity_material import Sample, Sound
from ritornello.evaluation.sanity_table import SanityTable
from ritornello.interfaces import Audio

CANDIDATES = 6
"""Clips looked at for each clip of a set: three are needed, and the halves are of unequal works."""

SAME_CLIPS = ("reconstruction",)
"""Sets, beside the instruments, that hold the piano's own clips."""

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is compared with what.

    Attributes:
        folder: Where everything is kept.
        reference: Folder or manifest of held-out piano; None renders some.
        split: Split of the manifest that is held out.
        midi: Folders of MIDI that the reference was rendered from.
        other: Folder of other music, or None.
        sound_font: General MIDI sound font; None takes an installed one.
        clips: Clips of each set.
        notes: Whether to describe notes, keys and beats: most of the time.
    """

    folder: Path
    reference: Path | None = None
    split: str | None = None
    midi: tuple[Path, ...] = ()
    other: Path | None = None
    sound_font: Path | None = None
    clips: int = CLIPS
    notes: bool = True

    @property
    def held_out(self) -> str | None:
        """The split that clips are taken from: of a manifest the validation split, if not told."""
        is_manifest = self.reference is not None and self.reference.is_file()
        return "valid" if is_manifest and self.split is None else self.split

    def settings(self) -> dict[str, Any]:
        """What decides the figures, as plain JSON values."""
        return {
            "reference": "music21's keyboard works, rendered"
            if self.reference is None
            else str(self.reference.resolve()),
            "split": self.held_out,
            "midi_sha256": _hash_of_midi(self.midi) if self.midi else None,
            "other": None if self.other is None else str(self.other.resolve()),
            "sound_font": self._sound_font(),
            "notes": self.notes,
            "clips": self.clips,
            "seconds": CLIP_S,
            "seed": SEED,
            "loudness_lufs": LOUDNESS_LUFS,
        }

    def _sound_font(self) -> str | None:
        """Name and hash of the sound font, None where nothing is rendered or there is none."""
        if self.reference is not None and not self.midi:
            return None
        try:
            font = find_sound_font(self.sound_font)
        except MissingDependencyError:
            return None
        with font.open("rb") as file:
            return f"{font.name} {hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"


def _hash_of_midi(folders: Sequence[Path]) -> str:
    """The hash of all MIDI files below `folders`: their names there and what they hold."""
    whole = hashlib.sha256()
    for name, entry in sorted(material.midi_files(folders).items()):
        whole.update(f"{name}\n".encode())
        whole.update(hashlib.sha256(entry.path.read_bytes()).digest())
    return whole.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Voices:
    """What the model lends to the table; evaluation knows no models.

    Attributes:
        sample_rate: Rate of the model, for the noise.
        reconstruct: Audio through the codec and back.
        take: A piece of some seconds from a seed.
        trained_on: Works that the model has learnt from, which are not held out.
        embeddings: musicnn first, then the codec.
    """

    sample_rate: int
    reconstruct: Callable[[Audio], Audio]
    take: Callable[[int, float], Audio]
    trained_on: frozenset[str]
    embeddings: tuple[Embedding, ...]


def check(plan: Plan) -> None:
    """Refuse a plan that cannot become a table, before anything is made or written.

    Raises:
        ConfigError: Too few clips, or a sound font that is not there.
        DataError: A folder without what it should hold, or not the MIDI of the reference.
        MissingDependencyError: What renders the default material is not installed.
    """
    if plan.clips < LEAST_ITEMS:
        raise ConfigError(f"--clips is {plan.clips}; expected at least {LEAST_ITEMS}")
    if plan.reference is None:
        load_fluidsynth()
    if plan.reference is None or plan.sound_font is not None:
        find_sound_font(plan.sound_font)
    kept = plan.folder.resolve()
    for source, split in ((plan.reference, plan.held_out), (plan.other, None)):
        if source is None:
            continue
        if source.is_dir() and kept.is_relative_to(source.resolve()):
            raise ConfigError(
                f"{plan.folder} is inside {source}, whose music would then be its own clips; give "
                "another folder"
            )
        clips_of(source, seconds=CLIP_S, count=1, seed=SEED, split=split)
    if plan.midi:
        files = material.midi_files(plan.midi)
        if plan.reference is not None:
            some = clips_of(plan.reference, seconds=CLIP_S, count=1, seed=SEED, split=plan.held_out)
            material.rendered_from(some[0].path, files)


def run(plan: Plan, voices: Voices, progress: Progress | None = None) -> SanityTable:
    """The table that `plan` describes.

    Raises:
        DataError: Too little held-out piano.
        MissingDependencyError: What renders the default material is not installed.
    """
    reference, sets, missing = make_sets(plan, voices, progress)
    heard = {
        name: _heard(plan, voices, name, samples, progress)
        for name, samples in {"reference": reference, **sets}.items()
    }
    figures: dict[str, dict[str, Any]] = {}
    for done, name in enumerate(sets):
        if progress is not None:
            progress(done, len(sets), f"figures of {name}")
        for metric, figure in measures.figures_of(heard[name], heard["reference"]).items():
            base = metric.removesuffix("_null")
            figures.setdefault(base, {})[name if base == metric else "null"] = figure
    alike = [name for name in (*SAME_CLIPS, *INSTRUMENTS) if name in sets]
    gaps = {name: _gaps(heard[name], heard) for name in alike}
    damaged: dict[str, dict[str, list[Any]]] = {}
    for kind, amounts in GRADES.items():
        for amount in amounts:
            spoilt = _heard(plan, voices, "piano", sets["piano"], progress, (kind, amount))
            gaps[f"{kind} {amount:g}"] = _gaps(spoilt, heard)
            for metric, figure in measures.figures_of(spoilt, heard["reference"]).items():
                if not metric.endswith("_null"):
                    damaged.setdefault(metric, {}).setdefault(kind, []).append(figure)
    warnings = measures.warnings(heard["piano"], heard["reference"])
    return SanityTable(
        figures=figures,
        damaged=damaged,
        gaps=gaps,
        missing=missing,
        settings=plan.settings(),
        warnings=tuple(warnings),
    )


def _gaps(
    made: Sequence[measures.Heard], heard: Mapping[str, Sequence[measures.Heard]]
) -> dict[str, Any]:
    """How much further than the undamaged piano the same clips stand, by each embedding's FAD."""
    names = zip(("fad", "fad_codec"), made[0].patches, strict=False)
    return {
        metric: measures.gap(made, heard["piano"], heard["reference"], name)
        for metric, name in names
    }


def _heard(
    plan: Plan,
    voices: Voices,
    name: str,
    samples: Sequence[Sample],
    progress: Progress | None,
    damage: tuple[str, float] | None = None,
) -> list[measures.Heard]:
    """One set, as it is or damaged, from the folder where it was heard before."""
    folder = name if damage is None else f"{damage[0]}-{damage[1]:g}"
    return measures.hear_set(
        samples,
        voices.embeddings,
        plan.folder / "heard" / folder,
        notes=plan.notes,
        damaged=None if damage is None else (lambda number: measures.damage(*damage, number)),
        progress=progress,
    )


def make_sets(
    plan: Plan, voices: Voices, progress: Progress | None
) -> tuple[list[Sample], dict[str, list[Sample]], dict[str, str]]:
    """The reference, the sets that could be made, and why the others could not."""
    source, midi = plan.reference, plan.midi
    if source is None:
        source, midi = _rendered(plan, progress), (plan.folder / "piano" / ".midi",)
    count = CANDIDATES * plan.clips
    clips = clips_of(source, seconds=CLIP_S, count=count, seed=SEED, split=plan.held_out)
    unheard = [clip for clip in clips if material.work_of(clip) not in voices.trained_on]
    half, other_half = material.halves(unheard, plan.clips)

    def written(name: str, sounds: Iterable[tuple[str, Sound]]) -> list[Sample]:
        return material.write_set(plan.folder / "sets" / name, sounds, progress)

    reference = written("reference", material.of_clips(half))
    sets = {
        "piano": written("piano", material.of_clips(other_half)),
        "reconstruction": written(
            "reconstruction",
            (
                (clip.path.stem, lambda clip=clip: voices.reconstruct(clip.read()))
                for clip in other_half
            ),
        ),
    }
    missing: dict[str, str] = {}
    try:
        for name, sounds in _instruments(plan, other_half, midi).items():
            sets[name] = written(name, sounds)
    except (DataError, MissingDependencyError) as error:
        missing |= dict.fromkeys(set(INSTRUMENTS) - set(sets), str(error))
    if plan.other is None:
        missing["other"] = "no other music: give a folder with --other"
    else:
        music = clips_of(plan.other, seconds=CLIP_S, count=plan.clips, seed=SEED)
        if len(music) < plan.clips:
            missing["other"] = f"{plan.other} has {len(music)} clips; expected {plan.clips}"
        else:
            sets["other"] = written("other", material.of_clips(list(music)))
    sets["noise"] = written(
        "noise", material.of_noise(plan.clips, CLIP_S, voices.sample_rate, SEED)
    )
    sets["generator"] = written(
        "generator",
        (
            (f"take {number}", lambda number=number: voices.take(SEED + number, CLIP_S))
            for number in range(plan.clips)
        ),
    )
    return reference, sets, missing


def _instruments(
    plan: Plan, clips: Sequence[Clip], midi: Sequence[Path]
) -> dict[str, Iterable[tuple[str, Sound]]]:
    """Makers of the same places on every other instrument.

    Raises:
        DataError: No MIDI was given.
        MissingDependencyError: No FluidSynth or no sound font.
    """
    if not midi:
        raise DataError("no MIDI that the reference was rendered from: give its folder with --midi")
    load_fluidsynth()
    sound_font = find_sound_font(plan.sound_font)
    files = material.midi_files(midi)
    return {
        name: material.of_instrument(clips, program, files, sound_font)
        for name, program in INSTRUMENTS.items()
    }


def _rendered(plan: Plan, progress: Progress | None) -> Path:
    """The folder of the piano recipe's renders of music21's keyboard works, made when missing."""
    recipe = PianoRecipe(
        out=plan.folder / "piano", soundfont=plan.sound_font, seed=SEED, renders=1, workers=1
    )
    make_piano(recipe, progress=progress)
    return recipe.out
