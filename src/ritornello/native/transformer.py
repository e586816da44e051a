"""Sampling from a transformer over tokens in C: many steps in one call, equal to torch.

    kernel = TransformerKernel(weights)              packed once, for this processor
    state = kernel.initial_state(start, conditions)  caches of static size: arrays, to be copied
    kernel.read(state, known)                        several neighbours at once
    symbols = kernel.sample(state, uniforms)         (songs, steps)

The network is the one of csrc/transformer_step.h. The draw is that of `native.wavenet`; with
guidance a song has two rows in the state, 2k told and 2k + 1 not, and one symbol is drawn for both
from `untold + guidance * (told - untold)`.

A row gets the same bits in any batch, and read or drawn; another path (see native/library.py)
rounds differently. Matrices that half floats hold exactly, as those of a saved model do, are kept
as such: the same bits, faster. In "int8" the trunk's matrices are bytes with one scale per output,
their inputs bytes with one scale per vector, rounded anew at every step; sums are exact. Norms,
attention, the stream between layers and the logits stay in floats.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Int64

from ritornello.errors import ConfigError
from ritornello.native.border import (
    DOUBLE,
    INT32,
    INT64,
    POINTER,
    check_array,
    check_draw,
    check_finite,
    check_owned,
    check_precision,
    check_symbols,
    fields_of,
)
from ritornello.native.library import choose_path, load_library
from ritornello.native.packing import aligned, aligned_zeros, padded, padded_width
from ritornello.native.transformer_packing import TransformerPacking
from ritornello.native.transformer_weights import TransformerWeights

Cache = Float32[np.ndarray, "rows _lines _heads _a _b"]
Given = Int64[np.ndarray, "rows steps"]


@dataclass(frozen=True, kw_only=True)
class LayerCache:
    """Keys and values of one layer, of `lines` lines of `slots` steps; a memory has one line."""

    keys: Float32[np.ndarray, "rows lines heads slots head"]
    values: Float32[np.ndarray, "rows lines heads slots head"]


@dataclass(kw_only=True)
class TransformerState:
    """What sampling remembers of a batch of rows; moved on by every call.

    Attributes:
        previous: The last symbols, -1 before the first.
        start: What stands before the first.
        conditions: Of every step; of no steps when nothing is told.
        keys: Of every layer, turned: (rows, lines, heads, head, slots).
        values: Of every layer: (rows, lines, heads, slots, head).
        memory: Steps of the memory; 0 for none.
        step: Steps made so far.
    """

    previous: Int64[np.ndarray, " rows"]
    start: Float32[np.ndarray, "rows _width"]
    conditions: Float32[np.ndarray, "rows _told _width"]
    keys: list[Cache]
    values: list[Cache]
    memory: int
    step: int = 0

    def copy(self) -> "TransformerState":
        """The same state, to go on from more than once."""
        return replace(
            self,
            previous=self.previous.copy(),
            keys=[aligned(keys) for keys in self.keys],
            values=[aligned(values) for values in self.values],
        )


# ------------------------------------------------------------------ csrc/transformer.h


class _State(ctypes.Structure):
    _fields_ = (
        *fields_of(INT64, "rows step told memory"),
        *fields_of(POINTER, "previous start conditions keys values"),
    )


class _Call(ctypes.Structure):
    _fields_ = (
        ("steps", INT64),
        *fields_of(POINTER, "uniforms given drawn logits"),
        *fields_of(INT32, "first is_guided"),
        *fields_of(DOUBLE, "temperature top_p guidance"),
    )


# ------------------------------------------------------------------ the kernel


class TransformerKernel:
    """A transformer packed for one path of the library.

    Args:
        weights: The network; its arrays are copied.
        precision: "fp32", or "int8" for the trunk: smaller and faster, not quite the same network.
        path: "avx512", "avx2" or "scalar"; None for the fastest this processor has.

    Raises:
        ConfigError: An unknown precision, or a path this processor lacks.
        MissingDependencyError: The library was not built.
    """

    def __init__(
        self, weights: TransformerWeights, *, precision: str = "fp32", path: str | None = None
    ) -> None:
        check_precision(precision)
        self.path, self.precision = choose_path(path), precision
        self.symbols, self.width = weights.table.shape
        self.context, self.heads, self.head = weights.context, weights.heads, weights.head
        self.patterns = tuple(layer.pattern for layer in weights.layers)
        self._slots = [weights.slots(layer) for layer in weights.layers]
        packing = TransformerPacking(weights, self.path, precision)
        self._net, self._layers = packing.net()
        self._pad, self._arrays = packing.pad, packing.arrays

    def initial_state(
        self,
        start: Float32[np.ndarray, "rows width"],
        conditions: Float32[np.ndarray, "rows _told width"] | None = None,
        memory: Sequence[LayerCache] = (),
    ) -> TransformerState:
        """Nothing read yet.

        Args:
            start: What stands before the first symbol.
            conditions: What is told at every step; as many steps as will be made, at most a
                context. None for nothing.
            memory: Keys and values for every "memory" layer in order, all of the same length.

        Raises:
            ConfigError: Shapes that do not fit, or what is not a number.
        """
        rows = len(start)
        if not rows:
            raise ConfigError("start has no rows; expected at least one")
        told = np.zeros((rows, 0, self.width), np.float32) if conditions is None else conditions
        check_array("start", start, np.float32, (rows, self.width))
        check_array("conditions", told, np.float32, (rows, *told.shape[1:2], self.width))
        check_finite("start", start)
        check_finite("conditions", told)
        steps = memory[0].keys.shape[3] if memory else 0
        state = TransformerState(
            previous=np.full(rows, -1, np.int64),
            start=aligned(padded(start, self._pad, 1)),
            conditions=aligned(padded(told, self._pad, 1)),
            keys=[],
            values=[],
            memory=steps,
        )
        for lines, slots in self._cache_sizes(steps):
            state.keys.append(aligned_zeros(rows, lines, self.heads, self.head, slots))
            state.values.append(aligned_zeros(rows, lines, self.heads, slots, self._net.head))
        layers = [i for i, pattern in enumerate(self.patterns) if pattern == "memory"]
        if len(layers) != len(memory) or (layers and not steps):
            raise ConfigError(
                f"there are {len(memory)} memories of {steps} steps; expected {len(layers)}, of at "
                "least one step each"
            )
        for layer, cache in zip(layers, memory, strict=True):
            self.fill(state, layer, cache)
        return state

    def fill(self, state: TransformerState, layer: int, cache: LayerCache) -> None:
        """Put keys and values into a state, as another sampler of this network had them.

        Args:
            state: Written to; its `step` and `previous` are the caller's to set.
            layer: Whose they are.
            cache: In the lines and slots of the layer's pattern.

        Raises:
            ConfigError: Shapes that do not fit, or what is not a number.
        """
        lines, slots = self._slots[layer]
        slots = state.memory if self.patterns[layer] == "memory" else slots
        shape = (len(state.previous), lines, self.heads, slots, self.head)
        for name, given in (("keys", cache.keys), ("values", cache.values)):
            check_array(f"{name} of layer {layer}", given, np.float32, shape)
            check_finite(f"{name} of layer {layer}", given)
        state.keys[layer][..., :slots] = np.swapaxes(cache.keys, -1, -2)
        state.values[layer][..., :slots, : self.head] = cache.values

    def sample(
        self,
        state: TransformerState,
        uniforms: Float32[np.ndarray, "songs steps"],
        *,
        temperature: float = 1.0,
        top_p: float = 1.0,
        first: int = 0,
        guidance: float | None = None,
    ) -> Int64[np.ndarray, "songs steps"]:
        """The next symbols of every song; `state` is moved on.

        Args:
            state: From `initial_state`, or what an earlier call left.
            uniforms: One number in [0, 1) per symbol.
            temperature: Logits are divided by it; at least LEAST_TEMPERATURE.
            top_p: Nucleus, in (0, 1]; 1 keeps everything.
            first: Symbols below it are not drawn.
            guidance: Strength; None for one row per song.

        Raises:
            ConfigError: Shapes that do not fit, or values out of range.
        """
        check_draw(uniforms, temperature, top_p)
        if not 0 <= first < self.symbols:
            raise ConfigError(f"first is {first}; expected 0 <= first < {self.symbols}")
        if guidance is not None and not np.isfinite(guidance):
            raise ConfigError(f"guidance is {guidance}; expected a finite number")
        rows, each = len(state.previous), 1 if guidance is None else 2
        if rows % each:
            raise ConfigError(f"the state has {rows} rows; expected pairs for guidance")
        check_array("uniforms", uniforms, np.float32, (rows // each, *uniforms.shape[1:]))
        drawn = np.zeros(uniforms.shape, np.int64)
        call = _Call(
            steps=uniforms.shape[1],
            drawn=drawn.ctypes.data,
            first=first,
            is_guided=guidance is not None,
            temperature=temperature,
            top_p=top_p,
            guidance=guidance or 0.0,
        )
        self._run(state, call, uniforms=uniforms)
        return drawn

    def read(self, state: TransformerState, symbols: Given) -> None:
        """Symbols that are known; `state` is moved on past them.

        Args:
            state: From `initial_state`, or what an earlier call left.
            symbols: One row per row of the state.

        Raises:
            ConfigError: Shapes that do not fit, or values out of range.
        """
        self._check_given(state, symbols)
        self._run(state, _Call(steps=symbols.shape[1]), given=symbols)

    def logits(
        self, state: TransformerState, symbols: Given
    ) -> Float32[np.ndarray, "rows steps symbols"]:
        """`read`, and logits of the symbols, each from those before it."""
        self._check_given(state, symbols)
        logits = np.zeros((*symbols.shape, self.symbols), np.float32)
        call = _Call(steps=symbols.shape[1], logits=logits.ctypes.data)
        self._run(state, call, given=symbols)
        return logits

    def _run(self, state: TransformerState, call: _Call, **inputs: np.ndarray) -> None:
        """One call of the library, without the interpreter's lock."""
        self._check_state(state, call.steps)
        kept = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        for name, array in kept.items():
            setattr(call, name, array.ctypes.data)
        pointers = POINTER * len(self._slots)
        keys = pointers(*(keys.ctypes.data for keys in state.keys))
        values = pointers(*(values.ctypes.data for values in state.values))
        memory = _State(
            rows=len(state.previous),
            step=state.step,
            told=state.conditions.shape[1],
            memory=state.memory,
            previous=state.previous.ctypes.data,
            start=state.start.ctypes.data,
            conditions=state.conditions.ctypes.data,
            keys=ctypes.addressof(keys),
            values=ctypes.addressof(values),
        )
        failed = load_library().ritornello_transformer_run(
            self.path.encode(), ctypes.byref(self._net), ctypes.byref(memory), ctypes.byref(call)
        )
        if failed:
            raise MemoryError(f"no memory for the scratch space of {memory.rows} rows")
        state.step += call.steps

    def _check_given(self, state: TransformerState, symbols: Given) -> None:
        check_array("symbols", symbols, np.int64, (len(state.previous), *symbols.shape[1:]))
        check_symbols(symbols, self.symbols)

    def _cache_sizes(self, memory: int) -> list[tuple[int, int]]:
        """Lines and padded slots of every layer."""
        return [
            (lines, padded_width(memory if pattern == "memory" else slots, self._pad))
            for pattern, (lines, slots) in zip(self.patterns, self._slots, strict=True)
        ]

    def _check_state(self, state: TransformerState, steps: int) -> None:
        """Refuse a state of another network, or one too full: the library trusts what it gets."""
        rows, width, head = len(state.previous), self._net.width, self._net.head
        check_array("state.start", state.start, np.float32, (rows, width))
        told = state.conditions.shape[1]
        check_array("state.conditions", state.conditions, np.float32, (rows, told, width))
        sizes = self._cache_sizes(state.memory)
        if len(state.keys) != len(sizes) or len(state.values) != len(sizes):
            raise ConfigError(f"the state has {len(state.keys)} layers; expected {len(sizes)}")
        owned = {"start": state.start, "conditions": state.conditions, "previous": state.previous}
        for layer, (lines, slots) in enumerate(sizes):
            shape = (rows, lines, self.heads)
            keys, values = state.keys[layer], state.values[layer]
            check_array(f"state.keys[{layer}]", keys, np.float32, (*shape, self.head, slots))
            check_array(f"state.values[{layer}]", values, np.float32, (*shape, slots, head))
            owned |= {f"keys[{layer}]": keys, f"values[{layer}]": values}
        for name, array in owned.items():
            check_owned(f"state.{name}", array)
        if state.previous.min() < -1 or state.previous.max() >= self.symbols:
            raise ConfigError(f"state.previous is not all in -1 .. {self.symbols - 1}")
        room = min(self.context, told) if told else self.context
        if not 0 <= state.step <= state.step + steps <= room:
            raise ConfigError(
                f"{steps} steps after {state.step}; the state has room for {room} in all. "
                "Begin another window"
            )
