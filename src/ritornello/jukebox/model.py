"""A Jukebox as a whole: what is trained of it, its levels as codecs, its networks ready to step.

    autoencoders 0 .. n-1   codes of audio at every level, and audio again
    prior                   codes of level n-1
    upsamplers 0 .. n-2     codes of a level from those above, one after the other
    masked 0 .. n-2         the same in a few passes, where they were trained

Training goes from the autoencoders to the prior and down, and a model may be played before it ends.
"""

from collections.abc import Container, Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import torch

from ritornello.checkpoint import saved_config, whole_folder, write_checksums, write_config
from ritornello.config import to_dict
from ritornello.errors import CapabilityError, ConfigError
from ritornello.interfaces import Audio, System
from ritornello.jukebox.code_transformer import CodeModel
from ritornello.jukebox.codec import JukeboxCodec, component_name, load_vqvae, save_vqvae
from ritornello.jukebox.components import (
    PRIOR,
    load_masked,
    load_prior,
    load_upsampler,
    masked_name,
    save_masked,
    save_prior,
    save_upsampler,
    upsampler_name,
)
from ritornello.jukebox.config import JukeboxConfig
from ritornello.jukebox.masked import MaskedUpsampler
from ritornello.jukebox.masked_decoding import MaskedStepper
from ritornello.jukebox.prior import TopPrior
from ritornello.jukebox.prompt import mono_at
from ritornello.jukebox.saved import digest_of
from ritornello.jukebox.stepping import Stepper, WindowSampler, stepper_for
from ritornello.jukebox.upsampler import Upsampler
from ritornello.jukebox.vqvae import VqVae
from ritornello.jukebox.windows import Context, context_for

LAYER_STEP_S = 150e-6
MULTIPLICATION_S = 3.3e-10
"""What a plain step takes for every layer and every multiplication on one core; for forecasts."""


