"""Optimisers: what each one trains, its learning rate over the plan, its step.

A stage names its optimisers with `OptimConfig`; `ModuleOptimizer` is the AdamW that comes of it.
The learning rate depends on the step and on planned progress alone, so a resumed run follows the
same curve.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ritornello.errors import ConfigError

Schedule = Literal["constant", "cosine", "linear"]


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """One optimiser of a stage.

    Attributes:
        modules: Names of the modules it trains.
        lr: Peak learning rate.
        betas: Decay rates of Adam's first and second moment.
        eps: Adam's epsilon.
        weight_decay: Decoupled weight decay, on tensors of two or more axes only.
        warmup_steps: Steps of linear rise; at most a tenth of the plan is used.
        schedule: Shape of the learning rate after the rise, over planned progress.
        final_ratio: Learning rate at the end, relative to `lr`; not for "constant".
        clip_norm: Largest gradient norm; None leaves gradients as they are.
        ema_decay: Decay of the averaged copies of its modules; None keeps no copies.
    """

    modules: tuple[str, ...]
    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    warmup_steps: int = 0
    schedule: Schedule = "cosine"
    final_ratio: float = 0.0
    clip_norm: float | None = None
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        if not self.modules:
            raise ConfigError("An optimiser names no modules; expected at least one")
        if not self.lr > 0:
            raise ConfigError(f"lr is {self.lr}; expected a positive number")
        if self.schedule not in ("constant", "cosine", "linear"):
            raise ConfigError(
                f"schedule is {self.schedule!r}; expected 'constant', 'cosine' or 'linear'"
            )
        if self.ema_decay is not None and not 0 <= self.ema_decay < 1:
            raise ConfigError(f"ema_decay is {self.ema_decay}; expected 0 <= ema_decay < 1")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ConfigError(f"clip_norm is {self.clip_norm}; expected a positive number or None")


def learning_rate(config: OptimConfig, step: int, total_steps: int, progress: float) -> float:
    """The learning rate of `step` (from 0), `progress` (0 to 1) of the way through the plan."""
    warmup = min(config.warmup_steps, total_steps // 10)
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    progress = min(max(progress, 0.0), 1.0)
    fall = {
        "constant": 1.0,
        "linear": 1 - (1 - config.final_ratio) * progress,
        "cosine": config.final_ratio
        + (1 - config.final_ratio) * 0.5 * (1 + math.cos(math.pi * progress)),
    }[config.schedule]
    return config.lr * rise * fall


class ModuleOptimizer:
    """AdamW over the trainable parameters of some modules, known by name.

    Attributes:
        config: What was asked for.
        parameters: Trainable parameters by "module.parameter" name.
        updates: Steps taken so far.
        lr: Learning rate of the last step.
    """

    def __init__(self, config: OptimConfig, modules: Mapping[str, nn.Module]) -> None:
        """Take the modules that `config` names; unknown names are a ConfigError."""
        unknown = [name for name in config.modules if name not in modules]
        if unknown:
            raise ConfigError(
                f"An optimiser names the modules {unknown}; the stage builds {sorted(modules)}"
            )
        self.config = config
        self.updates = 0
        self.lr = config.lr
        self.parameters = {
            f"{name}.{key}": parameter
            for name in config.modules
            for key, parameter in modules[name].named_parameters()
            if parameter.requires_grad
        }
        decayed = [p for p in self.parameters.values() if p.ndim >= 2]
        spared = [p for p in self.parameters.values() if p.ndim < 2]
        groups = [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": spared, "weight_decay": 0.0},
        ]
        self._adam = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=config.lr,
            betas=config.betas,
            eps=config.eps,
            fused=True,
        )

    def backward(self, losses: Iterable[Tensor], parts: int) -> Tensor:
        """Gradients of the mean of `losses` in this optimiser's parameters, and nowhere else.

        Returns that mean, detached. Gradients are made for the listed parameters only: a loss that
        runs through another player's module neither fills nor computes that module's gradients.
        """
        self._adam.zero_grad(set_to_none=True)
        inputs = list(self.parameters.values())
        mean = torch.zeros(())
        for loss in losses:
            mean = mean.to(loss.device) + loss.detach().float() / parts
            torch.autograd.backward(loss / parts, inputs=inputs)
        return mean

    def gradients(self) -> list[Tensor]:
        """The gradients that the last backward made; zeros for parameters it did not reach."""
        for parameter in self.parameters.values():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        return [p.grad for p in self.parameters.values() if p.grad is not None]

    def clip(self, gradients: list[Tensor]) -> Tensor:
        """The norm of `gradients`, which are scaled in place down to the configured norm."""
        norm = torch.linalg.vector_norm(torch.stack([g.norm() for g in gradients]))
        limit = self.config.clip_norm
        if limit is not None and norm > limit:
            for gradient in gradients:
                gradient.mul_(limit / norm)
        return norm

    def step(self, lr: float) -> None:
        """Move the parameters at learning rate `lr` and drop the gradients."""
        self.lr = lr
        for group in self._adam.param_groups:
            group["lr"] = lr
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        self.updates += 1

    def tensors(self) -> dict[str, Tensor]:
        """Adam's state, flat: "parameter name/key" -> tensor."""
        return {
            f"{name}/{key}": value
            for name, parameter in self.parameters.items()
            for key, value in self._adam.state.get(parameter, {}).items()
        }

    def restore(self, tensors: Mapping[str, Tensor], updates: int) -> None:
        """Take over what `tensors` gave; the reverse of it."""
        for name, parameter in self.parameters.items():
            prefix = f"{name}/"
            found = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            if found:
                self._adam.state[parameter] = {
                    key: value.clone() if key == "step" else value.to(parameter.device, copy=True)
                    for key, value in found.items()
                }
        self.updates = updates
