import builtins

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.audio.resample import resample
from ritornello.errors import AudioError, DataError, MissingDependencyError
from ritornello.evaluation import notes
from ritornello.evaluation.notes import FRAME_RATE_HZ, HOP, RATE_HZ, STEP_FRAMES
from tests.evaluation.scores import PROGRESSION, RATE, chords, played, score
from tests.evaluation.signals import noise

EVENTS = chords(PROGRESSION, beats=1)
SECONDS = 2.2


@pytest.fixture(scope="module")
def wave():
    return played(EVENTS, SECONDS)


def test_network_hears_the_chords(wave):
    heard = notes.basic_pitch(wave, RATE)
    figures = notes.evaluate(heard, score(EVENTS, SECONDS))
    assert figures["note_recall"] == 1
    assert figures["note_precision"] > 0.6  # its octave doubles of harmonic tones
    assert heard.transcriber == notes.BASIC_PITCH
    assert heard.duration_s == pytest.approx(SECONDS)
    assert (heard.end_s > heard.start_s).all()
    assert (np.diff(heard.start_s) >= 0).all()


def test_salience_hears_a_melody():
    events = [(0.4 * index, 0.38, pitch) for index, pitch in enumerate((60, 64, 67, 72, 71))]
    heard = notes.salience(played(events, 2.1), RATE)
    figures = notes.evaluate(heard, score(events, 2.1))
    assert figures["note_recall"] == 1
    assert figures["note_precision"] > 0.6
    assert heard.transcriber == notes.SALIENCE


def test_notes_do_not_depend_on_gain_rate_or_channels(wave):
    heard = notes.basic_pitch(wave, RATE)
    wide = np.concatenate([resample(wave, RATE, 44100)] * 2)
    for other in (
        notes.basic_pitch(0.1 * wave, RATE),
        notes.basic_pitch(wide, 44100),
    ):
        figures = notes.evaluate(other, heard)
        assert figures["note_f"] > 0.9


def test_windows_join_without_a_seam(wave):
    signal = wave[0].astype(np.float32)
    # two places of the windows on the same sound: only the network's view of the edges differs
    shift = STEP_FRAMES // 3
    _, here = notes.network_activations(signal)
    _, there = notes.network_activations(np.pad(signal, (shift * HOP, 0)))
    assert len(here) == -(-len(signal) // HOP)
    assert np.abs(there[shift:] - here).mean() < 0.01
    apart = np.abs(there[shift:] - here).max(axis=1)
    assert (apart > 0.3).mean() < 0.05


@settings(max_examples=8)
@given(st.integers(1, 5 * STEP_FRAMES))
def test_windows_hold_every_frame_once(frames):
    signal = np.arange(frames * HOP, dtype=np.float32) + 1
    middles = [
        window[notes.EDGE_FRAMES * HOP : (notes.EDGE_FRAMES + STEP_FRAMES) * HOP]
        for window in notes._windows(signal, frames)
    ]
    assert {len(window) for window in notes._windows(signal, frames)} == {notes.WINDOW_SAMPLES}
    joined = np.concatenate(middles)
    assert np.array_equal(joined[: len(signal)], signal)
    assert not joined[len(signal) :].any()


def test_silence_and_what_is_below_hearing_have_no_notes():
    for silent in (np.zeros((2, RATE)), 1e-6 * noise(1.0, seed=0)):
        for transcriber in (notes.basic_pitch, notes.salience):
            assert len(transcriber(silent, RATE)) == 0


def test_very_short_sound_is_transcribed_without_fault():
    for transcriber in (notes.basic_pitch, notes.salience):
        assert transcriber(np.full((1, 3), 0.5), RATE).duration_s == pytest.approx(3 / RATE)


def test_refuses_what_is_no_sound():
    with pytest.raises(AudioError, match="0 samples"):
        notes.transcribe(np.zeros((1, 0)), RATE)
    with pytest.raises(AudioError, match="NaN"):
        notes.salience(np.full((1, 100), np.nan), RATE)


def test_without_onnxruntime_the_stopgap_hears_and_says_so(monkeypatch, wave):
    really_import = builtins.__import__

    def no_onnxruntime(name, *rest):
        if name == "onnxruntime":
            raise ImportError(name)
        return really_import(name, *rest)

    notes._session.cache_clear()
    monkeypatch.setattr(builtins, "__import__", no_onnxruntime)
    assert notes.transcribe(wave, RATE).transcriber == notes.SALIENCE
    with pytest.raises(MissingDependencyError, match=r"ritornello\[eval\]"):
        notes.basic_pitch(wave, RATE)


def activations(frames, *spans):
    """Onset and frame activations with notes (key, start, stop, begin heard)."""
    onsets, sounding = np.zeros((frames, 88)), np.zeros((frames, 88))
    for key, start, stop, is_begin_heard in spans:
        sounding[start:stop, key] = 0.8
        if is_begin_heard:
            onsets[start, key] = 0.9
    return onsets, sounding


def test_events_follow_the_rules_known_from_the_activations():
    onsets, frames = activations(
        200,
        (10, 20, 60, True),  # plain
        (10, 64, 90, False),  # 4 frames later without a begin: the same note
        (20, 20, 22, True),  # too short
        (30, 50, 100, True),  # struck again below
        (40, 100, 150, False),  # soft attack
        (50, 100, 107, False),  # resonance
    )
    onsets[75, 30] = 0.9
    events = notes.note_events(onsets, frames)
    assert [event[:3] for event in events] == [
        (20, 90, 10),
        (50, 75, 30),
        (75, 100, 30),
        (100, 150, 40),
    ]
    assert events[1][3] == pytest.approx(0.8)


def test_judgement_is_one_for_the_score_itself_and_counts_errors():
    right = score([(0.0, 0.5, 60), (0.5, 0.5, 64)], 1.0)
    assert set(notes.evaluate(right, right).values()) == {1.0}
    late = score([(0.0, 0.5, 60), (0.5 + 0.06, 0.4, 64), (0.9, 0.1, 50)], 1.0)
    figures = notes.evaluate(late, right)
    assert figures["note_precision"] == pytest.approx(1 / 3)
    assert figures["note_recall"] == pytest.approx(1 / 2)
    nothing = score([], 1.0)
    assert notes.evaluate(nothing, right)["note_f"] == 0
    with pytest.raises(DataError, match="without notes"):
        notes.evaluate(right, nothing)


def test_frame_rate_is_that_of_the_hop():
    assert FRAME_RATE_HZ * HOP == RATE_HZ
