"""Published checkpoints: one codec in all layouts, `transformers`' own model, what is refused."""

import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from ritornello.checkpoint import verify
from ritornello.encodec.generate import Encodec
from ritornello.encodec.published import import_published, load_published
from ritornello.errors import CheckpointError
from tests.encodec.codecs import PUBLISHED, RATE, drawn, noise, tiny

LAYOUTS = ("current", "older", "pickled", "audiocraft", "file")
CONFIG = {
    "sampling_rate": RATE,
    "use_causal_conv": False,
    "use_conv_shortcut": False,
    "norm_type": "weight_norm",
    "normalize": False,
    "trim_right_ratio": 1.0,
    "dilation_growth_rate": 2,
    "pad_mode": "reflect",
}

SETTINGS = """\
sample_rate: {rate}
channels: 1
encodec:
  autoencoder: seanet
  sample_rate: ${{sample_rate}}
  causal: {causal}
  renormalize: false
seanet:
  dimension: 8
  causal: ${{encodec.causal}}
  n_filters: 4
  ratios:
  - 4
  - 2
  - 2
  norm: weight_norm
  dilation_base: 2
  pad_mode: {padding}
  true_skip: true
  decoder:
    trim_right_ratio: 1.0
rvq:
  n_q: 3
  bins: 16
"""


@pytest.fixture(scope="module")
def codec():
    return drawn(tiny(**PUBLISHED))


@pytest.fixture(scope="module")
def folders(codec, tmp_path_factory):
    """The codec as each of the publishers would have written it."""
    place, tensors = tmp_path_factory.mktemp("published"), {}
    for name, tensor in codec.network.state_dict().items():
        if not name.startswith("quantizer"):
            tensors[name] = tensor
    for level, book in enumerate(codec.network.quantizer.books):
        path = f"quantizer.layers.{level}.codebook"
        tensors[f"{path}.embed"] = tensors[f"{path}.embed_avg"] = book.vectors.clone()
        tensors[f"{path}.cluster_size"] = torch.ones(16)
        tensors[f"{path}.inited"] = torch.ones(1)
    write_layouts(place, tensors, CONFIG)
    return place


def write_layouts(place, tensors, config):
    for name in LAYOUTS[:-1]:
        (place / name).mkdir()
    for name in ("current", "older", "pickled"):
        (place / name / "config.json").write_text(json.dumps(config))
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    save_file(tensors, place / "current/model.safetensors")
    old = {older(name): tensor for name, tensor in tensors.items()}
    save_file(old, place / "older/model.safetensors")
    torch.save(old, place / "pickled/pytorch_model.bin")
    own = {audiocrafts(name): tensor for name, tensor in old.items()}
    assert {"encoder.model.0.conv.conv.weight_g", "quantizer.vq.layers.2._codebook.embed"} < {*own}
    assert "decoder.model.3.convtr.convtr.weight_v" in own
    assert "encoder.model.1.block.1.conv.conv.weight_g" in own
    write_audiocraft(place / "audiocraft/compression_state_dict.bin", own, config)
    write_audiocraft(place / "file", own, config)


def older(name):
    name = name.replace("parametrizations.weight.original0", "weight_g")
    return name.replace("parametrizations.weight.original1", "weight_v")


def audiocrafts(name):
    name = re.sub(r"^quantizer\.layers\.(\d+)\.codebook", r"quantizer.vq.layers.\1._codebook", name)
    name = re.sub(r"^(decoder\.layers\.(?:3|6|9))\.conv\.", r"\1.convtr.convtr.", name)
    name = re.sub(r"\.conv\.", ".conv.conv.", name)
    return re.sub(r"^(encoder|decoder)\.layers", r"\1.model", name)


