"""What a dataset tells of a recording becomes lyrics, names and rows of tables."""

from dataclasses import replace
from pathlib import Path

import pytest

from ritornello.data.corpus import Corpus
from ritornello.data.recordings import Measurements, Recording
from ritornello.errors import DataError
from ritornello.jukebox.labels import MISSING, UNKNOWN_ID
from ritornello.jukebox.lyrics import LinearTiming, Sung, SungTiming
from ritornello.jukebox.presets import nano
from ritornello.jukebox.recordings import KnownMusic, genre_words, vocabularies
from ritornello.jukebox.song_lyrics import lyrics_of

MEASURED = Measurements(
    samples=80000,
    sample_rate=8000,
    channels=1,
    silence=0.0,
    clipping=0.0,
    sha256="0",
    audio_sha256="0",
)


def described(name="song", lyrics=None, **labels):
    """A recording of ten seconds that nobody opens."""
    return Recording(
        id=f"{name}.wav",
        path=Path(f"{name}.wav"),
        split="train",
        work=name,
        title=name,
        licence=None,
        labels=labels,
        measured=MEASURED,
        lyrics=lyrics,
    )


def test_a_text_is_spread_over_the_recording():
    song = lyrics_of(described(lyrics="Zoe\u0308"), "bytes")
    assert song.text == "Zoë"
    assert song.timing == LinearTiming(tokens=4, total_s=10.0)
    assert song.sung == ()
    assert lyrics_of(described(), "bytes") is None


def test_known_times_are_kept():
    first = {"start_s": 1.0, "end_s": 2.0, "begin": 0, "end": 2}
    second = {"start_s": 4.0, "end_s": 5.0, "begin": 3, "end": 5}
    song = lyrics_of(described(lyrics={"text": "la li", "sung": [first, second]}), "characters")
    assert song.sung == (Sung(**first), Sung(**second))
    assert isinstance(song.timing, SungTiming)
    assert [song.timing.token_at(time_s) for time_s in (0.5, 1.5, 3.0, 9.0)] == [0, 1, 2, 5]


def test_times_out_of_order_name_the_recording():
    backwards = {"start_s": 2.0, "end_s": 1.0, "begin": 0, "end": 2}
    with pytest.raises(DataError, match=r"lyrics of song\.wav: .* ends before it begins"):
        lyrics_of(described(lyrics={"text": "la", "sung": [backwards]}), "bytes")


def test_keywords_are_further_genre_words():
    song = described(genre="hip-hop, Jazz", keywords="late night; slow")
    assert genre_words(song) == ["hip-hop", "Jazz", "late", "night", "slow"]
    assert genre_words(described()) == []


def known(*songs):
    """The genre vocabulary of these songs, and the rows that each of them gets."""
    config = nano()
    labels = replace(config.prior.labels, genres=8, genre_slots=3)
    config = replace(config, prior=replace(config.prior, labels=labels))
    corpus = Corpus(list(songs))
    artists, genres = vocabularies(corpus, config)
    config = replace(config, artists=artists.names, genres=genres.names)
    return genres, KnownMusic(corpus, config).genres.tolist()


def test_keywords_fill_the_slots_that_the_genre_leaves():
    songs = (
        described("a", genre="slow waltz", keywords="sad, slow, piano"),
        described("b", keywords="sad"),
        described("c"),
    )
    genres, told = known(*songs)
    assert set(genres.names) == {"unknown", "slow", "waltz", "sad", "piano"}
    slow, waltz, sad = map(genres.id_of, ("slow", "waltz", "sad"))
    assert told == [[slow, waltz, sad], [sad, MISSING, MISSING], [UNKNOWN_ID, MISSING, MISSING]]


def test_a_genre_with_a_hyphen_is_one_word_wherever_it_stands():
    genres, told = known(described("a", genre="hip-hop"), described("b", genre="big hip-hop"))
    hip_hop = genres.id_of("hip-hop")
    assert told[0][:2] == [hip_hop, MISSING]
    assert told[1][:2] == [genres.id_of("big"), hip_hop]
