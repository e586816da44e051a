"""Training the codec: reconstruction, codebooks that follow, then discriminators (section 3.4).

Excerpts come from whoever trains: recordings for the codec by itself, stems and their sums for a
system that models them. Figures are of held-out excerpts with averaged weights.

Axes: (batch, channels, time) samples.
"""

from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ritornello.checkpoint import write_config
from ritornello.config import to_dict
from ritornello.encodec.codec import CODEC, EncodecCodec, build_network, load_codec, save_codec
from ritornello.encodec.config import CodecTrainingConfig, EncodecConfig
from ritornello.encodec.losses import (
    Discriminators,
    found_out,
    frequency_error,
    magnitude_error,
    taken_for_real,
    time_error,
)
from ritornello.encodec.network import EncodecNetwork
from ritornello.encodec.rvq import Levels, Quantised
from ritornello.encodec.seanet import initialise
from ritornello.errors import DataError
from ritornello.evaluation.codebook import perplexity, usage_counts
from ritornello.evaluation.reconstruction import spectral_convergence_db
from ritornello.interfaces import Audio, Stage
from ritornello.shapes import Waveform
from ritornello.training.optim import OptimConfig
from ritornello.training.state import TrainState

SCORED, HEARD = 48, 3
"""Held-out excerpts that are scored, and of them that are put one after the other to be heard."""

SILENT = 1e-3
"""Effective amplitude below which an excerpt is not judged."""

Losses = dict[str, Tensor]


@runtime_checkable
class Excerpts(Protocol):
    """Where excerpts come from."""

    def draw(self, draw: torch.Generator, count: int) -> Float[Tensor, "batch channels time"]:
        """`count` of them, all of one length."""
        ...


