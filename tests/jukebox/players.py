"""Whole models, small enough to sample from in tests, with weights that were drawn."""

from dataclasses import replace

import numpy as np
import torch

from ritornello.interfaces import Audio
from ritornello.jukebox import presets, prior, upsampler
from ritornello.jukebox.config import JukeboxConfig
from ritornello.jukebox.generate import Jukebox
from ritornello.jukebox.prior_config import LyricsConfig, RecallConfig
from ritornello.jukebox.prior_presets import merged_order, small_transformer
from ritornello.jukebox.vqvae import VqVae
from ritornello.jukebox.vqvae import initialise as initialise_vqvae

RATE = 8000
LOUD = 40.0
"""Factor on label tables and the like: drawn networks are to hear what they are told."""


def tiny_config(levels=2, **prior_changes) -> JukeboxConfig:
    """Hops 8, 32 and, with three levels, 128; two artists, one genre."""
    nano = presets.nano()
    if levels == 3:
        level = replace(nano.vqvae.levels[-1], factors=(8, 4, 4))
        vqvae = replace(nano.vqvae, levels=(*nano.vqvae.levels, level))
        stages = replace(
            nano.training,
            vqvaes=nano.training.vqvaes[:1] * 3,
            upsamplers=nano.training.upsamplers * 2,
        )
        nano = replace(
            nano,
            vqvae=vqvae,
            prior=replace(nano.prior, frame_rate_hz=RATE / 128),
            upsamplers=nano.upsamplers * 2,
            hops=(0.5, 0.5, 0.25),
            temperatures=(1.0, 1.0, 1.0),
            training=stages,
        )
    return replace(
        nano,
        prior=replace(nano.prior, **prior_changes),
        artists=("unknown", "bach", "dvorak"),
        genres=("unknown", "fugue"),
    )


def singing_config() -> JukeboxConfig:
    """Two levels, told twelve bytes of lyrics in one sequence."""
    return tiny_config(
        transformer=small_transformer(16, merged_order(6, every=2), 2, 6, 6),
        lyrics=LyricsConfig(symbols=257, tokens=12),
    )


def returning_config() -> JukeboxConfig:
    """Two levels, and sections that return."""
    return tiny_config(recall=RecallConfig())


def drawn_vqvae(config, seed):
    draw = torch.Generator().manual_seed(seed)
    level = VqVae(config)
    initialise_vqvae(level, draw)
    with torch.no_grad():
        noise = torch.rand(1, 1, 64 * config.hop_samples, generator=draw) - 0.5
        level.quantiser.codebook.begin(level.encoder(noise).transpose(1, 2), draw)
        # as loud whatever codes there are
        level.decoder.layers[-1].weight.mul_(0.2)
    return level.eval().requires_grad_(False)


def loud(model):
    """`model` with weights that make it heed what it is told."""
    for name, weight in model.named_parameters():
        if any(part in name for part in ("labels", "timing", "recall", "positions")):
            weight.data.mul_(LOUD)
        elif weight.ndim > 1:
            weight.data.mul_(20 if "table" in name else 30)
    return model.eval().requires_grad_(False)


def drawn_jukebox(config=None, levels=2):
    config = config or tiny_config(levels)
    draw = torch.Generator().manual_seed(1)
    top = prior.build_prior(config.prior)
    prior.initialise(top, draw)
    below = {}
    for level, one in enumerate(config.upsamplers):
        below[level] = upsampler.Upsampler(one)
        upsampler.initialise(below[level], draw)
        loud(below[level])
    vqvaes = {i: drawn_vqvae(one, i) for i, one in enumerate(config.vqvae.levels)}
    return Jukebox(config, vqvaes, loud(top), below)


def tone(seconds=0.5, rate=RATE, channels=1):
    time = np.arange(round(seconds * rate)) / rate
    wave = 0.4 * np.sin(2 * np.pi * 220 * time)
    return Audio(samples=np.stack([wave] * channels).astype(np.float32), sample_rate=rate)


def joined(blocks):
    return np.concatenate([block.samples for block in blocks], 1)
