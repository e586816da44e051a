"""Training the codec: level 1 on spectra, level 2 through the frozen level 1, then both sharpened.

The reference released neither code nor losses for this; the order follows what was found to work:
level 1 alone first, since a network that must compress in time and frequency at once learns no
pitch; level 2 judged by what the frozen level-1 decoder makes of its latents, since a distance of
latents alone stays at their mean; then the encoders are frozen for good, and both decoders are
sharpened against a spectrogram discriminator, because an absolute distance alone leaves them
blurred.

Axes: (batch, channels, time) waveforms, (rows, bins, frames) spectra with rows = batch * channels.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ritornello.audio.stft import StftConfig, stft
from ritornello.checkpoint import write_config
from ritornello.config import to_dict
from ritornello.interfaces import Audio, Stage
from ritornello.musika.autoencoder import LightLevel1Decoder, SlopeHeads
from ritornello.musika.codec import (
    MusikaCodec,
    build_level1,
    build_level2,
    level1_alone,
    load_level,
    magnitude_scale,
    save_level,
)
from ritornello.musika.config import MusikaConfig, StageConfig
from ritornello.musika.losses import (
    audible_error,
    magnitude_loss,
    phase_waveform_loss,
    slope_losses,
)
from ritornello.musika.model import hinge_critic_loss, hinge_generator_loss
from ritornello.musika.recordings import AudioBlocks, clip_to_hear, split_to_judge
from ritornello.nn.discriminator import SpectrogramDiscriminator, feature_distance
from ritornello.shapes import Waveform
from ritornello.training.optim import OptimConfig
from ritornello.training.state import TrainState

Losses = dict[str, Tensor]

PHASE_WEIGHT = 0.02
LATENT_WEIGHT = 0.05
LATENT_NOISE = 0.03
"""Spread of what is added to slow latents in training, so that near-by latents sound alike."""
EVALUATED = 32
HEARD_S = 8.0
GAIN_DB = (-8.0, 6.0)


class SpectraOfCrops:
    """Crops of the corpus and their spectra, as all codec stages draw them."""

    def __init__(self, config: MusikaConfig, stage: StageConfig, blocks: AudioBlocks) -> None:
        self.config, self.stage, self.blocks = config, stage, blocks
        self.stft = StftConfig(config.stft.n_fft, config.stft.hop_length)
        self.scale = magnitude_scale(config)
        self.reach = self.stft.context_frames
        self.frames = stage.crop_frames + 2 * self.reach

    def batch(self, draw: torch.Generator) -> Waveform:
        """Training waveforms at random gains: `crop_frames` and the STFT's reach around them."""
        wave = self.blocks.draw(draw, self.frames, self.stage.batch, "train")
        low, high = GAIN_DB
        gain_db = low + (high - low) * torch.rand(len(wave), 1, 1, generator=draw)
        return wave * 10 ** (gain_db / 20)

    def example(self, draw: torch.Generator) -> Waveform:
        """Noise of the same shape."""
        shape = (self.stage.batch, self.config.channels, self.frames * self.stft.hop_length)
        return 0.1 * torch.randn(shape, generator=draw)

    def held_out(self) -> Waveform:
        """The same held-out crops at every evaluation."""
        draw = torch.Generator().manual_seed(0)
        split = split_to_judge(self.blocks.cache, self.blocks.corpus, self.frames)
        return self.blocks.draw(draw, self.frames, EVALUATED, split)

    @torch.no_grad()
    def spectrum(self, wave: Waveform) -> Tensor:
        """Complex spectra (rows, bins, crop_frames) of the frames that lie inside `wave`."""
        return stft(wave.flatten(0, 1), self.stft)[..., self.reach : -self.reach]

    def listening(self, codec: MusikaCodec) -> dict[str, Audio]:
        """Two held-out clips, real and through `codec`."""
        wanted = round(HEARD_S * self.config.spectrogram_rate_hz)
        blocks, split = clip_to_hear(self.blocks.cache, self.blocks.corpus, wanted)
        wave = self.blocks.draw(torch.Generator().manual_seed(1), blocks, 2, split)
        decoded = codec.decode(codec.encode(wave), wave.shape[-1])
        rate = self.config.sample_rate
        return {
            f"{clip}-{name}": Audio(samples=samples.float().numpy(), sample_rate=rate)
            for clip, pair in enumerate(zip(wave, decoded, strict=True), start=1)
            for name, samples in zip(("real", "reconstructed"), pair, strict=True)
        }


def stage_optim(config: StageConfig, *modules: str, averaged: bool = True) -> OptimConfig:
    """The stage's Adam for `modules`."""
    return OptimConfig(
        modules=modules,
        lr=config.learning_rate,
        betas=config.betas,
        warmup_steps=config.warmup_steps,
        schedule="cosine",
        final_ratio=0.02,
        clip_norm=1.0,
        ema_decay=config.ema if averaged else None,
    )


