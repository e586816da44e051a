"""Attention between the steps of sequences, whole or a few steps at a time.

    x (batch, time, width) --> queries, keys, values of `inner` width, split into heads
    softmax(queries keys^T / sqrt(head_dim)) values --> heads side by side --> (batch, time, width)

Vaswani et al. 2017, "Attention is all you need", section 3.2. Four kinds:

    BidirectionalAttention   every step sees every step
    CrossAttention           every step sees every step of another sequence, the memory
    CausalAttention          every step sees itself and what was before it
    SelfAttention            base of the causal kinds: a paper makes its own patterns from it

Causal layers and cross-attention also `advance` by any number of steps, with what they must
remember in an explicit `AttentionState` of fixed size: nothing grows, nothing is copied. Tests
hold both ways equal, however a sequence is cut.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

Steps = Float[Tensor, "batch time width"]
Step = Float[Tensor, "batch width"]
Memory = Float[Tensor, "batch memory memory_width"]
Heads = Float[Tensor, "batch heads time head_dim"]
Queries = Float[Tensor, "*lead queries head_dim"]
Keys = Float[Tensor, "*lead keys head_dim"]
Mask = Bool[Tensor, "queries keys"]

SHORT = 128
"""Queries up to which gradients are better computed in float32 on a processor."""


# ------------------------------------------------------------------ the formula, and the fast one


def weigh(queries: Queries, keys: Keys, mask: Mask | None = None) -> Float[Tensor, "*lead q k"]:
    """How much every query takes from every key, in float32 at least; rows add up to 1.

    Args:
        queries: Of any leading axes.
        keys: Of the same leading axes.
        mask: True where a query sees a key; None for everywhere.
    """
    scores = queries @ keys.transpose(-1, -2) * queries.shape[-1] ** -0.5
    scores = scores if scores.dtype == torch.float64 else scores.float()
    return (scores if mask is None else scores.masked_fill(~mask, -torch.inf)).softmax(-1)


def attend_plainly(queries: Queries, keys: Keys, values: Keys, mask: Mask | None = None) -> Queries:
    """Values weighed for every query, as the paper writes it."""
    return weigh(queries, keys, mask).to(values.dtype) @ values


def attend(
    queries: Queries,
    keys: Keys,
    values: Keys,
    mask: Mask | None = None,
    *,
    is_causal: bool = False,
) -> Queries:
    """The same by torch's fused kernel; `is_causal` stands for a lower triangle as mask.

    On a processor the kernel takes several times as long for the gradients of short bfloat16
    sequences as for those of float32 ones, so these are computed in float32.
    """
    is_slow = queries.dtype == torch.bfloat16 and queries.device.type == "cpu"
    if is_slow and queries.shape[-2] <= SHORT and torch.is_grad_enabled():
        with torch.autocast("cpu", enabled=False):
            found = attend(queries.float(), keys.float(), values.float(), mask, is_causal=is_causal)
            return found.to(queries.dtype)
    return functional.scaled_dot_product_attention(
        queries, keys, values, attn_mask=mask, is_causal=is_causal
    )


def causal_mask(queries: int, keys: int, first: int, device: torch.device) -> Mask:
    """That query i, which stands at step `first + i`, sees the keys of steps up to its own."""
    steps = torch.arange(first, first + queries, device=device)
    return torch.arange(keys, device=device) <= steps[:, None]


# ------------------------------------------------------------------ what all kinds share


@dataclass(frozen=True, kw_only=True)
class AttentionSize:
    """Width of input and output, width inside, and the heads that share the inner width."""

    width: int
    inner: int
    heads: int

    @property
    def head_dim(self) -> int:
        """Values of one head's query, key or value."""
        return self.inner // self.heads


@dataclass(kw_only=True)
class AttentionState:
    """What a layer remembers: keys and values, in the layout its kind reads, and steps made.

    Attributes:
        keys: (batch, heads, ..., head_dim); of static size.
        values: The same shape.
        step: Steps made so far.
    """

    keys: Float[Tensor, "batch heads *slots head_dim"]
    values: Float[Tensor, "batch heads *slots head_dim"]
    step: int = 0


