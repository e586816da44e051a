"""The networks of an ADA (figure 1, section 3.3, appendix A).

                     symbols x                                             (batch, time)
    encoder          centred WaveNet at the symbols' rate, means over `hop` steps at its OUTPUT
                     queries q                                             (batch, frames, dim)
    bottleneck       codes y (batch, frames), vectors q'
    modulator        centred WaveNet at the codes' rate: one bias per code and local layer
    local model      causal WaveNet: p(x_t | x_<t, q')                     (batch, time, symbols)

An unconditional WaveNet (`Prior`) is a local model without a modulator. Pooling at the encoder's
output, not early in it, makes what it learns more invariant to shifts in time (section 3.3).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from ritornello.ada.config import AdaConfig, PriorConfig, WaveNetConfig
from ritornello.ada.quantize import Bottlenecked, build_bottleneck
from ritornello.audio.mulaw import companded_value
from ritornello.nn.wavenet import CausalConv, CentredConv, DilatedConv, StackState, WaveNetStack

Symbols = Int64[Tensor, "batch time"]
Logits = Float[Tensor, "batch time symbols"]
Biases = list[Float[Tensor, "batch frames gates"]]


def build_stack(config: WaveNetConfig, conv: type[DilatedConv]) -> WaveNetStack:
    """The stack that a configuration describes."""
    return WaveNetStack(
        config.dilations,
        filter_size=config.filter_size,
        residual=config.residual,
        inner=config.inner,
        skip=config.skip,
        conv=conv,
    )


class ContinuousInput(nn.Module):
    """Symbols as evenly spaced scalars, spread over the width of a stack."""

    def __init__(self, symbols: int, dim: int) -> None:
        super().__init__()
        self.symbols = symbols
        self.spread = nn.Linear(1, dim)

    def forward(self, symbols: Int64[Tensor, "*lead"]) -> Float[Tensor, "*lead dim"]:
        """Features of symbols."""
        values = companded_value(symbols, self.symbols).to(self.spread.weight.dtype)
        return self.spread(values[..., None])


class OneHotInput(nn.Embedding):
    """One learnt vector per symbol: a linear layer on the one-hot symbol."""


def build_input(kind: str, symbols: int, dim: int) -> ContinuousInput | OneHotInput:
    """The input layer named "continuous" or "one_hot"."""
    return ContinuousInput(symbols, dim) if kind == "continuous" else OneHotInput(symbols, dim)


class Head(nn.Module):
    """From the summed skips to logits: ReLU, linear, ReLU, linear."""

    def __init__(self, skip: int, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(skip, skip)
        self.out = nn.Linear(skip, outputs)

    def forward(self, skips: Float[Tensor, "*lead skip"]) -> Float[Tensor, "*lead outputs"]:
        """Logits, or whatever the stack is for."""
        return self.out(functional.relu(self.hidden(functional.relu(skips))))


class Encoder(nn.Module):
    """Symbols to queries: a centred stack, then means over `hop` steps."""

    def __init__(self, config: AdaConfig) -> None:
        super().__init__()
        self.hop = config.hop
        self.enter = build_input(config.encoder_input, config.symbols, config.encoder.residual)
        self.stack = build_stack(config.encoder, CentredConv)
        self.head = Head(config.encoder.skip, config.quantiser.query_dim)

    def forward(self, symbols: Symbols) -> Float[Tensor, "batch frames query_dim"]:
        """Queries; the number of symbols is a multiple of the hop."""
        found = self.head(self.stack(self.enter(symbols)))
        return found.unflatten(1, (-1, self.hop)).mean(2)


class Modulator(nn.Module):
    """Quantised queries to the biases of every layer of the local model, at the codes' rate."""

    def __init__(self, config: AdaConfig) -> None:
        super().__init__()
        self.layers, gates = len(config.local.dilations), 2 * config.local.inner
        self.enter = nn.Linear(config.quantiser.query_dim, config.modulator.residual)
        self.stack = build_stack(config.modulator, CentredConv)
        self.to_biases = nn.Linear(config.modulator.skip, self.layers * gates)

    def forward(self, vectors: Float[Tensor, "batch frames query_dim"]) -> Biases:
        """One bias per code and local layer, to be held for `hop` steps."""
        found = functional.relu(self.stack(self.enter(vectors)))
        return list(self.to_biases(found).chunk(self.layers, dim=-1))


@dataclass(kw_only=True)
class LocalState:
    """What sampling remembers: the last symbols, None before the first, and the stack's rings."""

    previous: Int64[Tensor, " batch"] | None
    stack: StackState


class LocalModel(nn.Module):
    """A causal WaveNet that predicts every symbol from those before it."""

    def __init__(self, network: WaveNetConfig, symbols: int, kind: str) -> None:
        super().__init__()
        self.enter = build_input(kind, symbols, network.residual)
        self.stack = build_stack(network, CausalConv)
        self.head = Head(network.skip, symbols)

    def forward(self, symbols: Symbols, biases: Biases | None = None) -> Logits:
        """Logits of every symbol given the earlier ones; nothing at all stands before the first."""
        entered = functional.pad(self.enter(symbols)[:, :-1], (0, 0, 1, 0))
        return self.head(self.stack(entered, biases)).float()

    def initial_state(self, batch: int) -> LocalState:
        """Nothing heard yet."""
        weight = self.head.out.weight
        return LocalState(previous=None, stack=self.stack.initial_state(batch, weight))

    def step(
        self, state: LocalState, biases: Sequence[Float[Tensor, "batch gates"]] | None = None
    ) -> Float[Tensor, "batch symbols"]:
        """Logits of the next symbol; the caller draws it and sets `state.previous`.

        Equal to the last step of `forward` on the symbols set so far.
        """
        if state.previous is None:
            ring = state.stack.rings[0]
            entered = ring.new_zeros(len(ring), self.stack.residual)
        else:
            entered = self.enter(state.previous)
        return self.head(self.stack.step(entered, state.stack, biases)).float()


class Ada(nn.Module):
    """One autoregressive discrete autoencoder."""

    def __init__(self, config: AdaConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.bottleneck = build_bottleneck(config.quantiser)
        self.modulator = Modulator(config)
        self.local = LocalModel(config.local, config.symbols, config.local_input)

    def forward(
        self, symbols: Symbols, heard: Symbols | None = None
    ) -> tuple[Logits, Bottlenecked]:
        """Logits of the symbols from their own codes, and what passed the bottleneck.

        Args:
            symbols: What is encoded.
            heard: The past that the local model gets; the symbols themselves when None.
        """
        found = self.bottleneck(self.encoder(symbols))
        past = symbols if heard is None else heard
        return self.local(past, self.modulator(found.vectors)), found

    def encode(self, symbols: Symbols) -> Int64[Tensor, "batch frames"]:
        """The code sequence."""
        return self.bottleneck(self.encoder(symbols)).codes

    def biases(self, codes: Int64[Tensor, "batch frames"]) -> Biases:
        """What codes say to the local model."""
        return self.modulator(self.bottleneck.look_up(codes))


class Prior(LocalModel):
    """An unconditional WaveNet over symbols: a whole model on audio, or the top of a stack."""

    def __init__(self, config: PriorConfig) -> None:
        super().__init__(config.network, config.symbols, config.input)
        self.config = config


def nll(logits: Logits, symbols: Symbols) -> Float[Tensor, ""]:
    """Negative log likelihood in nats per step, the unit of all of the paper's tables."""
    return functional.cross_entropy(logits.flatten(0, 1), symbols.flatten())
