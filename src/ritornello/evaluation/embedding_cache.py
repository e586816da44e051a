"""Embeddings kept on disk, found again by what was heard and by what heard it.

    FOLDER/NAME-KEY/AUDIO.safetensors      one file per clip

NAME and KEY are the embedding's: other weights or settings have a folder of their own. AUDIO is the
hash of the clip's samples and rate, so a renamed or copied recording is found and a changed one is
not. A file is written under another name and renamed when complete; what is damaged, or does not
fit the embedding, counts as absent and is made again. Deleting the folder costs time and no more.
"""

import hashlib
import json
import os
import re
from pathlib import Path

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ritornello.interfaces import Audio

TENSOR, CHECKSUM = "patches", "sha256"

Patches = Float[np.ndarray, "patches dim"]


def audio_hash(audio: Audio) -> str:
    """A sha256 (hex) of rate, shape and samples."""
    samples = np.ascontiguousarray(audio.samples, dtype=np.float32)
    digest = hashlib.sha256(json.dumps([audio.sample_rate, samples.shape]).encode())
    digest.update(samples.data)
    return digest.hexdigest()


class EmbeddingCache:
    """The cached patches of one embedding.

    Args:
        folder: Where caches live; made when the first clip is stored.
        name: Name of the embedding.
        key: Hash of its weights and settings.
        dim: Numbers per patch.
    """

    def __init__(self, folder: Path, *, name: str, key: str, dim: int) -> None:
        readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name)
        self.folder = folder / f"{readable}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
        self.dim = dim

    def read(self, audio: str) -> Patches | None:
        """The patches of the clip with hash `audio`; None when absent or damaged."""
        try:
            with safe_open(self._file(audio), framework="numpy") as file:
                patches = file.get_tensor(TENSOR)
                checksum = (file.metadata() or {}).get(CHECKSUM)
        except (OSError, SafetensorError):
            return None
        fits = patches.ndim == 2 and patches.shape[1] == self.dim and patches.dtype == np.float32
        return patches if fits and checksum == _checksum(patches) else None

    def write(self, audio: str, patches: Patches) -> None:
        """Keep the patches of the clip with hash `audio`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        patches = np.ascontiguousarray(patches, dtype=np.float32)
        temporary = self.folder / f".{audio}.{os.getpid()}.tmp"
        temporary.write_bytes(save({TENSOR: patches}, {CHECKSUM: _checksum(patches)}))
        temporary.replace(self._file(audio))

    def _file(self, audio: str) -> Path:
        return self.folder / f"{audio}.safetensors"


def _checksum(patches: Patches) -> str:
    return hashlib.sha256(np.ascontiguousarray(patches).data).hexdigest()
