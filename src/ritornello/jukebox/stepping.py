"""Sampling codes one after another: the plain way, and the compiled step when it is there.

    stepper = stepper_for(model)                      a prior or an upsampler
    state = stepper.begin(model.begin(...))           what the model is told, once per window
    stepper.read(known, state)                        codes of the overlap, all at once
    codes = stepper.sample(state, uniforms)           new ones

`TorchStepper` is the one to read, and the one that any machine has; `KernelStepper` is faster by
one to two orders of magnitude. Everything random is in `uniforms`: both draw the same codes from
the same numbers (`sampling.filters`). Arrays are numpy's, one row per song.

Guided sampling (Ho and Salimans 2022, "Classifier-free diffusion guidance", on logits) takes a
state of two rows per song: 2k is told the song's labels and 2k + 1 is not. One code is drawn for
both, from `without + guidance * (with - without)`. Deviation: Jukebox samples without.
"""

from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from ritornello.errors import CapabilityError, ConfigError
from ritornello.jukebox.attention import (
    ColumnAttention,
    PreviousRowAttention,
    RowAttention,
    SummaryAttention,
)
from ritornello.jukebox.code_transformer import CodeModel, CodeTransformer, TokenState
from ritornello.native.border import check_precision
from ritornello.native.library import available_paths, load_library
from ritornello.native.transformer import LayerCache, TransformerKernel, TransformerState
from ritornello.native.transformer_weights import LayerWeights, TransformerWeights
from ritornello.nn.attention import (
    AttentionState,
    CausalAttention,
    CrossAttention,
    SelfAttention,
)
from ritornello.nn.transformer import Block, Mlp
from ritornello.sampling.filters import draw

RowCodes = Int64[np.ndarray, "rows frames"]
Uniforms = Float32[np.ndarray, "songs steps"]
DrawnCodes = Int64[np.ndarray, "songs steps"]


@runtime_checkable
class WindowSampler(Protocol):
    """Draws the codes of one model's windows; it holds weights and no state."""

    @property
    def path(self) -> str:
        """How steps are computed, e.g. "torch" or "avx512"; part of what makes the bits."""
        ...

    @property
    def numbers(self) -> int:
        """Uniform numbers that every code needs: 1 for those drawn one after the other."""
        ...

    def begin(self, told: Any) -> Any:
        """A state that goes on from `told`, which is used up.

        Args:
            told: What the model's own `begin` made; with guidance, of two rows per song.
        """
        ...

    def read(self, codes: RowCodes, state: Any) -> None:
        """Codes that are known, one row per row of the state; moves `state` on behind them."""
        ...

    def sample(
        self,
        state: Any,
        uniforms: Uniforms,
        *,
        temperature: float = 1.0,
        top_p: float = 1.0,
        guidance: float | None = None,
    ) -> DrawnCodes:
        """The next codes, one for every `numbers` numbers in [0, 1); moves `state` on.

        Args:
            state: From `begin`.
            uniforms: What to draw with; with guidance one row for two rows of the state.
            temperature: Spread of the draws.
            top_p: Nucleus of the draws.
            guidance: Strength, 1 for what is told alone, more to exaggerate; None for one row per
                song.

        Raises:
            ConfigError: Rows that do not fit the state.
        """
        ...


@runtime_checkable
class Stepper(WindowSampler, Protocol):
    """One that draws its codes one after the other."""

    def logits(self, codes: RowCodes, state: Any) -> Float32[np.ndarray, "rows frames codes"]:
        """The same, and logits of each of `codes` given those before it."""
        ...


# ------------------------------------------------------------------ the plain way


