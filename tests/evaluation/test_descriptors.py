from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.errors import AudioError, DataError
from ritornello.evaluation import descriptors
from ritornello.evaluation.descriptors import SCALES, Descriptors, mass
from ritornello.evaluation.notes import BASIC_PITCH
from tests.evaluation.scores import PROGRESSION, RATE, chords, clicks, played, score


def clip(seed, lowest=48, transcriber=BASIC_PITCH) -> Descriptors:
    """A clip drawn from one kind of music."""
    draw = np.random.default_rng(seed)
    return Descriptors(
        pitches=draw.integers(lowest, lowest + 24, 30),
        key=int(draw.integers(0, 4)),
        chords=draw.choice([0, 5, 7, 21], 20),
        alternation=float(draw.uniform(0.2, 0.6)),
        percussive_density=int(draw.integers(1, 5)),
        beats_per_bar=int(draw.choice([3, 4])),
        tempo_bpm=float(draw.uniform(90, 130)),
        sections=None,
        transcriber=transcriber,
        duration_s=10.0,
    )


def silent() -> Descriptors:
    return Descriptors(
        pitches=np.zeros(0, dtype=np.int64),
        key=None,
        chords=np.full(20, 24),
        alternation=None,
        percussive_density=0,
        beats_per_bar=None,
        tempo_bpm=None,
        sections=None,
        transcriber=BASIC_PITCH,
        duration_s=10.0,
    )


@pytest.fixture(scope="module")
def music():
    return [clip(seed) for seed in range(60)]


def test_same_music_stands_at_its_null_and_other_music_beyond(music):
    same = descriptors.evaluate(music[:20], music[20:], np.random.default_rng(0))
    assert same["mirdd_open_js"].low < same["mirdd_open_js_null"].value
    assert same["mirdd_open_js"].value < same["mirdd_open_js_null"].high
    high = [clip(seed, lowest=72) for seed in range(20)]
    other = descriptors.evaluate(high, music[20:], np.random.default_rng(0))
    assert other["pitches_js"].low > other["pitches_js_null"].high
    assert other["mirdd_open_js"].value > same["mirdd_open_js"].value
    assert other["key_js"].value < 2 * other["key_js_null"].value
    assert other["mirdd_open_js"].items == 20


def test_silence_is_far_from_music_in_everything_and_is_told(music):
    figures = descriptors.evaluate([silent()] * 20, music[:40], np.random.default_rng(0))
    assert 0.75 < figures["mirdd_open_js"].value <= 1
    told = descriptors.warnings([silent()] * 20, music[:40])
    assert any("no notes in 20 of 20" in warning for warning in told)


def test_mean_is_over_the_descriptors_and_figures_repeat(music):
    run = [descriptors.evaluate(music[:9], music[9:], np.random.default_rng(4)) for _ in range(2)]
    assert run[0] == run[1]
    names = [scale.name for scale in SCALES if scale.name != "structure"]
    for kind in ("js", "kl", "kl_reverse"):
        each = [run[0][f"{name}_{kind}"].value for name in names]
        assert run[0][f"mirdd_open_{kind}"].value == pytest.approx(np.mean(each))
    assert len(run[0]) == 2 * 3 * (len(names) + 1)


def test_structure_counts_only_where_all_clips_have_it(music):
    formed = [replace(each, sections=(0.6, 0.4)) for each in music]
    figures = descriptors.evaluate(formed[:20], formed[20:], np.random.default_rng(0))
    assert figures["structure_js"].value == pytest.approx(0, abs=1e-12)
    mixed = descriptors.evaluate(formed[:20], music[20:], np.random.default_rng(0))
    assert "structure_js" not in mixed
    told = descriptors.warnings(formed[:20], music[20:])
    assert any("without structure" in warning for warning in told)


