"""Named configurations of whole models; needs neither torch nor numpy.

    nano     two levels, for tests: seconds
    small    16 kHz, hops 8, 32, 128: two processor cores, some hours; fits into 14 MB
    masked   the same, with upsamplers besides that fill a window in a few passes
    songs    the same as small, told lyrics
    base     44.1 kHz, the paper's autoencoders, 162 million parameters on top: for a GPU
    paper    as published: 5 billion parameters with lyrics on top

Numbers of the last are those of appendix B. What two cores train has rates and batches of our own
(docs and LOG.md have what was measured).
"""

from collections.abc import Callable
from dataclasses import replace

from ritornello.jukebox import prior_presets, vqvae_presets
from ritornello.jukebox.config import JukeboxConfig, StageConfig, TrainingConfig
from ritornello.jukebox.prior_config import PriorConfig


def nano() -> JukeboxConfig:
    """Two levels, small enough for tests."""
    vqvae = vqvae_presets.nano_vqvae()
    codes = vqvae.levels[0].codebook.codes
    rate_hz = vqvae.sample_rate / vqvae.levels[-1].hop_samples
    prior = replace(prior_presets.nano(), codes=codes, frame_rate_hz=rate_hz)
    upsampler = replace(prior_presets.nano_upsampler(), codes=codes, codes_above=codes)
    stage = StageConfig(batch=2, steps=20, learning_rate=3e-3, warmup_steps=2, ema=0.9)
    return JukeboxConfig(
        vqvae=vqvae,
        prior=prior,
        upsamplers=(upsampler,),
        hops=(0.5, 0.25),
        temperatures=(0.99, 0.99),
        training=TrainingConfig(
            vqvaes=(stage, stage), prior=stage, upsamplers=(stage,), excerpt=1024
        ),
    )


def small() -> JukeboxConfig:
    """What the shipped models are."""
    # Averages over a thousand steps and a codebook of the last ten do not belong together.
    vqvae = StageConfig(batch=8, steps=8000, learning_rate=1e-3, beta2=0.99, ema=0.99)
    transformer = StageConfig(
        batch=8,
        steps=4000,
        learning_rate=1e-3,
        beta2=0.95,
        weight_decay=0.01,
        warmup_steps=200,
    )
    return JukeboxConfig(
        vqvae=vqvae_presets.small_vqvae(),
        prior=prior_presets.small(),
        upsamplers=(prior_presets.small_upsampler(6), prior_presets.small_upsampler(9)),
        training=TrainingConfig(
            vqvaes=(vqvae, vqvae, vqvae),
            prior=replace(transformer, share=2.0),
            upsamplers=(transformer, transformer),
            excerpt=16_384,
        ),
    )


def masked() -> JukeboxConfig:
    """`small`, with upsamplers of both kinds."""
    pair = (prior_presets.small_masked(6), prior_presets.small_masked(8))
    return replace(small(), masked=pair)


def songs() -> JukeboxConfig:
    """`small`, told lyrics in one sequence with the music."""
    return replace(small(), prior=prior_presets.small_lyrics())


def base() -> JukeboxConfig:
    """The size that the authors suggest for music of one style, with the paper's autoencoders."""
    stage = StageConfig(batch=16, steps=200_000, beta2=0.95, weight_decay=0.01, warmup_steps=1000)
    return _published(prior_presets.paper_small_prior(), stage, vqvae_batch=16)


def paper() -> JukeboxConfig:
    """As published, with lyrics (appendix B)."""
    upsampler = StageConfig(
        batch=192, steps=265_000, beta2=0.95, weight_decay=0.01, warmup_steps=1000, ema=0.999
    )
    prior = replace(
        upsampler,
        batch=512,
        steps=310_500,
        learning_rate=1.5e-4,
        beta2=0.925,
        weight_decay=0.002,
    )
    top = prior_presets.paper_5b_lyrics()
    whole = _published(top, upsampler, vqvae_presets.PAPER_BATCH, alphabet="characters")
    training = replace(
        whole.training,
        prior=prior,
        upsamplers=(replace(upsampler, batch=184, steps=279_000), upsampler),
    )
    return replace(whole, training=training)


def _published(
    prior: PriorConfig, transformer: StageConfig, vqvae_batch: int, alphabet: str = "bytes"
) -> JukeboxConfig:
    """The paper's autoencoders and upsamplers under `prior`."""
    vqvae = StageConfig(batch=vqvae_batch, steps=384_618)
    return JukeboxConfig(
        vqvae=vqvae_presets.paper(),
        prior=prior,
        upsamplers=(prior_presets.paper_upsampler(0), prior_presets.paper_upsampler(1)),
        alphabet=alphabet,
        training=TrainingConfig(
            vqvaes=(vqvae, vqvae, vqvae), prior=transformer, upsamplers=(transformer, transformer)
        ),
    )


PRESETS: dict[str, Callable[[], JukeboxConfig]] = {
    "nano": nano,
    "small": small,
    "masked": masked,
    "songs": songs,
    "base": base,
    "paper": paper,
}
