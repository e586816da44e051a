"""The presets as Markdown tables: rates, parameters, disk space of the caches.

python examples/preset_sizes.py
"""

import torch

from ritornello.ada.config import StackConfig
from ritornello.ada.model import Ada, Prior
from ritornello.ada.presets import PRESETS as STACKS
from ritornello.musika.codec import MusikaCodec
from ritornello.musika.config import MusikaConfig
from ritornello.musika.families import build_critic, build_generator
from ritornello.musika.presets import PRESETS


def sizes_table() -> str:
    """Rates and trainable parameters, in millions, of every preset."""
    heading = "| preset | audio | latents | chunk | level 1 | level 2 | generator | critic |"
    return "\n".join([heading, "|---|---|---|---|---|---|---|---|", *map(sizes_row, PRESETS)])


def sizes_row(name: str) -> str:
    """One preset; autoencoders as encoder + decoder."""
    config = PRESETS[name]()
    with torch.device("meta"):
        codec = MusikaCodec.untrained(config)
        gan = build_generator(config), build_critic(config)
    levels = [
        " + ".join(millions(level[part]) for part in ("encoder", "decoder"))
        for level in (codec.level1, codec.level2)
    ]
    channels = "stereo" if config.channels == 2 else "mono"
    cells = [
        name,
        f"{config.sample_rate / 1000:g} kHz {channels}",
        f"{config.latent_dim} at {config.latent_rate_hz:.2f} Hz",
        f"{config.chunk_s:.2f} s",
        *levels,
        *map(millions, gan),
    ]
    return f"| {' | '.join(cells)} |"


def millions(network: torch.nn.Module) -> str:
    """Trainable parameters in millions."""
    return f"{sum(p.numel() for p in network.parameters() if p.requires_grad) / 1e6:.2f}"


def ada_table() -> str:
    """Rates, memory and trainable parameters, in millions, of every stack."""
    heading = "| preset | audio | codes a second | looks back | levels | prior |"
    rows = (ada_row(name, preset()) for name, preset in STACKS.items())
    return "\n".join([heading, "|---|---|---|---|---|---|", *rows])


def ada_row(name: str, stack: StackConfig) -> str:
    """One stack, the level on audio first."""
    rate_hz, rates = float(stack.sample_rate), []
    for level in stack.levels:
        rate_hz /= level.hop
        rates.append(f"{rate_hz:g}")
    with torch.device("meta"):
        levels, prior = [Ada(level) for level in stack.levels], Prior(stack.prior)
    cells = [
        name,
        f"{stack.sample_rate / 1000:g} kHz",
        ", ".join(rates),
        f"{stack.receptive_field_ms / 1000:.1f} s",
        " + ".join(map(millions, levels)),
        millions(prior),
    ]
    return f"| {' | '.join(cells)} |"


def cache_table() -> str:
    """Megabytes that the caches of a run take for every hour of training music."""
    rows = []
    for name, preset in PRESETS.items():
        audio_mb, latents_mb = cache_mb_per_hour(preset())
        rows.append(f"| {name} | {audio_mb:.0f} | {latents_mb:.1f} |")
    return "\n".join(
        ["| preset | audio, MB/h | latents and controls, MB/h |", "|---|---|---|", *rows]
    )


def cache_mb_per_hour(config: MusikaConfig) -> tuple[float, float]:
    """16-bit audio; half-precision latents with single-precision controls, kept twice."""
    audio = config.sample_rate * config.channels * 2
    latents = config.latent_rate_hz * (2 * config.latent_dim + 2 * 4 * len(config.gan.controls))
    return audio * 3600 / 1e6, latents * 3600 / 1e6


if __name__ == "__main__":
    print(sizes_table(), cache_table(), ada_table(), sep="\n\n")
