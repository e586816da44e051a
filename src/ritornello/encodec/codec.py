"""EnCodec as a codec: audio <-> `codebooks` parallel codes per frame.

Any length goes in and comes out exactly; silence fills up the last frame. Long recordings are
worked on in chunks where the rate is high, with as much context as the layers see, and as a whole
at the frame rate, where a recurrent network may run: this equals the whole, whatever the length.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ritornello.audio.chunk import chunk_plan
from ritornello.checkpoint import load_component, load_into, save_component
from ritornello.config import from_dict, to_dict
from ritornello.encodec.config import EncodecConfig
from ritornello.encodec.network import EncodecNetwork
from ritornello.encodec.split import SplitNetwork, SteadyNetwork
from ritornello.errors import CheckpointError
from ritornello.interfaces import TokenCodec
from ritornello.nn.quantize import tensors_to_save
from ritornello.shapes import Codes, Waveform

CODEC = "encodec"
"""Component folder of a model."""

CHUNK_SAMPLES = 2**17
"""Least samples in a chunk, besides the context."""


def build_network(config: EncodecConfig) -> EncodecNetwork:
    """The network that `config` describes, with the weights it is born with."""
    if not config.steady_codebooks:
        return EncodecNetwork(config)
    return (
        SplitNetwork(config)
        if config.steady_codebooks < config.codebooks
        else SteadyNetwork(config)
    )


class EncodecCodec(TokenCodec):
    """The network as a `TokenCodec`."""

    def __init__(self, network: EncodecNetwork) -> None:
        config = network.config
        self.network, self.config = network, config
        self.sample_rate, self.channels = config.sample_rate, config.channels
        self.hop_samples = config.hop_samples
        self.codebooks, self.codebook_size = config.codebooks, config.codebook_size
        slow = config.kernel // 2  # the convolution at the frame rate
        self.context_frames = network.context_frames + slow

    @classmethod
    def untrained(cls, config: EncodecConfig) -> "EncodecCodec":
        """A codec with whatever weights it is born with."""
        return cls(build_network(config).eval().requires_grad_(False))

    @torch.inference_mode()
    def encode(self, wave: Waveform) -> Codes:
        """Codes (batch, codebooks, frames)."""
        self.check_wave(wave)
        frames, hop = self.frames_for(wave.shape[-1]), self.hop_samples
        filled = nn.functional.pad(wave, (0, frames * hop - wave.shape[-1]))
        network, pieces = self.network, []
        for chunk in chunk_plan(frames, self._chunk_frames(), network.context_frames):
            source = filled[..., chunk.padded_start * hop : chunk.padded_stop * hop]
            pieces.append(network.fast(source)[..., chunk.keep])
        return network.quantizer.encode(network.queries(torch.cat(pieces, -1)))

    @torch.inference_mode()
    def decode(self, codes: Codes, length: int | None = None) -> Waveform:
        """Audio of codes, cut off at full scale; `length` samples of it."""
        length, frames = self.check_codes(codes, length), codes.shape[-1]
        vectors = self.network.quantizer.look_up(codes)
        decoder, pieces, hop = self.network.decoder, [], self.hop_samples
        slow = decoder.slow(self.network.widen(vectors.transpose(1, 2)))
        for chunk in chunk_plan(frames, self._chunk_frames(), decoder.context_frames):
            wave = decoder.fast(slow[..., chunk.source])
            pieces.append(wave[..., chunk.keep.start * hop : chunk.keep.stop * hop])
        return torch.cat(pieces, -1)[..., :length].clamp(-1, 1)

    def code_vectors(self) -> Float[Tensor, "codebooks codes dim"]:
        """The codebooks: what a frame's decoder input is the sum of."""
        return torch.stack([book.vectors for book in self.network.quantizer.books])

    def _chunk_frames(self) -> int:
        context = self.network.context_frames
        return max(CHUNK_SAMPLES // self.hop_samples, 2 * context)


def save_codec(codec: EncodecCodec, folder: Path, *, half: bool = True) -> None:
    """Write component `encodec`, its codebooks with counts of 1.

    Args:
        codec: The codec.
        folder: The model.
        half: Store weights in half precision; a few codes near a border then become others.
    """
    tensors = tensors_to_save(codec.network)
    save_component(folder, CODEC, tensors, to_dict(codec.config), half=half)


def load_codec(folder: Path, config: EncodecConfig | None = None) -> EncodecCodec:
    """The codec of the model in `folder`, in float32, not trainable.

    Args:
        folder: The model.
        config: What it has to be; whatever it is when absent.

    Raises:
        CheckpointError: No codec, another configuration, or damaged files.
    """
    values, tensors = load_component(folder, CODEC)
    found = from_dict(EncodecConfig, values)
    if config is not None and found != config:
        raise CheckpointError(
            f"{folder / CODEC} holds {found}; expected {config}. "
            "Was the model trained from another config?"
        )
    network = build_network(found)
    load_into(network, tensors)
    return EncodecCodec(network.eval().requires_grad_(False))
