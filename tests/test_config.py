"""Configs survive JSON exactly, refuse what they do not know, and take typed overrides."""

from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ritornello.config import from_dict, from_json, nearest, to_dict, to_json, with_overrides
from ritornello.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Layer:
    width: int = 8
    rate: float = 0.5
    activation: Literal["relu", "silu"] = "silu"

    def __post_init__(self):
        if self.width < 1:
            raise ConfigError(f"width is {self.width}; expected at least 1")


@dataclass(frozen=True, kw_only=True)
class Model:
    name: str
    layer: Layer = field(default_factory=Layer)
    spare: Layer | None = None
    layers: tuple[Layer, ...] = ()
    strides: tuple[int, ...] = (2, 2)
    span: tuple[int, float] = (1, 2.0)
    dropout: float | None = None
    note: str | None = None
    causal: bool = False
    weights: dict[str, float] = field(default_factory=dict)
    first: int = 1
    last: int = 2

    def __post_init__(self):
        if self.first >= self.last:
            raise ConfigError(f"first is {self.first}; expected less than last, {self.last}")


finite = st.floats(allow_nan=False, allow_infinity=False)
layers = st.builds(
    Layer, width=st.integers(1, 10**9), rate=finite, activation=st.sampled_from(["relu", "silu"])
)
models = st.builds(
    Model,
    name=st.text(),
    layer=layers,
    spare=st.none() | layers,
    layers=st.lists(layers, max_size=3).map(tuple),
    strides=st.lists(st.integers()).map(tuple),
    span=st.tuples(st.integers(), finite),
    dropout=st.none() | finite,
    note=st.none() | st.text(),
    causal=st.booleans(),
    weights=st.dictionaries(st.text(), finite, max_size=3),
    first=st.integers(max_value=0),
    last=st.integers(min_value=1),
)


@given(models)
def test_json_round_trip_is_exact(model):
    again = from_json(Model, to_json(model))
    assert again == model
    assert to_json(again) == to_json(model)


@given(models)
def test_dict_round_trip_is_exact(model):
    assert from_dict(Model, to_dict(model)) == model


def test_absent_fields_keep_their_defaults():
    assert from_dict(Model, {"name": "a"}) == Model(name="a")


def test_a_whole_number_serves_as_float():
    rate = from_dict(Layer, {"rate": 1}).rate
    assert rate == 1.0
    assert isinstance(rate, float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "a", "layr": {}}, r"unknown setting 'layr' in Model; did you mean 'layer'\?"),
        ({"name": "a", "layer": {"widht": 3}}, r"'layer\.widht' in Layer; did you mean 'width'"),
        ({}, r"setting 'name' of Model is missing"),
        ({"name": 3}, r"name is 3 \(int\); expected str"),
        ({"name": "a", "causal": 1}, r"causal is 1 \(int\); expected bool"),
        ({"name": "a", "first": True}, r"first is True \(bool\); expected int"),
        ({"name": "a", "first": 0.5}, r"first is 0\.5 \(float\); expected int"),
        ({"name": "a", "layer": 3}, r"layer is 3; expected an object"),
        ({"name": "a", "span": [1]}, r"span has 1 values; expected 2"),
        ({"name": "a", "strides": [1, "b"]}, r"strides\[1\] is 'b' \(str\); expected int"),
        ({"name": "a", "layer": {"activation": "tanh"}}, r"expected one of 'relu', 'silu'"),
        ({"name": "a", "layer": {"width": 0}}, r"width is 0; expected at least 1"),
    ],
)
def test_wrong_values_say_what_was_expected(values, message):
    with pytest.raises(ConfigError, match=message):
        from_dict(Model, values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "expected an object"),
        ('{"name": "a"}', "config schema is None"),
        ('{"schema": 99, "name": "a"}', "config schema is 99"),
    ],
)
def test_wrong_documents_are_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        from_json(Model, text)


def test_nan_is_not_written():
    with pytest.raises(ConfigError, match="NaN"):
        to_json(Layer(rate=float("nan")))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("layer.width=16", Model(name="a", layer=Layer(width=16))),
        ("layer.rate=1e-4", Model(name="a", layer=Layer(rate=1e-4))),
        ("layer.activation=relu", Model(name="a", layer=Layer(activation="relu"))),
        ("strides=4,2", Model(name="a", strides=(4, 2))),
        ("strides=[4, 2]", Model(name="a", strides=(4, 2))),
        ("strides=", Model(name="a", strides=())),
        ("span=3,1", Model(name="a", span=(3, 1.0))),
        ("dropout=0.1", Model(name="a", dropout=0.1)),
        ("dropout=none", Model(name="a", dropout=None)),
        ("note=a=b", Model(name="a", note="a=b")),
        ("causal=TRUE", Model(name="a", causal=True)),
        ('weights={"stft": 2}', Model(name="a", weights={"stft": 2.0})),
        ("name=17", Model(name="17")),
    ],
)
def test_overrides_take_the_type_of_the_field(override, expected):
    assert with_overrides(Model(name="a"), [override]) == expected


def test_linked_overrides_are_validated_together():
    assert with_overrides(Model(name="a"), ["first=7", "last=9"]).first == 7
    with pytest.raises(ConfigError, match="first is 7; expected less than last, 2"):
        with_overrides(Model(name="a"), ["first=7"])


def test_the_last_override_wins_and_the_original_stays():
    model = Model(name="a")
    assert with_overrides(model, ["last=5", "last=6"]).last == 6
    assert model.last == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("layer.widht=3", r"unknown setting 'layer\.widht'; did you mean 'width'\?"),
        ("zzz=3", r"unknown setting 'zzz'; known: name, layer"),
        ("layer=3", r"'layer' is a section; give one of its settings: width, rate"),
        ("first.x=3", r"'first' is a value, not a section"),
        ("spare.width=3", r"'spare' is a value, not a section"),
        ("first", r"expected section\.key=value"),
        ("=3", r"expected section\.key=value"),
        ("first=abc", r"first is 'abc' \(str\); expected int"),
        ("first=1.5", r"first is '1\.5' \(str\); expected int"),
        ("causal=maybe", r"causal is 'maybe' \(str\); expected bool"),
        ("dropout=inf", r"dropout is inf; expected a finite number"),
        ("layer.activation=tanh", r"expected one of 'relu', 'silu'"),
        ("span=1,2,3", r"span has 3 values; expected 2"),
    ],
)
def test_wrong_overrides_are_refused(override, message):
    with pytest.raises(ConfigError, match=message):
        with_overrides(Model(name="a"), [override])


@given(models)
def test_overriding_every_scalar_with_itself_changes_nothing(model):
    overrides = [
        f"{name}={getattr(model, name)}" for name in ("dropout", "causal", "first", "last")
    ]
    assert with_overrides(model, overrides) == model


def test_nearest_names_the_closest_or_all():
    assert nearest("generte", ["generate", "train"]) == "did you mean 'generate'?"
    assert nearest("xyz", ["generate", "train"]) == "known: generate, train"
