"""How each figure of a judgement reads: its name for people, what is better, what it says.

Conventions
    better     "lower", "higher", "real" (nearest to what real music gets), or "" (no verdict)
    scale      decimals are not fixed: figures are shown with three significant digits

A figure `x` has its null under `x_null` (real against real, the same size) or what real music gets
under `x_real`; `beside` finds whichever there is.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ritornello.evaluation.intervals import Estimate

NULL, REAL = "_null", "_real"
FEWEST_ITEMS = 8


@dataclass(frozen=True)
class Reading:
    """How to read one figure.

    Attributes:
        label: Its name for people.
        better: "lower", "higher", "real" or "".
        says: One sentence: what it measures, and what it cannot see.
    """

    label: str
    better: str
    says: str


READINGS: dict[str, Reading] = {
    "fad": Reading(
        "FAD",
        "lower",
        "Distance of the two sets in a music tagger's space. Above 0 even for real against real, "
        "more so with few clips: compare with the null, at the same number of clips only. Not "
        "comparable with FAD on VGGish.",
    ),
    "fad_all": Reading(
        "FAD, all clips",
        "",
        "All generated clips against all of the reference: what the literature calls FAD. Without "
        "a null of its size; for comparison between systems of equal numbers only.",
    ),
    "fad_infinity_fit": Reading(
        "FAD, endless set: fit",
        "",
        "R squared of the line behind the extrapolation; far below 1: do not trust it. Near 1 is "
        "no proof: with few recordings the line bends where no size can show it.",
    ),
    "fad_infinity": Reading(
        "FAD, endless set",
        "lower",
        "FAD extrapolated to endlessly many clips, which takes the bias of small sets away; with "
        "few recordings not all of it: compare with the null.",
    ),
    "kid": Reading(
        "KID",
        "lower",
        "Kernel distance in the same space: unbiased, about 0 for real against real, may be below.",
    ),
    "frechet_distance": Reading(
        "Frechet distance by hand",
        "lower",
        "The same formula on hand-made numbers: pitch classes, timbre, movement, pace, loudness. "
        "Tells wrong register, level and pace; cannot tell good music from bad.",
    ),
    "mirdd_open_js": Reading(
        "MIRDD-open (Jensen-Shannon)",
        "lower",
        "Mean divergence, 0 to 1, of what a listener could write down: notes, keys, chords, beats. "
        "Made with open tools; not comparable with published MIRDD figures.",
    ),
    "mirdd_open_kl": Reading(
        "MIRDD-open (Kullback-Leibler)",
        "lower",
        "The same by Kullback-Leibler divergence, in bits: large where the set lacks what real "
        "music has. Not comparable with published MIRDD figures.",
    ),
    "mirdd_open_kl_reverse": Reading(
        "MIRDD-open (Kullback-Leibler, reverse)",
        "lower",
        "The other way round: large where the set has what real music lacks.",
    ),
    "variety_ratio": Reading(
        "Variety among takes",
        "real",
        "How much takes differ from one another, over how much real excerpts do. Near 0: always "
        "the same music. Far above 1: no praise, noise differs too.",
    ),
    "inner_variety": Reading(
        "Variety inside a take",
        "real",
        "The same between the parts of one take. Near 0: a take that stands still.",
    ),
    "left_right_correlation": Reading(
        "Left-right correlation", "real", "1 is mono, 0 two unrelated channels."
    ),
    "side_energy_db": Reading(
        "Side energy, dB", "real", "Share of what differs between the channels; low is near mono."
    ),
    "near_mono": Reading("Share of near-mono clips", "real", "1: every clip is as good as mono."),
    "loudness_dbfs": Reading(
        "Level, dBFS", "real", "Root mean square level; distances see differences of level."
    ),
    "bandwidth_hz": Reading(
        "Bandwidth, Hz",
        "real",
        "Highest frequency within 80 dB of the loudest; a lower one than real music's sounds dull.",
    ),
    "onset_rate_hz": Reading("Onsets a second", "real", "Pace: note beginnings per second."),
    "level_difference_db": Reading(
        "Balance, dB", "real", "Mean level of the left channel over the right; 0 is in the middle."
    ),
    "level_difference_spread_db": Reading(
        "Movement of the balance, dB", "real", "How much that changes from moment to moment."
    ),
    "repetition": Reading(
        "Repetition",
        "real",
        "Share of a long piece that comes again after 8 s or more: 0 never, 1 all of it.",
    ),
    "period_s": Reading(
        "Period, s", "real", "After how long a piece most resembles itself; 0: it never does."
    ),
    "boundaries_per_minute": Reading(
        "Section boundaries a minute", "real", "How often the music turns to something else."
    ),
    "tempo_drift_percent": Reading(
        "Tempo drift, %", "real", "Change of tempo over a long piece; within the null: none."
    ),
    "tempo_agreement": Reading(
        "Tempo held", "real", "Share of the windows of a long piece near its median tempo."
    ),
    "key_agreement": Reading(
        "Key held", "real", "Share of the windows in the key of the whole; real music modulates."
    ),
    "key_entropy_bits": Reading("Spread of keys, bits", "real", "0: all windows in one key."),
    "level_drift_db": Reading("Level drift, dB", "real", "Change of level over a long piece."),
    "centroid_drift_octaves": Reading(
        "Brightness drift, octaves", "real", "Change of brightness over a long piece."
    ),
    "flatness_drift_db": Reading(
        "Flatness drift, dB", "real", "Up when a long piece decays into noise."
    ),
    "silent_windows": Reading("Silent windows", "real", "Share of 20 s windows without sound."),
    "similarity": Reading(
        "Nearness to the training music",
        "",
        "Mean similarity, 0 to 1, of each clip's nearest training excerpt, held-out music beside.",
    ),
    "windows_nearer": Reading(
        "Windows nearer than held-out music",
        "lower",
        "Share of the clips' windows nearer to training than 99 % of held-out ones; 0.01 is usual.",
    ),
    "copied": Reading(
        "Copied", "lower", "Share of the clips that are copies of training music; 0 is honest."
    ),
    "letters": Reading("Kinds of sections", "real", "Different sections found in a long piece."),
}


DIVERGENCES = {
    "_kl_reverse": "Kullback-Leibler, reverse",
    "_kl": "Kullback-Leibler",
    "_js": "Jensen-Shannon",
}


def is_detail(name: str) -> bool:
    """Whether the figure is one of the many that a mean, which is shown, is made of."""
    return name not in READINGS and name.endswith(tuple(DIVERGENCES))


def reading(name: str) -> Reading:
    """How to read the figure called `name`; one made for a further embedding reads as the first."""
    if name in READINGS:
        return READINGS[name]
    for suffix, told in DIVERGENCES.items():
        if name.endswith(suffix):
            what = name.removesuffix(suffix).replace("_", " ").capitalize()
            return Reading(f"{what} ({told})", "lower", "Divergence of one descriptor.")
    for base in sorted(READINGS, key=len, reverse=True):
        if name.startswith(base + "_"):
            known = READINGS[base]
            extra = name[len(base) + 1 :].replace("_", " ")
            return Reading(f"{known.label}: {extra}", known.better, known.says)
    return Reading(name.replace("_", " ").capitalize(), "", "")


def beside(name: str, figures: Mapping[str, Estimate]) -> Estimate | None:
    """What real music gets for the figure `name`: its null, or the reference's own figure."""
    for suffix in (REAL, NULL):
        if name + suffix in figures:
            return figures[name + suffix]
    return None


