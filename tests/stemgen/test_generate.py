"""From a mix to a stem: lengths, seeds, edits, loops, candidates, the guard, what is refused."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from ritornello.errors import AudioError, CapabilityError, ConfigError
from ritornello.interfaces import Audio, Request
from ritornello.stemgen import generate
from ritornello.stemgen.candidates import adherence, best
from ritornello.stemgen.config import DecodingConfig, GuidanceConfig
from ritornello.stemgen.generate import StemGen
from ritornello.stemgen.guard import problem_of, softened
from ritornello.stemgen.options import StemGenOptions
from tests.stemgen.conftest import RATE, drawn_player, noise

MIX = noise(1.3037)


def ask(player, mix=MIX, seed=0, stem="bass", **options):
    return player.generate(Request(mix=mix, stem=stem, seed=seed), StemGenOptions(**options))


def tokens(player, request, options):
    """The piece after it was made."""
    piece = player.piece(request, options)
    player._whole(piece)
    return piece


@pytest.mark.parametrize(("rate", "channels"), [(RATE, 1), (4410, 2), (RATE, 2)])
def test_a_stem_is_as_long_as_its_mix(player, rate, channels):
    for samples in (rate, round(1.6 * rate) + 1):
        mix = noise(3, rate, channels)
        mix = replace(mix, samples=mix.samples[:, :samples])
        stem = ask(player, mix)
        assert stem.samples.shape == (1, round(samples * RATE / rate))
        assert stem.sample_rate == RATE


def test_the_same_seed_is_the_same_stem_and_what_is_heard_matters(player):
    stem = ask(player)
    assert np.array_equal(ask(player).samples, stem.samples)
    assert not np.array_equal(ask(player, seed=1).samples, stem.samples)
    assert not np.array_equal(ask(player, noise(1.3037, seed=1)).samples, stem.samples)
    assert not np.array_equal(ask(player, stem="drums").samples, stem.samples)
    assert not np.array_equal(ask(player, bpm=90.0).samples, stem.samples)
    assert stem.meta == {"seed": 0, "stem": "bass", "precision": "fp32"}


def test_a_stream_is_the_stem(player):
    blocks = list(player.stream(Request(mix=MIX, stem="bass")))
    assert len(blocks) == 2  # windows of a second, a quarter shared
    assert np.array_equal(np.concatenate([one.samples for one in blocks], 1), ask(player).samples)


@pytest.mark.slow
def test_a_window_keeps_what_the_one_before_made(player):
    """Later windows do not change earlier frames: a longer mix begins as the shorter one does."""
    longer = replace(MIX, samples=np.concatenate([MIX.samples, MIX.samples], 1))
    options = StemGenOptions()
    found = tokens(player, Request(mix=longer, stem="bass"), options).codes
    window = player.config.frames
    first = tokens(player, Request(mix=MIX, stem="bass"), options).codes
    assert torch.equal(found[..., : window - 5], first[..., : window - 5])


def test_nothing_is_heard_of_nothing_but_the_length(player):
    stem = player.generate(Request(stem="drums", seconds=1.5), StemGenOptions(bpm=120.0))
    free = player.generate(Request(stem="drums", seconds=1.5))
    assert stem.samples.shape == free.samples.shape == (1, 2400)
    assert not np.array_equal(stem.samples, free.samples)


# ---------------------------------------------------------------------- edits


def test_an_edit_keeps_all_tokens_and_all_audio_outside(player):
    stem = ask(player)
    options = StemGenOptions(stem_in=stem, edit=(0.5, 0.9))
    request = Request(mix=MIX, stem="bass", seed=5)
    piece = tokens(player, request, options)
    before = player.codec.encode(torch.from_numpy(stem.samples)[None])
    is_new = torch.zeros(piece.frames, dtype=torch.bool)
    is_new[25:45] = True
    assert torch.equal(piece.codes[..., ~is_new], before[..., ~is_new])
    assert not torch.equal(piece.codes[..., is_new], before[..., is_new])
    edited = player.generate(request, options).samples
    changed = np.flatnonzero(edited[0] != stem.samples[0]) / RATE
    assert changed.min() >= 0.49
    assert changed.max() <= 0.91
    assert len(changed) > 0.3 * RATE


def test_a_variation_of_0_is_the_same_tokens(player):
    stem = ask(player)
    request = Request(mix=MIX, stem="bass", seed=9)
    before = player.codec.encode(torch.from_numpy(stem.samples)[None])
    same = tokens(player, request, StemGenOptions(stem_in=stem, variation=0.0)).codes
    assert torch.equal(same, before)
    half = tokens(player, request, StemGenOptions(stem_in=stem, variation=0.5)).codes
    stays = (half == before).all(1).float().mean().item()
    assert 0.5 <= stays < 0.8


def test_a_stem_of_another_length_cannot_be_edited(player):
    with pytest.raises(AudioError, match="expected the same length"):
        ask(player, stem_in=noise(3), variation=0.5)


# ---------------------------------------------------------------------- loops


def test_a_loop_has_its_length_and_its_end_leads_into_its_beginning(player):
    request = Request(mix=noise(1.6), stem="bass")
    piece = player.piece(request, StemGenOptions(loop=True))
    wave = player._whole(piece).samples
    assert wave.shape == (1, round(1.6 * RATE))
    plain = tokens(player, request, StemGenOptions()).codes
    frames = piece.frames
    reach = round(player.decoding.overlap_s * player.codec.frame_rate_hz) // 2
    inner = slice(reach + 1, frames - reach - 1)
    assert torch.equal(piece.codes[..., inner], plain[..., inner])
    ends = [*range(reach), *range(frames - reach, frames)]
    assert not torch.equal(piece.codes[..., ends], plain[..., ends])
    # Once more with its end in the middle: nothing is different where it closes.
    around = torch.cat([piece.codes, piece.codes], 2)
    twice = player.codec.decode(around)[0].numpy()
    middle = frames * player.codec.hop_samples
    joint = twice[0, middle - 20 : middle + 20]
    ring = np.concatenate([wave[0, -20:], wave[0, :20]])
    np.testing.assert_allclose(ring, joint, atol=1e-5)
    assert ask(player, loop=True).samples.shape == MIX.samples.shape


def test_a_kept_end_of_a_loop_stays(player):
    stem = ask(player, loop=True)
    request = Request(mix=MIX, stem="bass", seed=3)
    options = StemGenOptions(stem_in=stem, edit=(0.5, 1.0), loop=True)
    piece = player.piece(request, options)
    before = piece.codes.clone()
    player._whole(piece)
    assert torch.equal(piece.codes[..., piece.kept], before[..., piece.kept])


# ---------------------------------------------------------------------- guard


def silent():
    """The model with a codec whose every code is silence."""
    quiet = drawn_player()
    for book in quiet.codec.network.quantizer.books:
        book.sums.zero_()
    assert not quiet.codec.decode(torch.zeros(1, 2, 3, dtype=torch.int64)).any()
    return quiet


def test_a_silent_stem_is_made_anew_with_half_the_guidance_and_told(caplog):
    caplog.set_level(logging.WARNING)
    mix = noise(1)
    stem = ask(silent(), mix, activity=((0.0, 1),))
    first = [retry["guidance"] for retry in stem.meta["retries"] if retry["start_s"] == 0]
    assert first == [1.0, 1.0]
    assert {retry["problem"] for retry in stem.meta["retries"]} == {"silent where it should play"}
    assert "making it anew with guidance 1" in caplog.text
    assert "still silent" in caplog.text
    assert "retries" not in ask(silent(), mix, activity=((0.0, 0),)).meta
    assert "retries" not in ask(silent(), mix, activity=((0.0, 1),), retries=0).meta


def test_what_is_wrong_with_a_window():
    hop, rate, frames = 100, 1000, 20
    sound = np.tile(np.sin(np.arange(hop) * 0.7), frames).astype(np.float32)
    free, all_new = np.full(frames, 2), np.ones(frames, bool)

    def problem(wave, activity=free, is_new=all_new):
        return problem_of(wave, activity, is_new, hop, rate)

    assert problem(0.5 * sound) is None
    assert problem(0 * sound) == "silent"
    assert problem(0 * sound, np.zeros(frames, int)) is None
    assert problem(0 * sound, is_new=np.arange(frames) < 9) is None  # a rest of 0.9 s is a rest
    assert problem(np.clip(9 * sound, -1, 1)) == "clipped"
    half = np.where(np.arange(frames * hop) < 1000, sound, 0).astype(np.float32) / 2
    assert problem(half) is None
    plays = np.where(np.arange(frames) < 10, 0, 1)
    assert problem(half, plays) == "silent where it should play"
    assert problem(half, 1 - plays) is None


def test_half_the_guidance_is_no_less_than_none():
    config = DecodingConfig(guidance=GuidanceConfig(context=3.0, stem=0.5))
    once, twice = softened(config), softened(softened(config))
    assert (once.guidance.context, once.guidance.stem) == (1.5, 0.5)
    assert twice.guidance.context == 1.0


# ---------------------------------------------------------------------- candidates


@pytest.mark.slow
def test_of_several_candidates_the_one_that_follows_best_is_given(player):
    mix = noise(2.5)
    stem = ask(player, mix, candidates=2)
    scores = [one["score"] for one in stem.meta["candidates"]]
    assert stem.meta["candidate"] == 1 + scores.index(max(scores))
    if stem.meta["candidate"] == 1:
        assert np.array_equal(stem.samples, ask(player, mix).samples)
    assert best([{"score": 0.1}, {"score": 0.3}, {"score": 0.3}]) == 1
    with pytest.raises(ConfigError, match="cannot be compared in a stream"):
        player.stream(Request(mix=mix, stem="bass"), StemGenOptions(candidates=2))


@pytest.mark.slow
def test_a_stem_on_the_beat_follows_its_mix_better_than_one_beside_it():
    mix = noise(6, rate=16000)
    beside = replace(mix, samples=np.roll(mix.samples, 1900, axis=1))
    on, off = (adherence(mix, stem, "drums") for stem in (noise(6, 16000, seed=1), beside))
    assert on["score"] > off["score"] + 0.3
    assert set(on) == {"beat_f", "onset_coincidence", "score"}
    assert "chroma_correlation" in adherence(mix, mix, "bass")


# ---------------------------------------------------------------------- refusals and the rest


@pytest.mark.parametrize(
    ("request_of", "options", "error", "message"),
    [
        ({"mix": MIX}, {}, ConfigError, "which stem is wanted.*bass, chords, drums"),
        ({"mix": MIX, "stem": "basso"}, {}, ConfigError, "did you mean 'bass'"),
        ({"mix": noise(0.6), "stem": "bass"}, {}, AudioError, "expected 1 s or more"),
        ({"mix": Audio(samples=np.zeros((1, 3200), np.float32), sample_rate=RATE), "stem": "bass"},
         {}, AudioError, "the mix is silent"),
        ({"prompt": MIX, "stem": "bass"}, {}, CapabilityError, "cannot do continue"),
        ({"stem": "bass", "seconds": 2.0}, {"candidates": 2}, ConfigError, "how they follow a mix"),
        ({"mix": MIX, "stem": "bass"}, {"steps": (1, 2, 3)}, ConfigError, "1 or 2 numbers"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(player, request_of, options, error, message):
    with pytest.raises(error, match=message):
        player.generate(Request(**request_of), StemGenOptions(**options))


def test_stems_go_by_the_names_that_musicians_use(player):
    assert player.stem_named("Bass Guitar") == "bass"
    assert player.stem_named("keys") == "chords"


def test_the_request_bends_the_models_own_decoding(player):
    own = player.decoding
    asked = Request(temperature=0.5, top_p=0.8, guidance=3.0)
    found = StemGenOptions(stem_guidance=1.5, guidance_kind="nested", ranking="gumbel", steps=(2,))
    decoding = found.decoding(own, asked)
    assert decoding.temperatures == tuple(0.5 * one for one in own.temperatures)
    assert (decoding.top_p, decoding.steps) == (0.8, (2, 1))
    assert decoding.guidance == GuidanceConfig(kind="nested", context=3.0, stem=1.5)
    assert decoding.ranking.kind == "gumbel"
    assert StemGenOptions().decoding(own, Request()) == own


@pytest.mark.slow
def test_other_decoding_for_a_comparison(player):
    other = player.with_decoding(replace(player.decoding, guidance=GuidanceConfig(context=1.0)))
    assert other.decoding.guidance.context == 1.0
    assert player.decoding.guidance.context == 2.0
    assert not np.array_equal(ask(other).samples, ask(player).samples)


@pytest.mark.slow
def test_bfloat16_is_another_stem_of_the_same_length(player):
    stem = ask(player, precision="bf16")
    assert stem.samples.shape == MIX.samples.shape
    assert stem.meta["precision"] == "bf16"


@pytest.mark.slow
def test_a_saved_model_plays_the_same(player, tmp_path):
    player.save(tmp_path / "model")
    again, twice = (StemGen.load(tmp_path / "model") for _ in range(2))
    assert np.array_equal(ask(again).samples, ask(twice).samples)
    assert generate.Options is StemGenOptions


def test_reconstruction_has_the_length_at_the_codecs_rate(player):
    audio = noise(1.003, rate=4410, channels=2)
    assert player.reconstruct(audio).samples.shape == (1, round(1.003 * RATE))
