from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.data.recipes.singing_diction import Placed, Uttered, divide, place, warp
from ritornello.data.recipes.singing_words import Sound, Spoken
from ritornello.data.recipes.songs_score import Note


def spoken(*sounds):
    """A word of 0.1 s sounds: (name, vowel, begins a syllable)."""
    return Spoken(
        sounds=tuple(
            Sound(
                name=name,
                start_s=0.1 * i,
                end_s=0.1 * (i + 1),
                vowel=vowel,
                begins_syllable=begins,
            )
            for i, (name, vowel, begins) in enumerate(sounds)
        ),
        log_envelope=np.zeros((2, 3)),
        aperiodicity=np.zeros((2, 3)),
        voiced=np.ones(2, bool),
    )


HEAVEN = spoken(
    ("hh", False, True),
    ("eh", True, False),
    ("v", False, True),
    ("ax", True, False),
    ("n", False, False),
)


def test_a_word_is_divided_as_the_score_divides_it():
    first, second = divide(HEAVEN, 2)
    assert (first.start_s, first.vowel_s, first.end_s) == pytest.approx((0.0, 0.1, 0.2))
    assert (second.start_s, second.vowel_s, second.vowel_end_s) == pytest.approx((0.2, 0.3, 0.4))
    (whole,) = divide(HEAVEN, 1)  # on one note: the first vowel is held, the rest comes after
    assert (whole.vowel_s, whole.vowel_end_s, whole.end_s) == pytest.approx((0.1, 0.2, 0.5))
    assert divide(HEAVEN, 3) is None


def test_consonants_without_a_vowel_belong_to_their_neighbour():
    word = spoken(("s", False, True), ("t", False, True), ("aa", True, False), ("r", False, True))
    (only,) = divide(word, 1)
    assert (only.start_s, only.vowel_s, only.end_s) == pytest.approx((0.0, 0.2, 0.4))


lengths = st.floats(0.0, 0.5)
syllables = st.tuples(lengths, st.floats(0.05, 0.4), lengths)
steps = st.tuples(st.floats(0.08, 2.0), st.floats(0.2, 1.0))


@settings(max_examples=40)
@given(st.lists(st.tuples(syllables, steps), min_size=1, max_size=12))
def test_vowels_are_on_the_beat_and_nothing_overlaps(drawn):
    uttered, notes, at = [], [], 0.5
    for (onset, vowel, coda), (length, sounding) in drawn:
        ends = np.cumsum([onset, vowel, coda])
        uttered.append(
            Uttered(
                start_s=0.0,
                vowel_s=float(ends[0]),
                vowel_end_s=float(ends[1]),
                end_s=float(ends[2]),
            )
        )
        notes.append((Note(start_s=at, end_s=at + length * sounding, pitch=60),))
        at += length
    placed = place(uttered, notes)
    for one, (note,) in zip(placed, notes, strict=True):
        assert one.vowel_s == note.start_s
        assert one.start_s <= one.vowel_s < one.vowel_end_s <= one.end_s + 1e-9
    for before, after in pairwise(placed):
        assert before.end_s <= after.start_s + 1e-9


def test_a_held_vowel_keeps_its_edges_at_natural_speed():
    one = Uttered(start_s=0.0, vowel_s=0.1, vowel_end_s=0.2, end_s=0.3)
    where = Placed(start_s=0.9, vowel_s=1.0, vowel_end_s=2.0, end_s=2.1)
    at = np.array([0.9, 0.95, 1.0, 1.02, 1.5, 1.99, 2.0, 2.1])
    heard = warp(one, where, at)
    np.testing.assert_allclose(heard[[0, 1, 2, 3]], [0.0, 0.05, 0.1, 0.12], atol=1e-9)
    np.testing.assert_allclose(heard[[5, 6, 7]], [0.19, 0.2, 0.3], atol=1e-9)
    assert 0.135 < heard[4] < 0.175
    assert (np.diff(heard) >= 0).all()


def test_a_diphthong_glides_at_its_end():
    where = Placed(start_s=1.0, vowel_s=1.0, vowel_end_s=2.0, end_s=2.0)
    plain, glide = (
        warp(
            Uttered(start_s=0.0, vowel_s=0.0, vowel_end_s=0.2, end_s=0.2, glides=glides),
            where,
            np.array([1.85]),
        )
        for glides in (False, True)
    )
    assert glide[0] < 0.5 * 0.2 < plain[0]
