"""Training an ADA stack: one autoencoder after the other, then the prior over the topmost codes.

Every stage minimises the negative log-likelihood of its own symbols in nats (section 3): an
autoencoder's given its codes, plus what its bottleneck asks for (eq. 1, eq. 2); the prior's given
nothing but the past. Levels are trained separately, bottom up; a level that is finished only
encodes. Figures are of held-out music with averaged weights (section 4.1).

Axes: (batch, time) symbols, (batch, frames) codes.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from ritornello.ada.codec import level_name, load_level, load_prior, save_level, save_prior
from ritornello.ada.config import StackConfig, StageConfig
from ritornello.ada.model import Ada, Logits, Prior, Symbols, nll
from ritornello.ada.recordings import SymbolCorpus, audio_symbols, code_symbols
from ritornello.checkpoint import weights_hash, write_config
from ritornello.config import to_dict
from ritornello.data.corpus import Corpus
from ritornello.evaluation.codebook import perplexity, usage_counts
from ritornello.evaluation.likelihood import unigram, unigram_surprise
from ritornello.interfaces import Audio, Stage
from ritornello.nn.wavenet import initialise
from ritornello.training.optim import OptimConfig
from ritornello.training.state import TrainState

SCORED_SYMBOLS, SCORED_STEPS = 2**17, 50
"""Held-out symbols that every evaluation scores, and as many of the music trained on; at most those
of so many steps, or short runs would spend their time on figures."""

Losses = dict[str, Tensor]
Crops = Int64[Tensor, "crops time"]


def stage_optim(config: StageConfig, module: str) -> OptimConfig:
    """The stage's Adam, with averaged weights for everything that is judged or kept."""
    return OptimConfig(
        modules=(module,),
        lr=config.learning_rate,
        warmup_steps=config.warmup_steps,
        schedule="cosine",
        final_ratio=config.final_ratio,
        clip_norm=config.clip_norm,
        ema_decay=config.ema,
    )


