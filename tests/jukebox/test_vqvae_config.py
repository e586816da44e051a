"""Presets have the published hops and sizes; what does not fit is refused."""

from dataclasses import replace

import pytest

from ritornello.config import from_json, to_json, with_overrides
from ritornello.errors import ConfigError
from ritornello.jukebox.vqvae_config import (
    CodebookConfig,
    LevelConfig,
    LossConfig,
    Resolution,
    VqVaeConfig,
)
from ritornello.jukebox.vqvae_presets import VQVAE_PRESETS, paper, plain_small_vqvae, small_vqvae


@pytest.mark.parametrize("make", [paper, small_vqvae, plain_small_vqvae])
def test_hops_are_the_papers(make):
    assert [level.hop_samples for level in make().levels] == [8, 32, 128]


def test_paper_is_published():
    config = paper()
    assert config.sample_rate == 44_100
    assert {(level.codebook.codes, level.codebook.dim) for level in config.levels} == {(2048, 64)}
    assert config.levels[0].dilations[-1] == 2187
    assert config.loss.log_magnitude == 0
    # one use per step, of 384 that uniform use would be at the top
    assert config.levels[2].codebook.revive_below == pytest.approx(1 / 384)


@pytest.mark.parametrize("name", VQVAE_PRESETS)
def test_presets_survive_json(name):
    config = VQVAE_PRESETS[name]()
    assert from_json(VqVaeConfig, to_json(config)) == config


def test_levels_are_set_by_number():
    assert with_overrides(paper(), ["levels.1.width=16"]).levels[0].width == 16


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: CodebookConfig(codes=1), "codebook.codes"),
        (lambda: CodebookConfig(mu=1.0), "codebook.mu"),
        (lambda: LevelConfig(networks="wide"), "networks is 'wide'"),
        (lambda: LevelConfig(factors=(6,)), "powers of two"),
        (lambda: LevelConfig(factors=()), "powers of two"),
        (lambda: LevelConfig(depth=0), "depth is 0"),
        (lambda: Resolution(n_fft=8, hop=2, window=9), "window is 9"),
        (lambda: Resolution(n_fft=8, hop=9, window=8), "hop is 9"),
        (lambda: LossConfig(spectral=-1.0), "loss.spectral"),
        (lambda: LossConfig(resolutions=()), "loss.resolutions"),
        (lambda: replace(paper(), levels=paper().levels[::-1]), "hops of the levels"),
    ],
)
def test_what_does_not_fit_is_refused(make, words):
    with pytest.raises(ConfigError, match=words):
        make()
