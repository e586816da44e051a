"""Figures of a level and a prior are those that its averaged weights give on the excerpts drawn."""

from dataclasses import replace

import pytest
import torch

from ritornello.ada import train_levels
from ritornello.ada.config import (
    AdaConfig,
    PriorConfig,
    QuantiserConfig,
    StackConfig,
    StageConfig,
    WaveNetConfig,
)
from ritornello.ada.model import nll
from ritornello.ada.recordings import SymbolCorpus
from ritornello.ada.train_levels import LevelStage, PriorStage
from ritornello.training.state import TrainState

TINY = WaveNetConfig(repetitions=1, layers=2, filter_size=3, residual=8, inner=6, skip=7)
TRAINING = StageConfig(batch=4, crop=32, learning_rate=1e-2, ema=0.9)
LEVEL = AdaConfig(
    hop=4,
    encoder=TINY,
    modulator=TINY,
    local=replace(TINY, filter_size=2, layers=3),  # sees 8 symbols
    quantiser=QuantiserConfig(codes=8, dim=5),
    training=TRAINING,
)
PRIOR = PriorConfig(
    symbols=8,
    network=replace(TINY, layers=4),  # sees 31 symbols, nearly a whole excerpt
    training=TRAINING,
)
UNSCORED = {"ada": 8, "prior": 16}


class Given(SymbolCorpus):
    """Random symbols whose splits and beginnings have other frequencies; keeps what was drawn."""

    def __init__(self, symbols):
        self.symbols = symbols
        self.drawn = {}

    def draw(self, draw, steps, batch, split):
        found = torch.randint(self.symbols, (batch, steps), generator=draw)
        if split == "train":
            found = found // 2
        found[:, :8] = self.symbols // 2
        self.drawn.setdefault(split, []).append(found)
        return found

    def split_to_judge(self, steps):
        return "valid"


def begin(name, replaced=0.0):
    """A stage by the name of its module, what it draws from, and a state to train."""
    training = replace(TRAINING, replaced=replaced)
    stack = StackConfig(
        levels=(replace(LEVEL, training=training),), prior=replace(PRIOR, training=training)
    )
    given = Given(256 if name == "ada" else 8)
    stage = LevelStage(stack, 0, given) if name == "ada" else PriorStage(stack, given)
    modules = stage.build(torch.Generator().manual_seed(0))
    return stage, given, TrainState(modules, stage.optimizers(), total_steps=4)


def set_apart(module, seed):
    """Other weights, and a codebook in use, so that no two modules give the same figures."""
    draw = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data = 0.5 * torch.randn(parameter.shape, generator=draw)
    for buffer in module.buffers():
        if buffer.ndim == 2:
            buffer.copy_(torch.randn(buffer.shape, generator=draw))


def logits_of(module, symbols):
    found = module(symbols)
    return found[0] if isinstance(found, tuple) else found


def mean_nll(module, symbols, unscored):
    chances = logits_of(module, symbols).softmax(-1)
    right = chances.gather(-1, symbols[..., None])[:, unscored:, 0]
    return -right.log().mean().item()


@pytest.mark.parametrize("name", ["ada", "prior"])
@torch.no_grad()
def test_figures_are_of_averaged_weights_on_the_split_they_name(name, monkeypatch):
    monkeypatch.setattr(train_levels, "SCORED_SYMBOLS", 7 * (32 - UNSCORED[name]))
    stage, given, state = begin(name)
    raw, averaged = state.modules[name], state.averaged[name]
    set_apart(raw, seed=1)
    set_apart(averaged, seed=2)
    figures = stage.evaluate(state)
    assert stage.evaluate(state) == figures
    held_out, trained_on = given.drawn["valid"][0], given.drawn["train"][0]
    # Seven excerpts are batches of 4 and 3: each excerpt counts the same.
    assert held_out.shape == trained_on.shape == (7, 32)
    assert all(torch.equal(again, held_out) for again in given.drawn["valid"])

    unscored = UNSCORED[name]
    assert figures["nll"] == pytest.approx(mean_nll(averaged, held_out, unscored), rel=1e-4)
    assert figures["train_nll"] == pytest.approx(mean_nll(averaged, trained_on, unscored), rel=1e-4)
    for module, symbols, skipped in (
        (raw, held_out, unscored),
        (averaged, trained_on, unscored),
        (averaged, held_out, 0),
    ):
        assert abs(figures["nll"] - mean_nll(module, symbols, skipped)) > 1e-3

    counts = trained_on.flatten().bincount(minlength=given.symbols) + 1
    naive = -(counts / counts.sum())[held_out[:, unscored:]].log().mean().item()
    assert figures["unigram_nll"] == pytest.approx(naive, rel=1e-5)


