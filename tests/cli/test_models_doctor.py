"""`models` and `doctor` on this machine as it is, and on a damaged box."""

import json
import shutil

import pytest
from tests.ada.stacks import drawn_stack

from ritornello import checkpoint
from ritornello.cli.main import main
from ritornello.native import library


def result_of(capsys, *words):
    code = main([*map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_doctor_reports_versions_speed_and_how_to_get_what_is_missing(capsys):
    _, report = result_of(capsys, "doctor")
    assert report["torch"]["bfloat16_times_faster"] > 0
    assert report["torch"]["kernel_path"].startswith("torch ")
    assert all(extra["get"].startswith("pip install") for extra in report["extras"])
    assert all(program["get"].startswith("sudo apt install") for program in report["programs"])


def test_doctor_reads_as_text(capsys):
    main(["doctor"])
    text = capsys.readouterr().out
    assert "kernel path: torch" in text
    assert "mido" in text


def test_doctor_names_the_path_of_the_compiled_steps(capsys):
    main(["doctor"])
    paths = library.available_paths()
    expected = f"step by step: compiled, {paths[0]}" if paths else "step by step: on torch"
    assert expected in capsys.readouterr().out


def test_doctor_says_how_to_get_the_compiled_steps(capsys, monkeypatch):
    monkeypatch.setattr(library, "available_paths", lambda: ())
    _, report = result_of(capsys, "doctor")
    assert report["native"] == {"path": None, "paths": [], "get": library.BUILD}
    main(["doctor"])
    assert "a C compiler" in capsys.readouterr().out


def test_models_lists_what_is_shipped(capsys):
    code, report = result_of(capsys, "models")
    assert code == 0
    assert [model["name"] for model in report["models"]] == list(checkpoint.shipped_models())


def test_a_model_without_channels_in_its_settings_is_mono(capsys, tmp_path):
    folder = tmp_path / "stack"
    drawn_stack(1).save(folder)
    code, report = result_of(capsys, "models", folder)
    assert (code, report["channels"], report["system"]) == (0, 1, "ada")


def test_models_refuses_an_unknown_name(capsys):
    assert main(["models", "no-such-model"]) == 1
    assert "no-such-model" in capsys.readouterr().err


@pytest.fixture
def one_model_box(tmp_path, monkeypatch, nano_model):
    """A box with one shipped model, `tiny`."""
    shutil.copytree(nano_model, tmp_path / "tiny")
    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path)
    return tmp_path / "tiny"


def test_models_describes_a_model(capsys, one_model_box):
    code, report = result_of(capsys, "models")
    assert code == 0
    (model,) = report["models"]
    assert (model["name"], model["system"]) == ("tiny", "musika")
    assert model["bytes"] > 0
    assert main(["models"]) == 0
    assert "tiny" in capsys.readouterr().out


def test_models_shows_a_card(capsys, one_model_box):
    (one_model_box / "README.md").write_text("# Tiny\n")
    assert main(["models", "tiny"]) == 0
    assert capsys.readouterr().out == "# Tiny\n\n"


def test_doctor_verifies_the_box(capsys, one_model_box):
    code, report = result_of(capsys, "doctor")
    assert (code, report["models"]) == (0, [{"name": "tiny", "ok": True, "problem": None}])
    weights = next(one_model_box.glob("*/model.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    code, report = result_of(capsys, "doctor")
    assert code == 1
    assert "altered or damaged" in report["models"][0]["problem"]


@pytest.mark.parametrize("name", sorted(checkpoint.shipped_models()))
def test_every_model_in_the_box_is_described(name, capsys):
    assert main(["models", name, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["sample_rate"] >= 16_000
    assert told["metrics"]
