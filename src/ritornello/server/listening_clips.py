"""Making a listening test: clips of one length, rate, width and loudness under meaningless names.

Every clip becomes 16-bit stereo WAV at RATE_HZ with FADE_S fades, so that neither a file's size nor
its format says whose it is. All are brought to one integrated loudness, the highest up to
LOUDEST_LUFS at which no clip passes the peak ceiling: nothing is limited or clipped.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ritornello.audio.io import PEAK_CEILING_DBFS, AudioWriter, fade
from ritornello.audio.loudness import from_db, integrated_loudness, true_peak_dbfs
from ritornello.checkpoint import whole_folder
from ritornello.config import to_json
from ritornello.errors import ConfigError, DataError
from ritornello.evaluation.clips import clips_of
from ritornello.interfaces import Audio
from ritornello.server.listening_plan import (
    ANCHOR,
    CLIP_FOLDER,
    PLAN_FILE,
    REFERENCE,
    VOLUME_CLIP,
    Plan,
    PlannedClip,
    compared_pairs,
)

RATE_HZ = 44100
CHANNELS = 2
FADE_S = 0.03
LOUDEST_LUFS = -18.0
QUIETEST_LUFS = -36.0
ANCHOR_HZ = 3500.0
ANCHOR_TRANSITION_HZ = 500.0
VOLUME_S = 4.0

Wave = Float[np.ndarray, "channels time"]


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """Audio of the test before its loudness is set; source and start_s say where it is from."""

    audio: Audio
    source: str
    start_s: float

    @cached_property
    def loudness_lufs(self) -> float:
        """Integrated loudness before any gain."""
        return integrated_loudness(self.audio.samples, RATE_HZ)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Whose clips to take.

    Attributes:
        name: What it is called in the results.
        target: What the user called it.
        folder: Folder of audio, or a dataset's manifest.
        split: Part of a manifest to take from; None takes all of it.
    """

    name: str
    target: str
    folder: Path
    split: str | None = None


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much there is to hear.

    Attributes:
        clips: Clips per system.
        seconds: Length of a clip.
        per_listener: Positions that one listener rates; None: 6, or all if there are fewer.
        pairs: Comparisons of one listener; None: 12, or all if there are fewer.
    """

    clips: int = 12
    seconds: float = 10.0
    per_listener: int | None = None
    pairs: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be a test."""
        if self.clips < 1 or not 1 <= self.seconds <= 120:
            raise ConfigError(
                f"got {self.clips} clips of {self.seconds:g} s; expected at least one clip of 1 to "
                "120 s"
            )
        if self.per_listener is not None and not 1 <= self.per_listener <= self.clips:
            raise ConfigError(
                f"a listener is to rate {self.per_listener} clips of each system; expected 1 to "
                f"{self.clips}"
            )
        if self.pairs is not None and self.pairs < 0:
            raise ConfigError(f"a listener is to compare {self.pairs} pairs; expected 0 or more")


def make_test(
    sources: Sequence[Source], reference: Source, out: Path, size: Size, seed: int
) -> Plan:
    """Write the folder of a listening test, whole or not at all.

    Args:
        sources: The systems to compare.
        reference: Real music, hidden among them, and the anchor made from it.
        out: The test's folder; must not exist or be empty.
        size: How much there is to hear.
        seed: Decides excerpts, names and orders, >= 0.

    Returns:
        The plan that was written.

    Raises:
        ConfigError: `out` has something in it, names clash, or the seed is negative.
        DataError: Too few clips in a folder, or a clip that cannot be brought to the loudness.
    """
    names = [*(source.name for source in sources), REFERENCE, ANCHOR]
    if not sources or len(set(names)) != len(names):
        raise ConfigError(f"got the systems {', '.join(names)}; expected different names")
    if seed < 0:
        raise ConfigError(f"seed is {seed}; expected a whole number >= 0")
    require_new(out)
    excerpts = {source.name: excerpts_of(source, size, seed) for source in sources}
    real = excerpts_of(reference, size, seed)
    excerpts[REFERENCE], excerpts[ANCHOR] = real, [low_passed(excerpt) for excerpt in real]
    loudness_lufs = common_loudness(excerpts)
    draw = np.random.default_rng([seed, 0])
    with whole_folder(out) as folder:
        (folder / CLIP_FOLDER).mkdir()
        ids = iter(_meaningless_names(len(names) * size.clips, draw))
        clips = [
            _write(folder, next(ids), name, position, excerpt, loudness_lufs)
            for name, found in excerpts.items()
            for position, excerpt in enumerate(found)
        ]
        _write_volume_clip(folder, loudness_lufs, draw)
        every = compared_pairs(len(names), size.clips)
        plan = Plan(
            id=secrets.token_hex(4),
            seed=seed,
            seconds=size.seconds,
            loudness_lufs=round(loudness_lufs, 2),
            systems=tuple(names),
            targets=(*(s.target for s in sources), reference.target, reference.target),
            positions=size.clips,
            per_listener=size.per_listener or min(6, size.clips),
            pairs=min(every, 12 if size.pairs is None else size.pairs),
            clips=tuple(clips),
        )
        (folder / PLAN_FILE).write_text(to_json(plan), encoding="utf-8")
    return plan


