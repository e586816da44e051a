"""Training the GAN: windows of latents against windows made from coordinates.

A step draws real windows with their conditions, gives the generator the same conditions with fresh
anchors and styles, and lets the critic judge both: hinge losses, and a gradient penalty on the real
windows whose weight adapts to how certain the critic is (or the paper's fixed one).

The critic also sees the conditions, so a window that is good music but does not do what was asked
is told apart. Each control is hidden from a part of the examples, real and generated alike: one
model serves with and without. A listener, learnt on the same real windows, hears the controls in
what is generated, and the generator is held to them.

Axes: (batch, dim, window_frames) latents.
"""

import logging
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ritornello.checkpoint import load_component, load_into
from ritornello.errors import DataError
from ritornello.evaluation.frechet import set_distance
from ritornello.interfaces import Audio, Request, Stage
from ritornello.musika.codec import MusikaCodec, encoder_hash
from ritornello.musika.config import MusikaConfig
from ritornello.musika.controls import (
    ControlScale,
    Typical,
    drop_conditions,
    fit_scale,
    measured_conditions,
    typical_values,
)
from ritornello.musika.coordinates import training_coordinates
from ritornello.musika.families import build_critic, build_generator
from ritornello.musika.generate import Musika, load_scales, save_generator
from ritornello.musika.local_critic import ControlListener, control_error, followed
from ritornello.musika.model import (
    CoordinateGenerator,
    certainty,
    hinge_critic_loss,
    hinge_generator_loss,
    initialise,
    next_penalty_scale,
    r1_penalty,
    unit_gradient_penalty,
)
from ritornello.musika.paper_gan import PaperCritic, PaperCriticDecoder
from ritornello.musika.recordings import (
    AudioBlocks,
    ControlCurves,
    LatentWindows,
    clip_to_hear,
    split_to_judge,
)
from ritornello.musika.stereo import measured_spread
from ritornello.training.optim import OptimConfig
from ritornello.training.state import TrainState

HEARD_S = 12.0
EVALUATED = 512
TYPICAL_WINDOWS = 256
"""Windows of the training music that controls are drawn from when nothing is asked."""
SPREAD_CROPS, SPREAD_BLOCKS = 64, 200
"""Crops, and their length in spectra, that the phase between the channels is measured on."""
CRITIC_LEAD_STEPS = 200
"""Steps that a fresh critic gets alone when the generator is not fresh."""
WARM_PENALTY_SCALE = 0.1
"""Where the adaptive penalty begins when the generator is not fresh: a new critic has to get ahead
of it soon, and the full penalty would hold it back for a thousand steps."""
UNFITTED = ControlScale(low=0.0, high=1.0)
"""Scale of a control that this music does not have, or that never changes in it."""
logger = logging.getLogger(__name__)

Batch = tuple[Float[Tensor, "batch dim frames"], Float[Tensor, "batch channels frames"]]


def fitted_scales(
    controls: tuple[str, ...], raw: Float[np.ndarray, "controls frames"]
) -> dict[str, ControlScale]:
    """Scales fitted to the raw curves of the training music, by control.

    A drone has no tempo and its density never changes, but it is music: such a control stays in the
    model, and asking for it does nothing.
    """
    scales = {}
    for name, curve in zip(controls, raw, strict=True):
        try:
            scales[name] = fit_scale(name, [curve])
        except DataError as error:
            logger.warning("%s: kept, but asking for it will change nothing", error)
            scales[name] = UNFITTED
    return scales


