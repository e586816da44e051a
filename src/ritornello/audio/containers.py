"""The byte level of audio files: WAV written to the letter, and whether a file is all there.

Decoders mend broken files in silence: a WAV cut in half reads as half a WAV. `truncation` looks at
what the container itself promises. WAV is written here rather than by libsndfile so that the same
samples give the same bytes (libsndfile stamps float files with the time) and so that provenance of
any size fits (it drops long comments).
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from ritornello.errors import AudioError

WAV_FORMATS = {"PCM_16": (1, 16), "PCM_24": (1, 24), "FLOAT": (3, 32)}
"""Sample formats we write: name -> (WAVE format tag, bits per sample)."""

_UNKNOWN_SIZE = (0, 0xFFFFFFFF)  # what programs write that stream a WAV into a pipe
_RIFF_LIMIT = 0xFFFFFFFF
_OGG_TAIL = 128 * 1024  # two pages of the largest size
_OGG_END_OF_STREAM = 0x04
_XING_HAS_FRAMES, _XING_HAS_BYTES = 0x01, 0x02
_MP3_SLACK_BYTES = 4096  # two of the largest frames: what taggers and old encoders miscount


def quantise(samples: np.ndarray, subtype: str) -> np.ndarray:
    """Samples in [-1, 1] as the numbers stored in a file: int16, 24 bits in int32, or float32."""
    if subtype == "FLOAT":
        return samples.astype(np.float32)
    full_scale = 2 ** (WAV_FORMATS[subtype][1] - 1)
    whole = np.rint(samples.astype(np.float64) * full_scale)
    whole = np.clip(whole, -full_scale, full_scale - 1)
    return whole.astype(np.int16 if subtype == "PCM_16" else np.int32)


def _little_endian(quantised: np.ndarray, subtype: str) -> bytes:
    """The bytes of quantised samples (time, channels), interleaved as WAV wants them."""
    if subtype == "PCM_24":
        four = np.ascontiguousarray(quantised, dtype="<i4").view(np.uint8)
        return four.reshape(-1, 4)[:, :3].tobytes()
    return np.ascontiguousarray(quantised, dtype="<i2" if subtype == "PCM_16" else "<f4").tobytes()


class WavSink:
    """A WAV file being written: header first with sizes left open, samples, comment, sizes."""

    def __init__(
        self, path: Path, sample_rate: int, channels: int, subtype: str, comment: str
    ) -> None:
        self._file: BinaryIO = path.open("wb")
        self._subtype = subtype
        self._comment = comment
        self._data_bytes = 0
        self._block_bytes = channels * WAV_FORMATS[subtype][1] // 8
        tag, bits = WAV_FORMATS[subtype]
        form = struct.pack(
            "<HHIIHH",
            tag,
            channels,
            sample_rate,
            sample_rate * self._block_bytes,
            self._block_bytes,
            bits,
        )
        if subtype == "FLOAT":  # formats other than PCM carry an extension size and a fact chunk
            form += struct.pack("<H", 0)
        header = b"RIFF\0\0\0\0WAVE" + _chunk(b"fmt ", form)
        if subtype == "FLOAT":
            header += _chunk(b"fact", struct.pack("<I", 0))
        self._data_start = len(header) + 8
        self._file.write(header + b"data\0\0\0\0")

    def write(self, quantised: np.ndarray) -> None:
        """Append samples (time, channels) as `quantise` returns them."""
        block = _little_endian(quantised, self._subtype)
        if self._data_start + self._data_bytes + len(block) > _RIFF_LIMIT:
            raise AudioError(
                "the WAV file would pass 4 GB, the most that WAV can hold; write FLAC instead, or "
                "several shorter files"
            )
        self._file.write(block)
        self._data_bytes += len(block)

    def close(self) -> None:
        """Write the comment (LIST/INFO/ICMT), fill in the sizes and close."""
        self._file.write(b"\0" * (self._data_bytes % 2))
        if self._comment:
            text = self._comment.encode() + b"\0"
            self._file.write(_chunk(b"LIST", b"INFO" + _chunk(b"ICMT", text)))
        end = self._file.tell()
        self._patch(4, end - 8)
        self._patch(self._data_start - 4, self._data_bytes)
        if self._subtype == "FLOAT":
            self._patch(self._data_start - 12, self._data_bytes // self._block_bytes)
        self._file.close()

    def abandon(self) -> None:
        """Close without finishing; the file is of no use."""
        self._file.close()

    def _patch(self, position: int, size: int) -> None:
        self._file.seek(position)
        self._file.write(struct.pack("<I", size))


class FlacSink:
    """A FLAC file being written by libsndfile, with the same interface as `WavSink`."""

    def __init__(
        self, path: Path, sample_rate: int, channels: int, subtype: str, comment: str
    ) -> None:
        try:
            self._file = soundfile.SoundFile(
                path, "w", sample_rate, channels, subtype=subtype, format="FLAC"
            )
        except soundfile.LibsndfileError as error:
            raise AudioError(
                f"FLAC cannot hold {channels} channels at {sample_rate} Hz ({error}); expected at "
                "most 8 channels and 655350 Hz. Write WAV instead."
            ) from error
        if comment:
            self._file.comment = comment

    def write(self, quantised: np.ndarray) -> None:
        """Append samples (time, channels) as `quantise` returns them."""
        # libsndfile takes the upper 24 bits of 32
        try:
            self._file.write(quantised << 8 if quantised.dtype == np.int32 else quantised)
        except (soundfile.LibsndfileError, AssertionError) as error:  # it asserts on a short write
            raise AudioError(f"the FLAC file cannot be written ({error}); is the disk full?") from (
                error
            )

    def close(self) -> None:
        """Finish the file."""
        self._file.close()

    def abandon(self) -> None:
        """Close without regard for the content."""
        self._file.close()


def _chunk(name: bytes, body: bytes) -> bytes:
    """A RIFF chunk: name, size, body, and a pad byte when the size is odd."""
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def riff_chunks(path: Path) -> Iterator[tuple[bytes, int, int]]:
    """Name, position of the body and promised size of each chunk of a WAV or AIFF file."""
    with path.open("rb") as file:
        head = file.read(12)
        order = {b"RIFF": "<I", b"FORM": ">I"}.get(head[:4])
        if order is None:
            return
        end = path.stat().st_size
        while file.tell() + 8 <= end:
            name, size = file.read(4), struct.unpack(order, file.read(4))[0]
            yield name, file.tell(), size
            file.seek(size + size % 2, 1)


def riff_comment(path: Path) -> str | None:
    """The text of a WAV file's LIST/INFO/ICMT chunk, or None."""
    for name, position, size in riff_chunks(path):
        if name != b"LIST":
            continue
        with path.open("rb") as file:
            file.seek(position)
            body = file.read(size)
        at = 4
        while body[:4] == b"INFO" and at + 8 <= len(body):
            inner = struct.unpack("<I", body[at + 4 : at + 8])[0]
            if body[at : at + 4] == b"ICMT":
                return body[at + 8 : at + 8 + inner].rstrip(b"\0").decode(errors="replace")
            at += 8 + inner + inner % 2
    return None


