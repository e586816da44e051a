"""Training the transformer: guess the masked tokens of a stem, given its mix (sections 2.2, 2.3).

    pairs -- level and places drawn --> masked target
    conditions, some of them withheld   --> logits --> cross-entropy of the masked tokens

Whether it listens is measured from the first minute: the accuracy of held-out tokens is told with
the stem's own mix and with the mix of another example. What the first has over the second can only
come from the mix. The finer figure is `gained0`, in nats, of stems of which nothing is known yet,
with its interval over pairs (`gained0_low`, `gained0_high`).

Axes: (batch, levels, frames) codes.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ritornello.checkpoint import load_component, load_into, save_component, write_config
from ritornello.config import from_dict, to_dict
from ritornello.encodec.codec import CODEC, EncodecCodec, load_codec
from ritornello.errors import CheckpointError, DataError
from ritornello.evaluation.intervals import mean_interval
from ritornello.interfaces import Audio, Stage
from ritornello.shapes import Codes
from ritornello.stemgen import network as networks
from ritornello.stemgen.combiner import FREE, NO_STEM, UNHEARD, Conditions
from ritornello.stemgen.config import DropoutConfig, StemGenConfig
from ritornello.stemgen.decoding import decode
from ritornello.stemgen.masking import (
    draw_level,
    draw_places,
    mask_rates,
    masked,
    masked_accuracy,
    masked_loss,
)
from ritornello.stemgen.network import StemTransformer
from ritornello.stemgen.pairs import PairBatch, Pairs
from ritornello.training.optim import OptimConfig
from ritornello.training.state import TrainState, map_tensors

logger = logging.getLogger(__name__)

TRANSFORMER = "transformer"
"""Component folder of a model, and the stage's name."""

SCORED, HEARD = 64, 2
"""Held-out pairs that are scored, and those of them that are decoded to be heard."""

LEAST_RATE = 0.5
"""Held-out tokens are masked at rates from here to 1, evenly over the pairs."""

Losses = dict[str, Tensor]


# ------------------------------------------------------------------ what is told


def conditions_of(pairs: PairBatch) -> Conditions:
    """All that is known of the stems."""
    return Conditions(context=pairs.context, category=pairs.category, activity=pairs.activity)


def withheld(told: Conditions, shares: DropoutConfig, draw: torch.Generator) -> Conditions:
    """What is told of each example in training: some are told less, so that guidance can compare.

    Deviation: the paper withholds each independently. Here one number per example decides which of
    context and category is withheld: the shares are of all examples, as the rows of guidance each
    need their part. Activity is withheld by itself.
    """
    device = told.category.device
    chance = torch.rand(len(told.category), generator=draw).to(device)
    both = chance < shares.all
    context = both | ((chance >= shares.all) & (chance < shares.all + shares.context))
    rest = shares.all + shares.context
    stem = both | ((chance >= rest) & (chance < rest + shares.stem))
    activity = torch.rand(len(told.category), generator=draw).to(device) < shares.activity
    return Conditions(
        context=told.context.masked_fill(context[:, None, None], UNHEARD),
        category=told.category.masked_fill(stem, NO_STEM),
        activity=told.activity.masked_fill(activity[:, None], FREE),
    )


# ------------------------------------------------------------------ the component


def save_transformer(folder: Path, network: StemTransformer) -> None:
    """Write component `transformer` in half precision."""
    values = to_dict(network.config.transformer)
    save_component(folder, TRANSFORMER, dict(network.state_dict()), values, half=True)


def load_transformer(folder: Path, config: StemGenConfig) -> StemTransformer:
    """The transformer of the model in `folder`, in float32, not trainable.

    Raises:
        CheckpointError: None there, another configuration, or damaged files.
    """
    values, tensors = load_component(folder, TRANSFORMER)
    found = from_dict(type(config.transformer), values)
    if found != config.transformer:
        raise CheckpointError(
            f"{folder / TRANSFORMER} holds {found}; expected {config.transformer}. "
            "Was the model trained from another config?"
        )
    network = StemTransformer(config)
    load_into(network, tensors)
    return network.eval().requires_grad_(False)


# ------------------------------------------------------------------ the stage


