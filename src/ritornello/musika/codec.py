"""Musika's codec: stereo audio <-> slow latents, through spectrograms and two autoencoder levels.

    audio -> STFT -> log magnitude -> level 1 (each channel) -> level 2 -> latents
    audio <- inverse STFT <- magnitude and phase <- level 1 <- level 2 <- latents

Decoding works in windows: a chunk of latents with `context_latents` on both sides gives exactly the
chunk's samples, and neighbouring windows join without seam, whatever was decoded before. Whole
decoding is one window after the other, so streamed, sought and whole audio are the same bits.

Three families share this file. In the "light" one decoders have context and phases come from their
slopes (`phase.py`), refined by a few Griffin-Lim passes inside the window. The published "paper"
and "release" decoders work in windows of their own that know nothing of each other, and state the
phase outright.

Axes: (batch, channels, time) waveforms, (rows, bins, frames) spectra, (batch, dim, frames) latents.
"""

import hashlib
import math
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ritornello.audio.stft import StftConfig, istft, istft_span, stft
from ritornello.checkpoint import load_component, load_into, save_component
from ritornello.errors import AudioError
from ritornello.interfaces import LatentCodec
from ritornello.musika.autoencoder import (
    LightLevel1Decoder,
    LightLevel1Encoder,
    LightLevel2Decoder,
    LightLevel2Encoder,
    SlopeHeads,
)
from ritornello.musika.config import Level2Config, MusikaConfig
from ritornello.musika.phase import centred, pinned_phase
from ritornello.musika.published import (
    WINDOW_FRAMES,
    PaperLevel1Decoder,
    PaperLevel1Encoder,
    PaperLevel2Decoder,
    PaperLevel2Encoder,
    ReleaseLevel1Decoder,
    ReleaseLevel1Encoder,
    ReleaseLevel2Decoder,
    ReleaseLevel2Encoder,
)
from ritornello.musika.stereo import shared_slopes, spread_angles
from ritornello.shapes import Latents, Waveform

ENCODED_LATENTS = 2048
"""Latents encoded at a time; bounds the memory of long recordings."""


class MagnitudeScale:
    """Between spectra and what level 1 sees: decibels, moved and scaled to about [-1, 1].

    Args:
        gain: Applied to the STFT first; 2 / sum(window) makes a full-scale sine 1.
        floor_db: Power added before the logarithm: what is far below it counts as silence.
        centre_db: Decibels that become 0.
        half_range_db: Decibels from there that become 1.
    """

    def __init__(self, gain: float, floor_db: float, centre_db: float, half_range_db: float):
        self.gain, self.centre_db, self.half_range_db = gain, centre_db, half_range_db
        self.floor = 10 ** (floor_db / 10)

    def __call__(self, spectrum: Tensor) -> Tensor:
        """Scaled log magnitudes of a complex spectrum."""
        power = (spectrum.real.square() + spectrum.imag.square()) * self.gain**2
        return (10 * torch.log10(power + self.floor) - self.centre_db) / self.half_range_db

    def magnitude(self, log_magnitude: Tensor) -> Tensor:
        """Magnitudes of the STFT: the inverse; at the floor and below it, zero."""
        decibels = log_magnitude * self.half_range_db + self.centre_db
        power = torch.pow(10, decibels.clamp(max=60.0) / 10) - self.floor
        # A root has no slope at 0: silent bins are kept out of it, or one would spoil a training.
        is_heard = power > 0
        return torch.where(is_heard, power, 1.0).sqrt() * is_heard / self.gain


def magnitude_scale(config: MusikaConfig) -> MagnitudeScale:
    """The scale of a model's family: the published one, or the light one."""
    if config.family == "light":
        gain = 4 / config.stft.n_fft  # 2 / sum of a periodic Hann window
        return MagnitudeScale(gain=gain, floor_db=-100.0, centre_db=-50.0, half_range_db=50.0)
    return MagnitudeScale(gain=1.0, floor_db=-100.0, centre_db=-25.0, half_range_db=75.0)


