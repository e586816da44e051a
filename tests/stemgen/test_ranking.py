"""The rankings' formulas, and how much of an order in time the causal weight makes."""

import numpy as np
import pytest
import torch

from ritornello.sampling.passes import schedule
from ritornello.stemgen.config import RankingConfig
from ritornello.stemgen.ranking import ranking_of


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_causal_ranking_is_equation_1():
    rule = ranking_of(RankingConfig(kind="causal", confidence=0.3, random=0.7, causal=0.2))
    log_p, places = torch.tensor([0.5, 0.1, 0.9]).log(), torch.tensor([0.0, 0.5, 0.9])
    chance = torch.rand(3, generator=draw())
    expected = 0.3 * log_p.exp() + 0.2 * (1 - places) + 0.7 * chance
    torch.testing.assert_close(rule(log_p, places, 0.5, draw()), expected)


def test_gumbel_noise_fades_out_and_knows_no_places():
    rule = ranking_of(RankingConfig(kind="gumbel", gumbel=8.0))
    log_p, places = torch.tensor([0.5, 0.1, 0.9]).log(), torch.tensor([0.0, 0.5, 0.9])
    assert torch.equal(rule(log_p, places, 0.0, draw()), log_p)
    early, late = (rule(log_p, places, left, draw()) - log_p for left in (1.0, 0.25))
    torch.testing.assert_close(late, early / 4)
    assert torch.equal(rule(log_p, 1 - places, 0.5, draw()), rule(log_p, places, 0.5, draw()))


@pytest.mark.parametrize(
    ("frames", "steps", "weight", "correlation"),
    [(1000, 128, 0.1, 0.72), (1000, 32, 0.1, 0.47), (500, 32, 0.2, 0.70), (250, 16, 0.0, 0.0)],
)
def test_the_causal_weight_orders_in_time_as_measured(frames, steps, weight, correlation):
    """The same weight does less in fewer steps."""
    rule = ranking_of(RankingConfig(confidence=0.1, random=1.0, causal=weight))
    found = np.mean([fill_order(rule, frames, steps, seed) for seed in range(3)])
    assert found == pytest.approx(correlation, abs=0.12)


def fill_order(rule, frames, steps, seed):
    """Correlation of the step in which a place is filled with its time."""
    noise, when = draw(seed), torch.full((frames,), -1)
    for step, count in enumerate(schedule(frames, steps)):
        left = (when < 0).nonzero()[:, 0]
        log_p = torch.rand(len(left), generator=noise).log()
        scores = rule(log_p, left / frames, 1 - (step + 1) / steps, noise)
        when[left[scores.topk(count).indices]] = step
    return np.corrcoef(when.numpy(), np.arange(frames))[0, 1]
