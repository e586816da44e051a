import errno
import json
import math
import os

import pytest
import torch
from torch import nn

from ritornello import checkpoint
from ritornello.checkpoint import (
    Card,
    find_model,
    load_component,
    load_into,
    read_config,
    read_metrics,
    save_component,
    shipped_models,
    verify,
    weights_hash,
    whole_folder,
    write_card,
    write_checksums,
    write_config,
    write_metrics,
    write_tensors,
)
from ritornello.errors import CheckpointError


def small_module(width=4):
    module = nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width))
    with torch.no_grad():
        for index, parameter in enumerate(module.parameters()):
            numbers = torch.arange(parameter.numel(), dtype=torch.float32)
            parameter.copy_(torch.sin(numbers + index).reshape(parameter.shape))
    return module


def write_model(folder, half=False):
    with whole_folder(folder) as building:
        write_config(building, "toy", {"dim": 3})
        save_component(building, "net", small_module(), {"width": 4}, half=half)
        write_card(building, Card(title="Toy", summary="A toy.", licence="MIT", outputs="Any use."))
        write_metrics(building, "net", {"loss": 0.5, "broken": math.nan})
        write_checksums(building)
    return folder


def test_a_component_comes_back_as_it_was(tmp_path):
    folder = write_model(tmp_path / "model")
    config, tensors = load_component(folder, "net")
    fresh = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    load_into(fresh, tensors)
    assert config == {"width": 4}
    for name, tensor in small_module().state_dict().items():
        assert torch.equal(fresh.state_dict()[name], tensor)
    assert read_config(folder) == {"format_version": 1, "system": "toy", "dim": 3}
    assert read_metrics(folder) == {"net": {"loss": 0.5, "broken": None}}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_half_precision_is_stored_small_and_loaded_as_float32(tmp_path):
    _, tensors = load_component(write_model(tmp_path / "model", half=True), "net")
    assert tensors["0.weight"].dtype == torch.float32
    assert tensors["1.num_batches_tracked"].dtype == torch.int64
    wanted = small_module().state_dict()["0.weight"]
    torch.testing.assert_close(tensors["0.weight"], wanted, rtol=1e-3, atol=1e-4)
    assert not torch.equal(tensors["0.weight"], wanted)


def test_half_precision_refuses_what_it_cannot_hold(tmp_path):
    with pytest.raises(CheckpointError, match="net/big holds 1e\\+06"):
        save_component(tmp_path, "net", {"big": torch.tensor([1e6])}, {}, half=True)
    save_component(tmp_path, "net", {"big": torch.tensor([math.inf])}, {}, half=True)


def test_tied_and_strided_tensors_are_stored(tmp_path):
    weight = torch.arange(6.0).reshape(2, 3)
    save_component(tmp_path, "net", {"a": weight, "b": weight, "c": weight.T}, {})
    write_checksums(tmp_path)
    _, tensors = load_component(tmp_path, "net")
    assert torch.equal(tensors["a"], weight)
    assert torch.equal(tensors["b"], weight)
    assert torch.equal(tensors["c"], weight.T)


def flip_a_bit(folder):
    path = folder / "net" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def forget_the_weights(folder):
    (folder / "net" / "model.safetensors").unlink()


def forget_the_sums(folder):
    (folder / "SHA256SUMS").unlink()


def climb_out(folder):
    (folder / "SHA256SUMS").write_text("0" * 64 + "  ../../etc/passwd\n")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (flip_a_bit, "altered or damaged: sha256 is .* expected"),
        (forget_the_weights, "missing; SHA256SUMS lists it"),
        (forget_the_sums, "SHA256SUMS is missing"),
        (climb_out, "no checksum"),
    ],
)
def test_a_damaged_folder_is_refused(tmp_path, damage, words):
    folder = write_model(tmp_path / "model")
    verify(folder)
    damage(folder)
    with pytest.raises(CheckpointError, match=words):
        verify(folder)
    with pytest.raises(CheckpointError, match=words):
        load_component(folder, "net")


def test_an_unknown_version_and_an_unknown_component_are_refused(tmp_path):
    folder = write_model(tmp_path / "model")
    (folder / "config.json").write_text(json.dumps({"format_version": 9, "system": "toy"}))
    with pytest.raises(CheckpointError, match=r"format version 9.* reads 1"):
        read_config(folder)
    with pytest.raises(CheckpointError, match=r"no component 'nut'; it has \['net'\]"):
        load_component(folder, "nut")


