"""The published autoencoders in their own sizes: the paper's (22.05 kHz) and the release's (44.1).

All see one audio channel at a time. Level 1 encodes every spectrum on its own and decodes windows
of 64 frames; level 2 squeezes blocks of frames to one latent each, without looking beyond the
block, and decodes windows that make 64 frames again. Windows are zero-padded and know nothing of
each other, so every network is exact per window and has no context. How they were trained was never
published.

    log magnitude  (batch, bins, frames), scaled to about [-1, 1]
    phase          (batch, bins, frames) in units of pi, [-1, 1]
    latents        (batch, dim, frames)

A decoder layer can add noise, as published: the decoders take a `torch.Generator` to draw it from,
and add none without.
"""

from itertools import pairwise
from typing import ClassVar

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ritornello.errors import ConfigError
from ritornello.shapes import Latents

Hidden = Float[Tensor, "rows dim steps"]
Spectra = Float[Tensor, "batch bins frames"]

BINS = 513
LEVEL2_DIM = 64
WINDOW_FRAMES = 64


def same_conv(dim_in: int, dim_out: int, kernel: int, stride: int = 1) -> nn.Module:
    """Convolution giving steps / stride outputs; where padding is odd, the end gets one more."""
    total = max(kernel - stride, 0)
    before, after = total // 2, total - total // 2
    if before == after:
        return nn.Conv1d(dim_in, dim_out, kernel, stride, padding=before)
    return nn.Sequential(
        nn.ConstantPad1d((before, after), 0.0), nn.Conv1d(dim_in, dim_out, kernel, stride)
    )


def doubling_conv(dim_in: int, dim_out: int) -> nn.ConvTranspose1d:
    """Transposed convolution that doubles the length."""
    return nn.ConvTranspose1d(dim_in, dim_out, kernel_size=4, stride=2, padding=1)


