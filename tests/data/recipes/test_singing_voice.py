import numpy as np
import pytest

from ritornello.data.recipes.singing_voice import SINGERS, sing
from ritornello.data.recipes.singing_words import (
    FRAME_S,
    RATE_HZ,
    Speaker,
    find_festival,
    load_world,
    speaker,
)
from ritornello.data.recipes.songs_score import Note, ScoreSyllable, Song, spell, sung_higher
from ritornello.errors import DataError, MissingDependencyError
from tests.data.recipes.songs_material import needs_voice

WORDS = (
    ("mer-", 60, 0.5),
    ("ri-", 64, 0.5),
    ("ly", 67, 0.5),
    ("bless-", 69, 0.4),
    ("èd", 65, 0.4),
    ("pie", 62, 0.8),
    ("tea", 67, 0.6),
)


def song(words=WORDS):
    at, syllables = 0.5, []
    for text, pitch, length in words:
        note = Note(start_s=at, end_s=at + length, pitch=pitch)
        syllables.append(
            ScoreSyllable(text=text.rstrip("-"), continues=text.endswith("-"), notes=(note,))
        )
        at += length
    text, spelt = spell(syllables)
    return Song(
        title="T",
        composer="C",
        work="w",
        genre="g",
        licence="l",
        text=text,
        words=spelt,
        accompaniment=np.zeros((0, 3)),
    )


def pitch_of(wave):
    """(Hz or 0, seconds) of every frame."""
    return load_world().harvest(wave, RATE_HZ, 70.0, 1000.0, FRAME_S * 1000)


@needs_voice
@pytest.mark.parametrize(
    "singer",
    [SINGERS[0], *(pytest.param(singer, marks=pytest.mark.slow) for singer in SINGERS[1:])],
    ids=lambda singer: singer.name,
)
def test_notes_are_in_tune(singer):
    sheet = sung_higher(song(), 12 * round((singer.middle - 65) / 12))
    sung = sing(sheet, singer, speaker(), np.random.default_rng(0))
    hertz, at_s = pitch_of(sung.wave)
    for one, where in zip(sheet.syllables, sung.placed, strict=True):
        inside = (at_s > where.vowel_s + 0.04) & (at_s < where.vowel_end_s - 0.02) & (hertz > 0)
        assert inside.sum() > 5
        key = 69 + 12 * np.log2(np.median(hertz[inside]) / 440)
        assert abs(key - one.notes[0].pitch) < 0.5


def hum(wave, start_s, end_s, hop_s=0.0025):
    """(level below 600 Hz, seconds) of windows of 10 ms: voice, not breath."""
    at_s = np.arange(start_s, end_s, hop_s)
    window = np.hanning(int(0.01 * RATE_HZ))
    frames = np.stack([wave[int(s * RATE_HZ) :][: len(window)] * window for s in at_s])
    low = np.abs(np.fft.rfft(frames))[:, : int(600 * 0.01)]
    return np.sqrt((low**2).sum(axis=1)), at_s + 0.005


@needs_voice
def test_vowels_begin_on_the_beat():
    sung = sing(song(WORDS[-2:]), SINGERS[0], speaker(), np.random.default_rng(0))
    for where in sung.placed:  # after a voiceless stop the voice itself tells
        level, at_s = hum(sung.wave, where.start_s, where.vowel_s + 0.15)
        begins = at_s[np.flatnonzero(level > 0.3 * level.max())[0]]
        assert abs(begins - where.vowel_s) < 0.02


@needs_voice
def test_the_same_draw_sings_the_same_and_singers_differ():
    waves = [
        sing(song(WORDS[:3]), singer, speaker(), np.random.default_rng(0)).wave
        for singer in (SINGERS[1], SINGERS[1], SINGERS[2])
    ]
    assert np.array_equal(waves[0], waves[1])
    assert np.abs(waves[0] - waves[2]).max() > 0.1
    assert np.isfinite(waves[0]).all()


@needs_voice
@pytest.mark.slow
def test_words_are_said_once_and_the_oldest_forgotten():
    voice = Speaker(find_festival(), kept=2)
    said = voice.say(["moon", "brrr", "moon"])
    assert set(said) == {"moon", "brrr"}
    assert voice.say(["moon"])["moon"] is said["moon"]
    again = voice.say(["star", "sky"])
    assert all(word is not None for word in again.values())
    assert voice.say(["moon"])["moon"] is not said["moon"]


@needs_voice
def test_no_vowel_is_much_louder_than_another():
    sung = sing(song(), SINGERS[0], speaker(), np.random.default_rng(0))
    levels = [
        np.sqrt(np.mean(sung.wave[int(p.vowel_s * RATE_HZ) : int(p.vowel_end_s * RATE_HZ)] ** 2))
        for p in sung.placed
    ]
    assert max(levels) / min(levels) < 10 ** (12 / 20)


@needs_voice
def test_what_cannot_be_spoken_is_named():
    with pytest.raises(DataError, match="'ψ' cannot be spoken"):
        sing(song((("ψ", 60, 0.5),)), SINGERS[0], speaker(), np.random.default_rng(0))


def test_only_letters_reach_the_speaking_program():
    with pytest.raises(DataError, match="plain letters"):
        Speaker("festival").say(['a") (system "true'])


def test_a_missing_voice_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependencyError, match="apt install festival festvox-us-slt-hts"):
        find_festival()


@needs_voice
def test_a_missing_voice_beside_the_program_is_one_line(monkeypatch):
    monkeypatch.setattr("ritornello.data.recipes.singing_words.VOICE", "voice_of_nobody")
    with pytest.raises(MissingDependencyError, match="festvox-us-slt-hts"):
        Speaker(find_festival()).say(["la"])
