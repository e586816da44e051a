"""Named configurations of whole models; needs neither torch nor numpy.

    nano     for tests: seconds
    small    6.1 million parameters, windows of 8 s: two processor cores, an hour or two
    base     86 million, windows of 16 s: a GPU
    paper    about 250 million on the 32 kHz EnCodec, windows of 20 s (section 3.1)

What is not in the paper (dropout of conditions, weights of levels, temperatures) is ours
everywhere.
"""

from collections.abc import Callable
from dataclasses import replace

from ritornello.encodec import presets as codecs
from ritornello.encodec.config import CodecTrainingConfig
from ritornello.stemgen.config import (
    DecodingConfig,
    GuidanceConfig,
    RankingConfig,
    StemGenConfig,
    TrainingConfig,
    TransformerConfig,
)

MIDI_FAMILIES = (
    "piano",
    "chromatic percussion",
    "organ",
    "guitar",
    "bass",
    "strings",
    "ensemble",
    "brass",
    "reed",
    "pipe",
    "synth lead",
    "synth pad",
    "synth effects",
    "ethnic",
    "percussive",
    "sound effects",
    "drums",
    "voice",
)
"""The paper's 18 categories, as far as it names them: "General MIDI instrument categories"."""


def nano() -> StemGenConfig:
    """Seconds."""
    return StemGenConfig(
        codec=codecs.nano_codec(),
        transformer=TransformerConfig(width=32, layers=2, heads=2, hidden=48, reach=1),
        seconds=1.0,
        decoding=DecodingConfig(steps=(4, 2), temperatures=(1.0, 0.9), overlap_s=0.25),
        training=TrainingConfig(
            codec=codecs.nano_training(),
            batch=2,
            steps=20,
            warmup_steps=2,
            learning_rate=3e-3,
            ema=0.9,
            level_weights=(0.6, 0.4),
            segment_s=2.0,
            submixes=2,
        ),
    )


def small() -> StemGenConfig:
    """What `stemgen-band` began as; it keeps the first two codebooks alone."""
    return StemGenConfig(
        codec=codecs.small_codec(),
        transformer=TransformerConfig(dropout=0.0, reach=3),
        training=TrainingConfig(label_smoothing=0.0, level_weights=(0.5, 0.35, 0.1, 0.05)),
    )


def base() -> StemGenConfig:
    """One GPU, some days."""
    return StemGenConfig(
        codec=codecs.base_codec(),
        transformer=TransformerConfig(width=768, layers=12, heads=12, hidden=2048),
        seconds=16.0,
        decoding=replace(_published_decoding(), guidance=GuidanceConfig()),
        training=TrainingConfig(
            codec=codecs.base().training,
            batch=32,
            steps=150_000,
            learning_rate=5e-4,
            warmup_steps=5000,
            ema=0.999,
            level_weights=(1.0, 1.0, 1.0, 1.0),
            segment_s=60.0,
        ),
    )


def paper() -> StemGenConfig:
    """As published: 20 layers of 1,024, 40 examples of 20 s a step (section 3.1)."""
    return StemGenConfig(
        codec=codecs.paper_codec(),
        transformer=TransformerConfig(
            width=1024, layers=20, heads=16, hidden=2730, dropout=0.0, tables="normal"
        ),
        stems=MIDI_FAMILIES,
        seconds=20.0,
        decoding=_published_decoding(),
        training=TrainingConfig(
            codec=CodecTrainingConfig(batch=64, steps=600_000),
            batch=40,
            steps=150_000,
            learning_rate=5e-4,
            warmup_steps=10_000,
            ema=0.999,
            label_smoothing=0.0,
            level_weights=(1.0, 1.0, 1.0, 1.0),
            segment_s=60.0,
            submixes=0,
        ),
    )


def _published_decoding() -> DecodingConfig:
    """Section 3.2: steps, ranking and the independent sources' guidance."""
    return DecodingConfig(
        steps=(128, 64, 32, 32),
        temperatures=(1.0, 1.0, 1.0, 1.0),
        top_p=1.0,
        guidance=GuidanceConfig(kind="product", context=3.0, stem=3.0, anneal=False),
        ranking=RankingConfig(causal=0.1),
    )


PRESETS: dict[str, Callable[[], StemGenConfig]] = {
    "nano": nano,
    "small": small,
    "base": base,
    "paper": paper,
}
