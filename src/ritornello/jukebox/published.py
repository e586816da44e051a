"""The figures that the paper prints of its autoencoders, and what it says of their order.

Dhariwal et al. 2020, section 5.3: spectral convergence in dB, the lower the better. Needs neither
torch nor numpy.
"""

from ritornello.training.verdicts import Ordering

MEASURE = "convergence_db"

PUBLISHED = {
    "8": -23.0,
    "32": -12.4,
    "128": -8.3,
    "8-no-restart": -21.1,
    "32-no-restart": -12.4,
    "128-no-restart": -8.3,
    "8-eighth-book": -15.9,
    "8-unquantised": -40.5,
    "128-no-spectral": -6.3,
}
"""By row. Half a codebook is a row of our own."""

HIERARCHICAL_DB = 2.9
"""Of one autoencoder that makes the codes of all levels; no row here."""


def below(lower: str, higher: str, because: str) -> Ordering:
    """That a row reconstructs better than another, or as well where figures are equal."""
    gap = round(PUBLISHED[higher] - PUBLISHED[lower], 6)
    return Ordering(lower=lower, higher=higher, because=because, measure=MEASURE, published_gap=gap)


_HOP = "fidelity falls as compression rises"
_RESTART = "placing unused codes anew helps the codebook of the lowest level"
_NO_RESTART = "restarts change nothing where the codebook is used anyway"

ORDERINGS = (
    below("8", "32", _HOP),
    below("32", "128", _HOP),
    below("8", "8-no-restart", _RESTART),
    below("32", "32-no-restart", _NO_RESTART),
    below("128", "128-no-restart", _NO_RESTART),
    below("8", "8-eighth-book", "a larger codebook reconstructs better"),
    below("8-unquantised", "8", "the bottleneck is what limits fidelity"),
    below("128", "128-no-spectral", "without the spectral loss high frequencies are lost"),
)
