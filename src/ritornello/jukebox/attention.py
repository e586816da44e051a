"""Factorised attention: a context seen as a table, and every layer looking along one way in it.

A context of `blocks * block_length` steps is written row by row, one block a row. Step (r, c) sees

    row            of its own row, columns 0 .. c
    column         of its own column, rows 0 .. r
    previous_row   the whole row r - 1; in row 0 nothing, so that it gets zeros
    summary        the last steps of every row before r, and one empty step with zeros
    dense          all earlier steps and itself
    lyrics         the same, of the steps that hold lyrics only (one merged sequence)
    encoder        every step of the lyric encoder

Row, column and previous row in turn let every step reach every earlier one within three layers, at
the cost of about `3 sqrt(n)` instead of `n` keys a query. After Child et al. 2019, "Generating long
sequences with sparse transformers", as Jukebox simplified it (appendix A: "scalable transformer").

Caches have the form that one step reads: the row so far; the table turned, so that a column lies in
one piece; the finished row beside the one being filled; the summaries. Their size is fixed.
"""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from ritornello.nn.attention import (
    AttentionSize,
    AttentionState,
    Heads,
    SelfAttention,
    attend,
    causal_mask,
)

Padded = Float[Tensor, "batch heads _steps head_dim"]
"""Heads with more steps, or fewer, than their neighbours."""


class FactorisedAttention(SelfAttention):
    """Base of the patterns in a table of `blocks` rows and `block_length` columns."""

    def __init__(self, size: AttentionSize, blocks: int, block_length: int) -> None:
        super().__init__(size)
        self.blocks, self.block_length = blocks, block_length

    def room(self, step: int) -> int:
        """To the end of the row: one call never leaves a row."""
        return self.block_length - step % self.block_length

    def place(self, step: int) -> tuple[int, int]:
        """Row and column of a step."""
        return divmod(step, self.block_length)

    def whole_rows(self, x: Heads) -> Padded:
        """`x` with zeros up to the end of its last row; no real step sees them."""
        return functional.pad(x, (0, 0, 0, -x.shape[2] % self.block_length))

    def attend_along(self, lines: str, *parts: Padded, is_causal: bool) -> Padded:
        """Attention within every line of the table alone.

        Args:
            lines: The axes that make the lines, as einops writes them: "(b r) h c d" for rows.
            *parts: Queries, keys and values of the same steps.
            is_causal: Whether a step sees no later step of its line.
        """
        batch, time = parts[0].shape[0], parts[0].shape[2]
        cut = (
            rearrange(self.whole_rows(part), f"b h (r c) d -> {lines}", c=self.block_length)
            for part in parts
        )
        found = attend(*cut, is_causal=is_causal)
        return rearrange(found, f"{lines} -> b h (r c) d", b=batch)[:, :, :time]


class RowAttention(FactorisedAttention):
    """Step (r, c) sees columns 0 .. c of row r."""

    @property
    def slots(self) -> tuple[int, ...]:
        """One row."""
        return (self.block_length,)

    def gather(self, queries: Heads, keys: Heads, values: Heads) -> Heads:
        """Every row by itself, causally."""
        return self.attend_along("(b r) h c d", queries, keys, values, is_causal=True)

    def gather_next(
        self, queries: Heads, keys: Heads, values: Heads, state: AttentionState
    ) -> Heads:
        """From the row so far, which the next row overwrites."""
        _, column = self.place(state.step)
        count = queries.shape[2]
        end = column + count
        state.keys[:, :, column:end] = keys
        state.values[:, :, column:end] = values
        mask = None if count == 1 else causal_mask(count, end, column, queries.device)
        return attend(queries, state.keys[:, :, :end], state.values[:, :, :end], mask)