def level(encoder: nn.Module, decoder: nn.Module) -> nn.ModuleDict:
    """Encoder and decoder as one component."""
    return nn.ModuleDict({"encoder": encoder, "decoder": decoder})


def detached(losses: Losses) -> Losses:
    """Losses for the log."""
    return {name: loss.detach() for name, loss in losses.items()}


class Level1Stage(Stage):
    """Level 1: spectra of one channel -> latents -> log magnitudes and phase."""

    name = "level1"

    def __init__(self, config: MusikaConfig, blocks: AudioBlocks) -> None:
        self.config = config
        self.crops = SpectraOfCrops(config, config.training.level1, blocks)
        self.share, self.steps = config.training.level1.share, 30000

    def prepare(self) -> None:
        """Fill the audio cache."""
        self.crops.blocks.fill()

    def build(self, init: torch.Generator) -> dict[str, nn.Module]:
        """Fresh encoder and decoder."""
        return dict(build_level1(self.config).items())

    def optimizers(self) -> dict[str, OptimConfig]:
        """One for both."""
        return {"codec": stage_optim(self.crops.stage, "encoder", "decoder")}

    def batch(self, draw: torch.Generator) -> Waveform:
        """Waveforms of one random channel each."""
        wave = self.crops.batch(draw)
        channel = torch.randint(wave.shape[1], (len(wave),), generator=draw)
        return wave[torch.arange(len(wave)), channel][:, None]

    def example(self, draw: torch.Generator) -> Waveform:
        """Noise of the same shape."""
        return self.crops.example(draw)[:, :1]

    def train_step(self, state: TrainState, batch: Waveform, draw: torch.Generator) -> Losses:
        """One step on magnitudes and phase together."""
        with state.autocast():
            losses, _ = self._losses(
                state.modules["encoder"], state.modules["decoder"], batch, draw
            )
        phase = torch.stack([loss for name, loss in losses.items() if "phase" in name]).sum()
        norm = state.update("codec", losses["magnitude"] + PHASE_WEIGHT * phase)
        return detached(losses) | {"norm": norm}

    def _losses(
        self, encoder: nn.Module, decoder: nn.Module, wave: Waveform, draw: torch.Generator
    ) -> tuple[Losses, tuple[Tensor, Tensor]]:
        """Losses by name, and decoded log magnitudes with the real ones."""
        spectrum = self.crops.spectrum(wave)
        real = self.crops.scale(spectrum)
        heads = decoder(encoder(real))
        losses = {"magnitude": magnitude_loss(heads[0], real)}
        losses |= phase_losses(heads, spectrum, real, self.crops, draw)
        return losses, (heads[0], real)

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Losses and the audible error in decibels on held-out crops."""
        wave, draw = self.crops.held_out()[:, :1], torch.Generator().manual_seed(0)
        losses, pair = self._losses(state.best("encoder"), state.best("decoder"), wave, draw)
        figures = {name: float(loss) for name, loss in losses.items()}
        error_db = float(audible_error(*pair)) * self.crops.scale.half_range_db
        return {"audible_error_db": error_db} | figures

    def samples(self, state: TrainState) -> dict[str, Audio]:
        """Held-out clips through level 1 alone."""
        level1 = level(state.best("encoder"), state.best("decoder"))
        return self.crops.listening(level1_alone(self.config, level1))

    def export(self, state: TrainState, folder: Path) -> None:
        """Write component `level1`."""
        write_config(folder, "musika", to_dict(self.config))
        level1 = level(state.best("encoder"), state.best("decoder"))
        save_level(folder, "level1", level1, self.config)


def phase_losses(
    heads: SlopeHeads | tuple[Tensor, Tensor],
    spectrum: Tensor,
    log_magnitude: Tensor,
    crops: SpectraOfCrops,
    draw: torch.Generator,
) -> Losses:
    """What the second head is judged by: slopes (light), or the waveform it gives (published)."""
    if isinstance(heads, SlopeHeads):
        advance, slope = slope_losses(heads, spectrum, log_magnitude, crops.stft)
        return {"phase_advance": advance, "phase_slope": slope}
    magnitude = crops.scale.magnitude(heads[0].float())
    turns = heads[1].float()
    return {"phase_waveform": phase_waveform_loss(magnitude, turns, spectrum, crops.stft, draw)}


def log_magnitude_head(decoder: nn.Module, level1: Tensor) -> Tensor:
    """The first head of any family's level-1 decoder, without the second where that is saved."""
    if isinstance(decoder, LightLevel1Decoder):
        return decoder.log_magnitude(level1)
    return decoder(level1)[0]


