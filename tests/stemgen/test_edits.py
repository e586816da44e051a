"""Which frames of a given stem stay."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ritornello.errors import ConfigError
from ritornello.stemgen.combiner import FREE, PLAY, REST
from ritornello.stemgen.edits import (
    activity_frames,
    around,
    kept_frames,
    onsets_of,
    pasted,
    refuse_nothing_new,
)
from ritornello.stemgen.options import StemGenOptions, steps_of
from tests.stemgen.conftest import noise

STEM = noise(4)


def kept(frames=200, onsets_s=(), seed=0, **asked):
    options = StemGenOptions(stem_in=STEM, **asked)
    draw = torch.Generator().manual_seed(seed)
    return kept_frames(options, frames, 50.0, list(onsets_s), draw)


def test_a_range_is_made_anew_and_the_rest_stays():
    found = kept(edit=(1, 2.5))
    assert not found[50:125].any()
    assert found[:50].all()
    assert found[125:].all()


@given(share=st.floats(0, 1), first=st.integers(0, 99), last=st.integers(100, 250))
def test_a_variation_makes_its_share_of_the_range_anew(share, first, last):
    found = kept(variation=share, edit=(first / 50, last / 50))
    last = min(last, 200)
    assert int((~found).sum()) == round(share * (last - first))
    assert found[:first].all()
    assert found[last:].all()


@pytest.mark.parametrize(
    "asked", [{"edit": (100, 200)}, {"edit": (4, 4.005)}, {"variation": 0.001}]
)
def test_an_edit_that_changes_nothing_is_refused(asked):
    options = StemGenOptions(stem_in=STEM, **asked)
    with pytest.raises(ConfigError, match=r"of the 4\.000 s would be made anew"):
        refuse_nothing_new(kept(**asked), options, 4.0)
    refuse_nothing_new(kept(variation=0), StemGenOptions(stem_in=STEM, variation=0), 4.0)


def test_a_variation_differs_by_seed():
    one, other = (kept(variation=0.5, seed=seed) for seed in (0, 1))
    assert not torch.equal(one, other)


def test_every_so_manieth_frame_and_attacks_stay():
    assert kept(every=4).nonzero()[:, 0].tolist() == list(range(0, 200, 4))
    found = kept(keep_onsets=True, onsets_s=(0.0, 1.0))
    assert found.nonzero()[:, 0].tolist() == [0, 1, 2, 3, 49, 50, 51, 52, 53]
    assert torch.equal(around([0.0, 1.0], 200, 50.0), found)


def test_attacks_of_a_stem_are_found():
    onsets = onsets_of(noise(2, rate=16000))
    assert len(onsets) >= 6
    assert np.abs(np.array(onsets) % 0.25 - 0.125).min() > 0.07  # all near quarters of a second


def test_outside_a_range_the_given_audio_stays():
    made, given = np.ones((1, 1000), np.float32), np.zeros((1, 1000), np.float32)
    found = pasted(made, given, 500, (0.7, 1.2), 1000)
    assert (found[0, :190] == 0).all()
    assert (found[0, 200:701] == 1).all()
    assert (found[0, 711:] == 0).all()
    assert (np.diff(found[0, 188:202]) >= 0).all()


def test_activity_holds_until_the_next_point():
    found = activity_frames(((1.0, 1), (2.0, 0)), 150, 50.0)
    assert found.tolist() == [FREE] * 50 + [PLAY] * 50 + [REST] * 50
    assert (activity_frames((), 10, 50.0) == FREE).all()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"edit": (4, 8)}, "together with the stem"),
        ({"stem_in": STEM}, "at least one of them with a stem"),
        ({"edit": (8, 4), "stem_in": STEM}, "the first before the second"),
        ({"variation": 1.5, "stem_in": STEM}, "variation is 1.5"),
        ({"every": 1, "stem_in": STEM}, "every is 1"),
        ({"activity": ((1.0, 1), (1.0, 0))}, "seconds that rise"),
        ({"activity": ((0.0, 2),)}, "0 \\(rest\\) or 1 \\(play\\)"),
        ({"bpm": 0.0}, "bpm is 0"),
        ({"ranking": "luck"}, "causal or gumbel"),
        ({"guidance_kind": "strong"}, "product or joint or nested"),
        ({"candidates": 0}, "candidates is 0"),
        ({"steps": (0,)}, "steps is"),
        ({"precision": "int8"}, "fp32 or bf16"),
    ],
)
def test_options_that_make_no_sense(asked, message):
    with pytest.raises(ConfigError, match=message):
        StemGenOptions(**asked)


def test_one_number_of_steps_is_the_first_levels():
    assert steps_of((12,), (24, 12, 6, 6)) == (12, 6, 3, 3)
    assert steps_of((1,), (24, 12, 6, 6)) == (1, 1, 1, 1)
    assert steps_of((9, 8, 7, 6), (24, 12, 6, 6)) == (9, 8, 7, 6)
    with pytest.raises(ConfigError, match="1 or 4 numbers"):
        steps_of((1, 2), (24, 12, 6, 6))
