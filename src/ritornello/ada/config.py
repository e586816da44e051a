"""What an ADA is made of, in numbers; needs neither torch nor numpy.

    AdaConfig      one autoencoder: encoder, quantiser, modulator, local model
    PriorConfig    one unconditional WaveNet, the top of a stack
    StackConfig    autoencoders from the audio up, and the prior above them

The appendix of the paper gives the sizes of every WaveNet; what it leaves open is said where it is
fixed.
"""

from dataclasses import dataclass, field
from math import prod

from ritornello.config import require

INPUTS = ("continuous", "one_hot")
QUANTISERS = ("vq", "amae", "softmax_amae")


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """How one level, or the prior, is trained.

    The paper states Adam, 500,000 steps of an ADA and 200,000 of an unconditional WaveNet, and
    averaged weights for evaluation; rate, batch, excerpt and decay are not in it.

    Attributes:
        share: Part of the time limit, relative to the other stages.
        steps: Steps without a time limit.
        batch: Excerpts per step.
        crop: Symbols in an excerpt; a multiple of the hop.
        learning_rate: Adam's rate at its highest.
        final_ratio: Rate at the end, relative to the highest; the fall is a cosine.
        warmup_steps: Steps over which the rate rises.
        clip_norm: Largest norm of the gradient.
        ema: Decay of the averaged weights (Polyak averaging).
        replaced: Share of the symbols a network hears of the past that are replaced at random.
            Deviation: not in the paper, whose networks have half a million steps. A local model
            that cannot trust its past learns to listen to the codes, and does not drift away from
            them when it hears what itself has drawn.
    """

    share: float = 1.0
    steps: int = 500_000
    batch: int = 8
    crop: int = 8192
    learning_rate: float = 2e-4
    final_ratio: float = 1.0
    warmup_steps: int = 200
    clip_norm: float = 1.0
    ema: float = 0.9999
    replaced: float = 0.0

    def __post_init__(self) -> None:
        """Refuse settings with which nothing is learnt."""
        for name in ("share", "steps", "batch", "crop", "learning_rate", "clip_norm"):
            require(getattr(self, name) > 0, name, getattr(self, name), "a positive number")
        require(0 <= self.ema < 1, "ema", self.ema, "0 <= ema < 1")
        require(0 <= self.final_ratio <= 1, "final_ratio", self.final_ratio, "0 to 1")
        require(0 <= self.replaced < 1, "replaced", self.replaced, "0 <= replaced < 1")


