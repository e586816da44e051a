"""Reading and writing audio files.

Reading: WAV, FLAC, Ogg, Opus, MP3, AIFF through libsndfile, as float32, whole, in excerpts, or
block by block; what is not sound audio is an `AudioError` that names the file and the reason.

Writing: WAV and FLAC, peak-safe, without dates, so that the same call writes the same bytes; with
the audio's `meta` and the gain as one JSON object in the file's comment; under a temporary name
first, so that nothing half-written remains.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import soundfile
from jaxtyping import Float

from ritornello.audio.containers import (
    WAV_FORMATS,
    FlacSink,
    WavSink,
    quantise,
    riff_comment,
    truncation,
)
from ritornello.audio.loudness import TruePeakMeter, from_db, to_db, true_peak
from ritornello.audio.resample import resample, resampled_length, source_span
from ritornello.errors import AudioError
from ritornello.interfaces import Audio

SUFFIXES = frozenset(
    {".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc"}
)
"""Suffixes, in lower case, of the files that a scan takes for audio."""

PEAK_CEILING_DBFS = -1.0
STREAM_GAIN_DB = -3.0
FADE_S = 0.01
MIN_FRAMES = 2

_WRITE_BLOCK_S = 10.0
_MP3_SLACK = 2 * 1152  # an MP3 without an index counts its frames by estimate
_NO_LENGTH = 2**60  # what libsndfile says of a file that does not state its length


@dataclass(frozen=True, kw_only=True)
class AudioInfo:
    """What a file says of itself: frames are samples per channel, names are libsndfile's."""

    sample_rate: int
    channels: int
    frames: int
    container: str
    encoding: str

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate


def probe(path: str | Path) -> AudioInfo:
    """What `path` holds, without decoding it all; AudioError if it is no audio or cut short."""
    path = Path(path)
    with _opened(path) as file:
        slack = _MP3_SLACK if file.format == "MP3" else 0
        last = max(0, file.frames - 1 - slack)
        _read(file, path, last, 1)
        return AudioInfo(
            sample_rate=file.samplerate,
            channels=file.channels,
            frames=file.frames,
            container=file.format,
            encoding=file.subtype,
        )


def read_audio(
    path: str | Path,
    *,
    start_s: float = 0.0,
    duration_s: float | None = None,
    sample_rate: int | None = None,
    channels: int | None = None,
) -> Audio:
    """The audio in `path` as float32; float files may go beyond [-1, 1] and are left so.

    Args:
        path: The file.
        start_s: Where to begin.
        duration_s: How much to read; None, or more than there is, reads to the end.
        sample_rate: Rate to resample to; None keeps the file's. An excerpt equals the same samples
            of the whole file resampled.
        channels: 1 mixes to mono (mean), 2 copies mono to both; None keeps the file's channels.

    Raises:
        AudioError: No such file, not audio, empty, truncated, holds NaN or infinity, starts after
            the end, or more than two channels where 1 or 2 were asked.
    """
    path = Path(path)
    with _opened(path) as file:
        if channels not in (None, file.channels) and file.channels > 2:
            raise AudioError(
                f"{path}: has {file.channels} channels; expected 1 or 2. Mix it down first, e.g. "
                f"ffmpeg -i IN -ac 2 OUT.wav"
            )
        rate = sample_rate or file.samplerate
        start, stop = _excerpt(path, file.frames, file.samplerate, rate, start_s, duration_s)
        samples = _resampled_span(file, path, rate, start, stop)
    if channels is not None:
        samples = with_channels(samples, channels)
    return Audio(samples=samples, sample_rate=rate)


def read_blocks(path: str | Path, block_s: float) -> Iterator[Audio]:
    """The file in blocks of `block_s` seconds, the last one shorter, in constant memory.

    Raises:
        AudioError: As `read_audio`, when the block concerned is reached.
    """
    path = Path(path)
    with _opened(path) as file:
        block = max(1, round(block_s * file.samplerate))
        for start in range(0, file.frames, block):
            samples = _read(file, path, start, min(block, file.frames - start))
            yield Audio(samples=samples, sample_rate=file.samplerate)