class GanStage(Stage):
    """Generator and critic on the latents of the corpus.

    Args:
        config: The model.
        blocks: The recordings' audio.
        model: Folder with the trained codec.
        cache: Folder for controls and latents.
        start: Model folder whose generator training starts from, if any.
    """

    name = "gan"

    def __init__(
        self,
        config: MusikaConfig,
        blocks: AudioBlocks,
        model: Path,
        cache: Path,
        start: Path | None = None,
    ) -> None:
        self.config, self.gan, self.stage = config, config.gan, config.training.gan
        self.blocks, self.model, self.cache, self.start = blocks, model, cache, start
        self.share, self.steps = self.stage.share, 2_000_000
        self.scales: dict[str, ControlScale] = {}
        self.typical: Typical = ()
        self.windows: LatentWindows | None = None
        self.codec = MusikaCodec.untrained(config)

    # ------------------------------------------------------------------ data

    def prepare(self) -> None:
        """Encode the corpus with the trained codec; fit what 0 and 1 of the controls mean."""
        self.blocks.fill()
        self.codec = MusikaCodec.load(self.model, self.config, self._stereo_spread())
        curves = ControlCurves(self.blocks, self.cache / "controls") if self.gan.controls else None
        if curves is not None:
            curves.fill()
        encoders = encoder_hash(self.codec)
        folder = self.cache / "latents"
        self.windows = LatentWindows(self.blocks, curves, self.codec, encoders, folder)
        self.windows.fill()
        if self.start is not None:
            settings, _ = load_component(self.start, "generator")
            self.scales = load_scales(settings, self.gan.controls)
        elif curves is not None:
            self.scales = fitted_scales(self.gan.controls, curves.all_of("train").T)
        if curves is not None:
            draw = torch.Generator().manual_seed(0)
            self.typical = typical_values(self._windows(draw, TYPICAL_WINDOWS, "train")[1])

    def _stereo_spread(self) -> float:
        """How the channels of the training music differ in phase (`stereo.py`)."""
        blocks, cache = SPREAD_BLOCKS, self.blocks.cache
        while blocks > 1 and len(cache.too_short(blocks)) == len(self.blocks.corpus.split("train")):
            blocks //= 2
        draw = torch.Generator().manual_seed(0)
        wave = self.blocks.draw(draw, blocks, SPREAD_CROPS, "train")
        return measured_spread(wave, self.codec.stft)

    def batch(self, draw: torch.Generator) -> Batch:
        """Real windows and their conditions, some of these hidden."""
        latents, conditions = self._windows(draw, self.stage.batch, "train")
        return latents, drop_conditions(draw, conditions, self.gan.condition_dropout)

    def _windows(self, draw: torch.Generator, batch: int, split: str) -> Batch:
        assert self.windows is not None, "prepare comes first"
        latents, raw = self.windows.draw(draw, self.gan.window_frames, batch, split)
        scales = [self.scales[name] for name in self.gan.controls]
        return latents, measured_conditions(raw, scales)

    def example(self, draw: torch.Generator) -> Batch:
        """Noise of the same shapes."""
        frames, batch = self.gan.window_frames, self.stage.batch
        latents = torch.randn(batch, self.config.latent_dim, frames, generator=draw)
        return latents, torch.zeros(batch, self.gan.condition_channels, frames)

    # ------------------------------------------------------------------ players

    @property
    def is_listening(self) -> bool:
        """Whether the generator is held to its controls by what is heard in its latents."""
        return bool(self.gan.controls) and self.gan.control_weight > 0

    def build(self, init: torch.Generator) -> dict[str, nn.Module]:
        """Both players fresh, or the generator as `start` has it."""
        generator, critic = build_generator(self.config), build_critic(self.config)
        modules: dict[str, nn.Module] = {"generator": generator, "critic": critic}
        if isinstance(critic, PaperCritic):
            modules["critic_decoder"] = PaperCriticDecoder(self.config.critic)
        if self.is_listening:
            controls = len(self.gan.controls)
            modules["listener"] = ControlListener(self.config.latent_dim, controls)
        for module in modules.values():
            initialise(module, init)
        if self.start is not None:
            load_into(generator, load_component(self.start, "generator")[1])
        return modules

    def optimizers(self) -> dict[str, OptimConfig]:
        """Adam for each player at the same rate, which falls after the warm-up."""
        critics = ("critic", "critic_decoder") if self.config.family == "paper" else ("critic",)
        shared = {
            "lr": self.stage.learning_rate,
            "betas": self.stage.betas,
            "warmup_steps": self.stage.warmup_steps,
            "schedule": "linear",
            "final_ratio": self.stage.final_ratio,
        }
        players = {
            "critic": OptimConfig(modules=critics, **shared),
            "generator": OptimConfig(modules=("generator",), ema_decay=self.stage.ema, **shared),
        }
        if self.is_listening:
            players["listener"] = OptimConfig(modules=("listener",), **shared)
        return players

    # ------------------------------------------------------------------ the step

    def train_step(
        self, state: TrainState, batch: Batch, draw: torch.Generator
    ) -> dict[str, Tensor]:
        """The critic on real and generated windows, then the generator against it."""
        real, conditions = batch
        generator = cast(CoordinateGenerator, state.modules["generator"])
        critic = state.modules["critic"]
        coordinates = training_coordinates(draw, len(real), self.gan, conditions)
        noise = generator.draw_noise(draw, len(real), self.gan.chunks_per_window)
        with state.autocast():
            fake = generator(coordinates, noise)
        losses = self._teach_critic(state, real, fake.detach(), conditions)
        if self.is_listening:
            losses |= self._teach_listener(state, real, conditions)
        if self.start is not None and state.step < CRITIC_LEAD_STEPS:
            return losses
        with state.autocast():
            adversarial = hinge_generator_loss(critic(fake, conditions))
            total, losses["adversarial"] = adversarial, adversarial.detach()
            if self.is_listening:
                error = control_error(state.modules["listener"](fake), conditions)
                total = total + self.gan.control_weight * error
                losses["disobedience"] = error.detach()
        state.update("generator", total)
        return losses

    def _teach_listener(
        self, state: TrainState, real: Tensor, conditions: Tensor
    ) -> dict[str, Tensor]:
        with state.autocast():
            error = control_error(state.modules["listener"](real), conditions)
        state.update("listener", error)
        return {"listener": error.detach()}

    def _teach_critic(
        self, state: TrainState, real: Tensor, fake: Tensor, conditions: Tensor
    ) -> dict[str, Tensor]:
        critic = state.modules["critic"]
        first_scale = 1.0 if self.start is None else WARM_PENALTY_SCALE
        scale = state.extra_tensor("penalty_scale", torch.tensor(first_scale))
        reached = state.extra_tensor("penalty", torch.zeros(()))
        is_penalised = state.step % self.gan.penalty_every == 0
        real = real.clone().requires_grad_(is_penalised)
        with state.autocast():
            on_real, on_fake = critic(real, conditions), critic(fake, conditions)
            hinge = hinge_critic_loss(on_real, on_fake)
            total, losses = hinge, {"critic": hinge.detach()}
            if is_penalised:
                penalty = self._penalty(on_real, real)
                weight = self.gan.penalty_weight * self.gan.penalty_every
                adaptive = scale if self.gan.penalty == "adaptive_r1" else 1.0
                total = total + weight * adaptive * penalty
                reached.copy_(penalty.detach())
            if self.gan.reconstruction_weight:
                rebuilt = self._reconstruction(state, real, conditions)
                total = total + self.gan.reconstruction_weight * rebuilt
                losses["reconstruction"] = rebuilt.detach()
        state.update("critic", total)
        certain = certainty(on_real.detach(), on_fake.detach())
        scale.fill_(next_penalty_scale(float(scale), certain, speed=self.gan.penalty_speed))
        return (
            losses
            | {"certainty": torch.tensor(certain), "penalty_scale": scale.clone()}
            | {"penalty": reached.clone()}
        )

    def _penalty(self, scores: Tensor, real: Tensor) -> Tensor:
        if self.gan.penalty == "adaptive_r1":
            return r1_penalty(scores, real)
        return unit_gradient_penalty(scores, real)

    def _reconstruction(self, state: TrainState, real: Tensor, conditions: Tensor) -> Tensor:
        """How well real latents can be told from the paper critic's last features (L1)."""
        features = cast(PaperCritic, state.modules["critic"]).features(real, conditions)
        return (state.modules["critic_decoder"](features) - real).abs().mean()

    # ------------------------------------------------------------------ looking

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Frechet distances of window statistics: generated and, as a null, training to held-out.

        The statistics are every latent's mean and spread over a window; small is good, and the
        null is as small as it gets. And how far each control is followed, as the listener hears it
        (`followed`); the null is what it hears in held-out music.
        """
        draw = torch.Generator().manual_seed(0)
        assert self.windows is not None, "prepare comes first"
        cache, corpus = self.windows.cache, self.blocks.corpus
        split = split_to_judge(cache, corpus, self.gan.window_frames)
        held_out, conditions = self._windows(draw, EVALUATED, split)
        train, _ = self._windows(draw, EVALUATED, "train")
        coordinates = training_coordinates(draw, EVALUATED, self.gan, conditions)
        generator = _played(state)
        noise = generator.draw_noise(draw, EVALUATED, self.gan.chunks_per_window)
        made = generator(coordinates, noise)
        spread = float(made.mean(-1).std(0).mean() / held_out.mean(-1).std(0).mean())
        figures = {
            "frechet": set_distance(_statistics(made), _statistics(held_out)),
            "frechet_null": set_distance(_statistics(train), _statistics(held_out)),
            "variety": spread,
        }
        if self.is_listening:
            listener = state.modules["listener"]
            for who, latents in (("", made), ("_null", held_out)):
                slopes = followed(listener(latents), conditions).tolist()
                names = [f"follows_{control}{who}" for control in self.gan.controls]
                figures |= dict(zip(names, slopes, strict=True))
        return figures

    def samples(self, state: TrainState) -> dict[str, Audio]:
        """Three pieces, and one held-out clip through the codec."""
        system = self._system(state)
        sounds = {
            f"seed-{seed}": system.generate(Request(seconds=HEARD_S, seed=seed))
            for seed in range(3)
        }
        assert self.windows is not None, "prepare comes first"
        wanted = round(HEARD_S * self.config.latent_rate_hz)
        frames, split = clip_to_hear(self.windows.cache, self.blocks.corpus, wanted)
        latents, _ = self.windows.draw(torch.Generator().manual_seed(1), frames, 1, split)
        real = self.codec.decode(latents)[0].numpy()
        return sounds | {"held-out": Audio(samples=real, sample_rate=self.config.sample_rate)}

    def _system(self, state: TrainState) -> Musika:
        return Musika(self.config, self.codec, _played(state), self.scales, self.typical)

    def export(self, state: TrainState, folder: Path) -> None:
        """Write component `generator`."""
        spread = self.codec.stereo_spread
        save_generator(folder, _played(state), self.scales, spread, self.typical)


def _played(state: TrainState) -> CoordinateGenerator:
    """The generator as it would be played: averaged."""
    return cast(CoordinateGenerator, state.best("generator"))


def _statistics(latents: Float[Tensor, "batch dim frames"]) -> Float[np.ndarray, "batch features"]:
    return torch.cat([latents.mean(-1), latents.std(-1)], 1).double().numpy()
