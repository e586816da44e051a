"""Training one autoencoder: the losses of section 3.3, then the codebook follows (section 3.1).

Excerpts are read from the recordings as they are drawn; a stereo one is mixed to mono with a random
weight (appendix B.1). Figures are of held-out music, with averaged weights.

Deviation: the paper trains all levels at once on the sum of their losses. They share nothing, so
each has a stage of its own here, and may have its own time.

Axes: (batch, 1, time) samples.
"""

from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from ritornello.checkpoint import write_config
from ritornello.config import to_dict
from ritornello.data.corpus import Corpus
from ritornello.data.crops import CropSampler
from ritornello.evaluation.codebook import perplexity, usage_counts
from ritornello.interfaces import Audio, Stage
from ritornello.jukebox.codec import component_name, load_vqvae, save_vqvae
from ritornello.jukebox.config import JukeboxConfig, StageConfig
from ritornello.jukebox.losses import (
    Bandwidth,
    level_losses,
    mean_convergence_db,
    mean_noise,
    measure_bandwidth,
)
from ritornello.jukebox.vqvae import Reconstruction, VqVae, Wave, initialise
from ritornello.training.optim import OptimConfig
from ritornello.training.state import TrainState

BANDWIDTH_S, SCORED_S, HEARD_S = 240.0, 96.0, 6.0
"""Seconds of music that normalise the losses, that are scored, and that are listened to."""

SCORED_STEPS = 12
"""At most the excerpts of so many steps are scored, or short runs would only be scored."""

Losses = dict[str, Tensor]


def stage_optim(config: StageConfig, module: str) -> OptimConfig:
    """The stage's Adam, with averaged weights for everything that is judged or kept."""
    return OptimConfig(
        modules=(module,),
        lr=config.learning_rate,
        betas=(0.9, config.beta2),
        weight_decay=config.weight_decay,
        warmup_steps=config.warmup_steps,
        schedule="cosine" if config.schedule == "cosine" else "linear",
        final_ratio=config.final_ratio,
        clip_norm=config.clip_norm,
        ema_decay=config.ema,
    )


