"""The array cache: complete, resumable, never across recordings, never trusted half-written."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from ritornello.data.corpus import Corpus
from ritornello.data.recordings import Measurements, Recording
from ritornello.data.store import FieldSpec
from ritornello.data.tokens import ArrayCache
from ritornello.errors import ConfigError, DataError

FIELDS = {
    "latents": FieldSpec(shape_per_frame=(3,), dtype="float32"),
    "codes": FieldSpec(dtype="uint16"),
}
LENGTHS = [40, 7, 0, 100, 25, 3, 60]


def recording(tmp_path, number, split="train"):
    measured = Measurements(
        samples=1000,
        sample_rate=100,
        channels=1,
        silence=0.0,
        clipping=0.0,
        sha256=f"file{number}",
        audio_sha256=f"audio{number}",
    )
    return Recording(
        id=f"{number}.wav",
        path=tmp_path / f"{number}.wav",
        split=split,
        work=str(number),
        title=str(number),
        licence=None,
        labels={},
        measured=measured,
    )


@pytest.fixture
def corpus(tmp_path):
    splits = ["train", "valid", "train", "train", "valid", "train", "train"]
    return Corpus([recording(tmp_path, n, split) for n, split in enumerate(splits)])


def number_of(one):
    return int(one.work)


def compute(one):
    """Frames that tell where they are from: the codes hold recording * 1000 + frame."""
    number = number_of(one)
    codes = 1000 * number + np.arange(LENGTHS[number])
    return {"latents": np.stack([codes, codes + 0.25, codes + 0.5], axis=1), "codes": codes}


def cache_in(tmp_path, key="weights 1"):
    return ArrayCache(tmp_path / "cache", key, FIELDS)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("split", ["train", "valid"])
def test_crops_never_cross_recordings_and_stay_in_their_split(tmp_path, corpus, split):
    cache = cache_in(tmp_path)
    cache.fill(corpus, compute)
    crops = cache.draw(generator(), frames=5, batch=2000, split=split)
    assert crops["latents"].shape == (2000, 5, 3)
    assert crops["codes"].dtype == np.uint16
    codes = crops["codes"].astype(np.int64)
    assert (np.diff(codes, axis=1) == 1).all()
    assert (codes // 1000 == codes[:, :1] // 1000).all()
    assert np.array_equal(crops["latents"][..., 1], codes + 0.25)
    # Every valid start is drawn sooner or later, and nothing else.
    usable = [r for r in corpus.split(split) if LENGTHS[number_of(r)] >= 5]
    starts = {1000 * number_of(r) + s for r in usable for s in range(LENGTHS[number_of(r)] - 4)}
    assert set(codes[:, 0].tolist()) == starts


def test_draws_depend_on_the_generator_alone(tmp_path, corpus):
    cache = cache_in(tmp_path)
    cache.fill(corpus, compute)
    other = ArrayCache(tmp_path / "other", "weights 1", FIELDS)
    other.fill(Corpus(list(corpus)[::-1]), compute, workers=3)
    assert same(cache.draw(generator(3), 5, 8), other.draw(generator(3), 5, 8))
    assert not same(cache.draw(generator(3), 5, 8), cache.draw(generator(4), 5, 8))


def test_the_state_of_the_generator_resumes_the_draws(tmp_path, corpus):
    cache = cache_in(tmp_path)
    cache.fill(corpus, compute)
    draw = generator()
    cache.draw(draw, 5, 8)
    state = draw.get_state()
    expected = cache.draw(draw, 5, 8)
    resumed = torch.Generator()
    resumed.set_state(state)
    assert same(cache.draw(resumed, 5, 8), expected)


def test_whole_recordings_are_read_back(tmp_path, corpus):
    cache = cache_in(tmp_path)
    cache.fill(corpus, compute)
    for one in corpus:
        stored, expected = cache.read(one.id), compute(one)
        assert np.array_equal(stored["codes"], expected["codes"])
        assert np.array_equal(stored["latents"], expected["latents"])
    assert cache.frames("train") == 40 + 0 + 100 + 3 + 60
    with pytest.raises(DataError, match=r"no recording 'x\.wav'"):
        cache.read("x.wav")


def test_recordings_shorter_than_a_crop_are_named(tmp_path, corpus, caplog):
    cache = cache_in(tmp_path)
    cache.fill(corpus, compute)
    assert cache.too_short(41) == ["0.wav", "2.wav", "5.wav"]
    cache.draw(generator(), 41, 1)
    assert "3 of 5 recordings of the train split are shorter" in caplog.text
    with pytest.raises(DataError, match="the longest of 100 frames"):
        cache.draw(generator(), 101, 1)


def test_an_interrupted_fill_goes_on_where_it_was(tmp_path, corpus):
    computed = []

    def failing(one):
        if len(computed) == 4:
            raise KeyboardInterrupt
        computed.append(one.id)
        return compute(one)

    with pytest.raises(KeyboardInterrupt):
        cache_in(tmp_path).fill(corpus, failing)
    with pytest.raises(DataError, match="lacks 3 of 7 recordings"):
        cache_in(tmp_path).attach(corpus)
    again = []
    cache = cache_in(tmp_path)
    cache.fill(corpus, lambda one: again.append(one.id) or compute(one))
    assert computed + again == [one.id for one in corpus]
    reports = []
    cache.fill(corpus, compute, progress=lambda *report: reports.append(report))
    assert reports == [(7, 7, "")]


def test_remains_of_a_torn_write_are_cut_off(tmp_path, corpus):
    cache_in(tmp_path).fill(Corpus(list(corpus)[:3]), compute)
    folder = tmp_path / "cache"
    with (folder / "codes.bin").open("ab") as file:
        file.write(b"half an arr")
    with (folder / "index.jsonl").open("a") as file:
        file.write('{"audio_sha256": "audio3", "offset": 47, "fra')
    cache = cache_in(tmp_path)
    cache.fill(corpus, compute)
    assert all(np.array_equal(cache.read(r.id)["codes"], compute(r)["codes"]) for r in corpus)
    assert (folder / "codes.bin").stat().st_size == 2 * sum(LENGTHS)


def test_lines_without_their_data_are_not_trusted(tmp_path, corpus):
    cache_in(tmp_path).fill(corpus, compute)
    data = tmp_path / "cache" / "latents.bin"
    os.truncate(data, data.stat().st_size // 2)
    again = []
    cache = cache_in(tmp_path)
    cache.fill(corpus, lambda one: again.append(one.id) or compute(one))
    assert again == ["3.wav", "4.wav", "5.wav", "6.wav"]
    assert all(np.array_equal(cache.read(r.id)["latents"], compute(r)["latents"]) for r in corpus)


def test_another_key_or_other_fields_empty_the_cache(tmp_path, corpus):
    cache_in(tmp_path).fill(corpus, compute)
    with pytest.raises(DataError, match="other settings"):
        cache_in(tmp_path, key="weights 2").attach(corpus)
    shifted = cache_in(tmp_path, key="weights 2")
    shifted.fill(corpus, lambda one: {k: v + 1 for k, v in compute(one).items()})
    assert shifted.read("0.wav")["codes"][0] == 1
    codes_only = ArrayCache(tmp_path / "cache", "weights 2", {"codes": FIELDS["codes"]})
    codes_only.fill(corpus, lambda one: {"codes": compute(one)["codes"]})
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [
        "codes.bin",
        "index.jsonl",
    ]


def test_a_changed_recording_is_computed_again_and_a_renamed_one_is_not(tmp_path, corpus):
    cache_in(tmp_path).fill(corpus, compute)
    changed = recording(tmp_path, 6)
    object.__setattr__(changed.measured, "audio_sha256", "another take")
    renamed = recording(tmp_path, 0)
    object.__setattr__(renamed, "id", "new name.wav")
    again = []
    cache = cache_in(tmp_path)
    cache.fill(Corpus([changed, renamed]), lambda one: again.append(one.id) or compute(one))
    assert again == ["6.wav"]
    assert len(cache.read("new name.wav")["codes"]) == LENGTHS[0]


def test_a_folder_with_somebody_elses_index_is_left_alone(tmp_path, corpus):
    index = tmp_path / "cache" / "index.jsonl"
    index.parent.mkdir()
    index.write_text("my notes")
    with pytest.raises(DataError, match="not the index of a cache"):
        cache_in(tmp_path).fill(corpus, compute)
    assert index.read_text() == "my notes"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"codes": np.arange(3)}, r"computed fields \['codes'\]"),
        ({"codes": np.arange(3), "latents": np.zeros((4, 3))}, "differ in frames"),
        ({"codes": np.arange(3), "latents": np.zeros((3, 2))}, r"has \(2,\) per frame"),
        ({"codes": np.array([-1, 0]), "latents": np.zeros((2, 3))}, "-1 to 0; uint16 holds"),
        ({"codes": np.array([0.5]), "latents": np.zeros((1, 3))}, "whole numbers"),
        ({"codes": np.arange(1), "latents": np.full((1, 3), np.nan)}, "NaN"),
        ({"codes": np.arange(1), "latents": np.full((1, 3), 1e39)}, "too large for float32"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_and_nothing_is_stored(
    tmp_path, corpus, arrays, message
):
    cache = cache_in(tmp_path)
    with pytest.raises(DataError, match=message):
        cache.fill(corpus, lambda one: arrays)
    assert not (tmp_path / "cache" / "codes.bin").stat().st_size


def test_drawing_needs_an_open_cache_and_types_it_stores(tmp_path):
    with pytest.raises(DataError, match="not open"):
        cache_in(tmp_path).draw(generator(), 5, 1)
    with pytest.raises(ConfigError, match="float64"):
        FieldSpec(dtype="float64")
    with pytest.raises(ConfigError, match="identifier"):
        ArrayCache(tmp_path, "key", {"a/b": FieldSpec()})


def test_drawing_is_cheap(tmp_path):
    corpus = Corpus([recording(tmp_path, n) for n in range(50)])
    wide = {"latents": FieldSpec(shape_per_frame=(64,), dtype="float16")}
    cache = ArrayCache(tmp_path / "wide", "key", wide)
    cache.fill(corpus, lambda one: {"latents": np.zeros((500, 64))})
    draw = generator()
    cache.draw(draw, 200, 32)
    start = time.process_time()
    for _ in range(20):
        cache.draw(draw, 200, 32)
    assert (time.process_time() - start) / (20 * 32) < 1e-3


KILLED_FILL = """
import sys, time
from pathlib import Path
sys.path.insert(0, {here!r})
import numpy as np
import test_tokens as t
from ritornello.data.corpus import Corpus
tmp = Path({tmp!r})
corpus = Corpus([t.recording(tmp, n) for n in range(7)])
def slow(one):
    if t.number_of(one) == 4:
        print("now", flush=True)
        time.sleep(60)
    return t.compute(one)
t.cache_in(tmp).fill(corpus, slow)
"""


@pytest.mark.slow
def test_a_killed_fill_is_completed(tmp_path):
    script = KILLED_FILL.format(here=os.path.dirname(__file__), tmp=str(tmp_path))
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        process.send_signal(signal.SIGKILL)
    corpus = Corpus([recording(tmp_path, n) for n in range(7)])
    again = []
    cache = cache_in(tmp_path)
    cache.fill(corpus, lambda one: again.append(one.id) or compute(one))
    assert again == ["4.wav", "5.wav", "6.wav"]
    assert all(np.array_equal(cache.read(r.id)["codes"], compute(r)["codes"]) for r in corpus)
