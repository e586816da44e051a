"""One level as a codec: exact lengths, parts equal wholes, what is saved comes back."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ritornello.audio.chunk import chunk_plan
from ritornello.checkpoint import write_checksums
from ritornello.errors import AudioError, CheckpointError
from ritornello.jukebox import codec as codec_module
from ritornello.jukebox.codec import JukeboxCodec, load_vqvae, save_vqvae
from tests.jukebox.levels import RATE, drawn, noise, tiny

KINDS = pytest.mark.parametrize("networks", ["plain", "patched"])
CODECS = {kind: JukeboxCodec(drawn(tiny(kind)), RATE) for kind in ("plain", "patched")}


@given(kind=st.sampled_from(sorted(CODECS)), time=st.integers(1, 300), batch=st.integers(1, 2))
def test_any_length_comes_back_exactly(kind, time, batch):
    codec = CODECS[kind]
    codes = codec.encode(noise(time, batch))
    assert codes.shape == (batch, 1, codec.frames_for(time)) == (batch, 1, -(-time // 8))
    assert codes.dtype == torch.int64
    assert 0 <= int(codes.min()) <= int(codes.max()) < codec.codebook_size
    wave = codec.decode(codes, time)
    assert wave.shape == (batch, 1, time)
    assert wave.abs().max() <= 1


def test_its_numbers_are_those_of_the_level():
    codec = CODECS["plain"]
    assert (codec.hop_samples, codec.codebooks, codec.codebook_size) == (8, 1, 16)
    assert codec.frame_rate_hz == 1000
    assert codec.context_frames == max(codec.encoder_frames, codec.decoder_frames)


@KINDS
def test_chunks_equal_the_whole(networks, monkeypatch):
    codec = JukeboxCodec(drawn(tiny(networks)), RATE)
    codec.vqvae.decoder.double()
    codec.vqvae.quantiser.codebook.double()
    wave = noise(1203)
    whole = codec.decode(codes := torch.arange(151)[None, None] % 16)
    whole_codes = CODECS[networks].encode(wave)
    monkeypatch.setattr(codec_module, "CHUNK_SAMPLES", 8)
    assert codec._chunk_frames(codec.decoder_frames) < 40
    torch.testing.assert_close(codec.decode(codes), whole, rtol=0, atol=1e-12)
    assert torch.equal(CODECS[networks].encode(wave), whole_codes)


@KINDS
def test_the_context_is_enough_and_no_more_than_that(networks):
    level = drawn(tiny(networks)).double()
    with torch.no_grad():
        for weight in level.parameters():  # all positive: no path is cut by a ReLU
            weight.abs_()
    wave = noise(640).double() + 1
    whole = level.encoder(wave)
    context = level.encoder.reach.context

    def in_chunks(context):
        pieces = []
        for chunk in chunk_plan(80, 20, context):
            source = wave[..., chunk.padded_start * 8 : chunk.padded_stop * 8]
            pieces.append(level.encoder(source)[..., chunk.keep])
        return torch.cat(pieces, -1)

    torch.testing.assert_close(in_chunks(context), whole, rtol=1e-12, atol=0)
    assert (in_chunks(context - 1) - whole).abs().max() > 1e-6


def test_what_is_saved_comes_back(tmp_path):
    level = drawn(tiny())
    level.quantiser.codebook.counts.mul_(1e6)  # a batch too large for half precision
    level.quantiser.codebook.sums.mul_(1e6)
    save_vqvae(tmp_path, 1, level)
    write_checksums(tmp_path)
    loaded = load_vqvae(tmp_path, 1, tiny())
    assert not any(weight.requires_grad for weight in loaded.parameters())
    torch.testing.assert_close(
        loaded.quantiser.codebook.vectors, level.quantiser.codebook.vectors, rtol=2e-3, atol=1e-3
    )
    codes = torch.arange(16)[None]
    torch.testing.assert_close(loaded.decode(codes), level.decode(codes), rtol=0, atol=5e-3)
    assert load_vqvae(tmp_path, 1).config == tiny()
    with pytest.raises(CheckpointError, match="another config"):
        load_vqvae(tmp_path, 1, tiny("patched"))
    with pytest.raises(CheckpointError, match="no component 'vqvae0'"):
        load_vqvae(tmp_path, 0)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda codec: codec.encode(torch.zeros(1, 2, 8)), "2 channel"),
        (lambda codec: codec.encode(torch.zeros(1, 1, 0)), "at least 1 sample"),
        (
            lambda codec: codec.decode(torch.zeros(1, 2, 4, dtype=torch.int64)),
            "2 codebook",
        ),
        (lambda codec: codec.decode(torch.zeros(1, 1, 4, dtype=torch.int64), 33), "1 .. 32"),
        (lambda codec: codec.decode(torch.full((1, 1, 4), 16)), "0 .. 15"),
    ],
)
def test_what_does_not_fit_is_refused(act, words):
    with pytest.raises(AudioError, match=words):
        act(CODECS["plain"])
