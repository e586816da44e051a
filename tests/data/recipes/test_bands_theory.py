"""Keys, chords, forms and melodies of the bands recipe, as laws that hold for every draw."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.data.recipes.bands_grooves import CATEGORIES, FAMILIES, GROOVES
from ritornello.data.recipes.bands_melody import COMPASS, Manner, draw_melody
from ritornello.data.recipes.bands_plan import DURATION_S, draw_plan
from ritornello.data.recipes.bands_theory import (
    PHRASE_BARS,
    Key,
    degree_chord,
    draw_bars,
    draw_form,
)

keys = st.builds(Key, tonic=st.integers(0, 11), minor=st.booleans())
functional = st.sampled_from(["triads", "sevenths", "loops"])
seeds = st.integers(0, 2**31)
quick = settings(max_examples=40, deadline=None)


def bars_of(key, harmony, letter, count, seed, *, returns=False, beats_per_bar=4):
    draw = np.random.default_rng(seed)
    return draw_bars(
        key, harmony, letter, count, beats_per_bar=beats_per_bar, returns=returns, draw=draw
    )


@pytest.mark.parametrize(
    ("key", "text", "dominant"),
    [
        (Key(tonic=0, minor=True), "C minor", (7, 11, 2, 5)),
        (Key(tonic=10, minor=False), "Bb major", (5, 9, 0)),
        (Key(tonic=6, minor=True), "F# minor", (1, 5, 8, 11)),
        (Key(tonic=3, minor=True), "D# minor", (10, 2, 5, 8)),
    ],
)
def test_keys_are_named_and_have_a_major_dominant(key, text, dominant):
    assert str(key) == text
    assert degree_chord(key, 5).pitch_classes == dominant


@quick
@given(key=keys, harmony=functional, letter=st.sampled_from("ABC"), seed=seeds)
def test_chords_are_of_the_key(key, harmony, letter, seed):
    leading = (key.tonic - 1) % 12  # of the dominant of a minor key
    allowed = {*key.scale, leading} if key.minor else set(key.scale)
    for bar in bars_of(key, harmony, letter, 8, seed):
        for chord in bar:
            assert set(chord.pitch_classes) <= allowed


@quick
@given(key=keys, harmony=functional, returns=st.booleans(), seed=seeds)
def test_the_first_phrase_asks_and_the_last_answers(key, harmony, returns, seed):
    bars = bars_of(key, harmony, "B", 8, seed, returns=returns)
    assert len(bars) == 8
    dominant = (key.tonic + 7) % 12
    if harmony != "loops":
        assert bars[PHRASE_BARS - 1][-1].root == dominant
    assert bars[-1][-1].root == (dominant if returns else key.tonic)
    if not returns:
        assert bars[-2][-1].root == dominant


@quick
@given(key=keys, harmony=functional, seed=seeds)
def test_bars_of_three_beats_are_not_split(key, harmony, seed):
    assert all(len(bar) == 1 for bar in bars_of(key, harmony, "A", 8, seed, beats_per_bar=3))


@quick
@given(key=keys, seed=seeds)
def test_a_blues_has_twelve_bars_of_three_dominant_sevenths(key, seed):
    bars = bars_of(key, "blues", "A", 12, seed)
    assert len(bars) == 12
    assert {chord.quality for bar in bars for chord in bar} == {"7"}
    assert {(chord.root - key.tonic) % 12 for bar in bars for chord in bar} == {0, 5, 7}


@quick
@given(bpm=st.floats(70, 170), harmony=functional, seed=seeds)
def test_forms_last_as_long_as_asked(bpm, harmony, seed):
    bar_s = 240 / bpm
    form, bars = draw_form(harmony, bar_s, DURATION_S, np.random.default_rng(seed))
    assert set(form) == set(bars)
    assert DURATION_S[0] <= bar_s * sum(bars[letter] for letter in form) <= DURATION_S[1]


def test_what_cannot_last_so_long_comes_as_near_as_it_can():
    form, bars = draw_form("loops", 240 / 20, DURATION_S, np.random.default_rng(0))
    assert (form, bars) == ("AB", {"A": 4, "B": 4})


@quick
@given(
    key=keys,
    harmony=functional,
    beats_per_bar=st.sampled_from([3, 4]),
    density=st.floats(0, 1),
    seed=seeds,
)
def test_a_melody_fits_its_chords_and_rests_at_the_ends_of_phrases(
    key, harmony, beats_per_bar, density, seed
):
    bars = bars_of(key, harmony, "A", 8, seed, beats_per_bar=beats_per_bar)
    manner = Manner(middle=72, density=density, swing=0.667)
    notes = draw_melody(bars, key, manner, beats_per_bar, np.random.default_rng(seed))
    scale = set(key.scale)
    for note in notes:
        number, beat = divmod(note.start, beats_per_bar)
        bar = bars[int(number)]
        chord = bar[-1] if beat >= beats_per_bar / 2 else bar[0]
        assert abs(note.pitch - manner.middle) <= COMPASS
        assert note.pitch % 12 in scale | set(chord.pitch_classes)
        if beat % 1 == 0:
            assert note.pitch % 12 in chord.pitch_classes
    assert all(one.start + one.beats <= two.start for one, two in pairwise(notes))
    for phrase in (1, 2):
        end = phrase * PHRASE_BARS * beats_per_bar
        before = max((note for note in notes if note.start < end), key=lambda note: note.start)
        assert end - (before.start + before.beats) >= 0.5


@quick
@given(seed=seeds)
def test_the_motif_comes_back_within_the_phrase(seed):
    key = Key(tonic=0, minor=False)
    bars = bars_of(key, "triads", "A", 4, seed)
    manner = Manner(middle=72, density=0.5, swing=0.5)
    notes = draw_melody(bars, key, manner, 4, np.random.default_rng(seed))
    rhythm = [[note.start % 4 for note in notes if note.start // 4 == bar] for bar in (0, 2)]
    assert rhythm[0] == rhythm[1]


def test_songs_vary_and_each_groove_takes_its_turn():
    plans = [draw_plan(0, number, GROOVES) for number in range(len(GROOVES))]
    assert {plan.groove for plan in plans} == set(GROOVES)
    assert {plan.family.name for plan in plans} == set(FAMILIES)
    assert len({plan.key for plan in plans}) >= 18
    assert np.std([plan.bpm for plan in plans]) > 20
    assert all(60 <= plan.bpm <= 180 for plan in plans)
    for plan in plans:
        slowest, fastest = plan.groove.bpm
        assert slowest <= plan.bpm <= fastest
        assert len(plan.form) > len(set(plan.form)) or plan.seconds > DURATION_S[0] - 10
        assert set(plan.programs) == set(CATEGORIES)
        assert plan.starts_s[-1] == pytest.approx(
            plan.bars * plan.groove.beats_per_bar * 60 / plan.bpm
        )


def test_a_number_is_always_the_same_song_and_seeds_differ():
    again = [draw_plan(3, 7, GROOVES) for _ in range(2)]
    assert again[0] == again[1]
    assert draw_plan(4, 7, GROOVES) != again[0]
