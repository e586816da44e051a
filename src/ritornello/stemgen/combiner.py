"""The token combiner: two streams of codec tokens become one vector per frame (section 2.1).

    context codes (batch, levels, frames) -- tables, summed over levels --> D/2   + stem
    target codes  (batch, levels, frames) -- the same tables ------------> D/2   + stem + activity
    side by side                                                          --> D

No separator and no cross-attention: the mix and the stem are aligned frame by frame, so that being
in time is a matter of one frame.

Ids that the codec has not: `mask_id` for what is to be found, UNHEARD for a context that is not
told; every level's table has rows for both.

Deviation: where the stem plays and rests may be told besides, frame by frame.
"""

from dataclasses import dataclass, replace
from typing import cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ritornello.shapes import Codes
from ritornello.stemgen.config import StemGenConfig

REST, PLAY, FREE = 0, 1, 2
"""Activity of a frame: silent, sounding, or whatever the model likes."""

UNHEARD, NO_STEM = -1, -1
"""In the place of every token of a context, and of a category, that are not told."""

Frames = Float[Tensor, "batch frames width"]


def mask_id(config: StemGenConfig) -> int:
    """Stands for a target token that is to be found."""
    return config.codec.codebook_size


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What is told of a stem.

    Attributes:
        context: Codes of the mix, aligned with the stem; UNHEARD everywhere for no mix.
        category: Row of the stem's name; NO_STEM for none.
        activity: REST, PLAY or FREE at every frame.
    """

    context: Codes
    category: Int64[Tensor, " batch"]
    activity: Int64[Tensor, "batch frames"]

    def without_context(self) -> "Conditions":
        """Without the mix."""
        return replace(self, context=torch.full_like(self.context, UNHEARD))

    def without_stem(self) -> "Conditions":
        """Without the category."""
        return replace(self, category=torch.full_like(self.category, NO_STEM))

    def without_all(self) -> "Conditions":
        """Without both; where it plays is still told."""
        return self.without_context().without_stem()

    def without_activity(self) -> "Conditions":
        """Free to play and rest."""
        return replace(self, activity=torch.full_like(self.activity, FREE))

    def __getitem__(self, rows: slice | Int64[Tensor, " _rows"]) -> "Conditions":
        """Some of the examples."""
        return Conditions(
            context=self.context[rows],
            category=self.category[rows],
            activity=self.activity[rows],
        )

    @staticmethod
    def cat(parts: "list[Conditions]") -> "Conditions":
        """All examples of several, one after the other."""
        return Conditions(
            context=torch.cat([part.context for part in parts]),
            category=torch.cat([part.category for part in parts]),
            activity=torch.cat([part.activity for part in parts]),
        )


class TokenCombiner(nn.Module):
    """Both streams and what is told, as one sequence."""

    def __init__(self, config: StemGenConfig) -> None:
        super().__init__()
        half = config.transformer.width // 2
        rows = config.codec.codebook_size + 2  # the last two: masked, unheard
        self.tables = nn.ModuleList(nn.Embedding(rows, half) for _ in range(config.codec.codebooks))
        self.stems = nn.Embedding(len(config.stems) + 1, half)
        self.activity = nn.Embedding(3, half)

    def embedded(self, codes: Codes) -> Frames:
        """One vector per frame: the sum over levels."""
        rows = codes.where(codes != UNHEARD, cast(nn.Embedding, self.tables[0]).num_embeddings - 1)
        levels = [
            cast(nn.Embedding, table)(rows[:, level]) for level, table in enumerate(self.tables)
        ]
        return torch.stack(levels).sum(0)

    def forward(self, conditions: Conditions, target: Codes) -> Frames:
        """(batch, frames, D) of context and target side by side."""
        category = conditions.category
        stem = self.stems(category.where(category != NO_STEM, self.stems.num_embeddings - 1))
        stem = stem[:, None]
        context = self.embedded(conditions.context) + stem
        own = self.embedded(target) + stem + self.activity(conditions.activity)
        return torch.cat([context, own], dim=-1)


@torch.no_grad()
def initialise(
    combiner: TokenCombiner,
    generator: torch.Generator,
    code_vectors: Float[Tensor, "codebooks codes dim"] | None,
) -> None:
    """Draw all tables; tokens from N(0, 1 / levels), or from the codec's own code vectors.

    Deviation: tables may begin as one random projection of the vectors that the codec's decoder
    adds up, scaled alike, so that codes that sound alike begin alike. The paper's are learnt from
    noise, on more music than a laptop hears.
    """
    std = len(combiner.tables) ** -0.5
    for table in combiner.tables:
        nn.init.normal_(cast(nn.Embedding, table).weight, std=std, generator=generator)
    for table in (combiner.stems, combiner.activity):
        nn.init.normal_(table.weight, std=std, generator=generator)
    if code_vectors is None:
        return
    codes, dim = code_vectors.shape[1:]
    half = cast(nn.Embedding, combiner.tables[0]).embedding_dim
    projection = torch.randn(dim, half, generator=generator) * dim**-0.5
    spread = code_vectors.sub(code_vectors.mean(1, keepdim=True)).square().mean().sqrt()
    for level, table in enumerate(combiner.tables):
        centred = code_vectors[level] - code_vectors[level].mean(0)
        own = (centred / spread.clamp(min=1e-8)) @ projection * std
        cast(nn.Embedding, table).weight[:codes] = (
            0.7 * own + 0.3 * cast(nn.Embedding, table).weight[:codes]
        )
