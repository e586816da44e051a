"""The autoregressive transformer that priors, upsamplers and the lyric encoder have in common.

    tokens t_0 .. t_n-1                                                     (batch, tokens)
    inputs     start, table[t_0], .., table[t_n-2]   + positions + conditions
    trunk      blocks of factorised attention
    logits     (trunk + conditions) table^T: of t_0 .. t_n-1                (batch, tokens, symbols)

Appendices A and B.2. `start` stands where the token before the first would; conditions are one
vector per token. The whole at once trains; `read` and `step` go on from an explicit `TokenState`,
whose caches never grow, and give the same logits.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from ritornello.jukebox.attention import (
    ColumnAttention,
    PreviousRowAttention,
    RowAttention,
    SummaryAttention,
)
from ritornello.jukebox.prior_config import TransformerConfig
from ritornello.nn.attention import (
    AttentionSize,
    CausalAttention,
    CrossAttention,
    SteppingAttention,
)
from ritornello.nn.transformer import Block, Mlp, QuickGelu, Trunk, TrunkState, residual_outputs
from ritornello.nn.transformer import initialise as initialise_trunk

Tokens = Int64[Tensor, "batch tokens"]
Logits = Float[Tensor, "batch tokens symbols"]
LevelCodes = Int64[Tensor, "batch frames"]
CodeLogits = Float[Tensor, "batch frames codes"]
Start = Float[Tensor, "batch width"]
PerToken = Float[Tensor, "batch tokens width"]
Memory = Float[Tensor, "batch memory memory_width"]

STD, POSITION_STD, LABEL_STD = 0.02, 0.01, 0.01
"""Of weights, of positions and of label tables, before a configuration's `init_scale`."""

FACTORISED = {
    "row": RowAttention,
    "column": ColumnAttention,
    "previous_row": PreviousRowAttention,
    "summary": SummaryAttention,
}


def build_attention(
    name: str, config: TransformerConfig, lyrics_seen: int, memory_width: int
) -> SteppingAttention:
    """The pattern of that name.

    Args:
        name: One of `prior_config.PATTERNS`.
        config: Sizes.
        lyrics_seen: Tokens from the first that "lyrics" layers see.
        memory_width: Of what "encoder" layers look at.
    """
    size = AttentionSize(width=config.width, inner=config.inner, heads=config.heads)
    match name:
        case "dense":
            return CausalAttention(size, config.context)
        case "lyrics":
            return CausalAttention(size, lyrics_seen)
        case "encoder":
            return CrossAttention(size, memory_width)
    return FACTORISED[name](size, config.blocks, config.block_length)


def build_trunk(config: TransformerConfig, lyrics_seen: int = 0, memory_width: int = 0) -> Trunk:
    """Pre-norm blocks in the configured order; Args as for `build_attention`."""
    blocks = [
        Block(
            build_attention(name, config, lyrics_seen, memory_width),
            Mlp(config.width, config.mlp_hidden, QuickGelu()),
            (nn.LayerNorm(config.width), nn.LayerNorm(config.width)),
        )
        for name in config.layers
    ]
    return Trunk(blocks, nn.LayerNorm(config.width) if config.final_norm else nn.Identity())


@dataclass(kw_only=True)
class TokenState:
    """What sampling remembers.

    Attributes:
        previous: The last tokens; None before the first. Who draws a token puts it here.
        start: What stands before the first.
        conditions: For every token of the context; None for none.
        trunk: Caches, and the steps made.
    """

    previous: Int64[Tensor, " batch"] | None
    start: Start
    conditions: PerToken | None
    trunk: TrunkState


