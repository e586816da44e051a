"""Does a long piece keep its tempo, key, level and sound, or decay into noise or silence?

Conventions
    wave      float (channels, time), three windows of 20 s or more
    windows   20 s each, one after another; what remains at the end is left out
    drift     slope over the windows times the piece's length: the median of the slopes between all
              pairs of windows (Theil-Sen), which one odd window does not move

Metrics
    tempo_drift_percent       change of tempo over the piece; octave errors are folded away
    tempo_agreement           share of windows within 4 % of the median tempo, folded
    key_agreement             share of windows in the key of the whole
    key_entropy_bits          spread of the windows' keys; 0 when all are in one
    level_drift_db            change of level over the piece
    centroid_drift_octaves    change of brightness over the piece
    flatness_drift_db         change of spectral flatness: up when music turns into noise
    silent_windows            share of windows that are silent

Every drift has a null, NAME_null: the size that 95 % of shuffles of the same windows stay below. A
drift within its null is no drift, and with fewer than seven windows hardly any can exceed it. Keys
of real music modulate, and tempos of real performances breathe: compare with real pieces of the
same length, not with 0.
"""

import numpy as np
from jaxtyping import Float

from ritornello.audio import features
from ritornello.audio.resample import resample
from ritornello.errors import AudioError
from ritornello.evaluation import harmony
from ritornello.evaluation.spectra import power
from ritornello.evaluation.spectra import validate as validate_audio
from ritornello.interfaces import Audio

WINDOW_S = 20.0
LEAST_WINDOWS = 3
TEMPO_TOLERANCE = 0.04
SILENT_DB = -60.0
N_FFT = 2048
LOWEST_HZ, HIGHEST_HZ = 30.0, 4000.0
"""Where flatness is measured: what every usual sample rate can hold."""
SHUFFLES = 400

Wave = Float[np.ndarray, "_channels _time"]
Curve = Float[np.ndarray, " windows"]


def validate(wave: Wave, sample_rate: int) -> None:
    """Refuse what is too short to drift.

    Raises:
        AudioError: Empty, not finite, shorter than a minute, or silent but for less than three
            windows.
    """
    validate_audio(wave)
    least_s = LEAST_WINDOWS * WINDOW_S
    if wave.shape[1] < least_s * sample_rate:
        raise AudioError(
            f"the piece lasts {wave.shape[1] / sample_rate:.1f} s; expected {least_s:g} s or more "
            "to tell how stable it is"
        )


def windows_of(wave: Wave, sample_rate: int) -> list[Audio]:
    """The mono windows of a piece, at the analysis rate."""
    mono = wave.mean(axis=0, keepdims=True).astype(np.float32)
    mono = resample(mono, sample_rate, features.ANALYSIS_RATE_HZ)
    length = round(WINDOW_S * features.ANALYSIS_RATE_HZ)
    return [
        Audio(samples=mono[:, start : start + length], sample_rate=features.ANALYSIS_RATE_HZ)
        for start in range(0, mono.shape[1] - length + 1, length)
    ]


def level_db(window: Audio) -> float:
    """Root mean square level in dB below full scale, -120 or more."""
    return float(10 * np.log10(max(float(np.mean(window.samples.astype(np.float64) ** 2)), 1e-12)))


def spectral_shape(window: Audio) -> tuple[float, float]:
    """Centroid in octaves above 1 Hz, and flatness in dB (0 for white noise), of a window.

    The median over frames; those below -80 dB are left out.
    """
    spectrum = power(window.samples[0], N_FFT, N_FFT)
    hz = np.arange(len(spectrum)) * window.sample_rate / N_FFT
    spectrum = spectrum[:, spectrum.max(axis=0) > 10 ** (SILENT_DB / 10) * 1e-2] + 1e-14
    centroids = (hz @ spectrum) / spectrum.sum(axis=0)
    heard = spectrum[(hz >= LOWEST_HZ) & (hz <= HIGHEST_HZ)]
    flatness = 10 * (np.log10(heard).mean(axis=0) - np.log10(heard.mean(axis=0)))
    return float(np.log2(np.median(centroids))), float(np.median(flatness))


