"""What the autoencoder stages lower. The reference never released its own; these are ours.

Magnitudes are compared as the decoder states them, in scaled decibels, weighted by level: loud bins
count five times as much as silent ones, or most of the loss would be spent on noise floors. Phase
slopes are compared as unit phasors, weighted by the square of the level.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ritornello.audio.stft import StftConfig, istft, stft
from ritornello.musika.autoencoder import SlopeHeads
from ritornello.musika.phase import centre_advance, centred

Scalar = Float[Tensor, ""]
SILENT_WEIGHT = 0.2


def level(log_magnitude: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Scaled log magnitudes, about -1 to 1, as a weight from 0 (silent) to about 1 (loud)."""
    return ((log_magnitude + 1) / 2).clamp(min=0)


def magnitude_loss(
    decoded: Float[Tensor, "*rows bins frames"], real: Float[Tensor, "*rows bins frames"]
) -> Scalar:
    """Mean absolute difference of scaled log magnitudes, weighted by the real level."""
    weight = SILENT_WEIGHT + (1 - SILENT_WEIGHT) * level(real)
    return (weight * (decoded.float() - real).abs()).mean()


def audible_error(
    decoded: Float[Tensor, "*rows bins frames"], real: Float[Tensor, "*rows bins frames"]
) -> Scalar:
    """Mean absolute difference of bins within 60 dB of the loudest, in units of the scale."""
    loud = real > real.amax((-2, -1), keepdim=True) - 1.2
    return (decoded.float() - real).abs()[loud].mean()


def slope_losses(
    heads: SlopeHeads, spectrum: Tensor, log_magnitude: Tensor, config: StftConfig
) -> tuple[Scalar, Scalar]:
    """(advance, slope): mean 1 - cos of the angle between stated and real slopes.

    Args:
        heads: What the decoder says of the same frames.
        spectrum: The real complex spectrum (rows, bins, frames).
        log_magnitude: Its scaled log magnitudes.
        config: Its transform.
    """
    bins = heads.advance.shape[-2]
    real = spectrum[..., :bins, :]
    unit = torch.polar(torch.ones_like(real.real), centred(real.angle()))
    turn = centre_advance(bins, config.n_fft, config.hop_length).to(unit.real)
    weight = level(log_magnitude[..., :bins, :]).square()
    advance = (
        unit[..., 1:] * unit[..., :-1].conj() * torch.polar(torch.ones_like(turn), -turn)[:, None]
    )
    slope = unit[..., 1:, :] * unit[..., :-1, :].conj()
    return (
        _phasor_loss(heads.advance[..., 1:], advance, (weight[..., 1:] * weight[..., :-1]).sqrt()),
        _phasor_loss(
            heads.slope[..., :-1, :], slope, (weight[..., 1:, :] * weight[..., :-1, :]).sqrt()
        ),
    )


def _phasor_loss(
    stated: Float[Tensor, "rows 2 bins frames"], real: Tensor, weight: Float[Tensor, "..."]
) -> Scalar:
    cosine, sine = stated[:, 0].float(), stated[:, 1].float()
    length = torch.rsqrt(cosine.square() + sine.square() + 1e-4)
    agreement = (cosine * real.real + sine * real.imag) * length
    return (weight * (1 - agreement)).sum() / weight.sum().clamp(min=1e-3)


SCALES = (512, 1024, 2048, 4096)


def waveform_distance(
    decoded: Float[Tensor, "rows time"], real: Float[Tensor, "rows time"], draw: torch.Generator
) -> Scalar:
    """Log-magnitude plus relative magnitude distance at one STFT scale drawn at random.

    One scale a step costs a quarter of all four and has the same mean.
    """
    n_fft = SCALES[int(torch.randint(len(SCALES), (), generator=draw))]
    config = StftConfig(n_fft, n_fft // 4)
    stated, wanted = (stft(wave, config).abs() for wave in (decoded, real))
    logs = ((stated + 1e-3).log() - (wanted + 1e-3).log()).abs().mean()
    return logs + (stated - wanted).norm() / wanted.norm().clamp(min=1e-3)


def phase_waveform_loss(
    magnitude: Float[Tensor, "rows bins frames"],
    phase: Float[Tensor, "rows bins frames"],
    spectrum: Tensor,
    config: StftConfig,
    draw: torch.Generator,
) -> Scalar:
    """Distance of the waveform that stated magnitudes and phases (in units of pi) give."""
    length = magnitude.shape[-1] * config.hop_length
    decoded = istft(torch.polar(magnitude, phase * torch.pi), config, length)
    return waveform_distance(decoded, istft(spectrum, config, length), draw)
