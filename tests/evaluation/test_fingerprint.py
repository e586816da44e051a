"""Fingerprints: what they never see, what they survive, where a search says the music is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.audio.io import write_audio
from ritornello.errors import AudioError, DataError
from ritornello.evaluation.fingerprint import (
    FRAME_RATE_HZ,
    LONGEST_QUERY_FRAMES,
    ONSETS_PER_S,
    ROWS,
    Fingerprint,
    Index,
    fingerprint,
    fingerprint_file,
    index_files,
)
from ritornello.interfaces import Audio
from tests.evaluation.melodies import (
    RATE,
    cut,
    low_passed,
    mixed,
    noisy,
    played,
    resampled,
)

WINDOW = round(10 * FRAME_RATE_HZ)
PLACE_S = 17.3
IDS = "plain gain noise15 noise10 lowpass mix up3 down3 up6 up1.3 key+3 key-3 timbre"


@pytest.fixture(scope="module")
def index():
    return Index([fingerprint(played(seed, 40), RATE) for seed in range(6)])


@pytest.fixture(scope="module")
def excerpt():
    """From PLACE_S on of recording 2, long enough to be played faster."""
    return cut(played(2, 40), PLACE_S, 16)


@pytest.fixture(scope="module")
def fresh(index):
    """The most that music which is not in the index coincides with it."""
    return max(found(index, played(seed, 12)).similarity for seed in (80, 81, 82))


def found(index, wave, rate=RATE):
    made = fingerprint(wave, rate)
    onsets = made.onsets[made.onsets[:, 0] < WINDOW]
    return index.search(onsets, WINDOW)


def shared(one, other):
    """Share of the onsets in common; rounding may decide between rises that are all but equal."""
    common = set(map(tuple, one.onsets)) & set(map(tuple, other.onsets))
    return len(common) / max(len(one.onsets), len(other.onsets))


def drawn(seed, frames=200, count=200):
    draw = np.random.default_rng(seed)
    cells = draw.choice((ROWS // 4) * (frames // 4), size=count, replace=False)
    onsets = np.stack([cells // (ROWS // 4), cells % (ROWS // 4)], axis=1) * 4
    return Fingerprint(onsets=onsets[np.argsort(onsets[:, 0])].astype(np.int32), frames=frames)


def test_onsets_of_single_tones_are_where_they_begin():
    wave = np.zeros((1, 6 * RATE), np.float32)
    since = np.arange(RATE) / RATE
    for start_s, hz in ((1, 220.0), (2, 440.0), (4, 880.0)):
        tone = np.sin(2 * np.pi * hz * since) * np.exp(-5 * since)
        wave[0, start_s * RATE : (start_s + 1) * RATE] = 0.3 * tone
    made = fingerprint(wave, RATE)
    strongest = [(1, 34), (2, 58), (4, 82)]  # 220 Hz is 17 semitones above the lowest row
    for start_s, row in strongest:
        near = np.abs(made.onsets - [start_s * FRAME_RATE_HZ, row])
        assert ((near[:, 0] <= 2.5) & (near[:, 1] == 0)).any()


def test_about_as_many_onsets_as_promised():
    made = fingerprint(played(0, 40), RATE)
    assert 0.7 * ONSETS_PER_S < len(made.onsets) / 40 < 1.3 * ONSETS_PER_S


@settings(max_examples=8)
@given(st.floats(1e-4, 1.0))
def test_gain_is_not_seen(gain):
    wave = played(1, 4)
    assert shared(fingerprint(wave, RATE), fingerprint(np.float32(gain) * wave, RATE)) > 0.98


def test_the_rate_and_the_channels_hardly_matter(index, excerpt):
    import soxr

    other = soxr.resample(excerpt[0], RATE, 44100)
    match = found(index, np.stack([other, other]).astype(np.float32), 44100)
    assert match.recording == 2
    assert match.similarity > 0.8


def test_silence_has_no_onsets_and_faults_are_refused():
    assert len(fingerprint(np.zeros((2, RATE), np.float32), RATE).onsets) == 0
    with pytest.raises(AudioError, match="0 samples"):
        fingerprint(np.zeros((1, 0), np.float32), RATE)
    with pytest.raises(AudioError, match="NaN"):
        fingerprint(np.full((1, 9), np.nan, np.float32), RATE)


def test_a_file_in_chunks_is_the_whole(tmp_path, monkeypatch):
    wave = played(3, 20)
    write_audio(tmp_path / "a.wav", Audio(samples=wave, sample_rate=RATE), subtype="FLOAT")
    whole = fingerprint(wave, RATE)
    monkeypatch.setattr("ritornello.evaluation.fingerprint._CHUNK_FRAMES", 37)
    in_chunks = fingerprint_file(tmp_path / "a.wav")
    assert in_chunks.frames == whole.frames
    assert shared(in_chunks, whole) > 0.98


def test_the_cache_answers_by_content_and_heals(tmp_path):
    cache = tmp_path / "cache"
    write_audio(tmp_path / "a.wav", Audio(samples=played(3, 8), sample_rate=RATE))
    first = fingerprint_file(tmp_path / "a.wav", cache)
    (kept,) = (cache / "fingerprints").iterdir()
    written = kept.read_bytes()
    (tmp_path / "a.wav").rename(tmp_path / "b.wav")
    marked = np.load(kept)
    marked[1] = [5, 7]
    np.save(kept, marked)
    assert fingerprint_file(tmp_path / "b.wav", cache).onsets[0].tolist() == [5, 7]
    kept.write_bytes(written[:100])
    again = fingerprint_file(tmp_path / "b.wav", cache)
    assert np.array_equal(again.onsets, first.onsets)
    assert kept.read_bytes() == written


@settings(max_examples=15)
@given(st.integers(0, 2), st.integers(0, 140), st.integers(-12, 12))
def test_a_moved_and_transposed_query_is_found_exactly(recording, start, shift):
    fingerprints = [drawn(seed) for seed in range(3)]
    moved = fingerprints[recording].onsets - [start, -shift]
    inside = (moved[:, 0] >= 0) & (moved[:, 0] < 60) & (moved[:, 1] >= 0) & (moved[:, 1] < ROWS)
    query = moved[inside]
    match = Index(fingerprints).search(query.astype(np.int32), 60)
    assert match.recording == recording
    assert match.similarity > 0.9  # not 1 where rows of the music were moved out of range
    assert match.start_s == pytest.approx(start / FRAME_RATE_HZ, abs=1e-9)
    assert match.semitones == pytest.approx(shift / 2)


def test_the_fast_search_is_the_plain_count():
    music, query = drawn(0), drawn(9, frames=100, count=40)
    match = Index([music]).search(query.onsets, 100)
    near = {(f + df, r + dr) for f, r in music.onsets for df in (-1, 0, 1) for dr in (-1, 0, 1)}
    best = 0.0
    for shift in range(-13, 14):
        for tempo in (1.0, 2 ** (shift / 24)):
            frames = np.rint(query.onsets[:, 0] * tempo).astype(int)
            for start in range(music.frames):
                cells = zip(frames + start, query.onsets[:, 1] - shift, strict=True)
                votes = sum((int(f), int(r)) in near for f, r in cells)
                last = start + round(100 * tempo)
                there = ((music.onsets[:, 0] >= start) & (music.onsets[:, 0] < last)).sum()
                best = max(best, votes / np.sqrt(40 * max(there, votes, 20)))
    assert match.similarity == pytest.approx(best)


@pytest.mark.parametrize(
    ("change", "semitones", "tempo"),
    [
        (lambda wave: wave, 0, 1),
        (lambda wave: 0.25 * wave, 0, 1),
        (lambda wave: noisy(wave, 15), 0, 1),
        (lambda wave: noisy(wave, 10), 0, 1),
        (lambda wave: low_passed(wave, 1000), 0, 1),
        (lambda wave: mixed(wave, played(70, 16)), 0, 1),
        (lambda wave: resampled(wave, 3), 3, 2 ** (3 / 12)),
        (lambda wave: resampled(wave, -3), -3, 2 ** (-3 / 12)),
        (lambda wave: resampled(wave, 6), 6, 2 ** (6 / 12)),
        (lambda wave: resampled(wave, 1.3), 1.3, 2 ** (1.3 / 12)),
        (lambda wave: cut(played(2, 40, semitones=3), PLACE_S, 16), 3, 1),
        (lambda wave: cut(played(2, 40, semitones=-3), PLACE_S, 16), -3, 1),
        (lambda wave: cut(played(2, 40, partials=2), PLACE_S, 16), 0, 1),
    ],
    ids=IDS.split(),
)
def test_a_changed_excerpt_is_found(index, excerpt, fresh, change, semitones, tempo):
    match = found(index, change(excerpt))
    assert match.recording == 2
    assert match.start_s == pytest.approx(PLACE_S, abs=0.15)
    assert match.semitones == pytest.approx(semitones, abs=0.3)
    assert match.tempo == pytest.approx(tempo, abs=0.02)
    assert match.similarity > fresh + 0.1


def test_queries_and_indexes_that_cannot_be(index, tmp_path):
    query = drawn(0).onsets
    with pytest.raises(DataError, match="query of 0 onsets"):
        index.search(query[:0], 100)
    with pytest.raises(DataError, match=f"at most {LONGEST_QUERY_FRAMES} frames"):
        index.search(query, LONGEST_QUERY_FRAMES + 1)
    with pytest.raises(DataError, match="no recordings"):
        index_files([])
    with pytest.raises(AudioError, match="no such file"):
        index_files([tmp_path / "none.wav"])
