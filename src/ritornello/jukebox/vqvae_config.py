"""What the three VQ-VAEs are made of, in numbers; needs neither torch nor numpy.

    LevelConfig    one autoencoder: rate changes, widths, depths, codebook
    LossConfig     what is lowered
    VqVaeConfig    the levels, which share nothing but the audio

Sizes are those of section 3 and appendix B of the paper where they are defaults.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from math import prod

from ritornello.config import require

NETWORKS = ("plain", "patched")


@dataclass(frozen=True, kw_only=True)
class CodebookConfig:
    """A codebook that follows its queries.

    Attributes:
        codes: Size of the codebook.
        dim: Width of a code.
        mu: Decay of the smoothed sums and counts; what a step adds has weight 1 - mu.
        revive_below: A code used less than this share of uniform use is placed on a random query.
            Deviation: the paper's threshold is one use per step, whatever the batch; a share means
            the same for every batch, and a revived code starts with uniform use, so that it has
            time to prove itself.
    """

    codes: int = 2048
    dim: int = 64
    mu: float = 0.99
    revive_below: float = 0.003

    def __post_init__(self) -> None:
        """Refuse impossible numbers."""
        require(self.codes >= 2, "codebook.codes", self.codes, "at least 2")
        require(self.dim >= 1, "codebook.dim", self.dim, "at least 1")
        require(0 <= self.mu < 1, "codebook.mu", self.mu, "0 <= mu < 1")
        shares = 0 <= self.revive_below < 1
        require(shares, "codebook.revive_below", self.revive_below, "0 to 1")


@dataclass(frozen=True, kw_only=True)
class LevelConfig:
    """One autoencoder with its codebook.

    Attributes:
        networks: "plain" (the paper's: stacks at every rate from half the samples' down) or
            "patched" (`front_end.py`: stacks at the rates between `factors` only).
        factors: By how much the rate falls, part after part; powers of two. Hops are products.
        width: Channels inside.
        depth: Blocks per residual stack.
        growth: Of the dilations, 1, growth, growth^2, ...; decoders go through them backwards.
        codebook: The bottleneck.
    """

    networks: str = "plain"
    factors: tuple[int, ...] = (8,)
    width: int = 32
    depth: int = 4
    growth: int = 3
    codebook: CodebookConfig = field(default_factory=CodebookConfig)

    def __post_init__(self) -> None:
        """Refuse unknown networks and impossible numbers."""
        require(self.networks in NETWORKS, "networks", self.networks, f"one of {NETWORKS}")
        powers = all(factor >= 2 and factor & (factor - 1) == 0 for factor in self.factors)
        require(bool(self.factors) and powers, "factors", self.factors, "powers of two from 2 up")
        for name in ("width", "depth", "growth"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")

    @property
    def hop_samples(self) -> int:
        """Samples per code."""
        return prod(self.factors)

    @property
    def dilations(self) -> tuple[int, ...]:
        """Of an encoder's residual stack; a decoder's is the other way round."""
        return tuple(self.growth**block for block in range(self.depth))


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """One short-time Fourier transform; lengths in samples.

    Attributes:
        n_fft: Of the transform; the window is filled up with zeros.
        hop: Between frames.
        window: Of the Hann window.
    """

    n_fft: int
    hop: int
    window: int

    def __post_init__(self) -> None:
        """Refuse windows that do not fit."""
        require(self.n_fft >= 2, "n_fft", self.n_fft, "at least 2")
        require(1 <= self.window <= self.n_fft, "window", self.window, f"1 to {self.n_fft}")
        require(1 <= self.hop <= self.window, "hop", self.hop, f"1 to {self.window}")


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of what every level lowers.

    Attributes:
        squared: Of the mean squared error over the variance of the music.
        largest: Of the same over the largest squared errors of each excerpt alone.
        largest_share: Which part of an excerpt these are.
        spectral: Of the distance of linear magnitudes, over the norm of the music's.
        resolutions: Of the spectral loss; it is the mean over them.
        reference: The transform whose norm the spectral loss is divided by.
        commitment: Of the distance of queries from their codes; beta in the paper.
        log_magnitude: Of the distance of magnitudes in nepers, at the same resolutions, against the
            hiss. Not in the paper: off unless it is given a weight.
    """

    squared: float = 1.0
    largest: float = 0.02
    largest_share: float = 2048 / 393_216
    spectral: float = 1.0
    resolutions: tuple[Resolution, ...] = (
        Resolution(n_fft=2048, hop=240, window=1200),
        Resolution(n_fft=1024, hop=120, window=600),
        Resolution(n_fft=512, hop=50, window=240),
    )
    reference: Resolution = field(
        default_factory=lambda: Resolution(n_fft=2048, hop=256, window=1536)
    )
    commitment: float = 0.02
    log_magnitude: float = 0.0

    def __post_init__(self) -> None:
        """Refuse negative weights and empty parts."""
        for name in ("squared", "largest", "spectral", "commitment", "log_magnitude"):
            require(getattr(self, name) >= 0, f"loss.{name}", getattr(self, name), "at least 0")
        share = 0 < self.largest_share <= 1
        require(share, "loss.largest_share", self.largest_share, "0 to 1")
        require(bool(self.resolutions), "loss.resolutions", self.resolutions, "at least one")


@dataclass(frozen=True, kw_only=True)
class VqVaeConfig:
    """Autoencoders of the same audio at different hops.

    Attributes:
        sample_rate: Samples per second; audio is mono.
        levels: Lowest hop first.
        loss: What each of them lowers.
    """

    sample_rate: int = 44_100
    levels: tuple[LevelConfig, ...] = (LevelConfig(),)
    loss: LossConfig = field(default_factory=LossConfig)

    def __post_init__(self) -> None:
        """Refuse levels whose codes do not nest."""
        require(self.sample_rate > 0, "sample_rate", self.sample_rate, "a positive number")
        require(bool(self.levels), "levels", self.levels, "at least one")
        hops = [level.hop_samples for level in self.levels]
        nested = all(above > below and not above % below for below, above in pairwise(hops))
        require(nested, "hops of the levels", hops, "each a larger multiple of the one before")
