from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.errors import AudioError, DataError
from ritornello.evaluation import self_similarity, structure, structure_pictures
from ritornello.evaluation.self_similarity import self_similarity_any_key, unit_features

RATE = 11025
CELLS_PER_S = 2
ABA = [(0.0, 12.0, "A"), (12.0, 20.0, "B"), (20.0, 32.0, "A")]


def melody(seconds, seed, semitones=0, rate=RATE):
    """Random decaying chords at half-second steps, the same for the same seed; (1, time)."""
    draw = np.random.default_rng(seed)
    wave = np.zeros(round(seconds * rate))
    step = rate // CELLS_PER_S
    since = np.arange(step) / rate
    for start in range(0, len(wave) - step + 1, step):
        brightness = draw.uniform(0.2, 2.0)
        for pitch in draw.choice(12, size=2, replace=False):
            hz = 220 * 2 ** ((pitch + semitones) / 12)
            partials = sum(np.sin(2 * np.pi * k * hz * since) / k**brightness for k in (1, 2, 3))
            wave[start : start + step] += 0.1 * partials * np.exp(-2 * since)
    return wave[None]


def piece(*sections):
    """Sections (seconds, seed) one after another."""
    return np.concatenate([melody(seconds, seed) for seconds, seed in sections], axis=1)


def returning_piece():
    return piece((12, 1), (8, 2), (12, 1))


def blocks(lengths, letters):
    """An ideal self-similarity: random features per moment, the same for the same letter."""
    tables = {
        name: np.random.default_rng(ord(name)).standard_normal((40, 64)) for name in set(letters)
    }
    rows = np.concatenate(
        [tables[name][:length] for name, length in zip(letters, lengths, strict=True)]
    )
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows @ rows.T


def test_matrix_is_symmetric_bounded_and_one_where_the_music_is_the_same():
    matrix = structure.self_similarity(returning_piece(), RATE)
    assert matrix.shape == (64, 64)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    assert np.abs(matrix).max() <= 1 + 1e-9
    np.testing.assert_allclose(np.diag(matrix), 1, atol=1e-9)
    assert np.diagonal(matrix, 40)[1:22].min() > 0.95
    assert abs(np.diagonal(matrix, 30)[:20].mean()) < 0.3


def test_matrix_does_not_depend_on_gain_rate_or_channels():
    wave = returning_piece()
    matrix = structure.self_similarity(wave, RATE)
    stereo = np.concatenate([0.5 * wave, 0.5 * wave])
    np.testing.assert_allclose(structure.self_similarity(stereo, RATE), matrix, atol=0.15)
    twice = np.repeat(wave, 2, axis=1)
    there = structure.self_similarity(twice, 2 * RATE)
    assert np.corrcoef(there.ravel(), matrix.ravel())[0, 1] > 0.95


def test_return_in_another_key_is_seen_only_in_any_key():
    wave = np.concatenate([melody(12, 1), melody(8, 2), melody(12, 1, semitones=3)], axis=1)
    plain = structure.self_similarity(wave, RATE)
    any_key = self_similarity_any_key(wave, RATE)
    assert np.diagonal(any_key, 40).mean() > np.diagonal(plain, 40).mean() + 0.3
    assert (any_key >= plain - 1e-12).all()


def test_silent_cells_are_like_nothing():
    rows = unit_features(np.full((4, 12), 1 / 12), np.full((4, 24), -80.0))
    assert not rows.any()


def test_repetition_of_an_ideal_matrix_is_the_share_that_returns():
    matrix = blocks([24, 16, 24], "ABA")
    assert structure.repetition(matrix) == pytest.approx(48 / 64, abs=0.02)
    assert structure.period_s(matrix) == 20.0
    assert structure.repetition(blocks([24, 16, 24], "ABC")) == 0
    assert structure.period_s(blocks([24, 16, 24], "ABC")) == 0


def test_null_sees_what_returns_backwards_and_nothing_else():
    assert structure.repetition_null(blocks([24, 16, 24], "ABA")) == 0
    order = [*range(40), *range(23, -1, -1)]
    palindrome = blocks([40], "A")[np.ix_(order, order)]
    assert structure.repetition_null(palindrome) >= 48 / 64
    assert structure.repetition(palindrome) == 0


def test_sound_that_merely_stays_is_no_repetition():
    steady = np.ones((64, 64))
    assert structure.repetition(steady) == structure.repetition_null(steady) == 0


