"""Named sizes of the codec; needs neither torch nor numpy.

nano     for tests: seconds
small    16 kHz, 50 frames a second, 4 x 512 codes, 1.8 kbit/s: two processor cores, half an hour
base     32 kHz, 4 x 1024 codes: a GPU
paper    the 32 kHz model that MusicGen and StemGen speak: 56.9 million parameters
"""

from collections.abc import Callable
from dataclasses import replace

from ritornello.encodec.config import (
    CodecTrainingConfig,
    EncodecConfig,
    EncodecSystemConfig,
    LossWeights,
)


def nano_codec() -> EncodecConfig:
    """50 Hz at 1.6 kHz, for tests."""
    return EncodecConfig(
        sample_rate=1600,
        filters=4,
        ratios=(4, 2),
        front=4,
        residual_layers=1,
        dim=8,
        code_dim=4,
        kernel=3,
        codebooks=2,
        steady_codebooks=1,
        steady_windows=(64, 32),
        codebook_size=16,
    )


def small_codec() -> EncodecConfig:
    """No recurrence, so that chunks equal the whole by construction.

    That of `stemgen-band` has its first two codebooks alone: the others said next to nothing.
    """
    return EncodecConfig(steady_codebooks=2)


def base_codec() -> EncodecConfig:
    """32 kHz with half the published width."""
    return replace(paper_codec(), filters=32, codebook_size=1024, code_dim=32)


def paper_codec() -> EncodecConfig:
    """As published for 32 kHz music."""
    return EncodecConfig(
        sample_rate=32_000,
        filters=64,
        ratios=(8, 5, 4, 4),
        front=1,
        residual_layers=1,
        dilation_growth=2,
        dim=128,
        code_dim=None,
        lstm_layers=2,
        padding="reflect",
        codebooks=4,
        codebook_size=2048,
        ema_decay=0.99,
    )


def nano_training() -> CodecTrainingConfig:
    """A few steps."""
    return CodecTrainingConfig(
        batch=2,
        excerpt_s=0.5,
        steps=20,
        warmup_steps=2,
        ema=0.9,
        learning_rate=3e-3,
        discriminator_width=4,
        windows=(128,),
        mel_windows=(128, 64),
    )


def nano() -> EncodecSystemConfig:
    """For tests."""
    return EncodecSystemConfig(codec=nano_codec(), training=nano_training())


def small() -> EncodecSystemConfig:
    """Two processor cores."""
    return EncodecSystemConfig(codec=small_codec(), training=CodecTrainingConfig())


def base() -> EncodecSystemConfig:
    """One GPU."""
    return EncodecSystemConfig(codec=base_codec(), training=_gpu_training())


def paper() -> EncodecSystemConfig:
    """As published: a second per excerpt, 64 of them, 300 epochs of 2,000 steps (section 3.5)."""
    return EncodecSystemConfig(
        codec=paper_codec(), training=replace(_gpu_training(), batch=64, steps=600_000)
    )


def _gpu_training() -> CodecTrainingConfig:
    return CodecTrainingConfig(
        batch=32,
        steps=200_000,
        learning_rate=3e-4,
        ema=0.999,
        discriminator_width=32,
        windows=(2048, 1024, 512, 256, 128),
        mel_windows=(2048, 1024, 512, 256, 128, 64),
        weights=LossWeights(adversarial_from=0.0),
    )


PRESETS: dict[str, Callable[[], EncodecSystemConfig]] = {
    "nano": nano,
    "small": small,
    "base": base,
    "paper": paper,
}
