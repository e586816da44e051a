"""Names to rows: found however written, unknown in training, refused with a hint when asked for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.errors import ConfigError
from ritornello.jukebox.labels import (
    MISSING,
    Vocabulary,
    asked_genre_ids,
    genre_ids,
    normalised,
    time_bin,
)

ARTISTS = Vocabulary(kind="artist", names=("unknown", "bach", "dvorak", "the_band"))
GENRES = Vocabulary(kind="genre", names=("unknown", "rock", "jazz", "hip_hop", "slow"))


def test_names_are_found_however_they_are_written():
    assert ARTISTS.id_of("Dvořák") == ARTISTS.id_of(" DVORAK ") == 2
    assert ARTISTS.id_of("The  Band!") == 3
    assert normalised("Кино — 1985") == "кино_1985"


@settings(max_examples=30)
@given(st.text())
def test_normalising_twice_changes_nothing(name):
    assert normalised(normalised(name)) == normalised(name)


def test_unknown_names_are_row_zero_in_training_and_refused_when_asked_for():
    assert ARTISTS.id_or_unknown("mozart") == 0
    assert ARTISTS.id_or_unknown("unknown") == ARTISTS.id_of("unknown") == 0
    with pytest.raises(ConfigError, match=r"unknown artist 'Dvorjak'; did you mean 'dvorak'\?"):
        ARTISTS.id_of("Dvorjak")
    with pytest.raises(ConfigError, match="known: bach, dvorak, the_band"):
        ARTISTS.id_of("zzz")


def test_a_vocabulary_keeps_the_most_frequent_names():
    seen = ["B", "a", "b", "C", "c", "", "unknown"]
    kept = Vocabulary.of_most_frequent("artist", seen, rows=3)
    assert kept.names == ("unknown", "b", "c")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("bach",), "names begin"),
        (("unknown", "Bach"), "not normalised"),
        (("unknown", "bach", "bach"), "'bach' stands twice"),
    ],
)
def test_tables_that_could_not_be_used_are_refused(names, message):
    with pytest.raises(ConfigError, match=message):
        Vocabulary(kind="artist", names=names)


def test_genres_are_bags_of_words():
    assert genre_ids(GENRES, "Slow Jazz", 3) == (4, 2, MISSING)
    assert genre_ids(GENRES, "Hip-Hop", 2) == (3, MISSING)
    assert genre_ids(GENRES, "free jazz", 2) == (2, MISSING)
    assert genre_ids(GENRES, "polka", 2) == genre_ids(GENRES, "", 2) == (0, MISSING)
    assert genre_ids(GENRES, "rock slow jazz", 2) == (1, 4)


def test_genres_asked_for_are_all_there_or_refused():
    assert asked_genre_ids(GENRES, "slow jazz", 3) == (4, 2, MISSING)
    assert asked_genre_ids(GENRES, "hip hop", 1) == (3,)
    with pytest.raises(ConfigError, match=r"unknown genre 'jaz'; did you mean 'jazz'\?"):
        asked_genre_ids(GENRES, "slow jaz", 3)
    with pytest.raises(ConfigError, match="2 genres at most"):
        asked_genre_ids(GENRES, "slow jazz rock", 2)


@settings(max_examples=30)
@given(st.floats(-10, 100), st.integers(1, 128))
def test_time_bins_are_equal_parts_that_rise(value, bins):
    index = time_bin(value, 10.0, 60.0, bins)
    assert 0 <= index < bins
    assert time_bin(value + 1, 10.0, 60.0, bins) >= index
    if 10 <= value < 60:
        width = 50 / bins
        assert 10 + index * width <= value + 1e-9 < 10 + (index + 1) * width + 1e-6
