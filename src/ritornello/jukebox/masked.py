"""A second kind of upsampler: all codes of a window at once, from those that are known; ours.

    codes       (batch, frames), the mask where a code is wanted
    told        the codes above through the conditioner, plus artist and genres
    inputs      table[codes] + positions + told
    trunk       rows and columns in turn, both ways: every place sees every place after two layers
    logits      (trunk + told) table^T, of every place

It learns to guess random sets of hidden codes from the rest, few or all of them, and so can fill a
window in four to eight passes (`masked_decoding.py`) where the autoregressive upsampler takes a
step for every code. Chang et al. 2022, "MaskGIT: Masked generative image transformer", sections 3.1
and 3.3; for audio Borsos et al. 2023, "SoundStorm", and Ziv et al. 2024, "MAGNeT". What it is told
and how its table lies are as in Jukebox's upsamplers (appendix B.2).
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from ritornello.jukebox.code_transformer import (
    POSITION_STD,
    STD,
    CodeLogits,
    LevelCodes,
    PerToken,
)
from ritornello.jukebox.conditions import Conditions, LabelTables
from ritornello.jukebox.prior import BITS_PER_NAT, Bits
from ritornello.jukebox.prior_config import MaskedConfig, TransformerConfig
from ritornello.jukebox.upsampler import CodesAbove, Conditioner, initialise_told
from ritornello.nn.attention import (
    Attention,
    AttentionSize,
    BidirectionalAttention,
    Memory,
    Steps,
)
from ritornello.nn.transformer import Block, Mlp, QuickGelu, Trunk
from ritornello.nn.transformer import initialise as initialise_trunk
from ritornello.sampling.passes import left_hidden, schedule

Places = Bool[Tensor, "batch frames"]

# ------------------------------------------------------------------ who sees whom


class RowsBothWays(Attention):
    """Every code sees its whole row of the table that the window is written into.

    Rows and columns cost a thirty-second of seeing everything in every layer, which would take half
    of a small network's time.
    """

    def __init__(self, size: AttentionSize, blocks: int) -> None:
        super().__init__()
        self.blocks, self.within = blocks, BidirectionalAttention(size)

    def forward(self, x: Steps, memory: Memory | None = None) -> Steps:
        """What every code gathers from its row."""
        rows = rearrange(x, "b (r c) w -> (b r) c w", r=self.blocks)
        return rearrange(self.within(rows), "(b r) c w -> b (r c) w", r=self.blocks)


class ColumnsBothWays(Attention):
    """Every code sees its whole column."""

    def __init__(self, size: AttentionSize, blocks: int) -> None:
        super().__init__()
        self.blocks, self.within = blocks, BidirectionalAttention(size)

    def forward(self, x: Steps, memory: Memory | None = None) -> Steps:
        """What every code gathers from its column."""
        length = x.shape[1] // self.blocks
        columns = rearrange(x, "b (r c) w -> (b c) r w", r=self.blocks)
        return rearrange(self.within(columns), "(b c) r w -> b (r c) w", c=length)


def build_attention(name: str, config: TransformerConfig) -> Attention:
    """The layer of that name, looking both ways."""
    size = AttentionSize(width=config.width, inner=config.inner, heads=config.heads)
    match name:
        case "row":
            return RowsBothWays(size, config.blocks)
        case "column":
            return ColumnsBothWays(size, config.blocks)
    return BidirectionalAttention(size)


def build_trunk(config: TransformerConfig) -> Trunk:
    """Pre-norm blocks in the configured order."""
    blocks = [
        Block(
            build_attention(name, config),
            Mlp(config.width, config.mlp_hidden, QuickGelu()),
            (nn.LayerNorm(config.width), nn.LayerNorm(config.width)),
        )
        for name in config.layers
    ]
    return Trunk(blocks, nn.LayerNorm(config.width) if config.final_norm else nn.Identity())


# ------------------------------------------------------------------ the network


@dataclass(kw_only=True)
class MaskedState:
    """A window, filled from its beginning on.

    Attributes:
        told: Of every place of the context.
        known: Codes of the first places.
    """

    told: PerToken
    known: LevelCodes


class MaskedUpsampler(nn.Module):
    """Hidden codes from the others, the codes above, artist and genres.

    Attributes:
        mask: The symbol that stands for a hidden code: the row behind the last code.
    """

    def __init__(self, config: MaskedConfig) -> None:
        super().__init__()
        width = config.transformer.width
        self.config, self.mask = config, config.codes
        self.labels = LabelTables(config.labels, width)
        self.conditioner = Conditioner(config.conditioner, config.codes_above, width)
        self.table = nn.Embedding(config.codes + 1, width)
        self.positions = nn.Parameter(torch.empty(config.frames, width))
        self.trunk = build_trunk(config.transformer)

    def forward(self, codes: LevelCodes, above: CodesAbove, conditions: Conditions) -> CodeLogits:
        """Logits of every place given all codes that are not the mask.

        Args:
            codes: A whole context, with `mask` where a code is hidden.
            above: Of the same stretch of music; `ratio` times fewer.
            conditions: Labels; times and lyrics are not looked at.
        """
        told = self.tell(above, conditions)
        return self.to_logits(self.hidden(codes, told), told)

    def tell(self, above: CodesAbove, conditions: Conditions) -> PerToken:
        """What is known of every place besides codes of this level."""
        return self.conditioner(above) + self.labels(conditions)[:, None]

    def hidden(self, codes: LevelCodes, told: PerToken) -> PerToken:
        """What the trunk makes of a context."""
        return self.see(self.table(codes), told)

    def see(self, symbols: PerToken, told: PerToken) -> PerToken:
        """The same from rows of the table."""
        count, frames = symbols.shape[1], self.config.frames
        assert count == told.shape[1] == frames, (
            f"{count} codes, told of {told.shape[1]}; expected a whole context, {frames}"
        )
        return self.trunk(symbols + self.positions + told)

    def to_logits(
        self, hidden: Float[Tensor, "*places width"], told: Float[Tensor, "*places width"]
    ) -> Float[Tensor, "*places codes"]:
        """By the rows of the codes once more, after what is told once more; of any places."""
        return functional.linear(hidden + told, self.table.weight[: self.mask]).float()

    @torch.no_grad()
    def begin(self, above: CodesAbove, conditions: Conditions) -> MaskedState:
        """Before a window; the conditioner is run once for all passes.

        A piece that is shorter than a context is told as if its last code above went on.
        """
        frames = self.config.frames // self.config.conditioner.ratio
        held = above[:, -1:].expand(-1, max(0, frames - above.shape[1]))
        told = self.tell(torch.cat([above, held], 1), conditions)
        return MaskedState(told=told, known=above[:, :0])


def initialise(upsampler: MaskedUpsampler, generator: torch.Generator) -> None:
    """Draw all weights as the autoregressive upsampler's (appendix B.2)."""
    config = upsampler.config.transformer
    std = STD * config.init_scale
    initialise_trunk(upsampler.trunk, generator, std, config.residual_scale)
    nn.init.normal_(upsampler.table.weight, std=std, generator=generator)
    nn.init.normal_(upsampler.positions, std=POSITION_STD * config.init_scale, generator=generator)
    initialise_told(upsampler.conditioner, upsampler.labels, config.init_scale, generator)


