"""What a Musika model's card says besides what every card does: its summary and its controls."""

from pathlib import Path

from ritornello.checkpoint import read_json
from ritornello.musika.config import MusikaConfig
from ritornello.musika.generate import load_scales
from ritornello.musika.train_gan import UNFITTED

UNITS = {"density": "notes per second", "loudness": "LUFS", "tempo": "beats per minute"}


def summary(config: MusikaConfig) -> str:
    """What the model is, in a sentence."""
    return (
        f"A Musika model: {config.sample_rate / 1000:g} kHz, "
        f"{'stereo' if config.channels == 2 else 'mono'}, chunks of {config.chunk_s:.2f} s "
        f"made from {config.latent_dim} latents at {config.latent_rate_hz:.2f} Hz."
    )


def controls(folder: Path, config: MusikaConfig) -> str:
    """What 0 and 1 mean for each control."""
    if not config.gan.controls:
        return "None."
    settings = read_json(folder / "generator" / "config.json")
    rows = []
    for name, scale in load_scales(settings, config.gan.controls).items():
        meaning = f"0 is {scale.low:.3g}, 1 is {scale.high:.3g} {UNITS.get(name, '')}".strip()
        rows.append(
            f"- {name}: without effect, since this music does not vary in it"
            if scale == UNFITTED
            else f"- {name}: {meaning}"
        )
    return "\n".join(rows)
