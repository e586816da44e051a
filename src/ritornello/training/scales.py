"""How far below a paper its experiments are repeated; needs neither torch nor numpy.

Every paper's scales say more: what is divided, and how long a row is trained.
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What the scales of all papers have.

    Attributes:
        name: What it is called.
        evaluations: How often held-out music is scored on the way.
        train_s: Music to learn from, in seconds at most; None takes all.
        valid_s: Held-out music, likewise.
        says: The rule in a sentence, for the page.
    """

    trained_by: ClassVar[tuple[str, ...]] = ("train_s", "valid_s")
    """Attributes that the figures of a row depend on."""

    name: str
    evaluations: int = 10
    train_s: float | None = None
    valid_s: float | None = None
    says: str
