"""StemGen's tables: what is drawn, which ways of decoding are compared, what the page says."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from ritornello.data.stems import scan_stems
from ritornello.errors import DataError
from ritornello.evaluation.intervals import Estimate
from ritornello.stemgen import experiments
from ritornello.stemgen.config import DecodingConfig, GuidanceConfig
from ritornello.stemgen.trials import draw_both, draw_trials

RATE = 1600


def write_songs(folder, songs, seconds):
    """Folders of three stems each: tones that come and go."""
    time = np.arange(int(seconds * RATE)) / RATE
    for song in range(songs):
        place = folder / f"song {song}"
        place.mkdir()
        for number, name in enumerate(("bass", "drums", "keys")):
            wave = 0.3 * np.sin(2 * np.pi * (60 + 40 * song + 90 * number) * time)
            sounding = np.sin(2 * np.pi * (number + 1) * time) > -0.5
            soundfile.write(place / f"{name}.wav", wave * sounding, RATE)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("songs")
    write_songs(folder, songs=4, seconds=6.0)
    return scan_stems([folder])


def test_trials_are_spread_and_sound(corpus):
    found = draw_trials(corpus.songs, 4, 2.0, 1600, seed=0)
    assert [one.name for one in found] == ["000", "001", "002", "003"]
    assert len({one.song for one in found}) == 4
    for one in found:
        assert one.context.samples.shape == one.target.samples.shape == (1, 3200)
        assert abs(one.target.samples).max() > 0.01
    again = draw_trials(corpus.songs, 4, 2.0, 1600, seed=0)
    assert all(
        (a.context.samples == b.context.samples).all() for a, b in zip(found, again, strict=True)
    )


def test_what_is_judged_and_what_it_is_judged_against_are_of_different_songs(corpus):
    judged, others = draw_both(corpus, "all", 3, 2.0, 1600, seed=0)
    assert (len(judged), len(others)) == (3, 3)
    songs = [{one.song for one in side} for side in (judged, others)]
    assert [len(side) for side in songs] == [2, 2]
    assert not songs[0] & songs[1]


def test_trials_are_of_the_split(corpus):
    split = "train" if len(corpus.split("train")) > 1 else "valid"
    held = {song.id for song in corpus.split(split)}
    for side in draw_both(corpus, split, 2, 2.0, 1600, seed=0):
        assert {one.song for one in side} <= held


def test_more_trials_than_there_are_places_are_refused(corpus):
    with pytest.raises(DataError, match="Ask for fewer"):
        draw_trials(corpus.songs, 100, 2.0, 1600, seed=0)
    with pytest.raises(DataError, match="0 songs of the split 'all' last 60 s"):
        draw_both(corpus, "all", 1, 60.0, 1600, seed=0)


def test_rows_differ_in_what_their_table_is_about():
    own = DecodingConfig(guidance=GuidanceConfig(context=2.0, stem=2.0))
    pairs = {
        row.name: (row.decoding.guidance.stem, row.decoding.guidance.context)
        for row in experiments.guidance_rows(own)
    }
    assert pairs == {"none": (1, 1), "stem": (2, 1), "mix": (1, 2), "both": (2, 2)}
    biases = [row.decoding.ranking.causal for row in experiments.causal_rows(own)]
    assert biases == [0, 0.1, 0.2, 0.5]
    naive, best = experiments.final_rows(own)
    assert best.decoding == own
    assert naive.decoding.ranking.causal == 0
    assert naive.decoding == replace(
        own, guidance=naive.decoding.guidance, ranking=naive.decoding.ranking
    )


def test_the_page_shows_figures_beside_anchors_and_the_papers():
    def said(value):
        return Estimate(value=value, low=value - 1, high=value + 1, items=8).to_dict()

    figures = {"fad": said(5.0), "fad_null": said(2.0), "apa": said(0.9), "apa_anchor": said(0.1)}
    told = {
        "about": {"trials": 8, "seconds": 8.0},
        "rows": {
            experiments.REAL: {"figures": figures},
            "best": {"figures": figures, "published": {"fad": 3.12, "mirdd": 0.14}},
        },
    }
    page = experiments.markdown(told, "title", "ritornello reproduce stemgen-final -o a")
    row = next(line for line in page.splitlines() if line.startswith("| best"))
    assert "0.9 -0.1 to 1.9 / 0.1 -0.9 to 1.1" in row
    assert row.endswith("| 3.12 | 0.14 |")
    assert "fad 2" in page
