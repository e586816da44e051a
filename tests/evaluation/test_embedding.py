"""Embeddings by name, by codec, and of many clips with a cache that can be trusted."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ritornello.audio.io import write_audio
from ritornello.errors import AudioError, ConfigError
from ritornello.evaluation.clips import Clip
from ritornello.evaluation.codec_embedding import (
    CODE_DIRECTIONS_DIM,
    code_directions,
    codec_embedding,
)
from ritornello.evaluation.embedding import Embedding, embed_clips, load_embedding
from ritornello.evaluation.embedding_cache import EmbeddingCache, audio_hash
from ritornello.interfaces import Audio, LatentCodec, TokenCodec
from tests.evaluation.signals import noise, notes, tone

RATE = 8000


class Halves:
    """Mean and level of every half second; counts what it was asked to embed."""

    name, sample_rate, dim, patch_s = "halves / test", RATE, 2, 0.5

    def __init__(self, key="1"):
        self.key, self.calls = key, 0

    def embed(self, wave, sample_rate):
        self.calls += 1
        size = sample_rate // 2
        halves = wave[:, : wave.shape[1] // size * size].mean(axis=0).reshape(-1, size)
        return np.stack([halves.mean(axis=1), halves.std(axis=1)], axis=1).astype(np.float32)


class BlockCodec(LatentCodec):
    """A latent is the first sample of its block and minus twice that."""

    sample_rate, channels, hop_samples, context_frames, latent_dim = RATE, 1, 100, 0, 2

    def encode(self, wave):
        first = wave[:, :, ::100]
        return torch.cat([first, -2 * first], dim=1)

    def decode(self, latents, length=None):
        return latents[:, :1].repeat_interleave(100, dim=2)[..., :length]


class SignCodec(TokenCodec):
    """Two codebooks of two: the sign of a block's first sample, and whether it is loud."""

    sample_rate, channels, hop_samples, context_frames = RATE, 2, 100, 0
    codebooks, codebook_size = 2, 2

    def encode(self, wave):
        first = wave.mean(dim=1)[:, ::100]
        return torch.stack([(first > 0).long(), (first.abs() > 0.25).long()], dim=1)

    def decode(self, codes, length=None):
        raise NotImplementedError


@pytest.fixture
def clips(tmp_path):
    """Three clips of two files, of other rates and channels."""
    low, high = tmp_path / "low.wav", tmp_path / "high.wav"
    music = notes(3.0, seed=0, rate=RATE).astype(np.float32)
    write_audio(low, Audio(samples=music, sample_rate=RATE))
    stereo = noise(2.0, seed=1, channels=2, rate=22050).astype(np.float32)
    write_audio(high, Audio(samples=stereo, sample_rate=22050))
    places = [(low, 0.0), (high, 0.5), (low, 1.5)]
    return [
        Clip(name=f"{path.name}@{start}", path=path, start_s=start, seconds=1.5)
        for path, start in places
    ]


# ---- by name ---------------------------------------------------------------------------------


def test_everything_that_embeds_is_an_embedding(clips):
    for embedding in (load_embedding("musicnn"), codec_embedding(BlockCodec()), Halves()):
        assert isinstance(embedding, Embedding)
    assert not isinstance(BlockCodec(), Embedding)


def test_names_and_models():
    assert load_embedding("musicnn").name == "musicnn"
    asked = []

    def load_codec(model):
        asked.append(model)
        return BlockCodec()

    embedding = load_embedding("models/blocks", load_codec)
    assert (embedding.name, embedding.dim, asked) == ("codec-blocks", 4, ["models/blocks"])
    with pytest.raises(ConfigError, match=r"no embedding 'vggish'; expected 'musicnn' or a file"):
        load_embedding("vggish")


# ---- by codec --------------------------------------------------------------------------------


def test_latents_become_their_mean_and_spread_over_windows():
    embedding = codec_embedding(BlockCodec(), window_s=0.5)
    firsts = np.array([0.1, 0.3] * 20 + [-0.2] * 40 + [0.5] * 7)
    wave = np.repeat(firsts, 100)[None]
    expected = [[0.2, -0.4, 0.1, 0.2], [-0.2, 0.4, 0.0, 0.0]]
    np.testing.assert_allclose(embedding.embed(wave, RATE), expected, atol=1e-6)
    assert (embedding.sample_rate, embedding.dim, embedding.patch_s) == (RATE, 4, 0.5)


