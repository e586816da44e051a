"""How alpha and beta changed while a level trained: the finding of population based training.

`alpha` is the update rate of the smoothed k-means and `beta` the weight of the commitment loss
(section 3.1). A schedule holds both piece by piece, so that a single network can be trained again
along the path that the best of a population took. Needs neither torch nor numpy.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from ritornello.config import from_json, to_json
from ritornello.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Alpha and beta from step `step` on."""

    step: int
    alpha: float
    beta: float

    def __post_init__(self) -> None:
        """Refuse what no quantiser takes."""
        if self.step < 0:
            raise ConfigError(f"a schedule's piece begins at step {self.step}; expected >= 0")
        if not 0 < self.alpha <= 1 or not 0 <= self.beta < float("inf"):
            raise ConfigError(
                f"alpha is {self.alpha} and beta {self.beta} at step {self.step} of a schedule; "
                "expected 0 < alpha <= 1 and beta >= 0"
            )


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Alpha and beta over the steps of a training.

    Attributes:
        pieces: In order of steps, the first from step 0; the last holds to the end.
    """

    pieces: tuple[Piece, ...]

    def __post_init__(self) -> None:
        """Refuse an order that leaves a step without values."""
        steps = [piece.step for piece in self.pieces]
        if not steps or steps[0] != 0 or any(a >= b for a, b in pairwise(steps)):
            raise ConfigError(
                f"a schedule's pieces begin at steps {steps}; expected rising ones from 0 on"
            )

    @classmethod
    def joined(cls, pieces: Iterable[Piece]) -> "Schedule":
        """A schedule of `pieces`, equal neighbours made one."""
        kept: list[Piece] = []
        for piece in pieces:
            if not kept or (kept[-1].alpha, kept[-1].beta) != (piece.alpha, piece.beta):
                kept.append(piece)
        return cls(pieces=tuple(kept))

    def at(self, step: int) -> tuple[float, float]:
        """Alpha and beta for the step that `step` steps precede."""
        if step < 0:
            raise ConfigError(f"step is {step}; expected a whole number >= 0")
        piece = self.pieces[bisect_right([piece.step for piece in self.pieces], step) - 1]
        return piece.alpha, piece.beta

    def to_json(self) -> str:
        """The text of a schedule file."""
        return to_json(self)

    @classmethod
    def from_json(cls, text: str) -> "Schedule":
        """The schedule that `to_json` wrote; ConfigError for anything else."""
        return from_json(cls, text)
