"""Filling a window in a few passes: draw all hidden codes, keep the surest, and again.

    hidden codes -> logits -> one draw each -> the most confident stay      times `passes`

A pass draws every hidden code independently and keeps as many as the schedule says; codes that were
given never change, wherever they stand: the overlap with the window before, or both neighbours of a
gap. Confidence is the log-probability of the drawn code plus Gumbel noise that fades out, so that
early passes do not always keep the commonest code (Chang et al. 2022, "MaskGIT", section 3.2).

Everything random is given as numbers, as in `stepping.py`.
"""

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from ritornello.errors import ConfigError
from ritornello.jukebox.code_transformer import LevelCodes, PerToken
from ritornello.jukebox.masked import MaskedState, MaskedUpsampler, Places
from ritornello.jukebox.stepping import RowCodes
from ritornello.sampling.filters import draw
from ritornello.sampling.passes import gumbel, schedule

CHOICE_TEMPERATURE = 4.5
"""Of the noise on confidences before the first pass; it falls to 0 in equal steps. What serves for
pictures; not tuned to music."""

PER_PASS = 2
"""Numbers that a pass needs for every code: one to draw it, one to be unsure of it."""


@torch.no_grad()
def fill(
    upsampler: MaskedUpsampler,
    codes: LevelCodes,
    wanted: Places,
    told: PerToken,
    numbers: Float[Tensor, "batch passes 2 frames"],
    *,
    temperature: float = 1.0,
    top_p: float = 1.0,
) -> LevelCodes:
    """`codes` with new ones at the places that are wanted, all others as they were.

    Args:
        upsampler: Who guesses.
        codes: A whole context; the mask where nothing is known, anything where a code is wanted.
        wanted: Places to fill, as many in every row.
        told: From the upsampler's `tell`.
        numbers: In [0, 1), for every pass two at every place: what its code is drawn by, and the
            noise on its confidence.
        temperature: Spread of the draws.
        top_p: Nucleus of the draws.
    """
    is_hidden, codes = wanted.clone(), codes.masked_fill(wanted, upsampler.mask)
    total, passes = int(wanted[0].sum()), numbers.shape[1]
    assert (wanted.sum(1) == total).all(), "rows want different numbers of codes"
    for index, count in enumerate(schedule(total, passes)):
        hidden = upsampler.hidden(codes, told)[is_hidden]
        logits = upsampler.to_logits(hidden, told[is_hidden])
        uniforms, noise = (one[is_hidden] for one in numbers[:, index].unbind(1))
        drawn = draw(logits, uniforms, temperature, top_p)
        sure = logits.log_softmax(-1).gather(1, drawn[:, None])[:, 0]
        sure = sure + CHOICE_TEMPERATURE * (1 - (index + 1) / passes) * gumbel(noise)
        guesses = codes.masked_scatter(is_hidden, drawn)
        confidence = torch.full(codes.shape, -torch.inf, dtype=sure.dtype, device=sure.device)
        kept = confidence.masked_scatter(is_hidden, sure).topk(count, dim=1).indices
        codes.scatter_(1, kept, guesses.gather(1, kept))
        is_hidden.scatter_(1, kept, torch.zeros_like(kept, dtype=torch.bool))
    return codes


class MaskedStepper:
    """A `stepping.Stepper` that draws all codes of a window in `passes` passes.

    Args:
        upsampler: The network.
        passes: At least 1.
    """

    path = "masked"

    def __init__(self, upsampler: MaskedUpsampler, passes: int) -> None:
        if passes < 1:
            raise ConfigError(f"passes is {passes}; expected at least 1")
        self.upsampler, self.passes = upsampler, passes

    @property
    def numbers(self) -> int:
        """Uniform numbers for every code."""
        return PER_PASS * self.passes

    def begin(self, told: MaskedState) -> MaskedState:
        """The upsampler's own state."""
        return told

    def read(self, codes: RowCodes, state: MaskedState) -> None:
        """Codes that are known, behind those known already."""
        new = torch.from_numpy(codes).to(state.known.device)
        state.known = torch.cat([state.known, new], 1)

    def sample(
        self,
        state: MaskedState,
        uniforms: Float32[np.ndarray, "songs numbers"],
        *,
        temperature: float = 1.0,
        top_p: float = 1.0,
        guidance: float | None = None,
    ) -> Int64[np.ndarray, "songs steps"]:
        """The next codes; those of the context behind them stay hidden.

        Args:
            state: From `begin`.
            uniforms: `numbers` of them for every code wanted.
            temperature: Spread of the draws.
            top_p: Nucleus of the draws.
            guidance: None; upsamplers are not guided.
        """
        assert guidance is None, "masked upsamplers are not guided"
        songs, frames = len(state.told), state.told.shape[1]
        first, steps = state.known.shape[1], uniforms.shape[1] // self.numbers
        assert first + steps <= frames, f"{first} + {steps} codes in a context of {frames}"
        end = first + steps
        given = torch.from_numpy(uniforms).to(state.told)
        numbers = given.new_zeros(songs, self.passes, PER_PASS, frames)
        numbers[..., first:end] = given.view(songs, self.passes, PER_PASS, steps)
        codes = state.known.new_full((songs, frames), self.upsampler.mask)
        codes[:, :first] = state.known
        wanted = torch.zeros_like(codes, dtype=torch.bool)
        wanted[:, first:end] = True
        spread = {"temperature": temperature, "top_p": top_p}
        filled = fill(self.upsampler, codes, wanted, state.told, numbers, **spread)
        state.known = filled[:, :end]
        return state.known[:, first:].cpu().numpy()
