"""What crosses the border to C: fields of structures, and the checks that all kernels have.

The library trusts what it gets; whatever could make it read or write elsewhere is refused here.
"""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from ritornello.errors import ConfigError

PRECISIONS = ("fp32", "int8")
LEAST_TEMPERATURE = 1e-6
GREATEST_WIDTH = 1 << 15
"""Of any layer: sums of so many products of bytes fit in 32 bits."""

INT32, INT64, DOUBLE, POINTER = ctypes.c_int32, ctypes.c_int64, ctypes.c_double, ctypes.c_void_p


def fields_of(kind: Any, names: str) -> list[tuple[str, Any]]:
    """Fields of one kind, for `ctypes.Structure`."""
    return [(name, kind) for name in names.split()]


def check_array(name: str, array: Any, dtype: type, shape: Sequence[int]) -> None:
    """Refuse another type or shape.

    Raises:
        ConfigError: It has one.
    """
    if array.dtype != dtype or array.shape != tuple(shape):
        raise ConfigError(
            f"{name} is {array.dtype} of shape {array.shape}; expected {np.dtype(dtype)} of shape "
            f"{tuple(shape)}"
        )


def check_finite(name: str, array: np.ndarray) -> None:
    """Refuse infinities and what is not a number.

    Raises:
        ConfigError: There are some.
    """
    if not np.isfinite(array).all():
        raise ConfigError(f"{name} holds values that are not finite numbers")


def check_owned(name: str, array: np.ndarray) -> None:
    """Refuse what C cannot write to.

    Raises:
        ConfigError: It is not contiguous or not writeable.
    """
    if not (array.flags.c_contiguous and array.flags.writeable):
        raise ConfigError(f"{name} is not contiguous and writeable; copy it")


def check_precision(precision: str) -> None:
    """Refuse an unknown one.

    Raises:
        ConfigError: It is.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision is {precision!r}; expected one of {PRECISIONS}")


def check_symbols(symbols: np.ndarray, count: int) -> None:
    """Refuse symbols outside an alphabet.

    Raises:
        ConfigError: There are some.
    """
    if symbols.size and not (symbols.min() >= 0 and symbols.max() < count):
        raise ConfigError(f"symbols are not all in 0 .. {count - 1}")


def check_draw(uniforms: np.ndarray, temperature: float, top_p: float) -> None:
    """Refuse numbers that nothing can be drawn with.

    Raises:
        ConfigError: uniforms outside [0, 1), temperature or top_p out of range.
    """
    if uniforms.size and not (uniforms.min() >= 0 and uniforms.max() < 1):
        raise ConfigError("uniforms are not all in [0, 1)")
    if not LEAST_TEMPERATURE <= temperature < np.inf:
        raise ConfigError(f"temperature is {temperature}; expected at least {LEAST_TEMPERATURE}")
    if not 0 < top_p <= 1:
        raise ConfigError(f"top_p is {top_p}; expected 0 < top_p <= 1")
