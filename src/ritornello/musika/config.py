"""Everything that fixes a Musika model, as frozen dataclasses; no torch, so that help stays fast.

A model is two autoencoder levels and a GAN on latent coordinates. Rates follow from the STFT hop
and the reduction of level 2; nothing that can be derived is stored.
"""

from dataclasses import dataclass, field

from ritornello.config import require

FAMILIES = ("light", "paper", "release")
CROPS = ("phases", "any")
PENALTIES = ("adaptive_r1", "unit_gradient")


def _is_power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


@dataclass(frozen=True, kw_only=True)
class StftConfig:
    """Short-time Fourier transform with a Hann window of `n_fft` samples.

    Attributes:
        n_fft: Window and transform length in samples.
        hop_length: Samples between neighbouring spectra.
    """

    n_fft: int = 2048
    hop_length: int = 512

    def __post_init__(self) -> None:
        """Refuse what the inverse transform cannot undo."""
        require(_is_power_of_two(self.n_fft), "n_fft", self.n_fft, "a power of two")
        require(
            self.hop_length > 0 and self.n_fft % self.hop_length == 0,
            "hop_length",
            self.hop_length,
            f"a divisor of n_fft ({self.n_fft})",
        )

    @property
    def bins(self) -> int:
        """Frequency bins of one spectrum."""
        return self.n_fft // 2 + 1


@dataclass(frozen=True, kw_only=True)
class Level1Config:
    """Level 1: log magnitudes of one channel <-> latents at the spectrogram's rate.

    Attributes:
        latent_dim: Latent features per frame and channel.
        encoder_width: Width of the frame-wise encoder (light family).
        encoder_layers: Hidden layers of the encoder (light family).
        decoder_width: Width of the convolutional decoder (light family).
        decoder_layers: Residual layers of the decoder (light family).
        phase_bins: Bins whose phase slopes are predicted (light family); above, they are 0.
        phase_passes: Griffin-Lim passes that refine the phases when playing (light family).
    """

    latent_dim: int = 64
    encoder_width: int = 384
    encoder_layers: int = 2
    decoder_width: int = 320
    decoder_layers: int = 3
    phase_bins: int = 512
    phase_passes: int = 2


@dataclass(frozen=True, kw_only=True)
class Level2Config:
    """Level 2: level-1 latents <-> the slow latents that the GAN generates.

    Attributes:
        latent_dim: Latent features per slow frame: of all channels together when `joint`, of one
            channel otherwise.
        joint: Whether the channels are encoded together. Deviation when true: the paper encodes
            left and right apart and concatenates their latents.
        ratio: Level-1 frames per slow frame.
        width: Width of encoder and decoder (light family).
        layers: Residual layers per resolution (light family).
    """

    latent_dim: int = 64
    joint: bool = True
    ratio: int = 4
    width: int = 320
    layers: int = 1

    def __post_init__(self) -> None:
        """Refuse reductions that strided layers cannot make."""
        require(_is_power_of_two(self.ratio), "level2.ratio", self.ratio, "a power of two")


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """Sizes of a generator.

    Attributes:
        coordinate_channels: Channels steering it: anchors' interpolation, style, conditions.
        latent_dim: Channels of what it generates.
        chunk_frames: Frames generated independently of all others; a power of two >= 8.
        base_channels: Unit of width; even, because pixel shuffle halves widths.
    """

    coordinate_channels: int = 128
    latent_dim: int = 128
    chunk_frames: int = 128
    base_channels: int = 128

    def __post_init__(self) -> None:
        """Refuse sizes the pyramid of resolutions cannot have."""
        require(
            _is_power_of_two(self.chunk_frames) and self.chunk_frames >= 8,
            "chunk_frames",
            self.chunk_frames,
            "a power of two >= 8",
        )
        require(
            self.base_channels > 0 and self.base_channels % 2 == 0,
            "base_channels",
            self.base_channels,
            "a positive even number",
        )

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths at 4, 8, ... `chunk_frames` steps: every doubling in time costs one base width."""
        levels = self.chunk_frames.bit_length() - 2
        return tuple(self.base_channels * unit for unit in range(levels + 1, 1, -1))


@dataclass(frozen=True, kw_only=True)
class CriticConfig:
    """Sizes of a critic.

    Attributes:
        latent_dim: Channels of the latents it judges.
        condition_channels: Channels of the conditions it sees beside them.
        window_frames: Frames it judges at once; a power of two >= 16.
        base_channels: Unit of width.
    """

    latent_dim: int = 128
    condition_channels: int = 0
    window_frames: int = 256
    base_channels: int = 128

    def __post_init__(self) -> None:
        """Refuse windows that do not halve down to four frames."""
        require(
            _is_power_of_two(self.window_frames) and self.window_frames >= 16,
            "window_frames",
            self.window_frames,
            "a power of two >= 16",
        )

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths after each halving in time down to 4 frames: 3, 4, 5, 6, 7, 7 ... base widths."""
        halvings = self.window_frames.bit_length() - 3
        return tuple(self.base_channels * min(3 + index, 7) for index in range(halvings))