class TorchStepper:
    """The model's own steps."""

    path = "torch"
    numbers = 1

    def __init__(self, model: CodeModel) -> None:
        self.model = model

    def begin(self, told: TokenState) -> TokenState:
        """The model's own state."""
        return told

    def read(self, codes: RowCodes, state: TokenState) -> None:
        """Many at once; see `Stepper`."""
        self.logits(codes, state)

    @torch.no_grad()
    def logits(
        self, codes: RowCodes, state: TokenState
    ) -> Float32[np.ndarray, "rows frames codes"]:
        """Many at once; see `Stepper`."""
        if not codes.shape[1]:
            symbols = self.model.transformer.table.num_embeddings - self.model.first_code
            return np.zeros((*codes.shape, symbols), np.float32)
        known = torch.from_numpy(codes).to(state.start.device)
        return self.model.read(known, state).float().cpu().numpy()

    @torch.no_grad()
    def sample(
        self,
        state: TokenState,
        uniforms: Uniforms,
        *,
        temperature: float = 1.0,
        top_p: float = 1.0,
        guidance: float | None = None,
    ) -> DrawnCodes:
        """One step after the other; see `Stepper`."""
        check_rows(len(state.start), len(uniforms), guidance)
        numbers = torch.from_numpy(uniforms).to(state.start.device)
        drawn = torch.empty(numbers.shape, dtype=torch.int64, device=numbers.device)
        for t in range(drawn.shape[1]):
            logits = self.model.step(state)
            if guidance is not None:
                logits = guided(logits, guidance)
            drawn[:, t] = codes = draw(logits, numbers[:, t], temperature, top_p)
            self.model.tell(codes if guidance is None else codes.repeat_interleave(2), state)
        return drawn.cpu().numpy()


def guided(logits: Float[Tensor, "rows codes"], guidance: float) -> Float[Tensor, "songs codes"]:
    """One row of logits from every two: told, and not told."""
    told, untold = logits[0::2], logits[1::2]
    return untold + guidance * (told - untold)


def check_rows(rows: int, songs: int, guidance: float | None) -> None:
    """Refuse numbers that are not one row per song.

    Raises:
        ConfigError: They are not.
    """
    each = 1 if guidance is None else 2
    if rows != each * songs:
        raise ConfigError(
            f"uniforms have {songs} rows for a state of {rows}; expected {each} of the state for "
            f"one of uniforms{'' if guidance is None else ', with guidance'}"
        )


# ------------------------------------------------------------------ the compiled step


class KernelStepper:
    """Steps in C: `native.transformer`.

    Args:
        model: A prior or an upsampler on the CPU; its weights are copied.
        precision: "fp32", or "int8" for the trunk.
        path: Of the library; None for the fastest that this processor has.

    Raises:
        ConfigError: An unknown precision, or a path this processor lacks.
        MissingDependencyError: The library was not built.
    """

    numbers = 1

    def __init__(
        self, model: CodeModel, *, precision: str = "fp32", path: str | None = None
    ) -> None:
        weights = kernel_weights(model.transformer)
        self.kernel = TransformerKernel(weights, precision=precision, path=path)
        self.first_code = model.first_code

    @property
    def path(self) -> str:
        """Of the library, e.g. "avx512"."""
        return self.kernel.path

    def begin(self, told: TokenState) -> TransformerState:
        """The same in arrays, with what the model has read already; see `Stepper`."""
        caches = [layer_cache(state) for state in told.trunk.blocks]
        patterns = self.kernel.patterns
        memory = [c for c, name in zip(caches, patterns, strict=True) if name == "memory"]
        conditions = None if told.conditions is None else array(told.conditions)
        state = self.kernel.initial_state(array(told.start), conditions, memory)
        if told.previous is not None:
            state.step = told.trunk.step
            state.previous[:] = told.previous.cpu().numpy()
            for layer, cache in enumerate(caches):
                self.kernel.fill(state, layer, cache)
        return state

    def read(self, codes: RowCodes, state: TransformerState) -> None:
        """Many at once; see `Stepper`."""
        self.kernel.read(state, codes + self.first_code)

    def logits(
        self, codes: RowCodes, state: TransformerState
    ) -> Float32[np.ndarray, "rows frames codes"]:
        """Many at once; see `Stepper`."""
        return self.kernel.logits(state, codes + self.first_code)[..., self.first_code :]

    def sample(
        self,
        state: TransformerState,
        uniforms: Uniforms,
        *,
        temperature: float = 1.0,
        top_p: float = 1.0,
        guidance: float | None = None,
    ) -> DrawnCodes:
        """All steps in one call; see `Stepper`."""
        check_rows(len(state.previous), len(uniforms), guidance)
        drawn = self.kernel.sample(
            state,
            uniforms,
            temperature=temperature,
            top_p=top_p,
            first=self.first_code,
            guidance=guidance,
        )
        return drawn - self.first_code


