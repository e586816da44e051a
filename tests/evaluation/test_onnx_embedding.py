"""A user's ONNX network: tiny real graphs, written byte by byte, with known answers."""

import json
import sys

import numpy as np
import pytest

from ritornello.errors import AudioError, CheckpointError, ConfigError, MissingDependencyError
from ritornello.evaluation.embedding import Embedding, load_embedding
from tests.evaluation.signals import notes, tone

pytest.importorskip("onnxruntime")

SIDE_CAR = {
    "name": "two-moments",
    "sample_rate": 8000,
    "window_s": 0.5,
    "hop_s": 0.25,
    "input": "waveform",
    "channels": 1,
}
MOMENTS = [  # mean and mean square of each window
    ("ReduceMean", ["wave"], "mean", {"axes": [1]}),
    ("Mul", ["wave", "wave"], "squares", {}),
    ("ReduceMean", ["squares"], "power", {"axes": [1]}),
    ("Concat", ["mean", "power"], "out", {"axis": 1}),
]
MONO, STEREO = ("batch", "time"), ("batch", 2, "time")


# ---- protocol buffers (onnx.proto3), as little as these graphs need ---------------------------


def varint(number: int) -> bytes:
    head, rest = number & 0x7F, number >> 7
    return bytes([head | 0x80]) + varint(rest) if rest else bytes([head])


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def attribute(name: str, value: int | list[int]) -> bytes:
    if isinstance(value, int):
        return field(1, name) + field(3, value) + field(20, 2)
    return field(1, name) + b"".join(field(8, v) for v in value) + field(20, 7)


def node(kind: str, inputs: list[str], output: str, attributes: dict) -> bytes:
    parts = [field(1, name) for name in inputs] + [field(2, output), field(4, kind)]
    return b"".join(parts + [field(5, attribute(*item)) for item in attributes.items()])


def float_tensor(name: str, shape: tuple) -> bytes:
    dims = [field(1, d) if isinstance(d, int) else field(2, d) for d in shape]
    of_type = field(1, 1) + field(2, b"".join(field(1, d) for d in dims))
    return field(1, name) + field(2, field(1, of_type))


def model(nodes: list[tuple], input_shape: tuple = MONO, output_rank: int = 2) -> bytes:
    output_shape = tuple(f"out{axis}" for axis in range(output_rank))
    graph = [field(1, node(*each)) for each in nodes]
    graph += [field(2, "test"), field(11, float_tensor("wave", input_shape))]
    graph += [field(12, float_tensor("out", output_shape))]
    opset = field(1, "") + field(2, 13)
    return field(1, 8) + field(7, b"".join(graph)) + field(8, opset)


@pytest.fixture
def network(tmp_path):
    """Writes a network and its side-car and gives the path."""

    def write(content: bytes, **changes) -> str:
        settings = {k: v for k, v in (SIDE_CAR | changes).items() if v is not None}
        (tmp_path / "net.onnx").write_bytes(content)
        (tmp_path / "net.json").write_text(json.dumps(settings))
        return str(tmp_path / "net.onnx")

    return write


# ---- known answers ---------------------------------------------------------------------------


def test_windows_become_what_the_network_says(network):
    embedding = load_embedding(network(model(MOMENTS)))
    assert isinstance(embedding, Embedding)
    assert (embedding.name, embedding.dim) == ("two-moments", 2)
    assert (embedding.sample_rate, embedding.patch_s) == (8000, 0.5)
    wave = np.repeat([0.1, 0.3, -0.5, 0.0], 2000)[None]
    expected = [[0.2, 0.05], [-0.1, 0.17], [-0.25, 0.125]]
    np.testing.assert_allclose(embedding.embed(wave, 8000), expected, atol=1e-6)
    longer = np.pad(wave, ((0, 0), (0, 1999)))
    assert embedding.embed(longer, 8000).shape == (3, 2)


def test_rate_and_channels_are_brought_to_the_networks(network):
    embedding = load_embedding(network(model(MOMENTS)))
    wave = notes(1.0, seed=0, rate=44100)
    both = embedding.embed(np.concatenate([1.5 * wave, 0.5 * wave]), 44100)
    np.testing.assert_allclose(both, embedding.embed(wave, 44100), atol=1e-6)
    sine = embedding.embed(tone(440, 1.0, 44100, amplitude=0.5), 44100)
    np.testing.assert_allclose(sine[1], [0, 0.125], atol=1e-3)


