"""Sampling from a causal WaveNet in C: many steps in one call, equal to nn/wavenet.py.

    weights = WaveNetWeights(...)                    plain arrays, from any model
    kernel = WaveNetKernel(weights)                  packed once, for this processor
    state = kernel.initial_state(batch=1)            rings of past inputs: arrays, to be copied
    symbols = kernel.sample(state, uniforms)         (batch, steps)

The network is van den Oord et al. 2016 ("WaveNet", section 2) with the head of the ADA paper's
local models: relu, linear, relu, linear. Biases of a condition are held for `hop` steps.

The draw: p = softmax(logits / temperature); `top_p` keeps the most probable symbols, lower ones
first where equal, until their sum reaches it; the symbol is the first whose cumulative sum of kept
p, in the order of symbols, exceeds uniform * (sum of kept p).

A stream gets the same bits in any batch and with any number of threads; another path (see
native/library.py) rounds differently. Matrices that half floats hold exactly, as those of a saved
model do, are kept as such: the same bits, faster. In "int8" the stack's matrices are bytes with one
scale per output, its vectors bytes with one scale per vector; sums are exact, and the head stays in
floats.
"""

import ctypes
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Float32, Int64, Shaped

from ritornello.errors import ConfigError
from ritornello.native.border import (
    DOUBLE,
    GREATEST_WIDTH,
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
from ritornello.native.library import available_paths, choose_path, load_library
from ritornello.native.packing import (
    aligned,
    are_half,
    byte_panels,
    float_panels,
    halves_padded,
    padded,
    padded_width,
)

__all__ = ["WaveNetKernel", "WaveNetState", "WaveNetWeights", "available_paths"]


@dataclass(frozen=True, kw_only=True)
class WaveNetWeights:
    """A causal WaveNet and its head, as float32 arrays.

    Attributes:
        dilations: One per layer.
        enter: What each symbol is to the first layer; before any symbol it is zeros.
        conv: One matrix per layer and tap, tap 0 the earliest. The first half of `gates` goes
            through tanh, the second through sigmoid; `gates` is twice `inner`.
        conv_bias: Added before the gates.
        to_residual: From the gate's result to what is added to a layer's input.
        residual_bias: Added to it.
        to_skip: From the gate's result to what is summed over layers.
        skip_scale: What that sum is multiplied with, above zero.
        hidden: First layer of the head.
        hidden_bias: Of that layer.
        out: Second layer of the head.
        out_bias: Of that layer.
    """

    dilations: tuple[int, ...]
    enter: Float32[np.ndarray, "_symbols _residual"]
    conv: Float32[np.ndarray, "_layers _taps _gates _residual"]
    conv_bias: Float32[np.ndarray, "_layers _gates"]
    to_residual: Float32[np.ndarray, "_layers _residual _inner"]
    residual_bias: Float32[np.ndarray, "_layers _residual"]
    to_skip: Float32[np.ndarray, "_layers _skip _inner"]
    skip_scale: float
    hidden: Float32[np.ndarray, "_skip _skip"]
    hidden_bias: Float32[np.ndarray, " _skip"]
    out: Float32[np.ndarray, "_symbols _skip"]
    out_bias: Float32[np.ndarray, " _symbols"]

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit one another, or hold what is not a number."""
        if self.conv.ndim != 4 or min(self.conv.shape) < 1 or self.conv.shape[2] % 2:
            raise ConfigError(
                f"conv has shape {self.conv.shape}; expected (layers, taps, gates, residual), none "
                "of them 0 and gates an even number"
            )
        layers, taps, gates, residual = self.conv.shape
        symbols, skip = len(self.out), self.out.shape[-1]
        expected = {
            "enter": (symbols, residual),
            "conv": (layers, taps, gates, residual),
            "conv_bias": (layers, gates),
            "to_residual": (layers, residual, gates // 2),
            "residual_bias": (layers, residual),
            "to_skip": (layers, skip, gates // 2),
            "hidden": (skip, skip),
            "hidden_bias": (skip,),
            "out": (symbols, skip),
            "out_bias": (symbols,),
        }
        for name, shape in expected.items():
            check_array(name, getattr(self, name), np.float32, shape)
            check_finite(name, getattr(self, name))
        if max(residual, gates, skip, symbols) > GREATEST_WIDTH:
            raise ConfigError(
                f"residual {residual}, gates {gates}, skip {skip}, symbols {symbols}; none "
                f"may be above {GREATEST_WIDTH}"
            )
        if len(self.dilations) != layers or min(self.dilations) < 1:
            raise ConfigError(
                f"dilations are {self.dilations}; expected {layers}, one per layer, each at least 1"
            )
        if not 0 < self.skip_scale < np.inf:
            raise ConfigError(f"skip_scale is {self.skip_scale}; expected a positive number")

    @property
    def reaches(self) -> tuple[int, ...]:
        """Steps that each layer looks back."""
        return tuple((self.conv.shape[1] - 1) * dilation for dilation in self.dilations)


@dataclass(kw_only=True)
class WaveNetState:
    """What sampling remembers of a batch of streams; moved on by every call.

    Attributes:
        previous: The last symbols, -1 before the first.
        slots: Every layer's ring of its last inputs, one after another, in floats or bytes; the
            oldest of a ring stands at `step` modulo its length.
        slot_scales: Of each vector of bytes what one step is worth, and their sum; empty in fp32.
        step: Steps made so far.
    """

    previous: Int64[np.ndarray, " batch"]
    slots: Shaped[np.ndarray, "_slots batch _width"]
    slot_scales: Float32[np.ndarray, "_scaled batch 2"]
    step: int = 0

    def copy(self) -> "WaveNetState":
        """The same state, to go on from more than once."""
        return replace(
            self,
            previous=self.previous.copy(),
            slots=aligned(self.slots),
            slot_scales=self.slot_scales.copy(),
        )


# ------------------------------------------------------------------ csrc/wavenet.h


class _Net(ctypes.Structure):
    _fields_ = (
        *fields_of(INT32, "layers taps symbols is_int8 is_half residual inner skip logits"),
        ("plain_inner", INT32),
        ("skip_scale", ctypes.c_float),
        *fields_of(POINTER, "dilations first_slots enter conv conv_scales conv_bias onward"),
        *fields_of(POINTER, "onward_scales residual_bias hidden hidden_bias out out_bias"),
    )


class _State(ctypes.Structure):
    _fields_ = (*fields_of(INT64, "batch step"), *fields_of(POINTER, "previous slots slot_scales"))


class _Call(ctypes.Structure):
    _fields_ = (
        *fields_of(INT64, "first rows steps hop"),
        *fields_of(POINTER, "biases uniforms given drawn logits"),
        *fields_of(DOUBLE, "temperature top_p"),
    )


class WaveNetKernel:
    """A WaveNet packed for one path of the library.

    Args:
        weights: The network; its arrays are copied.
        precision: "fp32", or "int8" for the stack: smaller and faster, not quite the same network.
        path: "avx512", "avx2" or "scalar"; None for the fastest this processor has.
        threads: Threads that a batch is divided among; one stream is always run by one.

    Raises:
        ConfigError: An unknown precision, a path this processor lacks, or no threads.
        MissingDependencyError: The library was not built.
    """

    def __init__(
        self,
        weights: WaveNetWeights,
        *,
        precision: str = "fp32",
        path: str | None = None,
        threads: int = 1,
    ) -> None:
        check_precision(precision)
        if threads < 1:
            raise ConfigError(f"threads is {threads}; expected at least 1")
        self.path, self.precision, self.threads = choose_path(path), precision, threads
        self.symbols, self.gates = len(weights.out), weights.conv.shape[2]
        self.layers, self.slots = len(weights.dilations), sum(weights.reaches)
        self._library = load_library()
        pad = self._library.ritornello_pad()
        self.width = padded_width(weights.conv.shape[3], pad)
        # The structure holds addresses only: the arrays must live as long as it does.
        self._arrays = self._packed(weights, pad)
        self._net = _Net(
            layers=self.layers,
            taps=weights.conv.shape[1],
            symbols=self.symbols,
            is_int8=precision == "int8",
            is_half=self._is_half(weights),
            residual=self.width,
            inner=padded_width(self.gates // 2, pad),
            skip=padded_width(weights.out.shape[1], pad),
            logits=padded_width(self.symbols, pad),
            plain_inner=self.gates // 2,
            skip_scale=weights.skip_scale,
            **{name: array.ctypes.data for name, array in self._arrays.items()},
        )

    def _is_half(self, weights: WaveNetWeights) -> bool:
        """Whether matrices are kept as half floats: where that is exact, to the same bits."""
        has_half = self._library.ritornello_path_has_half(self.path.encode())
        matrices = (weights.conv, weights.to_residual, weights.to_skip, weights.hidden, weights.out)
        return self.precision == "fp32" and bool(has_half) and are_half(*matrices)

    def _packed(self, weights: WaveNetWeights, pad: int) -> dict[str, np.ndarray]:
        """The arrays of `_Net` by name."""
        path = self.path.encode()
        panel, is_half = self._library.ritornello_path_panel(path), self._is_half(weights)
        conv = halves_padded(padded(weights.conv, pad, 1), pad, -2)
        # Both ways out of a gate are one matrix.
        onward = [padded(weights.to_residual, pad, 2), padded(weights.to_skip, pad, 2)]
        starts = np.cumsum([0, *weights.reaches[:-1]])
        arrays = {
            "dilations": np.array(weights.dilations, np.int64),
            "first_slots": starts.astype(np.int64),
            "enter": aligned(padded(weights.enter, pad, 1)),
            "conv_bias": aligned(halves_padded(weights.conv_bias, pad, -1)),
            "residual_bias": aligned(padded(weights.residual_bias, pad, 1)),
            "hidden": float_panels(padded(weights.hidden, pad, 2), panel, is_half),
            "hidden_bias": aligned(padded(weights.hidden_bias, pad, 1)),
            "out": float_panels(padded(weights.out, pad, 2), panel, is_half),
            "out_bias": aligned(padded(weights.out_bias, pad, 1)),
        }
        for name, matrices in (("conv", conv), ("onward", np.concatenate(onward, 1))):
            if self.precision == "fp32":
                arrays[name] = float_panels(matrices, panel, is_half)
            else:
                offset = self._library.ritornello_path_byte_offset(path)
                arrays[name], arrays[f"{name}_scales"] = byte_panels(matrices, panel, offset)
        return arrays

    def initial_state(self, batch: int) -> WaveNetState:
        """Nothing heard yet.

        Raises:
            ConfigError: batch is below 1.
        """
        if batch < 1:
            raise ConfigError(f"batch is {batch}; expected at least 1")
        is_int8 = self.precision == "int8"
        slots = np.zeros((self.slots, batch, self.width), np.int8 if is_int8 else np.float32)
        scaled = self.slots if is_int8 else 0
        return WaveNetState(
            previous=np.full(batch, -1, np.int64),
            slots=aligned(slots),
            slot_scales=np.zeros((scaled, batch, 2), np.float32),
        )

    def sample(
        self,
        state: WaveNetState,
        uniforms: Float32[np.ndarray, "batch steps"],
        *,
        biases: Float32[np.ndarray, "batch _frames _layers _gates"] | None = None,
        hop: int = 1,
        temperature: float = 1.0,
        top_p: float = 1.0,
    ) -> Int64[np.ndarray, "batch steps"]:
        """The next symbols of every stream; `state` is moved on.

        Args:
            state: From `initial_state`, or what an earlier call left.
            uniforms: One number in [0, 1) per symbol.
            biases: What a condition adds before the gates of every layer; each frame is held for
                `hop` steps.
            hop: Steps per frame of biases.
            temperature: Logits are divided by it; at least LEAST_TEMPERATURE.
            top_p: Nucleus, in (0, 1]; 1 keeps everything.

        Raises:
            ConfigError: Shapes that do not fit, or values out of range.
        """
        check_draw(uniforms, temperature, top_p)
        shape = (len(state.previous), *uniforms.shape[1:])
        check_array("uniforms", uniforms, np.float32, shape)
        drawn = np.zeros(uniforms.shape, np.int64)
        inputs = {"uniforms": uniforms, "drawn": drawn}
        self._run(state, inputs, biases, hop, temperature=temperature, top_p=top_p)
        return drawn

    def logits(
        self,
        state: WaveNetState,
        symbols: Int64[np.ndarray, "batch steps"],
        *,
        biases: Float32[np.ndarray, "batch _frames _layers _gates"] | None = None,
        hop: int = 1,
    ) -> Float32[np.ndarray, "batch steps symbols"]:
        """Logits of given symbols, each from those before it; `state` is moved on past them.

        Args:
            state: From `initial_state`, or what an earlier call left.
            symbols: What is heard; each is fed after its own logits.
            biases: As for `sample`.
            hop: Steps per frame of biases.

        Raises:
            ConfigError: Shapes that do not fit, or values out of range.
        """
        check_array("symbols", symbols, np.int64, (len(state.previous), *symbols.shape[1:]))
        check_symbols(symbols, self.symbols)
        logits = np.zeros((*symbols.shape, self.symbols), np.float32)
        self._run(state, {"given": symbols, "logits": logits}, biases, hop)
        return logits

    def _run(
        self,
        state: WaveNetState,
        arrays: dict[str, np.ndarray],
        biases: np.ndarray | None,
        hop: int,
        **settings: float,
    ) -> None:
        """One call of the library for every thread, each on streams of its own."""
        self._check_state(state)
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        batch, steps = next(iter(arrays.values())).shape
        if biases is not None:
            arrays["biases"] = self._checked_biases(biases, batch, steps, hop)
        memory = _State(
            batch=batch,
            step=state.step,
            previous=state.previous.ctypes.data,
            slots=state.slots.ctypes.data,
            slot_scales=state.slot_scales.ctypes.data,
        )
        addresses = {name: array.ctypes.data for name, array in arrays.items()}
        rows = -(-batch // self.threads)
        calls = [
            _Call(
                first=first,
                rows=min(rows, batch - first),
                steps=steps,
                hop=1 if biases is None else hop,
                **addresses,
                **settings,
            )
            for first in range(0, batch, rows)
        ]
        if len(calls) == 1:
            failed = [self._call(memory, calls[0])]
        else:
            with ThreadPoolExecutor(len(calls)) as pool:
                failed = list(pool.map(lambda call: self._call(memory, call), calls))
        if any(failed):
            raise MemoryError(f"no memory for the scratch space of {batch} streams")
        state.step += steps

    def _call(self, memory: _State, call: _Call) -> int:
        """Runs without the interpreter's lock; 0 when it went well."""
        return self._library.ritornello_wavenet_run(
            self.path.encode(), ctypes.byref(self._net), ctypes.byref(memory), ctypes.byref(call)
        )

    def _check_state(self, state: WaveNetState) -> None:
        """Refuse a state of another network: the library trusts what it gets."""
        expected = self.initial_state(1)
        batch = len(state.previous)
        for field in fields(state):
            if field.name == "step":
                continue
            array, like = getattr(state, field.name), getattr(expected, field.name)
            shape = (batch,) if like.ndim == 1 else (len(like), batch, like.shape[2])
            check_array(f"state.{field.name}", array, like.dtype.type, shape)
            check_owned(f"state.{field.name}", array)
        if batch < 1 or state.step < 0:
            raise ConfigError(f"the state has {batch} streams, step {state.step}; expected some")
        if state.previous.min() < -1 or state.previous.max() >= self.symbols:
            raise ConfigError(f"state.previous is not all in -1 .. {self.symbols - 1}")

    def _checked_biases(
        self, biases: np.ndarray, batch: int, steps: int, hop: int
    ) -> Float32[np.ndarray, "batch frames layers gates"]:
        """Contiguous biases of the right shape, all of them numbers."""
        if hop < 1 or steps % hop:
            raise ConfigError(f"{steps} steps in frames of {hop}; expected whole frames")
        check_array("biases", biases, np.float32, (batch, steps // hop, self.layers, self.gates))
        check_finite("biases", biases)
        return np.ascontiguousarray(biases)
