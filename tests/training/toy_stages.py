"""Two small real stages: an autoencoder of synthetic signals and a two-player game on them."""

import math

import numpy as np
import torch
from torch import nn

from ritornello.checkpoint import save_component, write_config
from ritornello.interfaces import Audio, Stage
from ritornello.training.optim import OptimConfig

RATE = 8000
LENGTH = 256


def tones(count, draw):
    """Waveforms (count, 1, LENGTH) of two sines each."""
    time = torch.arange(LENGTH) / RATE
    pitch = 200 + 1000 * torch.rand(count, 2, 1, generator=draw)
    return 0.4 * torch.sin(2 * math.pi * pitch * time).sum(1, keepdim=True)


class ToyCodec(Stage):
    """A convolutional autoencoder, one player."""

    name = "codec"

    def __init__(self, *, share=1.0, steps=12, size=4, lr=3e-3, accumulate=1, audible=False):
        self.share, self.steps, self.size, self.lr = share, steps, size, lr
        self.accumulate, self.audible = accumulate, audible
        self.prepared = 0

    def prepare(self):
        self.prepared += 1

    def build(self, init):
        del init  # torch's own initialisation; the loop seeds it
        return {
            "encoder": nn.Sequential(nn.Conv1d(1, 16, 16, 8, 4), nn.GELU(), nn.Conv1d(16, 8, 1)),
            "decoder": nn.Sequential(nn.Conv1d(8, 16, 1), nn.ConvTranspose1d(16, 1, 16, 8, 4)),
        }

    def optimizers(self):
        return {
            "codec": OptimConfig(
                modules=("encoder", "decoder"),
                lr=self.lr,
                warmup_steps=4,
                clip_norm=1.0,
                ema_decay=0.99,
                weight_decay=1e-3,
            )
        }

    def batch(self, draw):
        return tones(self.size, draw)

    def example(self, draw):
        return torch.randn(self.size, 1, LENGTH, generator=draw)

    def loss(self, state, wave):
        with state.autocast():
            return (state.modules["decoder"](state.modules["encoder"](wave)) - wave).pow(2).mean()

    def train_step(self, state, batch, draw):
        shift = 0.01 * torch.randn(batch.shape, generator=draw)
        losses = []

        def each():
            for part in state.parts(batch + shift):
                losses.append(self.loss(state, part))
                yield losses[-1]

        norm = state.update("codec", each())
        state.extra_tensor("seen", torch.zeros(())).add_(len(batch))
        return {"codec/mse": torch.stack(losses).detach().mean(), "codec/norm": norm}

    def reconstruction(self, state):
        held_out = tones(8, torch.Generator().manual_seed(99))
        return held_out, state.best("decoder")(state.best("encoder")(held_out))

    def evaluate(self, state):
        real, made = self.reconstruction(state)
        return {"mse": float((real - made).pow(2).mean())}

    def samples(self, state):
        if not self.audible:
            return {}
        pair = self.reconstruction(state)
        return {
            name: Audio(samples=np.clip(wave[0].numpy(), -1, 1), sample_rate=RATE)
            for name, wave in zip(("real", "reconstructed"), pair, strict=True)
        }

    def export(self, state, folder):
        write_config(folder, "toy", {})
        for name in ("encoder", "decoder"):
            save_component(folder, name, state.best(name), {"channels": 16})


class ToyGame(Stage):
    """A generator and a critic, hinge loss: two updates in one step."""

    name = "game"

    def __init__(self, *, share=1.0, steps=8, precisions=("fp32",)):
        self.share, self.steps, self.precisions = share, steps, precisions

    def prepare(self):
        pass

    def build(self, init):
        generator = nn.Linear(8, LENGTH)
        nn.init.normal_(generator.weight, std=0.1, generator=init)
        critic = nn.Sequential(
            nn.Linear(LENGTH, 32), nn.LeakyReLU(0.2), nn.Dropout(0.1), nn.Linear(32, 1)
        )
        return {"generator": generator, "critic": critic}

    def optimizers(self):
        return {
            "critic": OptimConfig(modules=("critic",), lr=1e-3, betas=(0.5, 0.9)),
            "generator": OptimConfig(
                modules=("generator",), lr=1e-3, betas=(0.5, 0.9), ema_decay=0.9, warmup_steps=2
            ),
        }

    def batch(self, draw):
        return {"wave": tones(8, draw)[:, 0]}

    def example(self, draw):
        return {"wave": torch.randn(8, LENGTH, generator=draw)}

    def train_step(self, state, batch, draw):
        generator, critic = state.modules["generator"], state.modules["critic"]
        fake = generator(torch.randn(8, 8, generator=draw))
        real_loss = torch.relu(1 - critic(batch["wave"])).mean()
        critic_loss = real_loss + torch.relu(1 + critic(fake.detach())).mean()
        state.update("critic", critic_loss)
        generator_loss = -critic(fake).mean()
        state.update("generator", generator_loss)
        return {
            "critic/hinge": critic_loss.detach(),
            "generator/adversarial": generator_loss.detach(),
        }

    def evaluate(self, state):
        noise = torch.randn(16, 8, generator=torch.Generator().manual_seed(5))
        return {"power": float(state.best("generator")(noise).pow(2).mean())}

    def samples(self, state):
        return {}

    def export(self, state, folder):
        save_component(folder, "generator", state.best("generator"), {"dim": 8}, half=True)
