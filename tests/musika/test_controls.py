"""Controls are measured from audio, scaled by the training set, hidden at random, and asked for."""

import numpy as np
import pytest
import torch

from ritornello.errors import CapabilityError, ConfigError, DataError
from ritornello.interfaces import Audio
from ritornello.musika.controls import (
    ControlScale,
    asked_conditions,
    check_request,
    drawn_controls,
    drop_conditions,
    fit_scale,
    measure,
    measured_conditions,
    typical_values,
)

BOTH = ("density", "loudness")
RATE = 22050


def notes(rate_hz, seconds=8.0, level=0.3):
    """Decaying tones, `rate_hz` of them a second."""
    time = np.arange(int(seconds * RATE)) / RATE
    since = np.mod(time, 1 / rate_hz)
    pitch = 220 * 2 ** (np.floor(time * rate_hz) % 5 / 5)
    wave = level * np.exp(-since * 8) * np.sin(2 * np.pi * pitch * since)
    return Audio(samples=wave.astype(np.float32)[None], sample_rate=RATE)


# ---- measuring


def test_more_notes_are_denser_and_louder_ones_louder():
    few, many, quiet = (
        measure(audio, BOTH, rate_hz=20.0, frames=160)
        for audio in (notes(1.0), notes(6.0), notes(1.0, level=0.03))
    )
    assert few.shape == (2, 160)
    assert few.dtype == np.float32
    middle = slice(40, 120)
    assert many[0, middle].mean() > 2 * few[0, middle].mean()
    assert few[1, middle].mean() - quiet[1, middle].mean() == pytest.approx(20, abs=2)


def test_the_tempo_of_a_recording_is_one_curve():
    (curve,) = measure(notes(2.0, seconds=12.0), ("tempo",), rate_hz=20.0, frames=10)
    assert curve.shape == (10,)
    assert np.ptp(curve) == 0
    # Two notes a second are 120 beats a minute, or an octave of that.
    assert min(abs(curve[0] / beats - 1) for beats in (60, 120, 240)) < 0.05


def test_what_has_no_beat_has_no_tempo():
    silence = Audio(samples=np.zeros((1, 4 * RATE), np.float32), sample_rate=RATE)
    curve = measure(silence, ("tempo",), rate_hz=20.0, frames=10)
    assert np.isnan(curve).all()


def test_a_control_nobody_can_measure_is_refused():
    with pytest.raises(ConfigError, match=r"no control 'tempi'; did you mean 'tempo'.*known: den"):
        measure(notes(1.0), ("tempi",), rate_hz=20.0, frames=4)


def test_a_scale_spans_the_5th_to_the_95th_percentile():
    curves = [np.linspace(0, 60, 61), np.array([np.nan]), np.linspace(60, 100, 41)]
    scale = fit_scale("density", curves)
    assert scale.low == pytest.approx(np.percentile(np.r_[curves[0], curves[2]], 5))
    assert scale.high == pytest.approx(np.percentile(np.r_[curves[0], curves[2]], 95))


def test_music_in_which_a_control_says_nothing():
    with pytest.raises(DataError, match="'tempo' cannot be measured"):
        fit_scale("tempo", [np.full(3, np.nan)])
    with pytest.raises(DataError, match="'loudness' is always 3"):
        fit_scale("loudness", [np.full(3, 3.0)])
    with pytest.raises(ConfigError, match="low < high"):
        ControlScale(low=1.0, high=1.0)


# ---- conditions


def test_measured_conditions_are_value_and_presence_side_by_side():
    raw = torch.tensor([[[0.0, 5.0, 20.0], [-30.0, float("nan"), -20.0]]])
    scales = [ControlScale(low=0.0, high=10.0), ControlScale(low=-30.0, high=-10.0)]
    expected = torch.tensor([[[0.0, 0.5, 1.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.5], [1.0, 0.0, 1.0]]])
    torch.testing.assert_close(measured_conditions(raw, scales), expected)