def unscored_symbols(config: StageConfig, receptive_field: int) -> int:
    """Symbols at the beginning of an excerpt that have too little before them to be scored.

    An excerpt may be shorter than what is seen; then its second half is scored.
    """
    return min(receptive_field, config.crop // 2)


def scored_excerpts(config: StageConfig, receptive_field: int) -> int:
    """Excerpts that every evaluation scores."""
    scored = config.crop - unscored_symbols(config, receptive_field)
    return max(2, min(SCORED_SYMBOLS // scored, SCORED_STEPS * config.batch))


class SymbolStage(Stage):
    """What levels and prior have in common: excerpts of symbols, and their NLL.

    Args:
        stack: The whole model's configuration.
        symbols: What is trained on.
        alphabet: How many different ones there may be.
        config: How to train.
        receptive_field: Symbols that a prediction sees; those with fewer before them are not
            scored.
    """

    def __init__(
        self,
        stack: StackConfig,
        symbols: SymbolCorpus,
        *,
        alphabet: int,
        config: StageConfig,
        receptive_field: int,
    ) -> None:
        self.stack, self.symbols, self.alphabet, self.config = stack, symbols, alphabet, config
        self.share, self.steps = config.share, config.steps
        self.unscored = unscored_symbols(config, receptive_field)
        self.excerpts = scored_excerpts(config, receptive_field)

    def prepare(self) -> None:
        """Fill the cache of symbols."""
        self.symbols.fill()

    def batch(self, draw: torch.Generator) -> Symbols:
        """Excerpts of the training recordings."""
        return self.symbols.draw(draw, self.config.crop, self.config.batch, "train")

    def example(self, draw: torch.Generator) -> Symbols:
        """Noise of the same shape."""
        shape = (self.config.batch, self.config.crop)
        return torch.randint(self.alphabet, shape, generator=draw)

    def heard(self, symbols: Symbols, draw: torch.Generator) -> Symbols:
        """The past as a network hears it in training: a share of it replaced at random."""
        if not self.config.replaced:
            return symbols
        anything = torch.randint(self.alphabet, symbols.shape, generator=draw)
        lost = torch.rand(symbols.shape, generator=draw) < self.config.replaced
        return torch.where(lost.to(symbols.device), anything.to(symbols.device), symbols)

    def crops(self, split: str) -> Crops:
        """The same excerpts of a split at every evaluation."""
        draw = torch.Generator().manual_seed(0)
        return self.symbols.draw(draw, self.config.crop, self.excerpts, split)

    def held_out(self) -> Crops:
        """Excerpts of the split that figures are made of."""
        return self.crops(self.symbols.split_to_judge(self.config.crop))

    def scored_nll(
        self, state: TrainState, logits: Callable[[Symbols], Logits], crops: Crops
    ) -> float:
        """Mean NLL in nats of the symbols of `crops` that have enough before them."""
        total = 0.0
        for part in crops.split(self.config.batch):
            with state.autocast():
                found = logits(part)
            total += float(nll(found[:, self.unscored :], part[:, self.unscored :])) * len(part)
        return total / len(crops)

    def likelihoods(
        self, state: TrainState, logits: Callable[[Symbols], Logits]
    ) -> dict[str, float]:
        """NLL of held-out music and of the music trained on, beside that of frequencies alone."""
        held_out, trained_on = self.held_out(), self.crops("train")
        frequencies = unigram([trained_on.flatten().numpy()[None]], self.alphabet)
        naive = unigram_surprise(frequencies, held_out[:, self.unscored :].flatten().numpy()[None])
        return {
            "nll": self.scored_nll(state, logits, held_out),
            "train_nll": self.scored_nll(state, logits, trained_on),
            "unigram_nll": float(naive.mean()),
        }

    def samples(self, state: TrainState) -> dict[str, Audio]:
        """Nothing to hear yet: `ritornello generate RUN` plays what was saved last."""
        del state
        return {}


class LevelStage(SymbolStage):
    """One autoencoder of the stack.

    Args:
        stack: The whole model's configuration.
        index: Which level, 0 for the lowest.
        symbols: What lies below it.
        start: Model folder whose weights it starts from; None for fresh ones.
    """

    def __init__(
        self, stack: StackConfig, index: int, symbols: SymbolCorpus, start: Path | None = None
    ) -> None:
        self.start = start
        self.level, self.index = stack.levels[index], index
        self.name = level_name(index)
        super().__init__(
            stack,
            symbols,
            alphabet=self.level.symbols,
            config=self.level.training,
            receptive_field=self.level.local.receptive_field,
        )

    def build(self, init: torch.Generator) -> dict[str, nn.Module]:
        """A fresh autoencoder, or the one to start from."""
        ada = Ada(self.level)
        initialise(ada, init)
        if self.start is not None:
            ada.load_state_dict(load_level(self.start, self.index, self.stack).state_dict())
        return {"ada": ada}

    def optimizers(self) -> dict[str, OptimConfig]:
        """One for all of it; the codebook follows without."""
        return {"ada": stage_optim(self.config, "ada")}

    def train_step(self, state: TrainState, batch: Symbols, draw: torch.Generator) -> Losses:
        """One step on the NLL and the bottleneck's loss; then the codebook learns."""
        ada = cast(Ada, state.modules["ada"])
        with state.autocast():
            logits, found = ada(batch, self.heard(batch, draw))
            loss = nll(logits, batch)
        norm = state.update("ada", loss + found.loss)
        ada.bottleneck.learn(found, draw, state.world)
        used = found.codes.flatten().bincount(minlength=self.level.quantiser.codes)
        shares = used / used.sum()
        entropy = torch.special.entr(shares).sum()
        return {
            "nll": loss.detach(),
            "bottleneck": found.loss.detach(),
            "perplexity": entropy.exp(),
            "norm": norm,
        }

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """NLL in nats per symbol, and how many codes carry something."""
        ada = cast(Ada, state.best("ada"))
        figures = self.likelihoods(state, lambda symbols: ada(symbols)[0])
        with state.autocast():
            parts = self.held_out().split(self.config.batch)
            codes = torch.cat([ada.encode(part).flatten() for part in parts])
        counts = usage_counts(codes.numpy()[None], self.level.quantiser.codes)
        used = float((counts > 0).sum())
        return figures | {"perplexity": perplexity(counts), "codes_used": used}

    def export(self, state: TrainState, folder: Path) -> None:
        """Write component `levelN`."""
        write_config(folder, "ada", to_dict(self.stack))
        save_level(folder, self.index, cast(Ada, state.best("ada")))


class PriorStage(SymbolStage):
    """The unconditional WaveNet on top, over the topmost codes or over audio itself.

    Args:
        stack: The whole model's configuration.
        symbols: What lies below it.
        start: Model folder whose weights it starts from; None for fresh ones.
    """

    name = "prior"

    def __init__(
        self, stack: StackConfig, symbols: SymbolCorpus, start: Path | None = None
    ) -> None:
        prior, self.start = stack.prior, start
        super().__init__(
            stack,
            symbols,
            alphabet=prior.symbols,
            config=prior.training,
            receptive_field=prior.network.receptive_field,
        )

    def build(self, init: torch.Generator) -> dict[str, nn.Module]:
        """A fresh WaveNet, or the one to start from."""
        prior = Prior(self.stack.prior)
        initialise(prior, init)
        if self.start is not None:
            prior.load_state_dict(load_prior(self.start, self.stack).state_dict())
        return {"prior": prior}

    def optimizers(self) -> dict[str, OptimConfig]:
        """One."""
        return {"prior": stage_optim(self.config, "prior")}

    def train_step(self, state: TrainState, batch: Symbols, draw: torch.Generator) -> Losses:
        """One step on the NLL."""
        with state.autocast():
            loss = nll(state.modules["prior"](self.heard(batch, draw)), batch)
        norm = state.update("prior", loss)
        return {"nll": loss.detach(), "norm": norm}

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """NLL in nats per symbol."""
        return self.likelihoods(state, state.best("prior"))

    def export(self, state: TrainState, folder: Path) -> None:
        """Write component `prior`."""
        write_config(folder, "ada", to_dict(self.stack))
        save_prior(folder, cast(Prior, state.best("prior")))


def stack_symbols(
    stack: StackConfig, corpus: Corpus, model: Path, cache: Path
) -> list[SymbolCorpus]:
    """What each level trains on, lowest first, and last what the prior does.

    Args:
        stack: The whole model.
        corpus: The recordings.
        model: Folder that has, or will have, the trained levels.
        cache: Folder for the symbols of all levels.
    """
    symbols = [audio_symbols(corpus, stack.sample_rate, cache / "mulaw")]
    for index, config in enumerate(stack.levels):
        trained = partial(trained_level, model, index, stack)
        folder = cache / f"codes{index + 1}"
        symbols.append(code_symbols(symbols[-1], config, trained, folder))
    return symbols


def trained_level(model: Path, index: int, stack: StackConfig) -> tuple[Ada, str]:
    """Level `index` of the model folder, with the hash of its weights."""
    return load_level(model, index, stack), weights_hash(model, level_name(index))
