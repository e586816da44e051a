"""Long recordings as arrays that lie on the disk, so that memory does not grow with them."""

import tempfile
from pathlib import Path

import numpy as np

from ritornello.audio.io import probe, read_audio, read_blocks
from ritornello.interfaces import Audio

LONG_S = 300.0
_BLOCK_S = 20.0


def read_mapped(path: str | Path) -> Audio:
    """The audio in `path`, in memory when it is short, in a file without a name when it is long.

    The file goes when the array does, and takes four bytes a sample in the folder for temporary
    files.

    Raises:
        AudioError: As `read_audio`.
    """
    info = probe(path)
    if info.duration_s <= LONG_S:
        return read_audio(path)
    with tempfile.TemporaryFile(prefix="ritornello-") as file:
        samples = np.memmap(file, np.float32, "w+", shape=(info.channels, info.frames))
        done = 0
        for block in read_blocks(path, _BLOCK_S):
            samples[:, done : done + block.samples.shape[1]] = block.samples
            done += block.samples.shape[1]
    return Audio(samples=samples[:, :done], sample_rate=info.sample_rate)
