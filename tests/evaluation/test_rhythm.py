import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.audio.features import ONSET_RATE_HZ
from ritornello.errors import AudioError, DataError
from ritornello.evaluation import rhythm
from tests.evaluation.scores import PROGRESSION, RATE, chords, clicks, played, score
from tests.evaluation.signals import noise, tone


@pytest.mark.parametrize(("beats_per_bar", "bpm"), [(2, 110), (3, 120), (4, 90)])
def test_clicks_have_their_tempo_beats_and_bars(beats_per_bar, bpm):
    found = rhythm.measure(clicks(beats_per_bar, bpm, 10.0), RATE)
    assert found.tempo_bpm == pytest.approx(bpm, rel=0.01)
    expected = 0.1 + np.arange(int(9.9 * bpm / 60)) * 60 / bpm
    assert found.beats_s == pytest.approx(expected, abs=0.03)
    assert found.bar.beats == beats_per_bar
    assert found.bar.confidence > 0.5
    assert found.percussive_density == -(-0.6 * bpm // 60)


def test_equal_clicks_have_no_bar():
    assert rhythm.measure(clicks(1, 120, 7.0), RATE).bar is None


def test_harmony_tells_bars_that_sound_alone_does_not():
    events, beats_s = chords(PROGRESSION * 2, beats=3), 0.5 * np.arange(24)
    even = np.full(2000, 1.0)
    assert rhythm.beats_per_bar(rhythm.accents(even, even, beats_s)) is None
    cues = rhythm.accents(even, even, beats_s, score(events, 12.0))
    found = rhythm.beats_per_bar(cues)
    assert found.beats == 3
    assert found.confidence > 0.6


@settings(max_examples=8)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 3, 4]), st.integers(0, 3))
def test_bars_are_found_wherever_they_begin(seed, length, first):
    heavy = (np.arange(24) + first) % length == 0
    cues = heavy[:, None] + 0.1 * np.random.default_rng(seed).standard_normal((24, 2))
    found = rhythm.beats_per_bar(cues)
    assert found.beats == length
    assert found.confidence > 0.7


def test_random_accents_explain_nothing_on_average():
    draw = np.random.default_rng(0)
    explained = [rhythm._explained(draw.standard_normal((24, 2)), 4) for _ in range(300)]
    assert np.mean(explained) == pytest.approx(0, abs=0.02)


def test_too_few_beats_make_no_bar():
    assert rhythm.beats_per_bar(np.eye(11)[:, :2]) is None
    assert rhythm.beats_per_bar(np.ones((30, 2))) is None


def test_beats_bridge_a_missing_onset_and_end_with_the_music():
    strength = np.zeros(round(10 * ONSET_RATE_HZ))
    struck = [index for index in range(12) if index != 5]
    strength[[round((0.5 + 0.5 * index) * ONSET_RATE_HZ) for index in struck]] = 1
    expected = 0.5 + 0.5 * np.arange(12)
    assert rhythm.beats(strength, 120.0) == pytest.approx(expected, abs=0.03)


def test_beats_of_nothing_and_of_no_tempo():
    assert len(rhythm.beats(np.zeros(500), 120.0)) == 0
    assert len(rhythm.beats(np.ones(10), 120.0)) == 0
    with pytest.raises(DataError, match="above 0"):
        rhythm.beats(np.ones(500), 0.0)


def test_percussion_is_heard_through_chords_and_chords_are_not_percussion():
    chord = tone(220, 4.0) + tone(277, 4.0) + tone(330, 4.0)
    swelling = np.hanning(chord.shape[1]) * chord  # cut off sharply it would click
    drums = clicks(1, 250, 4.0)  # one every 0.24 s
    assert rhythm.measure(swelling + drums, RATE).percussive_density == 3
    assert rhythm.measure(swelling, RATE).percussive_density == 0


def test_most_onsets_in_a_window():
    assert rhythm.percussive_density(np.array([])) == 0
    assert rhythm.percussive_density(np.array([0.0, 0.59, 0.61, 5.0])) == 2
    assert rhythm.percussive_density(np.array([0.0, 0.6])) == 1


def test_blocks_equal_the_whole(monkeypatch):
    signal = (noise(1.5, seed=1) + tone(300, 1.5))[0]
    whole = rhythm.spectral_cues(signal)
    monkeypatch.setattr(rhythm, "BLOCK_FRAMES", 50)
    for one, other in zip(whole, rhythm.spectral_cues(signal), strict=True):
        assert one == pytest.approx(other, abs=1e-6)


def test_silence_has_no_rhythm_and_odd_rates_do():
    figures = rhythm.evaluate(np.zeros((2, RATE)), RATE)
    assert figures["percussive_density"] == 0
    assert np.isnan([figures["tempo_bpm"], figures["beats_per_bar"]]).all()
    assert rhythm.evaluate(np.zeros((1, 5)), 8000)["percussive_density"] == 0
    piece = played(chords(PROGRESSION, beats=2), 4.0)
    assert rhythm.evaluate(piece, 22051)["tempo_bpm"] == pytest.approx(120, rel=0.02)
    with pytest.raises(AudioError, match="0 samples"):
        rhythm.measure(np.zeros((1, 0)), RATE)