def test_tensors_that_do_not_fit_are_refused_with_both_shapes():
    tensors = small_module().state_dict()
    with pytest.raises(CheckpointError, match=r"\(4, 3\) in the checkpoint; expected \(5, 3\)"):
        load_into(small_module(5), tensors)
    with pytest.raises(CheckpointError, match=r"missing 0\.bias, unexpected extra"):
        load_into(
            small_module(),
            {k: v for k, v in tensors.items() if k != "0.bias"} | {"extra": torch.ones(1)},
        )


def test_a_failed_write_leaves_the_old_folder(tmp_path):
    folder = write_model(tmp_path / "model")
    before = weights_hash(folder)

    def fail_half_way():
        with whole_folder(folder) as building:
            save_component(building, "net", {"a": torch.zeros(1)}, {})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert weights_hash(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_kill_between_the_two_renames_is_mended(tmp_path):
    folder = write_model(tmp_path / "model")
    folder.rename(tmp_path / ".model.retired")
    with whole_folder(folder, keep=True) as building:
        assert (building / "net" / "model.safetensors").is_file()
    verify(folder)


def test_the_weights_hash_follows_the_weights_alone(tmp_path):
    folder = write_model(tmp_path / "model")
    first = weights_hash(folder)
    assert len(first) == 64
    assert first == weights_hash(folder, "net")
    write_metrics(folder, "later", {"fad": 1.0})
    write_checksums(folder)
    assert weights_hash(folder) == first
    save_component(folder, "net", {"a": torch.ones(1)}, {})
    write_checksums(folder)
    assert weights_hash(folder) != first
    with pytest.raises(CheckpointError, match="no weights of"):
        weights_hash(folder, "nut")


def test_find_model_takes_models_and_runs_and_explains_itself(tmp_path):
    model = write_model(tmp_path / "run" / "model")
    assert find_model(model) == model
    assert find_model(str(tmp_path / "run")) == model
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="holds no finished model"):
        find_model(tmp_path / "empty")
    with pytest.raises(CheckpointError, match="No model 'nothing-like-it'"):
        find_model("nothing-like-it")
    for name, folder in shipped_models().items():
        assert find_model(name) == folder
        verify(folder)


def test_find_model_names_the_nearest(tmp_path, monkeypatch):
    monkeypatch.setattr("ritornello.checkpoint.SHIPPED", tmp_path)
    write_model(tmp_path / "piano")
    assert find_model("piano") == tmp_path / "piano"
    with pytest.raises(CheckpointError, match="Did you mean 'piano'"):
        find_model("pianno")


def test_the_card_has_a_head_sections_figures_and_licence():
    text = Card(
        title="Piano",
        summary="Plays.",
        licence="CC-BY-4.0",
        outputs="Free to use.",
        tags=("music",),
        sections={"What it cannot do": "Sing."},
        metrics={"fad": 1.25},
    ).markdown()
    assert text.startswith(
        '---\nlicense: "CC-BY-4.0"\nlibrary_name: ritornello\ntags:\n- "music"\n---'
    )
    assert "## What it cannot do\n\nSing." in text
    assert "| fad | 1.25 |" in text
    assert text.endswith("Weights: CC-BY-4.0. Outputs: Free to use.\n")


def test_an_altered_config_is_refused(tmp_path):
    folder = write_model(tmp_path / "model")
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"dim": 3', '"dim": 4'))
    with pytest.raises(CheckpointError, match=r"config\.json is altered"):
        read_config(folder)


def test_a_component_without_checksums_is_refused(tmp_path):
    folder = write_model(tmp_path / "model")
    sums = folder / "SHA256SUMS"
    lines = sums.read_text().splitlines(keepends=True)
    sums.write_text("".join(line for line in lines if "  net/" not in line))
    with pytest.raises(CheckpointError, match="does not list net"):
        load_component(folder, "net")


def test_checksums_that_are_no_text_are_refused(tmp_path):
    folder = write_model(tmp_path / "model")
    sums = folder / "SHA256SUMS"
    sums.write_bytes(b"\xff" + sums.read_bytes()[1:])
    with pytest.raises(CheckpointError, match=r"altered or damaged|no checksum"):
        verify(folder)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_weights_are_readable_by_whom_other_files_are(tmp_path):
    old = os.umask(0o027)
    try:
        write_tensors(tmp_path / "a.safetensors", {"a": torch.ones(2)})
    finally:
        os.umask(old)
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o777 == 0o640


def test_what_cannot_be_written_is_named(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(CheckpointError, match=r"cannot write .*a\.safetensors: .*No space left"):
        write_tensors(tmp_path / "a.safetensors", {"a": torch.ones(2)})
