"""Crops: seeded, weighted by duration, inside their recordings, short recordings padded."""

import numpy as np
import pytest
import torch

from ritornello.data.corpus import Corpus, scan
from ritornello.data.crops import CropSampler
from ritornello.errors import ConfigError, DataError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def corpus(folder, save, tmp_path):
    save("long.wav", 9.0, channels=2)
    save("middle.flac", 3.0, rate=11025, hz=300)
    save("short.wav", 0.5, hz=400)
    return scan(folder, manifest=tmp_path / "manifest.jsonl")


def test_draws_are_a_function_of_the_generator(corpus):
    sampler = CropSampler(corpus, seconds=1.0)
    draw = generator(5)
    first = [sampler.draw(draw) for _ in range(10)]
    state = draw.get_state()
    rest = [sampler.draw(draw) for _ in range(10)]
    again = generator(5)
    assert [sampler.draw(again) for _ in range(10)] == first
    resumed = torch.Generator()
    resumed.set_state(state)
    assert [CropSampler(corpus, seconds=1.0).draw(resumed) for _ in range(10)] == rest
    assert [sampler.draw(generator(6)) for _ in range(10)] != first


def test_recordings_are_drawn_by_duration_and_crops_lie_inside(corpus):
    sampler = CropSampler(corpus, seconds=1.0)
    draw = generator()
    crops = [sampler.draw(draw) for _ in range(4000)]
    names = [crop.recording.id for crop in crops]
    for name, seconds in (("long.wav", 9.0), ("middle.flac", 3.0), ("short.wav", 0.5)):
        assert names.count(name) == pytest.approx(4000 * seconds / 12.5, abs=120)
    for crop in crops:
        assert crop.start >= 0
        if crop.recording.id != "short.wav":
            assert crop.start_s + 1.0 <= crop.recording.duration_s
    starts = [crop.start for crop in crops if crop.recording.id == "middle.flac"]
    assert min(starts) < 700
    assert max(starts) > 2 * 11025 - 700


def test_a_crop_holds_the_samples_of_its_place(corpus):
    sampler = CropSampler(corpus, seconds=0.5)
    draw = generator()
    for _ in range(20):
        crop = sampler.draw(draw)
        if crop.recording.id == "long.wav":
            whole = crop.recording.read().samples
            read = crop.read(sample_rate=8000, channels=2)
            assert np.array_equal(read, whole[:, crop.start : crop.start + 4000])


def test_recordings_shorter_than_a_crop_are_counted_and_end_in_silence(corpus, caplog):
    sampler = CropSampler(corpus, seconds=2.0)
    assert [recording.id for recording in sampler.short] == ["short.wav"]
    assert "1 of 3 recordings are shorter than a crop of 2 s" in caplog.text
    draw = generator()
    crop = next(c for c in iter(lambda: sampler.draw(draw), None) if c.recording.id == "short.wav")
    assert crop.start == 0
    read = crop.read(sample_rate=16000, channels=1)
    assert read.shape == (1, 32000)
    assert np.abs(read[:, :8000]).max() > 0.4
    assert not read[:, 8000:].any()


@pytest.mark.parametrize("rate", [8000, 11025, 44100])
def test_batches_have_one_shape_whatever_the_files_are(corpus, rate):
    batch = CropSampler(corpus, seconds=0.73).batch(generator(), 6, sample_rate=rate, channels=2)
    assert batch.shape == (6, 2, round(0.73 * rate))
    assert batch.dtype == np.float32


def test_what_cannot_be_drawn_is_refused(corpus):
    with pytest.raises(DataError, match="no recording"):
        CropSampler(Corpus([]), seconds=1.0)
    with pytest.raises(ConfigError, match="positive length"):
        CropSampler(corpus, seconds=0.0)