class TransformerStage(Stage):
    """The masked transformer.

    Args:
        config: The whole model's.
        pairs: What it trains on.
        model: Folder that has, or will have, the trained codec.
        start: Model folder whose weights it starts from; None for fresh ones.
    """

    name = TRANSFORMER

    def __init__(
        self, config: StemGenConfig, pairs: Pairs, model: Path, start: Path | None = None
    ) -> None:
        self.config, self.pairs, self.model, self.start = config, pairs, model, start
        self.training = config.training
        self.share, self.steps = config.training.share, config.training.steps

    def prepare(self) -> None:
        """Encode the stems and their mixes, and draw the pairs to judge by."""
        self.pairs.fill()
        try:
            self.scored = self._held_out("valid")
        except DataError as error:  # too few songs to hold any out
            logger.warning("the transformer is judged by the songs it is trained on: %s", error)
            self.scored = self._held_out("train")

    def _held_out(self, split: str) -> PairBatch:
        return self.pairs.draw(torch.Generator().manual_seed(1), SCORED, self.config.frames, split)

    def build(self, init: torch.Generator) -> dict[str, nn.Module]:
        """A fresh transformer, its tables from the codec's vectors, or the one to start from."""
        network = StemTransformer(self.config)
        has_codec = (self.model / CODEC).is_dir()  # not yet, where speed is only estimated
        vectors = self._codec().code_vectors() if has_codec else None
        networks.initialise(network, init, vectors)
        if self.start is not None:
            loaded = load_transformer(self.start, self.config)
            network.load_state_dict(loaded.state_dict())
        return {TRANSFORMER: network}

    def _codec(self) -> EncodecCodec:
        return load_codec(self.model, self.config.codec)

    def optimizers(self) -> dict[str, OptimConfig]:
        """AdamW.

        Deviation: one cosine after the rise; the paper holds the rate for 50,000 steps and lets it
        fall exponentially over 300,000, of which it needs about half.
        """
        return {
            TRANSFORMER: OptimConfig(
                modules=(TRANSFORMER,),
                lr=self.training.learning_rate,
                betas=(0.9, 0.95),
                weight_decay=self.training.weight_decay,
                warmup_steps=self.training.warmup_steps,
                schedule="cosine",
                final_ratio=0.05,
                clip_norm=1.0,
                ema_decay=self.training.ema,
            )
        }

    def batch(self, draw: torch.Generator) -> PairBatch:
        """Pairs of the training songs."""
        return self.pairs.draw(draw, self.training.batch, self.config.frames)

    def example(self, draw: torch.Generator) -> PairBatch:
        """Noise of the same shape."""
        codec, batch, frames = self.config.codec, self.training.batch, self.config.frames
        shape = (batch, codec.codebooks, frames)
        return PairBatch(
            context=torch.randint(codec.codebook_size, shape, generator=draw),
            target=torch.randint(codec.codebook_size, shape, generator=draw),
            category=torch.zeros(batch, dtype=torch.int64),
            activity=torch.ones(batch, frames, dtype=torch.int64),
        )

    def train_step(self, state: TrainState, batch: PairBatch, draw: torch.Generator) -> Losses:
        """One step on the masked tokens of one level."""
        network = cast(StemTransformer, state.modules[TRANSFORMER])
        level = draw_level(self.training.level_weights, draw)
        places = draw_places(mask_rates(len(batch.target), draw), batch.target.shape[2], draw)
        told = withheld(conditions_of(batch), self.training.dropout, draw)
        seen = masked(batch.target, level, places, network.mask)
        with state.autocast():
            logits = network(told, seen, level, places)
        loss = masked_loss(logits, batch.target, level, places, self.training.label_smoothing)
        norm = state.update(TRANSFORMER, loss)
        accuracy = masked_accuracy(logits.detach(), batch.target, level, places)
        return {"loss": loss.detach(), "accuracy": accuracy, "norm": norm}

    @torch.inference_mode()
    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Accuracy of masked tokens per level with the true mix and with another's."""
        scored = self._scored_on(state)
        true = conditions_of(scored)
        others = replace(true, context=true.context.roll(len(true.context) // 2, 0))
        figures: dict[str, float] = {}
        for level in range(self.config.codec.codebooks):
            heard, loss = self._score(state, true, scored.target, level)
            misheard, _ = self._score(state, others, scored.target, level)
            figures |= {
                f"accuracy{level}_true": heard,
                f"accuracy{level}_shuffled": misheard,
                f"listening{level}": heard - misheard,
                f"loss{level}": loss,
            }
        figures |= self._gained(state, true, others, scored.target)
        levels = self.config.codec.codebooks
        return {"loss": sum(figures[f"loss{level}"] for level in range(levels)) / levels} | figures

    def _gained(
        self, state: TrainState, true: Conditions, others: Conditions, target: Codes
    ) -> dict[str, float]:
        """Nats that the right mix saves per coarsest token of a stem of which nothing is known.

        This is where a stem begins, and where a model that listens shows it first: with more
        tokens known, their neighbours say most. The interval is over pairs.
        """
        places = torch.ones_like(target[:, 0], dtype=torch.bool)
        seen = masked(target, 0, places, self._network(state).mask)
        losses = []
        for told in (true.without_activity(), others.without_activity()):
            found = []
            for first in range(0, len(target), self.training.batch):
                rows = slice(first, first + self.training.batch)
                with state.autocast():
                    logits = self._network(state)(told[rows], seen[rows], 0, places[rows])
                one = functional.cross_entropy(logits, target[rows, 0].flatten(), reduction="none")
                found.append(one.unflatten(0, target[rows, 0].shape).mean(1))
            losses.append(torch.cat(found))
        saved = (losses[1] - losses[0]).double().cpu().numpy()
        gained = mean_interval(saved, np.random.default_rng(0))
        return {"gained0": gained.value, "gained0_low": gained.low, "gained0_high": gained.high}

    def _network(self, state: TrainState) -> StemTransformer:
        return cast(StemTransformer, state.best(TRANSFORMER))

    def _scored_on(self, state: TrainState) -> PairBatch:
        """The held-out pairs, where the network is."""
        return map_tensors(lambda tensor: tensor.to(state.world.device), self.scored)

    def _score(
        self, state: TrainState, told: Conditions, target: Codes, level: int
    ) -> tuple[float, float]:
        """Mean accuracy and loss over the scored pairs, the same places masked every time."""
        network, size = self._network(state), self.training.batch
        rates: Float[Tensor, " pairs"] = torch.linspace(LEAST_RATE, 1, len(target))
        places = draw_places(rates, target.shape[2], torch.Generator().manual_seed(level))
        accuracy, loss = 0.0, 0.0
        for first in range(0, len(target), size):
            rows = slice(first, first + size)
            seen = masked(target[rows], level, places[rows], network.mask)
            with state.autocast():
                logits = network(told[rows], seen, level, places[rows])
            weight = int(places[rows].sum()) / int(places.sum())
            found = logits, target[rows], level, places[rows]
            accuracy += weight * float(masked_accuracy(*found))
            loss += weight * float(masked_loss(*found, 0.0))
        return accuracy, loss

    @torch.inference_mode()
    def samples(self, state: TrainState) -> dict[str, Audio]:
        """Held-out mixes, with the real stem and with the model's."""
        network, codec = self._network(state), self._codec()
        told = conditions_of(self._scored_on(state))[:HEARD]
        made = decode(network, told, None, self.config.decoding, torch.Generator().manual_seed(0))
        mix = codec.decode(self.scored.context[:HEARD])
        sides: Mapping[str, Tensor] = {
            "stem_real": codec.decode(self.scored.target[:HEARD]),
            "stem_made": codec.decode(made.cpu()),
        }
        heard = {"mix": mix} | dict(sides)
        heard |= {name.replace("stem", "both"): mix + own for name, own in sides.items()}
        return {
            name: Audio(
                samples=torch.cat(list(wave), -1).clamp(-1, 1).numpy(),
                sample_rate=codec.sample_rate,
            )
            for name, wave in heard.items()
        }

    def export(self, state: TrainState, folder: Path) -> None:
        """Write component `transformer`."""
        write_config(folder, "stemgen", to_dict(self.config))
        save_transformer(folder, self._network(state))
