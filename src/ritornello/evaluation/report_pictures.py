"""What a report shows and plays, each as a text that stands in the page itself.

Conventions
    bar, histogram, curve    inline SVG whose colours come from the page, so that they follow dark
                             mode and print; positions in per cent, so that they fit any width
    spectrogram, similarity  WebP images as `data:` addresses, with axes in a grey that reads on
                             light and dark
    player                   MP3 as a `data:` address, because every browser on every phone plays it
"""

import base64
import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ritornello.audio.loudness import from_db, integrated_loudness, true_peak
from ritornello.audio.resample import resample
from ritornello.evaluation.intervals import Estimate
from ritornello.evaluation.pictures import draw_spectrogram, levels_db, new_figure
from ritornello.evaluation.reading import shown
from ritornello.interfaces import Audio

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#8a8795"
DPI = 140
WEBP_QUALITY = 60

LISTENING_LUFS = -20.0
PEAK = 0.89
MP3_RATES = (16000, 22050, 24000, 32000, 44100, 48000)
FALLBACK_RATE = 44100
MOST_KBPS, LEAST_KBPS = 112.0, 40.0
AUDIO_BYTES = 6_000_000
BASE64_GROWTH = 4 / 3

Curve = Sequence[tuple[float, float]]


# ---- sound -----------------------------------------------------------------------------------


def bit_rate_kbps(total_s: float) -> float:
    """The bit rate at which `total_s` seconds of players keep a page of about 10 MB."""
    fitting = AUDIO_BYTES * 8 / BASE64_GROWTH / 1000 / max(total_s, 1.0)
    return float(np.clip(fitting, LEAST_KBPS, MOST_KBPS))


def listening_level(audio: Audio) -> Audio:
    """The audio at -20 LUFS, or as near as its peaks allow; silence stays as it is."""
    loudness = integrated_loudness(audio.samples, audio.sample_rate)
    if not np.isfinite(loudness):
        return audio
    gain = from_db(LISTENING_LUFS - loudness)
    gain = min(gain, PEAK / max(true_peak(audio.samples, audio.sample_rate), 1e-9))
    return Audio(samples=(audio.samples * gain).astype(np.float32), sample_rate=audio.sample_rate)


def mp3(audio: Audio, kbps: float) -> bytes:
    """The audio as an MP3 file of a constant bit rate, one or two channels."""
    import soundfile

    samples, rate = audio.samples[:2], audio.sample_rate
    if rate not in MP3_RATES:
        samples, rate = resample(samples, rate, FALLBACK_RATE), FALLBACK_RATE
    # libsndfile's scale: 0 is the highest bit rate of the rate's MPEG layer, 1 the lowest.
    highest, lowest = (320.0, 32.0) if rate >= 32000 else (160.0, 8.0)
    level = float(np.clip((highest - kbps) / (highest - lowest), 0, 1))
    file = io.BytesIO()
    soundfile.write(
        file,
        samples.T,
        rate,
        format="MP3",
        subtype="MPEG_LAYER_III",
        bitrate_mode="CONSTANT",
        compression_level=level,
    )
    return file.getvalue()


def player(audio: Audio, name: str, kbps: float) -> str:
    """An audio element that holds its own sound, at the common listening level."""
    address = data_address("audio/mpeg", mp3(listening_level(audio), kbps))
    return f'<audio controls preload="metadata" aria-label="{_safe(name)}" src="{address}"></audio>'