def with_channels(
    samples: Float[np.ndarray, "channels time"], channels: int
) -> Float[np.ndarray, "new_channels time"]:
    """`samples` with `channels` channels: stereo to mono by the mean, mono to stereo by copying."""
    have = samples.shape[0]
    if have == channels:
        return samples
    if have > 2 or channels not in (1, 2):
        raise AudioError(f"cannot make {channels} channels of {have}; expected 1 or 2 of both")
    if channels == 1:
        return samples.mean(axis=0, keepdims=True, dtype=np.float32)
    return np.repeat(samples, 2, axis=0)


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    """The opened file, once it is known to be whole; AudioError otherwise."""
    if not path.is_file():
        raise AudioError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise AudioError(f"{path}: is empty (0 bytes)")
    missing = truncation(path)
    if missing is not None:
        raise AudioError(f"{path}: is truncated: {missing}. Copy it again from its source.")
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, TypeError) as error:
        raise AudioError(
            f"{path}: is not an audio file we can read ({_reason(error)}); expected one of "
            f"{' '.join(sorted(SUFFIXES))} with matching content"
        ) from error
    with file:
        if file.frames >= _NO_LENGTH:
            raise AudioError(f"{path}: does not say how long it is. Convert it to WAV or FLAC.")
        if file.frames < MIN_FRAMES:
            raise AudioError(f"{path}: holds {file.frames} samples; expected at least {MIN_FRAMES}")
        yield file


def _read(
    file: soundfile.SoundFile, path: Path, start: int, frames: int
) -> Float[np.ndarray, "channels time"]:
    """Exactly `frames` frames from `start`, finite; AudioError otherwise."""
    try:
        file.seek(start)
        samples = file.read(frames, dtype="float32", always_2d=True).T
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"{path}: is truncated or damaged near {start / file.samplerate:.1f} s "
            f"({_reason(error)}). Copy it again from its source."
        ) from error
    slack = _MP3_SLACK if file.format == "MP3" else 0
    if samples.shape[1] < frames - slack:
        raise AudioError(
            f"{path}: is truncated: its header promises {file.frames} samples, decoding stops "
            f"at {start + samples.shape[1]}. Copy it again from its source."
        )
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: holds NaN or infinite samples; expected finite numbers")
    return np.ascontiguousarray(samples)


def _reason(error: Exception) -> str:
    """What libsndfile says, without the path that we say ourselves."""
    return str(getattr(error, "error_string", error)).strip().rstrip(".")


def _excerpt(
    path: Path, frames: int, file_rate: int, rate: int, start_s: float, duration_s: float | None
) -> tuple[int, int]:
    """First and one past the last sample of an excerpt, counted at `rate`."""
    total = resampled_length(frames, file_rate, rate)
    start = round(start_s * rate)
    if not 0 <= start < total:
        raise AudioError(
            f"{path}: cannot start at {start_s} s; it lasts {frames / file_rate:.3f} s"
        )
    if duration_s is None:
        return start, total
    if not duration_s > 0:
        raise AudioError(f"{path}: duration is {duration_s} s; expected more than 0")
    return start, min(total, start + max(1, round(duration_s * rate)))


def _resampled_span(
    file: soundfile.SoundFile, path: Path, rate: int, start: int, stop: int
) -> Float[np.ndarray, "channels time"]:
    """Samples [start, stop) of the file at `rate`, decoding no more of it than they need.

    The piece begins where the grids of both rates meet, and has a margin on both sides, so that
    its samples are those of the whole file resampled.
    """
    first, last, offset = source_span(file.frames, file.samplerate, rate, start, stop)
    decoded = _read(file, path, first, last - first)
    return resample(decoded, file.samplerate, rate)[:, start - offset : stop - offset]