def write_audiocraft(path, tensors, config):
    text = SETTINGS.format(rate=config["sampling_rate"], padding=config["pad_mode"], causal="false")
    torch.save({"best_state": tensors, "xp.cfg": text, "version": "1.0", "exported": True}, path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_codec(codec, folders, layout):
    found, wave = load_published(folders / layout), noise(900)
    assert found.config == tiny(**PUBLISHED, ema_decay=0.99)
    codes = codec.encode(wave)
    assert torch.equal(found.encode(wave), codes)
    assert torch.equal(found.decode(codes), codec.decode(codes))


@pytest.mark.slow
@pytest.mark.parametrize("padding", ["reflect", "constant"])
def test_codes_and_audio_are_those_of_transformers(tmp_path, padding):
    model = reference(padding)
    model.save_pretrained(tmp_path / "saved")
    tensors = load_file(tmp_path / "saved/model.safetensors")
    config = json.loads((tmp_path / "saved/config.json").read_text())
    (tmp_path / "all").mkdir()
    write_layouts(tmp_path / "all", tensors, config)
    wave = noise(1600)
    with torch.no_grad():
        codes = model.encode(wave, bandwidth=model.config.target_bandwidths[-1]).audio_codes[0]
        audio = model.decode(codes[None], [None]).audio_values
    assert codes.shape == (1, 4, 40)
    assert len(codes.unique()) > 20
    for folder in ("saved", *(f"all/{layout}" for layout in LAYOUTS)):
        codec = load_published(tmp_path / folder)
        assert torch.equal(codec.encode(wave), codes)
        torch.testing.assert_close(codec.decode(codes), audio.clamp(-1, 1), rtol=0, atol=1e-5)
        assert (codec.sample_rate, codec.hop_samples, codec.codebooks) == (RATE, 40, 4)


def reference(padding):
    """A small model as the published one is built, its codebooks filled with its own residuals."""
    transformers = pytest.importorskip("transformers")
    config = transformers.EncodecConfig(
        sampling_rate=RATE,
        audio_channels=1,
        codebook_size=64,
        codebook_dim=8,
        hidden_size=8,
        num_filters=4,
        upsampling_ratios=[5, 4, 2],
        num_residual_layers=1,
        num_lstm_layers=2,
        use_causal_conv=False,
        use_conv_shortcut=False,
        normalize=False,
        pad_mode=padding,
        target_bandwidths=[4 * 6 * RATE / 40 / 1000],
    )
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        model = transformers.EncodecModel(config).eval()
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        residual = model.encoder(noise(8000, seed=1)).transpose(1, 2)[0]
        for layer in model.quantizer.layers:
            chosen = torch.randperm(len(residual), generator=draw)[:64]
            layer.codebook.embed.copy_(residual[chosen])
            residual = residual - layer.codebook.embed[layer.codebook.quantize(residual)]
    return model


def test_the_padding_is_the_folders_own(folders, tmp_path):
    wave = noise(900)
    silent = load_published(with_config(folders, tmp_path, pad_mode="constant"))
    reflected = load_published(folders / "current")
    differ = (silent.network.encoder.fast(wave) != reflected.network.encoder.fast(wave)).any(1)
    assert differ.any()
    assert not differ[0, 5:-5].any()


def test_an_imported_one_is_a_model_like_any_other(codec, folders, tmp_path):
    import_published(folders / "audiocraft", tmp_path / "model")
    verify(tmp_path / "model")
    again, wave = Encodec.load(tmp_path / "model"), noise(900)
    assert torch.equal(again.codec.encode(wave), codec.encode(wave))
    codes = codec.encode(wave)
    assert torch.equal(again.codec.decode(codes), codec.decode(codes))


def with_config(place, tmp_path, **changes):
    settings = json.loads((place / "current/config.json").read_text()) | changes
    (tmp_path / "config.json").write_text(json.dumps(settings))
    save_file(load_file(place / "current/model.safetensors"), tmp_path / "model.safetensors")
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"use_causal_conv": True}, "use_causal_conv is True; only EnCodecs with False"),
        ({"normalize": True}, "normalize is True"),
        ({"norm_type": "time_group_norm"}, "norm_type is 'time_group_norm'"),
        ({"sampling_rate": None}, "sampling_rate is None; expected a whole number"),
        ({"pad_mode": "wrap"}, "padding is 'wrap'"),
    ],
)
def test_other_variants_are_refused(folders, tmp_path, changes, words):
    with pytest.raises(CheckpointError, match=words):
        load_published(with_config(folders, tmp_path, **changes))


class Unwelcome:
    """What a file must not be able to make."""

    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"best_state": {}, "xp.cfg": Unwelcome()}, "more than tensors"),
        ({"pretrained": "other/model"}, "no weights: it names the model 'other/model'"),
        ([1, 2], "a list; expected named tensors"),
        ({"best_state": {}, "xp.cfg": None}, "no exported checkpoint"),
        ({"best_state": {}, "xp.cfg": "sample_rate: 3200\ncausal: true\n"}, "causal is 'true'"),
        ({"best_state": {}, "xp.cfg": "sample_rate: 3200\n"}, "is not an EnCodec"),
    ],
)
def test_files_that_are_no_codec_are_refused_and_never_run(tmp_path, capsys, values, words):
    torch.save(values, tmp_path / "compression_state_dict.bin")
    with pytest.raises(CheckpointError, match=words):
        load_published(tmp_path)
    assert not capsys.readouterr().out


def test_missing_and_damaged_files_are_named(folders, tmp_path):
    with pytest.raises(CheckpointError, match="no published EnCodec"):
        load_published(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="damaged"):
        load_published(tmp_path)
    tensors = load_file(folders / "current/model.safetensors")
    del tensors["decoder.layers.0.conv.bias"]
    save_file(tensors, with_config(folders, tmp_path) / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"missing decoder\.layers\.0\.conv\.bias"):
        load_published(tmp_path)
