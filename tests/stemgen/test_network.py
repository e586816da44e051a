"""The token combiner by hand; who influences whom; that it learns what it is shown."""

from dataclasses import replace
from math import log

import pytest
import torch

from ritornello.stemgen.combiner import FREE, NO_STEM, PLAY, REST, Conditions
from ritornello.stemgen.masking import draw_places, masked, masked_accuracy, masked_loss
from ritornello.stemgen.network import StemTransformer, initialise
from ritornello.stemgen.presets import nano

FRAMES, CODES = 12, 16
CONFIG = replace(nano(), stems=("bass", "drums", "keys"))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def codes(batch=2, seed=0):
    return torch.randint(CODES, (batch, 2, FRAMES), generator=generator(seed))


def told(batch=2, seed=7):
    return Conditions(
        context=codes(batch, seed),
        category=torch.arange(batch) % 3,
        activity=torch.randint(3, (batch, FRAMES), generator=generator(seed)),
    )


def fresh(seed=0, config=CONFIG, vectors=None):
    network = StemTransformer(config)
    initialise(network, generator(seed), vectors)
    return network.eval()


@pytest.fixture(scope="module")
def network():
    """In double precision, so that small influences are seen."""
    return fresh().double()


def half_seen(level=0, seed=3):
    target = codes(seed=seed)
    places = draw_places(torch.tensor([0.4, 0.6]), FRAMES, generator(seed))
    return target, places, masked(target, level, places, CODES)


# ------------------------------------------------------------------ the token combiner


def test_levels_are_summed_and_streams_stand_side_by_side(network):
    combiner, conditions, (_, _, seen) = network.combiner, told(), half_seen()
    rows = [table.weight for table in combiner.tables]
    stem = combiner.stems.weight[conditions.category][:, None]
    context = sum(rows[level][conditions.context[:, level]] for level in range(2)) + stem
    own = sum(rows[level][seen[:, level]] for level in range(2)) + stem
    own = own + combiner.activity.weight[conditions.activity]
    torch.testing.assert_close(combiner(conditions, seen), torch.cat([context, own], -1))


def test_both_streams_share_their_tables(network):
    conditions, target = told(), codes(seed=5)
    with torch.no_grad():
        kept, network.combiner.activity.weight.data = (
            network.combiner.activity.weight.data,
            torch.zeros(3, 16).double(),
        )
        there = network.combiner(conditions, target)
        back = network.combiner(replace(conditions, context=target), conditions.context)
        network.combiner.activity.weight.data = kept
    assert torch.equal(there, torch.cat(back.chunk(2, -1)[::-1], -1))


def test_tables_may_begin_as_the_codecs_vectors():
    config = replace(CONFIG, transformer=replace(CONFIG.transformer, width=256))
    vectors = torch.randn(2, CODES, 4, generator=generator(1))
    tables = fresh(config=config, vectors=vectors).combiner.tables
    for level, table in enumerate(tables):
        near = torch.corrcoef(
            torch.stack(
                [
                    torch.pdist(vectors[level]),
                    torch.pdist(table.weight[:CODES].detach()),
                ]
            )
        )[0, 1]
        assert near > 0.5
        assert table.weight.std().item() == pytest.approx(0.5**0.5, rel=0.3)


# ------------------------------------------------------------------ what is told


def test_what_is_withheld_changes_nothing(network):
    (_, _, seen), one, other = half_seen(), told(seed=7), told(seed=8)
    other = replace(other, category=(one.category + 1) % 3)
    assert not torch.equal(network(one, seen, 0), network(other, seen, 0))
    same = replace(other, category=one.category, activity=one.activity)
    assert torch.equal(
        network(one.without_context(), seen, 0), network(same.without_context(), seen, 0)
    )
    same = replace(other, context=one.context, activity=one.activity)
    assert torch.equal(network(one.without_stem(), seen, 0), network(same.without_stem(), seen, 0))
    same = replace(other, context=one.context, category=one.category)
    assert torch.equal(
        network(one.without_activity(), seen, 0), network(same.without_activity(), seen, 0)
    )
    assert torch.equal(
        network(replace(one, category=one.category).without_all(), seen, 0),
        network(replace(other, activity=one.activity).without_all(), seen, 0),
    )


def test_every_condition_is_heard(network):
    (_, _, seen), known = half_seen(), told()
    known = replace(known, activity=torch.full_like(known.activity, PLAY))
    whole = network(known, seen, 0)
    resting = replace(known, activity=torch.full_like(known.activity, REST))
    less = (known.without_context(), known.without_stem(), known.without_activity(), resting)
    for conditions in less:
        assert (network(conditions, seen, 0) - whole).abs().max() > 1e-3


