"""Filling the masked tokens of a stem, level by level (sections 2.2 and 2.4).

    for every level q, coarsest first:
        for every step:
            logits of level q for all frames        finer levels are wholly masked, as in training
            a candidate for every masked token      guidance, temperature, nucleus
            the best-ranked stay                    as many as the cosine schedule says

Tokens that are known beforehand never change, whatever their level: an overlap with the window
before, or what an edit keeps. Steps beyond a quarter of the tokens are left out: the cosine
schedule would commit nothing in most of them.
"""

from collections.abc import Callable
from itertools import zip_longest

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from ritornello.sampling.filters import draw as draw_tokens
from ritornello.sampling.passes import schedule
from ritornello.shapes import Codes
from ritornello.stemgen.combiner import Conditions
from ritornello.stemgen.config import DecodingConfig
from ritornello.stemgen.guidance import Guidance, LogP
from ritornello.stemgen.network import StemTransformer
from ritornello.stemgen.ranking import Ranking, ranking_of, uniforms

Progress = Callable[[int, int], None]
"""Called with the steps that are done, and all there will be."""

LEAST_PER_STEP = 4

Masked = Bool[Tensor, "batch frames"]


@torch.inference_mode()
def decode(
    network: StemTransformer,
    conditions: Conditions,
    known: Codes | None,
    config: DecodingConfig,
    draw: torch.Generator,
    progress: Progress | None = None,
) -> Codes:
    """All tokens of a window of a stem.

    Args:
        network: Who guesses.
        conditions: What it is told: the mix, the stem asked for, where it plays.
        known: Tokens that stay, and the mask elsewhere; None where nothing is known.
        config: Steps, temperatures, guidance, ranking.
        draw: Of candidates and ranks; the same draws give the same tokens.
        progress: Told after every step.
    """
    mask = network.mask
    codes = torch.full_like(conditions.context, mask) if known is None else known.clone()
    todo = plan(codes == mask, config)
    guidance, ranking = Guidance(config.guidance), ranking_of(config.ranking)
    told = guidance.told(conditions)
    total, done = sum(len(steps) for steps in todo), 0
    for level, steps in enumerate(todo):
        asked = (codes[:, level] == mask).sum(1)
        for number, counts in enumerate(steps, start=1):
            masked = codes[:, level] == mask
            seen = codes.clone()
            seen[:, level + 1 :] = mask
            log_p = guided(network, guidance, told, seen, level, masked, asked)
            candidates, scores = drawn(
                log_p, masked, 1 - number / len(steps), ranking, config, level, draw
            )
            kept = best(scores, masked, counts.to(masked.device))
            codes[:, level][kept] = candidates[kept[masked]]
            done += 1
            if progress is not None:
                progress(done, total)
    return codes


def plan(
    is_masked: Bool[Tensor, "batch codebooks frames"], config: DecodingConfig
) -> list[list[Int64[Tensor, " batch"]]]:
    """Tokens that each step commits in every row, by level; no steps where all is known."""
    todo = []
    for level, counts in enumerate(is_masked.sum(2).unbind(1)):
        rows = [list(schedule(n, steps_for(n, config.steps[level]))) for n in counts.tolist()]
        todo.append([torch.tensor(step) for step in zip_longest(*rows, fillvalue=0)])
    return todo


def steps_for(tokens: int, wanted: int) -> int:
    """Steps to fill `tokens` in: those wanted, at most one for every LEAST_PER_STEP of them."""
    return max(1, min(wanted, tokens // LEAST_PER_STEP))


def guided(
    network: StemTransformer,
    guidance: Guidance,
    told: Conditions,
    seen: Codes,
    level: int,
    masked: Masked,
    asked: Int64[Tensor, " batch"],
) -> LogP:
    """Log-probabilities of the masked tokens of a level, all sources in one forward.

    Args:
        network: Who guesses.
        guidance: How its guesses are combined.
        told: From `Guidance.told`.
        seen: All tokens, finer levels masked.
        level: The level to guess.
        masked: Where it is wanted.
        asked: Tokens of the level that were wanted at first; what was known before does not count,
            or guidance would be next to nothing where little is made anew.
    """
    sources = len(guidance.sources)
    seen, places = seen.repeat(sources, 1, 1), masked.repeat(sources, 1)
    log_p = network(told, seen, level, places).log_softmax(-1).unflatten(0, (sources, -1))
    if sources == 1:
        return log_p[0]
    left = masked.sum(1) / asked.clamp(min=1)
    rate = left[:, None].expand_as(masked)[masked]
    return guidance.combined(log_p, rate)


def drawn(
    log_p: LogP,
    masked: Masked,
    left: float,
    ranking: Ranking,
    config: DecodingConfig,
    level: int,
    draw: torch.Generator,
) -> tuple[Int64[Tensor, " tokens"], Tensor]:
    """A candidate for every masked token, and its rank's score."""
    numbers = uniforms(log_p[:, 0], draw)
    candidates = draw_tokens(log_p, numbers, config.temperatures[level], config.top_p)
    frames = masked.shape[1]
    places = (masked.nonzero()[:, 1] / frames).to(log_p)
    sure = log_p.gather(1, candidates[:, None])[:, 0]
    return candidates, ranking(sure, places, left, draw)


def best(
    scores: Tensor, masked: Masked, counts: Int64[Tensor, " batch"]
) -> Bool[Tensor, "batch frames"]:
    """The `counts` masked tokens of every row that are ranked highest."""
    table = torch.full(masked.shape, -torch.inf, dtype=scores.dtype, device=scores.device)
    table[masked] = scores
    ranks = table.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return ranks < counts[:, None]
