"""What a training step does to a codebook that follows its queries (`nn/quantize.py`)."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ritornello.nn.quantize import EmaCodebook
from ritornello.training.distributed import World


def learn_codebook(
    codebook: EmaCodebook,
    is_begun: Bool[Tensor, ""],
    queries: Float[Tensor, "batch frames dim"],
    codes: Int64[Tensor, "batch frames"],
    draw: torch.Generator,
    world: World,
    *,
    alpha: float,
    revive_below: float,
) -> int:
    """Begin on the data, then follow the queries and place unused codes anew; how many of them.

    Args:
        codebook: Changed in place.
        is_begun: Whether it has been placed on data; set by the first call. A buffer of the
            codebook's owner, so that it is saved beside it.
        queries: What the step's batch gave.
        codes: What they became.
        draw: Source of what is placed at random.
        world: The processes that train together; their codebooks stay equal.
        alpha: Rate at which codes follow (`EmaCodebook.follow`).
        revive_below: Use below which a code is placed anew, as a fraction of uniform use.
    """
    learnt, revived = list(codebook.buffers()), 0
    if is_begun:
        codebook.follow(queries, codes, alpha)
        # Smoothing is linear: the mean of all processes' sums is as if one had seen all.
        world.average(learnt)
        revived = codebook.revive(queries, draw, revive_below)
    else:
        codebook.begin(queries, draw)
        is_begun.fill_(True)
    world.share(learnt)
    return revived