def test_divergences_have_their_closed_forms():
    p, q = np.array([[0.5, 0.5, 0.0]]), np.array([[0.25, 0.25, 0.5]])
    assert descriptors.kullback_leibler(p, q) == pytest.approx(1)
    assert descriptors.jensen_shannon(p, p) == 0
    apart = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    assert descriptors.jensen_shannon(*apart) == pytest.approx(1)
    smoothed = descriptors.distribution(np.array([3.0, 0.0, 0.0, 0.0]))
    assert smoothed == pytest.approx([3.25 / 4, 0.25 / 4, 0.25 / 4, 0.25 / 4])


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_jensen_shannon_is_symmetric_and_bounded(seed):
    p, q = np.random.default_rng(seed).dirichlet(np.full(6, 0.3), (2, 50))
    divergence = descriptors.jensen_shannon(p, q)
    assert divergence == pytest.approx(descriptors.jensen_shannon(q, p))
    assert ((divergence >= 0) & (divergence <= 1)).all()


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.booleans())
def test_mass_of_every_descriptor_sums_to_one(seed, is_silent):
    described = silent() if is_silent else clip(seed)
    for scale in SCALES:
        spread = mass(described, scale)
        assert len(spread) == scale.bins + 1
        assert spread.sum() == pytest.approx(1)
        if is_silent:
            assert spread[-1] == 1


def test_values_beyond_the_bins_fall_into_the_last():
    wide = replace(clip(0), tempo_bpm=1000.0, percussive_density=50, alternation=1.0)
    for scale in SCALES:
        if scale.name in ("tempo", "percussive_density", "chord_alternation"):
            assert mass(wide, scale)[scale.bins - 1] == 1


def test_refuses_sets_that_cannot_be_compared(music):
    draw = np.random.default_rng(0)
    with pytest.raises(DataError, match="got 1 generated clip; expected 8"):
        descriptors.evaluate(music[:1], music[1:], draw)
    other = [clip(seed, transcriber="salience 1") for seed in range(20)]
    with pytest.raises(DataError, match=r"basic-pitch .* and salience 1 cannot be compared"):
        descriptors.evaluate(other, music, draw)
    longer = [replace(each, duration_s=30.0) for each in music[:20]]
    with pytest.raises(DataError, match="10 to 30 s"):
        descriptors.evaluate(longer, music, draw)


def test_few_clips_and_recordings_and_the_stopgap_are_told(music):
    assert "generated: 9 clips" in descriptors.warnings(music[:9], music[9:])[0]
    told = descriptors.warnings(
        music[:9], music[9:59], reference_recordings=["a"] * 25 + ["b"] * 25
    )
    assert any("2 recordings only" in warning for warning in told)
    stopgap = [clip(seed, transcriber="salience 1") for seed in range(20)]
    assert any("markedly worse" in each for each in descriptors.warnings(stopgap, stopgap))


def test_clip_of_known_music_is_described():
    events = chords(PROGRESSION, beats=3)
    wave = played(events, 6.5) + 0.2 * clicks(3, 120, 6.5, first_s=0.005)
    found = descriptors.described(wave, RATE, score(events, 6.5))
    assert found.key == 0
    assert found.tempo_bpm == pytest.approx(120, rel=0.01)
    assert found.beats_per_bar == 3
    assert set(found.chords.tolist()) == {0, 21, 5, 7}
    assert found.percussive_density == 2
    assert found.sections is None
    assert found.transcriber == "score"
    range_scale = next(scale for scale in SCALES if scale.name == "pitch_range")
    assert mass(found, range_scale)[(67 - 41) // 6] == 1


def test_network_and_descriptors_agree_on_a_piece():
    found = descriptors.describe(played(chords(PROGRESSION, beats=2), 4.0), RATE)
    assert found.key == 0
    assert [label for label in (0, 21, 5, 7) if label in found.chords] == [0, 21, 5, 7]
    assert found.transcriber == BASIC_PITCH


def test_silence_and_moments_are_described_and_empty_is_refused():
    for wave in (np.zeros((2, RATE)), np.full((1, 7), 0.1)):
        found = descriptors.describe(wave, RATE)
        assert len(found.pitches) == 0
        assert found.key is None
    with pytest.raises(AudioError, match="0 samples"):
        descriptors.describe(np.zeros((1, 0)), RATE)
