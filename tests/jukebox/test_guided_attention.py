"""Which letter is sung when, and a head that learns to look there."""

from dataclasses import replace
from math import log2

import numpy as np
import pytest
import torch

from ritornello.errors import ConfigError
from ritornello.jukebox.guided_attention import SILENT, guided_bits, sung_tokens
from ritornello.jukebox.lyrics import Sung, lyric_window
from ritornello.jukebox.prior import MergedPrior, build_prior, initialise
from ritornello.jukebox.prior_config import GuidedConfig
from ritornello.jukebox.prior_presets import nano_encoder, nano_merged
from ritornello.jukebox.song_lyrics import at_times, evenly
from tests.jukebox.conditions import conditions_for, draw, integers

SYLLABLES = (
    Sung(start_s=1.0, end_s=2.0, begin=0, end=2),
    Sung(start_s=2.0, end_s=3.0, begin=2, end=4),
    Sung(start_s=4.0, end_s=6.0, begin=5, end=9),
)
SONG = at_times("Lala sing", "bytes", SYLLABLES)


def test_letters_of_a_syllable_follow_one_another():
    window = lyric_window(SONG.spelt, SONG.timing, 0.0, 7.0, 12)
    assert window.places[:3] == (-1, -1, -1)
    found = sung_tokens(SONG, window, 0.0, 14, 2.0)
    silent = [SILENT] * 2
    assert found.tolist() == [*silent, 3, 4, 5, 6, *silent, 8, 9, 10, 11, *silent]


def test_what_the_window_does_not_hold_is_not_sung():
    window = lyric_window(SONG.spelt, SONG.timing, 4.0, 2.0, 4)
    assert [SONG.text[place] for place in window.places] == list("sing")
    found = sung_tokens(SONG, window, 1.0, 10, 2.0)
    assert found.tolist() == [SILENT] * 6 + [0, 1, 2, 3]


def test_songs_without_times_guide_nothing():
    song = evenly("Lala sing", "bytes", 7.0)
    window = lyric_window(song.spelt, song.timing, 0.0, 7.0, 12)
    assert (sung_tokens(song, window, 0.0, 14, 2.0) == SILENT).all()


def test_guided_bits_of_known_weights():
    weights = torch.zeros(1, 3, 4)
    weights[0, 0, 1] = 1.0
    weights[0, 1, 3] = 0.25
    sung = torch.tensor([[1, 2, SILENT]])
    exact = guided_bits(weights, sung, 1)
    assert exact == pytest.approx((0 + 2) / 2)
    assert guided_bits(weights, sung, 0) == pytest.approx(-log2(1e-6) / 2)
    assert guided_bits(weights, torch.full((1, 3), SILENT), 1) == 0


def test_the_guided_pass_predicts_what_forward_does_and_sees_what_alignments_see():
    config = nano_merged()
    model = build_prior(config)
    assert isinstance(model, MergedPrior)
    initialise(model, draw())
    told, codes = conditions_for(config), integers(config.codes, 2, config.frames)
    layer = config.transformer.layers.index("lyrics")
    found = model.guided(codes, told, layer, 1)
    plain = model(codes, told)
    torch.testing.assert_close(found.predicted.codes, plain.codes)
    torch.testing.assert_close(found.predicted.lyrics, plain.lyrics)
    weights = model.lyric_weights(codes, told, layer)
    torch.testing.assert_close(found.weights, weights[:, 1])


def test_a_guided_head_learns_to_look_at_what_is_sung():
    config = nano_merged()
    guide = GuidedConfig(layer=config.transformer.layers.index("lyrics"), head=1, slack=0)
    model = build_prior(config)
    assert isinstance(model, MergedPrior)
    initialise(model, draw())
    told, codes = conditions_for(config), integers(config.codes, 2, config.frames)
    assert config.lyrics is not None
    sung = torch.from_numpy(np.arange(config.frames) * config.lyrics.tokens // config.frames)
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    told_bits = []
    for _ in range(60):
        found = model.guided(codes, told, guide.layer, guide.head)
        bits = guided_bits(found.weights, sung.expand(2, -1), guide.slack)
        adam.zero_grad()
        bits.backward()
        adam.step()
        told_bits.append(float(bits.detach()))
    assert told_bits[0] > 2
    assert told_bits[-1] < 0.5


def test_guides_stand_in_a_layer_of_a_merged_sequence_that_sees_lyrics():
    merged, encoder = nano_merged(), nano_encoder()
    assert merged.lyrics is not None
    assert encoder.lyrics is not None
    with pytest.raises(ConfigError, match="none beside an encoder"):
        replace(encoder.lyrics, guided=GuidedConfig(layer=1))
    row = merged.transformer.layers.index("row")
    with pytest.raises(ConfigError, match=r"guided\.layer is"):
        replace(merged, lyrics=replace(merged.lyrics, guided=GuidedConfig(layer=row)))
    layer = merged.transformer.layers.index("lyrics")
    with pytest.raises(ConfigError, match=r"guided\.head is 2"):
        replace(merged, lyrics=replace(merged.lyrics, guided=GuidedConfig(layer=layer, head=2)))
