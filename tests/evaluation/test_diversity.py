import numpy as np
import pytest

from ritornello.errors import AudioError, DataError
from ritornello.evaluation import diversity, excerpts
from tests.evaluation.signals import RATE, noise, notes, tone


@pytest.fixture(scope="module")
def music():
    """Features of twelve different synthetic recordings, four pieces each."""
    rates = np.linspace(1.5, 6, 12)
    return np.stack(
        [
            excerpts.describe_all(
                excerpts.pieces_of(notes(6.0, seed=seed, per_second=rate), RATE, 1.5), RATE
            )
            for seed, rate in enumerate(rates)
        ]
    )


def test_same_kind_of_music_is_as_varied_as_itself(music):
    figures = diversity.evaluate(music, music, np.random.default_rng(0))
    for figure in figures.values():
        assert figure.value == pytest.approx(1)
        assert figure.low < 1 < figure.high


def test_collapsed_takes_score_zero(music):
    collapsed = np.repeat(music[:1], 8, axis=0)
    figure = diversity.variety_ratio(
        collapsed.mean(axis=1), music.mean(axis=1), np.random.default_rng(0)
    )
    assert figure.value == pytest.approx(0, abs=1e-9)
    assert figure.high == pytest.approx(0, abs=1e-9)


def test_take_that_repeats_one_piece_has_no_inner_variety(music):
    stuck = np.repeat(music[:, :1], 4, axis=1)
    draw = np.random.default_rng(0)
    assert diversity.inner_variety(stuck, music, draw).value == pytest.approx(0, abs=1e-9)
    assert diversity.variety_ratio(stuck[:, 0], music[:, 0], draw).value == pytest.approx(1)


def test_doubles_of_a_resampled_take_are_no_pair():
    distances = np.array([[0.0, 3.0], [3.0, 0.0]])
    assert diversity.mean_distance(distances) == 3
    assert diversity.mean_distance(distances, np.array([0, 0, 1])) == 3
    assert diversity.mean_distance(distances, np.array([1, 1])) == 0


def test_distances_are_euclidean():
    features = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert diversity.pairwise_distances(features) == pytest.approx(np.array([[0, 5], [5, 0]]))


def test_the_reference_is_a_sample_too_and_clips_of_a_recording_stay_together(music):
    draw = np.random.default_rng(0)
    takes = np.repeat(music, 4, axis=0)
    names = [index // 4 for index in range(len(takes))]
    loose, together = (
        diversity.evaluate(takes, takes, draw, generated_recordings=n, reference_recordings=n)
        for n in (None, names)
    )
    for name, figure in together.items():
        assert figure.value == pytest.approx(1)
        assert figure.items == len(music)
        assert figure.high - figure.low > 1.4 * (loose[name].high - loose[name].low)
    # As many takes as make their own part of the interval nothing.
    many = np.repeat(music, 20, axis=0)
    sure = diversity.inner_variety(many, music, draw)
    assert sure.high - sure.low > 0.05


def test_refuses_sets_without_pairs(music):
    draw = np.random.default_rng(0)
    with pytest.raises(DataError, match="got 1 takes"):
        diversity.variety_ratio(music[0, :1], music[:, 0], draw)
    with pytest.raises(DataError, match="all the same"):
        diversity.variety_ratio(music[:, 0], np.repeat(music[:1, 0], 3, axis=0), draw)
    with pytest.raises(DataError, match="NaN"):
        diversity.variety_ratio(np.full((2, excerpts.DIM), np.nan), music[:, 0], draw)


@pytest.mark.parametrize(("hz", "pitch_class"), [(440, 9), (261.63, 0), (392, 7), (880, 9)])
def test_chroma_names_the_note(hz, pitch_class):
    histogram = excerpts.chroma_histogram(tone(hz, 1.0), RATE)
    assert histogram.sum() == pytest.approx(1)
    assert histogram.argmax() == pitch_class
    assert histogram[pitch_class] > 0.9


def test_pace_and_loudness_are_measured():
    slow, fast = (excerpts.describe(notes(6.0, 1, rate), RATE) for rate in (2.0, 4.0))
    pace = excerpts.GROUPS["chroma"] + excerpts.GROUPS["timbre"] + excerpts.GROUPS["movement"]
    assert slow[pace] == pytest.approx(2, abs=0.3)
    assert fast[pace] == pytest.approx(4, abs=0.3)
    louder, quieter = (excerpts.describe(gain * noise(2.0, 1), RATE) for gain in (1.0, 0.5))
    assert louder[pace + 3] - quieter[pace + 3] == pytest.approx(6.0206, abs=1e-3)
    assert len(slow) == excerpts.DIM


def test_silence_is_described_and_nothing_is_refused():
    assert np.isfinite(excerpts.describe(np.zeros((2, RATE)), RATE)).all()
    with pytest.raises(AudioError, match="0 samples"):
        excerpts.describe(np.zeros((2, 0)), RATE)
    with pytest.raises(DataError, match="no excerpts"):
        excerpts.describe_all([], RATE)


def test_pieces_cover_the_recording_without_the_remainder():
    wave = np.arange(10.0)[None]
    pieces = excerpts.pieces_of(wave, 1, 3.0)
    assert np.concatenate(pieces, axis=1) == pytest.approx(wave[:, :9])
    with pytest.raises(DataError, match="at least 11"):
        excerpts.pieces_of(wave, 1, 11.0)


def test_groups_weigh_the_same():
    draws = np.random.default_rng(1)
    features = 100 * draws.standard_normal((4000, excerpts.DIM))
    scaled = excerpts.standardised(features, features)
    start = 0
    for size in excerpts.GROUPS.values():
        assert np.sum(scaled[:, start : start + size] ** 2, axis=1).mean() == pytest.approx(1)
        start += size


def test_the_null_of_real_music_is_about_one():
    draw = np.random.default_rng(0)
    real = draw.standard_normal((40, 3, excerpts.DIM))
    real += draw.standard_normal((20, 1, excerpts.DIM)).repeat(2, axis=0)
    recordings = [f"piece {index // 2}" for index in range(40)]
    null = diversity.null(real, draw, recordings)
    for estimate in null.values():
        assert estimate.value == pytest.approx(1, abs=0.1)
        assert estimate.low < 0.95
        assert estimate.high > 1.05
    assert diversity.null(real[:3], draw, recordings[:3]) == {}
