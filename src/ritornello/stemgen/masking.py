"""Which tokens are masked in training, and the loss on them (section 2.2).

    level q is drawn; coarser levels are known; of level q a share cos(u) of the frames is masked,
    u uniform in [0, pi/2]; finer levels are masked wholly

The loss is the cross-entropy of the masked tokens of level q alone. After Borsos et al. 2023,
"SoundStorm", section 3.2; masking the finer levels wholly is the paper's own change. Only the stem
is masked, never the mix.

Axes: (batch, levels, frames) codes.
"""

from math import pi

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from ritornello.shapes import Codes

Places = Bool[Tensor, "batch frames"]


def draw_level(weights: tuple[float, ...], draw: torch.Generator) -> int:
    """A level, drawn by weight.

    Deviation: the paper does not say how levels are drawn. Coarse ones decide rhythm and pitch, and
    may be drawn more often.
    """
    return int(torch.multinomial(torch.tensor(weights), 1, generator=draw))


def mask_rates(batch: int, draw: torch.Generator) -> Float[Tensor, " batch"]:
    """cos(u) for u in [0, pi/2], one of every equal part of the range, in random order.

    Deviation: the parts make the rates of a batch cover the range evenly, which independent draws
    do on average only.
    """
    u = (torch.randperm(batch, generator=draw) + torch.rand(batch, generator=draw)) / batch
    return torch.cos(u * pi / 2)


def draw_places(
    rates: Float[Tensor, " batch"], frames: int, draw: torch.Generator
) -> Bool[Tensor, "batch frames"]:
    """Frames to mask: each with the example's probability, at least one of every example."""
    chance = torch.rand(len(rates), frames, generator=draw)
    places = chance < rates[:, None]
    places[torch.arange(len(rates)), chance.argmin(1)] = True
    return places


def masked(target: Codes, level: int, places: Places, mask_id: int) -> Codes:
    """The target as the network sees it: `places` of the level and all finer levels unknown."""
    seen = target.clone()
    seen[:, level][places] = mask_id
    seen[:, level + 1 :] = mask_id
    return seen


def masked_loss(
    logits: Float[Tensor, "places codes"], target: Codes, level: int, places: Places, smooth: float
) -> Float[Tensor, ""]:
    """Mean cross-entropy in nats of the masked tokens of a level.

    Args:
        logits: Of the masked places, in order.
        target: True codes.
        level: Which was masked.
        places: Where.
        smooth: Share of the target that is spread over all codes.
    """
    return functional.cross_entropy(logits, target[:, level][places], label_smoothing=smooth)


def masked_accuracy(
    logits: Float[Tensor, "places codes"], target: Codes, level: int, places: Places
) -> Float[Tensor, ""]:
    """Share of the masked tokens whose likeliest candidate is true."""
    return (logits.argmax(-1) == target[:, level][places]).float().mean()