class Excerpts:
    """Random excerpts of one split, mixed to mono with random weights.

    Args:
        corpus: The recordings; None of which need be decoded before.
        split: Which of them.
        samples: Of an excerpt.
        sample_rate: Samples per second.
    """

    def __init__(self, corpus: Corpus, split: str, samples: int, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.sampler = CropSampler(corpus.split(split), samples / sample_rate)

    def draw(self, draw: torch.Generator, count: int) -> Wave:
        """`count` of them."""
        stereo = self.sampler.batch(draw, count, sample_rate=self.sample_rate, channels=2)
        return mixed(torch.from_numpy(stereo), draw)


def mixed(stereo: Tensor, draw: torch.Generator) -> Wave:
    """Left and right, weighed at random, w and 1 - w."""
    weight = torch.rand(len(stereo), 1, 1, generator=draw)
    return weight * stereo[:, :1] + (1 - weight) * stereo[:, 1:]


class VqVaeStage(Stage):
    """One autoencoder of a model.

    Args:
        config: The whole model's.
        level: Which one, from 0, the lowest hop.
        corpus: The recordings.
        start: Model folder whose weights it starts from; None for fresh ones.
    """

    def __init__(
        self, config: JukeboxConfig, level: int, corpus: Corpus, start: Path | None = None
    ) -> None:
        self.whole, self.level, self.corpus, self.start = config, level, corpus, start
        self.name = component_name(level)
        self.config = config.training.vqvaes[level]
        self.share, self.steps = self.config.share, self.config.steps
        self.loss = config.vqvae.loss
        self.bandwidth = Bandwidth(variance=1.0, spectral_norm=1.0)

    @property
    def judged(self) -> str:
        """The split that figures are made of: what is held out, if anything is."""
        return "valid" if len(self.corpus.split("valid")) else "train"

    def excerpts(self, split: str, samples: int | None = None) -> Excerpts:
        """Of the configured length, unless another is asked for."""
        length = samples or self.whole.training.excerpt
        return Excerpts(self.corpus, split, length, self.whole.vqvae.sample_rate)

    def prepare(self) -> None:
        """Measure how large the music is; the same for every run on the same recordings."""
        self.trained_on = self.excerpts("train")
        count = self._count(BANDWIDTH_S)
        sample = self.trained_on.draw(torch.Generator().manual_seed(0), count)
        self.bandwidth = measure_bandwidth(sample, self.loss)
        held_out = torch.Generator().manual_seed(1)
        self.scored = self.excerpts(self.judged).draw(held_out, self._count(SCORED_S))

    def _count(self, seconds: float) -> int:
        """Excerpts of that many seconds in all, fewer where excerpts are long or batches small."""
        excerpt_s = self.whole.training.excerpt / self.whole.vqvae.sample_rate
        return max(2, min(round(seconds / excerpt_s), SCORED_STEPS * self.config.batch))

    def build(self, init: torch.Generator) -> dict[str, nn.Module]:
        """A fresh autoencoder, or the one to start from."""
        vqvae = VqVae(self.whole.vqvae.levels[self.level])
        initialise(vqvae, init)
        if self.start is not None:
            loaded = load_vqvae(self.start, self.level, vqvae.config)
            vqvae.load_state_dict(loaded.state_dict())
        return {"vqvae": vqvae}

    def optimizers(self) -> dict[str, OptimConfig]:
        """One for encoder and decoder; the codebook follows without."""
        return {"vqvae": stage_optim(self.config, "vqvae")}

    def batch(self, draw: torch.Generator) -> Wave:
        """Excerpts of the training recordings."""
        return self.trained_on.draw(draw, self.config.batch)

    def example(self, draw: torch.Generator) -> Wave:
        """Noise of the same shape."""
        return 0.1 * torch.randn(self.config.batch, 1, self.whole.training.excerpt, generator=draw)

    def train_step(self, state: TrainState, batch: Wave, draw: torch.Generator) -> Losses:
        """One step on the losses; then the codebook follows the queries of this step."""
        vqvae = cast(VqVae, state.modules["vqvae"])
        with state.autocast():
            found: Reconstruction = vqvae(batch)
        losses = level_losses(found, batch, self.loss, self.bandwidth)
        norm = state.update("vqvae", losses["total"])
        revived = vqvae.learn(found, draw, state.world)
        used = found.codes.flatten().bincount(minlength=vqvae.config.codebook.codes)
        entropy = torch.special.entr(used / used.sum()).sum()
        told = {name: loss.detach() for name, loss in losses.items()}
        extra = {"perplexity": entropy.exp(), "revived": torch.tensor(float(revived))}
        return told | extra | {"norm": norm}

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Spectral convergence in dB, noise, and how many codes carry something."""
        return self.figures(cast(VqVae, state.best("vqvae")))

    def samples(self, state: TrainState) -> dict[str, Audio]:
        """A few seconds of held-out music, and what the level makes of it."""
        return self.listening(cast(VqVae, state.best("vqvae")))

    @torch.inference_mode()
    def figures(self, vqvae: VqVae) -> dict[str, float]:
        """Of a level on the held-out excerpts."""
        made, codes = [], []
        for part in self.scored.split(self.config.batch):
            found = vqvae(part)
            made.append(found.wave.float())
            codes.append(found.codes)
        decoded, rate = torch.cat(made), self.whole.vqvae.sample_rate
        counts = usage_counts(torch.cat(codes).flatten().numpy()[None], vqvae.config.codebook.codes)
        return {
            "convergence_db": mean_convergence_db(decoded, self.scored, rate),
            **mean_noise(decoded, self.scored, rate, vqvae.config.hop_samples),
            "perplexity": perplexity(counts),
            "codes_used": float((counts > 0).mean()),
        }

    @torch.inference_mode()
    def listening(self, vqvae: VqVae) -> dict[str, Audio]:
        """Held-out music, real and decoded."""
        rate, hop = self.whole.vqvae.sample_rate, vqvae.config.hop_samples
        length = int(HEARD_S * rate) // hop * hop
        real = self.excerpts(self.judged, length).draw(torch.Generator().manual_seed(2), 1)
        made = vqvae(real).wave.clamp(-1, 1)
        return {
            "real": Audio(samples=real[0].numpy(), sample_rate=rate),
            "decoded": Audio(samples=made[0].float().numpy(), sample_rate=rate),
        }

    def export(self, state: TrainState, folder: Path) -> None:
        """Write component `vqvaeN`."""
        write_config(folder, "jukebox", to_dict(self.whole))
        save_vqvae(folder, self.level, cast(VqVae, state.best("vqvae")))
