"""The beginning of a stage and one step of it, both pure functions of the seed and their place."""

from collections.abc import Callable
from typing import Any

import torch

from ritornello.interfaces import Stage
from ritornello.training.distributed import World
from ritornello.training.seeds import seeded_generator, seeded_torch
from ritornello.training.state import TrainState, map_tensors


def new_state(
    stage: Stage, seed: int, *, total_steps: int, precision: str, world: World
) -> TrainState:
    """The state of `stage` before its first step: a function of the stage and the seed alone."""
    with seeded_torch(seed, stage.name, "init"):
        modules = stage.build(seeded_generator(seed, stage.name, "init"))
    state = TrainState(
        modules,
        stage.optimizers(),
        total_steps=total_steps,
        precision=precision,
        accumulate=stage.accumulate,
        world=world,
    )
    world.share([p for module in state.modules.values() for p in module.state_dict().values()])
    return state


def take_step(
    stage: Stage, state: TrainState, seed: int, make_batch: Callable[[torch.Generator], Any]
) -> dict[str, float]:
    """One step of `stage`; its batch and draws depend on (seed, stage, step, rank) alone."""
    place = (stage.name, state.step, state.world.rank)
    batch = make_batch(seeded_generator(seed, *place, "batch"))
    batch = map_tensors(lambda tensor: tensor.to(state.world.device), batch)
    with seeded_torch(seed, *place, "layers"):
        losses = stage.train_step(state, batch, seeded_generator(seed, *place, "draw"))
    state.step += 1
    return {name: float(loss) for name, loss in losses.items()}
