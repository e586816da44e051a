"""Windows draw every code once, in order, behind the context that they should have."""

from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.jukebox.windows import Context, Tape, context_for, windows


@st.composite
def plans(draw):
    ratio = draw(st.integers(1, 4))
    context = ratio * draw(st.integers(1, 12))
    hop = ratio * draw(st.integers(1, context // ratio))
    known = ratio * draw(st.integers(0, 30))
    total = known + ratio * draw(st.integers(0, 60))
    return Context(codes=context, hop=hop), known, total, ratio


@settings(max_examples=40)
@given(plans())
def test_every_code_is_drawn_once_and_in_order(plan):
    context, known, total, _ = plan
    drawn = [(one.known, one.end) for one in windows(context, known, total)]
    assert [code for start, end in drawn for code in range(start, end)] == list(range(known, total))
    assert all(end - start <= context.hop for start, end in drawn)


@settings(max_examples=40)
@given(plans())
def test_every_window_is_a_whole_context_unless_the_song_is_shorter(plan):
    context, known, total, ratio = plan
    starts = []
    for index, one in enumerate(windows(context, known, total)):
        assert one.index == index
        assert one.stop - one.start == min(context.codes, total)
        assert one.start <= one.known < one.end <= one.stop <= total
        # as much behind every code as the context holds
        assert one.start == 0 or one.end - one.start == context.codes
        assert {one.start % ratio, one.end % ratio, one.stop % ratio} == {0}
        starts.append(one.start)
    assert starts == sorted(starts)


def test_the_last_window_lies_back_and_ends_where_the_song_does():
    plan = list(windows(Context(codes=8, hop=4), 0, 17))
    assert [(one.start, one.known, one.end) for one in plan] == [
        (0, 0, 4),
        (0, 4, 8),
        (4, 8, 12),
        (8, 12, 16),
        (9, 16, 17),
    ]


def test_an_endless_song_has_the_same_windows_but_the_last():
    context = Context(codes=8, hop=4)
    ending, endless = list(windows(context, 3, 43)), islice(windows(context, 3), 10)
    assert ending == list(endless)
    assert list(windows(context, 5, 5)) == []


def test_hops_are_whole_codes_of_the_level_above():
    assert context_for(1024, 0.125) == Context(codes=1024, hop=128)
    assert context_for(24, 0.5, ratio=4) == Context(codes=24, hop=12)
    assert context_for(24, 0.4, ratio=4).hop == 8
    assert context_for(24, 0.001, ratio=4).hop == 4
    assert context_for(24, 1.0, ratio=4).hop == 24


def test_a_tape_holds_places_of_the_whole_and_forgets():
    tape = Tape(torch.arange(5)[None])
    tape.append(torch.arange(5, 9)[None])
    tape.forget(4)
    tape.forget(2)
    assert (tape.start, tape.end) == (4, 9)
    assert tape.read(5, 8).tolist() == [[5, 6, 7]]
    assert tape.read(9, 9).shape == (1, 0)
    for start, stop in ((3, 5), (8, 10)):
        with pytest.raises(AssertionError, match=r"a tape that holds 4 \.\. 9"):
            tape.read(start, stop)
