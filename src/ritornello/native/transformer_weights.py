"""A transformer over tokens as plain arrays: what `native.transformer` takes, from any model.

Linear layers are y = W x + bias with W (outputs, inputs); norms are (2, width), gains and biases.
Everything is float32.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from ritornello.errors import ConfigError
from ritornello.native.border import GREATEST_WIDTH, check_array, check_finite

PATTERNS = ("row", "column", "previous_row", "summary", "dense", "memory")
"""In the order of csrc/transformer.h, which says what each of them sees."""

Norm = Float32[np.ndarray, "2 _width"]


@dataclass(frozen=True, kw_only=True)
class LayerWeights:
    """One pre-norm block.

    Attributes:
        pattern: Which earlier steps it sees, one of `PATTERNS`.
        kept: Steps from the first that a "dense" layer sees; of no meaning for others.
        norm_attention: Before the attention.
        project: To queries, keys and values, one after another, each of all heads; of a "memory"
            layer to queries alone.
        project_bias: Added.
        out: From what was gathered to what is added to the stream.
        out_bias: Added.
        norm_mlp: Before the perceptron.
        enter: Its first layer; a quick Gaussian error linear unit follows.
        enter_bias: Added.
        leave: Its second layer.
        leave_bias: Added.
    """

    pattern: str
    kept: int = 0
    norm_attention: Norm
    project: Float32[np.ndarray, "_projected _width"]
    project_bias: Float32[np.ndarray, " _projected"]
    out: Float32[np.ndarray, "_width _inner"]
    out_bias: Float32[np.ndarray, " _width"]
    norm_mlp: Norm
    enter: Float32[np.ndarray, "_hidden _width"]
    enter_bias: Float32[np.ndarray, " _hidden"]
    leave: Float32[np.ndarray, "_width _hidden"]
    leave_bias: Float32[np.ndarray, " _width"]

    @property
    def inner(self) -> int:
        """Width of queries, of keys and of values."""
        return self.out.shape[1]

    @property
    def matrices(self) -> tuple[Float32[np.ndarray, "_outputs _inputs"], ...]:
        """Whatever is multiplied with."""
        return self.project, self.out, self.enter, self.leave

    def check(self, name: str, width: int, heads: int) -> None:
        """Refuse what does not fit a trunk.

        Raises:
            ConfigError: An unknown pattern, shapes that do not fit, or what is not a number.
        """
        if self.pattern not in PATTERNS:
            raise ConfigError(f"{name}.pattern is {self.pattern!r}; expected one of {PATTERNS}")
        if self.pattern == "dense" and self.kept < 1:
            raise ConfigError(f"{name}.kept is {self.kept}; expected at least 1")
        if self.inner % heads or not self.inner:
            raise ConfigError(f"{name} has {self.inner} values for {heads} heads; expected whole")
        hidden = len(self.enter)
        projected = self.inner * (1 if self.pattern == "memory" else 3)
        expected = {
            "norm_attention": (2, width),
            "project": (projected, width),
            "project_bias": (projected,),
            "out": (width, self.inner),
            "out_bias": (width,),
            "norm_mlp": (2, width),
            "enter": (hidden, width),
            "enter_bias": (hidden,),
            "leave": (width, hidden),
            "leave_bias": (width,),
        }
        for part, shape in expected.items():
            check_array(f"{name}.{part}", getattr(self, part), np.float32, shape)
            check_finite(f"{name}.{part}", getattr(self, part))


@dataclass(frozen=True, kw_only=True)
class TransformerWeights:
    """A trunk of blocks, what it reads and what it says.

    Attributes:
        layers: In order; of one inner width and one hidden width.
        heads: That share the inner width.
        block_length: Columns of the table that the context is written into.
        table: What every symbol is to the first layer.
        positions: What is added at every step; the context is as many.
        norm: After the last layer; None for none.
        symbol_of: From there to logits.
        hears_twice: Whether conditions are added once more before `symbol_of`.
    """

    layers: tuple[LayerWeights, ...]
    heads: int
    block_length: int
    table: Float32[np.ndarray, "_symbols _width"]
    positions: Float32[np.ndarray, "_context _width"]
    norm: Norm | None
    symbol_of: Float32[np.ndarray, "_symbols _width"]
    hears_twice: bool

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit one another, or hold what is not a number."""
        symbols, width = self.table.shape
        if not self.layers or min(symbols, width, self.heads) < 1:
            raise ConfigError(
                f"there are {len(self.layers)} layers, {symbols} symbols, width {width} and "
                f"{self.heads} heads; expected at least one of each"
            )
        if self.block_length < 1 or not self.context or self.context % self.block_length:
            raise ConfigError(
                f"a context of {self.context} in rows of {self.block_length}; expected whole rows"
            )
        for index, layer in enumerate(self.layers):
            layer.check(f"layers[{index}]", width, self.heads)
            if (layer.inner, len(layer.enter)) != (self.inner, self.hidden):
                raise ConfigError(
                    f"layers[{index}] is {layer.inner} and {len(layer.enter)} wide inside; "
                    f"expected {self.inner} and {self.hidden}, as the first"
                )
        expected = {"positions": (self.context, width), "symbol_of": (symbols, width)}
        if self.norm is not None:
            expected["norm"] = (2, width)
        for name, shape in expected.items():
            check_array(name, getattr(self, name), np.float32, shape)
        for name in ("table", *expected):
            check_finite(name, getattr(self, name))
        if max(width, 3 * self.inner, self.hidden, symbols) > GREATEST_WIDTH:
            raise ConfigError(
                f"width {width}, inner {self.inner}, hidden {self.hidden}, symbols {symbols}; "
                f"none may be above {GREATEST_WIDTH}, nor three times inner"
            )

    @property
    def context(self) -> int:
        """Steps that are modelled together."""
        return len(self.positions)

    @property
    def inner(self) -> int:
        """Width of queries, keys and values, all heads together."""
        return self.layers[0].inner

    @property
    def hidden(self) -> int:
        """Width inside the perceptron."""
        return len(self.layers[0].enter)

    @property
    def head(self) -> int:
        """Width of one head."""
        return self.inner // self.heads

    def slots(self, layer: LayerWeights) -> tuple[int, int]:
        """Lines of a layer's cache, and steps in a line; a memory's are the state's."""
        rows, columns = self.context // self.block_length, self.block_length
        return {
            "row": (1, columns),
            "column": (columns, rows),
            "previous_row": (2, columns),
            "summary": (1, rows + 1),
            "dense": (1, layer.kept),
            "memory": (1, 0),
        }[layer.pattern]