class EncodecStage(Stage):
    """The codec against its discriminators.

    Args:
        config: The codec.
        training: How.
        train: Excerpts of the music to train on.
        held_out: Excerpts to judge by.
        start: Model folder whose codec it starts from; None for fresh weights.
        system: Name that the exported config is written under, and its whole config; None for
            the codec's own.
    """

    name = CODEC

    def __init__(
        self,
        config: EncodecConfig,
        training: CodecTrainingConfig,
        train: Excerpts,
        held_out: Excerpts,
        start: Path | None = None,
        system: tuple[str, object] | None = None,
    ) -> None:
        self.config, self.training, self.start = config, training, start
        self.train, self.held_out, self.system = train, held_out, system
        self.share, self.steps = training.share, training.steps

    def prepare(self) -> None:
        """The same held-out excerpts at every evaluation, those that can be heard.

        Raises:
            DataError: None of them can.
        """
        drawn = self._whole(self.held_out.draw(torch.Generator().manual_seed(1), SCORED))
        self.scored = drawn[drawn.square().mean((1, 2)).sqrt() > SILENT]
        if not len(self.scored):
            raise DataError(
                f"all {SCORED} held-out excerpts are silent, so that there is nothing to judge "
                "the codec by. Look for silent files with `ritornello data scan DIR`."
            )

    def build(self, init: torch.Generator) -> dict[str, nn.Module]:
        """A fresh codec, or the one to start from, and fresh discriminators."""
        network = build_network(self.config)
        initialise(network, init)
        if self.start is not None:
            network.load_state_dict(load_codec(self.start, self.config).network.state_dict())
        modules: dict[str, nn.Module] = {CODEC: network}
        if self.training.discriminator_width:
            judges = Discriminators(self.training.windows, self.training.discriminator_width)
            modules["discriminators"] = judges
        return modules

    def optimizers(self) -> dict[str, OptimConfig]:
        """One for each player."""
        players = {CODEC: self._optim(CODEC, self.training.ema)}
        if self.training.discriminator_width:
            players["discriminators"] = self._optim("discriminators", None)
        return players

    def _optim(self, module: str, ema: float | None) -> OptimConfig:
        return OptimConfig(
            modules=(module,),
            lr=self.training.learning_rate,
            betas=(0.8, 0.99),
            weight_decay=0.0,
            warmup_steps=self.training.warmup_steps,
            schedule="cosine",
            final_ratio=0.05,
            clip_norm=5.0,
            ema_decay=ema,
        )

    def batch(self, draw: torch.Generator) -> Waveform:
        """Excerpts of the training music, whole frames of them."""
        return self._whole(self.train.draw(draw, self.training.batch))

    def example(self, draw: torch.Generator) -> Waveform:
        """Noise of the same shape."""
        time = round(self.training.excerpt_s * self.config.sample_rate)
        shape = (self.training.batch, self.config.channels, time)
        return self._whole(0.1 * torch.randn(shape, generator=draw))

    def _whole(self, wave: Waveform) -> Float[Tensor, "batch channels whole"]:
        hop = self.config.hop_samples
        return wave[..., : wave.shape[-1] // hop * hop]

    def train_step(self, state: TrainState, batch: Waveform, draw: torch.Generator) -> Losses:
        """The codec on its losses, its codebooks after it; then the discriminators on both."""
        network = cast(EncodecNetwork, state.modules[CODEC])
        weights = self.training.weights
        with state.autocast():
            decoded, found = network(batch, self._levels(draw))
        decoded = decoded.float()
        losses = {
            "time": time_error(decoded, batch),
            "magnitude": magnitude_error(decoded, batch, self.training.mel_windows),
            "frequency": frequency_error(
                decoded, batch, self.training.mel_windows, self.config.sample_rate
            ),
            "commitment": found.commitment,
        }
        judges = self._judges(state)
        heard = None
        if judges is not None:
            with state.autocast():
                heard = judges(batch)
                losses |= taken_for_real(heard, judges(decoded))
        total = torch.stack(
            [
                getattr(weights, name) * loss
                for name, loss in losses.items()
                if hasattr(weights, name)
            ]
        ).sum()
        norm = state.update(CODEC, total)
        revived = self.follow(network, found, state, draw)
        if judges is not None and heard is not None:
            with state.autocast():
                losses["discriminators"] = found_out(heard, judges(decoded.detach()))
            state.update("discriminators", losses["discriminators"])
        extra = {"norm": norm, "revived": torch.tensor(float(revived))}
        return {name: loss.detach() for name, loss in losses.items()} | extra

    def follow(
        self, network: EncodecNetwork, found: Quantised, state: TrainState, draw: torch.Generator
    ) -> int:
        """Move the codebooks after their residuals; how many codes were placed anew."""
        return network.quantizer.learn(found, draw, state.world)

    def _levels(self, draw: torch.Generator) -> Levels:
        """How many levels of every excerpt are decoded: all, or anything less."""
        count, batch = self.config.codebooks, self.training.batch
        fewer = torch.randint(1, count, (batch,), generator=draw) if count > 1 else torch.tensor(1)
        is_partial = torch.rand(batch, generator=draw) < self.training.partial
        return torch.where(is_partial, fewer, count)

    def _judges(self, state: TrainState) -> Discriminators | None:
        """The discriminators, once they have joined."""
        begins = self.training.weights.adversarial_from * state.total_steps
        if state.step < begins or "discriminators" not in state.modules:
            return None
        return cast(Discriminators, state.modules["discriminators"])

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Spectral convergence in dB, distance of mel spectra, and the use of every codebook."""
        network = cast(EncodecNetwork, state.best(CODEC))
        return self.figures(network)

    @torch.inference_mode()
    def figures(self, network: EncodecNetwork) -> dict[str, float]:
        """Of the held-out excerpts."""
        made, codes = [], []
        for part in self.scored.split(self.training.batch):
            decoded, found = network(part)
            made.append(decoded.float())
            codes.append(found.codes)
        wave, rate = torch.cat(made), self.config.sample_rate
        pairs = zip(self.scored.numpy(), wave.numpy(), strict=True)
        ratios = [10 ** (spectral_convergence_db(true, own, rate) / 20) for true, own in pairs]
        windows = self.training.mel_windows
        told = {
            "convergence_db": float(20 * np.log10(np.mean(ratios))),
            "frequency": float(frequency_error(wave, self.scored, windows, rate)),
        }
        for level, used in enumerate(torch.cat(codes).transpose(0, 1).numpy()):
            counts = usage_counts(used.reshape(1, -1), self.config.codebook_size)
            told[f"perplexity{level}"] = perplexity(counts)
            told[f"codes_used{level}"] = float((counts > 0).mean())
        return told

    def samples(self, state: TrainState) -> dict[str, Audio]:
        """Held-out music, real and decoded."""
        codec = EncodecCodec(cast(EncodecNetwork, state.best(CODEC)))
        real = torch.cat(list(self.scored[:HEARD]), -1)
        made = codec.decode(codec.encode(real[None]))[0]
        rate = self.config.sample_rate
        return {
            "real": Audio(samples=real.numpy(), sample_rate=rate),
            "decoded": Audio(samples=made.float().numpy(), sample_rate=rate),
        }

    def export(self, state: TrainState, folder: Path) -> None:
        """Write component `encodec`."""
        if self.system is not None:
            write_config(folder, self.system[0], to_dict(self.system[1]))
        save_codec(EncodecCodec(cast(EncodecNetwork, state.best(CODEC))), folder)