def build_level1(config: MusikaConfig) -> nn.ModuleDict:
    """Encoder and decoder of level 1, untrained."""
    match config.family:
        case "light":
            bins = config.stft.bins
            encoder = LightLevel1Encoder(bins, config.level1)
            decoder = LightLevel1Decoder(bins, config.level1)
        case "paper":
            encoder, decoder = PaperLevel1Encoder(), PaperLevel1Decoder()
        case _:
            encoder, decoder = ReleaseLevel1Encoder(), ReleaseLevel1Decoder()
    return nn.ModuleDict({"encoder": encoder, "decoder": decoder})


def build_level2(config: MusikaConfig) -> nn.ModuleDict:
    """Encoder and decoder of level 2, untrained."""
    match config.family:
        case "light":
            together = config.channels if config.level2.joint else 1
            dim = config.level1.latent_dim * together
            encoder = LightLevel2Encoder(dim, config.level2)
            decoder = LightLevel2Decoder(dim, config.level2)
        case "paper":
            encoder, decoder = PaperLevel2Encoder(), PaperLevel2Decoder()
        case _:
            encoder, decoder = ReleaseLevel2Encoder(), ReleaseLevel2Decoder()
    return nn.ModuleDict({"encoder": encoder, "decoder": decoder})


def load_level(folder: Path, name: str, level: nn.ModuleDict) -> None:
    """Fill `level` with component `name` of a model folder, for playing: not trainable."""
    load_into(level, load_component(folder, name)[1])
    level.eval().requires_grad_(False)


def save_level(folder: Path, name: str, level: nn.ModuleDict, config: MusikaConfig) -> None:
    """Write component `name` into a model folder, in half precision."""
    save_component(folder, name, level, {"family": config.family}, half=True)


def level1_alone(config: MusikaConfig, level1: nn.ModuleDict) -> "MusikaCodec":
    """The codec that ends at level 1, to hear and measure what that can do."""
    identity = Level2Config(latent_dim=config.level1.latent_dim, joint=False, ratio=1)
    level2 = nn.ModuleDict({"encoder": nn.Identity(), "decoder": nn.Identity()})
    return MusikaCodec(replace(config, level2=identity), level1, level2)


def encoder_hash(codec: "MusikaCodec") -> str:
    """Hash of what latents depend on: weights of both encoders, not of the decoders."""
    digest = hashlib.sha256()
    for level in (codec.level1, codec.level2):
        for name, tensor in level["encoder"].state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()