class Level2Stage(Stage):
    """Level 2 through the frozen level 1: latents of all channels -> slow latents and back."""

    name = "level2"

    def __init__(self, config: MusikaConfig, blocks: AudioBlocks, model: Path) -> None:
        self.config, self.model = config, model
        self.crops = SpectraOfCrops(config, config.training.level2, blocks)
        self.share, self.steps = config.training.level2.share, 30000
        self.codec = MusikaCodec.untrained(config)

    def prepare(self) -> None:
        """Fill the audio cache; take over the trained level 1."""
        self.crops.blocks.fill()
        load_level(self.model, "level1", self.codec.level1)

    def build(self, init: torch.Generator) -> dict[str, nn.Module]:
        """Fresh encoder and decoder."""
        return dict(build_level2(self.config).items())

    def optimizers(self) -> dict[str, OptimConfig]:
        """One for both."""
        return {"codec": stage_optim(self.crops.stage, "encoder", "decoder")}

    def batch(self, draw: torch.Generator) -> Waveform:
        """Waveforms of all channels."""
        return self.crops.batch(draw)

    def example(self, draw: torch.Generator) -> Waveform:
        """Noise of the same shape."""
        return self.crops.example(draw)

    def train_step(self, state: TrainState, batch: Waveform, draw: torch.Generator) -> Losses:
        """One step on what level 1 makes of the decoded latents, and on the latents themselves."""
        level2 = level(state.modules["encoder"], state.modules["decoder"])
        with state.autocast():
            losses, _ = self._losses(level2, batch, draw)
        norm = state.update("codec", losses["magnitude"] + LATENT_WEIGHT * losses["latent"])
        return detached(losses) | {"norm": norm}

    def _losses(
        self, level2: nn.ModuleDict, wave: Waveform, noise: torch.Generator | None
    ) -> tuple[Losses, tuple[Tensor, Tensor]]:
        """Losses by name, and decoded log magnitudes with the real ones."""
        codec = MusikaCodec(self.config, self.codec.level1, level2)
        real = self.crops.scale(self.crops.spectrum(wave))
        with torch.no_grad():
            wanted = codec.level1["encoder"](real)
        slow = codec.encode_level2(wanted, len(wave))
        if noise is not None:
            slow = slow + LATENT_NOISE * torch.randn(slow.shape, generator=noise)
        stated = codec.decode_level2(slow)
        decoded = log_magnitude_head(codec.level1["decoder"], stated)
        inner = inner_frames(self.crops.stage)
        losses = {
            "magnitude": magnitude_loss(decoded[..., inner], real[..., inner]),
            "latent": (stated - wanted)[..., inner].abs().float().mean(),
        }
        return losses, (decoded[..., inner], real[..., inner])

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Losses and the audible error in decibels on held-out crops."""
        level2 = level(state.best("encoder"), state.best("decoder"))
        losses, pair = self._losses(level2, self.crops.held_out(), None)
        figures = {name: float(loss) for name, loss in losses.items()}
        error_db = float(audible_error(*pair)) * self.crops.scale.half_range_db
        return {"audible_error_db": error_db} | figures

    def samples(self, state: TrainState) -> dict[str, Audio]:
        """Held-out clips through the whole codec."""
        level2 = level(state.best("encoder"), state.best("decoder"))
        return self.crops.listening(MusikaCodec(self.config, self.codec.level1, level2))

    def export(self, state: TrainState, folder: Path) -> None:
        """Write component `level2`."""
        level2 = level(state.best("encoder"), state.best("decoder"))
        save_level(folder, "level2", level2, self.config)


def inner_frames(stage: StageConfig) -> slice:
    """Frames of a crop away from its ends, where zero padding stands for music."""
    edge = min(8, stage.crop_frames // 8)
    return slice(edge, -edge)


class SharpenStage(Stage):
    """Both decoders against a spectrogram discriminator, with the encoders frozen."""

    name = "sharpen"

    def __init__(self, config: MusikaConfig, blocks: AudioBlocks, model: Path) -> None:
        self.config, self.model = config, model
        self.crops = SpectraOfCrops(config, config.training.sharpen, blocks)
        self.share, self.steps = config.training.sharpen.share, 20000
        self.codec = MusikaCodec.untrained(config)

    def prepare(self) -> None:
        """Fill the audio cache; take over the trained codec."""
        self.crops.blocks.fill()
        self.codec = MusikaCodec.load(self.model, self.config)

    def build(self, init: torch.Generator) -> dict[str, nn.Module]:
        """The decoders as trained so far, and a fresh discriminator."""
        adversary = self.config.training.adversary
        bins = min(adversary.bins, self.config.stft.bins)
        trained = MusikaCodec.untrained(self.config)
        for ours, theirs in (
            (trained.level1, self.codec.level1),
            (trained.level2, self.codec.level2),
        ):
            ours.load_state_dict(theirs.state_dict())
        return {
            "decoder1": trained.level1["decoder"],
            "decoder2": trained.level2["decoder"],
            "discriminator": SpectrogramDiscriminator(bins, adversary.width),
        }

    def optimizers(self) -> dict[str, OptimConfig]:
        """Two players."""
        return {
            "decoders": stage_optim(self.crops.stage, "decoder1", "decoder2"),
            "discriminator": stage_optim(self.crops.stage, "discriminator", averaged=False),
        }

    def batch(self, draw: torch.Generator) -> Waveform:
        """Waveforms of all channels."""
        return self.crops.batch(draw)

    def example(self, draw: torch.Generator) -> Waveform:
        """Noise of the same shape."""
        return self.crops.example(draw)

    def train_step(self, state: TrainState, batch: Waveform, draw: torch.Generator) -> Losses:
        """The discriminator on real and decoded spectra, then the decoders against it."""
        inner = inner_frames(self.crops.stage)
        spectrum = self.crops.spectrum(batch)
        real = self.crops.scale(spectrum)
        with state.autocast():
            slow = self._encoded(real, len(batch))
            slow = slow + LATENT_NOISE * torch.randn(slow.shape, generator=draw)
            heads = self._decoded(state.modules["decoder1"], state.modules["decoder2"], slow)
            losses = {"magnitude": magnitude_loss(heads[0][..., inner], real[..., inner])}
            losses |= phase_losses(heads, spectrum, real, self.crops, draw)
        phase = torch.stack([loss for name, loss in losses.items() if "phase" in name]).sum()
        total = losses["magnitude"] + PHASE_WEIGHT * phase
        weights = self.config.training.adversary
        if weights.weight or weights.feature_weight:
            judged = self._judged(state, real[..., inner], heads[0][..., inner])
            total = total + weights.weight * judged["adversarial"]
            total = total + weights.feature_weight * judged["features"]
            losses |= judged
        norm = state.update("decoders", total)
        return detached(losses) | {"norm": norm}

    def _judged(self, state: TrainState, real: Tensor, decoded: Tensor) -> Losses:
        """Teach the discriminator, then ask it."""
        discriminator = state.modules["discriminator"]
        with state.autocast():
            scores, _ = discriminator(real)
            hinge = hinge_critic_loss(scores, discriminator(decoded.detach())[0])
        state.update("discriminator", hinge)
        with state.autocast():
            scores, seen = discriminator(decoded)
            with torch.no_grad():
                _, wanted = discriminator(real)
        return {
            "adversarial": hinge_generator_loss(scores),
            "features": feature_distance(wanted, seen),
            "discriminator": hinge.detach(),
        }

    @torch.no_grad()
    def _encoded(self, log_magnitude: Tensor, batch: int) -> Float[Tensor, "batch dim frames"]:
        return self.codec.encode_level2(self.codec.level1["encoder"](log_magnitude), batch)

    def _decoded(
        self, decoder1: nn.Module, decoder2: nn.Module, slow: Tensor
    ) -> SlopeHeads | tuple[Tensor, Tensor]:
        codec = MusikaCodec(
            self.config,
            level(self.codec.level1["encoder"], decoder1),
            level(self.codec.level2["encoder"], decoder2),
        )
        return decoder1(codec.decode_level2(slow))

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Losses and the audible error in decibels on held-out crops."""
        wave, draw = self.crops.held_out(), torch.Generator().manual_seed(0)
        inner = inner_frames(self.crops.stage)
        spectrum = self.crops.spectrum(wave)
        real = self.crops.scale(spectrum)
        decoders = state.best("decoder1"), state.best("decoder2")
        heads = self._decoded(*decoders, self._encoded(real, len(wave)))
        losses = {"magnitude": magnitude_loss(heads[0][..., inner], real[..., inner])}
        losses |= phase_losses(heads, spectrum, real, self.crops, draw)
        error = audible_error(heads[0][..., inner], real[..., inner])
        figures = {name: float(loss) for name, loss in losses.items()}
        return {"audible_error_db": float(error) * self.crops.scale.half_range_db} | figures

    def samples(self, state: TrainState) -> dict[str, Audio]:
        """Held-out clips through the whole codec."""
        return self.crops.listening(self._codec(state))

    def _codec(self, state: TrainState) -> MusikaCodec:
        level1 = level(self.codec.level1["encoder"], state.best("decoder1"))
        level2 = level(self.codec.level2["encoder"], state.best("decoder2"))
        return MusikaCodec(self.config, level1, level2)

    def export(self, state: TrainState, folder: Path) -> None:
        """Write both components anew."""
        self._codec(state).save(folder)