def require_new(out: Path) -> None:
    """Refuse a place where something is already."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is not empty; give a new folder, votes are never overwritten")


def excerpts_of(source: Source, size: Size, seed: int) -> list[Excerpt]:
    """`size.clips` faded excerpts of a system, at the test's rate and width.

    Raises:
        DataError: There are fewer.
    """
    found = clips_of(
        source.folder, seconds=size.seconds, count=size.clips, seed=seed, split=source.split
    )
    if len(found) < size.clips:
        raise DataError(
            f"{'; '.join(found.warnings)}. Add recordings, or ask for fewer or shorter clips "
            f"than {size.clips} of {size.seconds:g} s"
        )
    return [
        Excerpt(
            audio=prepared(clip.read(sample_rate=RATE_HZ, channels=CHANNELS)),
            source=str(clip.path),
            start_s=clip.start_s,
        )
        for clip in found
    ]


def prepared(audio: Audio) -> Audio:
    """`audio` without DC offset and with fades at both ends."""
    centred = audio.samples - audio.samples.mean(axis=1, keepdims=True)
    return fade(replace(audio, samples=centred), start_s=FADE_S, end_s=FADE_S)


def low_passed(excerpt: Excerpt) -> Excerpt:
    """The hidden anchor: the excerpt without what lies above ANCHOR_HZ."""
    samples = low_pass(excerpt.audio.samples, RATE_HZ)
    return replace(excerpt, audio=prepared(Audio(samples=samples, sample_rate=RATE_HZ)))


def low_pass(wave: Wave, sample_rate: int) -> Wave:
    """`wave` with nothing above ANCHOR_HZ but a slope ANCHOR_TRANSITION_HZ wide."""
    time = wave.shape[-1]
    size = 2 * time  # zeros behind the end, so that the end does not reach round to the start
    hz = np.fft.rfftfreq(size, 1 / sample_rate)
    slope = np.clip((hz - ANCHOR_HZ) / ANCHOR_TRANSITION_HZ, 0, 1)
    spectrum = np.fft.rfft(wave, size) * (0.5 + 0.5 * np.cos(np.pi * slope))
    return np.fft.irfft(spectrum, size)[:, :time].astype(np.float32)


def common_loudness(excerpts: dict[str, list[Excerpt]]) -> float:
    """The highest loudness up to LOUDEST_LUFS that every clip reaches below the peak ceiling.

    Raises:
        DataError: A clip is silent, or so peaky that all others would have to be too soft.
    """
    common = LOUDEST_LUFS
    for name, found in excerpts.items():
        for position, excerpt in enumerate(found):
            where = f"clip {position} of {name} ({excerpt.source} at {excerpt.start_s:.1f} s)"
            if not np.isfinite(excerpt.loudness_lufs):
                raise DataError(f"{where} is silent; expected music. Try another --seed")
            peak_dbfs = true_peak_dbfs(excerpt.audio.samples, RATE_HZ)
            reachable = excerpt.loudness_lufs + PEAK_CEILING_DBFS - peak_dbfs
            if reachable < QUIETEST_LUFS:
                raise DataError(
                    f"{where} has peaks that allow {reachable:.1f} LUFS only; expected at least "
                    f"{QUIETEST_LUFS:g}. Try another --seed"
                )
            common = min(common, reachable)
    return common


def _write(
    folder: Path, name: str, system: str, position: int, excerpt: Excerpt, loudness_lufs: float
) -> PlannedClip:
    gain_db = loudness_lufs - excerpt.loudness_lufs
    _write_wave(folder / CLIP_FOLDER / f"{name}.wav", excerpt.audio.samples, gain_db)
    return PlannedClip(
        id=name,
        system=system,
        position=position,
        source=excerpt.source,
        start_s=round(excerpt.start_s, 3),
        gain_db=round(gain_db, 3),
    )


def _write_wave(path: Path, samples: Wave, gain_db: float) -> None:
    """The gain is applied here and not by the writer, whose file would tell it to the listener."""
    scaled = (samples * from_db(gain_db)).astype(np.float32)
    with AudioWriter(path, RATE_HZ, CHANNELS, subtype="PCM_16", gain_db=0.0) as writer:
        writer.write(Audio(samples=scaled, sample_rate=RATE_HZ))


def _write_volume_clip(folder: Path, loudness_lufs: float, draw: np.random.Generator) -> None:
    """Pink noise as loud as the clips, to set the volume by."""
    time = round(VOLUME_S * RATE_HZ)
    spectrum = np.fft.rfft(draw.standard_normal((CHANNELS, time)))
    hz = np.fft.rfftfreq(time, 1 / RATE_HZ)
    shaped = np.where(hz < 40, 0.0, spectrum / np.sqrt(np.maximum(hz, 40)))
    samples = np.fft.irfft(shaped, time).astype(np.float32)
    audio = fade(Audio(samples=samples, sample_rate=RATE_HZ), start_s=0.3, end_s=0.3)
    gain_db = loudness_lufs - integrated_loudness(audio.samples, RATE_HZ)
    _write_wave(folder / CLIP_FOLDER / f"{VOLUME_CLIP}.wav", audio.samples, gain_db)


def _meaningless_names(count: int, draw: np.random.Generator) -> list[str]:
    """`count` different names of eight hexadecimal digits, in no order."""
    numbers = draw.choice(2**32, size=count, replace=False, shuffle=True)
    return [f"{number:08x}" for number in numbers]
