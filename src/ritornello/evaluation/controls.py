"""Does the music do what it was asked to? Adherence to control curves and constants.

Conventions
    asked      the curve that was asked for, (frames,)
    detected   the same control measured on the generated audio, (frames,), on the same time grid

Metrics
    curve_correlation    over time, inside one take: does it rise where it was asked to rise?
    curve_error          mean absolute difference, in the control's own unit
    response_slope       over takes with constants: how much of an asked change arrives?
    response_correlation over takes with constants: how reliably?

Whether a model adheres is only known against a take that was asked for nothing, or against the
curves of other takes: music has its own shape. `curve_correlation` of shuffled pairs is that null.
"""

import numpy as np
from jaxtyping import Float

from ritornello.errors import DataError

Curve = Float[np.ndarray, " _frames"]


def validate(asked: Curve, detected: Curve) -> None:
    """Refuse curves that cannot be compared.

    Raises:
        DataError: Different lengths, fewer than two points, or values that are not finite.
    """
    if asked.shape != detected.shape:
        raise DataError(
            f"asked has {len(asked)} points and detected {len(detected)}; expected the same time "
            "grid for both: resample one of them"
        )
    if len(asked) < 2:
        raise DataError(f"got {len(asked)} point(s), expected at least two")
    if not (np.isfinite(asked).all() and np.isfinite(detected).all()):
        raise DataError("a curve holds NaN or infinity; expected finite values")


def is_constant(curve: Curve) -> bool:
    """Whether a curve moves by no more than rounding."""
    return float(np.ptp(curve)) <= 1e-9 * float(np.abs(curve).max())


def curve_correlation(asked: Curve, detected: Curve) -> float:
    """Pearson's correlation over time, in [-1, 1]; 0 if either curve is constant."""
    validate(asked, detected)
    if is_constant(asked) or is_constant(detected):
        return 0.0
    return float(np.clip(np.corrcoef(asked, detected)[0, 1], -1, 1))


def curve_error(asked: Curve, detected: Curve) -> float:
    """Mean absolute difference of the curves, in the control's unit; best 0."""
    validate(asked, detected)
    return float(np.mean(np.abs(asked - detected)))


def response_slope(asked: Curve, detected: Curve) -> float:
    """Least-squares slope of detected over asked; 1 follows fully, 0 ignores the control.

    Each point is a take: the constant asked for, and the mean that was detected.

    Raises:
        DataError: All takes were asked for the same constant.
    """
    validate(asked, detected)
    from_mean = asked - asked.mean()
    if not np.any(from_mean):
        raise DataError("all takes were asked for the same value; expected at least two values")
    return float(from_mean @ detected / (from_mean @ from_mean))


def evaluate_curve(asked: Curve, detected: Curve) -> dict[str, float]:
    """Both figures of one take that was asked for a curve."""
    return {
        "curve_correlation": curve_correlation(asked, detected),
        "curve_error": curve_error(asked, detected),
    }


def evaluate(asked: Curve, detected: Curve) -> dict[str, float]:
    """Both figures of a set of takes, each asked for a constant (one point per take)."""
    return {
        "response_slope": response_slope(asked, detected),
        "response_correlation": curve_correlation(asked, detected),
    }
