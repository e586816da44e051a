"""Mu-law: a waveform as one of 256 symbols a sample, finer near silence.

    f(x) = sign(x) ln(1 + mu |x|) / ln(1 + mu)      companding, ITU-T G.711

`classes` symbols cover [-1, 1] evenly after companding, symbol 0 at -1 and `classes - 1` at +1, so
that silence lies between the two middle symbols. Decoding gives the middle of a symbol's range.
"""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ritornello.errors import AudioError


def mulaw_encode(wave: Float[Tensor, "*shape"], classes: int = 256) -> Int64[Tensor, "*shape"]:
    """Symbols 0 .. classes-1 of samples; what lies outside [-1, 1] is held at the ends.

    Raises:
        AudioError: A sample is NaN.
    """
    if torch.isnan(wave).any():
        raise AudioError("got NaN samples; expected finite values in [-1, 1]")
    companded = compand(wave.clamp(-1, 1), classes)
    return ((companded + 1) / 2 * classes).floor().long().clamp(0, classes - 1)


def mulaw_decode(symbols: Int64[Tensor, "*shape"], classes: int = 256) -> Float[Tensor, "*shape"]:
    """Samples in (-1, 1) from symbols: the middle of each symbol's companded range."""
    return expand(companded_value(symbols, classes), classes)


def companded_value(
    symbols: Int64[Tensor, "*shape"], classes: int = 256
) -> Float[Tensor, "*shape"]:
    """Symbols as evenly spaced scalars in (-1, 1): the "continuous" input of the ADA paper."""
    return (symbols.float() + 0.5) * (2 / classes) - 1


def compand(wave: Float[Tensor, "*shape"], classes: int = 256) -> Float[Tensor, "*shape"]:
    """`f(x)` of samples in [-1, 1], with mu = classes - 1."""
    mu = classes - 1
    return wave.sign() * torch.log1p(mu * wave.abs()) / math.log1p(mu)


def expand(companded: Float[Tensor, "*shape"], classes: int = 256) -> Float[Tensor, "*shape"]:
    """The inverse of `compand`."""
    mu = classes - 1
    return companded.sign() * torch.expm1(companded.abs() * math.log1p(mu)) / mu
