"""What the codec lowers (section 3.4): errors of samples, of mel spectra, and being found out.

    time         mean absolute error of samples
    magnitude    distance of linear magnitudes over their norm, mean over resolutions
    frequency    absolute and squared distance of log-mel spectra, mean over resolutions
    adversarial  hinge: the discriminators take the decoded for real
    features     distance of what the discriminators see in both, relative to its size

Deviation: terms have fixed weights; the paper's balancer rescales gradients at the output.
"""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ritornello.audio.stft import (
    StftConfig,
    hz_to_mel,
    log_mel,
    mel_filterbank,
    mel_to_hz,
    stft,
)
from ritornello.nn.discriminator import SpectrogramDiscriminator, feature_distance
from ritornello.shapes import Waveform

FLOOR = 1e-3
"""Mel magnitude below which nothing is compared: about -70 dB of a full-scale sine."""

QUIET = 1e-4
"""Amplitude of noise that an excerpt is never held to be quieter than, or silence would count."""

MOST_MELS = 64

Scalar = Float[Tensor, ""]
Judgement = tuple[Tensor, list[Tensor]]
"""Scores, and features layer by layer, of one discriminator."""


def time_error(decoded: Waveform, real: Waveform) -> Scalar:
    """Mean absolute error."""
    return (decoded - real).abs().mean()


def frequency_error(
    decoded: Waveform, real: Waveform, windows: tuple[int, ...], sample_rate: int
) -> Scalar:
    """Mean over `windows` of the absolute and root mean squared distance of log-mel spectra."""
    terms = []
    for window in windows:
        config = StftConfig(window, window // 4)
        filters = mel_filterbank(sample_rate, window, mel_bands(window, sample_rate))
        made, true = (log_mel(wave, config, filters, FLOOR) for wave in (decoded, real))
        distance = made - true
        terms.append(distance.abs().mean() + distance.square().mean().add(1e-8).sqrt())
    return torch.stack(terms).mean()


def magnitude_error(decoded: Waveform, real: Waveform, windows: tuple[int, ...]) -> Scalar:
    """Mean over `windows` and excerpts of the distance of magnitudes over the music's norm.

    Deviation: not in the paper. Logarithms count a partial as much as the hiss beside it; after a
    short training they leave pitches vague, which this term does not.
    """
    terms = []
    for window in windows:
        config = StftConfig(window, window // 4)
        made, true = (stft(wave.flatten(0, 1), config).abs() for wave in (decoded, real))
        least = QUIET * window * true[0].numel() ** 0.5 / 4
        norms = true.flatten(1).norm(dim=1).clamp(min=least)
        terms.append(((made - true).flatten(1).norm(dim=1) / norms).mean())
    return torch.stack(terms).mean()


def mel_bands(window: int, sample_rate: int) -> int:
    """As many bands as the narrowest can hold a bin: at most `MOST_MELS`."""
    for mels in (MOST_MELS, 48, 32, 24, 16, 12, 8, 5, 4, 3, 2):
        edges = band_edges_hz(mels, sample_rate)
        if min(high - low for low, high in pairwise(edges)) * 2 > sample_rate / window:
            return mels
    return 1


def band_edges_hz(mels: int, sample_rate: int) -> list[float]:
    """Centres of the bands and both ends."""
    top = hz_to_mel(sample_rate / 2)
    return [mel_to_hz(top * index / (mels + 1)) for index in range(mels + 2)]


class Discriminators(nn.Module):
    """One spectrogram discriminator for every window (section 3.4, of magnitudes).

    Deviation: the paper's see complex spectra; magnitudes alone need half of the work, and the
    phase is already held by the error of samples.
    """

    def __init__(self, windows: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.windows = windows
        self.judges = nn.ModuleList(
            SpectrogramDiscriminator(window // 2 + 1, width) for window in windows
        )

    def forward(self, wave: Waveform) -> list[Judgement]:
        """Scores and features of every judge, channels one by one."""
        found = []
        for window, judge in zip(self.windows, self.judges, strict=True):
            spectrum = stft(wave.flatten(0, 1), StftConfig(window, window // 4))
            found.append(judge((spectrum.abs() + FLOOR).log()))
        return found


def found_out(real: list[Judgement], made: list[Judgement]) -> Scalar:
    """Hinge loss of the discriminators."""
    terms = [
        (1 - true).relu().mean() + (1 + fake).relu().mean()
        for (true, _), (fake, _) in zip(real, made, strict=True)
    ]
    return torch.stack(terms).mean()


def taken_for_real(real: list[Judgement], made: list[Judgement]) -> dict[str, Scalar]:
    """What the codec lowers: its hinge loss, and its distance in the discriminators' features."""
    scores = [(1 - fake).relu().mean() for fake, _ in made]
    distances = [
        feature_distance(wanted, seen) for (_, wanted), (_, seen) in zip(real, made, strict=True)
    ]
    return {
        "adversarial": torch.stack(scores).mean(),
        "features": torch.stack(distances).mean(),
    }
