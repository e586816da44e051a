"""Pictures of a run: loss curves, and spectrograms of its samples side by side.

Matplotlib is imported only here and only when something is drawn; figures are made without its
global state.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ritornello.interfaces import Audio
from ritornello.training.logs import read_metrics_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_PANELS = 16
FLOOR_DB = -80.0
LOWEST_HZ = 40.0
PICTURE_ROWS = 300


def draw_curves(metrics: Path, picture: Path) -> None:
    """Draw every column of a metrics table over its steps, one panel each."""
    rows = read_metrics_table(metrics)
    names = [name for name in (rows[0] if rows else {}) if name not in ("step", "seconds")]
    names = names[:MAX_PANELS]
    if not names:
        return
    from matplotlib.figure import Figure

    across = min(4, len(names))
    down = -(-len(names) // across)
    figure = Figure(figsize=(4 * across, 2.6 * down))
    figure.subplots_adjust(hspace=0.4, left=0.06, right=0.98)
    panels = figure.subplots(down, across, squeeze=False).flat
    for name, panel in zip(names, panels, strict=False):
        points = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
        steps, values = zip(*points, strict=True) if points else ((), ())
        panel.plot(steps, values, linewidth=0.8, marker="." if len(points) < 30 else "")
        panel.set_title(name, fontsize=9)
        panel.tick_params(labelsize=7)
    for panel in list(panels)[len(names) :]:
        panel.set_visible(False)
    _save(figure, picture)


def draw_spectrograms(audio: Mapping[str, Audio], picture: Path) -> None:
    """Draw the log-magnitude spectrograms of named audio side by side, on one scale.

    Channels are averaged in power; frequencies are on a logarithmic axis.
    """
    if not audio:
        return
    from matplotlib.figure import Figure

    levels = {name: _spectrogram_db(item) for name, item in audio.items()}
    top = max(float(level.max()) for level in levels.values())
    figure = Figure(figsize=(min(5 * len(levels), 40), 4))
    figure.subplots_adjust(wspace=0.15, left=0.06, right=0.98)
    panels = figure.subplots(1, len(levels), squeeze=False)[0]
    for (name, level), panel in zip(levels.items(), panels, strict=True):
        item = audio[name]
        low, high = LOWEST_HZ, item.sample_rate / 2
        rows = np.geomspace(low, high, PICTURE_ROWS) / high * (level.shape[0] - 1)
        panel.imshow(
            level[np.round(rows).astype(int)],
            origin="lower",
            aspect="auto",
            vmin=top + FLOOR_DB,
            vmax=top,
            extent=(0, item.duration_s, 0, 1),
        )
        marks = [hz for hz in (100, 300, 1000, 3000, 10000) if hz < high]
        panel.set_yticks(np.log(np.array(marks) / low) / np.log(high / low), marks)
        panel.tick_params(labelsize=7)
        panel.set_title(name, fontsize=9)
        panel.set_xlabel("s", fontsize=8)
    _save(figure, picture)


def write_samples(audio: Mapping[str, Audio], folder: Path, step: int) -> None:
    """Write named audio as FLAC files and their spectrograms as one picture."""
    if not audio:
        return
    from ritornello.audio.io import write_audio

    folder.mkdir(parents=True, exist_ok=True)
    for name, item in audio.items():
        write_audio(folder / f"step-{step:09d}-{name}.flac", item)
    draw_spectrograms(audio, folder / f"step-{step:09d}.png")


def _spectrogram_db(audio: Audio, n_fft: int = 2048) -> np.ndarray:
    """Power in dB, (bins, frames), channels averaged; shorter audio is padded to one window."""
    samples = audio.samples
    padding = max(0, n_fft - samples.shape[1])
    samples = np.pad(samples, ((0, 0), (0, padding)))
    # About a thousand columns are all that a picture shows.
    hop = max(n_fft // 4, samples.shape[1] // 1000)
    windows = np.lib.stride_tricks.sliding_window_view(samples, n_fft, axis=1)[:, ::hop]
    spectrum = np.fft.rfft(windows * np.hanning(n_fft).astype(np.float32), axis=-1)
    power = (np.abs(spectrum) ** 2).mean(axis=0).T
    return 10 * np.log10(np.maximum(power, 1e-10))


def _save(figure: "Figure", picture: Path) -> None:
    """Write a matplotlib figure as PNG, without a program version inside."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    picture.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    figure.savefig(picture, dpi=90, metadata={"Software": None})
