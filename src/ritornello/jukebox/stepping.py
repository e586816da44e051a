"""Sampling codes one after another: the plain way, and the compiled step when it is there.

    stepper = stepper_for(model)                      a prior or an upsampler
    state = stepper.begin(model.begin(...))           what the model is told, once per window
    stepper.read(known, state)                        codes of the overlap, all at once
    codes = stepper.sample(state, uniforms)           new ones

`TorchStepper` is the one to read, and the one that any machine has. Everything random is in
`uniforms`: both draw the same codes from the same numbers (`sampling.filters`). Arrays are numpy's,
one row per song.

Guided sampling (Ho and Salimans 2022, "Classifier-free diffusion guidance", on logits) takes a
state of two rows per song: 2k is told the song's labels and 2k + 1 is not. One code is drawn for
both, from `without + guidance * (with - without)`. Deviation: Jukebox samples without.
"""

from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from ritornello.errors import ConfigError
from ritornello.jukebox.code_transformer import CodeModel, TokenState
from ritornello.sampling.filters import draw

RowCodes = Int64[np.ndarray, "rows frames"]
Uniforms = Float32[np.ndarray, "songs steps"]
DrawnCodes = Int64[np.ndarray, "songs steps"]


@runtime_checkable
class Stepper(Protocol):
    """Draws the codes of one model; it holds weights and no state."""

    @property
    def path(self) -> str:
        """How steps are computed, e.g. "torch" or "avx512"; part of what makes the bits."""
        ...

    def begin(self, told: TokenState) -> Any:
        """A state that goes on from `told`, which is used up.

        Args:
            told: What the model's own `begin` made; with guidance, of two rows per song.
        """
        ...

    def read(self, codes: RowCodes, state: Any) -> None:
        """Codes that are known, one row per row of the state; moves `state` on behind them."""
        ...

    def logits(self, codes: RowCodes, state: Any) -> Float32[np.ndarray, "rows frames codes"]:
        """The same, and logits of each of `codes` given those before it."""
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
        """The next codes, one for every number in [0, 1); moves `state` on.

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


# ------------------------------------------------------------------ the plain way


class TorchStepper:
    """The model's own steps."""

    path = "torch"

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


def stepper_for(model: CodeModel, precision: str = "fp32") -> Stepper:
    """The fastest stepper that this installation has for a model.

    Args:
        model: A prior or an upsampler.
        precision: "fp32".

    Raises:
        ConfigError: An unknown precision.
    """
    if precision != "fp32":
        raise ConfigError(f"precision is {precision!r}; expected 'fp32'")
    return TorchStepper(model)
