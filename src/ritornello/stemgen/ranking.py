"""Which of the drawn candidates are kept: two rules of ranking (section 2.4).

    causal    rho(x_n) = w_c c(x_n) + w_s (1 - n/N) + w_r X       StemGen, equation 1
    gumbel    rho(x_n) = log c(x_n) + temperature * G             VampNet

c is the probability of the drawn candidate after guidance, n/N its place in the window, X a draw of
U(0, 1) and G of Gumbel(0, 1). Confidence alone gives music that never moves, chance alone gives
blurred attacks; the causal term fills a window roughly from its beginning to its end. How much of
it there is depends on the number of steps, as X is drawn anew in each: w_s = 0.1 at 128 steps does
what 0.2 to 0.35 do at 16 to 32.
"""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ritornello.sampling.passes import gumbel
from ritornello.stemgen.config import RankingConfig

PerToken = Float[Tensor, " tokens"]


@runtime_checkable
class Ranking(Protocol):
    """A score for every candidate; the highest are kept."""

    def __call__(
        self, log_p: PerToken, places: PerToken, left: float, draw: torch.Generator
    ) -> PerToken:
        """Scores.

        Args:
            log_p: Log-probability of every candidate, after guidance.
            places: Where each stands in its window, in [0, 1).
            left: Share of the level's steps that come after this one, in [0, 1).
            draw: Of the noise.
        """
        ...


class CausalRanking:
    """StemGen's: some confidence, more chance, and early places first (equation 1)."""

    def __init__(self, config: RankingConfig) -> None:
        self.confidence, self.causal, self.random = config.confidence, config.causal, config.random

    def __call__(
        self, log_p: PerToken, places: PerToken, left: float, draw: torch.Generator
    ) -> PerToken:
        """As `Ranking`; it does not change with the steps."""
        chance = uniforms(log_p, draw)
        return self.confidence * log_p.exp() + self.causal * (1 - places) + self.random * chance


class GumbelRanking:
    """VampNet's: confidence with noise that fades out, wherever a place is."""

    def __init__(self, config: RankingConfig) -> None:
        self.temperature = config.gumbel

    def __call__(
        self, log_p: PerToken, places: PerToken, left: float, draw: torch.Generator
    ) -> PerToken:
        """As `Ranking`; at the last step there is no noise left."""
        return log_p + self.temperature * left * gumbel(uniforms(log_p, draw))


RANKINGS = {"causal": CausalRanking, "gumbel": GumbelRanking}


def ranking_of(config: RankingConfig) -> Ranking:
    """The rule that a configuration names."""
    return RANKINGS[config.kind](config)


def uniforms(like: Float[Tensor, "*shape"], draw: torch.Generator) -> Float[Tensor, "*shape"]:
    """Numbers in [0, 1), drawn on the CPU so that they are the same on every device."""
    return torch.rand(like.shape, generator=draw, dtype=torch.float32).to(like)