class NoisyLayer(nn.Module):
    """A convolution, noise with one learned scale that starts at zero, a norm, swish."""

    def __init__(self, conv: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.conv = conv
        self.noise_scale = nn.Parameter(torch.zeros(1))
        self.norm = norm

    def forward(
        self, hidden: Hidden, noise: torch.Generator | None = None
    ) -> Float[Tensor, "rows dim_out steps_out"]:
        """The layer's output; None means no noise."""
        hidden = self.conv(hidden)
        if noise is not None:
            shape = (hidden.shape[0], 1, hidden.shape[2])
            drawn = torch.randn(shape, generator=noise, device=noise.device)
            hidden = hidden + (self.noise_scale * drawn).to(hidden.dtype)
        return functional.silu(self.norm(hidden))


def plain(conv: nn.Module) -> NoisyLayer:
    """The release's decoder layer: no norm."""
    return NoisyLayer(conv, nn.Identity())


def normed(conv: nn.Module, dim: int) -> NoisyLayer:
    """The paper's decoder layer: batch norm."""
    return NoisyLayer(conv, batch_norm(dim))


def batch_norm(dim: int) -> nn.BatchNorm1d:
    """Batch norm with the constants the paper's framework has by default."""
    return nn.BatchNorm1d(dim, eps=1e-3, momentum=0.01)


def cut(sequence: Tensor, window: int, what: str) -> Tensor:
    """Windows stacked on the batch axis, (batch * windows, dim, window).

    Raises:
        ConfigError: If the frames are no multiple of `window`.
    """
    frames = sequence.shape[-1]
    if frames == 0 or frames % window:
        raise ConfigError(
            f"{what} got {frames} frames; expected a multiple of {window}. Pad the sequence first."
        )
    return rearrange(sequence, "b d (n w) -> (b n) d w", w=window)


def glue(windows: Tensor, batch: int) -> Tensor:
    """The inverse of `cut`."""
    return rearrange(windows, "(b n) d w -> b d (n w)", b=batch)


def _through(layers: nn.ModuleList, hidden: Tensor, noise: torch.Generator | None) -> Tensor:
    for layer in layers:
        hidden = layer(hidden, noise)
    return hidden


class ReleaseLevel1Encoder(nn.Module):
    """Every spectrum on its own: 5 x 1024 wide, to 64 latents."""

    latent_dim: ClassVar[int] = 64

    def __init__(self) -> None:
        super().__init__()
        dims = (BINS, 1024, 1024, 1024, 1024, 1024)
        hidden = [
            module
            for dim_in, dim_out in pairwise(dims)
            for module in (nn.Conv1d(dim_in, dim_out, 1), nn.SiLU())
        ]
        self.layers = nn.Sequential(*hidden, nn.Conv1d(1024, self.latent_dim, 1), nn.Tanh())

    def forward(self, log_magnitude: Spectra) -> Latents:
        """Latents in [-1, 1], as many frames."""
        return self.layers(log_magnitude)


class ReleaseLevel1Decoder(nn.Module):
    """A U-Net in time with one way up to magnitudes and a second way up to phases."""

    latent_dim: ClassVar[int] = 64
    window_frames: ClassVar[int] = WINDOW_FRAMES

    def __init__(self) -> None:
        super().__init__()
        self.down0 = plain(same_conv(self.latent_dim, 768, 3))
        self.down1 = plain(same_conv(768, 768, 3, stride=2))
        self.down2 = plain(same_conv(768, 512, 3, stride=2))
        self.down3 = plain(same_conv(512, 256, 3, stride=2))
        self.up2 = plain(doubling_conv(256, 512))
        self.up1 = plain(doubling_conv(512, 768))
        self.up0 = plain(doubling_conv(768, 768))
        self.to_magnitude = nn.Conv1d(768, BINS, 1)
        self.phase1 = plain(doubling_conv(512, 768))
        self.phase0 = plain(doubling_conv(768, 768))
        self.to_phase = nn.Conv1d(768, BINS, 1)

    def forward(
        self, latents: Latents, noise: torch.Generator | None = None
    ) -> tuple[Spectra, Spectra]:
        """Log magnitude and phase, both clipped to [-1, 1], as many frames."""
        down0 = self.down0(cut(latents, self.window_frames, "The level-1 decoder"), noise)
        down1 = self.down1(down0, noise)
        down2 = self.down2(down1, noise)
        up2 = self.up2(self.down3(down2, noise), noise)
        up1 = self.up1(up2 + down2, noise)
        up0 = self.up0(up1 + down1, noise)
        phase = self.phase0(self.phase1(up2, noise) + up1, noise)
        heads = self.to_magnitude(up0 + down0), self.to_phase(phase + up0)
        magnitude, phase = (glue(head.clamp(-1, 1), len(latents)) for head in heads)
        return magnitude, phase


class ReleaseLevel2Encoder(nn.Module):
    """Blocks of 16 frames to one latent each: 16 -> 7 -> 3 -> 1 steps without padding."""

    ratio: ClassVar[int] = 16

    def __init__(self) -> None:
        super().__init__()
        convs = (
            same_conv(64, 256, 3),
            nn.Conv1d(256, 384, 3, stride=2),
            same_conv(384, 384, 3),
            nn.Conv1d(384, 512, 3, stride=2),
            same_conv(512, 512, 3),
            nn.Conv1d(512, 768, 3),
            nn.Conv1d(768, 768, 1),
        )
        hidden = [module for conv in convs for module in (conv, nn.SiLU())]
        self.layers = nn.Sequential(*hidden, nn.Conv1d(768, LEVEL2_DIM, 1), nn.Tanh())

    def forward(self, latents: Latents) -> Float[Tensor, "batch dim_out frames_out"]:
        """Latents in [-1, 1], one for every `ratio` frames."""
        return glue(self.layers(cut(latents, self.ratio, "The level-2 encoder")), len(latents))


class ReleaseLevel2Decoder(nn.Module):
    """Windows of 4 latents back to 64 level-1 frames."""

    ratio: ClassVar[int] = 16
    window_frames: ClassVar[int] = WINDOW_FRAMES // 16

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            plain(conv)
            for conv in (
                same_conv(LEVEL2_DIM, 768, 3),
                doubling_conv(768, 640),
                same_conv(640, 640, 3),
                doubling_conv(640, 512),
                same_conv(512, 512, 3),
                doubling_conv(512, 384),
                doubling_conv(384, 256),
            )
        )
        self.to_latents = nn.Conv1d(256, 64, 1)

    def forward(
        self, latents: Latents, noise: torch.Generator | None = None
    ) -> Float[Tensor, "batch dim_out frames_out"]:
        """Level-1 latents, not bounded, `ratio` frames for each latent."""
        hidden = cut(latents, self.window_frames, "The level-2 decoder")
        return glue(self.to_latents(_through(self.layers, hidden, noise)), len(latents))


