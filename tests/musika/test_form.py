"""A form parses strictly, falls on the grid, and gives returning letters returning keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ritornello.errors import ConfigError
from ritornello.interfaces import Section
from ritornello.musika.form import DEFAULT_SECTION_S, PiecePlan, Place, parse_form, plan_piece

letters = st.sampled_from("ABCab")
sections = st.builds(Section, letter=letters, seconds=st.none() | st.integers(1, 400).map(float))
forms = st.lists(sections, min_size=1, max_size=6)


def plan(text, seconds=None, *, chunk_s=3.0, chunks_per_anchor=1):
    return plan_piece(
        parse_form(text), seconds, chunk_s=chunk_s, chunks_per_anchor=chunks_per_anchor
    )


def chunks(a_plan):
    return [(section.letter, section.chunks) for section in a_plan.sections]


def test_letters_alone():
    assert [section.letter for section in parse_form("AABA")] == ["A", "A", "B", "A"]
    assert all(section.seconds is None for section in parse_form("AABA"))


def test_letters_with_and_without_seconds():
    assert parse_form(" A:16, B:7.5 ,a") == (
        Section(letter="A", seconds=16.0),
        Section(letter="B", seconds=7.5),
        Section(letter="a"),
    )


@given(forms)
def test_a_written_form_reads_back(form):
    text = ",".join(
        section.letter if section.seconds is None else f"{section.letter}:{section.seconds}"
        for section in form
    )
    assert parse_form(text) == tuple(form)


@pytest.mark.parametrize("text", ["", "A1", "A:", "A:-3", "A:16B:8", "AB,A", "A;B", "A:1e3", "Ä"])
def test_what_is_no_form_says_what_is(text):
    with pytest.raises(ConfigError, match=r"got .*expected letters as in AABA"):
        parse_form(text)


def test_a_section_of_no_length_is_refused():
    with pytest.raises(ConfigError, match="section B lasts 0 s"):
        parse_form("A:8,B:0")


def test_lengths_are_rounded_to_whole_chunks():
    assert chunks(plan("A:16,B:8,C:0.1")) == [("A", 5), ("B", 3), ("C", 1)]


def test_lengths_are_rounded_to_whole_anchor_periods():
    assert chunks(plan("A:16,B:8", chunks_per_anchor=3)) == [("A", 6), ("B", 3)]


def test_letters_without_length_share_what_is_left():
    assert chunks(plan("A:12,B,C", seconds=36.0)) == [("A", 4), ("B", 4), ("C", 4)]
    with pytest.raises(ConfigError, match="leaves nothing"):
        plan("A:40,B", seconds=30.0)


def test_letters_without_length_last_the_default():
    assert chunks(plan("AB")) == [("A", round(DEFAULT_SECTION_S / 3)), ("B", 5)]


@given(forms, st.integers(1, 900).map(float), st.sampled_from([1, 2, 3]))
def test_a_shared_length_is_covered_and_barely_more(form, seconds, chunks_per_anchor):
    given_s = sum(section.seconds or 0 for section in form)
    shared = [Section(letter="A"), *form]
    a_plan = plan_piece(shared, seconds + given_s, chunk_s=3.0, chunks_per_anchor=chunks_per_anchor)
    period_s = 3.0 * chunks_per_anchor
    total_s = a_plan.chunks * 3.0
    assert total_s >= seconds + given_s - 1e-6
    assert total_s < seconds + given_s + period_s * (len(shared) + 1)
    assert all(section.chunks == chunks_per_anchor * section.periods for section in a_plan.sections)


def test_the_last_section_takes_what_rounding_leaves():
    assert chunks(plan("AABA", seconds=53.0)) == [("A", 4), ("A", 4), ("B", 4), ("A", 6)]


def test_places_follow_the_sections_and_come_round_again():
    a_plan = plan("A:6,B:3")
    places = [a_plan.chunk_place(index) for index in range(-1, 5)]
    assert places == [
        Place("B", 0),
        Place("A", 0),
        Place("A", 1),
        Place("B", 0),
        Place("A", 0),
        Place("A", 1),
    ]


def test_anchors_belong_to_the_period_they_open():
    a_plan = plan("A:18,B:9", chunks_per_anchor=3)
    places = [a_plan.anchor_place(index) for index in range(4)]
    assert places == [Place("A", 0), Place("A", 1), Place("B", 0), Place("A", 0)]


def test_without_a_form_places_are_absolute():
    endless = plan_piece((), 60.0, chunk_s=3.0, chunks_per_anchor=1)
    assert endless == PiecePlan()
    assert endless.chunks is None
    assert endless.chunk_place(-1) == Place("", -1)
    assert endless.anchor_place(10**9) == Place("", 10**9)


def test_the_timetable_tells_the_lengths_as_rounded():
    assert plan("A:16,B:8").timetable(3.0) == [("A", 0.0, 15.0), ("B", 15.0, 24.0)]
