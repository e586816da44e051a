"""The top prior: codes of music from labels, timing and, in two ways, lyrics (section 4).

    Prior          labels start the sequence, timing is told at every code
    EncoderPrior   a transformer of its own reads the lyrics; some layers of the music look at it
    MergedPrior    lyrics and codes in one sequence; some layers look back on the lyrics

All three are asked alike: `forward` for the logits of known codes, and of the lyrics where there
are any; `begin`, `read` and `step` to sample. Codes are (batch, frames), one codebook.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import reduce
from math import log
from typing import cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from ritornello.errors import CapabilityError
from ritornello.jukebox.code_transformer import (
    LABEL_STD,
    CodeLogits,
    CodeModel,
    CodeTransformer,
    LevelCodes,
    Logits,
    Memory,
    PerToken,
    Start,
    TokenState,
)
from ritornello.jukebox.code_transformer import initialise as initialise_transformer
from ritornello.jukebox.conditions import (
    NOTHING,
    Conditions,
    LabelTables,
    LyricTokens,
    RecallTable,
    TimingTables,
)
from ritornello.jukebox.prior_config import LyricsConfig, PriorConfig
from ritornello.nn.attention import CausalAttention, CrossAttention

LyricLogits = Float[Tensor, "batch lyrics symbols"]
Bits = Float[Tensor, ""]

BITS_PER_NAT = 1 / log(2)


# ------------------------------------------------------------------ what is lowered


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """Logits of codes, and of lyrics where the model predicts them too."""

    codes: CodeLogits
    lyrics: LyricLogits | None = None


def bits_per_token(
    logits: Float[Tensor, "batch tokens symbols"], tokens: Int64[Tensor, "batch tokens"]
) -> Bits:
    """Mean negative log likelihood, base 2: log2 of the alphabet for who knows nothing."""
    return functional.cross_entropy(logits.flatten(0, 1), tokens.flatten()) * BITS_PER_NAT


def prior_losses(
    predicted: Predicted, codes: LevelCodes, conditions: Conditions, lyric_weight: float
) -> dict[str, Bits]:
    """Bits per code, bits per lyric token, and their mean by number with lyrics weighed less.

    Returns:
        "loss" to lower, "bits" and, where lyrics are predicted, "lyric_bits".
    """
    bits = bits_per_token(predicted.codes, codes)
    if predicted.lyrics is None or conditions.lyrics is None:
        return {"loss": bits, "bits": bits}
    lyric_bits = bits_per_token(predicted.lyrics, conditions.lyrics)
    frames, lyrics = codes.shape[1], conditions.lyrics.shape[1]
    loss = (lyric_weight * lyrics * lyric_bits + frames * bits) / (frames + lyrics)
    return {"loss": loss, "bits": bits, "lyric_bits": lyric_bits}


# ------------------------------------------------------------------ what all have in common


class TopPrior(CodeModel, ABC):
    """A prior of the topmost codes: abstract; `build_prior` makes the one that is configured."""

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        width = config.transformer.width
        self.config = config
        self.labels = LabelTables(config.labels, width)
        self.timing = (
            None
            if config.timing is None
            else TimingTables(config.timing, width, config.frame_rate_hz)
        )
        self.recall = None if config.recall is None else RecallTable(config.codes, width)

    @abstractmethod
    def forward(self, codes: LevelCodes, conditions: Conditions) -> Predicted:
        """Logits of every code given the earlier ones, and all that is known of the music."""

    @abstractmethod
    def begin(self, conditions: Conditions) -> TokenState:
        """Before the first code of a window; whatever can be computed once per window is."""

    @abstractmethod
    def lyric_weights(
        self, codes: LevelCodes, conditions: Conditions, layer: int
    ) -> Float[Tensor, "batch heads frames lyrics"]:
        """How much every code's step takes from each lyric token in that layer.

        The released models' alignments are head 2 of layer 68 (5B) and head 0 of layer 63 (1B).
        """

    def per_frame(self, conditions: Conditions, frames: int) -> PerToken | None:
        """What timing, recall and labels that are held say at every code."""
        told: list[PerToken] = []
        if self.timing is not None:
            told.append(self.timing(conditions, frames))
        if self.recall is not None:
            recalled = conditions.recalled
            if recalled is None:
                batch = len(conditions.artist)
                recalled = conditions.artist.new_full((batch, frames), NOTHING)
            told.append(self.recall(recalled))
        if self.config.labels.held:
            told.append(self.labels(conditions)[:, None].expand(-1, frames, -1))
        return reduce(torch.add, told) if told else None


def told_lyrics(conditions: Conditions) -> LyricTokens:
    """The lyrics, which a model with lyrics needs."""
    assert conditions.lyrics is not None, "this prior sings: its conditions need lyrics"
    return conditions.lyrics


# ------------------------------------------------------------------ without lyrics


class Prior(TopPrior):
    """Codes from labels and timing."""

    def __init__(self, config: PriorConfig) -> None:
        super().__init__(config)
        self.transformer = CodeTransformer(config.transformer, config.codes)

    def forward(self, codes: LevelCodes, conditions: Conditions) -> Predicted:
        """Logits of every code."""
        told = self.per_frame(conditions, codes.shape[1])
        return Predicted(codes=self.transformer(codes, self.labels(conditions), told))

    @torch.no_grad()
    def begin(self, conditions: Conditions) -> TokenState:
        """Before the first code."""
        told = self.per_frame(conditions, self.config.frames)
        return self.transformer.initial_state(self.labels(conditions), told)

    def lyric_weights(
        self, codes: LevelCodes, conditions: Conditions, layer: int
    ) -> Float[Tensor, "batch heads frames lyrics"]:
        """There are none."""
        raise CapabilityError(
            "this prior was made without lyrics, so nothing aligns with them. "
            "Load a model that sings."
        )


# ------------------------------------------------------------------ a lyric encoder


class LyricEncoder(nn.Module):
    """A causal transformer over the lyrics, which it also learns to predict (section 4.2).

    Args:
        config: Of the lyrics; with an encoder.
        width: Of what the music looks at.
    """

    def __init__(self, config: LyricsConfig, width: int) -> None:
        super().__init__()
        assert config.encoder is not None, "merged lyrics have no encoder"
        self.transformer = CodeTransformer(config.encoder, config.symbols)
        self.start = nn.Parameter(torch.empty(config.encoder.width))
        self.project = nn.Linear(config.encoder.width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, lyrics: LyricTokens) -> tuple[Memory, LyricLogits]:
        """What the music looks at, one vector per token, and the tokens' own logits."""
        start = self.start.expand(len(lyrics), -1)
        hidden = self.transformer.trunk(self.transformer.enter(lyrics, start, None))
        return self.norm(self.project(hidden)), self.transformer.to_logits(hidden, None)


