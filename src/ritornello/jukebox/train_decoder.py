"""Training a decoder on when its codes are fixed: less hiss, the same codes.

    wave -> encoder, codebook -> codes        frozen: what has been coded keeps its meaning
    codes -> decoder -> wave                  trained, from where its autoencoder left it

Deviation: not in the paper, whose autoencoders are done when they are trained. A decoder that has
learnt beside a moving encoder, from linear magnitudes, fills the gaps between notes with noise. By
itself it can weigh relative errors of magnitudes more than an autoencoder could bear, whose codes
would be spent on what is hardly heard.

Axes: (batch, 1, time) samples.
"""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from ritornello.checkpoint import write_config
from ritornello.config import to_dict
from ritornello.data.corpus import Corpus
from ritornello.interfaces import Audio, Stage
from ritornello.jukebox.codec import load_vqvae, save_vqvae
from ritornello.jukebox.config import JukeboxConfig
from ritornello.jukebox.losses import level_losses
from ritornello.jukebox.train_vqvae import Losses, VqVaeStage, stage_optim
from ritornello.jukebox.vqvae import Reconstruction, VqVae, Wave
from ritornello.training.optim import OptimConfig
from ritornello.training.state import TrainState


def decoder_name(level: int) -> str:
    """The stage that trains the decoder of `level` on."""
    return f"decoder{level}"


class DecoderStage(Stage):
    """The decoder of one level, its encoder and its codebook frozen.

    Args:
        config: The whole model's; `training.decoders` has this level.
        level: Which one, from 0, the lowest hop.
        corpus: The recordings.
        model: Folder with the level's component, which is written anew.
    """

    def __init__(self, config: JukeboxConfig, level: int, corpus: Corpus, model: Path) -> None:
        self.whole, self.level, self.model = config, level, model
        self.name = decoder_name(level)
        self.config = config.training.decoders[level]
        self.share, self.steps = self.config.share, self.config.steps
        weight = config.training.decoder_log_magnitude
        self.loss = replace(config.vqvae.loss, log_magnitude=weight, commitment=0.0)
        self.music = VqVaeStage(config, level, corpus)
        self.frozen = VqVae(config.vqvae.levels[level])

    def prepare(self) -> None:
        """Measure the music as its autoencoder did, and take this over."""
        self.music.prepare()
        self.frozen = load_vqvae(self.model, self.level, self.frozen.config)

    def build(self, init: torch.Generator) -> dict[str, nn.Module]:
        """The decoder as trained so far."""
        decoder = VqVae(self.frozen.config).decoder
        decoder.load_state_dict(self.frozen.decoder.state_dict())
        return {"decoder": decoder}

    def optimizers(self) -> dict[str, OptimConfig]:
        """One."""
        return {"decoder": stage_optim(self.config, "decoder")}

    def batch(self, draw: torch.Generator) -> Wave:
        """Excerpts of the training recordings."""
        return self.music.trained_on.draw(draw, self.config.batch)

    def example(self, draw: torch.Generator) -> Wave:
        """Noise of the same shape."""
        return 0.1 * torch.randn(self.config.batch, 1, self.whole.training.excerpt, generator=draw)

    def train_step(self, state: TrainState, batch: Wave, draw: torch.Generator) -> Losses:
        """One step on the losses of an autoencoder, but for its commitment: no query moves."""
        with state.autocast():
            found = self._decoded(state.modules["decoder"], batch)
        losses = level_losses(found, batch, self.loss, self.music.bandwidth)
        del losses["commitment"]
        norm = state.update("decoder", losses["total"])
        return {name: loss.detach() for name, loss in losses.items()} | {"norm": norm}

    def _decoded(self, decoder: nn.Module, wave: Wave) -> Reconstruction:
        """What `decoder` makes of the codes of `wave`."""
        with torch.no_grad():
            queries = self.frozen.encoder(wave)
            quantised = self.frozen.quantiser(queries)
        return Reconstruction(
            wave=decoder(quantised.vectors.transpose(1, 2)),
            queries=queries,
            codes=quantised.codes,
            commitment=quantised.commitment,
        )

    def _whole_level(self, state: TrainState) -> VqVae:
        """The frozen level with the averaged decoder in it."""
        level = VqVae(self.frozen.config)
        level.load_state_dict(self.frozen.state_dict())
        level.decoder.load_state_dict(state.best("decoder").state_dict())
        return level.eval().requires_grad_(False)

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Those of an autoencoder."""
        return self.music.figures(self._whole_level(state))

    def samples(self, state: TrainState) -> dict[str, Audio]:
        """Held-out music, and what the level makes of it."""
        return self.music.listening(self._whole_level(state))

    def export(self, state: TrainState, folder: Path) -> None:
        """Write component `vqvaeN` anew, its encoder and its codebook as they were."""
        write_config(folder, "jukebox", to_dict(self.whole))
        save_vqvae(folder, self.level, self._whole_level(state))
