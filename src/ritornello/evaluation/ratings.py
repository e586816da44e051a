"""What people said: ratings out of five, preferences between two, and how far listeners agree.

Conventions
    rating       one listener's score of one clip on one scale, 1 (bad) to 5 (excellent)
    preference   one listener's choice between two clips of the same position: the winner or none
    position     the number of a clip within its system; equal numbers belong together
    draw         the random generator of the resampling, always passed in

Metrics
    mean, standard error   per system and scale, as in Dieleman et al. 2018 (Table 1) and in the MOS
        of Parker et al. 2024
    interval     bootstrap over listeners and positions at once: both are resampled, so that it says
        how far the mean would move with other listeners and other clips (Owen 2007)
    win rate     share of comparisons won, an undecided one being half a win; Wilson's interval
    strength     Bradley-Terry, as the chance to win against the average system
    agreement    Krippendorff's alpha with interval differences: 1 is unanimity, 0 is chance
    checks       whether a listener rated the hidden reference above the hidden anchor

Nobody is left out of any figure here; a listener who fails the check is named.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ritornello.errors import DataError
from ritornello.evaluation.intervals import RESAMPLES, Estimate

LOWEST, HIGHEST = 1, 5
CHECK_SCALE = "fidelity"
"""The scale on which a low-passed anchor is certain to be worse than its original."""

FEW_LISTENERS, FEW_VOTES, FEW_CHECKS = 5, 15, 3


@dataclass(frozen=True, kw_only=True)
class Rating:
    """A score that `listener` gave to the clip of `system` at `position`."""

    listener: str
    system: str
    position: int
    scale: str
    score: int


@dataclass(frozen=True, kw_only=True)
class Preference:
    """A choice of `listener` between two systems at `position`; no `winner` means undecided."""

    listener: str
    position: int
    first: str
    second: str
    winner: str | None


Vote = Rating | Preference


def validate(ratings: Sequence[Rating], preferences: Sequence[Preference]) -> None:
    """Refuse what cannot be counted.

    Raises:
        DataError: No votes at all, a score out of range, the same clip rated twice by a listener on
            one scale, or a winner that did not take part.
    """
    if not ratings and not preferences:
        raise DataError("there are no votes yet; expected at least one listener's")
    seen = set()
    for rating in ratings:
        if not LOWEST <= rating.score <= HIGHEST:
            raise DataError(f"got {rating}; expected a score from {LOWEST} to {HIGHEST}")
        key = (rating.listener, rating.system, rating.position, rating.scale)
        if key in seen:
            raise DataError(f"got two scores for {key}; expected one")
        seen.add(key)
    for choice in preferences:
        if choice.first == choice.second or choice.winner not in (
            None,
            choice.first,
            choice.second,
        ):
            raise DataError(f"got {choice}; expected two systems, one of them the winner, or None")


def crossed_weights(
    listeners: Int[np.ndarray, " votes"],
    positions: Int[np.ndarray, " votes"],
    draw: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Float[np.ndarray, "resamples votes"]:
    """How often each vote counts in each resample of both listeners and positions.

    Listeners and positions are drawn with replacement, independently; a vote counts as often as its
    listener times its position was drawn (the pigeonhole bootstrap, Owen 2007, Sec. 3).

    Args:
        listeners: Number of the listener of each vote, 0 .. count-1.
        positions: Number of the position of each vote, 0 .. count-1.
        draw: Source of the resampling.
        resamples: Number of resamples.
    """

    def counts(groups: np.ndarray) -> np.ndarray:
        size = int(groups.max()) + 1
        return draw.multinomial(size, np.full(size, 1 / size), size=resamples)[:, groups]

    return (counts(listeners) * counts(positions)).astype(np.float64)


def crossed_mean(
    values: Float[np.ndarray, " votes"],
    listeners: Int[np.ndarray, " votes"],
    positions: Int[np.ndarray, " votes"],
    draw: np.random.Generator,
    confidence: float = 0.95,
) -> Estimate:
    """The mean of `values` with its interval over listeners and positions; items are votes.

    With a single listener only positions are resampled, and the other way round; with one vote both
    ends equal the mean.

    Raises:
        DataError: No votes.
    """
    if len(values) == 0:
        raise DataError("got no votes to average; expected at least one")
    weights = crossed_weights(listeners, positions, draw)
    drawn = weights.sum(axis=1)
    means = (weights @ values)[drawn > 0] / drawn[drawn > 0]
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Estimate(value=float(values.mean()), low=float(low), high=float(high), items=len(values))


def standard_error(values: Float[np.ndarray, " votes"]) -> float | None:
    """Standard deviation of the mean, as if votes were independent; None with a single vote."""
    if len(values) < 2:
        return None
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def wilson_interval(wins: float, count: int, z: float = 1.959964) -> Estimate:
    """The share `wins / count` with Wilson's score interval (1927); halves are undecided votes.

    Raises:
        DataError: No comparisons, or more wins than comparisons.
    """
    if count < 1 or not 0 <= wins <= count:
        raise DataError(
            f"got {wins:g} wins of {count} comparisons; expected 0 <= wins <= count >= 1"
        )
    share, weight = wins / count, z * z / count
    centre = (share + weight / 2) / (1 + weight)
    reach = z / (1 + weight) * np.sqrt(share * (1 - share) / count + weight / (4 * count))
    return Estimate(
        value=share,
        low=max(0.0, float(centre - reach)),
        high=min(1.0, float(centre + reach)),
        items=count,
    )


def win_matrix(
    preferences: Sequence[Preference],
    systems: Sequence[str],
    weights: Float[np.ndarray, " votes"] | None = None,
) -> Float[np.ndarray, "systems systems"]:
    """Wins of the row over the column; an undecided comparison is half a win for both.

    Args:
        preferences: The choices.
        systems: Names in the order of rows and columns.
        weights: How often each choice counts; None: once.
    """
    row = {name: index for index, name in enumerate(systems)}
    wins = np.zeros((len(systems), len(systems)))
    for index, choice in enumerate(preferences):
        weight = 1.0 if weights is None else float(weights[index])
        first, second = row[choice.first], row[choice.second]
        share = {choice.first: 1.0, choice.second: 0.0, None: 0.5}[choice.winner]
        wins[first, second] += weight * share
        wins[second, first] += weight * (1 - share)
    return wins


def bradley_terry(
    wins: Float[np.ndarray, "systems systems"], tolerance: float = 1e-10, most_steps: int = 10_000
) -> Float[np.ndarray, " systems"]:
    """Strengths with geometric mean 1, so that i beats j with chance s_i / (s_i + s_j).

    Minorisation-maximisation (Hunter 2004, Eq. 3). Deviation: every two systems that were compared
    get one undecided comparison more, so that a system that always won stays finite.

    Raises:
        DataError: Some systems were never compared with the others, not even through third ones.
    """
    count = len(wins)
    compared = (wins + wins.T) > 0
    if not np.linalg.matrix_power(np.eye(count) + compared, max(1, count - 1)).all():
        raise DataError("some systems were never compared with the others; collect more votes")
    smoothed = wins + 0.5 * compared
    games, won = smoothed + smoothed.T, smoothed.sum(axis=1)
    strengths = np.ones(count)
    for _ in range(most_steps):
        before = strengths
        strengths = won / (games / (before[:, None] + before)).sum(axis=1)
        strengths = strengths / np.exp(np.log(strengths).mean())
        if np.abs(strengths - before).max() < tolerance:
            break
    return strengths


def krippendorff_alpha(scores: Float[np.ndarray, "listeners clips"]) -> float:
    """Agreement with interval differences (Krippendorff 2011); NaN where a clip was not rated.

    One minus the mean squared difference between two listeners' scores of the same clip over that
    between any two scores. NaN when nothing can be said: fewer than two listeners on every clip, or
    all scores equal.
    """
    columns = [column[~np.isnan(column)] for column in scores.T]
    pairable = [column for column in columns if len(column) > 1]
    if not pairable:
        return float("nan")

    def squared_differences(values: np.ndarray) -> float:
        """Sum over ordered pairs of (a - b)^2."""
        return 2 * len(values) ** 2 * float(values.var())

    everything = np.concatenate(pairable)
    observed = sum(squared_differences(c) / (len(c) - 1) for c in pairable) / len(everything)
    expected = squared_differences(everything) / (len(everything) * (len(everything) - 1))
    return 1 - observed / expected if expected > 0 else float("nan")


def agreement(ratings: Sequence[Rating], scale: str) -> float:
    """Krippendorff's alpha of one scale over all clips that at least two listeners rated."""
    chosen = [rating for rating in ratings if rating.scale == scale]
    listeners, rows = _numbered(rating.listener for rating in chosen)
    clips, columns = _numbered((rating.system, rating.position) for rating in chosen)
    table = np.full((len(listeners), len(clips)), np.nan)
    table[rows, columns] = [rating.score for rating in chosen]
    return krippendorff_alpha(table)