@dataclass(frozen=True, kw_only=True)
class GanConfig:
    """The GAN on latent coordinates.

    Attributes:
        style_dim: Size of the style vector, one per piece.
        coordinate_dim: Size of an anchor.
        chunk_frames: Latent frames generated independently of all others.
        chunks_per_window: Chunks the critic judges glued together.
        chunks_per_anchor: Chunks between neighbouring anchors.
        base_channels: Unit of width of generator and critic.
        controls: Names of the measured curves that steer the music; each takes two channels,
            value * present and present.
        condition_dropout: Probability that a control is hidden from a training example.
        morph_fraction: Part of the training examples whose style changes on the way.
        crop: Where training windows begin between anchors: "phases" (only where chunks begin) or
            "any" (at every frame).
        penalty: The critic's gradient penalty: "adaptive_r1" or "unit_gradient".
        penalty_weight: Its (largest) weight.
        penalty_speed: Change of the adaptive penalty's scale per step.
        penalty_every: Steps between penalties, each then weighted as much more. Deviation when not
            1: the reference computes it at every step; every fourth is as good and cheaper.
        reconstruction_weight: Weight of the paper critic's reconstruction of real latents.
        control_weight: Weight, in the generator's loss, of how far the controls heard in its
            latents are from those asked for; 0 trains no listener.
    """

    style_dim: int = 64
    coordinate_dim: int = 64
    chunk_frames: int = 64
    chunks_per_window: int = 2
    chunks_per_anchor: int = 1
    base_channels: int = 64
    controls: tuple[str, ...] = ("density", "loudness")
    condition_dropout: float = 0.3
    morph_fraction: float = 0.25
    crop: str = "phases"
    penalty: str = "adaptive_r1"
    penalty_weight: float = 10.0
    penalty_speed: float = 1e-3
    penalty_every: int = 4
    reconstruction_weight: float = 0.0
    control_weight: float = 2.0

    def __post_init__(self) -> None:
        """Refuse unknown choices and impossible numbers."""
        require(self.crop in CROPS, "gan.crop", self.crop, f"one of {CROPS}")
        require(self.penalty in PENALTIES, "gan.penalty", self.penalty, f"one of {PENALTIES}")
        require(
            0 <= self.condition_dropout < 1,
            "gan.condition_dropout",
            self.condition_dropout,
            "0 <= condition_dropout < 1",
        )
        require(
            0 <= self.morph_fraction <= 1,
            "gan.morph_fraction",
            self.morph_fraction,
            "0 <= morph_fraction <= 1",
        )
        for name in ("chunks_per_window", "chunks_per_anchor", "coordinate_dim", "penalty_every"):
            require(getattr(self, name) >= 1, f"gan.{name}", getattr(self, name), "at least 1")

    @property
    def condition_channels(self) -> int:
        """Channels that carry the controls."""
        return 2 * len(self.controls)

    @property
    def coordinate_channels(self) -> int:
        """Channels that steer the generator: [coordinates, style, conditions]."""
        return self.coordinate_dim + self.style_dim + self.condition_channels

    @property
    def window_frames(self) -> int:
        """Latent frames the critic judges at once."""
        return self.chunk_frames * self.chunks_per_window

    @property
    def anchor_frames(self) -> int:
        """Latent frames between neighbouring anchors."""
        return self.chunk_frames * self.chunks_per_anchor


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """How one stage is trained.

    Attributes:
        share: Its part of the time limit, relative to the other stages.
        batch: Examples per step.
        crop_frames: Length of a training example in the stage's own input frames.
        learning_rate: Adam's rate at its highest.
        betas: Adam's decay rates.
        warmup_steps: Steps over which the rate rises.
        ema: Decay of the averaged weights.
        final_ratio: Learning rate at the end, relative to the highest (GAN stage).
    """

    share: float
    batch: int
    crop_frames: int
    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.99)
    warmup_steps: int = 100
    ema: float = 0.999
    final_ratio: float = 0.2

    def __post_init__(self) -> None:
        """Refuse settings with which nothing is learnt."""
        for name in ("share", "batch", "crop_frames", "learning_rate"):
            require(getattr(self, name) > 0, name, getattr(self, name), "a positive number")
        require(0 <= self.ema < 1, "ema", self.ema, "0 <= ema < 1")


