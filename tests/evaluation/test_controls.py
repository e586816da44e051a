import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ritornello.errors import DataError
from ritornello.evaluation import controls

RAMP = np.linspace(0, 1, 50)


def test_perfect_adherence():
    assert controls.evaluate_curve(RAMP, RAMP) == pytest.approx(
        {"curve_correlation": 1, "curve_error": 0}
    )
    assert controls.evaluate(RAMP, RAMP) == pytest.approx(
        {"response_slope": 1, "response_correlation": 1}
    )


@given(slope=st.floats(-3, 3).filter(lambda x: abs(x) > 1e-3), offset=st.floats(-5, 5))
def test_linear_responses_have_their_slope_and_full_correlation(slope, offset):
    detected = slope * RAMP + offset
    assert controls.response_slope(RAMP, detected) == pytest.approx(slope, abs=1e-9)
    assert controls.curve_correlation(RAMP, detected) == pytest.approx(np.sign(slope), abs=1e-6)


def test_ignored_control_scores_zero():
    ignored = np.full(50, 0.3)
    assert controls.evaluate(RAMP, ignored) == pytest.approx(
        {"response_slope": 0, "response_correlation": 0}, abs=1e-12
    )
    assert controls.curve_error(RAMP, 1 - RAMP) == pytest.approx(np.abs(2 * RAMP - 1).mean())


def test_unrelated_response_is_orthogonal():
    one, other = np.array([0.0, 1, 0, 1]), np.array([0.0, 0, 1, 1])
    assert controls.curve_correlation(one, other) == pytest.approx(0, abs=1e-12)


def test_refuses_curves_that_cannot_be_compared():
    with pytest.raises(DataError, match="same time"):
        controls.evaluate(RAMP, RAMP[1:])
    with pytest.raises(DataError, match="at least two"):
        controls.evaluate(RAMP[:1], RAMP[:1])
    with pytest.raises(DataError, match="finite"):
        controls.evaluate(RAMP, np.full(50, np.nan))
    with pytest.raises(DataError, match="same value"):
        controls.evaluate(np.ones(3), RAMP[:3])
