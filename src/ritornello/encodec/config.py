"""What an EnCodec is made of and how it is trained; needs neither torch nor numpy."""

from dataclasses import dataclass, field
from math import log2, prod

from ritornello.config import require


@dataclass(frozen=True, kw_only=True)
class EncodecConfig:
    """The codec: SEANet encoder, residual quantiser, SEANet decoder (section 3.1, 3.2).

    Attributes:
        sample_rate: Samples per second.
        channels: Of the audio.
        filters: Channels of the outermost convolution; every change of rate doubles them.
        ratios: Rates of the decoder's upsampling layers, first to last; the encoder has their
            mirror image.
        front: Samples per step of the outermost convolutions; 1 as published. Above, no layer runs
            at the sample rate, which is what costs most on processors.
        dim: Width of what is quantised, as the encoder gives it.
        code_dim: Width of the codes; None for `dim`, as published.
        residual_layers: Residual blocks at every rate.
        dilation_growth: Factor of the dilation from one block to the next.
        compress: Factor by which a block's inner convolution is narrower.
        kernel: Taps of the first and the last convolution.
        residual_kernel: Taps of the blocks' first convolution.
        lstm_layers: Of the recurrent network at the frame rate; 0 for none.
        padding: What stands beyond the ends: "constant" (silence) or "reflect".
        codebooks: Levels of the residual quantiser.
        steady_codebooks: The first so many hear magnitudes (`split.py`); 0 as published.
        steady_windows: Samples of the spectra that they hear.
        codebook_size: Codes of each; a power of two.
        ema_decay: How slowly codes follow their queries.
        revive_below: Use below which a code is placed anew, as a fraction of uniform use.
    """

    sample_rate: int = 16_000
    channels: int = 1
    filters: int = 64
    ratios: tuple[int, ...] = (8, 5)
    front: int = 8
    dim: int = 128
    code_dim: int | None = 32
    residual_layers: int = 3
    dilation_growth: int = 3
    compress: int = 2
    kernel: int = 7
    residual_kernel: int = 3
    lstm_layers: int = 0
    padding: str = "constant"
    codebooks: int = 4
    steady_codebooks: int = 0
    steady_windows: tuple[int, ...] = (2048, 512)
    codebook_size: int = 512
    ema_decay: float = 0.95
    revive_below: float = 0.1

    def __post_init__(self) -> None:
        """Refuse sizes that make no codec."""
        for name in ("sample_rate", "channels", "filters", "front", "dim", "codebooks", "compress"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        require(len(self.ratios) > 0 and min(self.ratios) >= 2, "ratios", self.ratios, "2 or more")
        require(self.code_dim is None or self.code_dim >= 1, "code_dim", self.code_dim, "1 or more")
        require(self.residual_layers >= 0, "residual_layers", self.residual_layers, "at least 0")
        require(self.lstm_layers >= 0, "lstm_layers", self.lstm_layers, "at least 0")
        require(
            0 <= self.steady_codebooks <= self.codebooks,
            "steady_codebooks",
            self.steady_codebooks,
            "0 to codebooks",
        )
        if self.steady_codebooks:
            shortest = min(self.steady_windows, default=0)
            require(
                shortest >= self.hop_samples, "steady_windows", shortest, "a hop's samples or more"
            )
        size = self.codebook_size
        require(size >= 2 and size & (size - 1) == 0, "codebook_size", size, "a power of two")
        require(
            self.padding in ("constant", "reflect"), "padding", self.padding, "constant, reflect"
        )
        require(0 < self.ema_decay < 1, "ema_decay", self.ema_decay, "between 0 and 1")
        require(
            self.filters % self.compress == 0, "filters", self.filters, "a multiple of compress"
        )
        for kernel in (self.kernel, self.residual_kernel):
            require(kernel % 2 == 1, "kernel, residual_kernel", kernel, "odd")

    @property
    def hop_samples(self) -> int:
        """Samples of a frame."""
        return self.front * prod(self.ratios)

    @property
    def frame_rate_hz(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_samples

    @property
    def bits_per_second(self) -> float:
        """Of all codebooks together."""
        return self.codebooks * log2(self.codebook_size) * self.frame_rate_hz

    @property
    def width(self) -> int:
        """Channels at the frame rate."""
        return self.filters * 2 ** len(self.ratios)


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Of the terms of section 3.4, with `Deviation`: fixed weights instead of a balancer.

    Attributes:
        time: Absolute error of samples.
        magnitude: Distance of linear magnitudes, relative to the music's, at several resolutions.
        frequency: Distance of mel spectra at several resolutions.
        commitment: Distance of queries from their codes.
        adversarial: Of being told from real music.
        features: Distance of what the discriminators see.
        adversarial_from: Share of the steps after which the discriminators join.
    """

    time: float = 1.0
    magnitude: float = 2.0
    frequency: float = 0.5
    commitment: float = 0.25
    adversarial: float = 0.05
    features: float = 0.2
    adversarial_from: float = 0.5


@dataclass(frozen=True, kw_only=True)
class CodecTrainingConfig:
    """How the codec is trained.

    Attributes:
        batch: Excerpts of a step.
        excerpt_s: Their length.
        partial: Share of them that are decoded from fewer levels, so that the first ones make sense
            without the others (section 3.2, on the choice of bandwidth).
        steps: Without a time limit.
        share: Of a chain's time.
        learning_rate: Peak of both players'.
        warmup_steps: Steps up to it.
        ema: Decay of the averaged weights that are kept.
        discriminator_width: Channels of the discriminators' first layer; 0 for none.
        windows: Of the discriminators' spectra.
        mel_windows: Of the spectra that are compared.
        weights: Of the losses.
    """

    batch: int = 8
    excerpt_s: float = 1.0
    partial: float = 0.3
    steps: int = 20_000
    share: float = 1.0
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    ema: float = 0.99
    discriminator_width: int = 12
    windows: tuple[int, ...] = (1024, 256)
    mel_windows: tuple[int, ...] = (2048, 1024, 512, 256, 128)
    weights: LossWeights = field(default_factory=LossWeights)

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        require(self.batch >= 1, "batch", self.batch, "at least 1")
        require(self.excerpt_s > 0, "excerpt_s", self.excerpt_s, "a positive number")
        require(0 <= self.partial <= 1, "partial", self.partial, "between 0 and 1")
        require(
            self.discriminator_width >= 0, "discriminator_width", self.discriminator_width, "0+"
        )


@dataclass(frozen=True, kw_only=True)
class EncodecSystemConfig:
    """The codec as a system of its own."""

    codec: EncodecConfig = field(default_factory=EncodecConfig)
    training: CodecTrainingConfig = field(default_factory=CodecTrainingConfig)
