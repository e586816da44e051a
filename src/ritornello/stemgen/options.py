"""What only a StemGen can be asked for: edits, loops, a click, where to play, how to decode."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ritornello.config import require
from ritornello.errors import ConfigError
from ritornello.interfaces import Audio, Request
from ritornello.stemgen.config import GUIDANCE_KINDS, RANKINGS, DecodingConfig

PRECISIONS = ("fp32", "bf16")
MAX_BPM = 400.0


@dataclass(frozen=True, kw_only=True)
class StemGenOptions:
    """Beyond the request.

    Attributes:
        stem_in: A stem to edit; all of it that is not asked to change stays, token for token.
        edit: First and last second of what is made anew; None for everywhere.
        variation: Share of the frames there that are made anew, 0 to 1; None for all.
        keep_onsets: Keep what is around the stem's attacks.
        every: Keep every so manieth frame of it.
        loop: Make a stem whose end leads into its beginning, for a mix that is a loop.
        bpm: Add a click of this tempo to what is heard; from the beginning, which is a bar's.
        beats_per_bar: Of the click.
        activity: (second, 0 rest or 1 play) in order; each holds until the next. Before the first,
            and without any, the model decides.
        candidates: Stems to make; the one that follows the mix best is given.
        steps: Of every level; one number is that of the first, others in proportion.
        guidance_kind: "joint", "product" or "nested".
        stem_guidance: Weight of the stem, where the request's guidance is that of the mix.
        ranking: "causal" or "gumbel".
        precision: What the network is computed in, "fp32" or "bf16".
        retries: How often a silent or clipped window is made anew with half the guidance.
    """

    stem_in: Audio | None = None
    edit: Sequence[float] | None = None
    variation: float | None = None
    keep_onsets: bool = False
    every: int | None = None
    loop: bool = False
    bpm: float | None = None
    beats_per_bar: int = 4
    activity: Sequence[Sequence[float]] = ()
    candidates: int = 1
    steps: Sequence[int] | None = None
    guidance_kind: str | None = None
    stem_guidance: float | None = None
    ranking: str | None = None
    precision: str = "fp32"
    retries: int = 2

    def __post_init__(self) -> None:
        """Refuse values outside their ranges, and edits of nothing."""
        for name in ("edit", "steps"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else tuple(value))
        points = tuple((float(at), int(value)) for at, value in self.activity)
        object.__setattr__(self, "activity", points)
        self._check_edit()
        self._check_activity()
        bpm, share = self.bpm, self.variation
        require(bpm is None or 0 < bpm <= MAX_BPM, "bpm", bpm, f"0 < bpm <= {MAX_BPM:g}")
        require(1 <= self.beats_per_bar <= 32, "beats_per_bar", self.beats_per_bar, "1 to 32")
        require(share is None or 0 <= share <= 1, "variation", share, "0 (as it is) to 1 (all new)")
        require(self.candidates >= 1, "candidates", self.candidates, "at least 1")
        require(self.retries >= 0, "retries", self.retries, "0 or more")
        require(self.precision in PRECISIONS, "precision", self.precision, " or ".join(PRECISIONS))
        if self.steps is not None:
            require(min(self.steps, default=0) >= 1, "steps", self.steps, "1 or more")
        for name, known in (("guidance_kind", GUIDANCE_KINDS), ("ranking", RANKINGS)):
            value = getattr(self, name)
            require(value is None or value in known, name, value, " or ".join(known))
        weight = self.stem_guidance
        require(weight is None or 0 <= weight < math.inf, "stem_guidance", weight, "0 or more")

    def _check_edit(self) -> None:
        """Edits need a stem, and a stem needs edits."""
        if self.edit is not None:
            is_range = len(self.edit) == 2 and 0 <= self.edit[0] < self.edit[1] < math.inf
            require(is_range, "edit", self.edit, "two seconds, the first before the second: 4:8")
        require(self.every is None or self.every >= 2, "every", self.every, "2 or more")
        if self.edits != (self.stem_in is not None):
            raise ConfigError(
                "edit, variation, keep_onsets and every change a stem that there is; expected them "
                "together with the stem (--stem-in FILE), and at least one of them with a stem"
            )

    @property
    def edits(self) -> bool:
        """Whether a stem is to be changed, and not made from nothing."""
        asked = (self.edit, self.variation, self.every)
        return self.keep_onsets or any(one is not None for one in asked)

    def _check_activity(self) -> None:
        """Times rise, values are 0 and 1."""
        before_s = -math.inf
        for at_s, value in self.activity:
            if not (before_s < at_s < math.inf and at_s >= 0 and value in (0, 1)):
                raise ConfigError(
                    f"activity has ({at_s:g}, {value}); expected seconds that rise from 0 on, each "
                    "with 0 (rest) or 1 (play)"
                )
            before_s = at_s

    def decoding(self, own: DecodingConfig, request: Request) -> DecodingConfig:
        """How to decode: the model's own way, with what is asked for instead.

        The request's temperature multiplies those of the levels, its guidance is the mix's weight
        and, unless told apart, the stem's; its nucleus counts where it is the narrower one.
        """
        guidance, both = own.guidance, request.guidance
        stem = self.stem_guidance if self.stem_guidance is not None else both
        guidance = replace(
            guidance,
            kind=self.guidance_kind or guidance.kind,
            context=guidance.context if both is None else both,
            stem=guidance.stem if stem is None else stem,
        )
        return replace(
            own,
            steps=own.steps if self.steps is None else steps_of(self.steps, own.steps),
            temperatures=tuple(request.temperature * one for one in own.temperatures),
            top_p=min(own.top_p, request.top_p),
            guidance=guidance,
            ranking=replace(own.ranking, kind=self.ranking or own.ranking.kind),
        )


def steps_of(asked: Sequence[int], own: Sequence[int]) -> tuple[int, ...]:
    """Steps of every level: as asked, or all in proportion to one number for the first.

    Raises:
        ConfigError: Neither one number nor one for each level.
    """
    if len(asked) == 1:
        return tuple(max(1, round(asked[0] * one / own[0])) for one in own)
    require(len(asked) == len(own), "steps", tuple(asked), f"1 or {len(own)} numbers")
    return tuple(asked)
