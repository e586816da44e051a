"""Phase from its slopes: how the light decoder's phases become a spectrum, window by window.

Deviation: the paper's decoder states the phase of every bin outright. A network that treats all
frames alike cannot do that for a held tone: its magnitudes stand still while its phase must turn at
a rate of its own, so that what comes out buzzes at the frame rate. What such a network *can* see is
how the phase turns. The light decoder therefore states two slopes for every bin and frame,

    advance  phase(frame, bin) - phase(frame - 1, bin), less the turn of the bin's centre frequency
    slope    phase(frame, bin + 1) - phase(frame, bin)

both in the convention of frames that are centred on time zero, where a steady tone has slope 0
over its main lobe and an impulse in the middle of the frame has slope 0 everywhere. `integrate`
adds them up along time, and `pinned_phase` does so between *pins*: at chunk borders the phase is
set by the slopes alone, and the path that leads there is bent by less than 1 Hz over its last
second to meet it. So every chunk's audio depends on the latents near that chunk alone (addressable
pieces), and neighbouring chunks still join without a cut or a cross-fade.

Axes: tensors are (..., bins, frames); angles in radians.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ritornello.errors import ConfigError

# How far a bin listens to its neighbours' phases, as (bins to each side, weight): its own main lobe
# first; farther neighbours decide only where the lobe was silent in the frame before (an onset).
NEIGHBOURHOODS = ((1, 0.5), (3, 0.5), (16, 0.03))


def centre_advance(bins: int, n_fft: int, hop_length: int) -> Float[Tensor, " bins"]:
    """Turn of every bin's centre frequency over one hop, in radians, wrapped to [-pi, pi]."""
    turns = torch.arange(bins, dtype=torch.float64) * hop_length / n_fft
    return (2 * math.pi * (turns - turns.round())).float()


def centred(phase: Float[Tensor, "*lead bins frames"]) -> Float[Tensor, "*lead bins frames"]:
    """Phases referred to the frame's centre, from phases referred to its first sample; own inverse.

    The shift by half a window turns every odd bin by pi.
    """
    odd = torch.arange(phase.shape[-2], device=phase.device) % 2
    return phase + math.pi * odd.to(phase.dtype)[:, None]


def phase_slopes(
    phase: Float[Tensor, "*lead bins frames"], n_fft: int, hop_length: int
) -> tuple[Float[Tensor, "*lead bins frames"], Float[Tensor, "*lead bins frames"]]:
    """(advance, slope) of centred phases, not wrapped; the first frame and last bin are 0."""
    turn = centre_advance(phase.shape[-2], n_fft, hop_length).to(phase)
    advance = torch.zeros_like(phase)
    advance[..., 1:] = phase[..., 1:] - phase[..., :-1] - turn[:, None]
    slope = torch.zeros_like(phase)
    slope[..., :-1, :] = phase[..., 1:, :] - phase[..., :-1, :]
    return advance, slope


def _neighbourhood_mean(phasor: Tensor) -> Tensor:
    """Weighted sums of `phasor` (batch, bins) over the neighbourhoods, by cumulative sums."""
    total = phasor.cumsum(-1)
    mean = torch.zeros_like(phasor)
    for reach, weight in NEIGHBOURHOODS:
        reach = min(reach, phasor.shape[-1] - 1)
        upper = torch.cat([total[:, reach:], total[:, -1:].expand(-1, reach)], -1)
        lower = torch.nn.functional.pad(total[:, : -reach - 1], (reach + 1, 0))
        mean = mean + weight * (upper - lower)
    return mean