def test_conditions_are_cut_and_joined():
    known = told(3)
    again = Conditions.cat([known[:1], known[1:]])
    for name in ("context", "category", "activity"):
        assert torch.equal(getattr(again, name), getattr(known, name))
    bare = known.without_all().without_activity()
    assert (bare.category == NO_STEM).all()
    assert (bare.activity == FREE).all()
    assert known.category.min() >= 0  # left as it was


# ------------------------------------------------------------------ who influences whom


def test_neighbours_are_added_and_no_others():
    """Frame t of what enters the trunk sees frames t - reach to t + reach."""
    neighbours = fresh().double().neighbours
    entered = torch.randn(1, FRAMES, 32, generator=generator(), dtype=torch.float64)
    entered.requires_grad_()
    gathered = neighbours(entered)
    for frame in (0, 4, FRAMES - 1):
        (gradient,) = torch.autograd.grad(gathered[0, frame].sum(), entered, retain_graph=True)
        seen = gradient[0].abs().sum(-1).nonzero().flatten().tolist()
        assert seen == [one for one in range(frame - 1, frame + 2) if 0 <= one < FRAMES]
    torch.nn.init.zeros_(neighbours.conv.weight)
    torch.testing.assert_close(neighbours(entered), entered)


def test_as_published_there_is_no_convolution():
    published = replace(CONFIG, transformer=replace(CONFIG.transformer, reach=0))
    assert StemTransformer(published).neighbours is None


@pytest.mark.parametrize("stream", ["context", "target"])
def test_every_frame_hears_every_frame(network, stream):
    """The gradient at every frame's input of every frame's output, of either stream."""
    entered = network.combiner(told(), half_seen()[2]).detach().requires_grad_()
    half = slice(0, 16) if stream == "context" else slice(16, 32)
    hidden = network.trunk(entered)
    for frame in range(FRAMES):
        (gradient,) = torch.autograd.grad(hidden[0, frame].sum(), entered, retain_graph=True)
        assert (gradient[0, :, half].abs().sum(-1) > 1e-9).all()
        assert not gradient[1].any()  # another example


@pytest.mark.parametrize("level", [0, 1])
def test_true_tokens_that_are_masked_never_leak(network, level):
    target, places, seen = half_seen(level)
    changed = target.clone()
    changed[:, level][places] = 0
    changed[:, level + 1 :] = 0
    again = masked(changed, level, places, CODES)
    assert torch.equal(network(told(), seen, level), network(told(), again, level))


def test_known_tokens_are_heard(network):
    _, places, seen = half_seen(1)
    for level in (0, 1):
        frame = int((~places[0]).nonzero()[0]) if level else 0
        changed = seen.clone()
        changed[0, level, frame] = (changed[0, level, frame] + 1) % CODES
        moved = (network(told(), changed, 1) - network(told(), seen, 1)).abs().amax((1, 2))
        assert moved[0] > 1e-6
        assert moved[1] == 0


# ------------------------------------------------------------------ logits


def test_logits_where_they_are_wanted_are_those_of_all(network):
    _, places, seen = half_seen()
    everywhere = network(told(), seen, 0)
    assert everywhere.shape == (2, FRAMES, CODES)
    torch.testing.assert_close(network(told(), seen, 0, places), everywhere[places])
    assert not torch.equal(everywhere, network(told(), seen, 1))  # another head


def test_any_number_of_frames_fits(network):
    longer = [torch.cat([one, one, one], -1) for one in (told().context, half_seen()[2])]
    conditions = replace(told(), context=longer[0], activity=torch.full((2, 36), FREE))
    assert network(conditions, longer[1], 0).shape == (2, 36, CODES)


def test_nothing_is_known_at_first():
    target, places, seen = half_seen()
    loss = masked_loss(fresh()(told(), seen, 0, places), target, 0, places, 0.0)
    assert loss.item() == pytest.approx(log(CODES), abs=0.1)


def test_the_same_seed_gives_the_same_weights():
    one, same, other = (fresh(seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["heads.0.weight"], other["heads.0.weight"])


def test_one_batch_is_learnt_by_heart():
    network, conditions, target = fresh().train(), told(), codes(seed=11)
    for part in network.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    places = torch.ones(2, FRAMES, dtype=torch.bool)
    seen = masked(target, 0, places, network.mask)
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for _ in range(60):
        logits = network(conditions, seen, 0, places)
        loss = masked_loss(logits, target, 0, places, 0.0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.2
    assert masked_accuracy(logits, target, 0, places) == 1
    assert all(weights.grad is not None for weights in network.trunk.parameters())
    assert network.heads[1].weight.grad is None  # the head of the level asked for alone
