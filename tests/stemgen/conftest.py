"""A small StemGen whose weights were drawn, not trained, and mixes for it to hear."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ritornello.interfaces import Audio
from ritornello.stemgen.combiner import Conditions
from ritornello.stemgen.generate import StemGen
from ritornello.stemgen.presets import nano
from tests.encodec import codecs

STEMS = ("bass", "chords", "drums")
RATE = 1600


def drawn_player(seed=0, stems=STEMS):
    """The nano preset; windows of a second, of which a quarter overlaps."""
    config = replace(nano(), stems=stems)
    drawn = StemGen.untrained(config, torch.Generator().manual_seed(seed))
    return StemGen(config, codecs.drawn(config.codec), drawn.network)


def noise(seconds, rate=RATE, channels=1, seed=0):
    """A mix of noise in bursts."""
    draw = np.random.default_rng(seed)
    samples = 0.2 * draw.standard_normal((channels, round(seconds * rate)))
    beat = np.arange(samples.shape[1]) / rate % 0.25
    return Audio(samples=(samples * np.exp(-beat / 0.05)).astype(np.float32), sample_rate=rate)


def told(network, batch=1, frames=50, seed=0):
    """Conditions with tokens drawn evenly."""
    config = network.config
    draw = torch.Generator().manual_seed(seed)
    size = (batch, config.codec.codebooks, frames)
    return Conditions(
        context=torch.randint(config.codec.codebook_size, size, generator=draw),
        category=torch.arange(batch) % len(config.stems),
        activity=torch.full((batch, frames), 2),
    )


@pytest.fixture(scope="session")
def player():
    return drawn_player()


@pytest.fixture(scope="session")
def network(player):
    return player.network
