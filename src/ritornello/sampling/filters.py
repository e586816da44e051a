"""From logits to a drawn symbol: temperature, nucleus, inversion of the cumulative sum.

    p       softmax(logits / temperature)
    kept    the most probable symbols, until their sum reaches top_p; the rest becomes 0
    drawn   the first symbol, in index order, whose cumulative sum of kept p exceeds u * sum(kept)

The uniform number u in [0, 1) is given, not drawn here: whoever samples says where randomness
comes from, and two samplers with the same numbers draw the same symbols.

Holtzman et al. 2020, "The curious case of neural text degeneration", for the nucleus.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

Probabilities = Float[Tensor, "batch symbols"]


def probabilities(
    logits: Float[Tensor, "batch symbols"], temperature: float = 1.0, top_p: float = 1.0
) -> Probabilities:
    """What is drawn from, in float64; without what `top_p` cuts off it need not add up to 1.

    Args:
        logits: Of every symbol.
        temperature: Above 0; small ones leave the most probable symbol only.
        top_p: Nucleus, above 0; 1 keeps everything.
    """
    spread = (logits.double() / temperature).softmax(-1)
    return spread if top_p >= 1 else nucleus(spread, top_p)


def nucleus(spread: Probabilities, top_p: float) -> Probabilities:
    """`spread` with 0 for what comes after the most probable symbols that reach `top_p`.

    Of equally probable symbols the lower index comes first. At least one symbol is kept.
    """
    ranked, order = spread.sort(dim=-1, descending=True, stable=True)
    before = ranked.cumsum(-1) - ranked
    return torch.zeros_like(spread).scatter(-1, order, ranked.where(before < top_p, 0.0))


def draw(
    logits: Float[Tensor, "batch symbols"],
    uniforms: Float[Tensor, " batch"],
    temperature: float = 1.0,
    top_p: float = 1.0,
) -> Int64[Tensor, " batch"]:
    """One symbol per row, by the row's number in [0, 1)."""
    cumulative = probabilities(logits, temperature, top_p).cumsum(-1)
    reached = uniforms.double() * cumulative[:, -1]
    return torch.searchsorted(cumulative, reached[:, None], right=True)[:, 0]