def data_address(kind: str, content: bytes) -> str:
    """A `data:` address of some bytes."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


# ---- images ----------------------------------------------------------------------------------


def spectrogram(audio: Audio, name: str) -> str:
    """An image of the mel spectrogram, the loudest band at full brightness."""
    figure = new_figure(width_in=4.4, height_in=1.9)  # small: its labels are read on a phone
    panel = figure.subplots()
    picture = levels_db(audio)
    draw_spectrogram(panel, picture, audio, float(picture.max()))
    return image(figure, panel, f"Mel spectrogram of {name}, hertz over seconds")


def similarity(matrix: Float[np.ndarray, "cells cells"], seconds: float, name: str) -> str:
    """An image of a self-similarity matrix: bright where two moments sound alike."""
    figure = new_figure(width_in=2.8, height_in=2.8)
    panel = figure.subplots()
    low, high = np.quantile(matrix, [0.05, 0.995])
    panel.imshow(
        matrix,
        origin="lower",
        cmap="magma",
        vmin=float(low),
        vmax=float(high),
        extent=(0, seconds, 0, seconds),
        interpolation="antialiased",
    )
    return image(figure, panel, f"Self-similarity of {name}, seconds over seconds")


def image(figure: "Figure", panel: "Axes", alt: str) -> str:
    """The figure as an image element, transparent around its panel."""
    figure.set_dpi(DPI)
    figure.set_facecolor("none")
    panel.set_facecolor("none")
    panel.tick_params(colors=INK, labelsize=8, length=3)
    for spine in panel.spines.values():
        spine.set_color(INK)
    file = io.BytesIO()
    figure.savefig(
        file, format="webp", dpi=DPI, transparent=True, pil_kwargs={"quality": WEBP_QUALITY}
    )
    width, height = (round(inches * DPI) for inches in figure.get_size_inches())
    address = data_address("image/webp", file.getvalue())
    return f'<img src="{address}" alt="{_safe(alt)}" width="{width}" height="{height}">'


# ---- drawings in the page's own colours ------------------------------------------------------


def axis(estimates: Sequence[Estimate]) -> tuple[float, float]:
    """Ends of an axis that holds all intervals with a margin; finite and of some length."""
    ends = [end for each in estimates for end in (each.low, each.high, each.value)]
    finite = [end for end in ends if np.isfinite(end)] or [0.0]
    low, high = min(finite), max(finite)
    margin = 0.06 * (high - low) or max(abs(high), 1.0) * 0.1
    return low - margin, high + margin


def interval_bar(
    figure: Estimate, real: Estimate | None, ends: tuple[float, float], says: str
) -> str:
    """A figure and its interval on an axis that its rivals share, with real music's as a band.

    A figure without an interval is a dot alone.
    """
    parts = [f'<svg class="bar" role="img" aria-label="{_safe(says)}">']
    if real is not None and np.isfinite([real.low, real.high]).all():
        left, right = (_per_cent(x, ends) for x in (real.low, real.high))
        width = max(right - left, 0.6)
        parts.append(f'<rect class="real" x="{left:.2f}%" width="{width:.2f}%" y="0" height="20"/>')
    if figure.has_interval:
        low, high = (_per_cent(x, ends) for x in (figure.low, figure.high))
        parts.append(f'<line x1="{low:.2f}%" x2="{high:.2f}%" y1="10" y2="10"/>')
    if np.isfinite(figure.value):
        middle = _per_cent(figure.value, ends)
        parts.append(f'<circle cx="{middle:.2f}%" cy="10" r="4.5"/>')
    return "".join([*parts, "</svg>"])


def _per_cent(value: float, ends: tuple[float, float]) -> float:
    return 100 * (value - ends[0]) / (ends[1] - ends[0])


def histogram(
    made: Float[np.ndarray, " bins"],
    real: Float[np.ndarray, " _bins"],
    labels: Sequence[str],
    title: str,
) -> str:
    """Two distributions over the same bins: filled bars, and real music's as outlines.

    Args:
        made: Shares of the judged set, one per bin.
        real: The same of the reference.
        labels: What stands below the bins; empty texts leave a bin unnamed.
        title: What is counted; also the text for those who cannot see it.
    """
    top = max(float(made.max()), float(real.max()), 1e-9)
    step = 100 / len(made)
    bars = []
    for index, (one, other, label) in enumerate(zip(made, real, labels, strict=True)):
        left = index * step
        for share, kind in ((one, "made"), (other, "usual")):
            height = 70 * float(share) / top
            bars.append(
                f'<rect class="{kind}" x="{left + 0.12 * step:.2f}%" width="{0.76 * step:.2f}%" '
                f'y="{76 - height:.1f}" height="{height:.1f}"/>'
            )
        if label:
            bars.append(_label(label, left, step))
    return _drawing("histogram", title, "".join(bars), 96)


def _label(label: str, left: float, step: float) -> str:
    """A text below a bin, long ones at the ends of the drawing turned inwards."""
    x, anchor = left + step / 2, "middle"
    if len(label) > 2:
        at_start = left < 50
        x, anchor = (left, "start") if at_start else (left + step, "end")
    return f'<text x="{x:.2f}%" y="92" text-anchor="{anchor}">{_safe(label)}</text>'


def binned(
    made: Sequence[float], real: Sequence[float], bins: int = 12
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Shares of both sets in bins that they have in common, with the ends of the range named."""
    both = np.array([*made, *real], dtype=float)
    low, high = float(both.min()), float(both.max())
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, bins + 1)
    shares = [np.histogram(side, edges)[0] / max(len(side), 1) for side in (made, real)]
    labels = [""] * bins
    labels[0], labels[-1] = shown(low), shown(high)
    return shares[0], shares[1], labels


def curve(points: Curve, title: str, unit: str) -> str:
    """A value over time as a line, with its range and length named."""
    times, values = (np.array(column, dtype=float) for column in zip(*points, strict=True))
    low, high = float(values.min()), float(values.max())
    span = (high - low) or 1.0
    x = 100 * times / max(float(times[-1]), 1e-9)
    y = 60 - 56 * (values - low) / span
    path = " ".join(f"{a:.2f},{b:.1f}" for a, b in zip(x, y, strict=True))
    line = (
        '<svg viewBox="0 0 100 64" preserveAspectRatio="none" height="64" width="100%">'
        f'<polyline vector-effect="non-scaling-stroke" points="{path}"/></svg>'
    )
    said = f"{shown(low)} to {shown(high)} {unit}, 0 to {times[-1]:.0f} s"
    return _drawing("curve", f"{title}: {said}", line, 64)


def _drawing(kind: str, title: str, content: str, height: int) -> str:
    said = _safe(title)
    return (
        f'<figure class="{kind}"><figcaption>{said}</figcaption>'
        f'<svg role="img" aria-label="{said}" width="100%" height="{height}">{content}</svg>'
        "</figure>"
    )


def _safe(text: str) -> str:
    return html.escape(text, quote=True)
