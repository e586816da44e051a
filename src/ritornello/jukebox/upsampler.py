"""An upsampler: the codes of a level from those of the level above (section 4, appendix B.2).

    codes above (batch, above)
      table, convolution, stages of (dilated residual blocks, transposed convolution), norm
    conditions  (batch, frames, width), frames = ratio * above
      transformer, started by artist and genres
    logits      (batch, frames, codes)

It is told neither the time nor the lyrics: whatever it has to know of them is in the codes above.
"""

from itertools import pairwise

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ritornello.jukebox.code_transformer import (
    LABEL_STD,
    STD,
    CodeLogits,
    CodeModel,
    CodeTransformer,
    LevelCodes,
    TokenState,
)
from ritornello.jukebox.code_transformer import initialise as initialise_transformer
from ritornello.jukebox.conditions import Conditions, LabelTables
from ritornello.jukebox.prior import initialise_tables
from ritornello.jukebox.prior_config import ConditionerConfig, UpsamplerConfig
from ritornello.nn.conv import ResidualConvStack, faster_conv, initialise_convs, same_conv

CodesAbove = Int64[Tensor, "batch above"]


class Conditioner(nn.Module):
    """Codes of the level above as one vector per code of this level: WaveNet-like convolutions.

    Args:
        config: Sizes.
        codes: Of the level above.
        width: Of what comes out.
    """

    def __init__(self, config: ConditionerConfig, codes: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(codes, width)
        widths = [config.width] * len(config.factors) + [width]
        layers: list[nn.Module] = [same_conv(width, config.width)]
        for factor, (dim_in, dim_out) in zip(config.factors, pairwise(widths), strict=True):
            layers.append(ResidualConvStack(dim_in, config.dilations, config.residual_scale))
            layers.append(faster_conv(dim_in, dim_out, factor))
        self.layers = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(width)

    def forward(self, above: CodesAbove) -> Float[Tensor, "batch frames width"]:
        """`ratio` vectors per code."""
        return self.norm(self.layers(self.table(above).transpose(1, 2)).transpose(1, 2))


class Upsampler(CodeModel):
    """Codes from the codes above, artist and genres."""

    def __init__(self, config: UpsamplerConfig) -> None:
        super().__init__()
        width = config.transformer.width
        self.config = config
        self.labels = LabelTables(config.labels, width)
        self.conditioner = Conditioner(config.conditioner, config.codes_above, width)
        self.transformer = CodeTransformer(config.transformer, config.codes)

    def forward(self, codes: LevelCodes, above: CodesAbove, conditions: Conditions) -> CodeLogits:
        """Logits of every code given the earlier ones and all of the codes above.

        Args:
            codes: At most a context of them.
            above: Of the same stretch of music; `ratio` times fewer.
            conditions: Labels; times and lyrics are not looked at.
        """
        told = self.conditioner(above)
        assert told.shape[1] == codes.shape[1], (
            f"{above.shape[1]} codes above are for {told.shape[1]} codes, not {codes.shape[1]}"
        )
        return self.transformer(codes, self.labels(conditions), told)

    @torch.no_grad()
    def begin(self, above: CodesAbove, conditions: Conditions) -> TokenState:
        """Before the first code of a window; the conditioner is run once."""
        told = self.conditioner(above)
        return self.transformer.initial_state(self.labels(conditions), told)


def initialise(upsampler: Upsampler, generator: torch.Generator) -> None:
    """Draw all weights (appendix B.2)."""
    initialise_transformer(upsampler.transformer, generator)
    scale = upsampler.config.transformer.init_scale
    initialise_told(upsampler.conditioner, upsampler.labels, scale, generator)


def initialise_told(
    conditioner: Conditioner, labels: LabelTables, scale: float, generator: torch.Generator
) -> None:
    """Draw the weights of what an upsampler is told with."""
    initialise_convs(conditioner, generator)
    initialise_tables(labels, LABEL_STD * scale, generator)
    nn.init.normal_(conditioner.table.weight, std=STD * scale, generator=generator)