@dataclass(frozen=True, kw_only=True)
class WriteReport:
    """What writing did to the samples.

    Attributes:
        path: The file.
        frames: Samples per channel written.
        gain_db: Gain applied, 0 or below.
        peak_dbfs: True peak of what was written.
        dc_offset: Offset removed from each channel.
        clipped: Samples cut off at the ceiling; 0 from `write_audio`.
    """

    path: Path
    frames: int
    gain_db: float
    peak_dbfs: float
    dc_offset: tuple[float, ...]
    clipped: int


def write_audio(path: str | Path, audio: Audio, *, subtype: str = "PCM_24") -> WriteReport:
    """Write `audio` as WAV or FLAC, without DC offset and with a true peak of -1 dBFS at most.

    The gain only ever goes down; it is in the report and, as `gain_db`, beside the audio's `meta`
    in the file. The same call writes the same bytes.

    Args:
        path: Ends in .wav or .flac; an existing file is replaced, whole or not at all.
        audio: What to write; at least one sample, all finite.
        subtype: PCM_16, PCM_24, or FLOAT (32 bit, WAV only).

    Raises:
        AudioError: Another suffix or subtype, no such folder, no or non-finite samples, or `meta`
            that is not JSON.
    """
    _require_finite(audio.samples)
    offset = audio.samples.mean(axis=1, dtype=np.float64)
    centred = audio.samples - offset[:, None].astype(np.float32)
    gain_db = min(0.0, PEAK_CEILING_DBFS - to_db(true_peak(centred, audio.sample_rate)))
    writer = AudioWriter(
        path,
        audio.sample_rate,
        audio.channels,
        subtype=subtype,
        gain_db=gain_db,
        meta=audio.meta,
    )
    block = round(_WRITE_BLOCK_S * audio.sample_rate)
    with writer:
        for start in range(0, centred.shape[1], block):
            piece = centred[:, start : start + block]
            writer.write(Audio(samples=piece, sample_rate=audio.sample_rate))
    return replace(writer.report(), dc_offset=tuple(offset.tolist()))


