"""Tiny levels with drawn weights, and noise to put through them."""

import torch

from ritornello.jukebox.vqvae import VqVae, initialise
from ritornello.jukebox.vqvae_config import CodebookConfig, LevelConfig

RATE = 8000


def tiny(networks="plain", factors=(4, 2), codes=16, **codebook):
    book = CodebookConfig(codes=codes, dim=3, **codebook)
    return LevelConfig(networks=networks, factors=factors, width=4, depth=2, codebook=book)


def noise(time, batch=1, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 1, time, generator=draw) * 1.6 - 0.8


def drawn(config):
    """A level whose codebook stands on its queries."""
    draw = torch.Generator().manual_seed(0)
    level = VqVae(config)
    initialise(level, draw)
    with torch.no_grad():
        queries = level.encoder(noise(64 * config.hop_samples)).transpose(1, 2)
    level.quantiser.codebook.begin(queries, draw)
    return level