@dataclass(frozen=True, kw_only=True)
class WaveNetConfig:
    """One stack of gated blocks.

    Attributes:
        repetitions: How often the dilations 1, 2, 4, ... are gone through.
        layers: Dilations in one repetition.
        filter_size: Taps of every dilated convolution.
        residual: Width between blocks.
        inner: Width after the gate.
        skip: Width of the summed output. The paper does not say; 256 is what the NSynth WaveNet by
            some of the same authors has at the same sizes.
    """

    repetitions: int
    layers: int
    filter_size: int
    residual: int
    inner: int
    skip: int = 256

    def __post_init__(self) -> None:
        """Refuse empty stacks."""
        for name in ("repetitions", "layers", "filter_size", "residual", "inner", "skip"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")

    @property
    def dilations(self) -> tuple[int, ...]:
        """Of every block, in order."""
        return tuple(2**layer for _ in range(self.repetitions) for layer in range(self.layers))

    @property
    def receptive_field(self) -> int:
        """Steps that one output of a causal stack can see, itself included."""
        return 1 + (self.filter_size - 1) * sum(self.dilations)


@dataclass(frozen=True, kw_only=True)
class QuantiserConfig:
    """The discrete bottleneck.

    Attributes:
        kind: "vq" (section 3.1), "amae" (section 3.2: ReLU and divisive normalisation) or
            "softmax_amae" (the variant that the paper found worse).
        codes: Size of the codebook, k.
        dim: Size D of a VQ query; an argmax query has one value per code. The paper does not say.
        alpha: Update rate of the exponentially smoothed k-means.
        beta: Weight of the commitment loss: the mean over batch, frames and dim of ([q'] - q)^2.
        revive_below: A code used less than this share of uniform use is placed anew on a query.
            Deviation: the paper lets population based training replace collapsed models.
        nu: Weight of the diversity loss: the sum over codes of (k * mean query - 1)^2, or the sum
            of mean * log(mean) for the softmax variant.
    """

    kind: str = "vq"
    codes: int = 256
    dim: int = 64
    alpha: float = 1e-2
    beta: float = 0.25
    revive_below: float = 0.02
    nu: float = 0.1

    def __post_init__(self) -> None:
        """Refuse unknown kinds and impossible numbers."""
        require(self.kind in QUANTISERS, "quantiser.kind", self.kind, f"one of {QUANTISERS}")
        require(2 <= self.codes <= 2**16, "quantiser.codes", self.codes, "2 to 65536")
        require(self.dim >= 1, "quantiser.dim", self.dim, "at least 1")
        require(0 < self.alpha <= 1, "quantiser.alpha", self.alpha, "0 < alpha <= 1")
        for name in ("beta", "revive_below", "nu"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "at least 0")

    @property
    def query_dim(self) -> int:
        """Values in one query."""
        return self.dim if self.kind == "vq" else self.codes


@dataclass(frozen=True, kw_only=True)
class AdaConfig:
    """One autoregressive discrete autoencoder.

    Attributes:
        symbols: Size of the alphabet it reads and predicts: 256 of mu-law, or the codes below.
        encoder_input: "continuous" (evenly spaced scalars) or "one_hot" (an embedding per symbol).
        local_input: The same for the local model. The paper found that only the encoder's matters.
        hop: Symbols per code; queries are means over so many steps of the encoder's output.
        encoder: Centred stack at the symbols' rate.
        modulator: Centred stack at the codes' rate.
        local: Causal stack at the symbols' rate.
        quantiser: The bottleneck.
        training: How it is trained.
    """

    symbols: int = 256
    encoder_input: str = "continuous"
    local_input: str = "continuous"
    hop: int = 8
    encoder: WaveNetConfig = field(
        default_factory=lambda: WaveNetConfig(
            repetitions=2, layers=8, filter_size=3, residual=256, inner=256
        )
    )
    modulator: WaveNetConfig = field(
        default_factory=lambda: WaveNetConfig(
            repetitions=2, layers=8, filter_size=3, residual=256, inner=256
        )
    )
    local: WaveNetConfig = field(
        default_factory=lambda: WaveNetConfig(
            repetitions=4, layers=8, filter_size=2, residual=384, inner=64
        )
    )
    quantiser: QuantiserConfig = field(default_factory=QuantiserConfig)
    training: StageConfig = field(default_factory=StageConfig)

    def __post_init__(self) -> None:
        """Refuse unknown inputs and impossible numbers."""
        require(self.symbols >= 2, "symbols", self.symbols, "at least 2")
        require(self.hop >= 1, "hop", self.hop, "at least 1")
        for name in ("encoder_input", "local_input"):
            require(getattr(self, name) in INPUTS, name, getattr(self, name), f"one of {INPUTS}")
        whole = self.training.crop % self.hop == 0
        require(whole, "training.crop", self.training.crop, f"a multiple of the hop, {self.hop}")
        for name in ("encoder", "modulator"):
            odd = getattr(self, name).filter_size % 2 == 1
            require(odd, f"{name}.filter_size", getattr(self, name).filter_size, "an odd number")


@dataclass(frozen=True, kw_only=True)
class PriorConfig:
    """An unconditional WaveNet over symbols.

    Attributes:
        symbols: Size of the alphabet.
        input: "continuous" or "one_hot".
        network: The causal stack.
        training: How it is trained.
    """

    symbols: int = 256
    input: str = "one_hot"
    network: WaveNetConfig = field(
        default_factory=lambda: WaveNetConfig(
            repetitions=3, layers=10, filter_size=3, residual=512, inner=512
        )
    )
    training: StageConfig = field(default_factory=lambda: StageConfig(steps=200_000))

    def __post_init__(self) -> None:
        """Refuse unknown inputs."""
        require(self.symbols >= 2, "symbols", self.symbols, "at least 2")
        require(self.input in INPUTS, "input", self.input, f"one of {INPUTS}")


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """A whole model: autoencoders from the audio up, and the prior over the topmost codes.

    Attributes:
        sample_rate: Samples per second; audio is mono.
        levels: The autoencoders, lowest first; none for a plain WaveNet on audio.
        prior: The top.
        temperatures: Spread of the draws at which this model sounds best, level 1 first and the
            prior last; a request's own temperature multiplies them. () is 1 everywhere.
    """

    sample_rate: int = 16000
    levels: tuple[AdaConfig, ...] = ()
    prior: PriorConfig = field(default_factory=PriorConfig)
    temperatures: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse levels whose alphabets do not meet."""
        networks = len(self.levels) + 1
        fits = not self.temperatures or len(self.temperatures) == networks
        fits = fits and all(0 < temperature <= 4 for temperature in self.temperatures)
        require(fits, "temperatures", self.temperatures, f"{networks} numbers in (0, 4], or none")
        require(self.sample_rate > 0, "sample_rate", self.sample_rate, "a positive number")
        below = 256
        for index, level in enumerate(self.levels):
            name = f"levels[{index}].symbols"
            require(level.symbols == below, name, level.symbols, f"{below}, what lies below it")
            below = level.quantiser.codes
        require(self.prior.symbols == below, "prior.symbols", self.prior.symbols, f"{below}")

    @property
    def hop_samples(self) -> int:
        """Samples per step of the prior."""
        return prod(level.hop for level in self.levels)

    @property
    def receptive_field_samples(self) -> int:
        """What one step of the prior can look back on (table 3)."""
        return self.prior.network.receptive_field * self.hop_samples

    @property
    def receptive_field_ms(self) -> float:
        """The same in milliseconds."""
        return 1000 * self.receptive_field_samples / self.sample_rate