def test_channels_and_rates_are_brought_to_the_codecs():
    embedding = codec_embedding(BlockCodec(), window_s=0.5)
    mono = tone(5, 1.0, RATE)
    both = embedding.embed(np.concatenate([1.5 * mono, 0.5 * mono]), RATE)
    np.testing.assert_allclose(both, embedding.embed(mono, RATE), atol=1e-6)
    other_rate = embedding.embed(tone(5, 1.0, 44100), 44100)
    np.testing.assert_allclose(other_rate, embedding.embed(mono, RATE), atol=0.02)


def test_codes_become_the_directions_they_stand_for():
    codec = SignCodec()
    embedding = codec_embedding(codec, window_s=0.5)
    book, loudness = code_directions(codec).numpy()
    wave = np.repeat([0.1] * 30 + [-0.5] * 10, 100)[None]
    patch = embedding.embed(wave, RATE)[0]
    mean = 0.75 * (book[1] + loudness[0]) + 0.25 * (book[0] + loudness[1])
    np.testing.assert_allclose(patch[:CODE_DIRECTIONS_DIM], mean, atol=1e-6)
    assert embedding.dim == 2 * CODE_DIRECTIONS_DIM
    # the same codes in another order are the same to it
    order = np.random.default_rng(0).permutation(40)
    shuffled = np.repeat(wave[0, ::100][order], 100)[None]
    np.testing.assert_allclose(embedding.embed(shuffled, RATE)[0], patch, atol=1e-5)


def test_key_follows_what_the_codec_does():
    class Louder(BlockCodec):
        def encode(self, wave):
            return 1.001 * super().encode(wave)

    key = codec_embedding(BlockCodec()).key
    assert codec_embedding(BlockCodec()).key == key
    assert codec_embedding(Louder()).key != key
    assert codec_embedding(BlockCodec(), window_s=1.5).key != key


def test_what_a_codec_cannot_describe_is_refused():
    embedding = codec_embedding(BlockCodec())
    with pytest.raises(AudioError, match="lasts 1 s; expected at least one window of 2 s"):
        embedding.embed(tone(220, 1.0, RATE), RATE)
    with pytest.raises(AudioError, match="NaN"):
        embedding.embed(np.full((1, 2 * RATE), np.nan), RATE)
    with pytest.raises(ConfigError, match=r"window_s is 0\.01, 1 of the codec's frames"):
        codec_embedding(BlockCodec(), window_s=0.01)


