"""Everything that changes while a stage trains, and the one operation that changes it.

`TrainState.update(name, loss)` is backward, accumulate, average over processes, clip, learning
rate, optimiser step and moving average, in that order. Two-player training is two calls of it in a
stage's `train_step`; there are no callbacks.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ritornello.checkpoint import load_into
from ritornello.errors import TrainingError
from ritornello.training.distributed import World
from ritornello.training.optim import ModuleOptimizer, OptimConfig, learning_rate


def map_tensors(function: Callable[[Tensor], Any], tree: Any) -> Any:
    """`tree` (tensors in tuples, lists, dicts or dataclasses) with `function` of every tensor."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, Mapping):
        return {key: map_tensors(function, value) for key, value in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(map_tensors(function, value) for value in tree))
    if isinstance(tree, (list, tuple)):
        return type(tree)(map_tensors(function, value) for value in tree)
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        fields = {f.name: getattr(tree, f.name) for f in dataclasses.fields(tree)}
        return dataclasses.replace(
            tree, **{name: map_tensors(function, value) for name, value in fields.items()}
        )
    return tree


class TrainState:
    """Modules, their averages, optimisers and counters of one stage.

    Attributes:
        modules: What is trained, by name.
        averaged: Moving averages of those whose optimiser has an `ema_decay`, in eval mode.
        optimizers: By name.
        extra: Further tensors that persist, e.g. an adaptive penalty's scale.
        step: Steps finished.
        total_steps: Steps planned.
        precision: "fp32" or "bf16", what `autocast` computes in.
        accumulate: Parts that `parts` splits a batch into.
        world: The processes that train together.
        last_saved: Newest saved state, for error messages.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        optimizers: Mapping[str, OptimConfig],
        *,
        total_steps: int,
        precision: str = "fp32",
        accumulate: int = 1,
        world: World | None = None,
    ) -> None:
        """Start at step 0 of `total_steps`; the averages start as copies."""
        self.world = world or World()
        self.modules = {name: module.to(self.world.device) for name, module in modules.items()}
        self.optimizers = {
            name: ModuleOptimizer(config, self.modules) for name, config in optimizers.items()
        }
        averaged = {
            name
            for config in optimizers.values()
            if config.ema_decay is not None
            for name in config.modules
        }
        self.averaged = {
            name: copy.deepcopy(module).eval().requires_grad_(False)
            for name, module in self.modules.items()
            if name in averaged
        }
        self.extra: dict[str, Tensor] = {}
        self.step = 0
        self.total_steps = total_steps
        self.precision = precision
        self.accumulate = accumulate
        self.last_saved: Path | None = None
        self._anchor = (0, 0.0)

    # ---- what a stage uses -------------------------------------------------------------------

    def autocast(self) -> AbstractContextManager[Any]:
        """The context to compute losses in: bfloat16 where the probe found it pays."""
        if self.precision == "bf16":
            return torch.autocast(self.world.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def parts(self, batch: Any) -> list[Any]:
        """`batch` split along its first axis into `accumulate` equal micro-batches."""
        if self.accumulate == 1:
            return [batch]
        sizes: set[int] = set()
        map_tensors(lambda tensor: sizes.add(tensor.shape[0]), batch)
        if len(sizes) != 1 or next(iter(sizes)) % self.accumulate:
            raise TrainingError(
                f"A batch of sizes {sorted(sizes)} cannot be split into {self.accumulate} equal "
                "parts; expected one size that `accumulate` divides"
            )
        size = next(iter(sizes)) // self.accumulate

        def part(index: int) -> Any:
            return map_tensors(lambda tensor: tensor[index * size : (index + 1) * size], batch)

        return [part(index) for index in range(self.accumulate)]

    def update(self, name: str, losses: Tensor | Iterable[Tensor]) -> Tensor:
        """One step of the optimiser `name` down `losses`; the gradient norm before clipping.

        Args:
            name: Which optimiser; only the parameters of its own modules change.
            losses: A scalar, or one scalar per part of `parts(batch)`, best as a generator: each is
                backpropagated, and its graph freed, before the next is computed. Gradients are
                those of the mean.

        Raises:
            TrainingError: If the loss or the gradient is not finite; nothing has been changed then.
        """
        optimizer = self.optimizers[name]
        if isinstance(losses, Tensor):
            loss = optimizer.backward([losses], 1)
        else:
            loss = optimizer.backward(losses, self.accumulate)
        gradients = optimizer.gradients()
        self.world.average([loss, *gradients])
        self.refuse_nonfinite(f"{name} loss", loss)
        norm = optimizer.clip(gradients)
        self.refuse_nonfinite(f"{name} gradient norm", norm)
        optimizer.step(self.learning_rate(name))
        self._average_modules(optimizer)
        return norm

    def best(self, name: str) -> nn.Module:
        """The averaged module `name` where there is one, else the trained one."""
        return self.averaged.get(name, self.modules[name])

    def extra_tensor(self, name: str, initial: Tensor) -> Tensor:
        """The persistent tensor `name`, which starts as `initial`; change it in place."""
        return self.extra.setdefault(name, initial.clone().to(self.world.device))

    # ---- what the loop uses ------------------------------------------------------------------

    @property
    def progress(self) -> float:
        """How far the plan has come, 0 to 1; continuous when the plan is shortened on the way."""
        step, progress = self._anchor
        if self.total_steps <= step:
            return 1.0
        return progress + (1 - progress) * (self.step - step) / (self.total_steps - step)

    def replan(self, total_steps: int, *, from_start: bool = False) -> None:
        """Plan `total_steps` from now on.

        Progress goes on from where it is and reaches 1 at the new end; with `from_start` it becomes
        that of a run planned so long from its first step.
        """
        self._anchor = (0, 0.0) if from_start else (self.step, self.progress)
        self.total_steps = total_steps

    def learning_rate(self, name: str) -> float:
        """The learning rate of the optimiser `name` at this step."""
        config = self.optimizers[name].config
        return learning_rate(config, self.step, self.total_steps, self.progress)

    def refuse_nonfinite(self, what: str, value: Tensor) -> None:
        """Raise a TrainingError that names step, value and last good state unless all is finite."""
        if bool(torch.isfinite(value).all()):
            return
        saved = self.last_saved or "none yet"
        raise TrainingError(
            f"Training diverged at step {self.step}: {what} is {value.float().mean().item()}. "
            f"The last good state is {saved}. Lower the learning rate or the clipping norm, or "
            "look for broken recordings with `ritornello data scan`; the same command resumes "
            "from the last good state."
        )

    def parameter_count(self) -> int:
        """Trainable numbers in all modules."""
        return sum(
            parameter.numel()
            for optimizer in self.optimizers.values()
            for parameter in optimizer.parameters.values()
        )

    def _average_modules(self, optimizer: ModuleOptimizer) -> None:
        """Move the averages towards the modules; young averages forget faster."""
        if optimizer.config.ema_decay is None:
            return
        count = optimizer.updates
        decay = min(optimizer.config.ema_decay, (1 + count) / (10 + count))
        with torch.no_grad():
            for name in optimizer.config.modules:
                module, average = self.modules[name], self.averaged[name]
                for kept, new in zip(average.parameters(), module.parameters(), strict=True):
                    kept.lerp_(new, 1 - decay)
                for kept, new in zip(average.buffers(), module.buffers(), strict=True):
                    kept.copy_(new)

    # ---- saving ------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """All tensors, flat, e.g. "modules/encoder/conv.weight"."""
        flat = {f"extra/{name}": tensor for name, tensor in self.extra.items()}
        for kind, group in (("modules", self.modules), ("averaged", self.averaged)):
            for name, module in group.items():
                flat |= {f"{kind}/{name}/{k}": v for k, v in module.state_dict().items()}
        for name, optimizer in self.optimizers.items():
            flat |= {f"optimizers/{name}/{k}": v for k, v in optimizer.tensors().items()}
        return flat

    def counters(self) -> dict[str, Any]:
        """All numbers that are not tensors, for JSON."""
        return {
            "step": self.step,
            "total_steps": self.total_steps,
            "anchor": list(self._anchor),
            "updates": {name: o.updates for name, o in self.optimizers.items()},
        }

    def restore(self, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
        """Become the state that `tensors` and `counters` came from; CheckpointError on a misfit."""

        def under(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        for kind, group in (("modules", self.modules), ("averaged", self.averaged)):
            for name, module in group.items():
                load_into(module, under(f"{kind}/{name}/"))
        for name, optimizer in self.optimizers.items():
            optimizer.restore(under(f"optimizers/{name}/"), counters["updates"][name])
        self.extra = {k: v.to(self.world.device) for k, v in under("extra/").items()}
        self.step = counters["step"]
        self.total_steps = counters["total_steps"]
        anchor: Sequence[Any] = counters["anchor"]
        self._anchor = (int(anchor[0]), float(anchor[1]))
