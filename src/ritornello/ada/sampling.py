"""Sampling a WaveNet symbol by symbol: the plain way, and the compiled step when it is there.

    state = sampler.initial_state(batch)
    sampler.logits(state, past)                    prime with symbols that are known
    symbols = sampler.sample(state, uniforms)      draw new ones

Every layer of a WaveNet keeps its last inputs in a queue, so that a new symbol costs one step and
not one receptive field. `TorchSampler` is the one to read, and the one that any machine has;
`native.wavenet` is faster by one to two orders of magnitude. Tests hold them equal: with the same
uniform numbers they draw the same symbols.

States are explicit: whoever samples owns them, may copy them, and gets the same bits from the same
state, numbers and sampler. Everything random is in `uniforms`.
"""

from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from ritornello.ada.model import LocalModel, LocalState
from ritornello.errors import ConfigError, MissingDependencyError
from ritornello.native.wavenet import WaveNetKernel, WaveNetWeights, available_paths
from ritornello.sampling.filters import draw

PRECISIONS = ("fp32", "int8")

HeldBiases = Float32[np.ndarray, "batch frames layers gates"]
"""What a modulator tells every layer, one row per code, held for `hop` steps."""

LAYER_STEP_S = 60e-6
MULTIPLICATION_S = 3.3e-10
"""What a plain step takes for every layer and every multiplication, on one core of a server of
2023, measured at the published sizes; for forecasts only."""


@runtime_checkable
class Sampler(Protocol):
    """Draws from one causal WaveNet; it holds weights and no state."""

    @property
    def path(self) -> str:
        """How steps are computed, e.g. "torch" or "avx512"; part of what makes the bits."""
        ...

    def initial_state(self, batch: int) -> Any:
        """Nothing heard yet."""
        ...

    def sample(
        self,
        state: Any,
        uniforms: Float32[np.ndarray, "batch steps"],
        *,
        biases: HeldBiases | None = None,
        hop: int = 1,
        temperature: float = 1.0,
        top_p: float = 1.0,
    ) -> Int64[np.ndarray, "batch steps"]:
        """The next symbols, one for every number in [0, 1); moves `state` on.

        Args:
            state: From `initial_state`.
            uniforms: What to draw with (`sampling.filters`).
            biases: Of `frames` codes, with steps == frames * hop.
            hop: Steps that every bias is held for.
            temperature: Spread of the draws.
            top_p: Nucleus of the draws.
        """
        ...

    def logits(
        self,
        state: Any,
        symbols: Int64[np.ndarray, "batch steps"],
        *,
        biases: HeldBiases | None = None,
        hop: int = 1,
    ) -> Float32[np.ndarray, "batch steps symbols"]:
        """Of each of `symbols`, given those before it; moves `state` to after the last."""
        ...


class TorchSampler:
    """One step of the model after the other, as the paper describes it."""

    path = "torch"

    def __init__(self, local: LocalModel) -> None:
        self.local = local

    def initial_state(self, batch: int) -> LocalState:
        """Nothing heard yet."""
        return self.local.initial_state(batch)

    @torch.inference_mode()
    def sample(
        self,
        state: LocalState,
        uniforms: Float32[np.ndarray, "batch steps"],
        *,
        biases: HeldBiases | None = None,
        hop: int = 1,
        temperature: float = 1.0,
        top_p: float = 1.0,
    ) -> Int64[np.ndarray, "batch steps"]:
        """The next symbols; see `Sampler`."""
        numbers = torch.from_numpy(uniforms)
        drawn = torch.empty(numbers.shape, dtype=torch.int64)
        for t in range(drawn.shape[1]):
            logits = self.local.step(state, self._biases_at(biases, t // hop))
            drawn[:, t] = state.previous = draw(logits, numbers[:, t], temperature, top_p)
        return drawn.numpy()

    @torch.inference_mode()
    def logits(
        self,
        state: LocalState,
        symbols: Int64[np.ndarray, "batch steps"],
        *,
        biases: HeldBiases | None = None,
        hop: int = 1,
    ) -> Float32[np.ndarray, "batch steps symbols"]:
        """Of each of `symbols`, given those before it; see `Sampler`."""
        known, told = torch.from_numpy(symbols), []
        for t in range(known.shape[1]):
            told.append(self.local.step(state, self._biases_at(biases, t // hop)))
            state.previous = known[:, t]
        return torch.stack(told, 1).numpy()

    def _biases_at(self, biases: HeldBiases | None, frame: int) -> list[Tensor] | None:
        """One bias per layer, (batch, gates)."""
        if biases is None:
            return None
        like = self.local.head.out.weight
        return list(torch.from_numpy(biases[:, frame]).to(like).unbind(1))


@torch.no_grad()
def kernel_weights(local: LocalModel) -> WaveNetWeights:
    """The weights of a model as the compiled step takes them, in float32.

    Either kind of input is a table: there are only so many symbols to put in.
    """

    def array(values: Tensor) -> np.ndarray:
        return np.ascontiguousarray(values.float().cpu().numpy())

    def stacked(values: list[Tensor]) -> np.ndarray:
        return array(torch.stack(values))

    blocks, head = local.stack.blocks, local.head
    symbols = torch.arange(head.out.out_features, device=head.out.weight.device)
    return WaveNetWeights(
        dilations=tuple(block.conv.dilation for block in blocks),
        enter=array(local.enter(symbols)),
        conv=stacked([block.conv.weight for block in blocks]),
        conv_bias=stacked([block.conv.bias for block in blocks]),
        to_residual=stacked([block.to_residual.weight for block in blocks]),
        residual_bias=stacked([block.to_residual.bias for block in blocks]),
        to_skip=stacked([block.to_skip.weight for block in blocks]),
        skip_scale=local.stack.scale,
        hidden=array(head.hidden.weight),
        hidden_bias=array(head.hidden.bias),
        out=array(head.out.weight),
        out_bias=array(head.out.bias),
    )


def sampler_for(local: LocalModel, precision: str = "fp32") -> Sampler:
    """The fastest sampler that this installation has for a model.

    Args:
        local: A local model or a prior.
        precision: "fp32", or "int8" (faster, not the same symbols), which needs the compiled step.

    Raises:
        ConfigError: An unknown precision.
        MissingDependencyError: "int8" without the compiled step.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}")
    if available_paths():
        return WaveNetKernel(kernel_weights(local), precision=precision)
    if precision != "fp32":
        raise MissingDependencyError(
            f"precision {precision!r}",
            "the compiled WaveNet step",
            "install a C compiler, then pip install --force-reinstall --no-deps ritornello",
        )
    return TorchSampler(local)


def plain_step_s(local: LocalModel) -> float:
    """Seconds that one step of `TorchSampler` takes on a common core, as a forecast."""
    matrices = [p for name, p in local.named_parameters() if p.ndim > 1 and "enter" not in name]
    multiplications = sum(matrix.numel() for matrix in matrices)
    return len(local.stack.blocks) * LAYER_STEP_S + multiplications * MULTIPLICATION_S
