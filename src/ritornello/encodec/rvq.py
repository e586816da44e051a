"""Residual vector quantisation (section 3.2): each codebook takes what the ones before left over.

    residual_0 = queries     code_q = nearest(residual_q)     residual_q+1 = residual_q - code_q

Gradients pass straight through the whole; codebooks follow their own residuals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ritornello.encodec.config import EncodecConfig
from ritornello.nn.quantize import EmaCodebook
from ritornello.shapes import Codes
from ritornello.training.codebooks import learn_codebook
from ritornello.training.distributed import World

Vectors = Float[Tensor, "batch frames code_dim"]
Levels = Int64[Tensor, "batch"]


@dataclass(frozen=True, kw_only=True)
class Quantised:
    """Queries after the bottleneck.

    Attributes:
        vectors: Sum of the codes' vectors; its gradient is the queries'.
        codes: Of every level.
        residuals: What each level was given.
        commitment: Mean over levels of the squared distance of residuals from their codes.
    """

    vectors: Vectors
    codes: Codes
    residuals: list[Vectors]
    commitment: Float[Tensor, ""]


def quantise(
    queries: Vectors, books: Sequence[EmaCodebook], levels: Levels | None = None
) -> Quantised:
    """The nearest codes, level by level.

    Args:
        queries: What is quantised.
        books: One per level.
        levels: How many levels of every sequence are added up; None for all.
    """
    residual, total = queries.float(), torch.zeros_like(queries, dtype=torch.float32)
    codes, residuals, commitments = [], [], []
    for level, book in enumerate(books):
        residuals.append(residual)
        nearest = book.nearest(residual.detach())
        chosen = book.look_up(nearest).detach()
        commitments.append((chosen - residual).square().mean())
        residual = residual - chosen
        total = total + (chosen if levels is None else chosen * (level < levels)[:, None, None])
        codes.append(nearest)
    vectors = queries + (total - queries).detach()
    return Quantised(
        vectors=vectors if levels is None else vectors * (levels > 0)[:, None, None],
        codes=torch.stack(codes, 1),
        residuals=residuals,
        commitment=torch.stack(commitments).mean(),
    )


class ResidualQuantiser(nn.Module):
    """`codebooks` codebooks, one after the other."""

    is_begun: Tensor

    def __init__(self, config: EncodecConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.code_dim or config.dim
        self.layers = nn.ModuleList(
            EmaCodebook(config.codebook_size, dim) for _ in range(config.codebooks)
        )
        self.register_buffer("is_begun", torch.zeros(config.codebooks, dtype=torch.bool))

    @property
    def books(self) -> list[EmaCodebook]:
        """The codebooks, coarsest first."""
        return [cast(EmaCodebook, layer) for layer in self.layers]

    def forward(self, queries: Vectors, levels: Levels | None = None) -> Quantised:
        """The nearest codes; of every sequence, the first `levels` alone are added up."""
        return quantise(queries, self.books, levels)

    def encode(self, queries: Vectors) -> Codes:
        """Codes alone."""
        return self(queries).codes

    def look_up(self, codes: Codes) -> Vectors:
        """Sum of the vectors of codes; of the first levels only where there are fewer."""
        parts = [
            book.look_up(codes[:, level]) for level, book in enumerate(self.books[: codes.shape[1]])
        ]
        return torch.stack(parts).sum(0)

    def learn(self, found: Quantised, draw: torch.Generator, world: World) -> int:
        """What a step does to the codebooks; how many codes were placed anew."""
        return sum(
            learn_codebook(
                book,
                self.is_begun[level],
                found.residuals[level],
                found.codes[:, level],
                draw,
                world,
                alpha=1 - self.config.ema_decay,
                revive_below=self.config.revive_below,
            )
            for level, book in enumerate(self.books)
        )