def test_stereo_and_an_answer_with_steps(network):
    # (batch, channels, time) as it came: its "steps" are the channels, averaged to a mono mix
    same = model([("Identity", ["wave"], "out", {})], STEREO, output_rank=3)
    embedding = load_embedding(network(same, channels=2, window_s=0.01, hop_s=0.01))
    wave = np.stack([np.linspace(0, 1, 160), np.zeros(160)])
    answers = embedding.embed(wave, 8000)
    np.testing.assert_allclose(answers, wave.mean(axis=0).reshape(2, 80), atol=1e-6)
    mono = embedding.embed(wave[:1], 8000)
    np.testing.assert_allclose(mono, wave[0].reshape(2, 80), atol=1e-6)


def test_key_follows_network_and_side_car(network):
    key = load_embedding(network(model(MOMENTS))).key
    assert load_embedding(network(model(MOMENTS))).key == key
    assert load_embedding(network(model(MOMENTS), hop_s=0.5)).key != key
    swapped = [*MOMENTS[:3], ("Concat", ["power", "mean"], "out", {"axis": 1})]
    assert load_embedding(network(model(swapped))).key != key


def test_key_follows_weights_that_lie_beside_the_network(network, tmp_path):
    path = network(model(MOMENTS))
    (tmp_path / "net.onnx.data").write_bytes(b"weights")
    key = load_embedding(path).key
    (tmp_path / "net.onnx.data").write_bytes(b"Weights")
    assert load_embedding(path).key != key


# ---- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": "mel"}, r"net\.json: input is 'mel'; expected 'waveform'"),
        ({"channels": 6}, "channels is 6; expected 1 or 2"),
        ({"sample_rate": "16k"}, "sample_rate"),
        ({"sample_rate": 0}, "sample_rate is 0"),
        ({"hop_s": 0.0}, r"hop_s is 0\.0; expected at least one sample"),
        ({"window_s": float("inf")}, "window_s is inf"),
        ({"window_s": None}, "window_s"),
        ({"hop": 1.0}, "unknown setting 'hop'.*did you mean 'hop_s'"),
    ],
)
def test_side_cars_that_do_not_fit(network, changes, message):
    with pytest.raises(ConfigError, match=message):
        load_embedding(network(model(MOMENTS), **changes))


def test_missing_and_broken_files(network, tmp_path):
    with pytest.raises(CheckpointError, match=r"absent\.onnx is missing"):
        load_embedding(str(tmp_path / "absent.onnx"))
    with pytest.raises(CheckpointError, match="not a network onnxruntime can run"):
        load_embedding(network(b"no network"))
    path = network(model(MOMENTS))
    (tmp_path / "net.json").unlink()
    with pytest.raises(CheckpointError, match=r"net\.json is missing"):
        load_embedding(path)


def test_networks_that_do_not_fit(network):
    with pytest.raises(CheckpointError, match=r"reads \(batch, time\), which is mono"):
        load_embedding(network(model(MOMENTS), channels=2))
    with pytest.raises(CheckpointError, match="expected one of shape"):
        load_embedding(network(model(MOMENTS, ("batch", 1, 1, "time"))))
    with pytest.raises(CheckpointError, match=r"fails on an input of shape \(1, 4000\)"):
        load_embedding(network(model(MOMENTS, ("batch", 300))))
    total = model([("ReduceMean", ["wave"], "out", {"keepdims": 0})], output_rank=0)
    with pytest.raises(CheckpointError, match=r"answers with shape \(\) to 1 windows"):
        load_embedding(network(total))


def test_answers_that_are_no_numbers(network):
    levels = [*MOMENTS[1:3], ("Log", ["power"], "out", {})]
    embedding = load_embedding(network(model(levels)))
    sine = embedding.embed(tone(440, 0.5, 8000, amplitude=1.0), 8000)
    np.testing.assert_allclose(sine, [[np.log(0.5)]], atol=1e-4)
    with pytest.raises(CheckpointError, match="answers with NaN or infinity; a logarithm of sil"):
        embedding.embed(np.zeros((1, 4000)), 8000)


def test_waves_that_cannot_be_embedded(network):
    embedding = load_embedding(network(model(MOMENTS)))
    with pytest.raises(AudioError, match=r"lasts 0\.4 s; two-moments hears windows of 0\.5 s"):
        embedding.embed(tone(440, 0.4, 8000), 8000)
    with pytest.raises(AudioError, match="NaN"):
        embedding.embed(np.full((1, 8000), np.nan), 8000)


def test_without_onnxruntime_the_extra_is_named(network, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "ritornello\[eval\]"'):
        load_embedding(network(model(MOMENTS)))
