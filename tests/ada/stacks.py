"""Stacks of any depth, small enough to sample from in tests, with weights that were drawn."""

from dataclasses import replace

import torch

from ritornello.ada.config import (
    AdaConfig,
    PriorConfig,
    QuantiserConfig,
    StackConfig,
    WaveNetConfig,
)
from ritornello.ada.generate import AdaStack
from ritornello.ada.model import Ada, Prior
from ritornello.nn.wavenet import initialise

RATE = 2000
TINY = WaveNetConfig(repetitions=1, layers=2, filter_size=3, residual=8, inner=6, skip=8)
AUDIO = AdaConfig(
    hop=4,
    encoder=TINY,
    modulator=TINY,
    local=replace(TINY, filter_size=2, layers=3),
    quantiser=QuantiserConfig(codes=16, dim=5),
)
CODES = replace(
    AUDIO,
    symbols=16,
    hop=2,
    encoder_input="one_hot",
    local_input="one_hot",
    quantiser=replace(AUDIO.quantiser, kind="amae"),
)


def stack_config(depth, rate=RATE):
    """Hops 4, 2, 2."""
    levels = (AUDIO, CODES, CODES)[:depth]
    prior = PriorConfig(symbols=16 if levels else 256, network=replace(TINY, filter_size=2))
    return StackConfig(sample_rate=rate, levels=levels, prior=prior)


def drawn(model, seed):
    """`model` with weights from `seed`, for playing: many symbols and codes are about as likely."""
    draw = torch.Generator().manual_seed(seed)
    initialise(model, draw)
    model.eval().requires_grad_(False)
    head = (model.local if isinstance(model, Ada) else model).head
    head.out.bias.copy_(torch.randn(len(head.out.bias), generator=draw))
    if isinstance(model, Ada):  # codes are to be heard
        model.modulator.to_biases.weight.mul_(30)
    if isinstance(model, Ada) and model.config.quantiser.kind == "vq":
        noise = torch.randint(model.config.symbols, (1, 400), generator=draw)
        model.bottleneck.codebook.begin(model.encoder(noise), draw)
    return model


def drawn_levels(depth):
    return [drawn(Ada(level), seed) for seed, level in enumerate(stack_config(depth).levels)]


def drawn_prior(depth):
    return drawn(Prior(stack_config(depth).prior), 9)


def drawn_stack(depth, rate=RATE):
    return AdaStack(stack_config(depth, rate), drawn_levels(depth), drawn_prior(depth))