def test_a_trained_kind_of_codec_hears_noise(nano_model):
    from ritornello.musika.generate import Musika

    codec = Musika.load(nano_model).codec
    embedding = codec_embedding(codec)
    music = notes(4.0, seed=0, rate=codec.sample_rate)
    clean = embedding.embed(music, codec.sample_rate)
    noisy = embedding.embed(music + noise(4.0, 1, rate=codec.sample_rate), codec.sample_rate)
    assert clean.shape == (len(clean), 2 * codec.latent_dim)
    assert np.linalg.norm(noisy.mean(axis=0) - clean.mean(axis=0)) > 3 * np.linalg.norm(
        clean[: len(clean) // 2].mean(axis=0) - clean[len(clean) // 2 :].mean(axis=0)
    )


# ---- many clips ------------------------------------------------------------------------------


def test_clips_come_in_order_with_progress(clips):
    told = []
    patches = embed_clips(clips, Halves(), progress=lambda *what: told.append(what))
    expected = [Halves().embed(clip.read().samples, clip.read().sample_rate) for clip in clips]
    assert [p.shape for p in patches] == [(3, 2)] * 3
    for ours, theirs in zip(patches, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert told == [(n, 3, clip.name) for n, clip in enumerate(clips)] + [(3, 3, "")]
    assert embed_clips([], Halves()) == []


def test_a_clip_that_cannot_be_embedded_is_named(clips):
    class Wrong(Halves):
        def embed(self, wave, sample_rate):
            return super().embed(wave, sample_rate)[:, :1]

    class Undefined(Halves):
        def embed(self, wave, sample_rate):
            return np.log(0 * super().embed(wave, sample_rate) - 1)

    with pytest.raises(AudioError, match=r"low\.wav@0\.0: .*shape \(3, 1\); expected one or more"):
        embed_clips(clips, Wrong())
    with np.errstate(invalid="ignore"), pytest.raises(AudioError, match=r"low\.wav.*NaN"):
        embed_clips(clips, Undefined())
    with pytest.raises(AudioError, match=r"low\.wav@0\.0: the clip lasts 1\.5 s"):
        embed_clips(clips, load_embedding("musicnn"))


def test_cached_patches_are_found_and_equal(clips, tmp_path):
    cache, first, second = tmp_path / "cache", Halves(), Halves()
    made = embed_clips(clips, first, cache=cache)
    found = embed_clips(clips, second, cache=cache)
    assert (first.calls, second.calls) == (3, 0)
    for ours, theirs in zip(found, made, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert len(list(cache.rglob("*"))) == 1 + 3  # a folder, three files, nothing temporary


def test_another_embedding_shares_nothing(clips, tmp_path):
    embed_clips(clips, Halves("1"), cache=tmp_path / "cache")
    other = Halves("2")
    embed_clips(clips, other, cache=tmp_path / "cache")
    assert other.calls == 3


def test_content_counts_and_names_do_not(clips, tmp_path):
    cache = tmp_path / "cache"
    embed_clips(clips, Halves(), cache=cache)
    moved = [
        Clip(
            name="moved",
            path=clips[0].path.rename(tmp_path / "moved.wav"),
            start_s=0.0,
            seconds=1.5,
        )
    ]
    counting = Halves()
    embed_clips(moved, counting, cache=cache)
    assert counting.calls == 0
    louder = Audio(samples=tone(220, 3.0, RATE, 0.51).astype(np.float32), sample_rate=RATE)
    write_audio(moved[0].path, louder)
    embed_clips(moved, counting, cache=cache)
    assert counting.calls == 1


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-3])


def flip_last(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def empty(file: Path) -> None:
    file.write_bytes(b"")


def be_another_size(file: Path) -> None:
    cache = EmbeddingCache(file.parent.parent, name=Halves.name, key="1", dim=3)
    cache.write(file.stem, np.zeros((3, 3), np.float32))


@pytest.mark.parametrize("damage", [cut_short, flip_last, empty, be_another_size])
def test_damaged_entries_are_made_again(clips, tmp_path, damage):
    cache = tmp_path / "cache"
    made = embed_clips(clips[:1], Halves(), cache=cache)
    damage(next(cache.rglob("*.safetensors")))
    for calls in (1, 0):  # made again, and then whole
        counting = Halves()
        np.testing.assert_array_equal(embed_clips(clips[:1], counting, cache=cache)[0], made[0])
        assert counting.calls == calls


@given(
    patches=arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.just(3)),
        elements=st.floats(width=32, allow_nan=False),
    )
)
@settings(max_examples=20)
def test_cache_gives_back_every_bit(tmp_path_factory, patches):
    cache = EmbeddingCache(tmp_path_factory.mktemp("cache"), name="any", key="k", dim=3)
    assert cache.read("0" * 64) is None
    cache.write("0" * 64, patches)
    again = cache.read("0" * 64)
    assert again is not None
    assert again.tobytes() == patches.tobytes()


def test_audio_hash_hears_samples_rate_and_channels():
    samples = tone(220, 0.1, RATE).astype(np.float32)
    audio = Audio(samples=samples, sample_rate=RATE)
    assert audio_hash(audio) == audio_hash(Audio(samples=samples.copy(), sample_rate=RATE))
    others = [
        Audio(samples=samples, sample_rate=RATE + 1),
        Audio(samples=samples.reshape(2, -1), sample_rate=RATE),
        Audio(samples=np.nextafter(samples, 1), sample_rate=RATE),
    ]
    assert len({audio_hash(other) for other in (audio, *others)}) == 4


@pytest.mark.slow
def test_ten_minutes_take_well_under_a_minute():
    wave = noise(600.0, seed=0, channels=2, rate=44100).astype(np.float32)
    start = time.process_time()
    assert load_embedding("musicnn").embed(wave, 44100).shape == (200, 200)
    assert time.process_time() - start < 40
