import copy
import math

import pytest
import torch
from torch import nn

from ritornello.errors import CheckpointError, ConfigError, TrainingError
from ritornello.training.distributed import World
from ritornello.training.optim import OptimConfig, learning_rate
from ritornello.training.seeds import derived_seed, seeded_generator, seeded_torch
from ritornello.training.state import TrainState, map_tensors
from ritornello.training.step import new_state, take_step
from tests.training.toy_stages import ToyCodec, ToyGame


def fresh(stage, **settings):
    return new_state(stage, 0, total_steps=10, precision="fp32", world=World(), **settings)


def weights(module):
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def test_a_step_is_a_function_of_its_place_alone():
    one, two = fresh(ToyGame()), fresh(ToyGame())
    first = take_step(ToyGame(), one, 0, ToyGame().batch)
    torch.rand(7)
    assert take_step(ToyGame(), two, 0, ToyGame().batch) == first
    assert take_step(ToyGame(), two, 0, ToyGame().batch) != first


def test_seeds_depend_on_every_part_and_leave_torch_alone():
    keys = [(0, "a", 1), (0, "a", 2), (1, "a", 1), (0, "b", 1), (0, "a1"), (0, "a", "1")]
    assert len({derived_seed(*key) for key in keys}) == len(keys)
    assert torch.equal(
        torch.rand(3, generator=seeded_generator(3, "x")),
        torch.rand(3, generator=seeded_generator(3, "x")),
    )
    before = torch.get_rng_state()
    with seeded_torch(3, "x"):
        inside = torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
    with seeded_torch(3, "x"):
        assert torch.equal(torch.rand(3), inside)


def test_an_update_touches_only_its_own_modules():
    state = fresh(ToyGame())
    critic = weights(state.modules["critic"])
    generator = weights(state.modules["generator"])
    noise = torch.randn(4, 8, generator=seeded_generator(1))
    loss = -state.modules["critic"](state.modules["generator"](noise)).mean()
    state.update("generator", loss)
    assert torch.equal(weights(state.modules["critic"]), critic)
    assert all(p.grad is None for p in state.modules["critic"].parameters())
    assert not torch.equal(weights(state.modules["generator"]), generator)
    assert all(p.grad is None for p in state.modules["generator"].parameters())


def test_a_parameter_the_loss_does_not_reach_keeps_its_value():
    modules = {"used": nn.Linear(2, 2), "idle": nn.Linear(2, 2)}
    state = TrainState(
        modules, {"both": OptimConfig(modules=("used", "idle"), lr=0.1)}, total_steps=3
    )
    before = weights(state.modules["idle"])
    state.update("both", state.modules["used"](torch.ones(1, 2)).sum())
    assert torch.equal(weights(state.modules["idle"]), before)


def test_accumulating_two_halves_equals_the_whole_batch():
    results = []
    for accumulate in (1, 2, 4):
        stage = ToyCodec(accumulate=accumulate)
        state = fresh(stage)
        for group in (state.modules, state.averaged):
            for module in group.values():
                module.double()
        for _ in range(3):
            take_step(stage, state, 0, lambda draw: ToyCodec().batch(draw).double())
        results.append(weights(state.modules["encoder"]))
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=0, atol=1e-10)


def test_parts_split_nested_batches_and_refuse_uneven_ones():
    state = fresh(ToyCodec(accumulate=2))
    batch = {"wave": torch.arange(4.0), "labels": (torch.arange(4), "name")}
    first, second = state.parts(batch)
    assert first["wave"].tolist() == [0, 1]
    assert second["labels"][0].tolist() == [2, 3]
    assert second["labels"][1] == "name"
    with pytest.raises(TrainingError, match="cannot be split into 2"):
        state.parts(torch.zeros(5))


def test_map_tensors_keeps_the_structure():
    tree = [torch.ones(2), {"a": (torch.zeros(1), 3)}]
    doubled = map_tensors(lambda tensor: tensor + 1, tree)
    assert doubled[0].tolist() == [2, 2]
    assert doubled[1]["a"][0].tolist() == [1]
    assert doubled[1]["a"][1] == 3