# ------------------------------------------------------------------ what is learnt


def random_places(shares: Float[Tensor, " batch"], frames: int, draw: torch.Generator) -> Places:
    """True at a random share of each example's places, one at least; on the CPU."""
    counts = (shares * frames).ceil().clamp(1, frames)
    ranks = torch.rand(len(shares), frames, generator=draw).argsort(1).argsort(1)
    return ranks < counts[:, None]


def masked_bits(
    upsampler: MaskedUpsampler,
    codes: LevelCodes,
    above: CodesAbove,
    conditions: Conditions,
    draw: torch.Generator,
) -> Bits:
    """Mean bits of hidden codes, when shares that passes leave are hidden at random places."""
    done = torch.rand(len(codes), generator=draw)
    shares = torch.tensor([left_hidden(one) for one in done.tolist()])
    is_hidden = random_places(shares, codes.shape[1], draw).to(codes.device)
    return hidden_bits(upsampler, codes, is_hidden, is_hidden, upsampler.tell(above, conditions))


def hidden_bits(
    upsampler: MaskedUpsampler,
    codes: LevelCodes,
    is_hidden: Places,
    is_asked: Places,
    told: PerToken,
) -> Bits:
    """Mean bits of the codes asked for, which are among those hidden."""
    hidden = upsampler.hidden(codes.masked_fill(is_hidden, upsampler.mask), told)
    logits = upsampler.to_logits(hidden[is_asked], told[is_asked])
    return functional.cross_entropy(logits, codes[is_asked]) * BITS_PER_NAT


def bits_in_passes(
    upsampler: MaskedUpsampler,
    codes: LevelCodes,
    told: PerToken,
    passes: int,
    draw: torch.Generator,
) -> Bits:
    """Mean bits per code when known music is gone through in passes, at random places.

    The codes of a pass are independent given those before. So this is what the autoregressive
    upsampler's bits per code can be held against; with one pass it is what nothing but the codes
    above tells. Decoding chooses its places by confidence instead, which this does not measure.
    """
    batch, frames = codes.shape
    ranks = torch.rand(batch, frames, generator=draw).argsort(1).argsort(1).to(codes.device)
    total, done = torch.zeros((), device=codes.device), 0
    for count in schedule(frames, passes):
        is_hidden = ranks >= done
        is_asked = is_hidden & (ranks < done + count)
        total = total + count * hidden_bits(upsampler, codes, is_hidden, is_asked, told)
        done += count
    return total / frames
