"""Long rests are cut down, short ones and all that sounds stay, and times move along."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ritornello.data.recipes.songs_solo import at_new_times, shortened

RATE = 1000


def phrases(*spans):
    """A tone of 0.5 for so many seconds, then rests, in turn; the first span sounds."""
    parts = [
        np.full(round(span * RATE), 0.5 if index % 2 == 0 else 0.0)
        for index, span in enumerate(spans)
    ]
    return np.tile(np.concatenate(parts), (2, 1))


def test_a_long_rest_is_cut_down_and_a_short_one_stays():
    short = shortened(phrases(1, 2, 1, 0.4, 1), RATE)
    np.testing.assert_array_equal(short.wave, phrases(1, 0.3, 1, 0.4, 1))


@pytest.mark.parametrize(("before", "after"), [(0.5, 0.5), (1.1, 1.1), (3.0, 1.3), (3.5, 1.8)])
def test_times_move_along(before, after):
    assert shortened(phrases(1, 2, 1), RATE).moved_s(before) == pytest.approx(after)


def test_times_in_what_was_cut_out_are_where_it_was():
    short = shortened(phrases(1, 2, 1), RATE)
    assert short.moved_s(2.0) == pytest.approx(1.15)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8))
def test_nothing_that_sounds_is_lost(tenths):
    wave = phrases(*(number / 10 for number in tenths))
    short = shortened(wave, RATE)
    np.testing.assert_array_equal(short.wave[short.wave > 0], wave[wave > 0])
    assert short.places[-1] == short.wave.shape[1]
    assert (np.diff(short.places) >= 0).all()


def test_a_side_car_tells_the_new_times():
    car = {
        "genre": "art song",
        "labels": {"genre": "art-song", "artist": "clara"},
        "lyrics": {"text": "oh", "sung": [{"start_s": 3.0, "end_s": 3.5, "begin": 0, "end": 2}]},
        "notes": [{"start_s": 3.0, "end_s": 3.5, "pitch": 60}],
        "sections": [{"letter": "A", "start_s": 0.0, "end_s": 4.0}],
    }
    told = at_new_times(car, shortened(phrases(1, 2, 1), RATE))
    assert told["lyrics"]["sung"] == [{"start_s": 1.3, "end_s": 1.8, "begin": 0, "end": 2}]
    assert told["notes"] == [{"start_s": 1.3, "end_s": 1.8, "pitch": 60}]
    assert told["sections"] == [{"letter": "A", "start_s": 0.0, "end_s": 2.3}]
    assert told["labels"] == {"genre": "unaccompanied-song", "artist": "clara"}
    assert car["notes"][0]["start_s"] == 3.0  # left as it was
