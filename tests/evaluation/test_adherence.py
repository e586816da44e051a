import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ritornello.errors import AudioError, DataError
from ritornello.evaluation import adherence
from ritornello.evaluation.adherence import Yardstick, derangement

RATE = 11025


def struck(times_s, pitches, seconds):
    """Decaying harmonic tones, each at its moment; (1, time)."""
    wave = np.zeros(round(seconds * RATE))
    for start_s, pitch in zip(times_s, pitches, strict=True):
        start = round(start_s * RATE)
        since = np.arange(min(RATE // 2, len(wave) - start)) / RATE
        hz = 440 * 2 ** ((pitch - 69) / 12)
        tone = sum(np.sin(2 * np.pi * k * hz * since) / k for k in (1, 2, 3))
        wave[start : start + len(since)] += 0.1 * tone * np.exp(-8 * since)
    return wave[None]


def pair(seed, seconds=5.0):
    """Chords on the beat and a bass on their roots; tempo, phase and roots are drawn."""
    draw = np.random.default_rng(seed)
    beats_s = np.arange(draw.uniform(0.1, 0.4), seconds - 0.1, 60 / draw.uniform(90, 150))
    roots = np.repeat(draw.integers(0, 12, size=len(beats_s)), 2)[: len(beats_s)]
    chords = sum(struck(beats_s, 60 + roots + step, seconds) for step in (0, 4, 7))
    return chords, struck(beats_s, 36 + roots, seconds)


def pairs(count, first_seed=0):
    return [pair(seed) for seed in range(first_seed, first_seed + count)]


class ChromaMeans:
    """A tiny embedding: level of the chords' pitch classes against the bass's, twice a second."""

    name, key, sample_rate, dim, patch_s = "pitch classes", "1", RATE, 24, 0.5

    def embed(self, wave, sample_rate):
        size = sample_rate // 2
        frames = wave[0][: wave.shape[1] // size * size].reshape(-1, size) * np.hanning(size)
        energy = np.abs(np.fft.rfft(frames)) ** 2
        hz = np.maximum(np.arange(energy.shape[1]) * sample_rate / size, 1)
        classes = np.round(69 + 12 * np.log2(hz / 440)).astype(int) % 12
        low, high = (hz > 60) & (hz < 140), (hz >= 250) & (hz < 1000)
        rows = [
            [frame[band & (classes == c)].sum() for band in (low, high) for c in range(12)]
            for frame in energy
        ]
        levels = np.log1p(np.array(rows))
        # The bass seen from the strongest pitch class of the chords.
        return np.array([np.roll(row[:12], -row[12:].argmax()) for row in levels])


@given(st.integers(2, 40), st.integers(0, 1000))
def test_nothing_stays_in_its_place(items, seed):
    order = derangement(items, np.random.default_rng(seed))
    assert sorted(order) == list(range(items))
    assert (order != np.arange(items)).all()


@given(st.lists(st.sampled_from("abcde"), min_size=2, max_size=30), st.integers(0, 1000))
def test_nothing_stays_in_its_group(groups, seed):
    draw, items = np.random.default_rng(seed), len(groups)
    if 2 * max(groups.count(name) for name in groups) > items:
        with pytest.raises(DataError, match="cannot be shuffled between pieces"):
            derangement(items, draw, groups)
        return
    order = derangement(items, draw, groups)
    assert sorted(order) == list(range(items))
    assert all(groups[one] != groups[other] for one, other in enumerate(order))


def test_onset_coincidence_by_hand():
    context = np.array([1.0, 2.0, 3.0, 4.0])
    # Chance: four windows of 0.1 s in 5 s.
    assert adherence.onset_coincidence(context, context, 5.0) == 1
    half = np.array([1.02, 2.5])
    assert adherence.onset_coincidence(context, half, 5.0) == pytest.approx((0.5 - 0.08) / 0.92)
    none = np.array([1.5, 2.5])
    assert adherence.onset_coincidence(context, none, 5.0) == pytest.approx(-0.08 / 0.92)
    assert adherence.onset_coincidence(context, np.zeros(0), 5.0) == 0
    assert adherence.onset_coincidence(np.arange(0, 5, 0.05), half, 5.0) == 0


def test_onsets_anywhere_score_nothing_on_average():
    draw = np.random.default_rng(0)
    context = np.sort(draw.uniform(0, 500, 1000))
    anywhere = draw.uniform(0, 500, 1000)
    assert abs(adherence.onset_coincidence(context, anywhere, 500.0)) < 0.06


def test_beat_f_by_hand():
    beats = np.arange(0.5, 5, 0.5)
    assert adherence.beat_f(beats, beats + 0.06) == 1
    assert adherence.beat_f(beats, beats + 0.2) == 0
    # Every other beat: precision 1, recall 5 / 9.
    assert adherence.beat_f(beats, beats[::2]) == pytest.approx(2 * 5 / (9 + 5))
    assert adherence.beat_f(beats, np.zeros(0)) == 0


def test_chroma_correlation_by_hand():
    chroma = np.eye(12)[:, np.repeat(np.arange(4), 10)].astype(np.float32)
    beats_s = np.arange(4) * 0.5
    assert adherence.chroma_correlation(chroma, chroma, beats_s) == pytest.approx(1)
    other = np.roll(chroma, 6, axis=0)
    assert adherence.chroma_correlation(chroma, other, beats_s) == pytest.approx(-1 / 11)
    assert adherence.chroma_correlation(chroma, 0 * chroma, beats_s) == 0
    assert adherence.chroma_correlation(chroma, chroma, np.zeros(0)) == pytest.approx(1)


def test_apa_is_one_for_matched_and_zero_for_shuffled_patches():
    draw = np.random.default_rng(0)
    matched, shuffled = (draw.standard_normal((4000, 12)) + shift for shift in (0.0, 0.8))
    yardstick = Yardstick.of(matched, shuffled)
    assert yardstick.apa(matched) == pytest.approx(1)
    assert yardstick.apa(shuffled) == pytest.approx(0)
    assert yardstick.apa(0.5 * (matched + shuffled)) == pytest.approx(0.5, abs=0.05)


def test_yardstick_is_whitened_by_the_matched_patches():
    draw = np.random.default_rng(1)
    matched = draw.standard_normal((500, 30)) @ draw.standard_normal((30, 30)) + 5
    yardstick = Yardstick.of(matched, matched + 1)
    np.testing.assert_allclose(np.cov(yardstick.matched, rowvar=False), np.eye(10), atol=1e-8)
    np.testing.assert_allclose(yardstick.matched.mean(axis=0), 0, atol=1e-8)


def test_too_few_or_equal_reference_patches_are_refused():
    with pytest.raises(DataError, match="give 10 patches; expected 40"):
        Yardstick.of(np.zeros((10, 4)), np.zeros((10, 4)))
    with pytest.raises(DataError, match="all reference patches are the same"):
        Yardstick.of(np.ones((50, 4)), np.ones((50, 4)))


def test_matching_basses_are_told_from_shuffled_ones():
    figures = adherence.evaluate(pairs(6), RATE, None, np.random.default_rng(0))
    for name in ("beat_f", "chroma_correlation", "onset_coincidence"):
        assert figures[name].low > figures[f"{name}_anchor"].high, name
    assert figures["beat_f"].value > 0.8
    assert figures["beat_f"].items == 6
    assert figures["silence_ratio"].value < 0.2


@pytest.mark.slow
def test_mixes_of_matching_basses_lie_nearer_to_matched_ones():
    figures = adherence.evaluate(
        pairs(8),
        RATE,
        ChromaMeans(),
        np.random.default_rng(0),
        reference=pairs(14, first_seed=100),
    )
    assert figures["apa"].low > figures["apa_anchor"].high
    assert figures["apa"].value > 0.8
    assert figures["apa_null"].value > 0.8


def test_silent_stems_follow_nothing():
    silent = [(context, 0 * stem) for context, stem in pairs(4)]
    figures = adherence.evaluate(silent, RATE, None, np.random.default_rng(0))
    assert figures["silence_ratio"].value == 1
    for name in ("beat_f", "chroma_correlation", "onset_coincidence"):
        assert figures[name].value == 0
    assert "apa" not in figures


def test_what_cannot_be_paired_is_refused():
    good = pairs(4)
    context, stem = good[0]
    with pytest.raises(DataError, match="got 3 pairs"):
        adherence.validate(good[:3], RATE)
    with pytest.raises(AudioError, match="pair 3: the context has"):
        adherence.validate([*good[:3], (context, stem[:, :-1])], RATE)
    with pytest.raises(AudioError, match="context is silent"):
        adherence.validate([*good[:3], (0 * context, stem)], RATE)
    with pytest.raises(AudioError, match="NaN"):
        adherence.validate([*good[:3], (context, np.nan * stem)], RATE)
    with pytest.raises(AudioError, match="expected 2 or more"):
        adherence.validate([*good[:3], (context[:, :RATE], stem[:, :RATE])], RATE)


@pytest.mark.slow
def test_musicnn_hears_which_bass_belongs_to_the_chords():
    from ritornello.evaluation.embedding import load_embedding

    figures = adherence.evaluate_apa(
        [pair(seed, 6.0) for seed in range(10)],
        [pair(seed, 6.0) for seed in range(100, 130)],
        RATE,
        load_embedding("musicnn"),
        np.random.default_rng(0),
    )
    assert figures["apa"].value > figures["apa_anchor"].value + 0.3