def test_the_average_follows_its_formula():
    state = fresh(ToyGame())
    expected = weights(state.modules["generator"])
    for count in range(1, 5):
        noise = torch.randn(4, 8, generator=seeded_generator(count))
        state.update("generator", state.modules["generator"](noise).pow(2).mean())
        decay = min(0.9, (1 + count) / (10 + count))
        expected = decay * expected + (1 - decay) * weights(state.modules["generator"])
    torch.testing.assert_close(weights(state.averaged["generator"]), expected)
    assert state.best("generator") is state.averaged["generator"]
    assert state.best("critic") is state.modules["critic"]


def test_gradients_are_clipped_to_the_norm():
    config = OptimConfig(modules=("net",), lr=1.0, clip_norm=0.5)
    state = TrainState({"net": nn.Linear(3, 1, bias=False)}, {"net": config}, total_steps=2)
    optimizer = state.optimizers["net"]
    optimizer.backward([state.modules["net"](torch.tensor([[3.0, 4.0, 0.0]])).sum()], 1)
    gradients = optimizer.gradients()
    assert float(optimizer.clip(gradients)) == pytest.approx(5.0)
    torch.testing.assert_close(gradients[0], torch.tensor([[0.3, 0.4, 0.0]]))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_changes_nothing_and_says_where(bad):
    state = fresh(ToyGame())
    before = weights(state.modules["generator"])
    loss = state.modules["generator"](torch.ones(1, 8)).sum() * bad
    with pytest.raises(TrainingError, match="diverged at step 0: generator loss is"):
        state.update("generator", loss)
    assert torch.equal(weights(state.modules["generator"]), before)


def test_learning_rates_rise_and_fall():
    def rates(**settings):
        config = OptimConfig(modules=("a",), lr=1.0, **settings)
        return [learning_rate(config, step, 100, step / 100) for step in range(101)]

    assert rates(schedule="constant") == [1.0] * 101
    warm = rates(schedule="constant", warmup_steps=4)
    assert warm[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates(schedule="constant", warmup_steps=1000)[9] == 1.0
    cosine = rates(schedule="cosine", final_ratio=0.1)
    assert cosine[0] == 1.0
    assert cosine[50] == pytest.approx(0.55)
    assert cosine[100] == pytest.approx(0.1)
    assert rates(schedule="linear")[75] == pytest.approx(0.25)


def test_a_new_plan_continues_the_schedule_where_it_was():
    state = fresh(ToyCodec())
    state.step = 4
    state.replan(8)
    assert state.progress == pytest.approx(0.4)
    state.step = 8
    assert state.progress == 1.0
    state.replan(16, from_start=True)
    assert state.progress == 0.5


def test_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="lr is 0"):
        OptimConfig(modules=("a",), lr=0.0)
    with pytest.raises(ConfigError, match="ema_decay is 1"):
        OptimConfig(modules=("a",), lr=1.0, ema_decay=1.0)
    with pytest.raises(ConfigError, match=r"names the modules \['b'\]; the stage builds \['a'\]"):
        TrainState(
            {"a": nn.Linear(1, 1)}, {"x": OptimConfig(modules=("b",), lr=1.0)}, total_steps=1
        )


def test_everything_comes_back_from_tensors_and_counters():
    stage = ToyCodec()
    state = fresh(stage)
    for _ in range(4):
        take_step(stage, state, 0, stage.batch)
    state.replan(20)
    tensors, counters = copy.deepcopy(state.tensors()), state.counters()
    other = fresh(stage)
    other.restore(tensors, counters)
    for _ in range(3):
        take_step(stage, state, 0, stage.batch)
        take_step(stage, other, 0, stage.batch)
    assert state.counters() == other.counters()
    assert state.tensors().keys() == other.tensors().keys()
    for name, tensor in state.tensors().items():
        assert torch.equal(tensor, other.tensors()[name]), name


def test_a_state_of_other_modules_is_refused():
    with pytest.raises(CheckpointError, match="missing"):
        fresh(ToyCodec()).restore(fresh(ToyGame()).tensors(), fresh(ToyGame()).counters())
