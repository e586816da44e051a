"""Filling many places in a few passes: how many a pass commits, and noise that decides which.

    share still hidden      cos(pi/2 done), done the share of the passes that are over

The cosine schedule is of Chang et al. 2022, "MaskGIT: Masked generative image transformer", section
3.2: the first passes, which know least, commit the fewest.
"""

from collections.abc import Iterator
from math import cos, pi

import torch
from jaxtyping import Float
from torch import Tensor


def left_hidden(done: float) -> float:
    """Share of the places that is still hidden when a share `done` of all passes is over.

    In training `done` is drawn evenly.
    """
    return cos(pi / 2 * done)


def schedule(count: int, passes: int) -> Iterator[int]:
    """Places that each pass commits: `count` together, one at least, `passes` if there can be.

    Args:
        count: Hidden places.
        passes: At least 1.
    """
    left, passes = count, min(passes, count)
    for number in range(1, passes + 1):
        after = min(left - 1, int(left_hidden(number / passes) * count))
        yield left - after
        left = after


def gumbel(uniforms: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Numbers in [0, 1) as draws of the standard Gumbel distribution, all finite."""
    smallest = torch.finfo(uniforms.dtype).tiny
    return -(-uniforms.clamp(min=smallest).log()).log()