class EncoderPrior(TopPrior):
    """Codes from labels, timing, and the lyric encoder's output."""

    def __init__(self, config: PriorConfig) -> None:
        super().__init__(config)
        assert config.lyrics is not None, "an EncoderPrior is configured with lyrics"
        width = config.transformer.width
        self.lyric_encoder = LyricEncoder(config.lyrics, width)
        self.transformer = CodeTransformer(config.transformer, config.codes, memory_width=width)

    def forward(self, codes: LevelCodes, conditions: Conditions) -> Predicted:
        """Logits of every code and every lyric token."""
        memory, lyric_logits = self.lyric_encoder(told_lyrics(conditions))
        told = self.per_frame(conditions, codes.shape[1])
        logits = self.transformer(codes, self.labels(conditions), told, memory)
        return Predicted(codes=logits, lyrics=lyric_logits)

    @torch.no_grad()
    def begin(self, conditions: Conditions) -> TokenState:
        """Before the first code; the lyrics are read once."""
        memory, _ = self.lyric_encoder(told_lyrics(conditions))
        told = self.per_frame(conditions, self.config.frames)
        return self.transformer.initial_state(self.labels(conditions), told, memory)

    def lyric_weights(
        self, codes: LevelCodes, conditions: Conditions, layer: int
    ) -> Float[Tensor, "batch heads frames lyrics"]:
        """Rows add up to 1; of a layer that looks at the encoder."""
        memory, _ = self.lyric_encoder(told_lyrics(conditions))
        told, start = self.per_frame(conditions, codes.shape[1]), self.labels(conditions)
        x = self.transformer.hidden(codes, start, told, memory, layer=layer)
        block = self.transformer.trunk.blocks[layer]
        attention = cast(CrossAttention, block.attention)
        return attention.weights(block.norm_attention(x), memory)


# ------------------------------------------------------------------ one merged sequence


@dataclass(frozen=True, kw_only=True)
class Guided:
    """What a prior predicts, and where one head looked meanwhile: (batch, frames, lyrics)."""

    predicted: Predicted
    weights: Float[Tensor, "batch frames lyrics"]


