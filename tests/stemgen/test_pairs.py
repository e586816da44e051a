"""Pairs as tokens: aligned, complete, of the right stems, resumable, silent ones dropped."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from ritornello.data.stems import read_stem, scan_stems
from ritornello.errors import ConfigError, DataError
from ritornello.interfaces import TokenCodec
from ritornello.stemgen.activity import active, frame_levels, is_silent
from ritornello.stemgen.live_pairs import LivePairs, StemExcerpts
from ritornello.stemgen.pairs import SILENT_CONTEXT, SILENT_TARGET, CachedPairs

RATE, HOP = 1000, 20
STEMS = {"bass": 0.05, "drums": 0.1, "keys": 0.2}
CATEGORIES = ("bass", "chords", "drums")


class Means(TokenCodec):
    """Codes of a frame: its mean and its first sample, each in 1000 steps from -1 to 1."""

    sample_rate, channels, hop_samples, context_frames = RATE, 1, HOP, 2
    codebooks, codebook_size = 2, 1001

    def __init__(self):
        self.encoded = 0

    def encode(self, wave):
        self.encoded += len(wave)
        frames = wave.reshape(len(wave), -1, HOP)
        both = torch.stack([frames.mean(-1), frames[..., 0]], dim=1)
        return ((both.clamp(-1, 1) + 1) * 500).round().long()

    def decode(self, codes, length=None):
        return (codes[:, :1] / 500 - 1).repeat_interleave(HOP, dim=-1)[..., :length]


def levels_of(codes):
    """Mean of each frame that the codes stand for."""
    return codes[:, 0] / 500 - 1


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "songs"
    path.mkdir()
    return path


@pytest.fixture
def write(folder):
    """write("song", {stem: samples}) makes a song of them."""

    def song(name, stems, rate=RATE):
        (folder / name).mkdir()
        for stem, samples in stems.items():
            soundfile.write(folder / name / f"{stem}.wav", samples, rate, subtype="FLOAT")

    return song


@pytest.fixture
def steady(folder, write):
    """Two songs whose stems are constants: a level tells which stems are heard."""
    for number, seconds in enumerate((10.5, 7.3)):
        scale = 1 + number / 100
        time = round(seconds * RATE)
        write(f"s{number}", {name: np.full(time, v * scale) for name, v in STEMS.items()})
    return scan_stems([folder])


@pytest.fixture
def codec():
    return Means()


@pytest.fixture
def cache(codec, tmp_path):
    """cache(corpus) is a cache of it; settings may be changed."""

    def make(corpus, key="weights", **settings):
        settings = {"segment_s": 4.0, "submixes": 24, "seed": 1} | settings
        return CachedPairs(corpus, codec, key, CATEGORIES, tmp_path / "cache", **settings)

    return make


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# ---- cached ----------------------------------------------------------------------------------


def test_a_batch_holds_aligned_codes_categories_and_activity(cache, steady):
    pairs = cache(steady)
    pairs.fill()
    batch = pairs.draw(generator(), 64, 50)
    assert batch.context.shape == batch.target.shape == (64, 2, 50)
    assert batch.context.dtype == batch.activity.dtype == batch.category.dtype == torch.int64
    assert batch.activity.eq(1).all()
    heard = levels_of(batch.target).mean(-1)
    by_row = {0: "bass", 1: "keys", 2: "drums"}  # There is no piano: keys are the chords.
    for level, row in zip(heard.tolist(), batch.category.tolist(), strict=True):
        assert level == pytest.approx(STEMS[by_row[row]], rel=0.05)
    assert set(batch.category.tolist()) == {0, 1, 2}
    assert not pairs.dropped


def test_the_target_is_never_in_its_context_and_every_pair_occurs(cache, steady):
    pairs = cache(steady)
    pairs.fill()
    picks = set()
    for segment in pairs._segments:
        for number in range(pairs.submixes):
            picks.add(pairs._members(segment, number))
    assert picks == {(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)}
    draw, segments = generator(), pairs._segments
    for _ in range(300):
        pick = pairs._pick(draw, segments, 50)
        assert pick.target not in pairs._members(pick.segment, pick.submix)


def test_a_context_is_the_sum_of_its_members_at_a_varied_gain(cache, steady):
    pairs = cache(steady)
    pairs.fill()
    gains = []
    for segment in pairs._segments:
        for number in range(pairs.submixes):
            pick = pairs._pick(generator(), [segment], 100)
            pick = replace(pick, submix=number, first=0)
            heard = levels_of(pairs._gather([pick], 100).context).mean().item()
            song_scale = 1 + int(segment.song.id[1]) / 100
            clean = sum(list(STEMS.values())[one] for one in pairs._members(segment, number))
            gains.append(20 * np.log10(heard / (clean * song_scale)))
    assert -6.1 < min(gains) < -5
    assert 5 < max(gains) < 6.1


def test_segments_cover_songs_of_any_length_to_the_end(cache, steady, codec):
    pairs = cache(steady)
    for song in steady:
        covered = np.zeros(round(song.seconds * RATE), bool)
        for segment in pairs._segments:
            if segment.song == song:
                stop = segment.start + segment.frames * HOP
                assert stop <= len(covered)
                covered[segment.start : stop] = True
        assert covered.all()


def test_codes_are_those_of_the_stem_at_that_place(folder, write, cache):
    """A ramp: the code tells the time, so that context, target and segments must be aligned."""
    ramp = np.linspace(0, 0.4, 9 * RATE)
    write("a", {"bass": ramp, "drums": ramp[::-1] / 2})
    write("b", {"bass": np.repeat(ramp, 2)[: 9 * 2 * RATE], "drums": np.full(18 * RATE, 0.1)}, 2000)
    corpus = scan_stems([folder])
    pairs = cache(corpus.split("train"), submixes=3)
    pairs.fill()
    segment = pairs._segments[1]
    for target, stem in enumerate(segment.song.stems):
        pick = pairs._pick(generator(), [segment], 60)
        pick = replace(pick, target=target, first=17)
        codes = pairs._gather([pick], 60).target[0, 0].numpy()
        start_s = (segment.start + 17 * HOP) / RATE
        wave = read_stem(stem, start_s, 60 * HOP / RATE, RATE)
        expected = (wave.reshape(60, HOP).mean(-1) + 1) * 500
        np.testing.assert_allclose(codes, expected, atol=0.51)


def test_draws_are_a_function_of_the_generator_and_the_split(cache, steady):
    pairs = cache(steady)
    pairs.fill()
    first, again, other = (pairs.draw(generator(seed), 8, 30) for seed in (1, 1, 2))
    assert torch.equal(first.context, again.context)
    assert torch.equal(first.target, again.target)
    assert not torch.equal(first.context, other.context)
    held_out = [one.id for one in pairs.corpus.split("valid")]
    assert held_out
    scale = 1 + int(held_out[0][1]) / 100
    batch = pairs.draw(generator(), 30, 30, "valid")
    rows = [list(STEMS.values())[[0, 2, 1][row]] for row in batch.category.tolist()]
    np.testing.assert_allclose(levels_of(batch.target).mean(-1), np.array(rows) * scale, atol=2e-3)


def test_a_cache_is_found_again_grows_and_is_made_anew_for_another_codec(cache, codec, steady):
    train = steady.split("train")
    cache(train).fill()
    some = codec.encoded
    assert some > 0
    reports = []
    pairs = cache(steady)
    pairs.fill(lambda done, total, name: reports.append((done, total, name)))
    takes = 3 + pairs.submixes
    assert codec.encoded == takes * len(pairs._segments)
    assert reports[0] == (some // takes, len(pairs._segments), "")
    assert reports[-1][:2] == (len(pairs._segments), len(pairs._segments))
    before, batch = codec.encoded, pairs.draw(generator(), 4, 20)
    again = cache(steady)
    again.fill()
    assert codec.encoded == before
    assert torch.equal(again.draw(generator(), 4, 20).context, batch.context)
    cache(steady, key="other weights").fill()
    assert codec.encoded == 2 * before


def test_an_interrupted_fill_keeps_what_is_done(cache, steady):
    class Stop(Exception):
        pass

    def stop(done, total, name):
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        cache(steady, submixes=2).fill(stop)
    pairs = cache(steady, submixes=2)
    reports = []
    pairs.fill(lambda done, total, name: reports.append(done))
    assert reports[0] == 2
    assert pairs.draw(generator(), 2, 20).target.shape == (2, 2, 20)


def test_silent_pairs_are_dropped_and_counted(folder, write, cache, codec):
    """The drums play in the first half alone, the bass in the second: no pair but of a third."""
    time = 8 * RATE
    half = np.r_[np.full(time // 2, 0.1), np.zeros(time // 2)]
    write("a", {"drums": half, "bass": half[::-1] / 2, "keys": np.full(time, 0.3)})
    corpus = scan_stems([folder])
    live = LivePairs(corpus, codec, CATEGORIES)
    for pairs in (cache(corpus), live):
        pairs.fill()
        batch = pairs.draw(generator(), 60, 25)
        assert pairs.dropped[SILENT_CONTEXT] > 5
        assert pairs.dropped[SILENT_TARGET] > 5
        # Noise at -55 dBFS stays; what was drawn sounds.
        assert (levels_of(batch.context).abs().amax(-1) > 0.01).all()
        assert (levels_of(batch.target).abs().amax(-1) > 0.01).all()
    shares = cache(corpus)
    shares.fill()
    dropped = shares.share_dropped(generator(), 400, 25)
    assert 0.1 < dropped[SILENT_CONTEXT] < 0.5
    assert 0.1 < dropped[SILENT_TARGET] < 0.5
    assert not shares.dropped


def test_songs_that_never_sound_together_are_refused(folder, write, cache, codec):
    half = np.r_[np.full(4 * RATE, 0.1), np.zeros(4 * RATE)]
    write("a", {"drums": half, "bass": half[::-1].copy() / 2})
    corpus = scan_stems([folder])
    pairs = cache(corpus, segment_s=4.0)
    pairs.fill()
    with pytest.raises(DataError, match="hardly any pair of the train split sounds"):
        pairs.draw(generator(), 1, 200)


def test_what_cannot_be_is_refused(cache, codec, steady, tmp_path):
    with pytest.raises(DataError, match=r"is not open; call fill\(\) first"):
        cache(steady).draw(generator(), 1, 10)
    pairs = cache(steady, submixes=1)
    pairs.fill()
    with pytest.raises(DataError, match="no segment of the train split has 500 frames"):
        pairs.draw(generator(), 1, 500)
    with pytest.raises(DataError, match="no segment of the test split"):
        pairs.draw(generator(), 1, 5, "test")
    with pytest.raises(ConfigError, match="expected more than 0"):
        cache(steady, segment_s=0.0)
    with pytest.raises(ConfigError, match=r"no stem 'bass' here.*Train a model with a row for it"):
        CachedPairs(
            steady, codec, "k", ("drums", "piano"), tmp_path, segment_s=1.0, submixes=1, seed=0
        )
    codec.channels = 2
    with pytest.raises(ConfigError, match="pairs need a mono codec"):
        LivePairs(steady, codec, CATEGORIES)


# ---- live ------------------------------------------------------------------------------------


def test_live_pairs_are_drawn_like_cached_ones(steady, codec):
    pairs = LivePairs(steady, codec, CATEGORIES)
    batch = pairs.draw(generator(), 40, 50)
    assert batch.context.shape == batch.target.shape == (40, 2, 50)
    assert batch.activity.eq(1).all()
    heard = levels_of(batch.target).mean(-1)
    expected = [[0.05, 0.2, 0.1][row] for row in batch.category.tolist()]
    # Near both ends of a song the codec's context is silence; the frames themselves are not.
    np.testing.assert_allclose(heard, expected, rtol=0.05)
    assert torch.equal(pairs.draw(generator(), 40, 50).context, batch.context)
    with pytest.raises(DataError, match="no song lasts the 20 s"):
        pairs.draw(generator(), 1, 1000)


def test_excerpts_for_the_codec_are_stems_and_submixes_of_one_length(steady):
    excerpts = StemExcerpts(steady, "train", 300, RATE)
    waves = excerpts.draw(generator(), 80)
    assert waves.shape == (80, 1, 300)
    assert waves.dtype == torch.float32
    assert waves.abs().max() <= 1
    assert waves.abs().amax(-1).min() > 0.01
    spread_db = 20 * np.log10(waves[:, 0, 0].numpy())
    assert spread_db.max() - spread_db.min() > 20
    assert torch.equal(excerpts.draw(generator(), 5), waves[:5])
    with pytest.raises(DataError, match="no song lasts"):
        StemExcerpts(steady, "train", 10**6, RATE)


# ---- activity --------------------------------------------------------------------------------


def test_levels_are_half_decibels_below_full_scale():
    wave = np.repeat(np.array([1.0, 0.1, 0.001, 0.0], np.float32), HOP)
    np.testing.assert_array_equal(frame_levels(wave, HOP), [0, 40, 120, 255])
    np.testing.assert_array_equal(frame_levels(wave[None, :-1], HOP), [[0, 40, 120]])


def test_short_gaps_belong_to_playing_and_ends_stay_sharp():
    plays = np.zeros((1, 400), bool)
    for start, stop in ((50, 52), (90, 100), (170, 172), (172, 220), (398, 400)):
        plays[0, start:stop] = True
    levels = np.where(plays, 40, 255).astype(np.uint8)
    bridged = active(levels, 50.0)[0]  # Gaps below 50 frames; one of 70 stays.
    expected = np.zeros(400, bool)
    expected[50:100] = expected[170:220] = expected[398:] = True
    np.testing.assert_array_equal(bridged, expected)


def test_hardly_anything_is_silence():
    levels = np.full(100, 255, np.uint8)
    levels[:4] = 20
    assert is_silent(levels)
    levels[:5] = 20
    assert not is_silent(levels)
    levels[:] = 101  # -50.5 dBFS
    assert is_silent(levels)
