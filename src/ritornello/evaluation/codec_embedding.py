"""Any codec as an embedding: what its compressed sequence looks like, window by window.

A second opinion beside an embedding that was trained on tags: a codec was trained to keep the
sound, so that its latents notice noise, dullness and artefacts to which a tagger is indifferent.
Of each window of about two seconds it gives the mean and the spread (standard deviation) over
frames of every latent dimension.

A codec of codes has no geometry that its contract tells of: code 7 is not near code 8. There every
code of every codebook stands for a fixed direction drawn once, and the directions of the codebooks
add up. Two windows are then near when they use the same codes equally often, and only then.

Figures from two codecs, or from one codec with other weights, cannot be compared with each other.
"""

import hashlib

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ritornello.audio.resample import resample
from ritornello.errors import AudioError, ConfigError
from ritornello.evaluation.spectra import validate
from ritornello.interfaces import LatentCodec, TokenCodec

WINDOW_S = 2.0
CODE_DIRECTIONS_DIM, CODE_DIRECTIONS_SEED = 64, 2023
PROBE_S = 2.0

Wave = Float[np.ndarray, "channels _time"]
Patches = Float[np.ndarray, "patches dim"]


class CodecEmbedding:
    """Mean and spread of a codec's latents over windows (an `Embedding`).

    Attributes:
        name: What reports call it.
        key: Hash of what the codec makes of a fixed sound, and of the settings; names caches.
        sample_rate: The codec's rate, to which everything is brought, in Hz.
        dim: Twice the codec's latent dimensions.
        patch_s: Length of a window in seconds, to whole frames.
    """

    def __init__(self, codec: LatentCodec | TokenCodec, name: str, window_s: float) -> None:
        self.codec, self.name, self.sample_rate = codec, name, codec.sample_rate
        self.window_frames = round(window_s * codec.frame_rate_hz)
        if self.window_frames < 2:
            raise ConfigError(
                f"window_s is {window_s}, {self.window_frames} of the codec's frames; expected "
                f"{2 / codec.frame_rate_hz:.3g} or more: a spread needs two frames"
            )
        self.patch_s = self.window_frames / codec.frame_rate_hz
        self.directions = code_directions(codec) if isinstance(codec, TokenCodec) else None
        self.dim = 2 * self._latents(probe(codec.sample_rate), codec.sample_rate).shape[0]
        self.key = self._key()

    def embed(self, wave: Wave, sample_rate: int) -> Patches:
        """Embeddings (patches, dim) of a wave, float32; what fills no window at the end is left.

        Raises:
            AudioError: Empty, not finite, or shorter than a window.
        """
        latents = self._latents(wave, sample_rate)
        count = latents.shape[1] // self.window_frames
        if count == 0:
            raise AudioError(
                f"the clip lasts {wave.shape[-1] / sample_rate:.3g} s; expected at least one "
                f"window of {self.patch_s:.3g} s"
            )
        whole = latents[:, : count * self.window_frames]
        windows = whole.unflatten(1, (count, self.window_frames))
        described = torch.cat([windows.mean(dim=2), windows.std(dim=2, correction=0)])
        return np.ascontiguousarray(described.T.numpy())

    @torch.inference_mode()
    def _latents(self, wave: Wave, sample_rate: int) -> Float[Tensor, "dim frames"]:
        """The compressed sequence of a wave as float32 vectors."""
        validate(wave)
        channels = self.codec.channels
        if wave.shape[0] != channels:
            wave = np.repeat(wave.mean(axis=0, keepdims=True), channels, axis=0)
        samples = torch.from_numpy(resample(wave, sample_rate, self.sample_rate))
        compressed = self.codec.encode(samples[None])[0]
        if self.directions is None:
            return compressed.float()
        heard = [book[codes] for book, codes in zip(self.directions, compressed, strict=True)]
        return torch.stack(heard).sum(dim=0).T

    def _key(self) -> str:
        """A hash that changes with the weights: codecs promise sounds, not names of weights."""
        latents = self._latents(probe(self.sample_rate), self.sample_rate)
        digest = hashlib.sha256(f"{self.sample_rate} {self.window_frames}".encode())
        digest.update(np.ascontiguousarray(latents.numpy()).data)
        return digest.hexdigest()


def code_directions(codec: TokenCodec) -> Float[Tensor, "codebooks codes dim"]:
    """The direction that each code of each codebook stands for, of length about 1."""
    draw = np.random.Generator(np.random.PCG64(CODE_DIRECTIONS_SEED))
    shape = (codec.codebooks, codec.codebook_size, CODE_DIRECTIONS_DIM)
    directions = draw.standard_normal(shape, dtype=np.float32)
    return torch.from_numpy(directions / np.sqrt(np.float32(CODE_DIRECTIONS_DIM)))


def probe(sample_rate: int) -> Float[np.ndarray, "1 time"]:
    """A fixed mono sound: a rising tone with a beat, float32 in [-1, 1]."""
    time_s = np.arange(round(PROBE_S * sample_rate)) / sample_rate
    tone = np.sin(2 * np.pi * (110 * time_s + 400 * time_s**2))
    return (0.5 * tone * (0.6 + 0.4 * np.cos(2 * np.pi * 5 * time_s)))[None].astype(np.float32)


def codec_embedding(
    codec: LatentCodec | TokenCodec, *, name: str = "codec", window_s: float = WINDOW_S
) -> CodecEmbedding:
    """`codec` as an embedding.

    Args:
        codec: A codec that is ready to encode, on the CPU.
        name: What reports call it.
        window_s: Length of a window, to whole frames; 1.5 to 3 s is what a phrase needs.
    """
    return CodecEmbedding(codec, name, window_s)