class MergedPrior(TopPrior):
    """Lyrics, then codes, in one alphabet: letters first.

    Deviation: letters compete with letters only, and codes with codes. The released model has one
    softmax over both, though the place alone says which of them comes next.
    """

    def __init__(self, config: PriorConfig) -> None:
        super().__init__(config)
        assert config.lyrics is not None, "a MergedPrior is configured with lyrics"
        self.first_code = config.lyrics.symbols
        self.transformer = CodeTransformer(
            config.transformer, self.first_code + config.codes, lyrics_seen=config.lyrics_seen
        )

    def forward(self, codes: LevelCodes, conditions: Conditions) -> Predicted:
        """Logits of every code and every lyric token."""
        logits = self.transformer(*self.sequence(codes, conditions))
        return self.parted(logits, told_lyrics(conditions).shape[1])

    def parted(self, logits: Logits, lyrics: int) -> Predicted:
        """The lyrics' logits and the codes', each in its own alphabet."""
        return Predicted(
            codes=logits[:, lyrics:, self.first_code :],
            lyrics=logits[:, :lyrics, : self.first_code],
        )

    def guided(self, codes: LevelCodes, conditions: Conditions, layer: int, head: int) -> Guided:
        """As `forward`, and how much each code's step takes from each letter by that head."""
        lyrics = told_lyrics(conditions).shape[1]
        tokens, start, told = self.sequence(codes, conditions)
        x = self.transformer.hidden(tokens, start, told, layer=layer)
        weights = self._weights_at(x, layer)[:, head, lyrics:, :lyrics]
        logits = self.transformer.to_logits(self.transformer.trunk.go_on(layer, x), told)
        return Guided(predicted=self.parted(logits, lyrics), weights=weights)

    def _weights_at(self, x: PerToken, layer: int) -> Float[Tensor, "batch heads steps seen"]:
        block = self.transformer.trunk.blocks[layer]
        return cast(CausalAttention, block.attention).weights(block.norm_attention(x))

    def sequence(
        self, codes: LevelCodes, conditions: Conditions
    ) -> tuple[Int64[Tensor, "batch tokens"], Start, PerToken | None]:
        """One sequence of both, what starts it, and what is told at each token."""
        tokens = torch.cat([told_lyrics(conditions), codes + self.first_code], dim=1)
        return tokens, self.labels(conditions), self.per_token(conditions, codes.shape[1])

    def per_token(self, conditions: Conditions, frames: int) -> PerToken | None:
        """Zeros for lyrics, which have no time, then what timing says."""
        told = self.per_frame(conditions, frames)
        if told is None:
            return None
        return functional.pad(told, (0, 0, told_lyrics(conditions).shape[1], 0))

    @torch.no_grad()
    def begin(self, conditions: Conditions) -> TokenState:
        """Before the first code, after the lyrics."""
        told = self.per_token(conditions, self.config.frames)
        state = self.transformer.initial_state(self.labels(conditions), told)
        self.transformer.read(told_lyrics(conditions), state)
        return state

    def lyric_weights(
        self, codes: LevelCodes, conditions: Conditions, layer: int
    ) -> Float[Tensor, "batch heads frames lyrics"]:
        """Rows add up to 1 with what goes to codes; of a layer that looks back on the lyrics."""
        lyrics = told_lyrics(conditions).shape[1]
        tokens, start, told = self.sequence(codes, conditions)
        x = self.transformer.hidden(tokens, start, told, layer=layer)
        return self._weights_at(x, layer)[:, :, lyrics:, :lyrics]


# ------------------------------------------------------------------ building


def build_prior(config: PriorConfig) -> TopPrior:
    """The prior that a configuration describes."""
    if config.lyrics is None:
        return Prior(config)
    return MergedPrior(config) if config.lyrics.encoder is None else EncoderPrior(config)


def initialise(prior: TopPrior, generator: torch.Generator) -> None:
    """Draw all weights (appendix B.2)."""
    for part in prior.modules():
        if isinstance(part, CodeTransformer):
            initialise_transformer(part, generator)
    scale = prior.config.transformer.init_scale
    initialise_tables(prior, LABEL_STD * scale, generator)
    if isinstance(prior, EncoderPrior):
        encoder = prior.lyric_encoder
        std = LABEL_STD * encoder.transformer.config.init_scale
        nn.init.normal_(encoder.start, std=std, generator=generator)
        nn.init.normal_(
            encoder.project.weight, std=encoder.project.in_features**-0.5, generator=generator
        )
        nn.init.zeros_(encoder.project.bias)


def initialise_tables(module: nn.Module, std: float, generator: torch.Generator) -> None:
    """Draw the tables of labels, times and recalled codes."""
    for part in module.modules():
        if isinstance(part, LabelTables | TimingTables | RecallTable):
            for table in part.parameters():
                nn.init.normal_(table, std=std, generator=generator)
