"""Training the prior and the upsamplers: next-code prediction, in bits (section 4).

    PriorStage       codes of the topmost level, from labels, timing, lyrics and recalls
    UpsamplerStage   codes of a lower level, from those above and labels

From some excerpts the labels are taken away, so that sampling can be guided. Figures are of
held-out music with averaged weights.

Deviation: windows of lyrics are those of the excerpt alone; the released lyric models were first
trained without, then with them.

Axes: (batch, frames) codes.
"""

from abc import abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from torch import nn

from ritornello.checkpoint import write_config
from ritornello.config import to_dict
from ritornello.data.tokens import Places
from ritornello.evaluation.likelihood import unigram, unigram_surprise
from ritornello.interfaces import Audio, Stage
from ritornello.jukebox import prior as priors
from ritornello.jukebox import upsampler as upsamplers
from ritornello.jukebox.components import (
    PRIOR,
    load_prior,
    load_upsampler,
    save_prior,
    save_upsampler,
    upsampler_name,
)
from ritornello.jukebox.conditions import (
    Conditions,
    drop_labels,
    spoilt,
    without_labels,
)
from ritornello.jukebox.config import JukeboxConfig, StageConfig
from ritornello.jukebox.guided_attention import SungTokens, guided_bits
from ritornello.jukebox.labels import MISSING
from ritornello.jukebox.prior import (
    BITS_PER_NAT,
    MergedPrior,
    TopPrior,
    bits_per_token,
    build_prior,
    prior_losses,
)
from ritornello.jukebox.prior_config import GuidedConfig, LabelsConfig
from ritornello.jukebox.recordings import CodeCorpus, KnownMusic, LevelCodes
from ritornello.jukebox.train_vqvae import Losses, stage_optim
from ritornello.jukebox.upsampler import CodesAbove, Upsampler
from ritornello.training.optim import OptimConfig
from ritornello.training.state import TrainState

SCORED_CODES, SCORED_STEPS = 2**17, 30
"""Held-out codes that every evaluation scores, and as many of the music trained on; at most those
of so many steps, or short runs would spend their time on figures."""


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """Codes of one level with all that may be known of them.

    Attributes:
        codes: Of the level that is modelled.
        above: Of the level above it; as they are for the topmost.
        conditions: Labels, times and lyrics.
        sung: The lyric token that is sung at each code, to guide attention by; None for no guide.
    """

    codes: LevelCodes
    above: CodesAbove
    conditions: Conditions
    sung: SungTokens | None = None

    def split(self, size: int) -> "list[Excerpt]":
        """Parts of `size` examples."""
        count = len(self.codes)
        return [self[first : first + size] for first in range(0, count, size)]

    def __getitem__(self, rows: slice) -> "Excerpt":
        """Some of the examples."""
        return Excerpt(
            codes=self.codes[rows],
            above=self.above[rows],
            conditions=self.conditions[rows],
            sung=None if self.sung is None else self.sung[rows],
        )


