"""What the priors and upsamplers are made of, in numbers; needs neither torch nor numpy.

    TransformerConfig   widths, and which way every layer looks in the table of the context
    LabelsConfig        tables of artists and genres
    TimingConfig        bins of total length, elapsed time and fraction
    LyricsConfig        the lyrics' alphabet and window, and their encoder if they have one
    RecallConfig        how sections return
    PriorConfig         the top level
    ConditionerConfig   the convolutions that bring the level above to this level's rate
    UpsamplerConfig     the levels below
    MaskedConfig        the levels below, all codes of a window at once

Orders of layers, from which configurations are made:

    plain_order         row, column, previous_row, and again
    masked_order        row, column, and again
    encoder_order       plain, with looks at the lyric encoder
    merged_order        plain, with looks at the lyrics that stand before the music
"""

from dataclasses import dataclass
from math import log2, prod

from ritornello.config import require

PLAIN = ("row", "column", "previous_row")
MASKED = ("row", "column")
PATTERNS = (*PLAIN, "summary", "dense", "lyrics", "encoder")


# ------------------------------------------------------------------ orders of layers


def plain_order(depth: int) -> tuple[str, ...]:
    """Row, column and previous row in turn: what all published models are made of."""
    return tuple(PLAIN[layer % len(PLAIN)] for layer in range(depth))


def masked_order(depth: int) -> tuple[str, ...]:
    """Row and column in turn: two layers that look both ways see the whole table."""
    return tuple(MASKED[layer % len(MASKED)] for layer in range(depth))


def encoder_order(plain: int, first: int = 18, every: int = 9) -> tuple[str, ...]:
    """`plain` plain layers; an "encoder" layer after `first`, and after every `every` from there.

    The published model has 72 plain layers and looks at its encoder seven times (section 4.2).
    """
    order: list[str] = []
    for number, name in enumerate(plain_order(plain), start=1):
        order.append(name)
        if number >= first and (number - first) % every == 0:
            order.append("encoder")
    return tuple(order)


def merged_order(depth: int, every: int = 16) -> tuple[str, ...]:
    """A plain order in which every `every`-th layer looks at the lyrics, the third one at all.

    The released 1B model has 72 layers.
    """
    order = list(plain_order(depth))
    for number, layer in enumerate(range(every - 1, depth, every), start=1):
        order[layer] = "dense" if number == 3 else "lyrics"
    return tuple(order)


