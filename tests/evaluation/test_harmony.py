from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.errors import DataError
from ritornello.evaluation import harmony
from tests.evaluation.scores import PROGRESSION, chords, score

C, A_MIN, F, G = 0, 21, 5, 7


def test_progression_is_labelled_chord_by_chord():
    heard = score(chords(PROGRESSION, beats=4), 8.0)
    chroma = harmony.notes_chroma(heard, harmony.cell_edges(8.0))
    labels = harmony.chord_labels(chroma)
    assert labels.tolist() == [C] * 4 + [A_MIN] * 4 + [F] * 4 + [G] * 4
    assert harmony.variety(labels) == 4
    assert harmony.alternation_ratio(labels) == pytest.approx(2 / 3)
    assert str(harmony.key(chroma.mean(axis=1))) == "C major"


def test_passing_note_is_no_chord():
    events = [*chords(PROGRESSION[:1], beats=8), (1.5, 0.4, 62), (1.5, 0.4, 65)]
    labels = harmony.chord_labels(harmony.notes_chroma(score(events, 4.0), harmony.cell_edges(4.0)))
    assert labels.tolist() == [C] * 8


@settings(max_examples=15)
@given(st.integers(0, 11), st.booleans())
def test_key_is_that_of_the_scale_in_every_transposition(tonic, is_minor):
    steps = (0, 2, 3, 5, 7, 8, 11) if is_minor else (0, 2, 4, 5, 7, 9, 11)
    histogram = np.zeros(12)
    histogram[[(tonic + step) % 12 for step in steps]] = 1
    histogram[tonic] += 1  # a scale begins and ends on its tonic
    found = harmony.key(histogram)
    assert found.index == tonic + 12 * is_minor
    assert 0 < found.margin < found.correlation <= 1


def test_key_of_its_own_profile_is_certain_and_of_silence_none():
    found = harmony.key(np.roll(harmony.MINOR_PROFILE, 9))
    assert str(found) == "A minor"
    assert found.correlation == pytest.approx(1)
    assert harmony.key(np.zeros(12)) is None
    assert harmony.key(np.full(12, 0.3)) is None


def test_every_triad_is_its_own_label():
    templates = harmony.triads()
    assert np.linalg.norm(templates, axis=1) == pytest.approx(np.ones(24))
    for index, template in enumerate(templates):
        assert harmony.chord_labels(template[:, None]).tolist() == [index]


def test_silence_and_lone_clusters_are_no_chord():
    silence = np.zeros((12, 3))
    assert harmony.chord_labels(silence).tolist() == [harmony.NO_CHORD] * 3
    cluster = np.zeros((12, 1))
    cluster[:6] = 1
    assert harmony.chord_labels(cluster).tolist() == [harmony.NO_CHORD]
    assert harmony.variety(np.full(3, harmony.NO_CHORD)) == 0
    assert harmony.alternation_ratio(np.full(3, harmony.NO_CHORD)) is None


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_likeliest_path_is_the_best_of_all_paths(seed):
    scores = np.random.default_rng(seed).normal(0, 2, (3, 5))
    keep, change = -0.2, -1.9

    def worth(path):
        moves = sum(keep if a == b else change for a, b in pairwise(path))
        return moves + sum(scores[state, cell] for cell, state in enumerate(path))

    every = np.stack(np.meshgrid(*[range(3)] * 5), axis=-1).reshape(-1, 5)
    best = max(worth(path) for path in every)
    assert worth(harmony.likeliest_path(scores, keep, change)) == pytest.approx(best)


def test_alternation_passes_over_cells_without_a_chord():
    labels = np.array([C, C, harmony.NO_CHORD, A_MIN, F, G])
    assert harmony.alternation_ratio(labels) == pytest.approx(2 / 3)


def test_chroma_is_note_seconds_per_second():
    chroma = harmony.notes_chroma(score([(0.0, 1.0, 60), (0.5, 1.0, 72)], 2.0), np.arange(3.0))
    assert chroma[0] == pytest.approx([1.5, 0.5])
    assert chroma.sum() == pytest.approx(2)


def test_cells_follow_the_beats_and_cover_the_piece():
    edges = harmony.cell_edges(4.0, np.array([0.05, 1.0, 2.0, 3.95]))
    assert edges.tolist() == [0, 1, 2, 4]
    assert harmony.cell_edges(0.01).tolist() == [0, 0.01]
    assert len(harmony.cell_edges(4.0)) == 9


def test_figures_without_notes_are_nan_not_numbers():
    figures = harmony.evaluate(score([], 3.0))
    assert np.isnan([figures[name] for name in ("key", "key_margin", "alternation_ratio")]).all()
    assert figures["chord_variety"] == 0


def test_refuses_what_is_no_chroma():
    with pytest.raises(DataError, match="11 pitch classes"):
        harmony.chord_labels(np.zeros((11, 2)))
    with pytest.raises(DataError, match="negative"):
        harmony.key(np.full(12, -1.0))
    with pytest.raises(DataError, match="negative"):
        harmony.chord_labels(np.full((12, 2), np.nan))
