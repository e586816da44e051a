"""The sets of clips that the metrics are held to (see `sanity`), written once into a folder.

    held-out recordings, split by work
        half A -> reference
        half B -> piano -> reconstruction (through the codec)
                        -> organ, harp, vibraphone (the same places of the same pieces)
    another folder  -> other
    nothing         -> noise
    the model       -> generator

Conventions
    set      a folder of FLAC files of one length, all at the same loudness, and `index.json`:
             the recording that each is from

A set that is there is not made again: an interrupted run goes on where it was. What cannot be made
is left out, and `Material.missing` says why.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ritornello.audio.io import write_audio
from ritornello.audio.loudness import from_db, integrated_loudness
from ritornello.data.recipes.catalogue import Entry, catalogue
from ritornello.data.recipes.midi import Performance
from ritornello.data.recipes.piano import (
    Job,
    Surveyed,
    Variation,
    draw_variation,
    perform_job,
    survey_file,
    varied,
)
from ritornello.data.recipes.render import (
    BLOCK_S,
    TAIL_S,
    BlockConvolver,
    Instrument,
    Room,
    below_ceiling,
    dry_blocks,
    impulse_response,
)
from ritornello.data.recordings import default_work, side_car_of
from ritornello.errors import AudioError, DataError
from ritornello.evaluation.clips import Clip
from ritornello.evaluation.sanity import LOUDNESS_LUFS
from ritornello.interfaces import Audio

REFERENCE_SHARE = 2
"""Reference clips for each clip of a set: the null needs two halves of the size of a set."""

LEAD_S = 4.0
SAME_LENGTH_S = 0.1
SYNTH_BLOCK = 64
SOFTEST_LUFS = -69.0

Sound = Callable[[], Audio]
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One finished clip on disk, and the recording it counts as."""

    path: Path
    recording: str


def levelled(audio: Audio) -> Audio:
    """`audio` at the loudness that all clips are compared at.

    Raises:
        AudioError: It is silent.
    """
    lufs = integrated_loudness(audio.samples, audio.sample_rate)
    if lufs < SOFTEST_LUFS:
        raise AudioError(f"a clip has {lufs:.1f} LUFS; expected sound: there is nothing to compare")
    gain = np.float32(from_db(LOUDNESS_LUFS - lufs))
    return Audio(samples=audio.samples * gain, sample_rate=audio.sample_rate)


def work_of(clip: Clip) -> str:
    """The piece that a clip is from: as its side-car says, or else its file's name."""
    return side_car_of(clip.path).work or default_work(clip.path.name)


def halves(clips: Sequence[Clip], count: int) -> tuple[list[Clip], list[Clip]]:
    """Reference and set clips of different works, `REFERENCE_SHARE * count` and `count` of them.

    Works go, largest first, to the half that lacks more; within a half the order is the set's, so
    that recordings take turns.

    Raises:
        DataError: Fewer than two works, or too few clips in a half.
    """
    by_work: dict[str, list[Clip]] = {}
    for clip in clips:
        by_work.setdefault(work_of(clip), []).append(clip)
    wanted = (REFERENCE_SHARE * count, count)
    chosen: tuple[set[str], set[str]] = (set(), set())
    taken = [0, 0]
    for work, some in sorted(by_work.items(), key=lambda item: (-len(item[1]), item[0])):
        side = int(taken[1] / wanted[1] < taken[0] / wanted[0])
        chosen[side].add(work)
        taken[side] += len(some)
    sides = [[clip for clip in clips if work_of(clip) in works] for works in chosen]
    if any(len(side) < least for side, least in zip(sides, wanted, strict=True)):
        raise DataError(
            f"{len(by_work)} held-out works give {len(sides[0])} reference clips and "
            f"{len(sides[1])} others; expected {wanted[0]} and {wanted[1]}: give more recordings, "
            "or ask for fewer clips"
        )
    return sides[0][: wanted[0]], sides[1][: wanted[1]]


def write_set(
    folder: Path, sounds: Iterable[tuple[str, Sound]], progress: Progress | None = None
) -> list[Sample]:
    """A set in `folder`: clips that are there are kept, the others made; levelled all of them.

    Args:
        folder: Made when missing.
        sounds: Recording and maker of each clip.
        progress: Called as progress(done, total, name).
    """
    folder.mkdir(parents=True, exist_ok=True)
    pairs = list(sounds)
    samples = []
    for number, (recording, sound) in enumerate(pairs):
        path = folder / f"{number:03d}.flac"
        if not path.exists():
            write_audio(path, levelled(sound()))
        samples.append(Sample(path=path, recording=recording))
        if progress is not None:
            progress(number + 1, len(pairs), folder.name)
    index = json.dumps([sample.recording for sample in samples], indent=1)
    (folder / "index.json").write_text(index + "\n", encoding="utf-8")
    return samples


def of_clips(clips: Sequence[Clip]) -> Iterator[tuple[str, Sound]]:
    """The clips as they are."""
    for clip in clips:
        yield clip.path.stem, clip.read


def of_noise(
    count: int, seconds: float, sample_rate: int, seed: int
) -> Iterator[tuple[str, Sound]]:
    """White noise in two channels."""

    def sound(number: int) -> Audio:
        draw = np.random.default_rng([seed, number])
        samples = 0.1 * draw.standard_normal((2, round(seconds * sample_rate)), dtype=np.float32)
        return Audio(samples=samples, sample_rate=sample_rate)

    for number in range(count):
        yield f"noise {number}", lambda number=number: sound(number)


