"""Material: models play in a process of their own, folders pass, finished sets are used again."""

import json
import shutil

import pytest

from ritornello.audio.io import probe, read_provenance
from ritornello.cli.material import RECORD, material
from ritornello.errors import CheckpointError, ConfigError, DataError, RitornelloError

ASKED = {"takes": 2, "seconds": 0.5, "seed": 3}


def test_a_folder_of_audio_passes_as_it_is(tmp_path):
    (tmp_path / "songs").mkdir()
    found = material(str(tmp_path / "songs"), **ASKED, folder=tmp_path / "made")
    assert (found.name, found.folder) == ("songs", tmp_path / "songs")
    assert found.model is found.speed is found.weights_sha256 is None
    assert not (tmp_path / "made").exists()


def test_a_manifest_passes_and_another_file_does_not(tmp_path):
    manifest, other = tmp_path / "manifest.jsonl", tmp_path / "song.txt"
    manifest.touch()
    other.touch()
    assert material(str(manifest), **ASKED, folder=tmp_path).folder == manifest
    with pytest.raises(DataError, match=r"expected a model, a folder of audio or a manifest"):
        material(str(other), **ASKED, folder=tmp_path)


def test_neither_a_model_nor_a_folder(tmp_path):
    with pytest.raises(CheckpointError, match="No model 'pinao'"):
        material("pinao", **ASKED, folder=tmp_path)


def test_an_unfinished_model_is_not_taken_for_a_folder_of_audio(tmp_path):
    (tmp_path / "run" / "model").mkdir(parents=True)
    (tmp_path / "run" / "model" / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="no finished model"):
        material(str(tmp_path / "run"), **ASKED, folder=tmp_path)


@pytest.mark.parametrize("wrong", [{"takes": 0}, {"seconds": 0.0}, {"seed": -1}])
def test_out_of_range(tmp_path, wrong):
    with pytest.raises(ConfigError, match="expected at least one take"):
        material("piano", **{**ASKED, **wrong}, folder=tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory, nano_model):
    folder = tmp_path_factory.mktemp("made")
    told = []
    found = material(
        str(nano_model), **ASKED, folder=folder, progress=lambda *now: told.append(now)
    )
    return found, folder, told


@pytest.mark.slow
def test_a_model_plays_its_takes(made, nano_model):
    found, _, told = made
    takes = sorted(found.folder.glob("*.flac"))
    assert [probe(take).duration_s for take in takes] == [0.5, 0.5]
    assert [read_provenance(take)["request"]["seed"] for take in takes] == [3, 4]
    assert found.model == str(nano_model)
    assert told[-1] == (2, 2, str(nano_model))


@pytest.mark.slow
def test_speed_and_memory_are_those_of_the_playing_process(made):
    speed = made[0].speed
    assert speed["times_real_time"] == pytest.approx(0.5 / speed["take_s"], abs=0.01)
    assert 50 < speed["peak_memory_mb"] < 4000
    assert speed["threads"] == 1
    assert speed["kernel_path"].startswith("torch ")


@pytest.mark.slow
def test_a_finished_set_is_used_again_and_a_broken_one_is_not(made, nano_model, tmp_path):
    found, folder, _ = made
    copy = tmp_path / "made"
    shutil.copytree(folder, copy)
    place = copy / found.folder.name
    record = json.loads((place / RECORD).read_text())
    record["speed"]["takes"] = 99
    (place / RECORD).write_text(json.dumps(record))
    assert material(str(nano_model), **ASKED, folder=copy).speed["takes"] == 99
    next(place.glob("*.flac")).unlink()
    assert material(str(nano_model), **ASKED, folder=copy).speed["takes"] == 2
    assert len(list(place.glob("*.flac"))) == 2


@pytest.mark.slow
def test_a_model_that_cannot_play_says_why(nano_model, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(nano_model, broken)
    weights = broken / "generator" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(RitornelloError, match=r"could not play: .*broken"):
        material(str(broken), **ASKED, folder=tmp_path / "made")
    assert not list((tmp_path / "made").iterdir())
