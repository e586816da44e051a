"""What can be measured from the sound: onsets, density, loudness, tempo, chroma, faults.

Labels for training, controls at generation and scores in evaluation all come from these functions,
so that "density 3" means the same in all of them.

Curves lie on one grid: value i of `frames` belongs to time (i + 0.5) / frame_rate_hz. All but
loudness is measured on a mono mix at ANALYSIS_RATE_HZ, block by block in constant memory.
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float

from ritornello.audio.chunk import Chunk, chunk_plan
from ritornello.audio.io import with_channels
from ritornello.audio.loudness import short_term_loudness
from ritornello.audio.resample import resample
from ritornello.audio.stft import StftConfig, mel_filterbank, stft
from ritornello.errors import AudioError
from ritornello.interfaces import Audio

ANALYSIS_RATE_HZ = 22050
ONSET_STFT = StftConfig(1024, 256)
CHROMA_STFT = StftConfig(4096, 1024)
ONSET_RATE_HZ = ANALYSIS_RATE_HZ / ONSET_STFT.hop_length

SMOOTHING_S = 2.5
LOUDNESS_FLOOR_LUFS = -70.0
SILENCE_DBFS = -60.0
FULL_SCALE = 0.999
CLIPPED_RUN = 3

_ONSET_MELS = 64
_ONSET_LOWEST_HZ = 60.0
_COMPRESSION = 1000.0  # log(1 + c * magnitude): what is 60 dB below a full-scale sine fades out
_FLUX_LAG = 2  # frames; half a window, so that the two windows compared share little
_LOCAL_MAX_S = 0.035
_LOCAL_MEAN_S = 0.1
# F 0.93 within 50 ms on rendered piano performances; white noise at -30 dBFS has 4 onsets a second
_ONSET_THRESHOLD = 0.01
_SHORTEST_GAP_S = 0.05
_BLOCK_FRAMES = 2048
_TEMPO_CENTRE_BPM = 120.0
_TEMPO_SPREAD_OCTAVES = 1.0
_TEMPO_RANGE_BPM = (40.0, 240.0)
_CHROMA_RANGE_HZ = (55.0, 4200.0)
_SILENCE_WINDOW_S = 0.05


def _analysis_signal(audio: Audio) -> torch.Tensor:
    """Mono float32 (time,) at ANALYSIS_RATE_HZ."""
    if audio.samples.shape[1] == 0:
        raise AudioError("got 0 samples to measure; expected at least 1")
    mono = with_channels(audio.samples, 1)
    return torch.from_numpy(resample(mono, audio.sample_rate, ANALYSIS_RATE_HZ)[0])


def _magnitude_blocks(
    signal: torch.Tensor, config: StftConfig, context: int
) -> Iterator[tuple[Chunk, torch.Tensor]]:
    """Magnitudes block by block: (chunk of frames, (bins, padded frames)); full-scale sine = 1."""
    frames = config.frames_for(signal.shape[0])
    hop = config.hop_length
    edge = config.context_frames
    for chunk in chunk_plan(frames, _BLOCK_FRAMES, context):
        low = max(0, chunk.padded_start - edge)
        high = min(frames, chunk.padded_stop + edge)
        spectrum = stft(signal[low * hop : high * hop], config).abs() * (4.0 / config.n_fft)
        yield chunk, spectrum[:, chunk.padded_start - low : chunk.padded_stop - low]


def onset_strength(audio: Audio) -> Float[np.ndarray, " frames"]:
    """How much new energy begins, at ONSET_RATE_HZ; 0 where nothing does.

    Spectral flux of a compressed mel spectrogram, each band compared with the largest of itself and
    its neighbours a little earlier, so that vibrato is no onset (SuperFlux, Boeck & Widmer 2013).
    """
    signal = _analysis_signal(audio)
    filters = mel_filterbank(ANALYSIS_RATE_HZ, ONSET_STFT.n_fft, _ONSET_MELS, _ONSET_LOWEST_HZ)
    # filters of unit sum, so that a band's value is the magnitude of a sine in it
    filters = filters / filters.sum(dim=1, keepdim=True)
    strength = torch.zeros(ONSET_STFT.frames_for(signal.shape[0]))
    for chunk, magnitudes in _magnitude_blocks(signal, ONSET_STFT, _FLUX_LAG):
        bands = torch.log10(1 + _COMPRESSION * (filters @ magnitudes))
        before = torch.nn.functional.pad(bands, (_FLUX_LAG, 0))[:, : bands.shape[1]]
        before = torch.nn.functional.max_pool1d(before.T, 3, stride=1, padding=1).T
        flux = (bands - before).clamp_min(0).mean(dim=0)
        strength[chunk.target] = flux[chunk.keep]
    return strength.numpy()


def onset_times(audio: Audio) -> Float[np.ndarray, " onsets"]:
    """Seconds at which notes or chords begin, in order; a chord is one onset.

    Peaks of `onset_strength` that stand out from their surroundings, at least _SHORTEST_GAP_S
    apart.
    """
    return pick_peaks(onset_strength(audio))


def pick_peaks(strength: Float[np.ndarray, " frames"]) -> Float[np.ndarray, " onsets"]:
    """Seconds of the peaks of an onset strength at ONSET_RATE_HZ."""
    if strength.size == 0:
        return np.zeros(0)
    around = _sliding(strength, round(_LOCAL_MAX_S * ONSET_RATE_HZ)).max(axis=1)
    mean = _sliding(strength, round(_LOCAL_MEAN_S * ONSET_RATE_HZ)).mean(axis=1)
    candidates = np.flatnonzero((strength == around) & (strength > mean + _ONSET_THRESHOLD))
    gap = _SHORTEST_GAP_S * ONSET_RATE_HZ
    kept: list[int] = []
    for frame in candidates.tolist():
        if not kept or frame - kept[-1] >= gap:
            kept.append(frame)
    # the flux of frame t compares it with t - lag; the change lies half way
    frames = np.array(kept, dtype=np.float64) - _FLUX_LAG / 2
    return np.maximum(frames + 0.5, 0.0) / ONSET_RATE_HZ


def _sliding(values: np.ndarray, reach: int) -> np.ndarray:
    """Windows (frames, 2 * reach + 1) around each value, zeros outside."""
    return np.lib.stride_tricks.sliding_window_view(np.pad(values, reach), 2 * reach + 1)


def note_density(audio: Audio, frame_rate_hz: float, frames: int) -> Float[np.ndarray, " frames"]:
    """Onsets per second around each grid point.

    Smoothed with a raised cosine that is SMOOTHING_S wide at half its height; at the ends of the
    audio only the part of it inside counts, so that density does not fade out there.
    """
    return density_of(onset_times(audio), audio.duration_s, frame_rate_hz, frames)


def density_of(
    onsets_s: Float[np.ndarray, " onsets"], duration_s: float, frame_rate_hz: float, frames: int
) -> Float[np.ndarray, " frames"]:
    """`note_density` of known onset times, e.g. of a score."""
    centres = (np.arange(frames) + 0.5) / frame_rate_hz
    density = np.zeros(frames)
    for onset in onsets_s:
        low, high = np.searchsorted(centres, (onset - SMOOTHING_S, onset + SMOOTHING_S))
        phase = np.pi * (centres[low:high] - onset) / SMOOTHING_S
        density[low:high] += (0.5 + 0.5 * np.cos(phase)) / SMOOTHING_S
    inside = _raised_cosine_area(duration_s - centres) - _raised_cosine_area(-centres)
    return (density / np.maximum(inside, 1e-3)).astype(np.float32)


def _raised_cosine_area(until_s: np.ndarray) -> np.ndarray:
    """Area of the smoothing window, centred on 0, from its left end to `until_s`; 1 in all."""
    x = np.clip(until_s / SMOOTHING_S, -1.0, 1.0)
    return 0.5 * (1 + x) + np.sin(np.pi * x) / (2 * np.pi)


def loudness_curve(audio: Audio, frame_rate_hz: float, frames: int) -> Float[np.ndarray, " frames"]:
    """Short-term loudness (BS.1770) in LUFS at each grid point, LOUDNESS_FLOOR_LUFS or more."""
    samples = with_channels(audio.samples, min(2, audio.channels))
    curve = short_term_loudness(samples, audio.sample_rate, frame_rate_hz, frames)
    return np.maximum(curve, np.float32(LOUDNESS_FLOOR_LUFS))


def tempo(audio: Audio) -> float | None:
    """Beats per minute of the whole, or None where nothing begins.

    The strongest lag of the onset strength's autocorrelation under a log-normal prior around
    120 bpm. One number, from 40 to 240: music that changes tempo gets the most common one, and half
    or double the tempo that a listener would tap is the usual error, the more so far from the
    prior's centre; compare tempos by octave (ratio 1/2, 1, 2) where that matters.
    """
    strength = onset_strength(audio).astype(np.float64)
    if pick_peaks(strength.astype(np.float32)).size < 2:
        return None
    strength -= strength.mean()
    size = 2 ** int(np.ceil(np.log2(2 * strength.size)))
    correlation = np.fft.irfft(np.abs(np.fft.rfft(strength, size)) ** 2, size)[: strength.size]
    slowest, fastest = _TEMPO_RANGE_BPM
    first = int(60 * ONSET_RATE_HZ / fastest)
    last = min(int(60 * ONSET_RATE_HZ / slowest) + 1, strength.size - 2)
    if last <= first:
        return None
    lags = np.arange(first, last + 1)
    octaves = np.log2(60 * ONSET_RATE_HZ / lags / _TEMPO_CENTRE_BPM)
    weight = np.exp(-0.5 * (octaves / _TEMPO_SPREAD_OCTAVES) ** 2)
    best = int(lags[np.argmax(np.maximum(correlation[lags], 0) * weight)])
    left, middle, right = correlation[best - 1 : best + 2]
    bend = left - 2 * middle + right
    shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return float(60 * ONSET_RATE_HZ / (best + np.clip(shift, -0.5, 0.5)))


def chroma(audio: Audio, frame_rate_hz: float, frames: int) -> Float[np.ndarray, "pitches frames"]:
    """Share of each pitch class (C, C sharp, ... B; A is 440 Hz) in the energy of each grid cell.

    (12, frames); each column adds up to 1, or is 0 where there is silence.
    """
    signal = _analysis_signal(audio)
    weights = _pitch_class_weights()
    energy = np.zeros((12, CHROMA_STFT.frames_for(signal.shape[0])))
    for chunk, magnitudes in _magnitude_blocks(signal, CHROMA_STFT, 0):
        energy[:, chunk.target] = (weights @ magnitudes.square()).numpy()
    rate = ANALYSIS_RATE_HZ / CHROMA_STFT.hop_length
    cells = _cell_means(energy, rate, frame_rate_hz, frames)
    total = cells.sum(axis=0)
    audible = total > 10 ** (SILENCE_DBFS / 10) * 1e-2
    return np.where(audible, cells / np.where(audible, total, 1.0), 0.0).astype(np.float32)


def _pitch_class_weights() -> torch.Tensor:
    """Weight of each bin in each pitch class (12, bins), falling off within a semitone."""
    frequencies = np.arange(CHROMA_STFT.bins) * ANALYSIS_RATE_HZ / CHROMA_STFT.n_fft
    low, high = _CHROMA_RANGE_HZ
    heard = (frequencies >= low) & (frequencies <= high)
    pitch = 69 + 12 * np.log2(np.where(heard, frequencies, 440.0) / 440.0)
    distance = (pitch[None] - np.arange(12)[:, None] + 6) % 12 - 6
    weights = np.exp(-0.5 * (distance / 0.35) ** 2) * heard
    return torch.from_numpy(weights.astype(np.float32))


def _cell_means(
    values: np.ndarray, rate_hz: float, frame_rate_hz: float, frames: int
) -> np.ndarray:
    """Mean of `values` (rows, steps at rate_hz) over each grid cell [i, i + 1) / frame_rate_hz."""
    steps = values.shape[1]
    running = np.concatenate([np.zeros((values.shape[0], 1)), np.cumsum(values, axis=1)], axis=1)
    edges = np.minimum(np.arange(frames + 1) / frame_rate_hz * rate_hz, steps)
    at_edges = np.stack([np.interp(edges, np.arange(steps + 1), row) for row in running])
    return np.diff(at_edges, axis=1) / np.maximum(np.diff(edges), 1e-9)


def silence_ratio(
    samples: Float[np.ndarray, "channels time"],
    sample_rate: int,
    threshold_dbfs: float = SILENCE_DBFS,
) -> float:
    """Share of the time, 0 to 1, in which the level of all channels is below `threshold_dbfs`.

    The level is the root mean square over windows of _SILENCE_WINDOW_S.
    """
    time = samples.shape[1]
    if time == 0:
        raise AudioError("got 0 samples to measure; expected at least 1")
    starts = np.arange(0, time, max(1, round(_SILENCE_WINDOW_S * sample_rate)))
    lengths = np.diff(np.append(starts, time))
    power = np.add.reduceat(np.square(samples), starts, axis=1).max(axis=0) / lengths
    return float(lengths[power < 10 ** (threshold_dbfs / 10)].sum() / time)


def clipping_ratio(samples: Float[np.ndarray, "channels time"]) -> float:
    """Share of the samples, 0 to 1, that lie in flat tops: CLIPPED_RUN or more at full scale."""
    if samples.size == 0:
        raise AudioError("got 0 samples to measure; expected at least 1")
    at_limit = np.abs(samples) >= FULL_SCALE
    if not at_limit.any():
        return 0.0
    reach = CLIPPED_RUN - 1
    padded = np.pad(at_limit, ((0, 0), (reach, reach)))
    run_starts = np.lib.stride_tricks.sliding_window_view(padded, CLIPPED_RUN, axis=1).all(axis=2)
    in_run = np.lib.stride_tricks.sliding_window_view(run_starts, CLIPPED_RUN, axis=1).any(axis=2)
    return float(in_run.mean())
