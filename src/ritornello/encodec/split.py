"""A codec whose first codebooks stand still while a sound does.

    wave --+-- magnitudes -- MagnitudeEncoder --> first `steady_codebooks` codebooks --+
           |                                                                           + --> decoder
           +-- Encoder (SEANet) ----------------> the other codebooks -----------------+

Where all codebooks are steady, there is no second branch.

Deviation: all codebooks of EnCodec are given the waveform, so that codes of a held note change from
frame to frame with its phase; with small codecs hardly two neighbours are equal. A language model
then learns noise before it learns music. Here the first codebooks hear magnitudes, which know no
phase; the others have the waveform and say what is missing. Two quantisers side by side whose
codes are summed are those of Mimi (Défossez et al. 2024, "Moshi", section 3.3.3), whose first one
is taught by a model of speech.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ritornello.encodec.config import EncodecConfig
from ritornello.encodec.network import EncodecNetwork
from ritornello.encodec.rvq import Levels, Quantised, ResidualQuantiser, Vectors, quantise
from ritornello.encodec.seanet import Hidden, PaddedConv, ResidualBlock
from ritornello.shapes import Waveform

LOUDER = 30.0
"""Factor of magnitudes before their logarithm: what is below its inverse is nearly linear."""


class MagnitudeEncoder(nn.Module):
    """From magnitudes at several resolutions to queries, a window centred on every frame."""

    def __init__(self, config: EncodecConfig) -> None:
        super().__init__()
        self.config = config
        bins = sum(window // 2 + 1 for window in config.steady_windows)
        width, mode = config.width, config.padding
        self.layers = nn.Sequential(
            PaddedConv(bins, width, 1, mode=mode),
            ResidualBlock(config, width, 1),
            ResidualBlock(config, width, 1),
            nn.ELU(),
            PaddedConv(width, config.code_dim or config.dim, config.residual_kernel, mode=mode),
        )
        self.context_frames = -(-max(config.steady_windows) // (2 * config.hop_samples)) + 1

    def magnitudes(self, wave: Waveform) -> Float[Tensor, "batch bins frames"]:
        """Logarithms of magnitudes of every resolution, one above the other."""
        mono, hop, seen = wave.mean(1), self.config.hop_samples, []
        for size in self.config.steady_windows:
            beyond = max(size - hop, 0)
            padded = functional.pad(mono, (beyond // 2, beyond - beyond // 2))
            window = torch.hann_window(size, dtype=mono.dtype, device=mono.device)
            found = torch.stft(padded, size, hop, window=window, center=False, return_complex=True)
            seen.append(torch.log1p(LOUDER * 4 / size * found.abs()))
        return torch.cat(seen, 1)

    def forward(self, seen: Float[Tensor, "batch bins frames"]) -> Hidden:
        """Queries (batch, code_dim, frames) of magnitudes."""
        return self.layers(seen)


class SplitQuantiser(ResidualQuantiser):
    """Two residual quantisers side by side; the sum of what they say is the result."""

    def forward(self, queries: Vectors, levels: Levels | None = None) -> Quantised:
        """Codes of queries that lie side by side: the steady ones, then the others."""
        count, steady = self.config.codebooks, self.config.steady_codebooks
        first_queries, other_queries = queries.chunk(2, -1)
        first = quantise(first_queries, self.books[:steady], levels)
        others = quantise(
            other_queries, self.books[steady:], None if levels is None else levels - steady
        )
        whole = steady * first.commitment + (count - steady) * others.commitment
        return Quantised(
            vectors=first.vectors + others.vectors,
            codes=torch.cat([first.codes, others.codes], 1),
            residuals=first.residuals + others.residuals,
            commitment=whole / count,
        )


class SteadyNetwork(EncodecNetwork):
    """EnCodec whose every codebook hears magnitudes; no layer of its encoder sees the waveform."""

    def __init__(self, config: EncodecConfig) -> None:
        super().__init__(config)
        self.magnitude_encoder = MagnitudeEncoder(config)
        self.encoder = self.narrow = nn.Identity()
        self.context_frames = max(
            self.decoder.context_frames, self.magnitude_encoder.context_frames
        )

    def fast(self, wave: Waveform) -> Hidden:
        """The magnitudes."""
        return self.magnitude_encoder.magnitudes(wave)

    def queries(self, seen: Hidden) -> Vectors:
        """What is quantised."""
        return self.magnitude_encoder(seen).transpose(1, 2)


class SplitNetwork(EncodecNetwork):
    """EnCodec with a second encoder for the first codebooks."""

    def __init__(self, config: EncodecConfig) -> None:
        super().__init__(config)
        self.magnitude_encoder = MagnitudeEncoder(config)
        self.quantizer = SplitQuantiser(config)
        self.context_frames = max(self.context_frames, self.magnitude_encoder.context_frames)

    def fast(self, wave: Waveform) -> Hidden:
        """What SEANet makes of the wave, and its magnitudes below."""
        return torch.cat([self.encoder.fast(wave), self.magnitude_encoder.magnitudes(wave)], 1)

    def queries(self, seen: Hidden) -> Vectors:
        """Those of the steady codebooks, and beside them those of the others."""
        bands, magnitudes = seen[:, : self.config.width], seen[:, self.config.width :]
        steady = self.magnitude_encoder(magnitudes).transpose(1, 2)
        return torch.cat([steady, super().queries(bands)], -1)