def truncation(path: Path) -> str | None:
    """What is missing from a file by its own account; None if all is there, or it does not say.

    FLAC, which has no size in its header, shows it in decoding.
    """
    with path.open("rb") as file:
        magic = file.read(4)
    if magic in (b"RIFF", b"FORM"):
        return _riff_truncation(path)
    if magic == b"OggS":
        return _ogg_truncation(path)
    return _mp3_truncation(path)


def _riff_truncation(path: Path) -> str | None:
    file_bytes = path.stat().st_size
    for name, position, size in riff_chunks(path):
        if name in (b"data", b"SSND") and size not in _UNKNOWN_SIZE:
            held = file_bytes - position
            if held < size:
                return f"its header promises {size} bytes of samples, {held} are there"
    return None


def _ogg_truncation(path: Path) -> str | None:
    """A complete Ogg stream ends with a whole page that is marked as the last."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _OGG_TAIL))
        tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    segments = page[26] if len(page) > 26 else 0
    table = page[27 : 27 + segments]
    if len(page) < 27 or len(table) < segments or len(page) < 27 + segments + sum(table):
        return "its last page is cut off"
    if not page[5] & _OGG_END_OF_STREAM:
        return "its last page is not marked as the end of the stream"
    return None


def _mp3_truncation(path: Path) -> str | None:
    """MP3 files of variable rate begin with a silent frame (Xing, Info) that counts the bytes."""
    with path.open("rb") as file:
        head = file.read(10)
        start = 0
        if head[:3] == b"ID3":  # its size has seven bits per byte
            start = 10 + sum((byte & 0x7F) << 7 * i for i, byte in enumerate(head[:5:-1]))
        file.seek(start)
        frame = file.read(256)
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    if at < 0 or frame[:1] != b"\xff" or len(frame) < at + 16:
        return None
    flags = struct.unpack(">I", frame[at + 4 : at + 8])[0]
    if not flags & _XING_HAS_BYTES:
        return None
    count_at = at + (12 if flags & _XING_HAS_FRAMES else 8)
    promised = struct.unpack(">I", frame[count_at : count_at + 4])[0]
    held = path.stat().st_size - start
    if held < promised - _MP3_SLACK_BYTES:
        return f"its header promises {promised} bytes, {held} are there"
    return None
