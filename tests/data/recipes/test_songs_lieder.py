import numpy as np
import pytest

from ritornello.data.recipes.catalogue import catalogue
from ritornello.data.recipes.songs_lieder import SUFFIXES, read_song
from ritornello.errors import DataError
from tests.data.recipes.songs_material import PIANO_BARS, note, score

pytest.importorskip("music21")


@pytest.fixture
def read(tmp_path):
    def parse(content, name="Anon__A-Song.musicxml"):
        (tmp_path / name).write_text(content, encoding="utf-8")
        (entry,) = catalogue(tmp_path, suffixes=SUFFIXES)
        return read_song(entry)

    return parse


def test_voice_words_ties_and_melismas(read):
    song = read(score())
    assert song.text == "Silver moon, shine to Come sing, my heart and all."
    assert [word.spoken for word in song.words][:2] == ["silver", "moon"]
    notes = [[(n.start_s, n.end_s, n.pitch) for n in one.notes] for one in song.syllables]
    assert notes[0] == [(0.0, 0.5, 60)]
    assert notes[2] == [(1.0, 1.5, 67), (1.5, 2.0, 69)]  # a melisma of two notes
    assert notes[3] == [(2.0, 3.5, 67)]  # two tied notes are one
    assert song.licence == "CC0"
    assert song.composer == "Anon"


def test_repeats_are_sung_with_their_own_verse_and_name_the_form(read):
    song = read(score())
    assert [(s.letter, s.start_s, s.end_s) for s in song.sections] == [
        ("A", 0.0, 4.0),
        ("A", 4.0, 8.0),
        ("B", 8.0, 10.0),
    ]
    second = next(one for one in song.syllables if one.text == "Come")
    assert second.notes[0].start_s == 4.0


def test_the_piano_is_played_with_ties_joined(read):
    song = read(score(repeat_after=None))
    np.testing.assert_allclose(song.accompaniment, [[0, 2, 48], [2, 6, 55]])
    assert song.sections == ()


def test_an_incomplete_bar_of_one_part_shifts_nothing(read):
    short = (note("C", 3, 6), *PIANO_BARS[1:])
    song = read(score(piano=short, repeat_after=None))
    starts = [one.notes[0].start_s for one in song.syllables]
    assert starts == [0.0, 0.5, 1.0, 2.0, 3.5, 4.0]
    np.testing.assert_allclose(song.accompaniment, [[0, 1.5, 48], [2, 6, 55]])


def test_a_verse_in_another_language_is_left_out(read):
    german = ("Der", "Mond", "und", "ich,", "wir", "zwei", "am", "See")
    english = ("The", "moon", "and", "I,", "we", "two", "of", "the")
    bars = [
        "".join(
            note("C", 4, 2, [(1, "single", german[at + i]), (2, "single", english[at + i])])
            for i in range(4)
        )
        for at in (0, 4)
    ]
    song = read(score(voice=tuple(bars), piano=PIANO_BARS[:2], repeat_after=None))
    assert song.text == "The moon and I, we two of the"


def test_what_has_no_words_is_an_error(read):
    with pytest.raises(DataError, match="cannot be read as MusicXML"):
        read("<score-partwise>")
    with pytest.raises(DataError, match="0 syllables"):
        read(score(voice=PIANO_BARS))
