"""SEANet: the convolutional encoder and decoder of EnCodec (section 3.1).

    wave    (batch, channels, time)
      encoder: convolution, per ratio residual blocks and a strided convolution, LSTM, convolution
    hidden  (batch, dim, frames)
      decoder: the mirror image, upsampling by transposed convolutions
    wave    (batch, channels, time)

Both are split where the frame rate is reached: `fast` layers see a bounded stretch of audio and may
be run in chunks, `slow` ones run at the frame rate and may be recurrent. Layers keep the order and
the names that published checkpoints have. Convolutions look both ways.
"""

from itertools import accumulate, pairwise
from operator import mul
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import is_parametrized

from ritornello.encodec.config import EncodecConfig

ADDED, FIRST_SOUND = 0.3, 0.1
"""Factors of what residual blocks add, and of the decoder's output, before training."""

Hidden = Float[Tensor, "batch _dim _time"]


class PaddedConv(nn.Module):
    """A weight-normalised convolution that gives one output per `stride` inputs.

    Args:
        dim_in: Channels in.
        dim_out: Channels out.
        kernel: Taps.
        stride: Inputs per output.
        dilation: Steps between taps.
        mode: What stands beyond the ends.
    """

    def __init__(
        self,
        dim_in: int,
        dim_out: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        *,
        mode: str,
    ) -> None:
        super().__init__()
        self.conv = weight_norm(
            nn.Conv1d(dim_in, dim_out, kernel, stride=stride, dilation=dilation)
        )
        missing = (kernel - 1) * dilation + 1 - stride
        self.padding, self.mode, self.stride = (missing - missing // 2, missing // 2), mode, stride

    def forward(self, x: Hidden) -> Hidden:
        """As many steps, over the stride; they are a multiple of it."""
        before, after = self.padding
        if self.mode == "reflect" and max(before, after) >= x.shape[-1]:
            # Nothing reflects further than itself: what is shorter is lengthened by silence first.
            extra = max(before, after) - x.shape[-1] + 1
            padded = functional.pad(functional.pad(x, (0, extra)), (before, after), "reflect")
            return self.conv(padded[..., : padded.shape[-1] - extra])
        return self.conv(functional.pad(x, (before, after), self.mode))


class FasterConv(nn.Module):
    """A weight-normalised transposed convolution over twice as many taps as its stride."""

    def __init__(self, dim_in: int, dim_out: int, stride: int) -> None:
        super().__init__()
        self.conv = weight_norm(nn.ConvTranspose1d(dim_in, dim_out, 2 * stride, stride=stride))
        self.stride, self.trim = stride, (stride - stride // 2, stride // 2)

    def forward(self, x: Hidden) -> Hidden:
        """`stride` outputs per input."""
        before, after = self.trim
        made = self.conv(x)
        return made[..., before : made.shape[-1] - after]


class ResidualBlock(nn.Module):
    """Two convolutions, the first dilated and narrow, added to what came in."""

    def __init__(self, config: EncodecConfig, dim: int, dilation: int) -> None:
        super().__init__()
        inner, mode = dim // config.compress, config.padding
        self.block = nn.ModuleList(
            [
                nn.ELU(),
                PaddedConv(dim, inner, config.residual_kernel, dilation=dilation, mode=mode),
                nn.ELU(),
                PaddedConv(inner, dim, 1, mode=mode),
            ]
        )
        self.reach = dilation * (config.residual_kernel // 2)

    def forward(self, x: Hidden) -> Hidden:
        """The same shape."""
        found = x
        for layer in self.block:
            found = layer(found)
        return x + found


class Lstm(nn.Module):
    """A recurrent network over the frames, added to what came in."""

    def __init__(self, dim: int, layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dim, dim, layers)

    def forward(self, x: Hidden) -> Hidden:
        """The same shape."""
        steps = x.permute(2, 0, 1)
        return (self.lstm(steps)[0] + steps).permute(1, 2, 0)


def residual_blocks(config: EncodecConfig, dim: int) -> list[nn.Module]:
    """Those of one rate, their dilations growing."""
    return [
        ResidualBlock(config, dim, config.dilation_growth**number)
        for number in range(config.residual_layers)
    ]


def _first(config: EncodecConfig) -> PaddedConv:
    """From samples to the first width.

    Deviation: with `front` above 1 it takes as many samples at once; published ones run at the
    sample rate.
    """
    if config.front == 1:
        return PaddedConv(config.channels, config.filters, config.kernel, mode=config.padding)
    front = config.front
    return PaddedConv(config.channels, config.filters, 2 * front, front, mode=config.padding)


def _last(config: EncodecConfig) -> PaddedConv | FasterConv:
    """Back to samples."""
    if config.front == 1:
        return PaddedConv(config.filters, config.channels, config.kernel, mode=config.padding)
    return FasterConv(config.filters, config.channels, config.front)


class Encoder(nn.Module):
    """Waves to what is quantised."""

    def __init__(self, config: EncodecConfig) -> None:
        super().__init__()
        mode, width = config.padding, config.filters
        layers: list[nn.Module] = [_first(config)]
        for ratio in reversed(config.ratios):
            layers += [*residual_blocks(config, width), nn.ELU()]
            layers.append(PaddedConv(width, 2 * width, 2 * ratio, ratio, mode=mode))
            width *= 2
        self.fast_layers = len(layers)
        if config.lstm_layers:
            layers.append(Lstm(width, config.lstm_layers))
        layers += [nn.ELU(), PaddedConv(width, config.dim, config.kernel, mode=mode)]
        self.layers = nn.Sequential(*layers)
        rates = list(accumulate(reversed(config.ratios), mul, initial=config.front))
        self.context_frames = _context(config, rates)

    def fast(self, wave: Hidden) -> Hidden:
        """Down to the frame rate."""
        return self.layers[: self.fast_layers](wave)

    def slow(self, x: Hidden) -> Hidden:
        """At the frame rate."""
        return self.layers[self.fast_layers :](x)

    def forward(self, wave: Hidden) -> Hidden:
        """(batch, dim, frames) of (batch, channels, frames * hop)."""
        return self.slow(self.fast(wave))


class Decoder(nn.Module):
    """What was quantised to waves."""

    def __init__(self, config: EncodecConfig) -> None:
        super().__init__()
        mode, width = config.padding, config.width
        layers: list[nn.Module] = [PaddedConv(config.dim, width, config.kernel, mode=mode)]
        if config.lstm_layers:
            layers.append(Lstm(width, config.lstm_layers))
        self.slow_layers = len(layers)
        for ratio in config.ratios:
            layers += [nn.ELU(), FasterConv(width, width // 2, ratio)]
            width //= 2
            layers += residual_blocks(config, width)
        layers += [nn.ELU(), _last(config)]
        self.layers = nn.Sequential(*layers)
        rates = list(accumulate(reversed(config.ratios), mul, initial=config.front))
        self.context_frames = _context(config, rates)

    def slow(self, x: Hidden) -> Hidden:
        """At the frame rate."""
        return self.layers[: self.slow_layers](x)

    def fast(self, x: Hidden) -> Hidden:
        """Up to the sample rate."""
        return self.layers[self.slow_layers :](x)

    def forward(self, x: Hidden) -> Hidden:
        """(batch, channels, frames * hop) of (batch, dim, frames)."""
        return self.fast(self.slow(x))


def _context(config: EncodecConfig, rates: list[int]) -> int:
    """Frames to either side that the fast layers see at most.

    Args:
        config: Of the codec.
        rates: Samples per step at every rate, from the samples' own to the frames'.
    """
    blocks = sum(
        config.dilation_growth**number * (config.residual_kernel // 2)
        for number in range(config.residual_layers)
    )
    samples = config.kernel // 2 + 1 if config.front == 1 else 2 * config.front
    for rate, slower in pairwise(rates):
        samples += rate * blocks + slower + rate  # blocks, then taps over two steps of the slower
    return -(-samples // config.hop_samples) + 1


@torch.no_grad()
def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Fill all weights from `generator`: convolutions so that they keep the variance, biases 0.

    Deviation: the framework's own way shrinks the signal by 0.6 in every one of some twenty layers,
    and short training ends before that is made good.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv1d | nn.ConvTranspose1d):
            # Every output of a transposed one is the sum of two taps of every channel.
            is_faster = isinstance(part, nn.ConvTranspose1d)
            inputs = 2 * part.in_channels if is_faster else part.in_channels * part.kernel_size[0]
            bound = (3 / inputs) ** 0.5
            drawn = torch.empty_like(part.weight).uniform_(-bound, bound, generator=generator)
            part.weight = drawn if is_parametrized(part) else nn.Parameter(drawn)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.LSTM):
            bound = part.hidden_size**-0.5
            for weight in part.parameters():
                nn.init.uniform_(cast(Tensor, weight), -bound, bound, generator=generator)
    # What is added to the signal begins small, and so does the audio: neither has to be unlearnt.
    for part in module.modules():
        if isinstance(part, ResidualBlock):
            _scale(part.block[-1], ADDED)
        elif isinstance(part, Decoder):
            _scale(part.layers[-1], FIRST_SOUND)


def _scale(layer: nn.Module, factor: float) -> None:
    conv = cast(nn.Conv1d, cast(PaddedConv | FasterConv, layer).conv)
    conv.weight = conv.weight * factor  # of a parametrised layer, so not a parameter itself
