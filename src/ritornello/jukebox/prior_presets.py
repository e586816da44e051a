"""Named configurations of priors and upsamplers: the published sizes, and what two cores can train.

Published sizes are those of the released models (appendix B.2); tests build them without memory and
hold their counts of parameters. What spread a lyric encoder's weights are drawn with is our choice.
Needs neither torch nor numpy.
"""

from collections.abc import Callable
from dataclasses import replace

from ritornello.jukebox.prior_config import (
    ConditionerConfig,
    GuidedConfig,
    LabelsConfig,
    LyricsConfig,
    MaskedConfig,
    PriorConfig,
    RecallConfig,
    TimingConfig,
    TransformerConfig,
    UpsamplerConfig,
    encoder_order,
    masked_order,
    merged_order,
    plain_order,
)

# ------------------------------------------------------------------ published


def paper_5b() -> PriorConfig:
    """5 billion parameters, 23.8 s of context, no lyrics."""
    return PriorConfig(
        transformer=TransformerConfig(
            width=4800,
            heads=8,
            layers=plain_order(72),
            blocks=128,
            block_length=64,
            init_scale=0.1,
            is_tied=False,
        )
    )


def paper_5b_lyrics() -> PriorConfig:
    """The same with a lyric encoder, and seven layers that look at it."""
    plain = paper_5b()
    encoder = TransformerConfig(
        width=1280,
        heads=4,
        layers=plain_order(18),
        blocks=32,
        block_length=16,
        init_scale=0.7,
    )
    return replace(
        plain,
        transformer=replace(plain.transformer, layers=encoder_order(72)),
        timing=TimingConfig(shortest_s=23.8),
        lyrics=LyricsConfig(encoder=encoder),
    )


def paper_1b_lyrics() -> PriorConfig:
    """1 billion parameters: 384 characters of lyrics and 17.8 s of music in one sequence."""
    return PriorConfig(
        transformer=TransformerConfig(
            width=2048,
            heads=2,
            layers=merged_order(72),
            blocks=64,
            block_length=102,
            init_scale=0.2,
        ),
        labels=LabelsConfig(artists=7898, genres=604, genre_slots=1),
        timing=TimingConfig(bins=64, shortest_s=17.84),
        lyrics=LyricsConfig(symbols=79, tokens=384),
    )


def paper_upsampler(level: int) -> UpsamplerConfig:
    """1 billion parameters; level 1 upsamples the top, level 0 what that made.

    Only level 1 scales what the conditioner's residual blocks add.
    """
    conditioner = ConditionerConfig()
    if level == 1:
        conditioner = replace(conditioner, residual_scale=conditioner.depth**-0.5)
    return UpsamplerConfig(
        transformer=TransformerConfig(
            width=1920,
            heads=1,
            layers=plain_order(72),
            blocks=128,
            block_length=64,
            init_scale=0.4,
        ),
        conditioner=conditioner,
    )


def paper_small_prior() -> PriorConfig:
    """The size that the authors suggest for music of one style."""
    return PriorConfig(
        transformer=TransformerConfig(
            width=1024,
            heads=1,
            layers=plain_order(48),
            blocks=64,
            block_length=128,
            init_scale=0.7,
        ),
        timing=TimingConfig(bins=64),
    )


# ------------------------------------------------------------------ to train on two cores

SMALL_LABELS = LabelsConfig(artists=32, genres=32, dropout=0.1, held=True)
SMALL_CODES = 512


def small_transformer(
    width: int, layers: tuple[str, ...], heads: int, blocks: int, block_length: int
) -> TransformerConfig:
    """A small network: the paper's ratios, a final norm, and sums that start out tame."""
    return TransformerConfig(
        width=width,
        heads=heads,
        layers=layers,
        blocks=blocks,
        block_length=block_length,
        init_scale=0.7,
        residual_scale=(2 * len(layers)) ** -0.5,
        final_norm=True,
    )


