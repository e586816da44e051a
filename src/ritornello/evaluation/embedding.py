"""Embeddings: what turns clips into points whose distances mean something to an ear.

    musicnn           `musicnn`: a tagger's last layer, travels with the package; the default
    a codec           `codec_embedding`: hears damage to the sound
    a user's file     `onnx_embedding`: CLAP, VGGish, MERT ... exported to ONNX

Conventions
    wave        float (channels, time) in [-1, 1] at any rate
    patches     float32 (patches, dim): one point for every few seconds of a clip, in order

No embedding hears all that matters. Figures from two embeddings cannot be compared, and a figure is
worth as much as its embedding tells apart the music it is used on.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from ritornello.data.jobs import Progress
from ritornello.errors import AudioError, ConfigError
from ritornello.evaluation.clips import Clip
from ritornello.evaluation.codec_embedding import codec_embedding
from ritornello.evaluation.embedding_cache import EmbeddingCache, audio_hash
from ritornello.evaluation.musicnn import load_musicnn
from ritornello.evaluation.onnx_embedding import load_onnx_embedding
from ritornello.interfaces import Audio, LatentCodec, TokenCodec

__all__ = ["Embedding", "codec_embedding", "embed_clips", "load_embedding", "validate"]

Patches = Float[np.ndarray, "_patches _dim"]


@runtime_checkable
class Embedding(Protocol):
    """What embeds; all that metrics know of it."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    @property
    def key(self) -> str:
        """A hash of weights and settings: equal keys, equal patches."""
        ...

    @property
    def sample_rate(self) -> int:
        """The rate it works at, in Hz; nothing above half of it is heard."""
        ...

    @property
    def dim(self) -> int:
        """Numbers per patch."""
        ...

    @property
    def patch_s(self) -> float:
        """Seconds that one patch covers, the shortest clip it can embed."""
        ...

    def embed(
        self, wave: Float[np.ndarray, "_channels _time"], sample_rate: int
    ) -> Float[np.ndarray, "_patches _dim"]:
        """The patches of a wave at any rate; AudioError for what cannot be embedded."""
        ...


def load_embedding(
    name_or_path: str,
    load_codec: Callable[[str], LatentCodec | TokenCodec] | None = None,
) -> Embedding:
    """The embedding of that name, in that ONNX file, or made of that model's codec.

    Args:
        name_or_path: "musicnn", a file that ends in `.onnx`, or what `load_codec` understands.
        load_codec: Loads the codec of a model by name or folder. Evaluation knows no models, so
            whoever knows them passes it.

    Raises:
        ConfigError: It is none of these.
    """
    if name_or_path == "musicnn":
        return load_musicnn()
    if name_or_path.lower().endswith(".onnx"):
        return load_onnx_embedding(Path(name_or_path).expanduser())
    if load_codec is not None:
        name = Path(name_or_path).name or name_or_path
        return codec_embedding(load_codec(name_or_path), name=f"codec-{name}")
    raise ConfigError(
        f"no embedding {name_or_path!r}; expected 'musicnn' or a file that ends in .onnx"
    )


def validate(patches: Patches, embedding: Embedding) -> None:
    """Refuse patches that are none, whoever's embedding made them.

    Raises:
        AudioError: No patch, another size than the embedding's, NaN or infinity.
    """
    if len(patches) == 0 or patches.shape[1] != embedding.dim:
        raise AudioError(
            f"{embedding.name} gave patches of shape {patches.shape}; expected one or more of "
            f"{embedding.dim} numbers"
        )
    if not np.isfinite(patches).all():
        raise AudioError(f"{embedding.name} gave NaN or infinity; expected finite patches")


def embed_clips(
    clips: Sequence[Clip],
    embedding: Embedding,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> list[Patches]:
    """The patches of every clip, in order.

    Clips are read one after the other, so that memory does not grow with the music; only the
    patches are kept, 800 bytes for three seconds of musicnn.

    Args:
        clips: A `ClipSet`, or a list of clips.
        embedding: What embeds.
        cache: Folder that patches are kept in and found again; None keeps nothing.
        progress: Called as progress(done, total, name of the clip) before every clip, and after
            all of them.

    Raises:
        AudioError: A clip that cannot be read or embedded, by name.
    """
    kept = None
    if cache is not None:
        kept = EmbeddingCache(cache, name=embedding.name, key=embedding.key, dim=embedding.dim)
    embedded: list[Patches] = []
    for number, clip in enumerate(clips):
        if progress is not None:
            progress(number, len(clips), clip.name)
        try:
            embedded.append(_embed(clip.read(), embedding, kept))
        except AudioError as error:
            raise AudioError(f"{clip.name}: {error}") from error
    if progress is not None:
        progress(len(clips), len(clips), "")
    return embedded


def _embed(audio: Audio, embedding: Embedding, kept: EmbeddingCache | None) -> Patches:
    """The patches of one clip, from the cache where they are in it."""
    key = audio_hash(audio) if kept else ""
    found = kept.read(key) if kept else None
    if found is not None:
        return found
    patches = embedding.embed(audio.samples, audio.sample_rate)
    validate(patches, embedding)
    if kept:
        kept.write(key, patches)
    return patches
