"""Configurations that fit together, and those that do not."""

from dataclasses import replace

import pytest

from ritornello.config import from_json, to_json, with_overrides
from ritornello.errors import ConfigError
from ritornello.stemgen.config import DropoutConfig, StemGenConfig, TransformerConfig
from ritornello.stemgen.network import parameters_of
from ritornello.stemgen.presets import MIDI_FAMILIES, PRESETS, nano, paper, small


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_survive_json(preset):
    config = PRESETS[preset]()
    assert from_json(StemGenConfig, to_json(config)) == config


def test_the_paper_is_about_250_million():
    config = paper()
    assert parameters_of(config) == pytest.approx(265.6e6, rel=0.01)
    assert len(set(MIDI_FAMILIES)) == 18
    assert config.frames == 1000
    assert config.decoding.steps == (128, 64, 32, 32)
    weights = config.decoding.ranking
    assert (weights.confidence, weights.causal, weights.random) == (0.1, 0.1, 1.0)
    assert (config.decoding.guidance.context, config.decoding.guidance.stem) == (3.0, 3.0)


def test_small_is_six_million_and_hears_eight_seconds():
    config = replace(small(), stems=("bass", "drums"))
    assert parameters_of(config) == pytest.approx(6.07e6, rel=0.01)
    assert config.frames == 400


def test_a_window_may_be_changed_by_name():
    assert with_overrides(nano(), ["seconds=0.5", "transformer.layers=3"]).frames == 25


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("transformer.width=34", "width is 34; expected a multiple of twice the heads"),
        ("transformer.tables=zeros", "tables is 'zeros'; expected codec or normal"),
        ("decoding.steps=4,2,2", "decoding.steps is .* expected 2 values, one for each level"),
        ("training.level_weights=0,0", "level_weights"),
        ("training.segment_s=0.5", "training.segment_s is 0.5; expected 1.0 s or more"),
        ("decoding.overlap_s=1", "less than a window"),
        ("decoding.guidance.kind=sum", "guidance.kind is 'sum'"),
        ("decoding.ranking.kind=none", "ranking.kind is 'none'"),
        ("training.submixes=-1", "submixes is -1"),
        ("seconds=0.01", "two frames or more"),
    ],
)
def test_what_does_not_fit_is_refused(override, message):
    with pytest.raises(ConfigError, match=message):
        with_overrides(nano(), [override])


def test_shares_and_sizes_are_checked():
    with pytest.raises(ConfigError, match="context \\+ stem \\+ all"):
        DropoutConfig(context=0.5, stem=0.4, all=0.1)
    with pytest.raises(ConfigError, match="width is 18"):
        TransformerConfig(width=18, heads=6)
