"""Lyrics: alphabets, and windows that hold what is sung, whole characters, in the right order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.errors import DataError
from ritornello.jukebox.lyrics import (
    PADDING,
    ByteVocabulary,
    CharacterVocabulary,
    LinearTiming,
    Sung,
    SungTiming,
    composed,
    lyric_window,
    no_lyrics,
    vocabulary_of,
)

BYTES, PAPER = ByteVocabulary(), CharacterVocabulary()
SCRIPTS = st.text(st.sampled_from("ab cé日本ж𝄞\n"), max_size=60)


def test_the_alphabets_have_the_published_sizes():
    assert PAPER.symbols == 80
    assert vocabulary_of("characters_1b").symbols == 79
    assert vocabulary_of("characters_1b").spell("1+1\n").tokens[-1] == 78
    assert BYTES.symbols == 257


def test_the_papers_characters_are_numbered_from_one_and_others_dropped():
    assert PAPER.spell("AZaz09").tokens == (1, 26, 27, 52, 53, 62)
    assert PAPER.text(PAPER.spell("Où est-il? 日本").tokens) == "Ou est-il? "
    assert PAPER.spell("é日a").places == (0, 2)


@settings(max_examples=30)
@given(st.text(st.characters(codec="utf-8")))
def test_bytes_spell_every_language(text):
    spelt = BYTES.spell(text)
    assert BYTES.text(spelt.tokens) == composed(text)
    assert all(1 <= token < BYTES.symbols for token in spelt.tokens)
    assert list(spelt.places) == sorted(spelt.places)
    assert sorted(set(spelt.places)) == list(range(len(composed(text))))


def test_what_has_no_bytes_and_what_spells_nothing():
    assert BYTES.spell("\ud800").tokens == ()
    assert BYTES.text([1 + 0xC3, PADDING, 1 + ord("a")]) == "\ufffda"


@settings(max_examples=30)
@given(
    text=SCRIPTS,
    start_s=st.floats(0, 100),
    window_s=st.floats(0.1, 50),
    size=st.integers(4, 30),
    vocabulary=st.sampled_from([BYTES, PAPER]),
)
def test_a_window_is_a_run_of_whole_characters(text, start_s, window_s, size, vocabulary):
    spelt = vocabulary.spell(text)
    timing = LinearTiming(tokens=len(spelt.tokens), total_s=100.0)
    window = lyric_window(spelt, timing, start_s, window_s, size)
    assert len(window.tokens) == len(window.places) == size
    kept = [place for place in window.places if place >= 0]
    assert window.places == (-1,) * (size - len(kept)) + tuple(kept)
    assert [token == PADDING for token in window.tokens] == [p < 0 for p in window.places]
    run = composed(text)[kept[0] : kept[-1] + 1] if kept else ""
    assert vocabulary.text(window.tokens) == vocabulary.text(vocabulary.spell(run).tokens)
    if len(spelt.tokens) <= size:
        assert vocabulary.text(window.tokens) == vocabulary.text(spelt.tokens)


@settings(max_examples=30)
@given(start_s=st.floats(0, 90), size=st.integers(1, 40))
def test_linear_windows_are_centred_on_the_midpoint_and_stay_inside(start_s, size):
    spelt = BYTES.spell("x" * 200)
    timing = LinearTiming(tokens=200, total_s=100.0)
    places = lyric_window(spelt, timing, start_s, 10.0, size).places
    assert -1 not in places
    middle = min(max(int(200 * (start_s + 5) / 100), size // 2), 200 - size + size // 2)
    assert abs(places[0] + size // 2 - middle) <= 1


def test_short_lyrics_are_padded_on_the_left():
    spelt = BYTES.spell("la")
    window = lyric_window(spelt, LinearTiming(tokens=2, total_s=9.0), 3.0, 2.0, 5)
    assert window.tokens == (0, 0, 0, *spelt.tokens)
    assert lyric_window(BYTES.spell(""), LinearTiming(tokens=0, total_s=1.0), 0, 1, 3) == (
        no_lyrics(3)
    )


@st.composite
def songs(draw):
    """A text of syllables, and when each is sung."""
    syllables = draw(st.lists(st.sampled_from(["la", "日本", "é", "nanana"]), min_size=1))
    now, place, sung = 0.0, 0, []
    for syllable in syllables:
        start = now + draw(st.floats(0, 5))
        now = start + draw(st.floats(0.01, 2))
        end = place + len(syllable)
        sung.append(Sung(start_s=start, end_s=now, begin=place, end=end))
        place = end + 1
    return " ".join(syllables), sung


@settings(max_examples=30)
@given(song=songs(), start_s=st.floats(0, 30), window_s=st.floats(0.1, 20))
def test_sung_windows_hold_every_syllable_sung_in_them(song, start_s, window_s):
    text, sung = song
    spelt = BYTES.spell(text)
    timing = SungTiming(spelt, sung)
    room = timing.token_at(start_s + window_s) - timing.token_at(start_s)
    window = lyric_window(spelt, timing, start_s, window_s, max(1, room))
    for one in sung:
        if start_s <= one.start_s and one.end_s < start_s + window_s:
            assert set(range(one.begin, one.end)) <= set(window.places)


@settings(max_examples=30)
@given(song=songs(), times=st.lists(st.floats(0, 100), min_size=2))
def test_later_times_are_later_tokens(song, times):
    text, sung = song
    timing = SungTiming(BYTES.spell(text), sung)
    tokens = [timing.token_at(time) for time in sorted(times)]
    assert tokens == sorted(tokens)
    assert timing.token_at(1000.0) == len(BYTES.spell(text).tokens)


def test_times_that_contradict_are_refused():
    spelt = BYTES.spell("la la")
    first = Sung(start_s=1.0, end_s=2.0, begin=0, end=2)
    with pytest.raises(DataError, match="overlaps"):
        SungTiming(spelt, [first, Sung(start_s=1.5, end_s=3.0, begin=3, end=5)])
    with pytest.raises(DataError, match="ends before it begins"):
        SungTiming(spelt, [Sung(start_s=2.0, end_s=1.0, begin=0, end=2)])
    with pytest.raises(DataError, match="positive length"):
        LinearTiming(tokens=3, total_s=0.0)
