"""STFT and its exact inverse, mel bands, and Griffin-Lim as the baseline for phase.

Frames lie on the grid of hop blocks: frame t is centred on the middle of samples
[t * hop, (t + 1) * hop), so that `time` samples have exactly ceil(time / hop) frames, a codec's
frames and samples stay in step, and value t of anything per frame belongs to time
(t + 0.5) * hop / sample_rate. Outside the signal there is silence (zero padding), which unlike
reflection is defined for any length and keeps the round trip exact up to both ends.

The window is the periodic Hann window in analysis and synthesis; the inverse divides by the sum of
squared windows that are really there (Griffin & Lim 1984, the least-squares inverse).
"""

import math
from dataclasses import dataclass
from functools import lru_cache, reduce

import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.nn import functional

from ritornello.errors import AudioError, ConfigError


@dataclass(frozen=True)
class StftConfig:
    """Size of the frames and the step between them, both in samples.

    Attributes:
        n_fft: Length of window and transform; even.
        hop_length: Step; at most half of `n_fft`, or samples between frames would be lost.
    """

    n_fft: int
    hop_length: int

    def __post_init__(self) -> None:
        """Refuse sizes without an exact inverse."""
        if self.n_fft < 2 or self.n_fft % 2:
            raise ConfigError(f"n_fft is {self.n_fft}; expected an even number >= 2")
        if not 1 <= self.hop_length <= self.n_fft // 2:
            raise ConfigError(
                f"hop_length is {self.hop_length}; expected 1 .. n_fft / 2 = {self.n_fft // 2}"
            )

    @property
    def bins(self) -> int:
        """Frequency bins from 0 to half the sample rate."""
        return self.n_fft // 2 + 1

    @property
    def padding(self) -> int:
        """Samples that frame 0 reaches to the left of sample 0."""
        return (self.n_fft - self.hop_length) // 2

    @property
    def context_frames(self) -> int:
        """Frames on either side of block t that its samples depend on besides frame t."""
        reach = self.n_fft - self.hop_length - self.padding
        return -(-reach // self.hop_length)

    def frames_for(self, time: int) -> int:
        """Frames of a signal of `time` samples."""
        return -(-time // self.hop_length)


def hann_window(n_fft: int, like: Tensor) -> Float[Tensor, " n_fft"]:
    """The periodic Hann window in the real precision and on the device of `like`."""
    return torch.hann_window(n_fft, dtype=like.real.dtype, device=like.device)


def stft(
    wave: Float[Tensor, "*lead time"], config: StftConfig
) -> Complex[Tensor, "*lead bins frames"]:
    """Spectrum of `wave`: ceil(time / hop) frames, frame t centred on block t."""
    time = wave.shape[-1]
    frames = config.frames_for(time)
    if frames == 0:
        raise AudioError("stft got 0 samples; expected at least 1")
    right = (frames - 1) * config.hop_length + config.n_fft - config.padding - time
    padded = functional.pad(wave, (config.padding, right))
    framed = padded.unfold(-1, config.n_fft, config.hop_length)
    return torch.fft.rfft(framed * hann_window(config.n_fft, wave)).transpose(-1, -2)


def istft(
    spectrum: Complex[Tensor, "*lead bins frames"], config: StftConfig, length: int
) -> Float[Tensor, "*lead time"]:
    """The signal of `length` samples whose STFT is nearest to `spectrum` in least squares.

    Exact for a spectrum made by `stft`. `length` may be anything up to frames * hop.
    """
    frames = spectrum.shape[-1]
    return istft_span(spectrum, config, 0, frames, 0, length)


def istft_valid(
    spectrum: Complex[Tensor, "*lead bins frames"], config: StftConfig
) -> Float[Tensor, "*lead time"]:
    """Samples that depend on the given frames alone: those of all blocks but c at either end.

    With c = `config.context_frames`, frames (.., f) give (f - 2c) * hop samples, the first of them
    the first of block c. Pieces made from overlapping runs of frames join without seam and equal
    the whole.
    """
    frames, context = spectrum.shape[-1], config.context_frames
    if frames <= 2 * context:
        raise AudioError(f"istft_valid got {frames} frames; expected more than {2 * context}")
    start, stop = context * config.hop_length, (frames - context) * config.hop_length
    return istft_span(spectrum, config, 0, frames, start, stop)


def istft_span(
    spectrum: Complex[Tensor, "*lead bins frames"],
    config: StftConfig,
    first_frame: int,
    total_frames: int,
    start: int,
    stop: int,
) -> Float[Tensor, "*lead time"]:
    """Samples [start, stop) of a signal of `total_frames` frames, from some of its frames.

    Args:
        spectrum: Frames first_frame, first_frame + 1, ...; they must hold every frame from
            `context_frames` before the span to as many after it, where the signal has them.
        config: The transform.
        first_frame: Index of the first given frame in the whole signal.
        total_frames: Frames of the whole signal; beyond them is silence.
        start: First sample wanted, counted in the whole signal.
        stop: One past the last sample wanted; at most total_frames * hop.

    Returns:
        The same numbers as `istft` of the whole at [start, stop), also at the signal's ends.
    """
    hop = config.hop_length
    given = spectrum.shape[-1]
    low = max(0, start // hop - config.context_frames)
    high = min(total_frames, config.frames_for(stop) + config.context_frames)
    if not 0 <= start < stop <= total_frames * hop:
        raise AudioError(
            f"istft was asked for samples {start} .. {stop}; expected a span within 0 .. "
            f"{total_frames * hop}, the {total_frames} frames of the signal"
        )
    if first_frame > low or first_frame + given < high:
        raise AudioError(
            f"istft got frames {first_frame} .. {first_frame + given}; samples {start} .. {stop} "
            f"need frames {low} .. {high}"
        )
    window = hann_window(config.n_fft, spectrum)
    needed = spectrum[..., low - first_frame : high - first_frame].transpose(-1, -2)
    pieces = torch.fft.irfft(needed, n=config.n_fft) * window
    envelope = overlap_add((window * window).expand(high - low, -1), hop)
    offset = start - (low * hop - config.padding)
    inside = slice(offset, offset + stop - start)
    return overlap_add(pieces, hop)[..., inside] / envelope[inside]


def overlap_add(
    pieces: Float[Tensor, "*lead frames n_fft"], hop_length: int
) -> Float[Tensor, "*lead time"]:
    """Sum of pieces laid `hop_length` apart; time is a whole number of hops that holds them all.

    Cut into blocks of one hop, piece t adds its block r to block t + r of the sum: a few long
    additions instead of one scatter.
    """
    n_fft = pieces.shape[-1]
    per_piece = -(-n_fft // hop_length)
    blocks = functional.pad(pieces, (0, per_piece * hop_length - n_fft))
    blocks = blocks.unflatten(-1, (per_piece, hop_length))
    shifted = (
        functional.pad(blocks[..., r, :], (0, 0, r, per_piece - 1 - r)) for r in range(per_piece)
    )
    total = reduce(torch.add, shifted)
    return total.flatten(-2)


def hz_to_mel(hz: float) -> float:
    """Mels on Slaney's scale: linear below 1 kHz (3 mels per 200 Hz), logarithmic above."""
    if hz < 1000.0:
        return hz * 3.0 / 200.0
    return 15.0 + 27.0 * math.log(hz / 1000.0) / math.log(6.4)


def mel_to_hz(mel: float) -> float:
    """Inverse of `hz_to_mel`."""
    if mel < 15.0:
        return mel * 200.0 / 3.0
    return 1000.0 * math.exp(math.log(6.4) * (mel - 15.0) / 27.0)


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # the tensor is kept, and training must be able to use it later
def mel_filterbank(
    sample_rate: int, n_fft: int, mels: int, f_min: float = 0.0, f_max: float | None = None
) -> Float[Tensor, "mels bins"]:
    """Triangular filters equally spaced on Slaney's mel scale, each of unit area in Hz.

    The same filters as librosa's default. A band narrower than the bins' spacing would be empty;
    that is refused. The returned tensor (float32) is shared: do not write into it.
    """
    f_max = sample_rate / 2 if f_max is None else f_max
    if not 0 <= f_min < f_max <= sample_rate / 2:
        raise ConfigError(
            f"mel bands from {f_min} to {f_max} Hz; expected 0 <= f_min < f_max <= "
            f"{sample_rate / 2}, half the sample rate"
        )
    low, high = hz_to_mel(f_min), hz_to_mel(f_max)
    edges = torch.tensor(
        [mel_to_hz(low + (high - low) * i / (mels + 1)) for i in range(mels + 2)],
        dtype=torch.float64,
    )
    frequencies = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * sample_rate / n_fft
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (frequencies - left) / (centre - left)
    falling = (right - frequencies) / (right - centre)
    filters = torch.minimum(rising, falling).clamp_min(0.0) * 2.0 / (right - left)
    empty = int((filters.sum(dim=1) == 0).sum())
    if empty:
        raise ConfigError(
            f"{empty} of {mels} mel bands hold no bin of a {n_fft}-point transform at "
            f"{sample_rate} Hz; use fewer bands, a larger n_fft or a higher f_min"
        )
    return filters.float()


def log_mel(
    wave: Float[Tensor, "*lead time"],
    config: StftConfig,
    filters: Float[Tensor, "mels bins"],
    floor: float = 1e-5,
) -> Float[Tensor, "*lead mels frames"]:
    """Natural logarithm of the mel magnitudes, those below `floor` raised to it."""
    magnitudes = stft(wave, config).abs()
    # in half precision the product would lose the quiet bands
    with torch.autocast(wave.device.type, enabled=False):
        return (filters.to(magnitudes) @ magnitudes).clamp_min(floor).log()


def griffin_lim(
    magnitude: Float[Tensor, "*lead bins frames"],
    config: StftConfig,
    length: int,
    iterations: int,
    momentum: float = 0.99,
    phase: Float[Tensor, "*lead bins frames"] | None = None,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "*lead time"]:
    """A signal with about these magnitudes: fast Griffin-Lim (Perraudin et al. 2013, Alg. 1).

    Args:
        magnitude: Magnitudes to match, >= 0.
        config: The transform they come from.
        length: Samples to return.
        iterations: Passes; 0 inverts the start as it is.
        momentum: alpha of the paper; 0 is the plain algorithm of Griffin and Lim.
        phase: Radians to start from; None draws them.
        generator: Source of the starting phase; needed when `phase` is None.
    """
    if config.frames_for(length) != magnitude.shape[-1]:
        raise AudioError(
            f"griffin_lim got {magnitude.shape[-1]} frames for {length} samples; expected "
            f"{config.frames_for(length)}"
        )
    if phase is None:
        if generator is None:
            raise ConfigError("griffin_lim needs a phase to start from or a generator to draw one")
        drawn = torch.rand(magnitude.shape, generator=generator, dtype=magnitude.dtype)
        phase = 2 * math.pi * drawn.to(magnitude.device)
    accelerated = torch.polar(magnitude, phase)
    previous = accelerated
    for _ in range(iterations):
        consistent = stft(istft(_with_magnitude(accelerated, magnitude), config, length), config)
        accelerated = consistent + momentum * (consistent - previous)
        previous = consistent
    return istft(_with_magnitude(accelerated, magnitude), config, length)


def _with_magnitude(
    spectrum: Complex[Tensor, "*lead bins frames"], magnitude: Float[Tensor, "*lead bins frames"]
) -> Complex[Tensor, "*lead bins frames"]:
    """`magnitude` with the phases of `spectrum`."""
    return magnitude * spectrum / spectrum.abs().clamp_min(torch.finfo(magnitude.dtype).tiny)