class MusikaCodec(LatentCodec):
    """Both autoencoder levels with their spectrograms: a `LatentCodec`."""

    def __init__(
        self,
        config: MusikaConfig,
        level1: nn.ModuleDict,
        level2: nn.ModuleDict,
        stereo_spread: float = 0.0,
    ) -> None:
        self.config, self.level1, self.level2 = config, level1, level2
        self.stereo_spread = stereo_spread
        self.sample_rate, self.channels = config.sample_rate, config.channels
        self.latent_dim, self.hop_samples = config.latent_dim, config.hop_samples
        self.chunk_frames = config.gan.chunk_frames
        self.scale = magnitude_scale(config)
        self.stft = StftConfig(config.stft.n_fft, config.stft.hop_length)
        passes = config.level1.phase_passes if config.family == "light" else 0
        reach = self.stft.n_fft // self.stft.hop_length - 1
        self.margin_frames = self.stft.context_frames + passes * reach
        bin_hz = self.sample_rate / self.stft.n_fft
        self._spread = spread_angles(self.stft.bins, self.channels, bin_hz, stereo_spread)
        self.context_frames = self.context_latents = self._context_latents()

    @classmethod
    def untrained(cls, config: MusikaConfig) -> "MusikaCodec":
        """A codec with fresh weights."""
        return cls(config, build_level1(config), build_level2(config))

    @classmethod
    def load(cls, folder: Path, config: MusikaConfig, stereo_spread: float = 0.0) -> "MusikaCodec":
        """The codec saved in the model folder `folder`, in float32, not trainable."""
        codec = cls(config, build_level1(config), build_level2(config), stereo_spread)
        load_level(folder, "level1", codec.level1)
        load_level(folder, "level2", codec.level2)
        return codec

    def save(self, folder: Path) -> None:
        """Write components `level1` and `level2` in half precision."""
        save_level(folder, "level1", self.level1, self.config)
        save_level(folder, "level2", self.level2, self.config)

    def to(self, dtype: torch.dtype) -> "MusikaCodec":
        """This codec with weights in `dtype`."""
        self.level1.to(dtype)
        self.level2.to(dtype)
        return self

    # -------------------------------------------------------------- audio to latents

    def encode(self, wave: Waveform) -> Latents:
        """Latents of `wave`; outside of it there is silence."""
        self.check_wave(wave)
        time = wave.shape[-1]
        frames, context = self.frames_for(time), self._encoder_context()
        padded = nn.functional.pad(
            wave,
            (context * self.hop_samples, (frames + context) * self.hop_samples - time),
        )
        pieces = []
        for start in range(0, frames, ENCODED_LATENTS):
            stop = min(frames, start + ENCODED_LATENTS)
            span = padded[..., start * self.hop_samples : (stop + 2 * context) * self.hop_samples]
            pieces.append(self._encode_span(span)[..., context : context + stop - start])
        return torch.cat(pieces, -1)

    def _encode_span(self, wave: Waveform) -> Latents:
        batch = wave.shape[0]
        spectrum = stft(wave.flatten(0, 1), self.stft)
        return self.encode_level2(self.level1["encoder"](self.scale(spectrum)), batch)

    def encode_level2(
        self, level1: Float[Tensor, "rows level1_dim level1_frames"], batch: int
    ) -> Latents:
        """Slow latents of level-1 latents that come channel by channel."""
        if self.config.level2.joint:
            return self.level2["encoder"](self._channels_together(level1, batch))
        return self._channels_together(self.level2["encoder"](level1), batch)

    def _channels_together(self, apart: Tensor, batch: int) -> Float[Tensor, "batch dims frames"]:
        return apart.unflatten(0, (batch, -1)).flatten(1, 2)

    # -------------------------------------------------------------- latents to audio

    def decode(self, latents: Latents, length: int | None = None) -> Waveform:
        """Audio of `latents`, which are held at both ends; `length` samples of it."""
        batch, _, frames = latents.shape
        length = self.checked_length(frames, length)
        chunks = -(-frames // self.chunk_frames)
        context = self.context_latents
        right = chunks * self.chunk_frames - frames + context
        held = nn.functional.pad(latents, (context, right), mode="replicate")
        windows = held.unfold(-1, self.chunk_frames + 2 * context, self.chunk_frames)
        rows = windows.permute(0, 2, 1, 3).flatten(0, 1)
        decoded = [self.decode_window(row) for row in rows.split(1)]
        wave = torch.cat(decoded).unflatten(0, (batch, chunks))
        return wave.transpose(1, 2).flatten(2)[..., :length]

    def decode_window(
        self, latents: Float[Tensor, "batch dim window"]
    ) -> Float[Tensor, "batch channels time"]:
        """Audio of the chunk in the middle of `context_latents + chunk + context_latents`.

        Windows are to lie on one grid of chunks: phases are pinned at its borders.
        """
        batch = latents.shape[0]
        expected = self.chunk_frames + 2 * self.context_latents
        if latents.shape[-1] != expected:
            raise AudioError(f"decode_window got {latents.shape[-1]} latents; expected {expected}")
        spectrum = self._spectrum(self.decode_level2(latents))
        frames = spectrum.shape[-1]
        start = self.margin_frames * self.stft.hop_length
        samples = self.chunk_frames * self.hop_samples
        wave = istft_span(spectrum, self.stft, 0, frames, start, start + samples)
        return wave.unflatten(0, (batch, self.channels))

    def decode_level2(self, latents: Latents) -> Float[Tensor, "rows level1_dim level1_frames"]:
        """Level-1 latents, channel by channel."""
        if self.config.level2.joint:
            return self._channels_apart(self.level2["decoder"](latents))
        return self.level2["decoder"](self._channels_apart(latents))

    def _channels_apart(self, together: Tensor) -> Float[Tensor, "batch_channels dim frames"]:
        return together.unflatten(1, (self.channels, -1)).flatten(0, 1)

    def _spectrum(self, level1: Float[Tensor, "rows dim window"]) -> Tensor:
        """Complex spectrum of the chunk and `margin_frames` on both sides."""
        heads = self.level1["decoder"](level1)
        outside = self.context_latents * self.config.level2.ratio - self.margin_frames
        inner = slice(outside, level1.shape[-1] - outside)
        if not isinstance(heads, SlopeHeads):
            log_magnitude, phase = heads
            magnitude = self.scale.magnitude(log_magnitude[..., inner])
            return torch.polar(magnitude, phase[..., inner] * math.pi)
        magnitude = self.scale.magnitude(heads.log_magnitude[..., inner])
        apart = magnitude.unflatten(0, (-1, self.channels))
        rest = (0, 0, 0, magnitude.shape[-2] - heads.advance.shape[-2])
        advance, slope = (
            nn.functional.pad(
                shared_slopes(apart, p[..., inner].unflatten(0, (-1, self.channels))), rest
            )
            for p in (heads.advance, heads.slope)
        )
        phase = pinned_phase(
            apart.square().mean(1).sqrt(),
            advance,
            slope,
            margin=self.margin_frames,
            bend_frames=self._bend_frames(),
            n_fft=self.stft.n_fft,
            hop_length=self.stft.hop_length,
        )
        width = self._spread[:, :, None].to(phase)
        return self._refined(magnitude, (centred(phase)[:, None] + width).flatten(0, 1))

    def _refined(self, magnitude: Tensor, phase: Tensor) -> Tensor:
        """The spectrum after Griffin-Lim passes, whose errors at the ends stay in the margin."""
        spectrum = torch.polar(magnitude, phase)
        length = magnitude.shape[-1] * self.stft.hop_length
        for _ in range(self.config.level1.phase_passes):
            consistent = stft(istft(spectrum, self.stft, length), self.stft)
            spectrum = torch.polar(magnitude, consistent.angle())
        return spectrum

    # -------------------------------------------------------------- arithmetic

    def _bend_frames(self) -> int:
        """Frames over which a chunk's phases are bent to the next pin: at most a second."""
        chunk = self.chunk_frames * self.config.level2.ratio
        return min(round(self.config.spectrogram_rate_hz), (chunk - self.margin_frames) // 2)

    def _encoder_context(self) -> int:
        """Latents on both sides that an encoded latent depends on, the STFT's reach included."""
        reach = math.ceil(self.stft.context_frames / self.config.level2.ratio)
        return reach + getattr(self.level2["encoder"], "context_frames", 0)

    def _context_latents(self) -> int:
        """Latents on both sides that a chunk's audio depends on."""
        ratio = self.config.level2.ratio
        decoder1, decoder2 = self.level1["decoder"], self.level2["decoder"]
        if isinstance(decoder1, LightLevel1Decoder):
            reach = math.ceil((self.margin_frames + decoder1.context_frames) / ratio)
            return reach + int(getattr(decoder2, "context_frames", 0))
        # Whole windows of the published decoders, so that those of neighbouring chunks coincide.
        window = WINDOW_FRAMES
        return math.ceil(self.margin_frames / window) * window // ratio
