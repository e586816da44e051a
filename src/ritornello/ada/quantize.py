"""The discrete bottleneck of an ADA: nearest vector, or argmax on the simplex.

    VqBottleneck       section 3.1: a codebook that follows its queries, and commitment
    ArgmaxBottleneck   section 3.2: queries on the simplex, the code is the largest entry

Both give the decoder a vector whose gradient is the query's, the codes, and one loss to be added to
the NLL, already weighted. What the paper leaves open is the reduction of each loss: here commitment
is a mean over everything and diversity a sum over codes, and their weights are for these.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from ritornello.ada.config import QuantiserConfig
from ritornello.nn.quantize import EmaCodebook
from ritornello.training.codebooks import learn_codebook
from ritornello.training.distributed import World

NORMALISER_FLOOR = 1e-5
"""Footnote 3: keeps a query whose entries are all cut off by the ReLU finite."""

Queries = Float[Tensor, "batch frames dim"]


@dataclass(frozen=True, kw_only=True)
class Bottlenecked:
    """Queries after the bottleneck.

    Attributes:
        vectors: What the modulator gets; its gradient is the query's.
        codes: The code sequence.
        queries: What was quantised: as the encoder gave it, or on the simplex.
        loss: Weighted commitment or diversity loss.
    """

    vectors: Queries
    codes: Int64[Tensor, "batch frames"]
    queries: Queries
    loss: Float[Tensor, ""]


class Bottleneck(nn.Module, ABC):
    """Turns queries into codes and codes into vectors."""

    def __init__(self, config: QuantiserConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def forward(self, queries: Queries) -> Bottlenecked:
        """Codes and vectors of what the encoder gave."""

    @abstractmethod
    def look_up(
        self, codes: Int64[Tensor, "batch frames"]
    ) -> Float[Tensor, "batch frames query_dim"]:
        """Vectors of codes, as `forward` would give them."""

    def learn(self, found: Bottlenecked, draw: torch.Generator, world: World) -> None:
        """What a training step does besides following gradients; nothing unless overridden.

        Args:
            found: What the step's batch gave.
            draw: Source of what is placed at random.
            world: The processes that train together; their codebooks stay equal.
        """
        del found, draw, world


class VqBottleneck(Bottleneck):
    """Nearest codebook vector; the codebook follows by exponentially smoothed k-means (eq. 1).

    Deviation: with averaged weights (Polyak averaging) the encoder is a mean over steps, but the
    codebook beside it is the trained one, as it was before the last step's `learn`: it is smoothed
    already, by `alpha`, over queries of the trained encoder. The paper does not say which it takes.
    """

    is_begun: Tensor

    def __init__(self, config: QuantiserConfig) -> None:
        super().__init__(config)
        self.codebook = EmaCodebook(config.codes, config.dim)
        self.register_buffer("is_begun", torch.zeros((), dtype=torch.bool))

    def forward(self, queries: Queries) -> Bottlenecked:
        """Nearest vectors; the loss is beta times the commitment."""
        found = self.codebook(queries)
        return Bottlenecked(
            vectors=found.vectors,
            codes=found.codes,
            queries=queries,
            loss=self.config.beta * found.commitment,
        )

    def look_up(
        self, codes: Int64[Tensor, "batch frames"]
    ) -> Float[Tensor, "batch frames query_dim"]:
        """Codebook vectors."""
        return self.codebook.look_up(codes)

    def learn(self, found: Bottlenecked, draw: torch.Generator, world: World) -> None:
        """Begin on the data, follow the queries, and place unused codes anew."""
        learn_codebook(
            self.codebook,
            self.is_begun,
            found.queries,
            found.codes,
            draw,
            world,
            alpha=self.config.alpha,
            revive_below=self.config.revive_below,
        )


class ArgmaxBottleneck(Bottleneck):
    """Queries on the k-simplex by ReLU and divisive normalisation; the code is the argmax (eq. 2).

    The diversity loss pushes the mean query of the batch towards the uniform one:
    `nu * sum_i (k * mean_i - 1)^2`.
    """

    def forward(self, queries: Queries) -> Bottlenecked:
        """One-hot vectors with straight-through gradients."""
        simplex = self.to_simplex(queries.float())
        codes = simplex.argmax(-1)
        hard = functional.one_hot(codes, self.config.codes).to(simplex.dtype)
        through = simplex + (hard - simplex).detach()
        loss = self.config.nu * self.diversity(simplex.mean((0, 1)))
        return Bottlenecked(
            vectors=through.to(queries.dtype), codes=codes, queries=simplex, loss=loss
        )

    def to_simplex(self, queries: Queries) -> Queries:
        """`ReLU(x_i) / (sum_j ReLU(x_j) + eps)` (footnote 3)."""
        positive = functional.relu(queries)
        return positive / (positive.sum(-1, keepdim=True) + NORMALISER_FLOOR)

    def diversity(self, mean: Float[Tensor, " codes"]) -> Float[Tensor, ""]:
        """How far the batch's mean query is from using all codes in equal measure."""
        return (self.config.codes * mean - 1).square().sum()

    def look_up(
        self, codes: Int64[Tensor, "batch frames"]
    ) -> Float[Tensor, "batch frames query_dim"]:
        """One-hot vectors."""
        return functional.one_hot(codes, self.config.codes).float()


class SoftmaxBottleneck(ArgmaxBottleneck):
    """The variant with a softmax and the entropy of the mean query (row 1.6 of table 1)."""

    def to_simplex(self, queries: Queries) -> Queries:
        """Softmax over codes."""
        return queries.softmax(-1)

    def diversity(self, mean: Float[Tensor, " codes"]) -> Float[Tensor, ""]:
        """Negative entropy of the mean query."""
        return torch.special.xlogy(mean, mean).sum()


def build_bottleneck(config: QuantiserConfig) -> Bottleneck:
    """The bottleneck that a configuration names."""
    kinds = {"vq": VqBottleneck, "amae": ArgmaxBottleneck, "softmax_amae": SoftmaxBottleneck}
    return kinds[config.kind](config)
