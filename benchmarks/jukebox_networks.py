"""What Jukebox's autoencoders cost on this processor: the paper's networks and the cheaper ones.

    python benchmarks/jukebox_networks.py

One thread, float32, excerpts of one second at 16 kHz, fresh weights. Prints, for every level,
processor seconds per second of audio: forward, loss and backward together, and decoding; the least
of several runs, since other work on the machine only adds.
"""

import argparse

import torch
from rich.console import Console
from rich.table import Table

from ritornello.evaluation import speed
from ritornello.jukebox import vqvae_presets as presets
from ritornello.jukebox.losses import level_losses, measure_bandwidth
from ritornello.jukebox.vqvae import VqVae, initialise
from ritornello.jukebox.vqvae_config import LevelConfig, LossConfig

RATE, SAMPLES = 16_000, 16_384
SECONDS = SAMPLES / RATE


def costs(level: LevelConfig, loss: LossConfig, repeats: int) -> tuple[int, float, float]:
    """Parameters, and processor seconds per second of audio in training and in decoding."""
    draw = torch.Generator().manual_seed(0)
    model = VqVae(level)
    initialise(model, draw)
    wave = 0.1 * torch.randn(1, 1, SAMPLES, generator=draw)
    model.quantiser.codebook.begin(model.encoder(wave).transpose(1, 2), draw)
    bandwidth = measure_bandwidth(wave, loss)

    def train() -> None:
        level_losses(model(wave), wave, loss, bandwidth)["total"].backward()

    codes = model(wave).codes

    @torch.inference_mode()
    def decode() -> None:
        model.decode(codes)

    trained, decoded = (min(speed.measure(work, repeats).cpu_s) for work in (train, decode))
    parameters = sum(p.numel() for p in model.parameters())
    return parameters, trained / SECONDS, decoded / SECONDS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = Table("networks", "hop", "parameters", "training", "decoding")
    rows = [("the paper's lowest level", presets.paper(), [0])]
    rows += [("plain", presets.plain_small_vqvae(), [0, 1, 2])]
    rows += [("patched", presets.small_vqvae(), [0, 1, 2])]
    for name, config, levels in rows:
        for index in levels:
            level = config.levels[index]
            parameters, trained, decoded = costs(level, config.loss, options.repeats)
            figures = f"{parameters:,}", f"{trained:.3f}", f"{decoded:.4f}"
            table.add_row(name, str(level.hop_samples), *figures)
    Console().print(table)


if __name__ == "__main__":
    main()