class JukeboxModel(System):
    """Trained autoencoders, a prior, and upsamplers; `generate.Jukebox` plays them.

    Args:
        config: Of all of it.
        vqvaes: By level; those that are trained.
        prior: Of the top level; None when it has not been trained.
        upsamplers: By the level that they make; those that are trained.
        masked: Those that fill a window in a few passes, likewise; None for none.
    """

    name: ClassVar[str] = "jukebox"
    channels = 1

    def __init__(
        self,
        config: JukeboxConfig,
        vqvaes: Mapping[int, VqVae],
        prior: TopPrior | None,
        upsamplers: Mapping[int, Upsampler],
        masked: Mapping[int, MaskedUpsampler] | None = None,
    ) -> None:
        self.config, self.vqvaes, self.upsamplers = config, dict(vqvaes), dict(upsamplers)
        self.masked = dict(masked or {})
        self._prior = prior
        self._steppers: dict[tuple[int, str], Stepper] = {}
        self.sample_rate = config.vqvae.sample_rate
        self.top = len(config.vqvae.levels) - 1

    @classmethod
    def load(cls, folder: Path) -> "JukeboxModel":
        """The model saved in `folder`, in float32, with what is trained of it."""
        config = saved_config(folder, cls.name, JukeboxConfig)
        levels = range(len(config.vqvae.levels))
        return cls(
            config,
            {
                level: load_vqvae(folder, level, config.vqvae.levels[level])
                for level in levels
                if (folder / component_name(level)).is_dir()
            },
            load_prior(folder, config) if (folder / PRIOR).is_dir() else None,
            {
                level: load_upsampler(folder, level, config)
                for level in levels[:-1]
                if (folder / upsampler_name(level)).is_dir()
            },
            {
                level: load_masked(folder, level, config)
                for level in levels[:-1]
                if (folder / masked_name(level)).is_dir()
            },
        )

    def save(self, folder: Path) -> None:
        """Write the model, weights in half precision."""
        with whole_folder(folder) as place:
            write_config(place, self.name, to_dict(self.config))
            for level, vqvae in self.vqvaes.items():
                save_vqvae(place, level, vqvae)
            if self._prior is not None:
                save_prior(place, self._prior)
            for level, upsampler in self.upsamplers.items():
                save_upsampler(place, level, upsampler)
            for level, upsampler in self.masked.items():
                save_masked(place, level, upsampler)
            write_checksums(place)

    # -------------------------------------------------------------- what is there

    @property
    def prior(self) -> TopPrior:
        """The top.

        Raises:
            CapabilityError: It has not been trained.
        """
        if self._prior is None:
            raise CapabilityError(
                "this model has autoencoders but no prior yet, so it makes no music: go on "
                "training it. It can reconstruct, encode and decode."
            )
        return self._prior

    @property
    def lowest(self) -> int:
        """The lowest level that codes can be made of one after the other, and decoded."""
        return self.lowest_by(self.upsamplers)

    def lowest_by(self, upsamplers: Container[int]) -> int:
        """The lowest level that can be made with upsamplers of these levels, and decoded."""
        level = self.top
        while level - 1 in upsamplers and level - 1 in self.vqvaes:
            level -= 1
        return level

    @property
    def codec(self) -> JukeboxCodec:
        """The lowest level that is trained."""
        return self.codec_at(min(self.vqvaes, default=0))

    def codec_at(self, level: int) -> JukeboxCodec:
        """One level as a codec; 0 has the lowest hop.

        Raises:
            ConfigError: There is no such level.
            CapabilityError: It has not been trained.
        """
        self.check_level(level)
        if level not in self.vqvaes:
            there = ", ".join(map(str, sorted(self.vqvaes))) or "none"
            raise CapabilityError(f"level {level} is not trained yet; trained are: {there}")
        return JukeboxCodec(self.vqvaes[level], self.sample_rate)

    def check_level(self, level: int) -> None:
        """Raise ConfigError unless the model has that level, trained or not."""
        if not 0 <= level <= self.top:
            there = ", ".join(map(str, range(self.top + 1)))
            raise ConfigError(f"level is {level}; this model has {there} (0 is nearest to audio)")

    def reconstruct(self, audio: Audio, level: int | None = None) -> Audio:
        """`audio`, mixed to mono, through one level (None: the lowest) and back."""
        codec = self.codec if level is None else self.codec_at(level)
        wave = torch.from_numpy(mono_at(audio, self.sample_rate))[None]
        again = codec.decode(codec.encode(wave), wave.shape[-1])
        return Audio(samples=again[0].numpy(), sample_rate=self.sample_rate)

    def hop_samples(self, level: int) -> int:
        """Samples per code of a level."""
        return self.config.vqvae.levels[level].hop_samples

    def ratio(self, level: int) -> int:
        """Codes of a level for one code of the level above."""
        return self.hop_samples(level + 1) // self.hop_samples(level)

    def context(self, level: int) -> Context:
        """How the windows of a level lie."""
        share = self.config.hops[level]
        if level == self.top:
            return context_for(self.config.prior.frames, share)
        return context_for(self.config.upsamplers[level].frames, share, self.ratio(level))

    # -------------------------------------------------------------- ready to step

    def stepper(self, level: int, precision: str, passes: int | None = None) -> WindowSampler:
        """What draws the codes of a level.

        Args:
            level: Of the codes.
            precision: Of steps that draw one code after the other.
            passes: In which masked upsamplers fill a window; None for steps at every level.
        """
        if passes is not None and level < self.top:
            return MaskedStepper(self.masked[level], passes)
        if (level, precision) not in self._steppers:
            model: CodeModel = self.prior if level == self.top else self.upsamplers[level]
            self._steppers[level, precision] = stepper_for(model, precision)
        return self._steppers[level, precision]

    def plain_seconds_per_second(self, level: int) -> float:
        """Forecast of the seconds that plain steps of a level need for a second of audio."""
        model = self.prior if level == self.top else self.upsamplers[level]
        trunk = model.transformer.trunk
        multiplications = sum(weights.numel() for weights in trunk.parameters())
        step_s = len(trunk.blocks) * LAYER_STEP_S + multiplications * MULTIPLICATION_S
        return step_s * self.sample_rate / self.hop_samples(level)

    # -------------------------------------------------------------- what identifies it

    @cached_property
    def codebooks(self) -> str:
        """Digest of the codebooks, which codes mean nothing without."""
        books = {
            component_name(level): vqvae.quantiser.codebook.vectors
            for level, vqvae in self.vqvaes.items()
        }
        return digest_of(books)

    @property
    def codebook_sizes(self) -> list[int]:
        """Codes that there are, by level."""
        return [level.codebook.codes for level in self.config.vqvae.levels]

    @cached_property
    def digest(self) -> str:
        """Of the weights that codes are drawn with."""
        weights = {
            f"{name}/{key}": value
            for name, part in [(PRIOR, self._prior), *self._named_upsamplers()]
            if part is not None
            for key, value in part.state_dict().items()
        }
        return digest_of(weights)

    def _named_upsamplers(self) -> list[tuple[str, Upsampler | MaskedUpsampler]]:
        plain = [(upsampler_name(level), one) for level, one in self.upsamplers.items()]
        return [*plain, *((masked_name(level), one) for level, one in self.masked.items())]
