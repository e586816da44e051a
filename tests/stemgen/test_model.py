"""A model folder: what is saved comes back; what does not fit is refused."""

from dataclasses import replace

import pytest
import torch

from ritornello.checkpoint import read_json, write_checksums, write_config, write_json
from ritornello.config import to_dict
from ritornello.errors import CapabilityError, CheckpointError
from ritornello.stemgen.combiner import Conditions
from ritornello.stemgen.model import StemGenModel
from ritornello.stemgen.presets import nano

CONFIG = replace(nano(), stems=("bass", "drums"))


def untrained(config=CONFIG):
    return StemGenModel.untrained(config, torch.Generator().manual_seed(0))


def test_what_is_saved_comes_back(tmp_path):
    model = untrained()
    model.save(tmp_path / "model")
    again = StemGenModel.load(tmp_path / "model")
    assert again.config == CONFIG
    wave = 0.1 * torch.randn(1, 1, 500, generator=torch.Generator().manual_seed(2))
    codes = again.codec.encode(wave)
    told = Conditions(
        context=codes,
        category=torch.tensor([1]),
        activity=torch.ones(1, codes.shape[2], dtype=torch.int64),
    )
    seen = torch.full_like(codes, again.network.mask)
    with torch.no_grad():
        torch.testing.assert_close(
            again.network(told, seen, 0), model.network(told, seen, 0), atol=5e-3, rtol=0
        )
    assert not again.network.training
    assert not any(weights.requires_grad for weights in again.network.parameters())
    assert again.codec.decode(codes, 500).shape == (1, 1, 500)


def test_a_codec_alone_says_that_nothing_answers(tmp_path):
    StemGenModel(CONFIG, untrained().codec, None).save(tmp_path / "model")
    model = StemGenModel.load(tmp_path / "model")
    assert model.codec.codebooks == 2
    with pytest.raises(CapabilityError, match="no transformer yet"):
        _ = model.network


def test_parts_of_other_models_are_refused():
    model = untrained()
    wider = replace(CONFIG, transformer=replace(CONFIG.transformer, layers=3))
    with pytest.raises(CheckpointError, match="the transformer is of"):
        StemGenModel(wider, model.codec, model.network)
    larger = replace(CONFIG, codec=replace(CONFIG.codec, codebook_size=32))
    with pytest.raises(CheckpointError, match="the codec is"):
        StemGenModel(larger, model.codec, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transformer": replace(CONFIG.transformer, layers=3)}, "Was the model trained from"),
        ({"codec": replace(CONFIG.codec, filters=8)}, "Was the model trained from another config"),
        ({"stems": ("bass", "drums", "keys")}, "combiner.stems.weight has shape"),
    ],
)
def test_a_folder_whose_parts_do_not_fit_is_refused(tmp_path, change, message):
    folder = tmp_path / "model"
    untrained().save(folder)
    write_config(folder, "stemgen", to_dict(replace(CONFIG, **change)))
    write_checksums(folder)
    with pytest.raises(CheckpointError, match=message):
        StemGenModel.load(folder)


def test_damage_and_other_systems_are_refused(tmp_path):
    folder = tmp_path / "model"
    untrained().save(folder)
    settings = read_json(folder / "transformer" / "config.json")
    write_json(folder / "transformer" / "config.json", settings | {"layers": 1})
    with pytest.raises(CheckpointError, match="altered or damaged"):
        StemGenModel.load(folder)
    write_config(folder, "musika", to_dict(CONFIG))
    write_checksums(folder)
    with pytest.raises(CheckpointError, match="a model of musika; expected one of stemgen"):
        StemGenModel.load(folder)
