"""Training masked upsamplers: guessing random sets of hidden codes, in bits.

    share hidden ~ cosine schedule -> random places -> bits of the hidden codes

All else is as for the upsamplers that draw one code after the other (`train_codes.py`), and each is
trained as the other of its level. "bits" are of hidden codes, few or many; what can be held against
the other kind is "passes_bits": all codes, in as many passes as music is drawn in.
"""

from pathlib import Path
from typing import cast

import torch
from torch import nn

from ritornello.checkpoint import write_config
from ritornello.config import require, to_dict
from ritornello.jukebox.components import load_masked, masked_name, save_masked
from ritornello.jukebox.config import JukeboxConfig
from ritornello.jukebox.masked import MaskedUpsampler, bits_in_passes, initialise, masked_bits
from ritornello.jukebox.prior_config import LabelsConfig, MaskedConfig
from ritornello.jukebox.recordings import CodeCorpus
from ritornello.jukebox.train_codes import CodeStage, Excerpt
from ritornello.jukebox.train_vqvae import Losses
from ritornello.training.state import TrainState

JUDGED_PASSES = 6
"""Between the four and eight that such models are played with."""


class MaskedStage(CodeStage):
    """What makes the codes of a level from those above, in a few passes.

    Args:
        whole: The model's configuration, with a masked upsampler of this level.
        level: Whose codes are made.
        music: Codes of all levels.
        start: Model folder whose weights it starts from; None for fresh ones.
    """

    def __init__(
        self, whole: JukeboxConfig, level: int, music: CodeCorpus, start: Path | None = None
    ) -> None:
        self.name = masked_name(level)
        super().__init__(whole, level, music, whole.training.upsamplers[level], start)
        masked = whole.masked[level] if whole.masked else None
        require(masked is not None, self.name, masked, "a configuration")
        self.masked = cast(MaskedConfig, masked)

    @property
    def context(self) -> int:
        """Codes in a window."""
        return self.masked.frames

    @property
    def labels(self) -> LabelsConfig:
        """Of the upsampler."""
        return self.masked.labels

    def build(self, init: torch.Generator) -> dict[str, nn.Module]:
        """A fresh upsampler, or the one to start from."""
        upsampler = MaskedUpsampler(self.masked)
        initialise(upsampler, init)
        if self.start is not None:
            loaded = load_masked(self.start, self.level, self.whole)
            upsampler.load_state_dict(loaded.state_dict())
        return {self.name: upsampler}

    def losses(
        self, model: nn.Module, excerpt: Excerpt, draw: torch.Generator | None = None
    ) -> Losses:
        """Bits per hidden code; without `draw` the same places are hidden every time."""
        draw = torch.Generator().manual_seed(0) if draw is None else draw
        upsampler = cast(MaskedUpsampler, model)
        bits = masked_bits(upsampler, excerpt.codes, excerpt.above, excerpt.conditions, draw)
        return {"loss": bits, "bits": bits}

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """As for all; besides, bits per code of whole windows gone through in passes."""
        held_out = self.scored(self.music.split_to_judge(self.frames))
        return super().evaluate(state) | {
            "passes_bits": self.mean_passes_bits(state, held_out),
        }

    @torch.inference_mode()
    def mean_passes_bits(self, state: TrainState, excerpts: Excerpt) -> float:
        """Bits per code in `JUDGED_PASSES` passes."""
        upsampler, total = cast(MaskedUpsampler, state.best(self.name)), 0.0
        draw = torch.Generator().manual_seed(0)
        for part in excerpts.split(self.config.batch):
            with state.autocast():
                told = upsampler.tell(part.above, part.conditions)
                bits = bits_in_passes(upsampler, part.codes, told, JUDGED_PASSES, draw)
            total += float(bits) * len(part.codes)
        return total / len(excerpts.codes)

    def export(self, state: TrainState, folder: Path) -> None:
        """Write component `maskedN`."""
        write_config(folder, "jukebox", to_dict(self.whole))
        save_masked(folder, self.level, cast(MaskedUpsampler, state.best(self.name)))