@torch.no_grad()
def test_codes_in_use_are_counted_on_held_out_music(monkeypatch):
    monkeypatch.setattr(train_levels, "SCORED_SYMBOLS", 7 * (32 - UNSCORED["ada"]))
    stage, given, state = begin("ada")
    set_apart(state.modules["ada"], seed=1)
    set_apart(state.averaged["ada"], seed=2)
    for module in (state.modules["ada"], state.averaged["ada"]):
        queries = module.encoder(stage.held_out())
        module.bottleneck.codebook.begin(queries, torch.Generator().manual_seed(0))
    # Three vectors that no query is near to.
    state.averaged["ada"].bottleneck.codebook.sums[:3] += 1e3
    figures = stage.evaluate(state)

    def use(module, split):
        counts = module.encode(given.drawn[split][0]).flatten().bincount(minlength=8)
        shares = counts[counts > 0] / counts.sum()
        return (-(shares * shares.log()).sum()).exp().item(), len(shares)

    perplexity, used = use(state.averaged["ada"], "valid")
    assert 1 < perplexity < used <= 5
    assert figures["perplexity"] == pytest.approx(perplexity, rel=1e-5)
    assert figures["codes_used"] == used
    for module, split in ((state.modules["ada"], "valid"), (state.averaged["ada"], "train")):
        assert abs(use(module, split)[0] - perplexity) > 1e-3


@pytest.mark.parametrize("name", ["ada", "prior"])
def test_the_share_given_of_the_past_is_replaced(name):
    stage, given, _ = begin(name, replaced=0.3)
    symbols = torch.zeros(100, 200, dtype=torch.int64)
    heard = stage.heard(symbols, torch.Generator().manual_seed(0))
    # One replacement of each alphabet is the symbol itself.
    expected = 0.3 * (given.symbols - 1) / given.symbols
    assert (heard != symbols).float().mean().item() == pytest.approx(expected, abs=0.02)
    assert len(heard.unique()) == given.symbols

    stage, _, _ = begin(name)
    draw = torch.Generator().manual_seed(0)
    before = draw.get_state()
    assert torch.equal(stage.heard(symbols, draw), symbols)
    assert torch.equal(draw.get_state(), before)


@pytest.mark.parametrize("name", ["ada", "prior"])
def test_a_step_predicts_what_is_there_from_the_past_as_heard(name):
    """Only the past is replaced: what is encoded and what is predicted are the music."""
    stage, _, state = begin(name, replaced=0.5)
    module = state.modules[name]
    set_apart(module, seed=1)
    batch = stage.batch(torch.Generator().manual_seed(3))
    past = stage.heard(batch, torch.Generator().manual_seed(4))
    expected = {"nll": nll(module(batch, past)[0] if name == "ada" else module(past), batch)}
    if name == "ada":
        expected["bottleneck"] = module(batch)[1].loss
    clean = nll(logits_of(module, batch), batch).item()
    losses = stage.train_step(state, batch, torch.Generator().manual_seed(4))
    for key, value in expected.items():
        assert losses[key].item() == pytest.approx(value.item(), rel=1e-5)
    assert abs(losses["nll"].item() - clean) > 1e-3
    if name == "ada":
        assert module.bottleneck.is_begun
