"""Mu-law: known values, order, and what is lost."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ritornello.audio.mulaw import (
    compand,
    companded_value,
    expand,
    mulaw_decode,
    mulaw_encode,
)
from ritornello.errors import AudioError


def test_known_values():
    wave = torch.tensor([-1.0, -1e-9, 0.0, 1.0])
    assert mulaw_encode(wave).tolist() == [0, 127, 128, 255]
    # ln(1 + 255 / 2) / ln 256
    assert compand(torch.tensor(0.5)).item() == pytest.approx(0.87570, abs=1e-5)


def test_what_is_louder_than_full_scale_is_held():
    assert mulaw_encode(torch.tensor([-3.0, 7.0])).tolist() == [0, 255]


def test_nan_is_refused():
    with pytest.raises(AudioError, match="NaN"):
        mulaw_encode(torch.tensor([float("nan")]))


@pytest.mark.parametrize("classes", [2, 16, 256])
def test_every_symbol_survives(classes):
    symbols = torch.arange(classes)
    assert torch.equal(mulaw_encode(mulaw_decode(symbols, classes), classes), symbols)
    assert (mulaw_decode(symbols, classes).diff() > 0).all()


@given(st.floats(-1, 1, width=32))
def test_companding_is_undone(value):
    wave = torch.tensor(value)
    assert expand(compand(wave)).item() == pytest.approx(value, abs=1e-5)


def test_quiet_samples_lose_less():
    error = (mulaw_decode(mulaw_encode(wave := torch.tensor([0.001, 0.9]))) - wave).abs()
    assert error[0] < 1e-4 < error[1] < 0.02


def test_the_continuous_input_is_even_and_inside_the_unit_range():
    values = companded_value(torch.arange(256))
    torch.testing.assert_close(values.diff(), torch.full((255,), 2 / 256))
    assert values[0] > -1
    assert values[-1] < 1