def integrate(
    start: Float[Tensor, "batch bins"],
    magnitude: Float[Tensor, "batch bins _"],
    advance: Float[Tensor, "batch bins frames"],
    across: Float[Tensor, "batch bins frames"],
) -> Float[Tensor, "batch bins frames"]:
    """Centred phases of every frame, carried on from frame to frame.

    In each frame a bin is offered its own phase of the frame before plus `advance`. Bins that were
    silent have nothing to offer, and noise makes the bins of one partial drift apart; so every bin
    takes the mean offer of its neighbourhood, weighted by how loudly each sounded, after the
    difference `across` that the slopes ask for has been taken out.

    Args:
        start: Phases of the frame before the first.
        magnitude: Linear magnitudes; frame 0 here is the frame of `start`, so one frame more.
        advance: Whole turn from the frame before, the centre frequency's included.
        across: Cumulative sum of the slopes over bins.

    Returns:
        Phases of the frames after `start`; `advance` and `across` have as many frames.
    """
    phase, phases = start, []
    weights = torch.minimum(magnitude[..., :-1], magnitude[..., 1:]).sqrt() + 1e-12
    turns = advance - across
    for frame in range(advance.shape[-1]):
        offer = phase + turns[..., frame]
        phasor = torch.polar(weights[..., frame], offer)
        phase = across[..., frame] + _neighbourhood_mean(phasor).angle()
        phases.append(phase)
    return torch.stack(phases, -1) if phases else magnitude[..., :0]


def _wrapped(angle: Tensor) -> Tensor:
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


def pinned_phase(
    magnitude: Float[Tensor, "batch bins frames"],
    advance: Float[Tensor, "batch bins frames"],
    slope: Float[Tensor, "batch bins frames"],
    *,
    margin: int,
    bend_frames: int,
    n_fft: int,
    hop_length: int,
) -> Float[Tensor, "batch bins frames"]:
    """Centred phases of one chunk and `margin` frames to both sides, pinned at its borders.

    Frames are [margin | chunk | margin], with the pins at the first frame of the chunk and the
    first frame after it. Near a pin (`margin` frames to both sides) phases are carried away from
    it, in both directions, so that two windows that share a pin agree there; in between, the path
    that leaves the first pin is bent over its last `bend_frames` frames (over all that it has, if
    these are fewer) to meet the second.

    Raises:
        ConfigError: If the chunk is not longer than the margin.
    """
    frames = magnitude.shape[-1]
    first, last = margin, frames - margin
    if last - first <= margin:
        raise ConfigError(
            f"a chunk has {last - first} spectra; expected more than {margin}, what the transform "
            "and its phase passes reach. Use longer chunks or fewer level1.phase_passes."
        )
    turn = advance + centre_advance(magnitude.shape[-2], n_fft, hop_length).to(advance)[:, None]
    across = torch.nn.functional.pad(slope[..., :-1, :].cumsum(-2), (0, 0, 1, 0))

    def forward(pin: int, stop: int) -> Tensor:
        """Phases of frames pin .. stop - 1, the pin's own first."""
        ahead = slice(pin + 1, stop)
        carried = integrate(
            across[..., pin], magnitude[..., pin:stop], turn[..., ahead], across[..., ahead]
        )
        return torch.cat([across[..., pin : pin + 1], carried], -1)

    def backward(pin: int, start: int) -> Tensor:
        """Phases of frames start .. pin - 1, carried back from the pin."""
        carried = integrate(
            across[..., pin],
            magnitude[..., start : pin + 1].flip(-1),
            -turn[..., start + 1 : pin + 1].flip(-1),
            across[..., start:pin].flip(-1),
        )
        return carried.flip(-1)

    before = backward(first, first - margin)
    chunk = forward(first, last - margin + 1)
    landing = backward(last, last - margin)
    after = forward(last, last + margin)

    # What is missing where both paths meet, the same over each partial's main lobe.
    missing = torch.polar(magnitude[..., last - margin], landing[..., 0] - chunk[..., -1])
    total = missing.cumsum(-1)
    lobe = torch.cat([total[..., 2:], total[..., -1:].expand(*total.shape[:-1], 2)], -1)
    lobe = lobe - torch.nn.functional.pad(total[..., :-3], (3, 0))
    bend = min(bend_frames, chunk.shape[-1] - 1)
    ramp = torch.zeros(chunk.shape[-1], dtype=chunk.dtype, device=chunk.device)
    ramp[-bend - 1 :] = torch.linspace(0, 1, bend + 1, dtype=chunk.dtype, device=chunk.device)
    chunk = chunk + _wrapped(lobe.angle())[..., None] * ramp
    return torch.cat([before, chunk[..., :-1], landing, after], -1)