def small() -> PriorConfig:
    """8.2 s of context at 16 kHz."""
    return PriorConfig(
        codes=SMALL_CODES,
        frame_rate_hz=16_000 / 128,
        transformer=small_transformer(256, plain_order(12), 4, 32, 32),
        labels=SMALL_LABELS,
        timing=TimingConfig(bins=64, shortest_s=8.0),
        recall=RecallConfig(),
    )


def small_lyrics() -> PriorConfig:
    """The same after 128 bytes of lyrics, in one sequence of 36 rows."""
    plain = small()
    return replace(
        plain,
        transformer=small_transformer(256, merged_order(12, every=4), 4, 36, 32),
        lyrics=LyricsConfig(symbols=257, tokens=128, guided=GuidedConfig(layer=7)),
    )


def small_upsampler(depth: int) -> UpsamplerConfig:
    """Four codes for every code above."""
    return UpsamplerConfig(
        codes=SMALL_CODES,
        codes_above=SMALL_CODES,
        transformer=small_transformer(192, plain_order(depth), 3, 32, 32),
        conditioner=ConditionerConfig(width=48, depth=4, cycle=4),
        labels=SMALL_LABELS,
    )


def small_masked(depth: int) -> MaskedConfig:
    """As large as the autoregressive one, over the same codes."""
    plain = small_upsampler(depth)
    return MaskedConfig(
        codes=plain.codes,
        codes_above=plain.codes_above,
        transformer=replace(plain.transformer, layers=masked_order(depth)),
        conditioner=plain.conditioner,
        labels=plain.labels,
    )


# ------------------------------------------------------------------ for tests

NANO_LABELS = LabelsConfig(artists=4, genres=3, genre_slots=2, dropout=0.1)
NANO_CODES = 16


def nano() -> PriorConfig:
    """Small enough for tests: milliseconds."""
    return PriorConfig(
        codes=NANO_CODES,
        frame_rate_hz=8.0,
        transformer=small_transformer(16, plain_order(3), 2, 4, 6),
        labels=NANO_LABELS,
        timing=TimingConfig(bins=8, shortest_s=3.0, longest_s=30.0),
    )


def nano_encoder() -> PriorConfig:
    """The same with a lyric encoder."""
    plain = nano()
    return replace(
        plain,
        transformer=replace(plain.transformer, layers=encoder_order(3, first=2, every=1)),
        lyrics=LyricsConfig(
            symbols=10, tokens=8, encoder=small_transformer(8, plain_order(3), 1, 2, 4)
        ),
    )


def nano_merged() -> PriorConfig:
    """The same with the lyrics before the music."""
    plain = nano()
    return replace(
        plain,
        transformer=small_transformer(16, merged_order(6, every=2), 2, 5, 6),
        lyrics=LyricsConfig(symbols=10, tokens=6),
    )


def nano_upsampler() -> UpsamplerConfig:
    """Four codes for every code above, in milliseconds."""
    return UpsamplerConfig(
        codes=NANO_CODES,
        codes_above=NANO_CODES,
        transformer=small_transformer(16, plain_order(3), 2, 4, 6),
        conditioner=ConditionerConfig(width=8, depth=3, cycle=2),
        labels=NANO_LABELS,
    )


def nano_masked() -> MaskedConfig:
    """All four codes for every code above at once, in milliseconds."""
    plain = nano_upsampler()
    return MaskedConfig(
        codes=plain.codes,
        codes_above=plain.codes_above,
        transformer=replace(plain.transformer, layers=masked_order(2)),
        conditioner=plain.conditioner,
        labels=plain.labels,
    )


PRIORS: dict[str, Callable[[], PriorConfig]] = {
    "nano": nano,
    "nano_encoder": nano_encoder,
    "nano_merged": nano_merged,
    "small": small,
    "small_lyrics": small_lyrics,
    "paper_small": paper_small_prior,
    "paper_5b": paper_5b,
    "paper_5b_lyrics": paper_5b_lyrics,
    "paper_1b_lyrics": paper_1b_lyrics,
}