@dataclass(frozen=True, kw_only=True)
class AdversaryConfig:
    """The spectrogram discriminator that sharpens the decoders, and what its word is worth.

    With both weights 0 there is none, and the decoders are only trained on together.

    Attributes:
        bins: Lowest bins it looks at.
        width: Channels of its first layer.
        weight: Weight of its hinge loss for the decoders.
        feature_weight: Weight of the distance between what its layers see.
    """

    bins: int = 512
    width: int = 24
    weight: float = 0.005
    feature_weight: float = 0.02


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The chain of stages, bottom to top."""

    level1: StageConfig = StageConfig(share=0.2, batch=16, crop_frames=32, learning_rate=1e-3)
    level2: StageConfig = StageConfig(share=0.2, batch=8, crop_frames=96, learning_rate=1e-3)
    sharpen: StageConfig = StageConfig(
        share=0.15, batch=8, crop_frames=64, learning_rate=5e-4, betas=(0.5, 0.9)
    )
    adversary: AdversaryConfig = AdversaryConfig(weight=0.0, feature_weight=0.0)
    gan: StageConfig = StageConfig(
        share=0.5, batch=16, crop_frames=128, learning_rate=2e-4, betas=(0.5, 0.99)
    )


@dataclass(frozen=True, kw_only=True)
class MusikaConfig:
    """A whole Musika model.

    Attributes:
        sample_rate: Samples per second per channel.
        channels: Audio channels, 1 or 2.
        stft: The spectrogram under level 1.
        level1: First autoencoder.
        level2: Second autoencoder.
        gan: Generator and critic.
        training: How the stages are trained.
        family: Which networks: "light" (this project's own autoencoders under the release's GAN),
            "paper" (22.05 kHz) or "release" (44.1 kHz) as published.
    """

    sample_rate: int = 44100
    channels: int = 2
    stft: StftConfig = field(default_factory=StftConfig)
    level1: Level1Config = field(default_factory=Level1Config)
    level2: Level2Config = field(default_factory=Level2Config)
    gan: GanConfig = field(default_factory=GanConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    family: str = "light"

    def __post_init__(self) -> None:
        """Refuse what the parts allow one by one but not together."""
        require(self.family in FAMILIES, "family", self.family, f"one of {FAMILIES}")
        require(self.channels in (1, 2), "channels", self.channels, "1 or 2")
        require(self.sample_rate > 0, "sample_rate", self.sample_rate, "a positive number")
        _ = self.generator, self.critic

    @property
    def latent_dim(self) -> int:
        """Channels of the latents the GAN generates."""
        return self.level2.latent_dim * (1 if self.level2.joint else self.channels)

    @property
    def hop_samples(self) -> int:
        """Audio samples per latent frame."""
        return self.stft.hop_length * self.level2.ratio

    @property
    def latent_rate_hz(self) -> float:
        """Latent frames per second."""
        return self.sample_rate / self.hop_samples

    @property
    def spectrogram_rate_hz(self) -> float:
        """Spectra, and level-1 latents, per second."""
        return self.sample_rate / self.stft.hop_length

    @property
    def chunk_s(self) -> float:
        """Seconds of one independently generated chunk."""
        return self.gan.chunk_frames / self.latent_rate_hz

    @property
    def generator(self) -> GeneratorConfig:
        """Sizes of the generator."""
        return GeneratorConfig(
            coordinate_channels=self.gan.coordinate_channels,
            latent_dim=self.latent_dim,
            chunk_frames=self.gan.chunk_frames,
            base_channels=self.gan.base_channels,
        )

    @property
    def critic(self) -> CriticConfig:
        """Sizes of the critic."""
        return CriticConfig(
            latent_dim=self.latent_dim,
            condition_channels=self.gan.condition_channels,
            window_frames=self.gan.window_frames,
            base_channels=self.gan.base_channels,
        )