def array(values: Tensor) -> Float32[np.ndarray, "..."]:
    """In float32, contiguous."""
    return np.ascontiguousarray(values.detach().float().cpu().numpy())


def layer_cache(state: AttentionState) -> LayerCache:
    """What a layer remembers, line by line; kinds that have one line do not say so."""

    def by_line(slots: Tensor) -> Float32[np.ndarray, "rows lines heads slots head"]:
        return array(slots[:, None] if slots.ndim == 4 else slots.swapaxes(1, 2))

    return LayerCache(keys=by_line(state.keys), values=by_line(state.values))


KERNEL_PATTERNS = {
    RowAttention: "row",
    ColumnAttention: "column",
    PreviousRowAttention: "previous_row",
    SummaryAttention: "summary",
    CausalAttention: "dense",
    CrossAttention: "memory",
}


def kernel_weights(model: CodeTransformer) -> TransformerWeights:
    """The weights of a model as the compiled step takes them, in float32."""
    config, norm = model.config, model.trunk.norm
    return TransformerWeights(
        layers=tuple(map(layer_weights, model.trunk.blocks)),
        heads=config.heads,
        block_length=config.block_length,
        table=array(model.table.weight),
        positions=array(model.positions),
        norm=norm_weights(norm) if isinstance(norm, nn.LayerNorm) else None,
        symbol_of=array((model.table if model.untied is None else model.untied).weight),
        hears_twice=model.untied is None,
    )


def norm_weights(norm: nn.Module) -> Float32[np.ndarray, "2 width"]:
    """Gains and biases."""
    norm = cast(nn.LayerNorm, norm)
    return array(torch.stack([norm.weight, norm.bias]))


def layer_weights(block: Block) -> LayerWeights:
    """One block's."""
    attention, mlp = block.attention, cast(Mlp, block.mlp)
    is_cross = isinstance(attention, CrossAttention)
    project = attention.query if is_cross else cast(SelfAttention, attention).qkv
    return LayerWeights(
        pattern=KERNEL_PATTERNS[type(attention)],
        kept=attention.length if isinstance(attention, CausalAttention) else 0,
        norm_attention=norm_weights(block.norm_attention),
        project=array(project.weight),
        project_bias=array(project.bias),
        out=array(attention.out.weight),
        out_bias=array(attention.out.bias),
        norm_mlp=norm_weights(block.norm_mlp),
        enter=array(mlp.enter.weight),
        enter_bias=array(mlp.enter.bias),
        leave=array(mlp.out.weight),
        leave_bias=array(mlp.out.bias),
    )


# ------------------------------------------------------------------ whichever there is


def stepper_for(model: CodeModel, precision: str = "fp32") -> Stepper:
    """The fastest stepper that this installation has for a model.

    Args:
        model: A prior or an upsampler. On another device than the CPU it makes its own steps.
        precision: "fp32", or "int8" (faster, not quite the same network), which needs the compiled
            step.

    Raises:
        ConfigError: An unknown precision.
        MissingDependencyError: "int8" without the compiled step.
        CapabilityError: "int8" on another device.
    """
    check_precision(precision)
    on_cpu = model.transformer.positions.device.type == "cpu"
    if on_cpu and available_paths():
        return KernelStepper(model, precision=precision)
    if precision == "fp32":
        return TorchStepper(model)
    if on_cpu:
        load_library()  # says what is missing, and how to get it
    raise CapabilityError(
        f"precision {precision!r} is for the CPU; the model is on "
        f"{model.transformer.positions.device}. Use fp32, or move it"
    )