def test_a_model_without_controls_has_no_conditions():
    raw = torch.zeros(2, 0, 5)
    conditions = measured_conditions(raw, [])
    assert conditions.shape == (2, 0, 5)
    assert drop_conditions(torch.Generator(), conditions, 0.15).shape == (2, 0, 5)


def test_controls_are_hidden_alone_and_all_together():
    draw = torch.Generator().manual_seed(0)
    conditions = torch.ones(20_000, 4, 1)
    kept = drop_conditions(draw, conditions, 0.15)[..., 0]
    assert torch.equal(kept[:, 0], kept[:, 1])
    assert torch.equal(kept[:, 2], kept[:, 3])
    hidden = 1 - kept[:, ::2]
    alone, together = 0.15, 0.15
    assert float(hidden[:, 0].mean()) == pytest.approx(1 - (1 - alone) * (1 - together), abs=0.01)
    both = float((hidden.sum(1) == 2).float().mean())
    assert both == pytest.approx(together + (1 - together) * alone**2, abs=0.01)
    torch.testing.assert_close(drop_conditions(draw, conditions, 0.0), conditions)


# ---- asking


def test_a_curve_is_interpolated_and_held():
    times_s = np.array([0.0, 1.0, 2.0, 3.0, 9.0])
    asked = {"loudness": ((1.0, 0.2), (3.0, 0.8))}
    conditions = asked_conditions(asked, BOTH, times_s)
    assert not conditions[:, :2].any()
    np.testing.assert_allclose(conditions[0, 2], [0.2, 0.2, 0.5, 0.8, 0.8])
    np.testing.assert_allclose(conditions[0, 3], 1.0)


def test_a_constant_is_one_point():
    conditions = asked_conditions({"density": ((0.0, 0.7),)}, BOTH, np.arange(4.0))
    np.testing.assert_allclose(conditions[0, 0], 0.7)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"densty": ((0.0, 0.5),)}, r"did you mean 'density'\? \(known: density, loudness\)"),
        ({"xyz": ((0.0, 0.5),)}, r"no control 'xyz'; known: density, loudness$"),
        ({"density": ()}, "has no points"),
        ({"density": ((0.0, 1.2),)}, "is 1.2 at 0 s; expected 0..1"),
        ({"density": ((0.0, float("nan")),)}, "is nan at 0 s; expected 0..1"),
        ({"density": ((1.0, 0.5), (1.0, 0.6))}, "expected rising seconds"),
        ({"density": ((0.0, 0.5), (float("inf"), 0.6))}, "expected rising seconds"),
    ],
)
def test_what_cannot_be_followed_is_refused(asked, message):
    with pytest.raises(ConfigError, match=message):
        check_request(asked, BOTH)


def test_a_model_trained_without_controls_says_so():
    check_request({}, ())
    with pytest.raises(CapabilityError, match="trained without controls"):
        check_request({"density": ((0.0, 0.5),)}, ())


# ---- asking for nothing


def test_typical_values_are_means_of_what_is_present():
    conditions = torch.zeros(2, 4, 8)
    conditions[0, 0], conditions[0, 1] = 0.25, 1
    conditions[1, 2, :4], conditions[1, 3, :4] = 0.5, 1
    assert typical_values(conditions) == ((0.25, None), (None, 0.5))


def test_a_piece_is_like_one_of_the_typical_ones():
    typical = ((0.25, None), (0.75, 0.5))
    drawn = [drawn_controls(typical, BOTH, np.random.default_rng(seed)) for seed in range(20)]
    choices = [{"density": ((0.0, 0.25),)}, {"density": ((0.0, 0.75),), "loudness": ((0.0, 0.5),)}]
    assert all(one in choices for one in drawn)
    assert all(choice in drawn for choice in choices)
    assert drawn_controls((), BOTH, np.random.default_rng(0)) == {}
