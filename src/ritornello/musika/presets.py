"""Named configurations: two for laptops, one for a single GPU, two as published.

The docstring of each says where its numbers come from: "release" is the authors' 44.1 kHz code,
"paper" their 22.05 kHz version; what neither fixes is this project's choice.
"""

from collections.abc import Callable

from ritornello.musika.config import (
    AdversaryConfig,
    GanConfig,
    Level1Config,
    Level2Config,
    MusikaConfig,
    StageConfig,
    StftConfig,
    TrainingConfig,
)


def nano() -> MusikaConfig:
    """The whole chain at toy widths, for tests and first steps: trains in seconds.

    Every number is this project's choice; the shapes are those of `small`.
    """
    return MusikaConfig(
        sample_rate=22050,
        stft=StftConfig(n_fft=1024, hop_length=256),
        level1=Level1Config(
            latent_dim=16, encoder_width=64, encoder_layers=2, decoder_width=64, decoder_layers=2
        ),
        level2=Level2Config(latent_dim=16, width=64, layers=1),
        gan=GanConfig(style_dim=8, coordinate_dim=8, chunk_frames=16, base_channels=16),
        training=TrainingConfig(
            level1=StageConfig(share=0.3, batch=4, crop_frames=32, learning_rate=1e-3),
            level2=StageConfig(share=0.3, batch=4, crop_frames=64, learning_rate=1e-3),
            sharpen=StageConfig(share=0.1, batch=2, crop_frames=64, learning_rate=2e-4),
            adversary=AdversaryConfig(bins=128, width=4),
            gan=StageConfig(
                share=0.3, batch=8, crop_frames=32, learning_rate=5e-4, betas=(0.5, 0.99)
            ),
        ),
    )


def small() -> MusikaConfig:
    """Two CPU cores, an hour or two: 44.1 kHz stereo at about 21.5 latent frames a second.

    The window of two chunks, the 64-wide anchors and style vector, the hinge loss with adaptive R1
    and its weight are the release's. This project's choices: the longer STFT at half the release's
    frame rate, level 2 over both channels together at twice the release's latent rate with as many
    numbers a second, half its chunk frames and base channels, an anchor on every chunk (so that a
    returning section starts at the same phase of the grid), controls with condition dropout, and a
    penalty scale that moves ten times faster because there are a hundred times fewer steps, a
    critic that also scores locally, and a listener that holds the generator to its controls. The
    decoders are sharpened without a discriminator: in the time there is, it made them worse
    (LOG.md); `training.adversary.weight=0.005` brings it back.
    """
    return MusikaConfig()


def base() -> MusikaConfig:
    """One GPU, a day: `small` with the release's GAN widths and wider autoencoders."""
    return MusikaConfig(
        level1=Level1Config(
            encoder_width=1024, encoder_layers=4, decoder_width=768, decoder_layers=8
        ),
        level2=Level2Config(width=768, layers=3),
        gan=GanConfig(base_channels=128, penalty_speed=1e-4),
        training=TrainingConfig(
            level1=StageConfig(share=0.3, batch=32, crop_frames=64, learning_rate=3e-4),
            level2=StageConfig(share=0.2, batch=32, crop_frames=128, learning_rate=3e-4),
            gan=StageConfig(
                share=0.5, batch=32, crop_frames=128, learning_rate=1e-4, betas=(0.5, 0.99)
            ),
        ),
    )


def paper() -> MusikaConfig:
    """The paper's 22.05 kHz version: 2 x 64 latents at about 10.8 Hz, chunks of 11.9 s.

    From the authors' 22.05 kHz code: STFT, latent sizes, reductions, chunk and window, anchors one
    window apart, crops at any offset, fixed penalty and reconstruction with weight 10, Adam at 1e-4
    with beta1 0.9, batch 32, averaging 0.999. Widths of the autoencoders are fixed in
    `published`. The autoencoders' training was never published: those settings are this
    project's. The published models have no condition; the paper's piano experiment is
    `gan.controls=density`.
    """
    return MusikaConfig(
        sample_rate=22050,
        stft=StftConfig(n_fft=1024, hop_length=256),
        level1=Level1Config(latent_dim=128),
        level2=Level2Config(latent_dim=64, joint=False, ratio=8),
        gan=GanConfig(
            chunk_frames=128,
            chunks_per_anchor=2,
            base_channels=128,
            controls=(),
            morph_fraction=0.0,
            crop="any",
            penalty="unit_gradient",
            penalty_every=1,
            reconstruction_weight=10.0,
            control_weight=0.0,
        ),
        training=_published_training(gan_betas=(0.9, 0.999)),
        family="paper",
    )


def release() -> MusikaConfig:
    """The authors' later 44.1 kHz release: 2 x 64 latents at about 10.8 Hz, chunks of 11.9 s.

    From the release's code: STFT, latent sizes, reductions, chunk, window and base channels,
    anchors three chunks apart so that three chunk phases occur, adaptive R1 with weight 10 and
    speed 1e-4, Adam at 1e-4 with beta1 0.5, batch 32, averaging 0.999. Widths of the autoencoders
    are fixed in `published`; their training was never published: those settings are this
    project's. The release has no conditions.
    """
    return MusikaConfig(
        stft=StftConfig(n_fft=1024, hop_length=256),
        level1=Level1Config(latent_dim=64),
        level2=Level2Config(latent_dim=64, joint=False, ratio=16),
        gan=GanConfig(
            chunk_frames=128,
            chunks_per_anchor=3,
            base_channels=128,
            controls=(),
            morph_fraction=0.0,
            penalty_speed=1e-4,
            penalty_every=1,
            control_weight=0.0,
        ),
        training=_published_training(gan_betas=(0.5, 0.999)),
        family="release",
    )


def _published_training(gan_betas: tuple[float, float]) -> TrainingConfig:
    return TrainingConfig(
        adversary=AdversaryConfig(),
        level1=StageConfig(share=0.2, batch=16, crop_frames=128, learning_rate=1e-4),
        level2=StageConfig(share=0.2, batch=16, crop_frames=128, learning_rate=1e-4),
        gan=StageConfig(share=0.6, batch=32, crop_frames=256, learning_rate=1e-4, betas=gan_betas),
    )


PRESETS: dict[str, Callable[[], MusikaConfig]] = {
    "nano": nano,
    "small": small,
    "base": base,
    "paper": paper,
    "release": release,
}
