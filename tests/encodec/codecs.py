"""Small codecs with drawn weights whose codebooks stand on what they are to quantise."""

import torch

from ritornello.encodec.codec import EncodecCodec, build_network
from ritornello.encodec.config import EncodecConfig
from ritornello.encodec.seanet import initialise

RATE = 1600
PUBLISHED = {
    "ratios": (4, 2, 2),
    "front": 1,
    "dilation_growth": 2,
    "lstm_layers": 2,
    "code_dim": None,
    "padding": "reflect",
}
"""As published networks are built."""


def tiny(**settings):
    values = {
        "sample_rate": RATE,
        "filters": 4,
        "ratios": (4, 2),
        "front": 2,
        "residual_layers": 1,
        "dim": 8,
        "code_dim": 4,
        "kernel": 5,
        "codebooks": 3,
        "codebook_size": 16,
    }
    return EncodecConfig(**(values | settings))


def noise(time, batch=1, seed=0, channels=1):
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(batch, channels, time, generator=draw) * 1.6 - 0.8


def drawn(config=None):
    """A codec every codebook of which holds residuals that it is given."""
    config = config or tiny()
    draw = torch.Generator().manual_seed(0)
    network = build_network(config).eval()
    initialise(network, draw)
    network.requires_grad_(False)
    wave = noise(64 * config.hop_samples, channels=config.channels)
    queries = network.queries(network.fast(wave))
    for level, book in enumerate(network.quantizer.books):
        book.begin(network.quantizer(queries).residuals[level], draw)
    return EncodecCodec(network)
