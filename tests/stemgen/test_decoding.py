"""Every token is filled once, what is known stays, the same draws give the same tokens."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ritornello.stemgen.config import GuidanceConfig, RankingConfig
from ritornello.stemgen.decoding import best, decode, plan, steps_for
from tests.stemgen.conftest import told

FRAMES = 30


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def config(network):
    return network.config.decoding


@given(
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=3),
    frames=st.integers(1, 60),
    steps=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    seed=st.integers(0, 9),
)
def test_steps_cover_every_masked_token_once(config, shares, frames, steps, seed):
    chance = torch.rand(len(shares), 2, frames, generator=draw(seed))
    is_masked = chance < torch.tensor(shares)[:, None, None]
    todo = plan(is_masked, replace(config, steps=steps))
    for level, counts in enumerate(todo):
        tokens = is_masked[:, level].sum(1)
        done = torch.stack(counts).sum(0) if counts else torch.zeros_like(tokens)
        assert torch.equal(done, tokens)
        assert len(counts) <= steps[level]
        assert all(int(step.sum()) > 0 for step in counts)


def test_steps_that_would_commit_nothing_are_left_out():
    assert [steps_for(tokens, 24) for tokens in (1, 3, 40, 96, 400)] == [1, 1, 10, 24, 24]


def test_the_best_of_every_row_are_kept():
    masked = torch.tensor([[True, True, False, True], [False, True, False, False]])
    kept = best(torch.tensor([0.1, 0.3, 0.2, 9.0]), masked, torch.tensor([2, 1]))
    assert kept.tolist() == [[False, True, False, True], [False, True, False, False]]


@pytest.mark.parametrize("kind", ["product", "joint", "nested"])
@pytest.mark.parametrize("ranking", ["causal", "gumbel"])
def test_all_tokens_are_filled_and_known_ones_stay(network, config, kind, ranking):
    config = replace(
        config, guidance=GuidanceConfig(kind=kind), ranking=RankingConfig(kind=ranking)
    )
    conditions = told(network, batch=2, frames=FRAMES)
    is_known = torch.rand(conditions.context.shape, generator=draw()) < 0.4
    is_known[0, 0] = True  # a level that is there already takes no step
    known = torch.where(is_known, conditions.context, network.mask)
    codes = decode(network, conditions, known, config, draw())
    assert torch.equal(codes[is_known], known[is_known])
    assert int(codes.min()) >= 0
    assert int(codes.max()) < network.config.codec.codebook_size
    assert (known == network.mask).any()  # what was given is not written to


def test_the_same_draws_give_the_same_tokens(network, config):
    conditions, steps = told(network, frames=FRAMES), []
    codes = decode(network, conditions, None, config, draw(1), lambda *told: steps.append(told))
    assert torch.equal(codes, decode(network, conditions, None, config, draw(1)))
    assert not torch.equal(codes, decode(network, conditions, None, config, draw(2)))
    assert steps == [(done, sum(config.steps)) for done in range(1, sum(config.steps) + 1)]


def test_finer_levels_are_hidden_while_a_level_is_made(network, config):
    """As in training, where the network never saw them."""
    seen = []

    def watch(module, given):
        _, target, level, _ = given
        seen.append((level, target.clone()))

    conditions = told(network, frames=FRAMES)
    known = torch.where(torch.arange(FRAMES) < 10, conditions.context, network.mask)
    watched = network.register_forward_pre_hook(watch)
    decode(network, conditions, known, config, draw())
    watched.remove()
    assert {level for level, _ in seen} == {0, 1}
    assert all((target[:, level + 1 :] == network.mask).all() for level, target in seen)
    finer = [target for level, target in seen if level == 1]
    assert all((target[:, 0] != network.mask).all() for target in finer)
