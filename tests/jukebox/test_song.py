"""What is said of songs that no model was trained for: blank words, early returns, no end."""

import pytest

from ritornello.errors import ConfigError
from ritornello.interfaces import Request, Section
from ritornello.jukebox.song import song_of
from ritornello.jukebox.windows import Tape, Window
from tests.jukebox.players import returning_config, singing_config


@pytest.mark.parametrize("text", ["", " \n ", "\u200b"])
def test_blank_lyrics_are_refused(text):
    with pytest.raises(ConfigError, match="the lyrics are blank"):
        song_of(Request(lyrics=text), singing_config(), total=160)


def test_words_without_end_agree_with_the_time_told_and_begin_again():
    config = singing_config()
    text = "".join(chr(97 + index % 26) for index in range(200))

    def told(start_s, **song):
        start = round(start_s * config.prior.frame_rate_hz)
        window = Window(index=0, start=start, known=start, end=start + 1, stop=start + 24)
        return song_of(Request(lyrics=text), config, **song).conditions(window, Tape())

    for start_s in (0.0, 60.0, 150.0, 200.0, 1000.0):
        endless = told(start_s)
        whole = told(float(endless.start_s), total=round(180 * config.prior.frame_rate_hz))
        assert endless.lyrics is not None
        assert whole.lyrics is not None
        assert endless.lyrics.tolist() == whole.lyrics.tolist()
    assert float(told(150.0).start_s) == pytest.approx(150)
    assert 20 < float(told(200.0).start_s) < 21


def test_a_section_that_returns_before_it_is_drawn_is_named(caplog):
    config = returning_config()
    hop_s = config.hops[-1] * config.prior.context_s
    for letters, seconds in (("AA", 2 * hop_s), ("ABAB", hop_s), ("AB", hop_s / 4)):
        form = tuple(Section(letter=letter, seconds=seconds) for letter in letters)
        song_of(Request(form=form), config, total=200)
        assert not caplog.messages
    form = tuple(Section(letter=letter, seconds=hop_s / 2) for letter in "AA")
    song_of(Request(form=form), config, total=200)
    assert "section A returns after" in caplog.text