class Attention(nn.Module, ABC):
    """From (batch, time, width) to the same shape; subclasses say who sees whom."""

    size: AttentionSize
    out: nn.Linear

    @abstractmethod
    def forward(self, x: Steps, memory: Memory | None = None) -> Steps:
        """What every step gathers; `memory` is another sequence, for those that look at one."""

    def split(self, x: Float[Tensor, "batch time inner"]) -> Heads:
        """Heads ahead of time."""
        return rearrange(x, "b t (h d) -> b h t d", h=self.size.heads)

    def merge(self, heads: Heads) -> Steps:
        """Heads side by side, and the output layer."""
        return self.out(rearrange(heads, "b h t d -> b t (h d)"))


class SteppingAttention(Attention):
    """Attention that needs no future, and so can go on from where it stopped."""

    @abstractmethod
    def initial_state(
        self, batch: int, like: Tensor, memory: Memory | None = None
    ) -> AttentionState:
        """Nothing seen yet, in the dtype and on the device of `like`."""

    @abstractmethod
    def advance(self, x: Steps, state: AttentionState) -> Steps:
        """The next steps, any number of them; `state` is moved on by them.

        Equal to the last steps of `forward` on everything given so far. Not for training: the
        state is written in place.
        """

    def step(self, x: Step, state: AttentionState) -> Step:
        """One step of `advance`."""
        return self.advance(x[:, None], state)[:, 0]


# ------------------------------------------------------------------ a sequence and itself


class BidirectionalAttention(Attention):
    """Every step sees every step."""

    def __init__(self, size: AttentionSize) -> None:
        super().__init__()
        self.size = size
        self.qkv = nn.Linear(size.width, 3 * size.inner)
        self.out = nn.Linear(size.inner, size.width)

    def forward(self, x: Steps, memory: Memory | None = None) -> Steps:
        """What every step gathers from all."""
        queries, keys, values = map(self.split, self.qkv(x).chunk(3, dim=-1))
        return self.merge(attend(queries, keys, values))


class SelfAttention(SteppingAttention):
    """Base of the causal kinds: a pattern says how whole sequences and next steps are gathered.

    Args:
        size: Widths and heads.
    """

    def __init__(self, size: AttentionSize) -> None:
        super().__init__()
        self.size = size
        self.qkv = nn.Linear(size.width, 3 * size.inner)
        self.out = nn.Linear(size.inner, size.width)

    @property
    @abstractmethod
    def slots(self) -> tuple[int, ...]:
        """Shape of the cache between heads and head_dim."""

    @abstractmethod
    def gather(self, queries: Heads, keys: Heads, values: Heads) -> Heads:
        """What every step of a whole sequence sees, summed by weight."""

    @abstractmethod
    def gather_next(
        self, queries: Heads, keys: Heads, values: Heads, state: AttentionState
    ) -> Heads:
        """The same for the steps from `state.step` on, `room` of them at most.

        Keys and values are put where later steps look for them; `state.step` stays.
        """

    def room(self, step: int) -> int | None:
        """Steps that `gather_next` can take at once when `step` were made; None for any number."""
        return None

    def project(self, x: Steps) -> tuple[Heads, Heads, Heads]:
        """Queries, keys and values."""
        queries, keys, values = map(self.split, self.qkv(x).chunk(3, dim=-1))
        return queries, keys, values

    def forward(self, x: Steps, memory: Memory | None = None) -> Steps:
        """What every step gathers from those it sees."""
        return self.merge(self.gather(*self.project(x)))

    def initial_state(
        self, batch: int, like: Tensor, memory: Memory | None = None
    ) -> AttentionState:
        """Zeros in every slot."""
        shape = (batch, self.size.heads, *self.slots, self.size.head_dim)
        return AttentionState(keys=like.new_zeros(shape), values=like.new_zeros(shape))

    @torch.no_grad()
    def advance(self, x: Steps, state: AttentionState) -> Steps:
        """The next steps: all matrix products at once, the attention as far as there is room."""
        parts, gathered, done = self.project(x), [], 0
        while done < x.shape[1]:
            room = self.room(state.step)
            end = x.shape[1] if room is None else min(x.shape[1], done + room)
            queries, keys, values = (part[:, :, done:end] for part in parts)
            gathered.append(self.gather_next(queries, keys, values, state))
            state.step, done = state.step + end - done, end
        return self.merge(torch.cat(gathered, dim=2))


