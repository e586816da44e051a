"""What a StemGen is made of, how it is trained, how it decodes; needs neither torch nor numpy."""

from dataclasses import dataclass, field

from ritornello.config import require
from ritornello.encodec.config import CodecTrainingConfig, EncodecConfig

GUIDANCE_KINDS = ("product", "joint", "nested")
RANKINGS = ("causal", "gumbel")
TABLES = ("codec", "normal")


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """The trunk: bidirectional, of the LLaMA kind (section 2.1).

    Attributes:
        width: D; half of it for the context, half for the target.
        layers: Blocks.
        heads: Of attention.
        hidden: Inner width of the gated perceptron.
        dropout: Share of what blocks add that is dropped in training.
        reach: Frames to either side that a convolution gathers before the blocks; 0 for no
            convolution, as published.
        tables: How token tables begin: "codec", from the codec's code vectors, or "normal".
    """

    width: int = 256
    layers: int = 6
    heads: int = 4
    hidden: int = 704
    dropout: float = 0.1
    reach: int = 0
    tables: str = "codec"

    def __post_init__(self) -> None:
        """Refuse sizes that do not fit together."""
        for name in ("width", "layers", "heads", "hidden"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        is_whole = self.width % (2 * self.heads) == 0  # rotary positions turn pairs of values
        require(is_whole, "width", self.width, "a multiple of twice the heads")
        require(0 <= self.dropout < 1, "dropout", self.dropout, "0 <= dropout < 1")
        require(self.reach >= 0, "reach", self.reach, "0 or more frames")
        require(self.tables in TABLES, "tables", self.tables, " or ".join(TABLES))


@dataclass(frozen=True, kw_only=True)
class DropoutConfig:
    """Shares of the training examples that are not told a condition (section 2.3).

    The paper drops its conditions independently and does not say how often.

    Attributes:
        context: The mix alone.
        stem: The category alone.
        all: Both.
        activity: Where the stem plays and rests, which is ours.
    """

    context: float = 0.1
    stem: float = 0.1
    all: float = 0.1
    activity: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what are no shares."""
        for name in ("context", "stem", "all", "activity"):
            require(0 <= getattr(self, name) < 1, name, getattr(self, name), "0 <= share < 1")
        total = self.context + self.stem + self.all
        require(total < 1, "context + stem + all", total, "less than 1")


@dataclass(frozen=True, kw_only=True)
class GuidanceConfig:
    """How far conditions are exaggerated (section 2.3); 1 is not at all.

    Attributes:
        kind: "product", independent sources as published; "joint", one strength for all; "nested",
            the context given nothing, then the stem given the context.
        context: Strength of the mix; of all for "joint".
        stem: Strength of the category.
        anneal: Whether it falls to 1 as a level is filled.
    """

    kind: str = "joint"
    context: float = 2.0
    stem: float = 2.0
    anneal: bool = True

    def __post_init__(self) -> None:
        """Refuse kinds that do not exist and negative strengths."""
        require(self.kind in GUIDANCE_KINDS, "guidance.kind", self.kind, ", ".join(GUIDANCE_KINDS))
        for name in ("context", "stem"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "at least 0")


@dataclass(frozen=True, kw_only=True)
class RankingConfig:
    """Which candidates are kept in a step (section 2.4).

    Attributes:
        kind: "causal", the paper's; "gumbel", VampNet's.
        confidence: w_c, of the candidate's probability.
        random: w_r, of uniform noise.
        causal: w_s, of being early. Its effect depends on the steps: 0.1 at 128 steps orders as
            0.3 does at 24.
        gumbel: Temperature of VampNet's noise, falling to 0.
    """

    kind: str = "causal"
    confidence: float = 0.1
    random: float = 1.0
    causal: float = 0.3
    gumbel: float = 8.0

    def __post_init__(self) -> None:
        """Refuse kinds that do not exist and negative weights."""
        require(self.kind in RANKINGS, "ranking.kind", self.kind, " or ".join(RANKINGS))
        for name in ("confidence", "random", "causal", "gumbel"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "at least 0")


@dataclass(frozen=True, kw_only=True)
class DecodingConfig:
    """How a stem is drawn (section 2.4).

    Attributes:
        steps: Of every level, coarsest first.
        temperatures: Spread of the candidates of every level.
        top_p: Nucleus of the candidates.
        guidance: Strength of the conditions.
        ranking: Which candidates are kept.
        overlap_s: What a window knows of the one before, for mixes longer than a window.
    """

    steps: tuple[int, ...] = (24, 12, 6, 6)
    temperatures: tuple[float, ...] = (1.0, 0.9, 0.9, 0.9)
    top_p: float = 0.95
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    ranking: RankingConfig = field(default_factory=RankingConfig)
    overlap_s: float = 2.0

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require(min(self.steps, default=0) >= 1, "steps", self.steps, "1 or more for every level")
        in_range = all(0 < one <= 4 for one in self.temperatures)
        require(in_range, "temperatures", self.temperatures, "0 < temperature <= 4")
        require(0 < self.top_p <= 1, "top_p", self.top_p, "0 < top_p <= 1")
        require(self.overlap_s >= 0, "overlap_s", self.overlap_s, "at least 0")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the codec and the transformer are trained.

    Attributes:
        codec: Of the codec.
        batch: Pairs of a step.
        steps: Of the transformer without a time limit.
        share: Of a chain's time, relative to the codec's.
        learning_rate: Peak.
        warmup_steps: Steps up to it.
        weight_decay: AdamW's.
        ema: Decay of the averaged weights that are kept.
        label_smoothing: Share of the target spread over all codes.
        level_weights: How often a level is drawn, relative to the others.
        dropout: Of conditions.
        segment_s: Stretches that a song is cut into before it is encoded.
        submixes: Contexts that are mixed and encoded for every stretch, once; 0 to mix and encode
            as pairs are drawn, as published, which wants a GPU.
    """

    codec: CodecTrainingConfig = field(default_factory=CodecTrainingConfig)
    batch: int = 8
    steps: int = 6000
    share: float = 3.0
    learning_rate: float = 1e-3
    warmup_steps: int = 300
    weight_decay: float = 0.05
    ema: float = 0.995
    label_smoothing: float = 0.05
    level_weights: tuple[float, ...] = (0.4, 0.3, 0.2, 0.1)
    dropout: DropoutConfig = field(default_factory=DropoutConfig)
    segment_s: float = 16.0
    submixes: int = 6

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require(self.batch >= 1, "batch", self.batch, "at least 1")
        require(self.submixes >= 0, "submixes", self.submixes, "at least 0")
        require(0 <= self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "0 to 1")
        is_fair = min(self.level_weights) >= 0 and sum(self.level_weights) > 0
        require(is_fair, "level_weights", self.level_weights, "0 or more, some above")


@dataclass(frozen=True, kw_only=True)
class StemGenConfig:
    """A whole model.

    Attributes:
        codec: What stems and mixes are told in.
        transformer: What answers.
        stems: Categories that it knows, by row of its table.
        seconds: Length of a window, which is what it is trained on.
        decoding: How stems are drawn when nothing else is asked for.
        training: How it is trained.
    """

    codec: EncodecConfig = field(default_factory=EncodecConfig)
    transformer: TransformerConfig = field(default_factory=TransformerConfig)
    stems: tuple[str, ...] = ()
    seconds: float = 8.0
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        """Refuse parts of different numbers of levels, and windows of no length."""
        levels = self.codec.codebooks
        for name, values in (
            ("decoding.steps", self.decoding.steps),
            ("decoding.temperatures", self.decoding.temperatures),
            ("training.level_weights", self.training.level_weights),
        ):
            require(len(values) == levels, name, values, f"{levels} values, one for each level")
        require(self.frames >= 2, "seconds", self.seconds, "two frames or more")
        fits = self.training.segment_s >= self.seconds
        require(fits, "training.segment_s", self.training.segment_s, f"{self.seconds} s or more")
        overlaps = self.decoding.overlap_s < self.seconds
        require(overlaps, "decoding.overlap_s", self.decoding.overlap_s, "less than a window")

    @property
    def frames(self) -> int:
        """Of a window."""
        return round(self.seconds * self.codec.frame_rate_hz)
