"""The figures that the paper prints, and what it says of their order.

Dieleman, van den Oord and Simonyan 2018, tables 1 to 3 and sections 4.1 to 4.4. NLLs are nats per
timestep. The ratings of table 3 are not in the text that this was made from, so they are missing
here and no value stands in for them. Needs neither torch nor numpy.
"""

from dataclasses import dataclass
from typing import Literal

from ritornello.training.verdicts import Ordering

Measure = Literal["nll", "perplexity"]


@dataclass(frozen=True, kw_only=True)
class Published:
    """One row's figures; None where the table has none.

    Attributes:
        train_nll: On music trained on, in nats.
        nll: On held-out music, in nats.
        perplexity: Of the codes, 256 at most.
        receptive_field: In steps: of a WaveNet, or of the decoder of an ADA on codes.
        receptive_field_ms: Of the whole model (table 3).
    """

    train_nll: float | None = None
    nll: float | None = None
    perplexity: float | None = None
    receptive_field: int | None = None
    receptive_field_ms: float | None = None


PUBLISHED = {
    "1.1": Published(train_nll=1.192, nll=1.151, receptive_field_ms=384),
    "1.2": Published(train_nll=0.766, nll=0.734, perplexity=227.3),
    "1.3": Published(train_nll=0.711, nll=0.682, perplexity=199.6),
    "1.4": Published(train_nll=0.786, nll=0.759, perplexity=228.9),
    "1.5": Published(train_nll=0.721, nll=0.695, perplexity=225.6),
    "1.6": Published(train_nll=0.833, nll=0.806, perplexity=183.2),
    "1.7": Published(train_nll=1.203, nll=1.172, perplexity=84.04),
    "2.1": Published(train_nll=4.415, nll=4.430, receptive_field=6144),
    "2.2": Published(train_nll=4.183, nll=4.191, perplexity=226.0, receptive_field=64),
    "2.3": Published(train_nll=4.337, nll=4.348, perplexity=227.7, receptive_field=32),
    "2.4": Published(train_nll=4.236, nll=4.247, perplexity=228.0, receptive_field=64),
    "2.5": Published(train_nll=4.134, nll=4.143, perplexity=226.2, receptive_field=128),
    "2.6": Published(train_nll=4.153, nll=4.159, perplexity=234.2, receptive_field=256),
    "3.1": Published(receptive_field_ms=384),
    "3.2": Published(receptive_field_ms=768),
    "3.3": Published(receptive_field_ms=3072),
    "3.4": Published(receptive_field_ms=3072),
    "3.5": Published(receptive_field_ms=24576),
    "3.6": Published(receptive_field_ms=24576),
    "3.7": Published(receptive_field_ms=24576),
}


def below(lower: str, higher: str, because: str, measure: Measure = "nll") -> Ordering:
    """That a row's figure is below another's, and by how much in the tables above."""
    figures = [getattr(PUBLISHED[id], measure) for id in (lower, higher)]
    return Ordering(
        lower=lower,
        higher=higher,
        because=because,
        measure=measure,
        published_gap=figures[1] - figures[0],
    )


_ONE_HOT = "one-hot input lets the encoder tell exact values"
_AMAE = "an AMAE does slightly worse than a VQ-VAE"
_CODED = "with hop 8 the codes carry much"
_FORMAT = "the codes of codes carry something"
_FURTHER = "a decoder that sees further has the better NLL"

ORDERINGS = {
    1: (
        below(lower="1.3", higher="1.2", because=_ONE_HOT),
        below(lower="1.5", higher="1.4", because=_ONE_HOT),
        below(lower="1.2", higher="1.4", because=_AMAE),
        below(lower="1.3", higher="1.5", because=_AMAE),
        below(lower="1.5", higher="1.6", because="a softmax is clearly inferior to a ReLU"),
        below(lower="1.2", higher="1.7", because="hop 64 compresses 8 times more"),
        below(
            lower="1.3",
            higher="1.2",
            measure="perplexity",
            because="the codebook of 1.3 partly collapses",
        ),
        *(below(lower=id, higher="1.1", because=_CODED) for id in ("1.2", "1.3", "1.4", "1.5")),
    ),
    2: (
        *(
            below(lower=id, higher="2.1", because=_FORMAT)
            for id in ("2.2", "2.3", "2.4", "2.5", "2.6")
        ),
        below(lower="2.4", higher="2.3", because=_FURTHER),
        below(lower="2.5", higher="2.4", because=_FURTHER),
        below(lower="2.6", higher="2.4", because=_FURTHER),
        below(lower="2.2", higher="2.4", because=_AMAE),
    ),
    3: (),
}


HEARD = {
    1: (),
    2: (),
    3: (
        "models with more levels are rated more musical",
        "fidelity is rated about alike, 3.3 excepted, which is worst in fidelity and in musicality",
    ),
}
"""What the paper found by ear, in a blind test with 28 raters; no training run can say it."""
