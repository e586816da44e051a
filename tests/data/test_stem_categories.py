"""What stems are called: every word has a category, of several meanings the known one counts."""

import pytest

from ritornello.data.stem_categories import (
    CATEGORIES,
    FAMILIES,
    INSTRUMENTS,
    SYNONYMS,
    category_of_name,
    category_of_program,
    is_mix,
    resolve_category,
)
from ritornello.errors import ConfigError


def test_there_are_the_papers_eighteen_rows_and_the_roles():
    assert len(INSTRUMENTS) == 18
    assert len(set(CATEGORIES)) == len(CATEGORIES) == 23


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_category_is_found_by_its_own_name(category):
    assert category_of_name(category.title()) == category


def test_every_synonym_means_categories_that_exist():
    for word, categories in SYNONYMS.items():
        assert set(categories) <= set(CATEGORIES), word
        assert category_of_name(word) == categories[0], word


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("Drums 1", "drums"),
        ("03_kick-L", "drums"),
        ("Bass Drum", "drums"),
        ("Drum & Bass", "bass"),
        ("BASS_GTR", "bass"),
        ("e-gtr", "guitar"),
        ("My Guitar Man - Lead Vox", "voice"),
        ("Strings (continued)", "ensemble"),
        ("Vocals", "voice"),
        ("Synth Pad 2", "synth pad"),
        ("Pads", "pads"),
        ("Keys", "piano"),
        ("Track 07", None),
        ("basssong", None),
        ("", None),
    ],
)
def test_names_of_tracks_say_what_they_hold(name, category):
    assert category_of_name(name) == category


def test_programs_are_in_families_of_eight():
    assert [category_of_program(program) for program in (0, 7, 33, 127)] == [
        "piano",
        "piano",
        "bass",
        "sound effects",
    ]
    assert len({category_of_program(program) for program in range(128)}) == len(FAMILIES)
    with pytest.raises(ConfigError, match=r"program is 128; expected 0 \.\. 127"):
        category_of_program(128)


@pytest.mark.parametrize("name", ["mix", "Mixture", "MASTER", "full_mix", "Mix 2"])
def test_mixes_are_known_by_name(name):
    assert is_mix(name)
    assert not is_mix(f"drums {name}")


def test_a_request_finds_the_category_that_the_model_has():
    band = ("bass", "chords", "drums", "melody")
    assert resolve_category("Bass", band) == "bass"
    assert resolve_category("keys", band) == "chords"
    assert resolve_category("keys", (*band, "piano")) == "piano"
    assert resolve_category("kick", band) == "drums"
    assert resolve_category("lead", band) == "melody"
    assert resolve_category("hurdy-gurdy", ("Hurdy-Gurdy",)) == "Hurdy-Gurdy"


def test_an_unknown_stem_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"no stem 'bsas' here: did you mean 'bass'\? Known are"):
        resolve_category("bsas", ("bass", "drums"))
    with pytest.raises(ConfigError, match="'theremin' here: known are bass, drums"):
        resolve_category("theremin", ("bass", "drums"))
    with pytest.raises(ConfigError, match="known are none at all"):
        resolve_category("bass", ())