def judged(figures: Mapping[str, Estimate]) -> list[str]:
    """Names of the figures themselves: without those that stand beside another."""
    return [name for name in figures if not _stands_beside(name, figures)]


def _stands_beside(name: str, figures: Mapping[str, Estimate]) -> bool:
    return any(name.endswith(s) and name.removesuffix(s) in figures for s in (NULL, REAL))


def apart(one: Estimate, other: Estimate) -> bool:
    """Whether the two intervals do not touch."""
    return one.high < other.low or other.high < one.low


def best_of(name: str, estimates: Mapping[str, Estimate], real: Estimate | None) -> str | None:
    """The system whose figure is better than all others' with intervals apart, if there is one.

    With fewer than FEWEST_ITEMS items an interval is no more than a guess, and nobody is best.

    Args:
        name: The figure.
        estimates: Its value by system.
        real: What real music gets, which "real" figures are measured by.
    """
    better = reading(name).better
    fewest = min((estimate.items for estimate in estimates.values()), default=0)
    if len(estimates) < 2 or fewest < FEWEST_ITEMS or not better:
        return None
    if better == "real" and real is None:
        return None

    def badness(system: str) -> float:
        value = estimates[system].value
        if better == "real" and real is not None:
            return abs(value - real.value)
        return value if better == "lower" else -value

    first = min(estimates, key=badness)
    rivals = (other for system, other in estimates.items() if system != first)
    return first if all(apart(estimates[first], rival) for rival in rivals) else None


def shown(value: float) -> str:
    """A figure with three significant digits and no exponent where a person would write none."""
    if value != value:
        return "not known"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-3 or value == 0 else f"{value:.1e}"


def interval(estimate: Estimate) -> str:
    """The interval of a figure, or "-" where there is none."""
    if not estimate.has_interval:
        return "-"
    return f"{shown(estimate.low)} to {shown(estimate.high)}"
