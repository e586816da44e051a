"""One level of Jukebox as a codec: audio <-> one code per hop.

Any length goes in and comes out exactly; silence fills up the last frame. Long recordings are
worked on in chunks with as much context as the networks see, which equals the whole, in constant
memory.
"""

from pathlib import Path

import torch
from torch import nn

from ritornello.audio.chunk import chunk_plan
from ritornello.checkpoint import load_component, load_into, save_component
from ritornello.config import from_dict, to_dict
from ritornello.errors import CheckpointError
from ritornello.interfaces import TokenCodec
from ritornello.jukebox.vqvae import VqVae
from ritornello.jukebox.vqvae_config import LevelConfig
from ritornello.nn.quantize import tensors_to_save
from ritornello.shapes import Codes, Waveform

CHUNK_SAMPLES = 2**16
"""Least samples in a chunk, besides the context; more where the context is longer than that."""


def component_name(level: int) -> str:
    """Component of a level, counted from 0 as in the paper: the lowest hop."""
    return f"vqvae{level}"


def save_vqvae(folder: Path, level: int, vqvae: VqVae) -> None:
    """Write component `vqvae0`, `vqvae1`, ... in half precision; its codebook with counts of 1."""
    tensors = tensors_to_save(vqvae)
    save_component(folder, component_name(level), tensors, to_dict(vqvae.config), half=True)


def load_vqvae(folder: Path, level: int, config: LevelConfig | None = None) -> VqVae:
    """A level of the model in `folder`, in float32, not trainable.

    Args:
        folder: The model.
        level: From 0, the lowest hop.
        config: What it has to be; whatever it is when absent.

    Raises:
        CheckpointError: No such level, another configuration, or damaged files.
    """
    values, tensors = load_component(folder, component_name(level))
    found = from_dict(LevelConfig, values)
    if config is not None and found != config:
        raise CheckpointError(
            f"{folder / component_name(level)} holds {found}; expected {config}. "
            "Was the model trained from another config?"
        )
    vqvae = VqVae(found)
    load_into(vqvae, tensors)
    return vqvae.eval().requires_grad_(False)


class JukeboxCodec(TokenCodec):
    """One level: a `TokenCodec` with one codebook.

    Args:
        vqvae: The level.
        sample_rate: Of the audio, which is mono.
    """

    channels = 1
    codebooks = 1

    def __init__(self, vqvae: VqVae, sample_rate: int) -> None:
        self.vqvae, self.sample_rate = vqvae, sample_rate
        self.hop_samples = vqvae.config.hop_samples
        self.codebook_size = vqvae.config.codebook.codes
        self.encoder_frames = vqvae.encoder.reach.context
        self.decoder_frames = vqvae.decoder.reach.context
        self.context_frames = max(self.encoder_frames, self.decoder_frames)

    @torch.inference_mode()
    def encode(self, wave: Waveform) -> Codes:
        """Codes of mono waveforms."""
        self.check_wave(wave)
        time = wave.shape[-1]
        frames, hop = self.frames_for(time), self.hop_samples
        filled = nn.functional.pad(wave, (0, frames * hop - time))
        pieces = []
        for chunk in chunk_plan(
            frames, self._chunk_frames(self.encoder_frames), self.encoder_frames
        ):
            source = filled[..., chunk.padded_start * hop : chunk.padded_stop * hop]
            pieces.append(self.vqvae.encode(source)[:, chunk.keep])
        return torch.cat(pieces, 1)[:, None]

    @torch.inference_mode()
    def decode(self, codes: Codes, length: int | None = None) -> Waveform:
        """Audio of codes, cut off at full scale; `length` samples of it."""
        length, frames = self.check_codes(codes, length), codes.shape[-1]
        pieces, hop = [], self.hop_samples
        for chunk in chunk_plan(
            frames, self._chunk_frames(self.decoder_frames), self.decoder_frames
        ):
            wave = self.vqvae.decode(codes[:, 0, chunk.source])
            pieces.append(wave[..., chunk.keep.start * hop : chunk.keep.stop * hop])
        return torch.cat(pieces, -1)[..., :length].clamp(-1, 1)

    def _chunk_frames(self, context: int) -> int:
        """Frames of a chunk: mostly chunk, not mostly context."""
        return max(CHUNK_SAMPLES // self.hop_samples, 2 * context)