class CodeStage(Stage):
    """What the prior and the upsamplers have in common.

    Args:
        whole: The model's configuration.
        level: Whose codes are modelled.
        music: Codes of all levels.
        config: How to train.
        start: Model folder whose weights it starts from; None for fresh ones.
    """

    def __init__(
        self,
        whole: JukeboxConfig,
        level: int,
        music: CodeCorpus,
        config: StageConfig,
        start: Path | None,
    ) -> None:
        self.whole, self.level, self.music, self.config = whole, level, music, config
        self.start, self.share, self.steps = start, config.share, config.steps
        self.codes = whole.vqvae.levels[level].codebook.codes

    @property
    @abstractmethod
    def context(self) -> int:
        """Codes of the level in an excerpt."""

    @property
    @abstractmethod
    def labels(self) -> LabelsConfig:
        """Tables of the network."""

    @abstractmethod
    def losses(
        self, model: nn.Module, excerpt: Excerpt, draw: torch.Generator | None = None
    ) -> Losses:
        """What to lower, "loss", and "bits" per code; `draw` spoils what is recalled."""

    @property
    def frames(self) -> int:
        """Frames of the topmost level that an excerpt covers."""
        return -(-self.context // self.music.ratio(self.level))

    @property
    def above(self) -> int:
        """The level above, or the topmost itself."""
        return min(self.level + 1, len(self.whole.vqvae.levels) - 1)

    def prepare(self) -> None:
        """Fill the caches of codes."""
        for level in sorted({self.level, self.above}):
            self.music.fill(level)
        self.known = KnownMusic(self.music.corpus, self.whole)

    def draw(self, draw: torch.Generator, batch: int, split: str) -> Excerpt:
        """Random excerpts of a split."""
        places = self.music.locate(draw, self.frames, batch, split)
        codes = self.music.gather(places, self.frames, self.level)
        above = self.music.gather(places, self.frames, self.above)
        ratio = self.music.ratio(self.level) // self.music.ratio(self.above)
        return Excerpt(
            codes=codes[:, : self.context],
            above=above[:, : self.context // ratio],
            conditions=self.known.conditions(places, self.music.frame_rate_hz),
            sung=self.sung(places),
        )

    def sung(self, places: Places) -> SungTokens | None:
        """What is sung at the codes, for those that are guided by it."""
        del places
        return None

    def batch(self, draw: torch.Generator) -> Excerpt:
        """Excerpts of the training recordings."""
        return self.draw(draw, self.config.batch, "train")

    def example(self, draw: torch.Generator) -> Excerpt:
        """Noise of the same shape."""
        batch, lyrics = self.config.batch, self.whole.prior.lyrics
        ratio = self.music.ratio(self.level) // self.music.ratio(self.above)
        shape = (batch, self.context)
        words = None if lyrics is None else torch.zeros(batch, lyrics.tokens, dtype=torch.int64)
        return Excerpt(
            codes=torch.randint(self.codes, shape, generator=draw),
            above=torch.zeros(batch, self.context // ratio, dtype=torch.int64),
            conditions=Conditions(
                artist=torch.zeros(batch, dtype=torch.int64),
                genres=torch.full((batch, self.labels.genre_slots), MISSING),
                total_s=torch.full((batch,), 100.0),
                start_s=torch.zeros(batch),
                lyrics=words,
            ),
        )

    def train_step(self, state: TrainState, batch: Excerpt, draw: torch.Generator) -> Losses:
        """One step on the bits per code."""
        told = drop_labels(batch.conditions, self.labels.dropout, draw)
        with state.autocast():
            losses = self.losses(state.modules[self.name], replace(batch, conditions=told), draw)
        norm = state.update(self.name, losses["loss"])
        return {name: loss.detach() for name, loss in losses.items()} | {"norm": norm}

    def optimizers(self) -> dict[str, OptimConfig]:
        """One."""
        return {self.name: stage_optim(self.config, self.name)}

    def scored(self, split: str) -> Excerpt:
        """The same excerpts at every evaluation."""
        count = max(2, min(SCORED_CODES // self.context, SCORED_STEPS * self.config.batch))
        return self.draw(torch.Generator().manual_seed(0), count, split)

    @torch.inference_mode()
    def mean_bits(self, state: TrainState, excerpts: Excerpt) -> float:
        """Bits per code."""
        total = 0.0
        for part in excerpts.split(self.config.batch):
            with state.autocast():
                found = self.losses(state.best(self.name), part)
            total += float(found["bits"]) * len(part.codes)
        return total / len(excerpts.codes)

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Bits per code of held-out music, with and without labels, and what others would need."""
        held_out = self.scored(self.music.split_to_judge(self.frames))
        trained_on = self.scored("train")
        frequencies = unigram([trained_on.codes.flatten().numpy()[None]], self.codes)
        naive = unigram_surprise(frequencies, held_out.codes.flatten().numpy()[None])
        bare = replace(held_out, conditions=without_labels(held_out.conditions))
        return {
            "bits": self.mean_bits(state, held_out),
            "train_bits": self.mean_bits(state, trained_on),
            "unlabelled_bits": self.mean_bits(state, bare),
            "unigram_bits": float(naive.mean()) * BITS_PER_NAT,
        }

    def samples(self, state: TrainState) -> dict[str, Audio]:
        """Nothing to hear yet: `ritornello generate RUN` plays what was saved last."""
        del state
        return {}


class PriorStage(CodeStage):
    """The prior of the topmost codes.

    Args:
        whole: The model's configuration.
        music: Codes of all levels.
        start: Model folder whose weights it starts from; None for fresh ones.
    """

    name = PRIOR

    def __init__(self, whole: JukeboxConfig, music: CodeCorpus, start: Path | None = None) -> None:
        top = len(whole.vqvae.levels) - 1
        super().__init__(whole, top, music, whole.training.prior, start)

    @property
    def context(self) -> int:
        """Codes of music in a context."""
        return self.whole.prior.frames

    @property
    def labels(self) -> LabelsConfig:
        """Of the prior."""
        return self.whole.prior.labels

    @property
    def guide(self) -> GuidedConfig | None:
        """The head that is shown what is sung, if one is."""
        lyrics = self.whole.prior.lyrics
        return None if lyrics is None else lyrics.guided

    def sung(self, places: Places) -> SungTokens | None:
        """The lyric token of every code, where a head is guided by it."""
        if self.guide is None:
            return None
        return self.known.sung(places, self.context, self.music.frame_rate_hz)

    def build(self, init: torch.Generator) -> dict[str, nn.Module]:
        """A fresh prior, or the one to start from."""
        prior = build_prior(self.whole.prior)
        priors.initialise(prior, init)
        if self.start is not None:
            prior.load_state_dict(load_prior(self.start, self.whole).state_dict())
        return {self.name: prior}

    def losses(
        self, model: nn.Module, excerpt: Excerpt, draw: torch.Generator | None = None
    ) -> Losses:
        """Bits per code and, where lyrics are predicted, per lyric token."""
        prior, told = cast(TopPrior, model), excerpt.conditions
        config = self.whole.prior
        if draw is not None and config.recall is not None:
            recalled = spoilt(excerpt.codes, config.codes, config.recall, draw)
            told = replace(told, recalled=recalled)
        weight = config.lyrics.loss_weight if config.lyrics is not None else 0.0
        if self.guide is None or excerpt.sung is None:
            return prior_losses(prior(excerpt.codes, told), excerpt.codes, told, weight)
        merged, guide = cast(MergedPrior, prior), self.guide
        found = merged.guided(excerpt.codes, told, guide.layer, guide.head)
        losses = prior_losses(found.predicted, excerpt.codes, told, weight)
        guided = guided_bits(found.weights, excerpt.sung, guide.slack)
        return losses | {"loss": losses["loss"] + guide.weight * guided, "guided_bits": guided}

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """As for all; besides, what a section costs that is told to return as it was."""
        figures = super().evaluate(state)
        if self.whole.prior.recall is None:
            return figures
        held_out = self.scored(self.music.split_to_judge(self.frames))
        told = replace(held_out.conditions, recalled=held_out.codes)
        return figures | {
            "recalled_bits": self.mean_bits(state, replace(held_out, conditions=told))
        }

    def export(self, state: TrainState, folder: Path) -> None:
        """Write component `prior`."""
        write_config(folder, "jukebox", to_dict(self.whole))
        save_prior(folder, cast(TopPrior, state.best(self.name)))


class UpsamplerStage(CodeStage):
    """What makes the codes of a level from those above.

    Args:
        whole: The model's configuration.
        level: Whose codes are made.
        music: Codes of all levels.
        start: Model folder whose weights it starts from; None for fresh ones.
    """

    def __init__(
        self, whole: JukeboxConfig, level: int, music: CodeCorpus, start: Path | None = None
    ) -> None:
        self.name = upsampler_name(level)
        super().__init__(whole, level, music, whole.training.upsamplers[level], start)

    @property
    def upsampler(self) -> upsamplers.UpsamplerConfig:
        """The network's configuration."""
        return self.whole.upsamplers[self.level]

    @property
    def context(self) -> int:
        """Codes in a context."""
        return self.upsampler.frames

    @property
    def labels(self) -> LabelsConfig:
        """Of the upsampler."""
        return self.upsampler.labels

    def build(self, init: torch.Generator) -> dict[str, nn.Module]:
        """A fresh upsampler, or the one to start from."""
        upsampler = Upsampler(self.upsampler)
        upsamplers.initialise(upsampler, init)
        if self.start is not None:
            loaded = load_upsampler(self.start, self.level, self.whole)
            upsampler.load_state_dict(loaded.state_dict())
        return {self.name: upsampler}

    def losses(
        self, model: nn.Module, excerpt: Excerpt, draw: torch.Generator | None = None
    ) -> Losses:
        """Bits per code."""
        del draw  # Nothing is spoilt.
        logits = cast(Upsampler, model)(excerpt.codes, excerpt.above, excerpt.conditions)
        bits = bits_per_token(logits, excerpt.codes)
        return {"loss": bits, "bits": bits}

    def export(self, state: TrainState, folder: Path) -> None:
        """Write component `upsamplerN`."""
        write_config(folder, "jukebox", to_dict(self.whole))
        save_upsampler(folder, self.level, cast(Upsampler, state.best(self.name)))