# ------------------------------------------------------------------ parts


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """One autoregressive transformer over tokens.

    Attributes:
        width: Of the residual stream.
        heads: That share the attention's inner width.
        layers: Name of every layer's pattern (`PATTERNS`), in order.
        blocks: Rows of the table that the context is written into.
        block_length: Its columns.
        attention_ratio: Width inside the attention, relative to `width`.
        mlp_ratio: Width inside the perceptron, relative to `width`.
        init_scale: Of all weights as they are drawn.
        residual_scale: Of those that add to the residual stream, besides; 0 makes every layer begin
            as nothing. Layers that look at an encoder always begin so.
        is_tied: Whether the output layer is the token table again, and the conditions are added
            once more before it. The published 5B models do neither.
        final_norm: Whether a norm stands before the output layer. Deviation: the published models
            have none; pre-norm trunks of other systems do, and the small ones here have one.
    """

    width: int
    heads: int
    layers: tuple[str, ...]
    blocks: int
    block_length: int
    attention_ratio: float = 0.25
    mlp_ratio: float = 1.0
    init_scale: float = 1.0
    residual_scale: float = 1.0
    is_tied: bool = True
    final_norm: bool = False

    def __post_init__(self) -> None:
        """Refuse unknown patterns and sizes that do not divide."""
        for name in ("width", "heads", "blocks", "block_length"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        require(bool(self.layers), "layers", self.layers, "at least one")
        for layer in self.layers:
            require(layer in PATTERNS, "layers", layer, f"one of {PATTERNS}")
        for name in ("inner", "mlp_hidden"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        fits = self.inner % self.heads == 0
        require(fits, "attention_ratio * width", self.inner, f"a multiple of {self.heads} heads")
        require(self.init_scale > 0, "init_scale", self.init_scale, "a positive number")
        require(self.residual_scale >= 0, "residual_scale", self.residual_scale, "at least 0")

    @property
    def context(self) -> int:
        """Tokens that are modelled together."""
        return self.blocks * self.block_length

    @property
    def inner(self) -> int:
        """Width of queries, keys and values, all heads together."""
        return int(self.width * self.attention_ratio)

    @property
    def mlp_hidden(self) -> int:
        """Width inside the perceptron."""
        return int(self.width * self.mlp_ratio)


@dataclass(frozen=True, kw_only=True)
class LabelsConfig:
    """Rows of the label tables; row 0 of each is "unknown".

    Attributes:
        artists: Rows of the artists' table.
        genres: Rows of the table of genre words.
        genre_slots: Genre words that one song may have.
        dropout: Share of training examples whose labels are taken away, so that sampling can be
            guided. Deviation: the released models were trained without.
        held: Whether a prior is told them at every code. Deviation: the released models are told
            once, at the start, which factorised attention forgets for long before it learns not to.
            Upsamplers are told once whatever this says.
    """

    artists: int = 4111
    genres: int = 120
    genre_slots: int = 5
    dropout: float = 0.0
    held: bool = False

    def __post_init__(self) -> None:
        """Refuse empty tables."""
        for name in ("artists", "genres", "genre_slots"):
            require(getattr(self, name) >= 1, f"labels.{name}", getattr(self, name), "at least 1")
        require(0 <= self.dropout < 1, "labels.dropout", self.dropout, "0 <= dropout < 1")


@dataclass(frozen=True, kw_only=True)
class TimingConfig:
    """How time is told to the top prior: three binned numbers.

    Attributes:
        bins: Of each number.
        shortest_s: Length of the shortest song; shorter ones count as that.
        longest_s: Length of the longest; later times count as that.
    """

    bins: int = 128
    shortest_s: float = 60.0
    longest_s: float = 600.0

    def __post_init__(self) -> None:
        """Refuse empty ranges."""
        require(self.bins >= 1, "timing.bins", self.bins, "at least 1")
        rises = 0 <= self.shortest_s < self.longest_s
        got = (self.shortest_s, self.longest_s)
        require(rises, "timing.shortest_s, longest_s", got, "0 <= shortest_s < longest_s")


@dataclass(frozen=True, kw_only=True)
class GuidedConfig:
    """One head that is shown in training what is being sung; see `guided_attention`.

    Attributes:
        layer: One that sees the lyrics. Late enough to hear what earlier ones looked at.
        head: Of that layer.
        weight: Of the term, relative to the bits per code.
        slack: Tokens to either side of the sung one that count as well.
    """

    layer: int
    head: int = 0
    weight: float = 0.1
    slack: int = 2

    def __post_init__(self) -> None:
        """Refuse places that do not exist."""
        require(self.layer >= 0, "guided.layer", self.layer, "at least 0")
        require(self.head >= 0, "guided.head", self.head, "at least 0")
        require(self.weight > 0, "guided.weight", self.weight, "more than 0")
        require(self.slack >= 0, "guided.slack", self.slack, "at least 0")


@dataclass(frozen=True, kw_only=True)
class LyricsConfig:
    """The words that a prior sings.

    Attributes:
        symbols: Size of the alphabet; 0 is padding, and what is unknown.
        tokens: Of the window of lyrics that one context of music gets.
        encoder: A transformer of its own that music layers look at; None for lyrics that stand
            before the music in one merged sequence.
        loss_weight: Of predicting the lyrics themselves, relative to the music.
        guided: A head that is shown what is being sung, for merged sequences; None as published.
    """

    symbols: int = 80
    tokens: int = 512
    encoder: TransformerConfig | None = None
    loss_weight: float = 0.4
    guided: GuidedConfig | None = None

    def __post_init__(self) -> None:
        """Refuse windows that do not fit."""
        merged = self.guided is None or self.encoder is None
        require(merged, "lyrics.guided", self.guided, "none beside an encoder")
        require(self.symbols >= 2, "lyrics.symbols", self.symbols, "at least 2")
        require(self.tokens >= 1, "lyrics.tokens", self.tokens, "at least 1")
        require(self.loss_weight >= 0, "lyrics.loss_weight", self.loss_weight, "at least 0")
        if self.encoder is not None:
            context = self.encoder.context
            require(self.tokens == context, "lyrics.tokens", self.tokens, f"{context}, all")
            looks_back = {"encoder", "lyrics"}.isdisjoint(self.encoder.layers)
            require(looks_back, "lyrics.encoder.layers", self.encoder.layers, f"some of {PLAIN}")


@dataclass(frozen=True, kw_only=True)
class RecallConfig:
    """How a prior is reminded of a section that returns; ours.

    In training it is told its own codes, spoilt: so it learns to follow what it is told where it
    can, and to fill in the rest. When sampling it is told the last section with the same letter.

    Attributes:
        dropout: Share of training excerpts that are told nothing.
        lost: Largest share of an excerpt's codes that are not told, in stretches.
        wrong: Largest share of the others that are told wrongly.
        stretch: Frames of such a stretch, on average.
    """

    dropout: float = 0.6
    lost: float = 0.8
    wrong: float = 0.3
    stretch: int = 32

    def __post_init__(self) -> None:
        """Refuse what are no shares."""
        for name in ("dropout", "lost", "wrong"):
            share = getattr(self, name)
            require(0 <= share < 1, f"recall.{name}", share, "0 <= share < 1")
        require(self.stretch >= 1, "recall.stretch", self.stretch, "at least 1")


@dataclass(frozen=True, kw_only=True)
class ConditionerConfig:
    """Convolutions over the codes above, and transposed ones to this level's rate (appendix B.2).

    Attributes:
        width: Channels inside.
        factors: By how much every stage raises the rate; powers of two.
        depth: Residual blocks before each of them.
        growth: Of the dilations, 1, growth, growth^2, ...
        cycle: Dilations after which they begin anew.
        residual_scale: Factor of what every residual block adds.
    """

    width: int = 1024
    factors: tuple[int, ...] = (2, 2)
    depth: int = 16
    growth: int = 3
    cycle: int = 8
    residual_scale: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        for name in ("width", "depth", "growth", "cycle"):
            require(
                getattr(self, name) >= 1, f"conditioner.{name}", getattr(self, name), "at least 1"
            )
        doubles = all(factor >= 2 and log2(factor).is_integer() for factor in self.factors)
        known = bool(self.factors) and doubles
        require(known, "conditioner.factors", self.factors, "powers of two from 2 up")

    @property
    def ratio(self) -> int:
        """Codes of this level per code above."""
        return prod(self.factors)

    @property
    def dilations(self) -> tuple[int, ...]:
        """Of one stage's blocks."""
        return tuple(self.growth ** (block % self.cycle) for block in range(self.depth))


# ------------------------------------------------------------------ whole models


@dataclass(frozen=True, kw_only=True)
class PriorConfig:
    """The top level: codes from labels, timing and lyrics.

    Attributes:
        codes: Size of the codebook.
        frame_rate_hz: Codes per second.
        transformer: The network; its context holds the lyrics too if they are merged.
        labels: Artists and genres.
        timing: Where in the song a window lies; None for a model that is not told.
        lyrics: None for a model that is not told any.
        recall: None for a model in which no section returns, as in the paper.
    """

    transformer: TransformerConfig
    codes: int = 2048
    frame_rate_hz: float = 44_100 / 128
    labels: LabelsConfig = LabelsConfig()
    timing: TimingConfig | None = TimingConfig()
    lyrics: LyricsConfig | None = None
    recall: RecallConfig | None = None

    def __post_init__(self) -> None:
        """Refuse layers that would look at lyrics that are not there."""
        require(self.codes >= 2, "codes", self.codes, "at least 2")
        require(self.frame_rate_hz > 0, "frame_rate_hz", self.frame_rate_hz, "a positive number")
        layers = self.transformer.layers
        has_encoder = self.lyrics is not None and self.lyrics.encoder is not None
        is_merged = self.lyrics is not None and self.lyrics.encoder is None
        for name, wanted in (("encoder", has_encoder), ("lyrics", is_merged)):
            told = "some" if wanted else "none, or other lyrics"
            require((name in layers) == wanted, f"layers that look at {name!r}", layers, told)
        require(self.frames >= 1, "lyrics.tokens", self.lyrics_before, "fewer than the context")
        if self.lyrics is not None and self.lyrics.guided is not None:
            self._refuse_misplaced(self.lyrics.guided)

    def _refuse_misplaced(self, guided: GuidedConfig) -> None:
        layers, heads = self.transformer.layers, self.transformer.heads
        seeing = [index for index, name in enumerate(layers) if name in ("lyrics", "dense")]
        require(guided.layer in seeing, "lyrics.guided.layer", guided.layer, f"one of {seeing}")
        require(guided.head < heads, "lyrics.guided.head", guided.head, f"less than {heads}")

    @property
    def lyrics_before(self) -> int:
        """Lyric tokens that stand before the music in one sequence."""
        merged = self.lyrics is not None and self.lyrics.encoder is None
        return self.lyrics.tokens if self.lyrics is not None and merged else 0

    @property
    def frames(self) -> int:
        """Codes of music in a context."""
        return self.transformer.context - self.lyrics_before

    @property
    def context_s(self) -> float:
        """Seconds of music in a context."""
        return self.frames / self.frame_rate_hz

    @property
    def lyrics_seen(self) -> int:
        """Tokens from the first that "lyrics" layers see: the next multiple of `blocks` above all.

        So they see the first codes of the music too, as in the released model.
        """
        blocks = self.transformer.blocks
        return (self.lyrics_before // blocks + 1) * blocks


@dataclass(frozen=True, kw_only=True)
class UpsamplerConfig:
    """A level below: codes from the codes above, and labels. Neither timing nor lyrics.

    Attributes:
        codes: Size of this level's codebook.
        codes_above: Size of the one above.
        transformer: The network.
        conditioner: What is made of the codes above.
        labels: Artists and genres.
    """

    transformer: TransformerConfig
    codes: int = 2048
    codes_above: int = 2048
    conditioner: ConditionerConfig = ConditionerConfig()
    labels: LabelsConfig = LabelsConfig()

    def __post_init__(self) -> None:
        """Refuse contexts that are no whole number of codes above, and layers for lyrics."""
        _refuse_misfits(self)
        plain = {"encoder", "lyrics"}.isdisjoint(self.transformer.layers)
        require(plain, "layers", self.transformer.layers, "none that look at lyrics")

    @property
    def frames(self) -> int:
        """Codes in a context."""
        return self.transformer.context


@dataclass(frozen=True, kw_only=True)
class MaskedConfig:
    """A level below whose codes are drawn all at once and refined, not one after the other; ours.

    Attributes:
        transformer: The network, whose layers look both ways: rows and columns, or "dense".
        codes: Size of this level's codebook.
        codes_above: Size of the one above.
        conditioner: What is made of the codes above.
        labels: Artists and genres.
    """

    transformer: TransformerConfig
    codes: int = 2048
    codes_above: int = 2048
    conditioner: ConditionerConfig = ConditionerConfig()
    labels: LabelsConfig = LabelsConfig()

    def __post_init__(self) -> None:
        """Refuse layers that do not see the whole window between them."""
        _refuse_misfits(self)
        layers = set(self.transformer.layers)
        sees_all = layers >= set(MASKED) or "dense" in layers
        fits = layers <= {*MASKED, "dense"} and sees_all
        require(fits, "layers", self.transformer.layers, f"both of {MASKED}, or 'dense'")
        require(self.transformer.is_tied, "is_tied", self.transformer.is_tied, "True")

    @property
    def frames(self) -> int:
        """Codes in a window."""
        return self.transformer.context


def _refuse_misfits(config: UpsamplerConfig | MaskedConfig) -> None:
    """Refuse contexts that are no whole number of codes above, and codebooks of nothing."""
    for name in ("codes", "codes_above"):
        require(getattr(config, name) >= 2, name, getattr(config, name), "at least 2")
    context, ratio = config.transformer.context, config.conditioner.ratio
    require(context % ratio == 0, "context", context, f"a multiple of the ratio, {ratio}")
