"""StemGen's network: the token combiner, a bidirectional trunk, one head per level (section 2.1).

    conditions, target -- TokenCombiner --> (batch, frames, D) -- Neighbours --> the same
    trunk: blocks of RMS norm, rotary attention, RMS norm, gated perceptron
    head of the level asked for: logits (batch, frames, codes)

Nothing is causal: every frame sees every frame of the mix and of what is known of the stem.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ritornello.nn.attention import AttentionSize, Steps
from ritornello.nn.rotary import RotaryAttention, SwiGlu
from ritornello.nn.transformer import Block, Trunk
from ritornello.nn.transformer import initialise as initialise_trunk
from ritornello.shapes import Codes
from ritornello.stemgen import combiner
from ritornello.stemgen.combiner import Conditions, TokenCombiner
from ritornello.stemgen.config import StemGenConfig, TransformerConfig

HEAD_STD = 0.02
"""Of the heads' weights: all codes begin about equally likely."""

Logits = Float[Tensor, "*places codes"]


class DroppingMlp(nn.Module):
    """A gated perceptron, parts of whose output are dropped in training."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.mlp = SwiGlu(config.width, config.hidden)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Steps) -> Steps:
        """The same shape."""
        return self.dropout(self.mlp(x))


class Neighbours(nn.Module):
    """Adds to every frame what lies around it, by a convolution over frames.

    Deviation: the paper leaves all gathering to attention. That takes thousands of steps to find
    out which frames are neighbours, and what a mix is doing right now is heard through them.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.conv = nn.Conv1d(
            config.width, config.width, 2 * config.reach + 1, padding=config.reach, bias=False
        )

    def forward(self, x: Steps) -> Steps:
        """The same shape; silence stands beyond the ends."""
        return x + self.conv(x.transpose(1, 2)).transpose(1, 2)


def build_trunk(config: TransformerConfig) -> Trunk:
    """Blocks of the LLaMA kind, bidirectional."""
    size = AttentionSize(width=config.width, inner=config.width, heads=config.heads)
    blocks = [
        Block(
            RotaryAttention(size),
            DroppingMlp(config),
            (nn.RMSNorm(config.width), nn.RMSNorm(config.width)),
        )
        for _ in range(config.layers)
    ]
    return Trunk(blocks, nn.RMSNorm(config.width))


class StemTransformer(nn.Module):
    """Predicts the masked tokens of a stem.

    Args:
        config: The whole model's.
    """

    def __init__(self, config: StemGenConfig) -> None:
        super().__init__()
        self.config = config
        self.mask: int = combiner.mask_id(config)
        self.combiner = TokenCombiner(config)
        self.neighbours = Neighbours(config.transformer) if config.transformer.reach else None
        self.enter = nn.Dropout(config.transformer.dropout)
        self.trunk = build_trunk(config.transformer)
        self.heads = nn.ModuleList(
            nn.Linear(config.transformer.width, config.codec.codebook_size, bias=False)
            for _ in range(config.codec.codebooks)
        )

    def forward(
        self,
        conditions: Conditions,
        target: Codes,
        level: int,
        places: Bool[Tensor, "batch frames"] | None = None,
    ) -> Logits:
        """Logits of the tokens of a level.

        Args:
            conditions: What is told.
            target: Codes of the stem, `mask` where they are to be found.
            level: Whose tokens.
            places: Frames whose logits are wanted, (places, codes); None for all,
                (batch, frames, codes).
        """
        combined = self.combiner(conditions, target)
        if self.neighbours is not None:
            combined = self.neighbours(combined)
        hidden = self.trunk(self.enter(combined))
        if places is not None:
            hidden = hidden[places]
        return self.heads[level](hidden).float()


def initialise(
    network: StemTransformer,
    generator: torch.Generator,
    code_vectors: Float[Tensor, "codebooks codes dim"] | None = None,
) -> None:
    """Draw all weights; see `combiner.initialise` for what the code vectors are for."""
    std = network.config.transformer.width**-0.5  # keeps the variance
    residual_scale = (2 * len(network.trunk.layers)) ** -0.5
    initialise_trunk(network.trunk, generator, std, residual_scale)
    for head in network.heads:
        nn.init.normal_(head.weight, std=HEAD_STD, generator=generator)  # type: ignore[arg-type]
    if network.neighbours is not None:
        inputs = network.neighbours.conv.weight[0].numel()
        nn.init.normal_(network.neighbours.conv.weight, std=inputs**-0.5, generator=generator)
    tables = network.config.transformer.tables
    combiner.initialise(network.combiner, generator, code_vectors if tables == "codec" else None)


def parameters_of(config: StemGenConfig) -> int:
    """How many there are, without making them."""
    with torch.device("meta"):
        return sum(one.numel() for one in StemTransformer(config).parameters())