def drift(values: Curve) -> float:
    """Change of a curve from its first window to its last: the median slope (Theil-Sen)."""
    first, later = np.triu_indices(len(values), 1)
    slopes = (values[later] - values[first]) / (later - first)
    return float(np.median(slopes)) * (len(values) - 1)


def drift_null(values: Curve, draw: np.random.Generator) -> float:
    """The size of drift that 95 % of random orders of the same windows stay below."""
    sizes = [abs(drift(draw.permutation(values))) for _ in range(SHUFFLES)]
    return float(np.quantile(sizes, 0.95))


def folded_octaves(tempos_bpm: Curve) -> Curve:
    """Tempos in octaves from their median, half and double tempos counting as the same.

    Folded around the tempo that most others agree with, so that the fold lies far from it.
    """
    octaves = np.log2(tempos_bpm)
    apart = (octaves[:, None] - octaves[None] + 0.5) % 1 - 0.5
    around = apart[:, np.abs(apart).sum(axis=0).argmin()]
    return around - np.median(around)


def tempo_figures(tempos_bpm: list[float | None], draw: np.random.Generator) -> dict[str, float]:
    """Drift and agreement of the windows' tempos; NaN where less than three have one."""
    known = [tempo for tempo in tempos_bpm if tempo is not None]
    if len(known) < LEAST_WINDOWS:
        names = ("tempo_drift_percent", "tempo_drift_percent_null", "tempo_agreement")
        return dict.fromkeys(names, float("nan"))
    octaves = folded_octaves(np.array(known))
    agree = np.abs(octaves) <= np.log2(1 + TEMPO_TOLERANCE)
    return {
        "tempo_drift_percent": 100 * (2 ** drift(octaves) - 1),
        "tempo_drift_percent_null": 100 * (2 ** drift_null(octaves, draw) - 1),
        "tempo_agreement": float(agree.sum()) / len(tempos_bpm),
    }


def key_figures(windows: list[Audio]) -> dict[str, float]:
    """Agreement and entropy of the windows' keys; NaN where none has one."""
    histograms = [features.chroma(w, 1.0, round(WINDOW_S)).sum(axis=1) for w in windows]
    whole = harmony.key(np.sum(histograms, axis=0).astype(np.float64))
    keys = [harmony.key(histogram.astype(np.float64)) for histogram in histograms]
    known = [key.index for key in keys if key is not None]
    if whole is None or not known:
        return {"key_agreement": float("nan"), "key_entropy_bits": float("nan")}
    shares = np.bincount(known)[np.unique(known)] / len(known)
    return {
        "key_agreement": known.count(whole.index) / len(windows),
        "key_entropy_bits": abs(float(-(shares * np.log2(shares)).sum())),
    }


def evaluate(wave: Wave, sample_rate: int, *, seed: int = 0) -> dict[str, float]:
    """All figures of one piece by name.

    Tempo, brightness and flatness are those of the windows that sound; a window without tempo or
    key agrees with nothing. A figure that no window supports is NaN.

    Args:
        wave: The piece, (channels, time).
        sample_rate: Samples per second.
        seed: Seed of the shuffles of the nulls.

    Raises:
        AudioError: As `validate`.
    """
    validate(wave, sample_rate)
    windows = windows_of(wave, sample_rate)
    levels = np.array([level_db(window) for window in windows])
    sounding = [w for w, level in zip(windows, levels, strict=True) if level > SILENT_DB]
    if len(sounding) < LEAST_WINDOWS:
        raise AudioError(
            f"only {len(sounding)} of {len(windows)} windows of {WINDOW_S:g} s sound; expected "
            f"{LEAST_WINDOWS} or more"
        )
    draw = np.random.default_rng(seed)
    shapes = np.array([spectral_shape(window) for window in sounding])
    figures = tempo_figures([features.tempo(window) for window in windows], draw)
    figures |= key_figures(windows)
    curves = {
        "level_drift_db": levels,
        "centroid_drift_octaves": shapes[:, 0],
        "flatness_drift_db": shapes[:, 1],
    }
    for name, curve in curves.items():
        figures |= {name: drift(curve), f"{name}_null": drift_null(curve, draw)}
    return figures | {"silent_windows": 1 - len(sounding) / len(windows)}