def check_listener(
    ratings: Sequence[Rating], listener: str, reference: str, anchor: str
) -> dict[str, Any]:
    """How one listener rated the hidden reference and the hidden anchor.

    The check is on CHECK_SCALE over the positions of which the listener rated both: the reference
    must be above its low-passed copy in the mean.

    Returns:
        `ratings`, `pairs`, `reference_minus_anchor` (None without pairs), `verdict` (passed,
        failed, or too few), and `same_score` (every rating has the same score).
    """
    own = [rating for rating in ratings if rating.listener == listener]
    score = {(r.system, r.position): r.score for r in own if r.scale == CHECK_SCALE}
    differences = [
        score[reference, position] - score[anchor, position]
        for system, position in score
        if system == reference and (anchor, position) in score
    ]
    gap = float(np.mean(differences)) if differences else None
    passed = "passed" if gap is not None and gap > 0 else "failed"
    return {
        "ratings": len(own),
        "pairs": len(differences),
        "reference_minus_anchor": gap,
        "verdict": "too few" if len(differences) < FEW_CHECKS else passed,
        "same_score": len(own) >= FEW_VOTES and len({rating.score for rating in own}) == 1,
    }


def evaluate_ratings(
    ratings: Sequence[Rating], draw: np.random.Generator
) -> dict[str, dict[str, dict[str, Any]]]:
    """Per system and scale: the mean as an Estimate, standard_error, listeners and clips."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for system, scale in dict.fromkeys((rating.system, rating.scale) for rating in ratings):
        chosen = [r for r in ratings if (r.system, r.scale) == (system, scale)]
        values = np.array([rating.score for rating in chosen], dtype=np.float64)
        listeners, rows = _numbered(rating.listener for rating in chosen)
        clips, columns = _numbered(rating.position for rating in chosen)
        found.setdefault(system, {})[scale] = {
            **crossed_mean(values, rows, columns, draw).to_dict(),
            "standard_error": standard_error(values),
            "listeners": len(listeners),
            "clips": len(clips),
        }
    return found


def evaluate_preferences(
    preferences: Sequence[Preference], draw: np.random.Generator
) -> dict[str, Any]:
    """The pairs compared with their win rates, and the ranking by strength, strongest first.

    Returns:
        `pairs`: per pair `first`, `second`, `wins`, `losses`, `undecided` and the win rate of the
        first (value, low, high, items). `ranking`: per system the chance to win against the average
        system (value, low, high, items); empty when the comparisons do not connect all systems.
    """
    systems = list(dict.fromkeys(name for c in preferences for name in (c.first, c.second)))
    pairs = []
    for first, second in combinations(systems, 2):
        between = [c for c in preferences if {c.first, c.second} == {first, second}]
        if not between:
            continue
        wins = sum(choice.winner == first for choice in between)
        losses = sum(choice.winner == second for choice in between)
        undecided = len(between) - wins - losses
        rate = wilson_interval(wins + undecided / 2, len(between)).to_dict()
        counts = {"wins": wins, "losses": losses, "undecided": undecided}
        pairs.append({"first": first, "second": second, **counts, **rate})
    return {"pairs": pairs, "ranking": _ranking(preferences, systems, draw)}


def _ranking(
    preferences: Sequence[Preference], systems: Sequence[str], draw: np.random.Generator
) -> list[dict[str, Any]]:
    """Bradley-Terry strengths with intervals over listeners and positions."""
    if not preferences:
        return []
    try:
        strengths = bradley_terry(win_matrix(preferences, systems))
    except DataError:
        return []
    _, listeners = _numbered(choice.listener for choice in preferences)
    _, positions = _numbered(choice.position for choice in preferences)
    spread = []
    for weights in crossed_weights(listeners, positions, draw, resamples=200):
        # A resample may leave a system out; it then says nothing about the ranking.
        try:
            resample = bradley_terry(win_matrix(preferences, systems, weights), tolerance=1e-6)
        except DataError:
            continue
        spread.append(resample / (1 + resample))
    chances = strengths / (1 + strengths)
    ends = np.quantile(spread, [0.025, 0.975], axis=0) if spread else np.stack([chances, chances])
    games = {name: sum(name in (c.first, c.second) for c in preferences) for name in systems}
    order = np.argsort(-chances, kind="stable")
    return [
        {
            "system": systems[index],
            **Estimate(
                value=float(chances[index]),
                low=float(ends[0, index]),
                high=float(ends[1, index]),
                items=games[str(systems[index])],
            ).to_dict(),
        }
        for index in order
    ]


def evaluate(
    ratings: Sequence[Rating],
    preferences: Sequence[Preference],
    draw: np.random.Generator,
    *,
    reference: str = "reference",
    anchor: str = "anchor",
) -> dict[str, Any]:
    """Everything the votes say, as plain JSON values.

    Args:
        ratings: All scores.
        preferences: All choices.
        draw: Source of the resampling.
        reference: Name of the hidden reference.
        anchor: Name of the hidden anchor.

    Returns:
        `systems` (as `evaluate_ratings`), `preferences` (as `evaluate_preferences`), `agreement`
        (alpha per scale, None where nothing can be said), `listeners` (as `check_listener`, by
        name), `warnings` (what the figures are not worth).

    Raises:
        DataError: As `validate`.
    """
    validate(ratings, preferences)
    votes: list[Vote] = [*ratings, *preferences]
    listeners = list(dict.fromkeys(vote.listener for vote in votes))
    scales = dict.fromkeys(rating.scale for rating in ratings)
    alphas = {scale: agreement(ratings, scale) for scale in scales}
    result = {
        "systems": evaluate_ratings(ratings, draw),
        "preferences": evaluate_preferences(preferences, draw),
        "agreement": {s: None if np.isnan(alpha) else alpha for s, alpha in alphas.items()},
        "listeners": {name: check_listener(ratings, name, reference, anchor) for name in listeners},
    }
    return {**result, "warnings": warnings_for(result)}


def warnings_for(result: dict[str, Any]) -> list[str]:
    """What the figures of `evaluate` are not worth, one sentence each."""
    told = []
    listeners = result["listeners"]
    if len(listeners) == 1:
        told.append("one listener: the intervals cover other clips, not other people")
    elif len(listeners) < FEW_LISTENERS:
        told.append(
            f"{len(listeners)} listeners: intervals over so few people are too narrow; expected "
            f"at least {FEW_LISTENERS}"
        )
    thin = [
        f"{system} ({min(figure['items'] for figure in scales.values())})"
        for system, scales in result["systems"].items()
        if min(figure["items"] for figure in scales.values()) < FEW_VOTES
    ]
    if thin:
        told.append(
            f"fewer than {FEW_VOTES} ratings for {', '.join(thin)}: read no order from them"
        )
    pairs = result["preferences"]["pairs"]
    thin = [f"{pair['first']} / {pair['second']}" for pair in pairs if pair["items"] < FEW_VOTES]
    if thin:
        told.append(f"fewer than {FEW_VOTES} comparisons of {', '.join(thin)}")
    if pairs and not result["preferences"]["ranking"]:
        told.append("no ranking: the comparisons do not connect all systems")
    for name, check in listeners.items():
        if check["verdict"] == "failed":
            told.append(
                f"{name} did not rate the hidden reference above the hidden anchor in "
                f"{CHECK_SCALE} ({check['reference_minus_anchor']:+.2f}); still counted"
            )
        if check["same_score"]:
            told.append(f"{name} gave every clip the same score; still counted")
    return told


def _numbered(names: Iterable[Any]) -> tuple[list[Any], Int[np.ndarray, " entries"]]:
    """The different names in order of first use, and the number of each entry's name."""
    entries = list(names)
    different = list(dict.fromkeys(entries))
    number = {name: index for index, name in enumerate(different)}
    return different, np.array([number[name] for name in entries], dtype=np.int64)
