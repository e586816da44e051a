"""Pictures of sound: mel spectrograms side by side on one scale, and an overview with waveform.

For the README, model cards and training samples. Axes are seconds, hertz on the mel scale, and
decibels below the loudest band of all clips shown, so that a louder clip looks louder. The files
hold no date: the same clips give the same bytes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ritornello.errors import DataError
from ritornello.evaluation.spectra import log_mel_db, power_of_two_near
from ritornello.interfaces import Audio

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

MELS = 192
LOW_HZ = 30.0
RANGE_DB = 80.0
WINDOW_S = 0.0464
FRAMES_PER_PANEL = 900
TICKS_HZ = (100, 400, 800, 1600, 3200, 6400, 12800)
COLORMAP = "magma"
BACKGROUND, INK, ACCENT = "#0e0d14", "#d8d5e0", "#f7705c"
DPI = 120


def validate(clips: Mapping[str, Audio]) -> None:
    """Refuse what cannot share axes.

    Raises:
        DataError: No clips, or clips of different sample rates.
    """
    rates = {name: clip.sample_rate for name, clip in clips.items()}
    if not clips:
        raise DataError("got no clips to draw, expected at least one")
    if len(set(rates.values())) > 1:
        raise DataError(f"clips have different sample rates: {rates}; resample them to one")


def levels_db(clip: Audio) -> Float[np.ndarray, "mels frames"]:
    """Mel levels of the clip's channels together, in dB re a full-scale sine."""
    n_fft = power_of_two_near(WINDOW_S, clip.sample_rate)
    hop = max(n_fft // 8, clip.samples.shape[1] // FRAMES_PER_PANEL)
    mono = clip.samples.mean(axis=0)
    return log_mel_db(mono, clip.sample_rate, n_fft, hop, MELS, floor_db=-140.0)


def mel_position(hz: Float[np.ndarray, " ticks"], sample_rate: int) -> Float[np.ndarray, " ticks"]:
    """Where frequencies lie on the vertical axis of a panel, 0 at its foot and 1 at its top."""
    low, position, high = (np.log10(1 + np.asarray(x) / 700) for x in (LOW_HZ, hz, sample_rate / 2))
    return (position - low) / (high - low)


def save_comparison(clips: Mapping[str, Audio], path: Path, title: str | None = None) -> Path:
    """Write a PNG of the clips' spectrograms side by side, one shared dB scale, and return it.

    Args:
        clips: Audio by the name that stands above it, in order from left to right.
        path: PNG file to write.
        title: Line above all panels.

    Raises:
        DataError: As `validate`.
    """
    validate(clips)
    count = len(clips)
    figure = new_figure(width_in=max(6.0, 3.4 * count + 1.2), height_in=3.9)
    panels = figure.subplots(1, count, sharey=True, squeeze=False)[0]
    pictures = {name: levels_db(clip) for name, clip in clips.items()}
    loudest_db = max(float(picture.max()) for picture in pictures.values())
    image = None
    for panel, (name, clip) in zip(panels, clips.items(), strict=True):
        image = draw_spectrogram(panel, pictures[name], clip, loudest_db)
        panel.set_title(name, color=INK, fontsize=11)
        panel.set_xlabel("seconds")
    panels[0].set_ylabel("hertz")
    return finish(figure, list(panels), image, title, path)


def save_overview(clip: Audio, path: Path, title: str | None = None) -> Path:
    """Write a PNG of one clip, its waveform above its spectrogram, and return it.

    Raises:
        AudioError: The clip is empty or not finite.
    """
    figure = new_figure(width_in=10.0, height_in=4.6)
    top, panel = figure.subplots(2, 1, sharex=True, height_ratios=[1, 2.6])
    draw_waveform(top, clip)
    picture = levels_db(clip)
    image = draw_spectrogram(panel, picture, clip, float(picture.max()))
    panel.set_xlabel("seconds")
    panel.set_ylabel("hertz")
    return finish(figure, [top, panel], image, title, path)


def new_figure(width_in: float, height_in: float) -> "Figure":
    """An empty dark figure, drawn in memory: no window and no global state is involved."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(width_in, height_in), dpi=DPI, facecolor=BACKGROUND, layout="constrained"
    )
    FigureCanvasAgg(figure)
    return figure


def draw_spectrogram(
    panel: "Axes", picture: Float[np.ndarray, "mels frames"], clip: Audio, loudest_db: float
) -> "AxesImage":
    """Show mel levels as brightness, from `loudest_db` down."""
    image = panel.imshow(
        np.maximum(picture - loudest_db, -RANGE_DB),
        origin="lower",
        aspect="auto",
        cmap=COLORMAP,
        vmin=-RANGE_DB,
        vmax=0,
        extent=(0, clip.duration_s, 0, 1),
        interpolation="antialiased",
    )
    shown = [hz for hz in TICKS_HZ if hz < clip.sample_rate / 2]
    positions = mel_position(np.array(shown, dtype=float), clip.sample_rate)
    panel.set_yticks(positions, [f"{hz / 1000:g}k" if hz >= 1000 else f"{hz}" for hz in shown])
    return image


def draw_waveform(panel: "Axes", clip: Audio) -> None:
    """Show the extremes of the waveform over time, all channels together."""
    time = clip.samples.shape[1]
    columns = min(time, 2 * FRAMES_PER_PANEL)
    starts = np.arange(columns) * time // columns
    high = np.maximum.reduceat(clip.samples.max(axis=0), starts)
    low = np.minimum.reduceat(clip.samples.min(axis=0), starts)
    seconds = starts / clip.sample_rate
    panel.fill_between(seconds, low, high, color=ACCENT, linewidth=0.3)
    reach = max(0.1, 1.05 * float(np.abs(clip.samples).max()))
    panel.set_ylim(-reach, reach)
    panel.set_ylabel("amplitude")


def finish(
    figure: "Figure",
    panels: "list[Axes]",
    image: "AxesImage | None",
    title: str | None,
    path: Path,
) -> Path:
    """Add scale, colours and title, and write the file."""
    for panel in panels:
        panel.set_facecolor(BACKGROUND)
        panel.tick_params(colors=INK, labelsize=8, length=3)
        panel.xaxis.label.set(color=INK, fontsize=9)
        panel.yaxis.label.set(color=INK, fontsize=9)
        for spine in panel.spines.values():
            spine.set_color("#3a3748")
    if image is not None:
        scale = figure.colorbar(image, ax=panels, pad=0.015, fraction=0.05, aspect=30)
        scale.set_label("decibels below the loudest", color=INK, fontsize=9)
        scale.ax.tick_params(colors=INK, labelsize=8, length=3)
        scale.outline.set_edgecolor("#3a3748")  # pyright: ignore[reportCallIssue]
    if title is not None:
        figure.suptitle(title, color=INK, fontsize=12)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", metadata={"Software": None})
    return path
