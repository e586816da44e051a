"""Loudness and true peak as in ITU-R BS.1770-4 (and EBU R 128), in numpy.

The K-weighting is two recursive filters. Their impulse response dies out within a fifth of a second
to far below float precision, so that it is applied as a finite one by FFT in long blocks: exact,
and fast in plain numpy.

Loudness in LUFS, peaks in dB relative to full scale (a sine that reaches 1.0 has peak 0 dBFS).
Samples are (channels, time); one or two channels, both of weight 1.
"""

import math

import numpy as np
import soxr
from jaxtyping import Float

from ritornello.errors import AudioError

ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
BLOCK_S = 0.4
STEP_S = 0.1
SHORT_TERM_S = 3.0
OVERSAMPLING = 4

_OFFSET_DB = -0.691  # cancels the weighting's gain at 997 Hz
_RESPONSE_S = 0.25  # the slow filter, two equal poles at 38 Hz, has fallen by 1e-24
_FFT_BLOCK_S = 4.0


def k_weighting(sample_rate: int) -> tuple[tuple[list[float], list[float]], ...]:
    """The head filter and the high-pass filter as (numerator, denominator), for any rate.

    BS.1770 tabulates them at 48 kHz; these are the analogue prototypes behind its table, carried
    to `sample_rate` by the bilinear transform.
    """
    k = math.tan(math.pi * 1681.974450955533 / sample_rate)
    q, high = 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    middle = high**0.4996667741545416
    norm = 1 + k / q + k * k
    head = (
        [
            (high + middle * k / q + k * k) / norm,
            2 * (k * k - high) / norm,
            (high - middle * k / q + k * k) / norm,
        ],
        [1.0, 2 * (k * k - 1) / norm, (1 - k / q + k * k) / norm],
    )
    k = math.tan(math.pi * 38.13547087602444 / sample_rate)
    q = 0.5003270373238773
    norm = 1 + k / q + k * k
    high_pass = ([1.0, -2.0, 1.0], [1.0, 2 * (k * k - 1) / norm, (1 - k / q + k * k) / norm])
    return head, high_pass


def _k_response(sample_rate: int, size: int) -> np.ndarray:
    """Frequency response (size // 2 + 1,) of the K-weighting cut to a finite impulse response."""
    turn = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    response = np.ones_like(turn)
    for numerator, denominator in k_weighting(sample_rate):
        response *= np.polyval(numerator[::-1], turn) / np.polyval(denominator[::-1], turn)
    impulse = np.fft.irfft(response, size)
    impulse[math.ceil(_RESPONSE_S * sample_rate) :] = 0.0
    return np.fft.rfft(impulse)


def energy_steps(
    samples: Float[np.ndarray, "channels time"], sample_rate: int, step: int
) -> Float[np.ndarray, " steps"]:
    """Energy of the K-weighted signal, summed over channels and over each `step` samples.

    The last step may be shorter. Overlap-save in blocks, so that memory stays constant.
    """
    history = math.ceil(_RESPONSE_S * sample_rate)
    size = 2 ** math.ceil(math.log2(_FFT_BLOCK_S * sample_rate))
    response = _k_response(sample_rate, size)
    block = (size - history) // step * step
    if block == 0:
        raise AudioError(f"step is {step} samples; expected at most {size - history}")
    time = samples.shape[1]
    energies = []
    for start in range(0, time, block):
        stop = min(time, start + block)
        low = max(0, start - history)
        weighted = np.fft.irfft(np.fft.rfft(samples[:, low:stop], size) * response, size)
        energy = np.square(weighted[:, start - low : stop - low], dtype=np.float64).sum(axis=0)
        energies.append(np.add.reduceat(energy, np.arange(0, stop - start, step)))
    return np.concatenate(energies) if energies else np.zeros(0)


def _to_lufs(mean_square: np.ndarray | np.floating) -> np.ndarray | np.floating:
    with np.errstate(divide="ignore"):
        return _OFFSET_DB + 10 * np.log10(mean_square)