def of_instrument(
    clips: Sequence[Clip], program: int, midi: Mapping[str, Entry], sound_font: Path
) -> Iterator[tuple[str, Sound]]:
    """The same places of the same performances in the same rooms, on another instrument.

    Args:
        clips: Places in files that the piano recipe rendered.
        program: General MIDI program, counted from 0.
        midi: MIDI files, as `midi_files` gives them.
        sound_font: A General MIDI sound font.
    """
    for clip in clips:
        yield clip.path.stem, lambda clip=clip: played(clip, program, midi, sound_font)


def midi_files(folders: Sequence[Path]) -> dict[str, Entry]:
    """MIDI files by their path within their folder, as the recipe's side-cars call them."""
    return {entry.relative: entry for folder in folders for entry in catalogue(folder)}


def played(clip: Clip, program: int, midi: Mapping[str, Entry], sound_font: Path) -> Audio:
    """A place of a rendered piece, played again by `program`.

    Raises:
        DataError: The file was not rendered from one of these MIDI files.
    """
    performance, variation, rate_hz = performed(clip.path, midi, sound_font)
    # The synthesiser acts at multiples of its block: an excerpt off that grid has other phases.
    blocks = int(max(0.0, clip.start_s - LEAD_S) * rate_hz) // SYNTH_BLOCK
    begin_s = blocks * SYNTH_BLOCK / rate_hz
    wave = sounded(
        excerpt(performance, begin_s, clip.start_s + clip.seconds),
        Instrument(sound_font, rate_hz, program=program, tuning_cents=variation.tuning_cents),
        variation.room,
        rate_hz,
    )
    start, time = round((clip.start_s - begin_s) * rate_hz), round(clip.seconds * rate_hz)
    piece = wave[:, start : start + time]
    return Audio(samples=np.pad(piece, ((0, 0), (0, time - piece.shape[1]))), sample_rate=rate_hz)


def rendered_from(audio: Path, midi: Mapping[str, Entry]) -> tuple[Mapping[str, Any], str]:
    """How the piano recipe rendered the file `audio`, and the name of its MIDI file in `midi`.

    Raises:
        DataError: It has no side-car of the recipe, or its MIDI file is not among `midi`.
    """
    try:
        told = json.loads(audio.with_suffix(".json").read_text(encoding="utf-8"))
        render, source = told["render"], told["source"].partition("/")[2]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{audio.name} has no side-car of the piano recipe ({error!r})") from error
    if source not in midi:
        raise DataError(
            f"{audio.name} was rendered from {source}, which is in none of the folders of MIDI; "
            "give those that the recipe was given, not a folder around them"
        )
    return render, source


def performed(
    audio: Path, midi: Mapping[str, Entry], sound_font: Path
) -> tuple[Performance, Variation, int]:
    """What the piano recipe played into the file `audio`: performance, variation and rate.

    Raises:
        DataError: It has no side-car of the recipe, its MIDI file is not among `midi`, or gives
            another length.
    """
    render, source = rendered_from(audio, midi)
    piece = survey_file(midi[source])
    if not isinstance(piece, Surveyed):
        raise DataError(f"{source} cannot be read: {piece[1]}")
    job = Job(
        piece=piece,
        number=render["number"],
        stem=audio.stem,
        composer_label="",
        sound_font=sound_font,
        out=audio.parent,
        rate=render["rate"],
        seed=render["seed"],
    )
    performance, _ = perform_job(job)
    variation = draw_variation(job, performance)
    performance = varied(performance, variation)
    if abs(performance.duration_s + TAIL_S - render["seconds"]) > SAME_LENGTH_S:
        raise DataError(
            f"{source} lasts {performance.duration_s + TAIL_S:.1f} s, {audio.name} "
            f"{render['seconds']:.1f} s: the MIDI file or the recipe has changed since"
        )
    return performance, variation, render["rate"]


def excerpt(performance: Performance, begin_s: float, end_s: float) -> Performance:
    """What sounds between two moments, from zero on; keys held at the beginning are pressed there.

    Raises:
        DataError: Nothing is pressed then.
    """
    heard = (performance.offset > begin_s) & (performance.onset < end_s)
    if not heard.any():
        raise DataError(f"no key is down between {begin_s:.1f} s and {end_s:.1f} s")
    pedal = performance.pedal[performance.pedal[:, 0] < end_s].copy()
    pedal = pedal[max(0, int(np.sum(pedal[:, 0] <= begin_s)) - 1) :]  # the foot is where it was
    pedal[:, 0] = np.maximum(pedal[:, 0] - begin_s, 0.0)
    return replace(
        performance,
        onset=np.maximum(performance.onset[heard] - begin_s, 0.0),
        offset=performance.offset[heard] - begin_s,
        pitch=performance.pitch[heard],
        velocity=performance.velocity[heard],
        pedal=pedal,
    )


def sounded(
    performance: Performance, instrument: Instrument, room: Room, rate_hz: int
) -> Float[np.ndarray, "2 time"]:
    """The performance in its room; the instrument is used up."""
    convolve = BlockConvolver(impulse_response(room, rate_hz), int(BLOCK_S * rate_hz))
    try:
        blocks = [
            below_ceiling(convolve(dry)) for dry in dry_blocks(performance, instrument, rate_hz)
        ]
    finally:
        instrument.close()
    return np.concatenate(blocks, axis=1)
