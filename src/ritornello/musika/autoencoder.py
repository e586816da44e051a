"""The light autoencoders: Musika's two levels at sizes that two CPU cores can train and play.

Level 1 sees one channel at a time, frame by frame on the way in (as in the published code:
a frame-wise network with tanh at the end), with some context in time on the way out. Level 2 takes
the level-1 latents of both channels together and halves their rate until the GAN can model them.
The published networks, with the same methods, are in `published.py`.

Deviation: convolutions keep their zero padding away from what is played (context, not windows, see
`codec.py`), so there are no seams to learn away; the reference decodes windows of 64 frames that
know nothing of each other.
Deviation: the decoder's second head states the slopes of the phase, not the phase (see `phase.py`).

Axes: (batch, dim, frames); log magnitudes are (batch, bins, frames) in the units of `codec.Scale`.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ritornello.musika.config import Level1Config, Level2Config


class SlopeHeads(NamedTuple):
    """What the light level-1 decoder says: magnitudes, and two unit phasors per bin and frame.

    Attributes:
        log_magnitude: (batch, bins, frames).
        advance: Cosine and sine of the phase's turn since the frame before, (batch, 2, phase_bins,
            frames); not normalised.
        slope: Cosine and sine of the phase's change to the next bin, the same.
    """

    log_magnitude: Float[Tensor, "batch bins frames"]
    advance: Float[Tensor, "batch 2 phase_bins frames"]
    slope: Float[Tensor, "batch 2 phase_bins frames"]


class ResidualConv(nn.Module):
    """x + conv1(swish(conv3(swish(x)))); the last weights start at 0, so depth costs no signal."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Conv1d(width, width, 3, padding=1)
        self.out = nn.Conv1d(width, width, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Float[Tensor, "batch dim frames"]) -> Float[Tensor, "batch dim frames"]:
        """Same shape; depends on one frame to both sides."""
        return x + self.out(functional.silu(self.mix(functional.silu(x))))


class LightLevel1Encoder(nn.Module):
    """Log magnitudes of each frame -> its latents in [-1, 1]; no frame sees another."""

    def __init__(self, bins: int, config: Level1Config) -> None:
        super().__init__()
        widths = [bins, *[config.encoder_width] * config.encoder_layers]
        self.hidden = nn.ModuleList(nn.Conv1d(a, b, 1) for a, b in pairwise(widths))
        self.out = nn.Conv1d(config.encoder_width, config.latent_dim, 1)

    def forward(
        self, log_magnitude: Float[Tensor, "batch bins frames"]
    ) -> Float[Tensor, "batch dim frames"]:
        """Latents at the spectrogram's frame rate."""
        x = log_magnitude
        for layer in self.hidden:
            x = functional.silu(layer(x))
        return torch.tanh(self.out(x))


class LightLevel1Decoder(nn.Module):
    """Level-1 latents of one channel -> log magnitudes and the slopes of the phase."""

    def __init__(self, bins: int, config: Level1Config) -> None:
        super().__init__()
        width = config.decoder_width
        self.phase_bins = min(config.phase_bins, bins)
        self.bins = bins
        self.layers = config.decoder_layers
        self.enter = nn.Conv1d(config.latent_dim, width, 3, padding=1)
        self.blocks = nn.ModuleList(ResidualConv(width) for _ in range(config.decoder_layers))
        self.magnitude = nn.Conv1d(width, bins, 1)
        self.phasors = nn.Conv1d(width, 4 * self.phase_bins, 1)

    @property
    def context_frames(self) -> int:
        """Frames to both sides that a decoded frame depends on."""
        return 1 + self.layers

    def trunk(
        self, latents: Float[Tensor, "batch dim frames"]
    ) -> Float[Tensor, "batch width frames"]:
        """What both heads read."""
        x = self.enter(latents)
        for block in self.blocks:
            x = block(x)
        return functional.silu(x)

    def log_magnitude(
        self, latents: Float[Tensor, "batch dim frames"]
    ) -> Float[Tensor, "batch bins frames"]:
        """The first head alone, for training that does not need the phase."""
        return self.magnitude(self.trunk(latents))

    def forward(self, latents: Float[Tensor, "batch dim frames"]) -> SlopeHeads:
        """Heads for every frame; the phasors of the lowest `phase_bins` bins."""
        x = self.trunk(latents)
        phasors = self.phasors(x).unflatten(1, (2, 2, self.phase_bins))
        return SlopeHeads(self.magnitude(x), phasors[:, 0], phasors[:, 1])


class LightLevel2Encoder(nn.Module):
    """Level-1 latents (of all channels together) -> slow latents in [-1, 1]."""

    def __init__(self, channels_in: int, config: Level2Config) -> None:
        super().__init__()
        width = config.width
        self.enter = nn.Conv1d(channels_in, width, 3, padding=1)
        layers: list[nn.Module] = []
        for _ in range(config.ratio.bit_length() - 1):
            layers += [ResidualConv(width) for _ in range(config.layers)]
            layers += [nn.SiLU(), nn.Conv1d(width, width, 4, stride=2, padding=1)]
        layers += [ResidualConv(width) for _ in range(config.layers)]
        self.blocks = nn.Sequential(*layers)
        self.out = nn.Conv1d(width, config.latent_dim, 1)
        self.ratio, self.layers = config.ratio, config.layers

    @property
    def context_frames(self) -> int:
        """Slow frames to both sides that a slow latent depends on."""
        reach, rate = 1 + self.layers, 1
        while rate < self.ratio:
            reach += 2 * rate
            rate *= 2
            reach += self.layers * rate
        return -(-reach // self.ratio)

    def forward(
        self, latents: Float[Tensor, "batch dim frames"]
    ) -> Float[Tensor, "batch slow_dim slow_frames"]:
        """Frames // ratio slow latents; `frames` must be a multiple of ratio."""
        return torch.tanh(self.out(functional.silu(self.blocks(self.enter(latents)))))


class LightLevel2Decoder(nn.Module):
    """Slow latents -> level-1 latents of all channels together."""

    def __init__(self, channels_out: int, config: Level2Config) -> None:
        super().__init__()
        width = config.width
        self.ratio, self.layers = config.ratio, config.layers
        self.enter = nn.Conv1d(config.latent_dim, width, 3, padding=1)
        layers: list[nn.Module] = [ResidualConv(width) for _ in range(config.layers)]
        for _ in range(config.ratio.bit_length() - 1):
            layers += [nn.SiLU(), nn.ConvTranspose1d(width, width, 4, stride=2, padding=1)]
            layers += [ResidualConv(width) for _ in range(config.layers)]
        self.blocks = nn.Sequential(*layers)
        self.out = nn.Conv1d(width, channels_out, 1)

    @property
    def context_frames(self) -> int:
        """Slow frames to both sides that a decoded frame depends on."""
        reach = float(1 + self.layers)
        rate = 1
        for _ in range(self.ratio.bit_length() - 1):
            reach += 1 / rate
            rate *= 2
            reach += self.layers / rate
        return int(reach) + 1

    def forward(
        self, latents: Float[Tensor, "batch slow_dim slow_frames"]
    ) -> Float[Tensor, "batch dim frames"]:
        """slow_frames * ratio level-1 latents, in [-1, 1] like the encoder's."""
        return torch.tanh(self.out(functional.silu(self.blocks(self.enter(latents)))))