class ColumnAttention(FactorisedAttention):
    """Step (r, c) sees rows 0 .. r of column c."""

    @property
    def slots(self) -> tuple[int, ...]:
        """The table, column by column."""
        return (self.block_length, self.blocks)

    def gather(self, queries: Heads, keys: Heads, values: Heads) -> Heads:
        """Every column by itself, causally."""
        return self.attend_along("(b c) h r d", queries, keys, values, is_causal=True)

    def gather_next(
        self, queries: Heads, keys: Heads, values: Heads, state: AttentionState
    ) -> Heads:
        """Each from its own column."""
        row, column = self.place(state.step)
        columns = slice(column, column + queries.shape[2])
        state.keys[:, :, columns, row] = keys
        state.values[:, :, columns, row] = values
        seen = (part[:, :, columns, : row + 1] for part in (state.keys, state.values))
        return attend(queries[:, :, :, None], *seen)[:, :, :, 0]


class PreviousRowAttention(FactorisedAttention):
    """Step (r, c) sees all of row r - 1; in row 0 it gets zeros."""

    @property
    def slots(self) -> tuple[int, ...]:
        """Two rows: even ones and odd ones."""
        return (2, self.block_length)

    def gather(self, queries: Heads, keys: Heads, values: Heads) -> Heads:
        """Every row from the one before; a row of zeros stands before the first.

        Equal weights on zeros are zeros: row 0 needs no case of its own.
        """
        shift = (0, 0, self.block_length, -self.block_length)
        before = (functional.pad(self.whole_rows(part), shift) for part in (keys, values))
        return self.attend_along("(b r) h c d", queries, *before, is_causal=False)

    def gather_next(
        self, queries: Heads, keys: Heads, values: Heads, state: AttentionState
    ) -> Heads:
        """From the finished row, while the other one is filled."""
        row, column = self.place(state.step)
        columns = slice(column, column + queries.shape[2])
        state.keys[:, :, row % 2, columns] = keys
        state.values[:, :, row % 2, columns] = values
        finished = (row + 1) % 2
        return attend(queries, state.keys[:, :, finished], state.values[:, :, finished])


class SummaryAttention(FactorisedAttention):
    """Step (r, c) sees the last `last` steps of every row before r, and one empty step.

    The empty step, zeros, is what row 0 looks at. The released models do not use this pattern.

    Args:
        size: Widths and heads.
        blocks: Rows.
        block_length: Columns.
        last: Steps that stand for a row, 1 to `block_length`.
    """

    def __init__(self, size: AttentionSize, blocks: int, block_length: int, last: int = 1) -> None:
        super().__init__(size, blocks, block_length)
        self.last = last

    @property
    def slots(self) -> tuple[int, ...]:
        """The empty step, and every row's summary."""
        return (1 + self.blocks * self.last,)

    def gather(self, queries: Heads, keys: Heads, values: Heads) -> Heads:
        """All rows from all summaries, masked."""
        time = queries.shape[2]
        rows = torch.arange(time, device=queries.device) // self.block_length
        keys, values = self.summaries(keys), self.summaries(values)
        slots = torch.arange(keys.shape[2], device=queries.device)
        return attend(queries, keys, values, slots < 1 + rows[:, None] * self.last)

    def summaries(self, x: Heads) -> Padded:
        """The empty step, and the last steps of every row."""
        rows = rearrange(self.whole_rows(x), "b h (r c) d -> b h r c d", c=self.block_length)
        return functional.pad(rows[:, :, :, -self.last :].flatten(2, 3), (0, 0, 1, 0))

    def gather_next(
        self, queries: Heads, keys: Heads, values: Heads, state: AttentionState
    ) -> Heads:
        """From the rows that are finished; the last steps of this one are kept for the next."""
        row, column = self.place(state.step)
        seen = 1 + row * self.last
        count = queries.shape[2]
        begins = self.block_length - self.last
        kept = max(0, begins - column)
        if kept < count:
            slot = seen + column + kept - begins
            state.keys[:, :, slot : slot + count - kept] = keys[:, :, kept:]
            state.values[:, :, slot : slot + count - kept] = values[:, :, kept:]
        return attend(queries, state.keys[:, :, :seen], state.values[:, :, :seen])
