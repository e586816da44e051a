"""Two sets of clips before any metric: can they be compared, and what is heard of each clip?

Conventions
    generated, reference   clips of one length; the reference best has twice as many, because
                           metrics compare equal numbers and split the reference for their null
    sample_rate            what is made by hand is measured at the lower of the two sides' rates
    row                    what was measured of one clip, as plain JSON values

Nothing is brought to one level or bandwidth: where the sets differ in it, a warning says so,
because part of every distance is then that difference.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ritornello.audio.io import probe
from ritornello.errors import DataError
from ritornello.evaluation import excerpts, onsets, stereo
from ritornello.evaluation.clips import Clip, ClipSet
from ritornello.evaluation.patches import LEAST_ITEMS
from ritornello.evaluation.spectra import decibels, power, power_of_two_near
from ritornello.interfaces import Audio

PIECES = 4
"""Parts of a clip, for features that are told over time."""

FEW_CLIPS = 16
LEVEL_GAP_DB = 6.0
BANDWIDTH_SHARE = 0.8
BANDWIDTH_DB = 80.0
BANDWIDTH_FFT_S = 0.0464
LEVELS = ("loudness_dbfs", "bandwidth_hz")

Progress = Callable[[int, int, str], None]
Row = dict[str, Any]


def validate(generated: Sequence[Clip], reference: Sequence[Clip]) -> None:
    """Refuse sets that cannot be held against each other.

    Raises:
        DataError: An empty set, or clips of different lengths.
    """
    counts = len(generated), len(reference)
    if min(counts) < 1:
        raise DataError(
            f"got {counts[0]} generated and {counts[1]} reference clips; expected at least one of "
            "each"
        )
    lengths = {clip.seconds for clip in (*generated, *reference)}
    if len(lengths) > 1:
        raise DataError(f"clips last {sorted(lengths)} s; expected one length on both sides")


@dataclass(frozen=True, kw_only=True)
class Side:
    """What the files of one set say of themselves."""

    source: str
    clips: int
    recordings: int
    seconds: float
    sample_rates: tuple[int, ...]
    channels: tuple[int, ...]
    skipped: int
    sha256: str


def side_of(clips: ClipSet) -> Side:
    """Counts, formats and a hash of which excerpts of which recordings the set holds."""
    files = sorted({clip.path for clip in clips})
    told = [probe(path) for path in files]
    places = [[clip.name, clip.start_s, clip.seconds] for clip in clips]
    return Side(
        source=str(clips.source),
        clips=len(clips),
        recordings=len(files),
        seconds=clips[0].seconds,
        sample_rates=tuple(sorted({info.sample_rate for info in told})),
        channels=tuple(sorted({info.channels for info in told})),
        skipped=len(clips.skipped),
        sha256=hashlib.sha256(json.dumps(places).encode()).hexdigest(),
    )


def worth(generated: Side, reference: Side) -> list[str]:
    """Warnings that the two sets' sizes and formats call for."""
    warnings = []
    size = min(generated.clips, reference.clips // 2)
    if size < FEW_CLIPS:
        warnings.append(
            f"Distances compare {counted(size, 'clip')} a side, the smaller of the generated clips "
            f"and half of the reference: intervals are wide. From {FEW_CLIPS} on they mean "
            "something."
        )
    for what, side in (("generated", generated), ("reference", reference)):
        if side.recordings < min(side.clips, LEAST_ITEMS):
            # In the words of the distances, so that the number is told once.
            warnings.append(
                f"{what}: {side.recordings} recordings only, so that every clip counts as "
                "independent: the intervals are too narrow and the null is too near"
            )
        elif side.recordings < side.clips:
            warnings.append(
                f"The {side.clips} {what} clips come from {side.recordings} recordings: those of "
                "one recording are alike, and the intervals narrower than they should be."
            )
    rates = {*generated.sample_rates, *reference.sample_rates}
    if len(rates) > 1:
        warnings.append(
            f"Sample rates differ ({', '.join(map(str, sorted(rates)))} Hz): hand-made figures are "
            f"measured at {min(rates)} Hz on both sides, and do not hear what lies above."
        )
    if generated.channels != reference.channels:
        warnings.append(
            f"Channels differ ({generated.channels} and {reference.channels}): all but the stereo "
            "figures are measured on their mean."
        )
    return warnings


def shared(generated: ClipSet, reference: ClipSet) -> list[str]:
    """A warning when both sets hold clips of the same recordings."""
    both = set(generated.recordings) & set(reference.recordings)
    if not both:
        return []
    return [
        f"{counted(len(both), 'recording')} on both sides: distances say nothing of music made "
        "anew where the same is compared with itself."
    ]


def counted(number: int, thing: str) -> str:
    """A number of things, as one says it: `1 clip`, `2 clips`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


# ---- what is measured of each clip -----------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Heard:
    """One clip, measured: hand-made features of its parts, its row, and its width."""

    features: np.ndarray
    row: Row
    width: dict[str, float] | None


def bandwidth_hz(audio: Audio) -> float:
    """The highest frequency whose mean power is within 80 dB of the strongest one's."""
    n_fft = power_of_two_near(BANDWIDTH_FFT_S, audio.sample_rate)
    frames = power(audio.samples.mean(axis=0), n_fft, n_fft // 2)
    # The frames that reach beyond the ends hear the cut, which is a click of all frequencies.
    whole = frames[:, 1:-2] if frames.shape[1] > 4 else frames
    levels = decibels(whole.mean(axis=-1), -200.0)
    return float(np.flatnonzero(levels > levels.max() - BANDWIDTH_DB)[-1]) * (
        audio.sample_rate / n_fft
    )


def hear(clip: Clip, what: str, sample_rate: int) -> Heard:
    """Everything made by hand of one clip.

    Args:
        clip: The clip, read once at `sample_rate`.
        what: "generated" or "reference".
        sample_rate: Rate of all hand-made measurements.

    Raises:
        AudioError: The clip cannot be read.
    """
    audio = clip.read(sample_rate=sample_rate)
    parts = np.array_split(audio.samples, PIECES, axis=1)
    features = excerpts.describe_all(list(parts), sample_rate)
    mean_square = float(np.mean(audio.samples.astype(np.float64) ** 2))
    row = {
        "set": what,
        "clip": clip.name,
        "start_s": clip.start_s,
        "loudness_dbfs": float(decibels(np.array([mean_square]), -120.0)[0]),
        "bandwidth_hz": bandwidth_hz(audio),
        "onset_rate_hz": onsets.onset_rate_hz(audio.samples, sample_rate),
        "chroma": features[:, : excerpts.GROUPS["chroma"]].mean(axis=0).round(5).tolist(),
    }
    width = stereo.evaluate(audio.samples, sample_rate) if audio.channels == 2 else None
    return Heard(features=features, row=row | (width or {}), width=width)


def tell(progress: Progress | None, done: int, total: int, what: str) -> None:
    """Report progress to whoever wants to know."""
    if progress is not None:
        progress(done, total, what)


def hear_all(clips: ClipSet, what: str, rate: int, progress: Progress | None) -> list[Heard]:
    """Everything made by hand of one side's clips, read one at a time."""
    heard = []
    for number, clip in enumerate(clips):
        tell(progress, number, len(clips), f"{what} clips")
        heard.append(hear(clip, what, rate))
    tell(progress, len(clips), len(clips), f"{what} clips")
    return heard


def gaps(heard: Mapping[str, Sequence[Heard]]) -> list[str]:
    """Warnings of sets that differ in level or bandwidth, which distances also see."""
    made, real = (
        {key: float(np.median([item.row[key] for item in heard[what]])) for key in LEVELS}
        for what in ("generated", "reference")
    )
    warnings = []
    apart_db = made["loudness_dbfs"] - real["loudness_dbfs"]
    if abs(apart_db) > LEVEL_GAP_DB:
        how = "louder" if apart_db > 0 else "softer"
        warnings.append(
            f"The generated clips are {abs(apart_db):.0f} dB {how} than the reference: part of "
            "every distance is level."
        )
    narrow, wide = sorted((made["bandwidth_hz"], real["bandwidth_hz"]))
    if narrow < BANDWIDTH_SHARE * wide:
        which = "generated" if made["bandwidth_hz"] < real["bandwidth_hz"] else "reference"
        warnings.append(
            f"The {which} clips end near {narrow:.0f} Hz, the others near {wide:.0f} Hz: part of "
            "the distances is bandwidth."
        )
    return warnings