class CausalAttention(SelfAttention):
    """Every step sees itself and the earlier ones among the first `length` steps.

    With the whole context as `length` this is the usual dense attention of a decoder. With less,
    steps beyond look back on the beginning only.
    """

    def __init__(self, size: AttentionSize, length: int) -> None:
        super().__init__(size)
        self.length = length

    @property
    def slots(self) -> tuple[int, ...]:
        """One per step that is ever seen."""
        return (self.length,)

    def gather(self, queries: Heads, keys: Heads, values: Heads) -> Heads:
        """By a lower triangle, cut off on the right."""
        time, seen = queries.shape[2], min(queries.shape[2], self.length)
        if seen == time:
            return attend(queries, keys, values, is_causal=True)
        mask = causal_mask(time, seen, 0, queries.device)
        return attend(queries, keys[:, :, :seen], values[:, :, :seen], mask)

    def gather_next(
        self, queries: Heads, keys: Heads, values: Heads, state: AttentionState
    ) -> Heads:
        """The next rows of the same triangle."""
        first, count = state.step, queries.shape[2]
        end = min(first + count, self.length)
        if first < self.length:
            state.keys[:, :, first:end] = keys[:, :, : end - first]
            state.values[:, :, first:end] = values[:, :, : end - first]
        mask = None if count == 1 else causal_mask(count, end, first, queries.device)
        return attend(queries, state.keys[:, :, :end], state.values[:, :, :end], mask)

    def weights(self, x: Steps) -> Float[Tensor, "batch heads time seen"]:
        """How much every step takes from each of the first `length` steps."""
        queries, keys, _ = self.project(x)
        time, seen = queries.shape[2], min(queries.shape[2], self.length)
        return weigh(queries, keys[:, :, :seen], causal_mask(time, seen, 0, x.device))


# ------------------------------------------------------------------ a sequence and another one


class CrossAttention(SteppingAttention):
    """Every step sees every step of the memory, which stays the same.

    Args:
        size: Widths and heads.
        memory_width: Width of the memory.
    """

    def __init__(self, size: AttentionSize, memory_width: int) -> None:
        super().__init__()
        self.size = size
        self.query = nn.Linear(size.width, size.inner)
        self.key_value = nn.Linear(memory_width, 2 * size.inner)
        self.out = nn.Linear(size.inner, size.width)

    def remember(self, memory: Memory | None) -> tuple[Heads, Heads]:
        """Keys and values of the memory."""
        assert memory is not None, "cross-attention needs a memory to look at"
        keys, values = map(self.split, self.key_value(memory).chunk(2, dim=-1))
        return keys, values

    def forward(self, x: Steps, memory: Memory | None = None) -> Steps:
        """What every step gathers from the memory."""
        return self.merge(attend(self.split(self.query(x)), *self.remember(memory)))

    @torch.no_grad()
    def initial_state(
        self, batch: int, like: Tensor, memory: Memory | None = None
    ) -> AttentionState:
        """Keys and values of the memory, computed once."""
        keys, values = self.remember(memory)
        assert len(keys) == batch, f"a memory of {len(keys)} examples for a batch of {batch}"
        return AttentionState(keys=keys, values=values)

    @torch.no_grad()
    def advance(self, x: Steps, state: AttentionState) -> Steps:
        """What the next steps gather."""
        state.step += x.shape[1]
        return self.merge(attend(self.split(self.query(x)), state.keys, state.values))

    def weights(self, x: Steps, memory: Memory) -> Float[Tensor, "batch heads time memory"]:
        """How much every step takes from each step of the memory: what alignments are read from."""
        return weigh(self.split(self.query(x)), self.remember(memory)[0])
