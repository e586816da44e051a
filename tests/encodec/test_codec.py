"""The codec: exact lengths, parts equal wholes, what is saved comes back."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.checkpoint import write_checksums
from ritornello.encodec import codec as codec_module
from ritornello.encodec.codec import load_codec, save_codec
from ritornello.encodec.presets import PRESETS
from ritornello.errors import AudioError, CheckpointError, ConfigError
from tests.encodec.codecs import PUBLISHED, drawn, noise, tiny

KINDS = {
    "plain": {},
    "deep": {"residual_layers": 2},
    "published": PUBLISHED,
    "stereo": {"channels": 2},
}
CODECS = {kind: drawn(tiny(**settings)) for kind, settings in KINDS.items()}
EVERY = pytest.mark.parametrize("kind", sorted(KINDS))


@settings(max_examples=40)
@given(kind=st.sampled_from(sorted(KINDS)), time=st.integers(1, 200), batch=st.integers(1, 2))
def test_any_length_comes_back_exactly(kind, time, batch):
    codec = CODECS[kind]
    codes = codec.encode(noise(time, batch, channels=codec.channels))
    assert codes.shape == (batch, 3, -(-time // 16))
    assert codes.dtype == torch.int64
    assert 0 <= int(codes.min()) <= int(codes.max()) < codec.codebook_size
    wave = codec.decode(codes, time)
    assert wave.shape == (batch, codec.channels, time)
    assert wave.abs().max() <= 1


def unchecked(method):
    """The method without the check of its types, for double precision."""
    return method.__func__.__wrapped__


@EVERY
def test_chunks_equal_the_whole(kind, monkeypatch):
    """Also with recurrence, which runs over all frames at once whatever the chunks."""
    codec = drawn(tiny(**KINDS[kind]))
    codec.network.encoder.double()
    codec.network.narrow.double()
    wave = noise(16 * 90 + 5, channels=codec.channels).double()
    encode, decode = unchecked(codec.encode), codec.decode
    codes = encode(codec, wave)
    whole = decode(codes)
    monkeypatch.setattr(codec_module, "CHUNK_SAMPLES", 16)
    assert codec._chunk_frames() < 30
    assert torch.equal(encode(codec, wave), codes)
    torch.testing.assert_close(decode(codes), whole, rtol=0, atol=1e-6)
    assert len(codes[:, 0].unique()) > 3


def test_a_stretch_with_context_is_encoded_as_in_the_whole():
    codec = CODECS["plain"]
    context, hop = codec.context_frames, codec.hop_samples
    wave = noise(hop * 80)
    whole, start, stop = codec.encode(wave), 30, 50
    part = codec.encode(wave[..., (start - context) * hop : (stop + context) * hop])
    assert torch.equal(part[..., context:-context], whole[..., start:stop])
    part = codec.decode(whole[..., start - context : stop + context])
    inner = part[..., context * hop : -context * hop]
    torch.testing.assert_close(inner, codec.decode(whole)[..., start * hop : stop * hop])


def test_code_vectors_are_what_frames_are_sums_of():
    codec = CODECS["plain"]
    codes = codec.encode(noise(320))
    vectors = codec.code_vectors()
    assert vectors.shape == (3, 16, 4)
    levels = [vectors[level][codes[:, level]] for level in range(3)]
    torch.testing.assert_close(codec.network.quantizer.look_up(codes), torch.stack(levels).sum(0))


def test_what_is_saved_comes_back(tmp_path):
    codec = drawn()
    book = codec.network.quantizer.books[0]
    book.counts.mul_(1e6)  # a batch too large for half precision
    book.sums.mul_(1e6)
    save_codec(codec, tmp_path / "half")
    save_codec(codec, tmp_path / "full", half=False)
    for folder in ("half", "full"):
        write_checksums(tmp_path / folder)
    half, full = (load_codec(tmp_path / folder, tiny()) for folder in ("half", "full"))
    assert not any(weight.requires_grad for weight in half.network.parameters())
    wave = noise(1600)
    codes = codec.encode(wave)
    assert torch.equal(full.encode(wave), codes)
    torch.testing.assert_close(full.decode(codes), codec.decode(codes))
    assert (half.encode(wave) == codes).float().mean() > 0.9
    torch.testing.assert_close(half.decode(codes), codec.decode(codes), rtol=0, atol=0.02)
    with pytest.raises(CheckpointError, match="another config"):
        load_codec(tmp_path / "half", tiny(codebooks=2))
    with pytest.raises(CheckpointError, match="no component 'encodec'"):
        load_codec(tmp_path)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda codec: codec.encode(torch.zeros(1, 2, 8)), "2 channel"),
        (lambda codec: codec.encode(torch.zeros(1, 1, 0)), "at least 1 sample"),
        (lambda codec: codec.decode(torch.zeros(1, 2, 4, dtype=torch.int64)), "2 codebook"),
        (lambda codec: codec.decode(torch.zeros(1, 3, 4, dtype=torch.int64), 65), "1 .. 64"),
        (lambda codec: codec.decode(torch.full((1, 3, 4), 16)), "0 .. 15"),
    ],
)
def test_what_does_not_fit_is_refused(act, words):
    with pytest.raises(AudioError, match=words):
        act(CODECS["plain"])


@pytest.mark.parametrize(
    "settings",
    [
        {"ratios": ()},
        {"ratios": (4, 1)},
        {"codebook_size": 12},
        {"padding": "wrap"},
        {"kernel": 4},
        {"filters": 3},
        {"ema_decay": 1.0},
        {"lstm_layers": -1},
    ],
)
def test_sizes_that_make_no_codec_are_refused(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        tiny(**settings)


def test_presets_by_name():
    assert list(PRESETS) == ["nano", "small", "base", "paper"]
    for make in PRESETS.values():
        codec = make().codec
        assert codec.sample_rate == codec.hop_samples * codec.frame_rate_hz
