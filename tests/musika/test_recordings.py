"""Caches of audio, controls and latents: what is in them, and that work is never done twice."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ritornello.audio.io import read_audio
from ritornello.data.corpus import Corpus, scan
from ritornello.musika.codec import MusikaCodec, encoder_hash
from ritornello.musika.controls import measure, measured_conditions
from ritornello.musika.presets import nano
from ritornello.musika.recordings import (
    AudioBlocks,
    ControlCurves,
    LatentWindows,
    clip_to_hear,
    split_to_judge,
)
from ritornello.musika.train_gan import UNFITTED
from tests.musika.plucks import RATE, plucks, swell, write

CONFIG = replace(nano(), gan=replace(nano().gan, controls=("density", "tempo")))
HOP = CONFIG.stft.hop_length


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A stereo piece, a mono one at another rate, and a drone without tempo."""
    folder = tmp_path_factory.mktemp("recordings")
    write(folder / "data", {"stereo": plucks(2.0, 1), "drone": swell(1.5, 220.0)})
    write(folder / "data", {"mono": plucks(1.7, 2, 16000)[:1]}, rate=16000)
    return scan(folder / "data", manifest=folder / "manifest.jsonl")


@pytest.fixture(scope="module")
def blocks(corpus, tmp_path_factory):
    blocks = AudioBlocks(corpus, CONFIG, tmp_path_factory.mktemp("cache") / "audio")
    blocks.fill()
    return blocks


@pytest.fixture(scope="module")
def curves(blocks, tmp_path_factory):
    curves = ControlCurves(blocks, tmp_path_factory.mktemp("cache") / "controls")
    curves.fill()
    return curves


def named(corpus, name):
    return next(recording for recording in corpus if recording.id == f"{name}.wav")


class Counting:
    """A progress callback that remembers what it was told."""

    def __init__(self):
        self.told = []

    def __call__(self, done, total, name):
        self.told.append((done, total, name))