class CodeTransformer(nn.Module):
    """Predicts every token from those before it.

    Args:
        config: Sizes.
        symbols: Of the alphabet.
        lyrics_seen: Tokens from the first that "lyrics" layers see.
        memory_width: Of what "encoder" layers look at.
    """

    def __init__(
        self,
        config: TransformerConfig,
        symbols: int,
        *,
        lyrics_seen: int = 0,
        memory_width: int = 0,
    ) -> None:
        super().__init__()
        self.config = config
        self.table = nn.Embedding(symbols, config.width)
        self.positions = nn.Parameter(torch.empty(config.context, config.width))
        self.trunk = build_trunk(config, lyrics_seen, memory_width)
        self.untied = None if config.is_tied else nn.Linear(config.width, symbols, bias=False)

    # -------------------------------------------------------------- the whole at once

    def forward(
        self,
        tokens: Tokens,
        start: Start,
        conditions: PerToken | None = None,
        memory: Memory | None = None,
    ) -> Logits:
        """Logits of every token given the earlier ones; at most `context` tokens."""
        hidden = self.trunk(self.enter(tokens, start, conditions), memory)
        return self.to_logits(hidden, conditions)

    def hidden(
        self,
        tokens: Tokens,
        start: Start,
        conditions: PerToken | None = None,
        memory: Memory | None = None,
        *,
        layer: int,
    ) -> PerToken:
        """What block `layer` is given: features of music for other uses, and for alignments."""
        return self.trunk.up_to(layer, self.enter(tokens, start, conditions), memory)

    def enter(self, tokens: Tokens, start: Start, conditions: PerToken | None) -> PerToken:
        """The trunk's input: tokens one place later, after the start."""
        before = torch.cat([start[:, None], self.table(tokens[:, :-1])], dim=1)
        return self.placed(before, 0, conditions)

    def placed(self, x: PerToken, first: int, conditions: PerToken | None) -> PerToken:
        """`x` plus the positions from `first` on, and what is known of each."""
        context, end = self.config.context, first + x.shape[1]
        assert end <= context, f"{end} tokens in a context of {context}"
        x = x + self.positions[first:end]
        return x if conditions is None else x + conditions

    def to_logits(self, hidden: PerToken, conditions: PerToken | None) -> Logits:
        """By the token table once more, after the conditions once more; or by a layer of its own.

        The released 5B models have the latter, and hear the conditions once only.
        """
        if self.untied is not None:
            return self.untied(hidden).float()
        again = hidden if conditions is None else hidden + conditions
        return functional.linear(again, self.table.weight).float()

    # -------------------------------------------------------------- going on

    def initial_state(
        self,
        start: Start,
        conditions: PerToken | None = None,
        memory: Memory | None = None,
    ) -> TokenState:
        """Nothing read yet.

        Args:
            start: What stands before the first token.
            conditions: For all tokens of the context, or as many as will be read.
            memory: What "encoder" layers look at; its keys are computed here, once.
        """
        trunk = self.trunk.initial_state(len(start), self.positions, memory)
        return TokenState(previous=None, start=start, conditions=conditions, trunk=trunk)

    @torch.no_grad()
    def read(self, tokens: Tokens, state: TokenState) -> Logits:
        """Logits of the next tokens, which are known: any number of them at once.

        Equal to the same part of `forward` on all tokens read so far.
        """
        before = self.table(tokens[:, :-1])
        logits = self._advance(torch.cat([self._last(state)[:, None], before], dim=1), state)
        state.previous = tokens[:, -1]
        return logits

    @torch.no_grad()
    def step(self, state: TokenState) -> Float[Tensor, "batch symbols"]:
        """Logits of the next token; the caller draws it and sets `state.previous`."""
        return self._advance(self._last(state)[:, None], state)[:, 0]

    def _last(self, state: TokenState) -> Start:
        """What stands before the next token."""
        return state.start if state.previous is None else self.table(state.previous)

    def _advance(self, x: PerToken, state: TokenState) -> Logits:
        first = state.trunk.step
        told = state.conditions
        told = None if told is None else told[:, first : first + x.shape[1]]
        return self.to_logits(self.trunk.advance(self.placed(x, first, told), state.trunk), told)


class CodeModel(nn.Module):
    """What priors and upsamplers have in common when their codes are sampled.

    Attributes:
        transformer: Over codes, and whatever else stands in its alphabet before them.
        first_code: Token of code 0.
    """

    transformer: CodeTransformer
    first_code: int = 0

    def read(self, codes: LevelCodes, state: TokenState) -> CodeLogits:
        """Logits of the next codes, which are known; `state` moves on behind them."""
        return self.transformer.read(codes + self.first_code, state)[:, :, self.first_code :]

    def step(self, state: TokenState) -> Float[Tensor, "batch codes"]:
        """Logits of the next code; `tell` the state which one was drawn."""
        return self.transformer.step(state)[:, self.first_code :]

    def tell(self, codes: Int64[Tensor, " batch"], state: TokenState) -> None:
        """The codes that were drawn after a `step`."""
        state.previous = codes + self.first_code


def initialise(model: CodeTransformer, generator: torch.Generator) -> None:
    """Draw all weights as the released models', times the configuration's scales.

    Layers that look at an encoder begin by adding nothing: so lyrics can be taught to a prior that
    was trained without (section 4.2).
    """
    config = model.config
    std = STD * config.init_scale
    initialise_trunk(model.trunk, generator, std, config.residual_scale)
    for block in model.trunk.blocks:
        if isinstance(block.attention, CrossAttention):
            for out in residual_outputs(block):
                nn.init.zeros_(out.weight)
    nn.init.normal_(model.table.weight, std=std, generator=generator)
    nn.init.normal_(model.positions, std=POSITION_STD * config.init_scale, generator=generator)
    if model.untied is not None:
        nn.init.normal_(model.untied.weight, std=std, generator=generator)
