"""Weights in the order in which the C reads them: padded, in panels, as floats or as bytes.

csrc/wavenet.h says what is expected. Matrices are (..., outputs, inputs); a panel is some outputs
side by side, so that one vector of the processor holds the weights of one input to several outputs.
"""

import math

import numpy as np
from jaxtyping import Float, Float32, Shaped, UInt8

CACHE_LINE = 64


def aligned(array: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    """A contiguous copy that begins at a cache line, as fast vector loads want it."""
    copy = _at_a_line(np.empty(array.nbytes + CACHE_LINE, np.uint8))
    copy = copy[: array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def aligned_zeros(*shape: int) -> Float32[np.ndarray, "..."]:
    """Zeros that begin at a cache line; of what is never touched no memory is taken."""
    size = 4 * math.prod(shape)
    zeros = _at_a_line(np.zeros(size + CACHE_LINE, np.uint8))
    return zeros[:size].view(np.float32).reshape(shape)


def _at_a_line(buffer: UInt8[np.ndarray, " _size"]) -> UInt8[np.ndarray, " _rest"]:
    """What of a buffer begins at a cache line."""
    return buffer[-buffer.ctypes.data % CACHE_LINE :]


def padded_width(width: int, pad: int) -> int:
    """The next multiple of `pad`."""
    return -(-width // pad) * pad


def padded(array: Float32[np.ndarray, "..."], pad: int, axes: int) -> Float32[np.ndarray, "..."]:
    """The last `axes` axes filled up with zeros to multiples of `pad`."""
    free = array.ndim - axes
    widths = [(0, padded_width(size, pad) - size) for size in array.shape[free:]]
    return np.pad(array, [(0, 0)] * free + widths)


def halves_padded(
    array: Float32[np.ndarray, "..."], pad: int, axis: int
) -> Float32[np.ndarray, "..."]:
    """Both halves of one axis filled up with zeros to multiples of `pad`: gates and filters."""
    halves = np.split(array, 2, axis)
    missing = padded_width(halves[0].shape[axis], pad) - halves[0].shape[axis]
    widths = [(0, missing if index == axis % array.ndim else 0) for index in range(array.ndim)]
    return np.concatenate([np.pad(half, widths) for half in halves], axis)


def are_half(*arrays: Float32[np.ndarray, "..."]) -> bool:
    """Whether half floats hold all values exactly, as those of a model saved in half precision."""
    with np.errstate(over="ignore"):
        return all(np.array_equal(array, array.astype(np.float16)) for array in arrays)


def float_panels(
    weights: Float32[np.ndarray, "*lead outputs inputs"], panel: int, is_half: bool
) -> Float[np.ndarray, "*lead panels inputs panel"]:
    """Matrices in panels of `panel` outputs, as floats or half floats."""
    *lead, outputs, inputs = weights.shape
    split = weights.reshape(*lead, outputs // panel, panel, inputs)
    return aligned(np.swapaxes(split, -1, -2).astype(np.float16 if is_half else np.float32))


def byte_panels(
    weights: Float32[np.ndarray, "*lead outputs inputs"], panel: int, offset: int
) -> tuple[UInt8[np.ndarray, "*lead panels groups panel 4"], Float32[np.ndarray, "*lead outputs"]]:
    """Matrices rounded to bytes, and what one step of a byte is worth in every output.

    The largest weight of every output becomes 127 or -127 (symmetric, per row).
    """
    *lead, outputs, inputs = weights.shape
    largest = np.abs(weights).max(-1, keepdims=True)
    scales = np.where(largest > 0, largest, 1) / np.float32(127)
    whole = np.rint(weights / scales).astype(np.int16) + offset
    split = whole.reshape(*lead, outputs // panel, panel, inputs // 4, 4)
    packed = np.swapaxes(split, -2, -3).astype(np.uint8)
    return aligned(packed), aligned(scales[..., 0].astype(np.float32))