class AudioWriter:
    """Writes audio piece by piece in constant memory; a context manager.

    A stream's peak is not known beforehand, so that the gain is fixed (STREAM_GAIN_DB unless given)
    and recorded in the file as `gain_db`; what passes PEAK_CEILING_DBFS even so is cut off there
    and counted. DC offset is left as it is. Format and bytes are otherwise those of `write_audio`.

    The file gets its name when the `with` block ends without an error; after an error nothing of it
    remains, and a file that had the name before is untouched.
    """

    def __init__(
        self,
        path: str | Path,
        sample_rate: int,
        channels: int,
        *,
        subtype: str = "PCM_24",
        gain_db: float = STREAM_GAIN_DB,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        self._path = Path(path)
        self._sample_rate, self._channels, self._subtype = sample_rate, channels, subtype
        self._gain_db = gain_db
        self._sink_class = _sink_for(self._path, subtype)
        self._comment = _comment(meta or {}, gain_db)
        self._partial = self._path.with_name(f".{self._path.name}.{os.getpid()}.partial")
        self._sink: WavSink | FlacSink | None = None
        self._meter = TruePeakMeter(sample_rate, channels)
        self._frames = self._clipped = 0

    def __enter__(self) -> "AudioWriter":
        """Open the file under its temporary name."""
        if not self._path.parent.is_dir():
            raise AudioError(f"{self._path}: the folder {self._path.parent} does not exist")
        try:
            self._sink = self._sink_class(
                self._partial, self._sample_rate, self._channels, self._subtype, self._comment
            )
        except BaseException:
            self._partial.unlink(missing_ok=True)
            raise
        return self

    def write(self, audio: Audio) -> None:
        """Append `audio`, which has the writer's rate and channels."""
        if self._sink is None:
            raise AudioError(f"{self._path}: is not open; write inside the `with` block")
        if (audio.sample_rate, audio.channels) != (self._sample_rate, self._channels):
            raise AudioError(
                f"{self._path}: got {audio.channels} channels at {audio.sample_rate} Hz; expected "
                f"{self._channels} at {self._sample_rate} Hz"
            )
        _require_finite(audio.samples)
        ceiling = np.float32(from_db(PEAK_CEILING_DBFS))
        scaled = audio.samples.astype(np.float32) * np.float32(from_db(self._gain_db))
        # a rounding error above the ceiling is not a clipped sample
        self._clipped += int((np.abs(scaled) > ceiling * np.float32(1 + 1e-5)).sum())
        limited = np.clip(scaled, -ceiling, ceiling)
        self._meter.update(limited)
        self._frames += limited.shape[1]
        self._sink.write(quantise(limited.T, self._subtype))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish and name the file, or remove it after an error."""
        sink, self._sink = self._sink, None
        assert sink is not None
        try:
            if kind is None and self._frames == 0:
                raise AudioError(f"{self._path}: no samples were written; expected at least one")
            if kind is None:
                sink.close()
                self._meter.update(np.zeros((self._channels, 0), np.float32), last=True)
                os.replace(self._partial, self._path)
        finally:
            try:
                sink.abandon()  # on a full disk closing fails too
            finally:
                self._partial.unlink(missing_ok=True)

    def report(self) -> WriteReport:
        """What has been written so far."""
        return WriteReport(
            path=self._path,
            frames=self._frames,
            gain_db=self._gain_db,
            peak_dbfs=to_db(self._meter.peak),
            dc_offset=(0.0,) * self._channels,
            clipped=self._clipped,
        )


def _sink_for(path: Path, subtype: str) -> type[WavSink] | type[FlacSink]:
    """The writer for `path`'s suffix; AudioError if it cannot write `subtype`."""
    sink = {".wav": WavSink, ".flac": FlacSink}.get(path.suffix.lower())
    if sink is None:
        raise AudioError(
            f"{path}: cannot write {path.suffix or 'a file without suffix'}; expected .wav or .flac"
        )
    possible = [name for name in WAV_FORMATS if sink is WavSink or name != "FLOAT"]
    if subtype not in possible:
        raise AudioError(
            f"{path}: cannot write {subtype} to {path.suffix}; expected {' or '.join(possible)}"
        )
    return sink


def _comment(meta: Mapping[str, Any], gain_db: float) -> str:
    """Provenance as JSON: `meta` and the gain, keys sorted so that equal content is equal bytes."""
    try:
        return json.dumps({**meta, "gain_db": round(gain_db, 6)}, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AudioError(
            f"Audio.meta cannot be written as JSON ({error}); expected plain numbers, texts, lists "
            "and dicts"
        ) from error


def read_provenance(path: str | Path) -> dict[str, Any]:
    """The JSON object in the file's comment; empty if it has none."""
    path = Path(path)
    with _opened(path) as file:
        comment = riff_comment(path) if file.format in ("WAV", "WAVEX") else file.comment
    try:
        provenance = json.loads(comment or "")
    except ValueError:
        return {}
    return provenance if isinstance(provenance, dict) else {}


def fade(audio: Audio, *, start_s: float = FADE_S, end_s: float = FADE_S) -> Audio:
    """`audio` with raised-cosine fades where it was cut; 0 leaves an end as it is."""
    samples = audio.samples.copy()
    time = samples.shape[1]
    for seconds, end in ((start_s, False), (end_s, True)):
        length = min(time, round(seconds * audio.sample_rate))
        ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(length) + 0.5) / max(1, length))
        ramp = ramp.astype(np.float32)
        if end:
            samples[:, time - length :] *= ramp[::-1]
        else:
            samples[:, :length] *= ramp
    return replace(audio, samples=samples)


def _require_finite(samples: np.ndarray) -> None:
    if samples.shape[1] == 0:
        raise AudioError("there are 0 samples to write; expected at least one")
    if not np.isfinite(samples).all():
        raise AudioError("the samples to write hold NaN or infinity; expected finite numbers")
