"""What is masked in training, and the loss on it."""

from math import log, pi

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ritornello.stemgen.masking import (
    draw_level,
    draw_places,
    mask_rates,
    masked,
    masked_accuracy,
    masked_loss,
)

MASK = 16


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def codes(*shape, seed=0):
    return torch.randint(MASK, shape, generator=generator(seed))


@given(st.integers(1, 40), st.integers(0, 99))
def test_rates_are_cosines_one_of_every_part_of_the_range(batch, seed):
    rates = mask_rates(batch, generator(seed))
    parts = (torch.acos(rates.double()) * 2 / pi * batch).sort().values
    assert ((parts - torch.arange(batch)) > -1e-3).all()
    assert ((parts - torch.arange(batch)) < 1 + 1e-3).all()


def test_rates_are_in_random_order():
    assert len({tuple(mask_rates(4, generator(seed)).argsort().tolist()) for seed in range(60)}) > 9


@given(st.integers(1, 6), st.integers(1, 30), st.integers(0, 99))
def test_something_is_masked_in_every_example(batch, frames, seed):
    assert (draw_places(torch.zeros(batch), frames, generator(seed)).sum(1) == 1).all()
    assert draw_places(torch.ones(batch), frames, generator(seed)).all()


def test_places_are_masked_at_the_rate():
    places = draw_places(torch.tensor([0.1, 0.5, 0.9]), 20_000, generator())
    assert places.float().mean(1).tolist() == pytest.approx([0.1, 0.5, 0.9], abs=0.015)


@pytest.mark.parametrize("level", range(3))
def test_coarser_levels_are_known_and_finer_ones_wholly_masked(level):
    target = codes(2, 3, 10)
    places = draw_places(torch.tensor([0.3, 0.7]), 10, generator(1))
    seen = masked(target, level, places, MASK)
    assert torch.equal(seen[:, :level], target[:, :level])
    assert torch.equal(seen[:, level] == MASK, places)
    assert torch.equal(seen[:, level][~places], target[:, level][~places])
    assert (seen[:, level + 1 :] == MASK).all()
    assert (target < MASK).all()  # left as it was


@given(st.integers(0, 2), st.integers(0, 99))
def test_true_tokens_of_what_is_masked_change_nothing(level, seed):
    target, other = codes(2, 3, 10, seed=seed), codes(2, 3, 10, seed=seed + 1)
    places = draw_places(torch.tensor([0.3, 0.7]), 10, generator(seed))
    changed = target.clone()
    changed[:, level][places] = other[:, level][places]
    changed[:, level + 1 :] = other[:, level + 1 :]
    assert torch.equal(masked(target, level, places, MASK), masked(changed, level, places, MASK))


def test_levels_are_drawn_by_weight():
    draw = generator()
    drawn = torch.tensor([draw_level((3.0, 0.0, 1.0), draw) for _ in range(4000)])
    assert drawn.bincount(minlength=3).tolist() == pytest.approx([3000, 0, 1000], abs=110)


def test_the_loss_is_of_masked_tokens_of_the_level_alone():
    target = codes(2, 3, 10)
    places = draw_places(torch.tensor([0.3, 0.7]), 10, generator(1))
    true = target[:, 1][places]
    logits = torch.randn(len(true), MASK, generator=generator(2))
    by_hand = -logits.log_softmax(-1)[torch.arange(len(true)), true].mean()
    assert masked_loss(logits, target, 1, places, 0.0) == pytest.approx(by_hand.item())
    smoothed = 0.9 * by_hand - 0.1 * logits.log_softmax(-1).mean()
    assert masked_loss(logits, target, 1, places, 0.1) == pytest.approx(smoothed.item())
    assert masked_loss(0 * logits, target, 1, places, 0.0) == pytest.approx(log(MASK))


def test_accuracy_is_the_share_that_is_right():
    target = torch.tensor([[[3, 5, 7, 9]]])
    places = torch.tensor([[True, False, True, True]])
    logits = torch.nn.functional.one_hot(torch.tensor([3, 7, 8]), MASK).float()
    assert masked_accuracy(logits, target, 0, places) == pytest.approx(2 / 3)