def integrated_loudness(samples: Float[np.ndarray, "channels time"], sample_rate: int) -> float:
    """Gated loudness of the whole programme in LUFS; -inf where nothing passes the gate.

    Deviation: audio shorter than one block of BLOCK_S is measured as one block of its own length.
    """
    _require_samples(samples)
    step = round(STEP_S * sample_rate)
    energies = energy_steps(samples, sample_rate, step)
    whole = samples.shape[1] // step
    per_block = round(BLOCK_S / STEP_S)
    if whole < per_block:
        blocks = np.array([energies.sum() / samples.shape[1]])
    else:
        sums = np.lib.stride_tricks.sliding_window_view(energies[:whole], per_block).sum(axis=1)
        blocks = sums / (per_block * step)
    blocks = blocks[_to_lufs(blocks) > ABSOLUTE_GATE_LUFS]
    if blocks.size == 0:
        return -math.inf
    gate = _to_lufs(blocks.mean()) + RELATIVE_GATE_LU
    return float(_to_lufs(blocks[_to_lufs(blocks) > gate].mean()))


def short_term_loudness(
    samples: Float[np.ndarray, "channels time"],
    sample_rate: int,
    frame_rate_hz: float,
    frames: int,
    window_s: float = SHORT_TERM_S,
) -> Float[np.ndarray, " frames"]:
    """Ungated loudness in LUFS of the `window_s` around (i + 0.5) / frame_rate_hz, for each i.

    At the ends the window is the part of it inside the signal; -inf where all of it is silent.
    """
    _require_samples(samples)
    step = max(1, sample_rate // 100)
    energies = energy_steps(samples, sample_rate, step)
    time = samples.shape[1]
    edges = np.minimum(np.arange(energies.size + 1) * step, time)
    running = np.concatenate([[0.0], np.cumsum(energies)])
    centres = np.minimum((np.arange(frames) + 0.5) / frame_rate_hz * sample_rate, time)
    low = np.clip(centres - window_s * sample_rate / 2, 0, time)
    high = np.clip(centres + window_s * sample_rate / 2, 0, time)
    energy = np.interp(high, edges, running) - np.interp(low, edges, running)
    curve = _to_lufs(np.maximum(energy, 0.0) / np.maximum(high - low, 1.0))
    return np.asarray(curve, dtype=np.float32)


class TruePeakMeter:
    """Largest magnitude of the waveform between the samples, in constant memory.

    The signal is interpolated OVERSAMPLING times (soxr, band-limited) and its largest magnitude
    kept; the samples themselves count too.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._stream = soxr.ResampleStream(
            sample_rate, sample_rate * OVERSAMPLING, channels, dtype="float32"
        )
        self._peak = 0.0

    def update(self, samples: Float[np.ndarray, "channels time"], last: bool = False) -> None:
        """Take the next samples; `last` lets the interpolator finish."""
        if samples.size:
            self._peak = max(self._peak, float(np.abs(samples).max()))
        block = np.ascontiguousarray(samples.T, dtype=np.float32)
        between = self._stream.resample_chunk(block, last=last)
        if between.size:
            self._peak = max(self._peak, float(np.abs(between).max()))

    @property
    def peak(self) -> float:
        """Largest magnitude so far; complete once `update` was called with `last`."""
        return self._peak


def true_peak(samples: Float[np.ndarray, "channels time"], sample_rate: int) -> float:
    """Largest magnitude of the waveform between the samples; 1 is full scale."""
    meter = TruePeakMeter(sample_rate, samples.shape[0])
    block = 10 * sample_rate
    for start in range(0, samples.shape[1], block):
        meter.update(samples[:, start : start + block], last=start + block >= samples.shape[1])
    return meter.peak


def true_peak_dbfs(samples: Float[np.ndarray, "channels time"], sample_rate: int) -> float:
    """`true_peak` in dB; -inf for silence."""
    return to_db(true_peak(samples, sample_rate))


def to_db(amplitude: float) -> float:
    """An amplitude in dB relative to 1; -inf for 0."""
    return 20 * math.log10(amplitude) if amplitude > 0 else -math.inf


def from_db(level_db: float) -> float:
    """The amplitude of a level in dB."""
    return 10 ** (level_db / 20)


def _require_samples(samples: np.ndarray) -> None:
    if samples.shape[1] == 0:
        raise AudioError("loudness got 0 samples; expected at least 1")
    if samples.shape[0] > 2:
        raise AudioError(f"loudness got {samples.shape[0]} channels; expected 1 or 2")
