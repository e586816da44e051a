"""A transformer's weights as csrc/transformer.h has them: padded, in panels, behind addresses."""

import ctypes

import numpy as np
from jaxtyping import Float32

from ritornello.native.border import INT32, POINTER, fields_of
from ritornello.native.library import load_library
from ritornello.native.packing import (
    aligned,
    are_half,
    byte_panels,
    float_panels,
    padded,
    padded_width,
)
from ritornello.native.transformer_weights import PATTERNS, LayerWeights, TransformerWeights

HEAD_PAD = 16
"""Heads are filled up to multiples of it: the floats of the widest vector."""


class Linear(ctypes.Structure):
    """struct linear."""

    _fields_ = fields_of(POINTER, "weights scales bias")


class Layer(ctypes.Structure):
    """struct transformer_layer."""

    _fields_ = (
        *fields_of(INT32, "pattern kept lines slots"),
        ("norm_attention", POINTER),
        *fields_of(Linear, "project out"),
        ("norm_mlp", POINTER),
        *fields_of(Linear, "enter leave"),
    )


class Net(ctypes.Structure):
    """struct transformer."""

    _fields_ = (
        *fields_of(INT32, "layers symbols block_length is_int8 is_half width inner hidden logits"),
        *fields_of(INT32, "plain_width heads head plain_head hears_twice"),
        *fields_of(POINTER, "layer positions table norm"),
        ("symbol_of", Linear),
    )


class TransformerPacking:
    """Arrays in the layout of one path; it keeps them, since structures hold addresses only."""

    def __init__(self, weights: TransformerWeights, path: str, precision: str) -> None:
        library, name = load_library(), path.encode()
        self.weights, self.is_int8 = weights, precision == "int8"
        self.pad, self.panel = library.ritornello_pad(), library.ritornello_path_panel(name)
        self.byte_offset = library.ritornello_path_byte_offset(name)
        self.head = padded_width(weights.head, HEAD_PAD)
        self.inner = padded_width(self.head * weights.heads, self.pad)
        floats = [weights.symbol_of]
        if not self.is_int8:
            floats += [matrix for layer in weights.layers for matrix in layer.matrices]
        self.is_half = bool(library.ritornello_path_has_half(name)) and are_half(*floats)
        self.arrays: list[np.ndarray] = []

    def address(self, array: np.ndarray) -> int:
        """Where a kept copy of it lies."""
        self.arrays.append(aligned(array))
        return self.arrays[-1].ctypes.data

    def row(self, array: Float32[np.ndarray, "*lead width"]) -> int:
        """Of vectors, filled up."""
        return self.address(padded(array, self.pad, 1))

    def heads(
        self, array: Float32[np.ndarray, "*lead inner"]
    ) -> Float32[np.ndarray, "*lead padded_inner"]:
        """The last axis with every head filled up, and then the whole."""
        split = array.reshape(*array.shape[:-1], self.weights.heads, self.weights.head)
        flat = padded(split, self.head, 1).reshape(*array.shape[:-1], -1)
        return padded(flat, self.inner, 1)

    def linear(
        self,
        matrix: Float32[np.ndarray, "outputs inputs"],
        bias: Float32[np.ndarray, " outputs"],
        *,
        is_int8: bool,
    ) -> Linear:
        """A linear layer, filled up."""
        matrix, bias_at = padded(matrix, self.pad, 2), self.row(bias)
        if not is_int8:
            panels = float_panels(matrix, self.panel, self.is_half)
            return Linear(weights=self.address(panels), bias=bias_at)
        panels, scales = byte_panels(matrix, self.panel, self.byte_offset)
        return Linear(weights=self.address(panels), scales=self.address(scales), bias=bias_at)

    def layer(self, layer: LayerWeights) -> Layer:
        """One block."""
        parts = len(layer.project) // layer.inner
        inputs = layer.project.shape[1]
        by_part = layer.project.reshape(parts, layer.inner, inputs).swapaxes(1, 2)
        project = self.heads(by_part).swapaxes(1, 2).reshape(-1, inputs)
        project_bias = self.heads(layer.project_bias.reshape(parts, -1)).reshape(-1)
        lines, slots = self.weights.slots(layer)
        is_int8 = self.is_int8
        return Layer(
            pattern=PATTERNS.index(layer.pattern),
            kept=layer.kept,
            lines=lines,
            slots=padded_width(slots, self.pad),
            norm_attention=self.row(layer.norm_attention),
            project=self.linear(project, project_bias, is_int8=is_int8),
            out=self.linear(self.heads(layer.out), layer.out_bias, is_int8=is_int8),
            norm_mlp=self.row(layer.norm_mlp),
            enter=self.linear(layer.enter, layer.enter_bias, is_int8=is_int8),
            leave=self.linear(layer.leave, layer.leave_bias, is_int8=is_int8),
        )

    def net(self) -> tuple[Net, ctypes.Array]:
        """The whole, and its layers, which must live as long."""
        weights = self.weights
        symbols, width = weights.table.shape
        layers = (Layer * len(weights.layers))(*map(self.layer, weights.layers))
        no_bias = np.zeros(symbols, np.float32)
        net = Net(
            layers=len(layers),
            symbols=symbols,
            block_length=weights.block_length,
            is_int8=self.is_int8,
            is_half=self.is_half,
            width=padded_width(width, self.pad),
            inner=self.inner,
            hidden=padded_width(weights.hidden, self.pad),
            logits=padded_width(symbols, self.pad),
            plain_width=width,
            heads=weights.heads,
            head=self.head,
            plain_head=weights.head,
            hears_twice=weights.hears_twice,
            layer=ctypes.addressof(layers),
            positions=self.row(weights.positions),
            table=self.row(weights.table),
            norm=None if weights.norm is None else self.row(weights.norm),
            symbol_of=self.linear(weights.symbol_of, no_bias, is_int8=False),
        )
        return net, layers
