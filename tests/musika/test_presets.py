"""Presets against the published facts, and what their configuration derives."""

import dataclasses

import pytest

from ritornello.config import from_json, to_json
from ritornello.errors import ConfigError
from ritornello.musika.config import (
    CriticConfig,
    GanConfig,
    GeneratorConfig,
    Level2Config,
    MusikaConfig,
    StageConfig,
    StftConfig,
)
from ritornello.musika.presets import PRESETS, base, nano, paper, release, small


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_json(name):
    config = PRESETS[name]()
    assert from_json(MusikaConfig, to_json(config)) == config


@pytest.mark.parametrize("name", PRESETS)
def test_gan_trains_on_what_the_critic_sees(name):
    config = PRESETS[name]()
    assert config.training.gan.crop_frames == config.critic.window_frames


def test_small_has_a_chunk_of_three_seconds():
    config = small()
    assert (config.sample_rate, config.channels) == (44100, 2)
    assert config.spectrogram_rate_hz == pytest.approx(86.13, abs=0.01)
    assert config.latent_rate_hz == pytest.approx(21.53, abs=0.01)
    assert config.chunk_s == pytest.approx(2.97, abs=0.01)
    assert config.latent_dim == 64
    assert config.gan.anchor_frames == config.gan.chunk_frames


def test_controls_take_two_channels_each():
    gan = small().gan
    assert gan.condition_channels == 4
    assert gan.coordinate_channels == 64 + 64 + 4
    assert small().critic.condition_channels == 4


@pytest.mark.parametrize(("preset", "anchor_s"), [(paper, 23.8), (release, 35.7)])
def test_published_rates_and_distances(preset, anchor_s):
    config = preset()
    assert config.latent_rate_hz == pytest.approx(10.77, abs=0.01)
    assert config.latent_dim == 128
    assert config.chunk_s == pytest.approx(11.9, abs=0.02)
    assert config.gan.anchor_frames / config.latent_rate_hz == pytest.approx(anchor_s, abs=0.06)
    assert config.gan.coordinate_channels == 128


def test_hop_of_the_published_latents():
    assert paper().hop_samples == 2048
    assert release().hop_samples == 4096


def test_paper_and_release_differ_as_published():
    assert (paper().gan.crop, paper().gan.penalty) == ("any", "unit_gradient")
    assert (release().gan.crop, release().gan.penalty) == ("phases", "adaptive_r1")


def test_widths_fall_with_every_doubling():
    assert release().generator.widths == (896, 768, 640, 512, 384, 256)
    assert release().critic.widths == (384, 512, 640, 768, 896, 896)
    assert GeneratorConfig(chunk_frames=8, base_channels=2).widths == (6, 4)
    assert CriticConfig(window_frames=16, base_channels=2).widths == (6, 8)


def test_presets_grow():
    widths = [preset().gan.base_channels for preset in (nano, small, base)]
    assert widths == sorted(set(widths))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: StftConfig(n_fft=1000), "n_fft is 1000; expected a power of two"),
        (lambda: StftConfig(hop_length=300), "hop_length is 300"),
        (lambda: Level2Config(ratio=3), "ratio is 3"),
        (lambda: GanConfig(crop="some"), "gan.crop is 'some'"),
        (lambda: GanConfig(penalty="none"), "gan.penalty is 'none'"),
        (lambda: GanConfig(condition_dropout=1.0), "condition_dropout"),
        (lambda: GanConfig(chunks_per_window=0), "chunks_per_window is 0"),
        (lambda: GeneratorConfig(chunk_frames=48), "chunk_frames is 48"),
        (lambda: GeneratorConfig(base_channels=7), "base_channels is 7"),
        (lambda: CriticConfig(window_frames=8), "window_frames is 8"),
        (
            lambda: StageConfig(share=0.0, batch=1, crop_frames=1, learning_rate=1.0),
            "share is 0.0; expected a positive",
        ),
        (lambda: MusikaConfig(family="heavy"), "family is 'heavy'"),
        (lambda: MusikaConfig(channels=6), "channels is 6"),
    ],
)
def test_impossible_settings_are_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_a_config_that_only_fails_as_a_whole_is_refused():
    with pytest.raises(ConfigError, match="window_frames is 192"):
        dataclasses.replace(small(), gan=GanConfig(chunks_per_window=3))
