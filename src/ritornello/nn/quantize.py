"""Vector quantisation with a codebook that follows its queries (EMA, van den Oord et al. 2017).

The codebook is not learnt by gradient: every code is the exponentially smoothed mean of the queries
assigned to it,

    n <- (1 - alpha) n + alpha * assigned        m <- (1 - alpha) m + alpha * sum of assigned
    code = m / n

with alpha the update rate. Gradients pass straight through to the query. Nothing here is updated by
a forward pass: training says when (`follow`, `revive`), evaluation never does.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

Queries = Float[Tensor, "*lead dim"]

LEAST_COUNT = 1e-5
"""Counts do not fall below it, or the code of an unused one would be 0 / 0."""


@dataclass(frozen=True, kw_only=True)
class Quantised:
    """A query after the bottleneck.

    Attributes:
        vectors: What the decoder gets; its gradient is the query's.
        codes: Index of the code.
        commitment: Mean of ([q'] - q)^2 over everything.
    """

    vectors: Float[Tensor, "*lead dim"]
    codes: Int64[Tensor, "*lead"]
    commitment: Float[Tensor, ""]


class EmaCodebook(nn.Module):
    """`codes` vectors of `dim` values, each the smoothed mean of its queries."""

    counts: Float[Tensor, " codes"]
    sums: Float[Tensor, "codes dim"]

    def __init__(self, codes: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("counts", torch.ones(codes))
        self.register_buffer("sums", torch.zeros(codes, dim))

    @property
    def vectors(self) -> Float[Tensor, "codes dim"]:
        """The codebook."""
        return self.sums / self.counts[:, None].clamp(min=LEAST_COUNT)

    def begin(self, queries: Queries, draw: torch.Generator) -> None:
        """Place every code on a query drawn at random, so that none begins far from the data."""
        flat = queries.detach().flatten(0, -2).float()
        chosen = torch.randint(len(flat), (len(self.counts),), generator=draw)
        self.sums.copy_(flat[chosen])
        self.counts.fill_(1)

    def normalised(self) -> dict[str, Tensor]:
        """The buffers of the same codebook with every count 1 and, for sums, its vectors.

        At a large batch counts and sums are more than half precision holds, and rounding both would
        move the codes twice. Who trains on from these follows as after `begin`: faster at first.
        """
        return {"counts": torch.ones_like(self.counts), "sums": self.vectors}

    def nearest(self, queries: Queries) -> Int64[Tensor, "*lead"]:
        """Index of the nearest code (Euclidean)."""
        book = self.vectors
        flat = queries.flatten(0, -2).float()
        distances = book.square().sum(-1) - 2 * flat @ book.T
        return distances.argmin(-1).view(queries.shape[:-1])

    def look_up(self, codes: Int64[Tensor, "*lead"]) -> Queries:
        """Vectors of codes."""
        return functional.embedding(codes, self.vectors)

    def forward(self, queries: Queries) -> Quantised:
        """The nearest codes, straight through."""
        codes = self.nearest(queries.detach())
        chosen = self.look_up(codes).to(queries.dtype)
        commitment = (chosen.detach() - queries).float().square().mean()
        through = queries + (chosen - queries).detach()
        return Quantised(vectors=through, codes=codes, commitment=commitment)

    @torch.no_grad()
    def follow(self, queries: Queries, codes: Int64[Tensor, "*lead"], alpha: float) -> None:
        """Move every code towards the queries assigned to it, at rate `alpha`.

        A code without any keeps its place, however long it is not used.
        """
        flat, chosen = queries.detach().flatten(0, -2).float(), codes.flatten()
        assigned = torch.zeros_like(self.counts).index_add_(0, chosen, torch.ones_like(flat[:, 0]))
        total = torch.zeros_like(self.sums).index_add_(0, chosen, flat)
        before = self.vectors
        self.counts.lerp_(assigned, alpha)
        self.sums.lerp_(total, alpha)
        # Sums would go on shrinking towards the origin when counts no longer can.
        is_forgotten = (assigned == 0) & (self.counts < LEAST_COUNT)
        self.counts[is_forgotten] = LEAST_COUNT
        self.sums[is_forgotten] = before[is_forgotten] * LEAST_COUNT

    @torch.no_grad()
    def revive(self, queries: Queries, draw: torch.Generator, below: float) -> int:
        """Place codes used less than `below` times uniform use on random queries; how many."""
        flat = queries.detach().flatten(0, -2).float()
        uniform = self.counts.mean()
        dead = (self.counts < below * uniform).nonzero().flatten()
        if not len(dead):
            return 0
        chosen = torch.randint(len(flat), (len(dead),), generator=draw)
        self.sums[dead] = flat[chosen] * uniform
        self.counts[dead] = uniform
        return len(dead)


def tensors_to_save(module: nn.Module) -> dict[str, Tensor]:
    """The state of `module` with its codebooks `normalised`, fit for half precision."""
    tensors = dict(module.state_dict())
    for path, part in module.named_modules():
        if isinstance(part, EmaCodebook):
            prefix = f"{path}." if path else ""
            tensors |= {prefix + name: value for name, value in part.normalised().items()}
    return tensors
