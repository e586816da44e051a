"""Tempo, beats, bars and percussive density of a recording.

Conventions
    strength    onset strength at ONSET_RATE_HZ (audio.features)
    beats_s     seconds, rising
    accents     (beats, features): what marks a beat as heavy, one column per cue

Metrics
    tempo               beats per minute, of the strongest periodicity (audio.features)
    beats               a regular pulse through the onsets, by dynamic programming (Ellis 2007)
    beats_per_bar       2, 3 or 4 by the periodicity of the accents, with how much it explains
    percussive_density  most onsets of the percussive half of the sound in any 0.6 s

Tempo and bars are the least certain of all descriptors: half and double tempos are confused by
listeners too, and without drums a bar is heard from harmony and bass that only hint at it.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ritornello.audio import features
from ritornello.audio.chunk import chunk_plan
from ritornello.audio.features import ANALYSIS_RATE_HZ, ONSET_RATE_HZ
from ritornello.audio.resample import resample
from ritornello.errors import DataError
from ritornello.evaluation.harmony import notes_chroma
from ritornello.evaluation.notes import Notes
from ritornello.evaluation.spectra import mel_filters, validate
from ritornello.interfaces import Audio

BAR_LENGTHS = (2, 3, 4)
LEAST_BARS = 3  # of the longest kind, before a bar is claimed
LEAST_EXPLAINED = 0.05  # what a bar must explain, and a bar of four beyond one of two
TIGHTNESS = 100.0  # weight of regular spacing against onset strength, as Ellis chose it

DENSITY_WINDOW_S = 0.6
FFT, HOP = 1024, 256
HARMONIC_FRAMES, PERCUSSIVE_BINS = 17, 17  # medians over 0.2 s and over 370 Hz
BLOCK_FRAMES = 1024
BASS_HZ = 200.0
PERCUSSIVE_MELS = 64
COMPRESSION = 1000.0  # log(1 + c * magnitude), as in audio.features
RISE_FRAMES = 2  # half a window, so that the two windows compared share little

Wave = Float[np.ndarray, "channels _time"]
Strength = Float[np.ndarray, " frames"]
Beats = Float[np.ndarray, " beats"]


@dataclass(frozen=True, kw_only=True)
class Bar:
    """How many beats a bar has.

    Attributes:
        beats: 2, 3 or 4.
        confidence: Share of the accents' variation that the bar explains, corrected for the number
            of beats in it (adjusted R squared), 0..1; near 0 it is a guess.
    """

    beats: int
    confidence: float


def beats(strength: Strength, tempo_bpm: float) -> Beats:
    """A pulse near `tempo_bpm` that falls on strong onsets, in seconds.

    Maximises the sum of onset strengths less TIGHTNESS times the squared log ratio of each interval
    to the tempo's (Ellis, "Beat Tracking by Dynamic Programming", 2007, Eq. 1 and 2).

    Raises:
        DataError: The tempo is not positive.
    """
    if not tempo_bpm > 0:
        raise DataError(f"the tempo is {tempo_bpm}; expected beats per minute above 0")
    period = 60 * ONSET_RATE_HZ / tempo_bpm
    spread = float(strength.std())
    if spread == 0 or len(strength) < 2 * period:
        return np.zeros(0)
    local = _smoothed(strength / spread, period / 32)
    gaps = np.arange(max(1, round(period / 2)), round(2 * period) + 1)
    cost = -TIGHTNESS * np.log(gaps / period) ** 2
    total, before = local.copy(), np.full(len(local), -1)
    for frame in range(gaps[0], len(local)):
        reachable = gaps <= frame
        candidates = total[frame - gaps[reachable]] + cost[reachable]
        best = int(candidates.argmax())
        # a chain begins where no earlier beat would add anything
        if candidates[best] > 0:
            total[frame] += candidates[best]
            before[frame] = frame - gaps[best]
    return _trimmed(_chain(total, before, period), local) / ONSET_RATE_HZ


def _smoothed(values: np.ndarray, width: float) -> np.ndarray:
    """Gaussian smoothing with a standard deviation of `width` frames."""
    reach = max(1, round(3 * width))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(width, 0.5)) ** 2)
    return np.convolve(np.pad(values, reach), kernel / kernel.sum(), mode="valid")


def _chain(total: np.ndarray, before: np.ndarray, period: float) -> np.ndarray:
    """Frames of the best chain that ends within the last one and a half periods."""
    last = max(0, len(total) - round(1.5 * period))
    frame = last + int(total[last:].argmax())
    chain = []
    while frame >= 0:
        chain.append(frame)
        frame = int(before[frame])
    return np.array(chain[::-1])


def _trimmed(chain: np.ndarray, local: np.ndarray) -> np.ndarray:
    """Without the beats that a chain adds in silence before the first and after the last onset."""
    audible = np.flatnonzero(local[chain] > 0.5 * np.sqrt(np.mean(local[chain] ** 2)))
    return chain[audible[0] : audible[-1] + 1] if len(audible) else chain[:0]


def accents(
    strength: Strength, bass: Strength, beats_s: Beats, notes: Notes | None = None
) -> Float[np.ndarray, "beats cues"]:
    """What marks each beat as heavy: new energy, new bass, and (given notes) new harmony.

    Args:
        strength: Onset strength at ONSET_RATE_HZ.
        bass: Rise of the bass at ONSET_RATE_HZ, see `spectral_cues`.
        beats_s: Seconds of the beats.
        notes: The notes, for how much their pitch classes change from beat to beat.
    """
    cues = [_around(cue, beats_s) for cue in (strength, bass)]
    if notes is not None and len(beats_s) > 1:
        cues.append(_harmonic_change(notes, beats_s))
    return np.stack(cues, axis=1)


def _harmonic_change(notes: Notes, beats_s: Beats) -> np.ndarray:
    """One less the cosine between the chroma after and before each beat; 0 beside silence."""
    gap = float(np.median(np.diff(beats_s)))
    edges = np.concatenate([[beats_s[0] - gap], beats_s, [beats_s[-1] + gap]])
    chroma = notes_chroma(notes, edges)
    norms = np.linalg.norm(chroma, axis=0)
    products = (chroma[:, 1:] * chroma[:, :-1]).sum(axis=0)
    sizes = norms[1:] * norms[:-1]
    return np.where(sizes > 0, 1 - products / np.maximum(sizes, 1e-12), 0)


def _around(cue: np.ndarray, beats_s: Beats) -> np.ndarray:
    """The largest value of a cue within 70 ms of each beat."""
    reach = round(0.07 * ONSET_RATE_HZ)
    frames = np.round(beats_s * ONSET_RATE_HZ).astype(int)
    padded = np.pad(cue, (reach, reach + max(0, int(frames.max(initial=0)) + 1 - len(cue))))
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)[frames].max(axis=1)


def beats_per_bar(cues: Float[np.ndarray, "beats cues"]) -> Bar | None:
    """The bar length whose positions explain most of the accents.

    For each length the beats are grouped by position in the bar (which position is the first does
    not matter), and the share of the variance between the groups is corrected for their number.
    Four groups always explain what two do, so a bar of four must explain LEAST_EXPLAINED more.
    None for fewer than LEAST_BARS bars of four, and where no length explains that much.
    """
    if len(cues) < LEAST_BARS * max(BAR_LENGTHS):
        return None
    varying = cues[:, cues.std(axis=0) > 1e-9]
    if varying.shape[1] == 0:
        return None
    scores = {length: _explained(varying, length) for length in BAR_LENGTHS}
    if scores[4] < scores[2] + LEAST_EXPLAINED:
        del scores[4]
    best = max(scores, key=lambda length: scores[length])
    explained = scores[best]
    return Bar(beats=best, confidence=explained) if explained >= LEAST_EXPLAINED else None


def _explained(cues: np.ndarray, length: int) -> float:
    """Adjusted R squared of the positions in a bar of `length`, mean over the cues."""
    count = len(cues)
    position = np.arange(count) % length
    means = np.stack([cues[position == each].mean(axis=0) for each in range(length)])
    within = np.square(cues - means[position]).sum(axis=0) / (count - length)
    return float(
        np.mean(1 - within / (np.square(cues - cues.mean(axis=0)).sum(axis=0) / (count - 1)))
    )


def spectral_cues(signal: Float[np.ndarray, " time"]) -> tuple[Strength, Strength]:
    """Onset strength of the percussive half, and rise of the bass, of mono at ANALYSIS_RATE_HZ.

    Median filtering over time and over frequency tells steady partials from broadband clicks
    (Fitzgerald 2010), with a soft mask. Both curves are at ONSET_RATE_HZ; block by block.
    """
    filters = mel_filters(ANALYSIS_RATE_HZ, FFT, PERCUSSIVE_MELS, 60.0)
    filters = filters / filters.sum(axis=1, keepdims=True)
    low_bins = slice(1, round(BASS_HZ * FFT / ANALYSIS_RATE_HZ) + 1)
    frames = 1 + len(signal) // HOP
    bands, bass = [], []
    for chunk in chunk_plan(frames, BLOCK_FRAMES, HARMONIC_FRAMES):
        spectrum = _frames_power(signal, chunk.padded_start, chunk.padded_stop)
        magnitude = np.sqrt(spectrum)
        bands.append(filters @ (magnitude * _percussive_mask(magnitude))[:, chunk.keep])
        bass.append(spectrum[low_bins, chunk.keep].sum(axis=0))
    levels = np.log10(1 + COMPRESSION * np.concatenate(bands, axis=1))
    percussive = _rise(levels).mean(axis=0)
    return percussive, _rise(np.log10(1e-6 + np.concatenate(bass)))


def _rise(values: np.ndarray) -> np.ndarray:
    """How much more than RISE_FRAMES ago, >= 0, along the last axis; what precedes is silence."""
    lowest = values.min(initial=np.inf)
    pad = [(0, 0)] * (values.ndim - 1) + [(RISE_FRAMES, 0)]
    before = np.pad(values, pad, constant_values=min(0.0, lowest))[..., :-RISE_FRAMES]
    return np.maximum(values - before, 0)


def _frames_power(signal: np.ndarray, low: int, high: int) -> np.ndarray:
    """Power (bins, high - low) of frames low to high, frame i centred at i * HOP."""
    begin, end = low * HOP - FFT // 2, (high - 1) * HOP + FFT // 2
    part = signal[max(0, begin) : min(len(signal), end)]
    part = np.pad(part, (max(0, -begin), max(0, end - len(signal))))
    taper = np.hanning(FFT + 1)[:-1]
    cut = np.lib.stride_tricks.sliding_window_view(part, FFT)[::HOP]
    spectrum = np.fft.rfft(cut * taper, axis=1) / (taper.sum() / 2)
    return (spectrum.real**2 + spectrum.imag**2).T


def _percussive_mask(magnitude: np.ndarray) -> np.ndarray:
    """Share of the percussive half in each bin, 0..1."""
    harmonic = _median(magnitude, HARMONIC_FRAMES, axis=1) ** 2
    percussive = _median(magnitude, PERCUSSIVE_BINS, axis=0) ** 2
    return percussive / np.maximum(harmonic + percussive, 1e-20)


def _median(values: np.ndarray, width: int, axis: int) -> np.ndarray:
    """Running median along one axis, ends mirrored."""
    reach = width // 2
    pad = [(reach, reach) if each == axis else (0, 0) for each in range(2)]
    padded = np.pad(values.astype(np.float32), pad, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, width, axis=axis)
    return np.partition(windows, reach, axis=-1)[..., reach]


def percussive_density(onsets_s: Float[np.ndarray, " onsets"]) -> int:
    """Most onsets in any window of DENSITY_WINDOW_S."""
    ends = np.searchsorted(onsets_s, onsets_s + DENSITY_WINDOW_S, side="left")
    return int(np.max(ends - np.arange(len(onsets_s)), initial=0))


@dataclass(frozen=True, kw_only=True, eq=False)
class Rhythm:
    """The rhythm of one recording; None for what it does not have.

    Attributes:
        tempo_bpm: Beats per minute.
        beats_s: Seconds of the beats.
        bar: Beats per bar.
        percussive_density: Most percussive onsets in 0.6 s.
    """

    tempo_bpm: float | None
    beats_s: Beats
    bar: Bar | None
    percussive_density: int


def measure(wave: Wave, sample_rate: int, notes: Notes | None = None) -> Rhythm:
    """Tempo, beats, bar and density of one recording; with its notes bars are heard better.

    Raises:
        AudioError: Empty or not finite.
    """
    validate(wave)
    mono = resample(wave.mean(axis=0, keepdims=True), sample_rate, ANALYSIS_RATE_HZ)
    audio = Audio(samples=mono, sample_rate=ANALYSIS_RATE_HZ)
    strength = features.onset_strength(audio).astype(np.float64)
    tempo_bpm = features.tempo(audio)
    beats_s = np.zeros(0) if tempo_bpm is None else beats(strength, tempo_bpm)
    percussive, bass = spectral_cues(mono[0])
    return Rhythm(
        tempo_bpm=tempo_bpm,
        beats_s=beats_s,
        bar=beats_per_bar(accents(strength, bass, beats_s, notes)),
        percussive_density=percussive_density(features.pick_peaks(percussive)),
    )


def evaluate(wave: Wave, sample_rate: int, notes: Notes | None = None) -> dict[str, float]:
    """The figures of one recording; NaN for what it does not have (no onsets, too few beats).

    Raises:
        AudioError: Empty or not finite.
    """
    found, nothing = measure(wave, sample_rate, notes), float("nan")
    return {
        "tempo_bpm": nothing if found.tempo_bpm is None else found.tempo_bpm,
        "beats_per_bar": nothing if found.bar is None else float(found.bar.beats),
        "bar_confidence": nothing if found.bar is None else found.bar.confidence,
        "percussive_density": float(found.percussive_density),
    }