class PaperLevel1Encoder(nn.Module):
    """Every spectrum on its own: widths growing to 768, batch norm, to 128 latents."""

    latent_dim: ClassVar[int] = 128

    def __init__(self) -> None:
        super().__init__()
        dims = (BINS, 544, 576, 640, 704, 768)
        hidden = [
            module
            for dim_in, dim_out in pairwise(dims)
            for module in (nn.Conv1d(dim_in, dim_out, 1), batch_norm(dim_out), nn.SiLU())
        ]
        self.layers = nn.Sequential(*hidden, nn.Conv1d(768, self.latent_dim, 1), nn.Tanh())

    def forward(self, log_magnitude: Spectra) -> Latents:
        """Latents in [-1, 1], as many frames."""
        return self.layers(log_magnitude)


class PaperLevel1Decoder(nn.Module):
    """A U-Net in time whose one trunk ends in magnitudes and phases together."""

    latent_dim: ClassVar[int] = 128
    window_frames: ClassVar[int] = WINDOW_FRAMES

    def __init__(self) -> None:
        super().__init__()
        self.down0 = normed(same_conv(self.latent_dim, 768, 1), 768)
        self.down1 = normed(same_conv(768, 512, 3, stride=2), 512)
        self.down2 = normed(same_conv(512, 384, 3, stride=2), 384)
        self.down3 = normed(same_conv(384, 320, 3, stride=2), 320)
        self.up2 = normed(doubling_conv(320, 384), 384)
        self.up1 = normed(doubling_conv(384, 512), 512)
        self.up0 = normed(doubling_conv(512, 768), 768)
        self.trunk = normed(same_conv(768, 1280, 1), 1280)
        self.to_both = nn.Conv1d(1280, 2 * BINS, 1)

    def forward(
        self, latents: Latents, noise: torch.Generator | None = None
    ) -> tuple[Spectra, Spectra]:
        """Log magnitude and phase, both clipped to [-1, 1], as many frames."""
        down0 = self.down0(cut(latents, self.window_frames, "The level-1 decoder"), noise)
        down1 = self.down1(down0, noise)
        down2 = self.down2(down1, noise)
        up2 = self.up2(self.down3(down2, noise), noise)
        up1 = self.up1(up2 + down2, noise)
        up0 = self.up0(up1 + down1, noise)
        both = self.to_both(self.trunk(up0 + down0, noise)).clamp(-1, 1)
        magnitude, phase = glue(both, len(latents)).chunk(2, dim=1)
        return magnitude, phase


class PaperLevel2Encoder(nn.Module):
    """Blocks of 8 frames to one latent each: 8 -> 6 -> 4 -> 2 -> 1 steps without padding."""

    ratio: ClassVar[int] = 8

    def __init__(self) -> None:
        super().__init__()
        sizes = (
            (128, 256, 1),
            (256, 512, 3),
            (512, 640, 3),
            (640, 640, 1),
            (640, 768, 3),
            (768, 768, 2),
        )
        hidden = [
            module
            for dim_in, dim_out, kernel in sizes
            for module in (nn.Conv1d(dim_in, dim_out, kernel), batch_norm(dim_out), nn.SiLU())
        ]
        self.layers = nn.Sequential(*hidden, nn.Conv1d(768, LEVEL2_DIM, 1), nn.Tanh())

    def forward(self, latents: Latents) -> Float[Tensor, "batch dim_out frames_out"]:
        """Latents in [-1, 1], one for every `ratio` frames."""
        return glue(self.layers(cut(latents, self.ratio, "The level-2 encoder")), len(latents))


class PaperLevel2Decoder(nn.Module):
    """Windows of 8 latents back to 64 level-1 frames."""

    ratio: ClassVar[int] = 8
    window_frames: ClassVar[int] = WINDOW_FRAMES // 8

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            normed(conv, dim)
            for conv, dim in (
                (same_conv(LEVEL2_DIM, 768, 4), 768),
                (doubling_conv(768, 768), 768),
                (doubling_conv(768, 640), 640),
                (same_conv(640, 512, 4), 512),
                (doubling_conv(512, 384), 384),
            )
        )
        self.to_latents = nn.Sequential(nn.Conv1d(384, 128, 1), nn.Tanh())

    def forward(
        self, latents: Latents, noise: torch.Generator | None = None
    ) -> Float[Tensor, "batch dim_out frames_out"]:
        """Level-1 latents in [-1, 1], `ratio` frames for each latent."""
        hidden = cut(latents, self.window_frames, "The level-2 decoder")
        return glue(self.to_latents(_through(self.layers, hidden, noise)), len(latents))