def test_repetitions_nearer_than_eight_seconds_do_not_count():
    stripes = structure.stripes(blocks([40], "A"))
    assert (stripes[:16] == -1).all()
    assert stripes[16:25, :8].max() < 0.5


def test_novelty_peaks_where_two_sounds_meet():
    matrix = np.kron(np.eye(2), np.ones((30, 30)))
    curve = structure.novelty(matrix)
    assert curve.argmax() == 30
    assert curve[30] == pytest.approx(1.0)
    assert curve[:8].max() == 0
    np.testing.assert_array_equal(structure.peaks(curve, 0.5), [30])
    assert structure.novelty(np.ones((60, 60))).max() == 0


@settings(max_examples=20)
@given(st.integers(20, 30), st.integers(14, 20))
def test_labels_of_ideal_matrices_are_the_letters(first, second):
    found = structure.labels_of(blocks([first, second, first], "ABA"))
    assert [name for *_, name in found] == ["A", "B", "A"]
    assert abs(found[0][1] - first / 2) <= 1
    assert abs(found[1][1] - (first + second) / 2) <= 1


def test_labels_cover_the_piece_in_order():
    found = structure.labels(returning_piece(), RATE)
    assert found[0][0] == 0
    assert found[-1][1] == 32
    for (_, end, _), (start, _, _) in pairwise(found):
        assert end == start
    assert found[0][2] == found[-1][2] == "A"


def test_pairwise_f_by_hand():
    assert structure.pairwise_f(ABA, ABA) == 1
    assert structure.pairwise_f([(a, b, f"x{n}") for a, b, n in ABA], ABA) == 1
    # Asked: two letters of 10 moments; found: one of 20. Pairs 2 * 45 of 190: F = 180 / 280.
    asked, found = [(0.0, 1.0, "A"), (1.0, 2.0, "B")], [(0.0, 2.0, "A")]
    assert structure.pairwise_f(found, asked) == pytest.approx(180 / 280)


def test_section_that_returns_scores_best():
    figures = structure.evaluate(returning_piece(), RATE, ABA)
    assert figures["return_auc"] > 0.99
    assert figures["return_d_prime"] > 4
    assert figures["return_similarity"] > 0.9
    assert figures["return_lag_error_s"] <= 0.1
    assert figures["letters_f"] > 0.85
    assert figures["repetition"] > figures["repetition_null"] + 0.4


def test_late_return_is_told_by_its_lag():
    wave = piece((12, 1), (10, 2), (12, 1))
    figures = structure.does_it_return(wave, RATE, ABA)
    assert figures["return_lag_error_s"] == pytest.approx(2.0, abs=0.11)
    assert figures["return_similarity"] < 0.5


@pytest.mark.slow
def test_pieces_without_return_score_at_chance():
    scores = [
        structure.does_it_return(piece((32, seed)), RATE, ABA)["return_auc"]
        for seed in range(10, 26)
    ]
    # Uniform between 0 and 1: the mean of 16 has a standard deviation of 0.07.
    assert 0.3 < np.mean(scores) < 0.7


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(AudioError, match=r"lasts 5\.0 s; expected 20"):
        structure.evaluate(piece((5, 1)), RATE)
    with pytest.raises(AudioError, match="silent"):
        structure.evaluate(np.zeros((1, 30 * RATE)), RATE)
    with pytest.raises(AudioError, match="NaN"):
        self_similarity.self_similarity(np.full((1, 30 * RATE), np.nan), RATE)
    wave = returning_piece()
    with pytest.raises(DataError, match="expected sections in order"):
        structure.evaluate(wave, RATE, [ABA[1], ABA[0]])
    with pytest.raises(DataError, match="outside the piece of 32"):
        structure.evaluate(wave, RATE, [*ABA, (32.0, 50.0, "B")])
    with pytest.raises(DataError, match="a letter that returns"):
        structure.evaluate(wave, RATE, ABA[:2])
    with pytest.raises(DataError, match="and another one"):
        structure.does_it_return(wave, RATE, [ABA[0], ABA[2]])


def test_picture_shows_the_matrix(tmp_path):
    wave = returning_piece()
    one = structure_pictures.save_structure(wave, RATE, tmp_path / "new" / "a.png", title="Form")
    from matplotlib.image import imread

    assert imread(one).std() > 0.05
