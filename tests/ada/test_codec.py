"""The codec of a stack: exact lengths, parts equal wholes, what is saved comes back."""

import numpy as np
import pytest
import torch

from ritornello.ada import recordings
from ritornello.ada.codec import (
    AdaCodec,
    Draws,
    LevelPlayer,
    load_level,
    load_prior,
    modulator_reach,
    players_of,
    save_level,
    save_prior,
    windows,
)
from ritornello.ada.sampling import sampler_for
from ritornello.audio.mulaw import mulaw_encode
from ritornello.checkpoint import write_checksums
from ritornello.errors import AudioError, ConfigError
from tests.ada.stacks import RATE, drawn_levels, drawn_prior, stack_config


def noise(time, batch=1, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 1, time, generator=draw) * 1.6 - 0.8


def codes(frames, batch=1, seed=0):
    return torch.randint(16, (batch, frames), generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def codec():
    return AdaCodec(drawn_levels(2), RATE)


@pytest.mark.parametrize("time", [1, 7, 8, 9, 100])
def test_lengths_are_exact(codec, time):
    found = codec.encode(noise(time, batch=2))
    assert found.shape == (2, 1, codec.frames_for(time)) == (2, 1, -(-time // 8))
    wave = codec.decode(found, time)
    assert wave.shape == (2, 1, time)
    assert wave.abs().max() <= 1


def test_its_numbers_are_those_of_the_levels(codec):
    assert (codec.hop_samples, codec.codebooks, codec.codebook_size) == (8, 1, 16)
    assert codec.frame_rate_hz == 250
    # 3 samples of level 1's encoder are one code, that and 3 codes of level 2's are two
    assert codec.context_frames == 2


def test_an_encoded_frame_depends_on_its_context_and_nothing_else(codec):
    wave, context = noise(400), codec.context_frames
    whole = codec.encode(wave)
    part = codec.encode(wave[..., 10 * 8 : 40 * 8])
    inner = slice(context, 30 - context)
    assert torch.equal(part[..., inner], whole[..., 10:40][..., inner])
    assert len(whole.unique()) > 3


def test_encoding_in_chunks_equals_encoding_whole(codec, monkeypatch):
    wave = noise(1001, batch=2)
    whole = codec.encode(wave)
    monkeypatch.setattr(recordings, "ENCODED_STEPS", 64)
    assert torch.equal(codec.encode(wave), whole)


@pytest.mark.parametrize("time", [3, 8, 21])
def test_symbols_go_from_mu_law_to_the_topmost_codes(codec, time):
    wave = noise(time)
    audio, first, second = codec.symbols(wave)
    assert torch.equal(audio[:, :time], mulaw_encode(wave[:, 0]))
    assert (audio[:, time:] == 128).all()
    assert audio.shape[1] == 4 * first.shape[1] == 8 * second.shape[1]
    assert torch.equal(first, codec.levels[0].encode(audio))
    assert torch.equal(second, codec.levels[1].encode(first))


def test_decoding_draws_the_same_every_time_and_by_the_seed(codec):
    found = codec.encode(noise(400))
    again = AdaCodec(codec.levels, RATE).decode(found)
    other = AdaCodec(codec.levels, RATE, seed=1).decode(found)
    assert torch.equal(codec.decode(found), again)
    assert not torch.equal(again, other)


def test_a_row_is_decoded_alike_alone_and_in_a_batch(codec):
    found = codec.encode(noise(160, batch=3))
    assert torch.equal(codec.decode(found)[1:2], codec.decode(found[1:2]))


def test_a_cold_level_draws_its_most_probable_symbols():
    levels = drawn_levels(1)
    found = AdaCodec(levels, RATE).encode(noise(160))
    cold = [AdaCodec(levels, RATE, seed=s, temperatures=(1e-6,)).decode(found) for s in (0, 1)]
    assert torch.equal(*cold)


# ------------------------------------------------------------------ block by block


@pytest.mark.parametrize("pieces", [[40], [1] * 40, [7, 20, 13]])
@pytest.mark.parametrize("past", [0, 3, 11])
def test_windows_cover_every_code_once_with_its_context(pieces, past):
    line, block, reach = torch.arange(past + 40)[None], 6, 4
    source = iter(line[:, past:].split(pieces, 1))
    place = past
    for number, (window, start, stop) in enumerate(windows(source, line[:, :past], block, reach)):
        first = 0 if number == 0 else max(0, place - reach)
        assert window[0].tolist() == list(
            range(first, min(place + stop - start + reach, past + 40))
        )
        assert window[0, start] == place
        assert stop - start == min(block, past + 40 - place)
        place += stop - start
    assert place == past + 40


class NumbersOfTheWhole(Draws):
    """One long row of numbers, cut where the blocks fall."""

    def uniforms(self, block, batch, steps):
        whole = np.random.default_rng(0).random((1, 2000), dtype=np.float32)
        start = self.seed + block * self.temperature_free_steps
        return np.repeat(whole[:, start : start + steps], batch, 0)

    temperature_free_steps = 0


def numbers_from(start, block_steps):
    class Numbers(NumbersOfTheWhole):
        temperature_free_steps = block_steps

    return Numbers(seed=start, name="level1")


def played(ada, found, block, pieces, *, start=0, past=None):
    player = LevelPlayer(ada=ada, sampler=sampler_for(ada.local), block=block)
    source = iter(found.split(pieces, 1))
    hop = ada.config.hop
    return torch.cat(list(player.play(source, numbers_from(start, block * hop), past)), 1)


def test_blocks_and_pieces_of_any_size_give_the_same_symbols():
    (ada,) = drawn_levels(1)
    found = codes(60)
    whole = played(ada, found, 60, [60])
    assert whole.shape == (1, 240)
    assert torch.equal(played(ada, found, 7, [60]), whole)
    assert torch.equal(played(ada, found, 20, [1] * 60), whole)


def test_a_piece_that_is_continued_is_the_piece():
    """A local model that has heard the past goes on as if it had made it."""
    (ada,) = drawn_levels(1)
    found = codes(60)
    whole = played(ada, found, 60, [60])
    for frames in (25, 33):
        player = LevelPlayer(ada=ada, sampler=sampler_for(ada.local), block=5)
        past = player.relevant(found[:, :frames], whole[:, : frames * 4])
        assert past[0].shape[1] == player.past_frames == 2 + modulator_reach(ada)
        rest = played(ada, found[:, frames:], 5, [1] * (60 - frames), start=frames * 4, past=past)
        assert torch.equal(rest, whole[:, frames * 4 :])


def test_numbers_belong_to_a_seed_a_network_and_a_block():
    def numbers(seed, name, block):
        return Draws(seed=seed, name=name).uniforms(block, 2, 8)

    first = numbers(0, "level1", 0)
    assert first.shape == (2, 8)
    assert np.array_equal(first, numbers(0, "level1", 0))
    assert np.array_equal(first[0], first[1])
    for other in ((1, "level1", 0), (0, "prior", 0), (0, "level1", 1)):
        assert not np.array_equal(first, numbers(*other))


# ------------------------------------------------------------------ on the disk, and refusals


def test_what_is_saved_comes_back(tmp_path):
    config, levels, prior = stack_config(2), drawn_levels(2), drawn_prior(2)
    for index, ada in enumerate(levels):
        save_level(tmp_path, index, ada)
    save_prior(tmp_path, prior)
    write_checksums(tmp_path)
    again = [load_level(tmp_path, index, config) for index in range(2)]
    for old, new in zip([*levels, prior], [*again, load_prior(tmp_path, config)], strict=True):
        assert not new.training
        for name, tensor in new.state_dict().items():
            assert not tensor.requires_grad
            assert torch.allclose(tensor.float(), old.state_dict()[name].float(), 1e-3, 1e-5)


def test_what_makes_no_sense_is_refused(codec):
    with pytest.raises(AudioError, match=r"2 channel.* of 9 samples; expected 1"):
        codec.encode(noise(9).expand(1, 2, 9))
    with pytest.raises(AudioError, match=r"4 frames hold 1 \.\. 32 samples"):
        codec.decode(codes(4)[:, None], 33)
    with pytest.raises(AudioError, match=r"expected 0 \.\. 15"):
        codec.decode(codes(4)[:, None] + 1)
    with pytest.raises(ConfigError, match="1 temperatures for 2 levels"):
        AdaCodec(codec.levels, RATE, temperatures=(1.0,))
    with pytest.raises(ConfigError, match="got no levels"):
        AdaCodec([], RATE)


def test_blocks_last_a_quarter_of_a_second_or_as_far_as_the_modulator_looks():
    players = players_of(drawn_levels(3), 200)
    # 50, 25 and 12.5 codes a second; 3 codes of reach
    assert [player.block for player in players] == [12, 6, 3]


def test_a_codebook_of_a_large_batch_is_saved_as_the_vectors_it_is(tmp_path):
    (level,) = drawn_levels(1)
    book = level.bottleneck.codebook
    vectors = book.vectors.clone()
    for buffer in book.buffers():
        buffer.mul_(1e6)
    save_level(tmp_path, 0, level)
    write_checksums(tmp_path)
    again = load_level(tmp_path, 0, stack_config(1)).bottleneck.codebook
    assert torch.equal(again.vectors, vectors.half().float())
    assert torch.equal(again.counts, torch.ones_like(again.counts))
