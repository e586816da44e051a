"""What Musika's stages train from: audio by spectrogram blocks, controls, latents.

All are memory-mapped caches over the same corpus. Audio is kept as 16-bit samples at the model's
rate and channels, cut into blocks of one STFT hop, so that a crop is one read and its spectrum one
FFT; nothing is resampled or decoded while training.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ritornello.data.corpus import Corpus, Recording
from ritornello.data.store import FieldSpec
from ritornello.data.tokens import ArrayCache
from ritornello.interfaces import Audio
from ritornello.musika.codec import MusikaCodec
from ritornello.musika.config import MusikaConfig
from ritornello.musika.controls import measure
from ritornello.nn.precision import encoding_precision
from ritornello.shapes import Waveform

FULL_SCALE = 32767.0
UNMEASURED = -1e9
"""Stands for NaN in the cache of controls."""
Progress = Callable[[int, int, str], None]
logger = logging.getLogger(__name__)


def split_to_judge(cache: ArrayCache, corpus: Corpus, frames: int) -> str:
    """The split whose crops of `frames` frames figures are made of: "valid" where it has any.

    A folder of one recording holds nothing out, and short recordings may hold no such crop; then
    the music that is trained on has to do.
    """
    held_out = len(corpus.split("valid"))
    return "valid" if len(cache.too_short(frames, "valid")) < held_out else "train"


def clip_to_hear(cache: ArrayCache, corpus: Corpus, frames: int) -> tuple[int, str]:
    """(frames, split) of clips to listen to: held out if possible, halved until there is one."""
    split = "valid" if len(corpus.split("valid")) else "train"
    while frames > 1 and len(cache.too_short(frames, split)) == len(corpus.split(split)):
        frames //= 2
    return frames, split


class AudioBlocks:
    """Random crops of the corpus as waveforms at the model's rate.

    Args:
        corpus: The recordings.
        config: Fixes rate, channels and the length of a block.
        folder: Where the cache lives.
    """

    def __init__(self, corpus: Corpus, config: MusikaConfig, folder: Path) -> None:
        self.corpus, self.config = corpus, config
        self.hop = config.stft.hop_length
        self.key = f"pcm {config.sample_rate} Hz, {config.channels} channels, blocks of {self.hop}"
        fields = {"pcm": FieldSpec(shape_per_frame=(config.channels * self.hop,), dtype="int16")}
        self.cache = ArrayCache(folder, self.key, fields)

    def fill(self, progress: Progress | None = None) -> None:
        """Read, resample and cut what the cache does not hold yet."""
        self.cache.fill(self.corpus, self._blocks, progress, workers=2)
        if not len(self.corpus.split("valid")):
            logger.warning(
                "no recording is held out: figures are measured on the music trained on. "
                "Give recordings of two works or more."
            )

    def _blocks(self, recording: Recording) -> dict[str, np.ndarray]:
        config, hop = self.config, self.hop
        audio = recording.read(sample_rate=config.sample_rate, channels=config.channels)
        blocks = -(-audio.samples.shape[1] // hop)
        padded = np.pad(audio.samples, ((0, 0), (0, blocks * hop - audio.samples.shape[1])))
        pcm = np.clip(np.rint(padded * FULL_SCALE), -32768, 32767).astype(np.int16)
        rows = pcm.reshape(config.channels, blocks, hop).transpose(1, 0, 2)
        return {"pcm": rows.reshape(blocks, -1)}

    def draw(self, draw: torch.Generator, blocks: int, batch: int, split: str) -> Waveform:
        """Crops of `blocks` blocks as waveforms (batch, channels, blocks * hop)."""
        return self._waves(self.cache.draw(draw, blocks, batch, split)["pcm"])

    def read(self, recording: Recording) -> Audio:
        """A whole recording, filled up with silence to whole blocks."""
        wave = self._waves(self.cache.read(recording.id)["pcm"][None])[0]
        return Audio(samples=wave.numpy(), sample_rate=self.config.sample_rate)

    def _waves(self, pcm: np.ndarray) -> Waveform:
        """Waveforms of stored rows (batch, blocks, channels * hop)."""
        rows = torch.from_numpy(pcm.astype(np.float32))
        rows = rows.unflatten(-1, (self.config.channels, self.hop)).transpose(1, 2)
        return rows.flatten(2) / FULL_SCALE


class ControlCurves:
    """Raw control curves of the whole corpus at the latents' rate; independent of any codec.

    Args:
        blocks: The audio they are measured from.
        folder: Where the cache lives.
    """

    def __init__(self, blocks: AudioBlocks, folder: Path) -> None:
        self.blocks, self.config = blocks, blocks.config
        controls, hop = self.config.gan.controls, self.config.hop_samples
        fields = {"controls": FieldSpec(shape_per_frame=(len(controls),), dtype="float32")}
        key = f"controls {' '.join(controls)} every {hop} samples of {blocks.key}"
        self.cache = ArrayCache(folder, key, fields)

    def fill(self, progress: Progress | None = None) -> None:
        """Measure what the cache does not hold yet."""
        self.cache.fill(self.blocks.corpus, self._measured, progress, workers=2)

    def _measured(self, recording: Recording) -> dict[str, np.ndarray]:
        audio = self.blocks.read(recording)
        frames = -(-audio.samples.shape[1] // self.config.hop_samples)
        curves = measure(
            audio, self.config.gan.controls, rate_hz=self.config.latent_rate_hz, frames=frames
        )
        # The store refuses NaN, which says "not measurable" here.
        return {"controls": np.nan_to_num(curves.T, nan=UNMEASURED)}

    def read(self, recording: Recording) -> Float[np.ndarray, "frames controls"]:
        """Stored curves of one recording, `UNMEASURED` where there is no value."""
        return self.cache.read(recording.id)["controls"]

    def all_of(self, split: str) -> Float[np.ndarray, "frames controls"]:
        """Raw curves of all recordings of `split`, one after the other; NaN where unmeasured."""
        values = np.concatenate([self.read(r) for r in self.blocks.corpus if r.split == split])
        return np.where(values == UNMEASURED, np.nan, values)


class LatentWindows:
    """Latents of the whole corpus with their raw control curves, for the GAN.

    Args:
        blocks: The audio.
        curves: Control curves of the same corpus; None when the model has no controls.
        codec: The trained codec.
        weights: Hash of the codec's weights; another one empties the cache.
        folder: Where the cache lives.
    """

    def __init__(
        self,
        blocks: AudioBlocks,
        curves: ControlCurves | None,
        codec: MusikaCodec,
        weights: str,
        folder: Path,
    ) -> None:
        self.blocks, self.curves, self.codec = blocks, curves, codec
        fields = {"latents": FieldSpec(shape_per_frame=(codec.latent_dim,), dtype="float16")}
        key = f"latents {weights}"
        if curves is not None:
            controls = codec.config.gan.controls
            fields["controls"] = FieldSpec(shape_per_frame=(len(controls),), dtype="float32")
            key += f" with {' '.join(controls)}"
        self.cache = ArrayCache(folder, key, fields)

    def fill(self, progress: Progress | None = None) -> None:
        """Encode what the cache does not hold yet."""
        self.cache.fill(self.blocks.corpus, self._encoded, progress, workers=2)

    @torch.inference_mode()
    def _encoded(self, recording: Recording) -> dict[str, np.ndarray]:
        samples = torch.from_numpy(self.blocks.read(recording).samples)
        with encoding_precision():
            latents = self.codec.encode(samples[None])[0].float().T.numpy()
        if self.curves is None:
            return {"latents": latents}
        return {"latents": latents, "controls": self.curves.read(recording)}

    def draw(
        self, draw: torch.Generator, frames: int, batch: int, split: str
    ) -> tuple[Float[Tensor, "batch dim frames"], Float[Tensor, "batch controls frames"]]:
        """Windows of latents and of the raw control curves, NaN where not measurable."""
        crops = self.cache.draw(draw, frames, batch, split)
        latents = torch.from_numpy(crops["latents"]).float().transpose(1, 2)
        if "controls" not in crops:
            return latents, latents[:, :0]
        raw = torch.from_numpy(crops["controls"]).transpose(1, 2)
        return latents, torch.where(raw == UNMEASURED, torch.nan, raw)
