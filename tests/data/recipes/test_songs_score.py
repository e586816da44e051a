import unicodedata

import numpy as np
import pytest

from ritornello.data.recipes.songs_own import harmonised, own_songs, read_music, song_of
from ritornello.data.recipes.songs_score import (
    Note,
    ScoreSyllable,
    Song,
    cut,
    faster,
    later,
    sayable,
    spell,
    transposed,
)
from ritornello.data.recipes.songs_tunes import TUNES, Tune
from ritornello.errors import DataError


def syllable(text, start_s, end_s, pitch=60):
    note = Note(start_s=start_s, end_s=end_s, pitch=pitch)
    return ScoreSyllable(text=text.rstrip("-"), continues=text.endswith("-"), notes=(note,))


def test_lyrics_are_spelt_with_the_place_of_every_syllable():
    decomposed = unicodedata.normalize("NFD", "bless-")
    text, words = spell(
        [
            syllable("Twin-", 0, 1),
            syllable("kle,", 1, 2),
            syllable(decomposed, 2, 3),
            syllable("e\u0301d", 3, 4),
            syllable("star!”", 4, 5),
            syllable("How", 5, 6),
            syllable("man-", 7, 8),
            syllable("y‿a", 8, 9),
        ]
    )
    assert text == "Twinkle, blesséd star!”\nHow\nmany a"
    assert [word.spoken for word in words] == ["twinkle", "blessed", "star", "how", "many a"]
    for word in words:
        for one in word.syllables:
            assert text[one.begin : one.end] == one.text
    assert unicodedata.is_normalized("NFC", text)


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("\u2019Mid", "'mid"),
        ("o\u2019er,", "o'er"),
        ("4", ""),
        ("ψ", ""),
        ("a-maying", "amaying"),
        ("\u2019", ""),
    ],
)
def test_only_plain_letters_are_said(written, spoken):
    assert sayable(written) == spoken


def long_song(rests_after, count=60):
    """A second per syllable; half a second of rest after some."""
    at, syllables = 0.0, []
    for index in range(count):
        syllables.append(syllable(f"la{index}", at, at + 1))
        at += 1.5 if index in rests_after else 1.0
    text, words = spell(syllables)
    notes = np.array([[t, t + 2.0, 48] for t in np.arange(0, at, 2.0)])
    return Song(
        title="T",
        composer="C",
        work="w",
        genre="g",
        licence="l",
        text=text,
        words=words,
        accompaniment=notes,
    )


def test_long_songs_are_cut_at_rests_and_nothing_is_lost():
    song = long_song({9, 19, 25, 29, 44})
    parts = cut(song, 22.0)
    assert all(part.duration_s <= 22.0 for part in parts)
    assert [len(part.syllables) for part in parts] == [20, 10, 15, 15]
    for part in parts:
        assert part.syllables[0].notes[0].start_s <= 0.5
        for one in part.syllables:
            assert part.text[one.begin : one.end] == one.text
    assert "".join(s.text for part in parts for s in part.syllables) == "".join(
        s.text for s in song.syllables
    )
    assert cut(song, 1000.0) == [song]


def test_a_song_without_rests_stays_whole():
    assert len(cut(long_song(set()), 20.0)) == 1


def test_variations_move_everything_alike():
    song = own_songs()[0]
    other = later(faster(transposed(song, 2), 2.0), 1.0)
    assert other.pitches == [pitch + 2 for pitch in song.pitches]
    assert other.duration_s == pytest.approx(song.duration_s / 2 + 1)
    assert other.syllables[3].notes[0].start_s == pytest.approx(
        song.syllables[3].notes[0].start_s / 2 + 1
    )
    np.testing.assert_allclose(other.accompaniment[:, 0], song.accompaniment[:, 0] / 2 + 1)
    np.testing.assert_allclose(other.accompaniment[:, 2], song.accompaniment[:, 2] + 2)
    assert other.sections[1].start_s == pytest.approx(song.sections[1].start_s / 2 + 1)


@pytest.mark.parametrize("tune", TUNES, ids=lambda tune: tune.title)
def test_every_own_tune_is_sound(tune):
    song = song_of(tune)
    assert 10 < song.duration_s < 120
    assert all(sayable(one.text) for one in song.syllables)
    assert all(52 <= pitch <= 79 for pitch in song.pitches)
    ends = [one.notes[-1].end_s for one in song.syllables[:-1]]
    starts = [one.notes[0].start_s for one in song.syllables[1:]]
    assert all(end <= start + 1e-9 for end, start in zip(ends, starts, strict=True))
    assert [section.letter for section in song.sections] == [letter for letter, _ in tune.form]
    for section, (_, words) in zip(song.sections, tune.form, strict=True):
        inside = [
            one
            for one in song.syllables
            if section.start_s - 1e-6 <= one.notes[0].start_s < section.end_s - 1e-6
        ]
        assert inside[0].text == words.replace("-", " ").split()[0]


def test_returning_sections_have_the_same_music():
    song = song_of(TUNES[0])
    first, _, third = (
        [
            (round(note.start_s - section.start_s, 6), note.pitch)
            for one in song.syllables
            for note in one.notes
            if section.start_s - 1e-6 <= note.start_s < section.end_s - 1e-6
        ]
        for section in song.sections[:3]
    )
    assert first == third


def test_chords_follow_the_melody():
    assert harmonised(read_music("c4 e g c | g2 b | f4 a c' f | c1"), 60, 4.0) == [
        "I",
        "V",
        "IV",
        "I",
    ]


def test_notes_without_syllables_are_an_error():
    tune = Tune(title="X", origin="", key="C", tempo=90, parts={"A": "c4 d"}, form=(("A", "la"),))
    with pytest.raises(DataError, match="1 syllables for 2 notes"):
        song_of(tune)
    with pytest.raises(DataError, match="is no note"):
        read_music("c4 x")
