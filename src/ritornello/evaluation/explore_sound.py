"""What a page shows and plays of one sample: a small spectrogram, an address, a place by ear.

Conventions
    picture   WebP of the mel spectrogram over the whole sample, dark to bright, its loudest band at
              full brightness; one column for an equal part of the time
    address   what a player loads: a path relative to the page, or the sound itself
    heard     what the embedding says of the sample's middle, float (dim,)

A sample is decoded once for its picture, piece by piece: one of hours needs no more memory.
"""

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
from jaxtyping import Float

from ritornello.audio.io import read_audio, read_blocks
from ritornello.errors import DataError
from ritornello.evaluation.clips import Clip
from ritornello.evaluation.explore import Sample
from ritornello.evaluation.pictures import COLORMAP, LOW_HZ, RANGE_DB
from ritornello.evaluation.report_pictures import WEBP_QUALITY, bit_rate_kbps, data_address, mp3
from ritornello.evaluation.spectra import decibels, mel_filters, power, power_of_two_near
from ritornello.interfaces import Audio

COLUMNS, BANDS = 240, 72
SHORTEST_COLUMN_S = 0.02
FRAMES_PER_COLUMN = 8
WINDOW_S = 0.0464
BLOCK_S = 10.0
SILENCE_DB = -100.0

HEARD_S = 30.0
MOST_EMBEDDED_S = 1800.0

Address = Callable[[Sample], str]
Heard = Float[np.ndarray, " dim"]
Hear = Callable[[Sample], Heard | None]


# ---- pictures --------------------------------------------------------------------------------


def picture(sample: Sample) -> str:
    """The sample's spectrogram as a `data:` address.

    Raises:
        AudioError: The file cannot be decoded to its end.
    """
    from matplotlib.image import imsave

    levels_db = spectrogram(sample)
    loudest_db = max(float(levels_db.max()), SILENCE_DB + RANGE_DB)
    file = io.BytesIO()
    imsave(
        file,
        levels_db,
        vmin=loudest_db - RANGE_DB,
        vmax=loudest_db,
        cmap=COLORMAP,
        format="webp",
        origin="lower",
        pil_kwargs={"quality": WEBP_QUALITY},
    )
    return data_address("image/webp", file.getvalue())


def spectrogram(sample: Sample) -> Float[np.ndarray, "bands columns"]:
    """Mean level of every mel band in every equal part of the sample, in dB re full scale.

    Raises:
        AudioError: The file cannot be decoded to its end.
    """
    column_s = max(sample.duration_s / COLUMNS, SHORTEST_COLUMN_S)
    at_once_s = max(1, int(BLOCK_S / column_s)) * column_s
    blocks = read_blocks(sample.path, at_once_s)
    return decibels(np.concatenate([_columns(block, column_s) for block in blocks], 1), SILENCE_DB)


def _columns(block: Audio, column_s: float) -> Float[np.ndarray, "bands columns"]:
    """Mean powers of the mel bands in the columns of a block."""
    time = block.samples.shape[1]
    count = max(1, round(block.duration_s / column_s))
    n_fft = power_of_two_near(WINDOW_S, block.sample_rate)
    # Long columns are not heard in full, short ones still have a frame each.
    hop = max(min(n_fft // 4, time // count), time // count // FRAMES_PER_COLUMN, 1)
    filters = mel_filters(block.sample_rate, n_fft, BANDS, LOW_HZ)
    frames = filters @ power(block.samples.mean(axis=0), n_fft, hop)
    starts = np.arange(count) * frames.shape[1] // count
    sums = np.add.reduceat(frames, starts, axis=1)
    return sums / np.diff(starts, append=frames.shape[1])


# ---- addresses -------------------------------------------------------------------------------


def linked_from(page: Path) -> Address:
    """Addresses relative to the page: the folder and the page travel together."""
    start = page.resolve().parent

    def address(sample: Sample) -> str:
        relative = os.path.relpath(sample.path.resolve(), start)
        # Without "./" a colon in the first name would make it the name of a protocol.
        return "./" + quote(Path(relative).as_posix())

    return address


def embedded(samples: Sequence[Sample]) -> Address:
    """Addresses that hold the sound as MP3, the more compressed the more of it there is.

    Raises:
        DataError: More than a page can reasonably hold.
    """
    total_s = sum(sample.duration_s for sample in samples)
    if total_s > MOST_EMBEDDED_S:
        raise DataError(
            f"the samples last {total_s / 60:.0f} minutes; a page holds "
            f"{MOST_EMBEDDED_S / 60:.0f} at most. Leave --embed out: the page then plays the files "
            "where they are"
        )
    kbps = bit_rate_kbps(total_s)
    return lambda sample: data_address("audio/mpeg", mp3(read_audio(sample.path), kbps))


# ---- places by ear ---------------------------------------------------------------------------


def musicnn_of(cache: Path | None = None) -> Hear:
    """What musicnn says of a sample's middle, on average; None of samples too short for it.

    Args:
        cache: Folder that embeddings are kept in and found again.
    """
    from ritornello.evaluation.embedding import embed_clips, load_embedding

    musicnn = load_embedding("musicnn")

    def hear(sample: Sample) -> Heard | None:
        if sample.duration_s < musicnn.patch_s:
            return None
        seconds = min(HEARD_S, sample.duration_s)
        middle = Clip(
            name=sample.id,
            path=sample.path,
            start_s=(sample.duration_s - seconds) / 2,
            seconds=seconds,
        )
        (patches,) = embed_clips([middle], musicnn, cache=cache)
        return patches.mean(axis=0)

    return hear
