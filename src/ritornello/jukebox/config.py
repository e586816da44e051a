"""A whole Jukebox in numbers: autoencoders, prior, upsamplers, and how each is trained; torch-free.

    StageConfig      how one network is trained
    TrainingConfig   that of every stage, in the order they are trained
    JukeboxConfig    the whole model, with the names its labels may have

Parts are in `vqvae_config.py` and `prior_config.py`. Levels count from 0, the lowest hop; in the
names of settings sections count from 1, so `vqvae.levels.1` is level 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ritornello.config import require
from ritornello.jukebox.labels import UNKNOWN
from ritornello.jukebox.lyrics import ALPHABETS, vocabulary_of
from ritornello.jukebox.prior_config import MaskedConfig, PriorConfig, UpsamplerConfig
from ritornello.jukebox.vqvae_config import VqVaeConfig


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """How one network is trained.

    Attributes:
        batch: Excerpts per step.
        steps: When there is no time limit.
        share: Of the time limit, relative to the other stages.
        learning_rate: At its highest; Adam's.
        beta2: Decay of Adam's second moment.
        weight_decay: Of matrices and tables.
        warmup_steps: Over which the rate rises.
        schedule: How it falls, to `final_ratio` of itself: "linear" (the paper's) or "cosine".
        final_ratio: What is left of it at the end.
        clip_norm: Largest norm of a gradient.
        ema: Decay of the averaged weights, which are what is judged and kept.
    """

    batch: int = 8
    steps: int = 10_000
    share: float = 1.0
    learning_rate: float = 3e-4
    beta2: float = 0.999
    weight_decay: float = 0.0
    warmup_steps: int = 100
    schedule: str = "linear"
    final_ratio: float = 0.0
    clip_norm: float = 1.0
    ema: float = 0.999

    def __post_init__(self) -> None:
        """Refuse impossible numbers."""
        for name in ("batch", "steps", "share", "learning_rate", "clip_norm"):
            require(getattr(self, name) > 0, name, getattr(self, name), "a positive number")
        require(self.warmup_steps >= 0, "warmup_steps", self.warmup_steps, "at least 0")
        require(0 <= self.ema < 1, "ema", self.ema, "0 <= ema < 1")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Of every stage.

    Attributes:
        vqvaes: Of each autoencoder, lowest hop first.
        decoders: Of each decoder once its codes are fixed, lowest hop first; () for none of it.
        decoder_log_magnitude: Weight that these give to the distance of magnitudes in nepers, in
            place of `LossConfig`'s; the other weights are the same.
        prior: Of the prior.
        upsamplers: Of each upsampler, lowest hop first.
        excerpt: Samples of an excerpt that autoencoders are trained on; a multiple of every hop.
    """

    vqvaes: tuple[StageConfig, ...]
    prior: StageConfig
    upsamplers: tuple[StageConfig, ...]
    decoders: tuple[StageConfig, ...] = ()
    decoder_log_magnitude: float = 0.3
    excerpt: int = 393_216

    def __post_init__(self) -> None:
        """Refuse empty excerpts and negative weights."""
        require(self.excerpt >= 1, "training.excerpt", self.excerpt, "at least 1")
        weight = self.decoder_log_magnitude
        require(weight >= 0, "training.decoder_log_magnitude", weight, "at least 0")


@dataclass(frozen=True, kw_only=True)
class JukeboxConfig:
    """A model: levels 0 .. n-1 of codes, a prior of the topmost, an upsampler for each below.

    Attributes:
        vqvae: Autoencoders of all levels.
        prior: Of the codes of the topmost level.
        upsamplers: Of the others, lowest hop first.
        masked: Upsamplers of the same levels that fill a window in a few passes, each trained as
            the other of its level; None where there is none, () for none at all.
        artists: Names of the artists' rows; row 0 is "unknown". Training fills them in.
        genres: Names of the genres' rows, likewise.
        alphabet: How lyrics are spelt: "bytes" of UTF-8, or the paper's "characters", of which
            its model of 1 billion parameters has "characters_1b".
        hops: How far a window moves on from one to the next at every level, lowest first, as a
            share of its context.
        temperatures: Spread of the draws at every level, lowest first; the paper's is 0.99.
        plays: The lowest level that is played unless another is asked for: higher than 0 as long as
            a model sounds better before its upsamplers than after them.
        training: How each network is trained.
    """

    vqvae: VqVaeConfig
    prior: PriorConfig
    upsamplers: tuple[UpsamplerConfig, ...]
    masked: tuple[MaskedConfig | None, ...] = ()
    artists: tuple[str, ...] = (UNKNOWN,)
    genres: tuple[str, ...] = (UNKNOWN,)
    alphabet: str = "bytes"
    hops: tuple[float, ...] = (0.5, 0.5, 0.125)
    temperatures: tuple[float, ...] = (0.99, 0.99, 0.99)
    plays: int = 0
    training: TrainingConfig = field(kw_only=True)

    def __post_init__(self) -> None:
        """Refuse parts that do not fit together."""
        levels = self.vqvae.levels
        count = len(levels)
        lower = count - 1
        require(len(self.upsamplers) == lower, "upsamplers", len(self.upsamplers), f"{lower}")
        for name in ("hops", "temperatures"):
            require(
                len(getattr(self, name)) == count, name, getattr(self, name), f"{count} of them"
            )
        for hop in self.hops:
            require(0 < hop <= 1, "hops", hop, "0 < hop <= 1")
        for temperature in self.temperatures:
            require(temperature > 0, "temperatures", temperature, "positive numbers")
        require(0 <= self.plays < count, "plays", self.plays, f"0 to {lower}")
        trained = (len(self.training.vqvaes), len(self.training.upsamplers))
        require(trained == (count, lower), "training", trained, f"of {count} levels, {lower} below")
        polished = len(self.training.decoders)
        require(polished in (0, count), "training.decoders", polished, f"0 or {count}")
        top, excerpt = levels[-1], self.training.excerpt
        fits = excerpt % top.hop_samples == 0
        require(fits, "training.excerpt", excerpt, f"a multiple of {top.hop_samples}")
        codes = top.codebook.codes
        require(self.prior.codes == codes, "prior.codes", self.prior.codes, f"{codes}")
        rate = self.vqvae.sample_rate / top.hop_samples
        same = abs(self.prior.frame_rate_hz - rate) < 1e-6 * rate
        require(same, "prior.frame_rate_hz", self.prior.frame_rate_hz, f"{rate:g}")
        self._refuse_other_levels("upsampler", self.upsamplers)
        require(len(self.masked) in (0, lower), "masked", len(self.masked), f"0 or {lower}")
        self._refuse_other_levels("masked", self.masked)
        for level, masked in enumerate(self.masked):
            wanted = self.upsamplers[level].frames  # so windows lie alike, whoever fills them
            frames = wanted if masked is None else masked.frames
            require(frames == wanted, f"context of masked {level}", frames, f"{wanted}")
        require(self.alphabet in ALPHABETS, "alphabet", self.alphabet, f"one of {tuple(ALPHABETS)}")
        if self.prior.lyrics is not None:
            # Tokens beyond the table would fail late, or be read as codes of the music.
            symbols, spelt = self.prior.lyrics.symbols, vocabulary_of(self.alphabet).symbols
            wanted = f"at least {spelt}, as many as the alphabet {self.alphabet!r} has"
            require(symbols >= spelt, "prior.lyrics.symbols", symbols, wanted)
        for name, table in (("artists", self.artists), ("genres", self.genres)):
            rows = getattr(self.prior.labels, name)
            fit = 1 <= len(table) <= rows and table[0] == UNKNOWN
            require(fit, name, table, f"1 to {rows} names, the first {UNKNOWN!r}")

    def _refuse_other_levels(
        self, name: str, upsamplers: Sequence[UpsamplerConfig | MaskedConfig | None]
    ) -> None:
        """Refuse upsamplers whose codes or rates are not those of their levels."""
        levels = self.vqvae.levels
        for level, upsampler in enumerate(upsamplers):
            if upsampler is None:
                continue
            wanted = (levels[level].codebook.codes, levels[level + 1].codebook.codes)
            codes = (upsampler.codes, upsampler.codes_above)
            require(codes == wanted, f"codes of {name} {level}", codes, f"{wanted}")
            ratio = levels[level + 1].hop_samples // levels[level].hop_samples
            got_ratio = upsampler.conditioner.ratio
            require(got_ratio == ratio, f"ratio of {name} {level}", got_ratio, f"{ratio}")