@pytest.mark.parametrize("name", ["stereo", "mono", "drone"])
def test_the_cache_holds_the_samples_of_the_file(corpus, blocks, name):
    recording = named(corpus, name)
    real = read_audio(recording.path, sample_rate=RATE, channels=2).samples
    kept = blocks.read(recording)
    assert kept.sample_rate == RATE
    assert kept.samples.shape == (2, -(-real.shape[1] // HOP) * HOP)
    error = np.abs(kept.samples[:, : real.shape[1]] - np.clip(real, -1, 1)).max()
    assert error < 1 / 32768
    assert not kept.samples[:, real.shape[1] :].any()


def test_left_and_right_stay_where_they_are(corpus, blocks):
    stereo, mono = (blocks.read(named(corpus, name)).samples for name in ("stereo", "mono"))
    assert not np.allclose(stereo[0], stereo[1], atol=1e-3)
    assert np.array_equal(mono[0], mono[1])


def test_crops_are_stretches_of_a_recording(corpus, blocks):
    crops = blocks.draw(torch.Generator().manual_seed(0), 20, 6, "train")
    assert crops.shape == (6, 2, 20 * HOP)
    train = [blocks.read(r).samples for r in corpus if r.split == "train"]
    for crop in crops.numpy():
        found = [
            samples[:, start : start + 20 * HOP]
            for samples in train
            for start in range(0, samples.shape[1] - 20 * HOP + 1, HOP)
        ]
        assert any(np.array_equal(crop, one) for one in found)
    again = blocks.draw(torch.Generator().manual_seed(0), 20, 6, "train")
    assert torch.equal(again, crops)


def test_work_done_is_found_again(corpus, blocks):
    progress = Counting()
    again = AudioBlocks(corpus, CONFIG, blocks.cache.folder)
    again.fill(progress)
    assert progress.told == [(3, 3, "")]
    assert np.array_equal(
        again.read(named(corpus, "mono")).samples, blocks.read(named(corpus, "mono")).samples
    )


def test_another_rate_is_another_cache(corpus, tmp_path):
    first = AudioBlocks(corpus, CONFIG, tmp_path)
    first.fill()
    progress = Counting()
    other = AudioBlocks(corpus, replace(CONFIG, sample_rate=16000), tmp_path)
    other.fill(progress)
    assert progress.told[0] == (0, 3, "")
    assert other.read(named(corpus, "stereo")).samples.shape[1] < 2 * 16000 + HOP


def test_curves_are_what_was_measured_and_nan_survives(corpus, blocks, curves):
    for recording in corpus:
        audio = blocks.read(recording)
        frames = -(-audio.samples.shape[1] // CONFIG.hop_samples)
        direct = measure(audio, ("density", "tempo"), rate_hz=CONFIG.latent_rate_hz, frames=frames)
        kept = curves.read(recording)
        assert kept.shape == (frames, 2)
        is_known = np.isfinite(direct.T)
        assert np.array_equal(kept[is_known], direct.T[is_known])
        assert (kept[~is_known] < -1e8).all()
    assert np.isnan(
        measure(blocks.read(named(corpus, "drone")), ("tempo",), rate_hz=10.0, frames=4)
    ).all()


def test_curves_of_a_split_come_with_nan(corpus, curves):
    values = curves.all_of("train")
    frames = sum(len(curves.read(r)) for r in corpus if r.split == "train")
    assert values.shape == (frames, 2)
    assert not (values < -1e8).any()


def codec_of(seed):
    torch_state = torch.random.get_rng_state()
    torch.default_generator.manual_seed(seed)
    codec = MusikaCodec.untrained(CONFIG)
    torch.random.set_rng_state(torch_state)
    for level in (codec.level1, codec.level2):
        level.eval().requires_grad_(False)
    return codec


def test_latents_are_the_codecs_and_go_with_their_controls(corpus, blocks, curves, tmp_path):
    codec = codec_of(0)
    windows = LatentWindows(blocks, curves, codec, encoder_hash(codec), tmp_path)
    windows.fill()
    for recording in corpus:
        kept = windows.cache.read(recording.id)
        with torch.no_grad():
            direct = codec.encode(torch.from_numpy(blocks.read(recording).samples)[None])[0]
        # Kept in half precision; computed in bfloat16 where that is quick.
        assert np.abs(kept["latents"].astype(np.float32) - direct.T.numpy()).max() < 0.02
        assert np.array_equal(kept["controls"], curves.read(recording))
    latents, raw = windows.draw(torch.Generator().manual_seed(1), 8, 16, "train")
    assert latents.shape == (16, CONFIG.latent_dim, 8)
    assert raw.shape == (16, 2, 8)
    assert latents.dtype == raw.dtype == torch.float32
    conditions = measured_conditions(raw, [UNFITTED, UNFITTED])
    assert torch.equal(conditions[:, 3], raw[:, 1].isfinite().float())
    assert conditions.isfinite().all()


def test_other_weights_empty_the_cache_of_latents(corpus, blocks, tmp_path):
    progress = Counting()
    for codec in (codec_of(0), codec_of(1)):
        windows = LatentWindows(blocks, None, codec, encoder_hash(codec), tmp_path)
        windows.fill(progress)
    assert [told[0] for told in progress.told] == [0, 1, 2, 3, 0, 1, 2, 3]
    latents, raw = windows.draw(torch.Generator().manual_seed(1), 8, 2, "train")
    assert raw.shape == (2, 0, 8)
    assert latents.isfinite().all()


def test_figures_are_of_held_out_music_where_there_is_some(corpus, blocks):
    assert split_to_judge(blocks.cache, corpus, 20) == "valid"
    assert split_to_judge(blocks.cache, corpus, 100_000) == "train"
    longest = max(len(blocks.read(r).samples[0]) // HOP for r in corpus.split("valid"))
    frames, split = clip_to_hear(blocks.cache, corpus, 8 * longest)
    assert split == "valid"
    assert longest // 2 <= frames <= longest
    assert clip_to_hear(blocks.cache, corpus, 10) == (10, "valid")


def test_a_single_recording_is_judged_on_itself_and_says_so(corpus, tmp_path, caplog):
    alone = Corpus([replace(named(corpus, "stereo"), split="train")])
    blocks = AudioBlocks(alone, CONFIG, tmp_path)
    blocks.fill()
    assert "no recording is held out" in caplog.text
    assert split_to_judge(blocks.cache, alone, 20) == "train"
    assert clip_to_hear(blocks.cache, alone, 20) == (20, "train")
