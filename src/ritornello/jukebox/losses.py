"""What every level lowers (section 3.3, appendix B.1), and the figures it is judged by.

    squared + 0.02 largest     squared error of the samples, over the variance of the music
    spectral                   distance of linear magnitudes at several resolutions, over the norm
                               of the music's: squared error alone leaves out the high frequencies
    commitment                 squared distance of queries from their codes
    log_magnitude              not in the paper, off unless asked for: relative errors of
                               magnitudes, which are what is heard of hiss between the notes

The codebook is no part of it: it follows the queries by itself. Everything is computed in float32,
or float64 if that comes in.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ritornello.errors import AudioError
from ritornello.evaluation import noise
from ritornello.evaluation.reconstruction import spectral_convergence_db
from ritornello.jukebox.vqvae import Reconstruction
from ritornello.jukebox.vqvae_config import LossConfig, Resolution

Wave = Float[Tensor, "batch channels time"]
Scalar = Float[Tensor, ""]

AUDIBLE = 1e-4
"""Amplitude, -80 dB of full scale, below which the logarithm of a magnitude levels out."""

SILENT = 1e-3
"""Effective amplitude, -60 dB of full scale, below which an excerpt is not judged."""


@dataclass(frozen=True, kw_only=True)
class Bandwidth:
    """How large the music is: what makes losses comparable between data sets.

    Attributes:
        variance: Mean square of the samples about their mean.
        spectral_norm: Mean norm of an excerpt's magnitudes. It grows with the excerpt, and so is
            measured on excerpts as long as those trained on.
    """

    variance: float
    spectral_norm: float


@torch.no_grad()
def measure_bandwidth(excerpts: Wave, config: LossConfig) -> Bandwidth:
    """The normalisers of a data set from excerpts of it.

    Raises:
        AudioError: The excerpts are silent.
    """
    variance = excerpts.double().var(correction=0)
    norm = norms(magnitudes(excerpts, config.reference)).mean()
    if variance == 0:
        raise AudioError("all excerpts are silent; expected music to measure the losses by")
    return Bandwidth(variance=float(variance), spectral_norm=float(norm))


def magnitudes(wave: Wave, resolution: Resolution) -> Float[Tensor, "batch channels bins _frames"]:
    """Linear magnitudes with a Hann window; frames centred on 0, hop, ..., silence beyond the ends.

    Deviation: nothing is mirrored at the ends, so that excerpts of any length will do.
    """
    window = torch.hann_window(resolution.window, dtype=wave.dtype, device=wave.device)
    spectrum = torch.stft(
        wave.flatten(0, 1),
        resolution.n_fft,
        hop_length=resolution.hop,
        win_length=resolution.window,
        window=window,
        pad_mode="constant",
        return_complex=True,
    )
    return spectrum.abs().unflatten(0, wave.shape[:2])


def norms(values: Float[Tensor, "batch *lead bins frames"]) -> Float[Tensor, " batch"]:
    """Euclidean norm of every item."""
    return values.flatten(1).norm(dim=1)


def squared_error(decoded: Wave, real: Wave) -> Scalar:
    """Mean squared error."""
    return (decoded - real).square().mean()


def largest_error(decoded: Wave, real: Wave, share: float) -> Scalar:
    """Mean of the largest squared errors of every excerpt, `share` of its samples, at least one."""
    errors = (decoded - real).square().flatten(1)
    count = max(1, round(share * errors.shape[1]))
    return errors.topk(count, dim=1, sorted=False).values.mean()


def level_losses(
    found: Reconstruction, real: Wave, config: LossConfig, bandwidth: Bandwidth
) -> dict[str, Scalar]:
    """Losses by name, unweighted, and "total", their weighted sum.

    Args:
        found: What the level made of `real`.
        real: The music.
        config: Weights.
        bandwidth: Of the data set.
    """
    kind = torch.promote_types(real.dtype, torch.float32)
    decoded, real = found.wave.to(kind), real.to(kind)
    losses = {
        "squared": squared_error(decoded, real) / bandwidth.variance,
        "largest": largest_error(decoded, real, config.largest_share) / bandwidth.variance,
        "commitment": found.commitment,
    }
    losses |= spectral_losses(decoded, real, config, bandwidth)
    total = torch.stack([getattr(config, name) * loss for name, loss in losses.items()]).sum()
    return losses | {"total": total}


def spectral_losses(
    decoded: Wave, real: Wave, config: LossConfig, bandwidth: Bandwidth
) -> dict[str, Scalar]:
    """The losses "spectral" (section 3.3) and, where it has a weight, "log_magnitude"."""
    distances, logs = [], []
    for resolution in config.resolutions:
        made, true = magnitudes(decoded, resolution), magnitudes(real, resolution)
        distances.append(norms(made - true).mean())
        if config.log_magnitude:
            floor = AUDIBLE * resolution.window / 4  # a sine of amplitude a reads a * window / 4
            logs.append(((made + floor).log() - (true + floor).log()).abs().mean())
    losses = {"spectral": torch.stack(distances).mean() / bandwidth.spectral_norm}
    if logs:
        losses["log_magnitude"] = torch.stack(logs).mean()
    return losses


def mean_convergence_db(decoded: Wave, real: Wave, sample_rate: int) -> float:
    """Spectral convergence in dB of the mean of the excerpts' ratios, of those that can be heard.

    A second of near silence, as between two movements, may have a ratio of hundreds: a mean with it
    would tell of nothing else.

    Raises:
        AudioError: All excerpts are below `SILENT`.
    """
    pairs = _heard_pairs(decoded, real)
    found = [spectral_convergence_db(true, made, sample_rate) for true, made in pairs]
    return float(20 * np.log10(np.mean(10 ** (np.array(found) / 20))))


def mean_noise(decoded: Wave, real: Wave, sample_rate: int, hop_samples: int) -> dict[str, float]:
    """Means of the figures of `evaluation/noise.py` over the excerpts that can be heard.

    Raises:
        AudioError: All excerpts are below `SILENT`.
    """
    pairs = _heard_pairs(decoded, real)
    rows = [noise.evaluate(true, made, sample_rate, hop_samples) for true, made in pairs]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _heard_pairs(decoded: Wave, real: Wave) -> list[tuple[np.ndarray, np.ndarray]]:
    """Real and decoded excerpts, (channels, time) each, without those nobody hears."""
    is_heard = (real.square().mean((1, 2)).sqrt() > SILENT).tolist()
    pairs = zip(real.detach().cpu().numpy(), decoded.detach().cpu().numpy(), is_heard, strict=True)
    heard = [(true, made) for true, made, is_ in pairs if is_]
    if not heard:
        raise AudioError("all excerpts are silent: there is nothing to reconstruct")
    return heard
