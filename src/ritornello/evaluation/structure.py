"""Does a piece have form: sections that differ, and music that returns?

Conventions
    wave        float (channels, time), a piece of 20 s to 30 min
    matrix      self-similarity (cells, cells) of its half seconds, see `self_similarity`
    sections    list of (start_s, end_s, letter), in order, without overlap

Metrics, for any piece
    repetition            share of the time in 8 s of music that return, 8 s away or more
    repetition_null       the same of 8 s that return backwards, which only chance brings about
    period_s              the distance at which most of it is alike; 0 if nothing is. Says nothing
                          where the repetition does not exceed its null
    boundaries_per_minute how often a section ends: the sound or what returns changes
    letters               number of different sections found

Metrics, where a form was asked for ("does the chorus return?")
    return_auc            how often sections of one letter are more alike than sections of
                          different letters; 1 is best, 0.5 is chance
    return_d_prime        by how much, in standard deviations of the latter
    return_similarity     similarity of a section and its return, moment by moment; best 1
    return_lag_error_s    how far from the asked moment the return fits best, up to 3 s; best 0
    letters_f             pairwise F-measure of the letters found against those asked; best 1

Moments are compared with the mean of their own piece, so that nothing in an even drone returns; a
texture that stays is as much like itself backwards, and so no repetition. Returns at another tempo
are not seen, returns in another key only by `self_similarity_any_key`. The return of one section in
one short piece is one observation: average over several pieces before saying much.
"""

from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np
from jaxtyping import Bool, Float, Int

from ritornello.errors import DataError
from ritornello.evaluation.self_similarity import (
    CELL_S,
    LEAST_SPREAD,
    Features,
    Matrix,
    Wave,
    raw_cells,
    self_similarity,
    unit_features,
)
from ritornello.evaluation.self_similarity import validate as validate_piece

FINE_CELL_S = 0.1
RETURN_S = 8.0
"""Both the least distance of a repetition and the length that has to return to count as one."""
RETURN_LEVEL = 0.5
CLEARLY = 0.1
NOVELTY_REACH_S = 8.0
LEAST_NOVELTY = 0.15
LEAST_CHANGE = 0.35
SHORTEST_SECTION_S = 4.0
LETTER_LEVEL = 0.4
LAGS = 2 * round(3.0 / FINE_CELL_S) + 1
"""Places at which a return is looked for: up to 3 s before and after the one asked for."""
SLACK = round(0.5 / FINE_CELL_S)
"""A return half a second early or late is still on time."""

Sections = Sequence[tuple[float, float, str]]


def validate(wave: Wave, sample_rate: int, form: Sections | None = None) -> None:
    """Refuse what has no form to judge.

    Raises:
        AudioError: Empty, not finite, silent, shorter than 20 s or longer than 30 min.
        DataError: The form is not (start_s, end_s, letter) in order within the piece.
    """
    validate_piece(wave, sample_rate)
    duration_s = wave.shape[1] / sample_rate
    before_s = 0.0
    for section in form or ():
        if not (len(section) == 3 and isinstance(section[2], str)):
            raise DataError(f"got section {section}; expected (start_s, end_s, letter)")
        start_s, end_s, _ = section
        if not before_s - 1e-6 <= start_s < end_s <= duration_s + CELL_S:
            raise DataError(
                f"section {section} is out of order or outside the piece of {duration_s:.1f} s; "
                "expected sections in order, start before end"
            )
        before_s = end_s


def novelty(matrix: Matrix, cell_s: float = CELL_S) -> Float[np.ndarray, " cells"]:
    """How much the 8 s before and after each cell's start differ, at least 0 (Foote 2000).

    Mean similarity within the two sides minus that across, under a Gaussian taper. Only what lies
    inside the piece counts; cells nearer than 4 s to an end are 0.
    """
    cells, reach = len(matrix), round(NOVELTY_REACH_S / cell_s)
    least = round(SHORTEST_SECTION_S / cell_s)
    curve = np.zeros(cells)
    for cell in range(least, cells - least):
        offsets = np.arange(max(-reach, -cell), min(reach, cells - cell)) + 0.5
        taper = np.exp(-2 * (offsets / reach) ** 2)
        span = slice(cell + int(offsets[0] - 0.5), cell + int(offsets[0] - 0.5) + len(offsets))
        around = matrix[span, span]
        weights = np.outer(taper, taper) * ~np.eye(len(offsets), dtype=bool)
        same_side = np.sign(np.outer(offsets, offsets)) > 0
        within = np.average(around[same_side], weights=weights[same_side])
        across = np.average(around[~same_side], weights=weights[~same_side])
        curve[cell] = within - across
    return np.maximum(curve, 0)


def peaks(
    curve: Float[np.ndarray, " cells"], threshold: float, cell_s: float = CELL_S
) -> Int[np.ndarray, " peaks"]:
    """Cells at which a curve is the largest within 4 s on both sides, and above a threshold."""
    reach = round(SHORTEST_SECTION_S / cell_s)
    padded = np.pad(curve, reach, constant_values=-np.inf)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    return np.flatnonzero((around.argmax(axis=1) == reach) & (curve > threshold))


def stripes(matrix: Matrix, cell_s: float = CELL_S) -> Float[np.ndarray, "lags cells"]:
    """The lag matrix, enhanced: mean similarity of the 8 s from each cell with those `lag` later.

    Row `lag`, column `cell`: the mean of matrix[cell + i, cell + lag + i] over 8 s; -1 where that
    runs out of the piece, and for lags below 8 s.
    """
    cells, width = len(matrix), round(RETURN_S / cell_s)
    enhanced = np.full((cells, cells), -1.0)
    for lag in range(width, cells - width + 1):
        running = np.concatenate([[0.0], np.cumsum(np.diagonal(matrix, lag))])
        enhanced[lag, : len(running) - width] = (running[width:] - running[:-width]) / width
    return enhanced


def returning(matrix: Matrix, cell_s: float = CELL_S) -> Bool[np.ndarray, "lags cells"]:
    """Which cells lie in 8 s of music that the piece has once more, by signed lag.

    Row `cells + lag` of (2 cells, cells): the music around `cell` is heard again at `cell + lag`.
    """
    cells, width = len(matrix), round(RETURN_S / cell_s)
    marks = np.zeros((2 * cells, cells + 1), dtype=np.int16)
    lag, cell = np.nonzero(stripes(matrix, cell_s) > RETURN_LEVEL)
    for start, way in ((cell, lag), (cell + lag, -lag)):
        np.add.at(marks, (cells + way, start), 1)
        np.add.at(marks, (cells + way, start + width), -1)
    return np.cumsum(marks[:, :-1], axis=1) > 0


def return_changes(
    returns: Bool[np.ndarray, "lags cells"], cell_s: float = CELL_S
) -> Float[np.ndarray, " cells"]:
    """How much of what returns begins or ends at each cell, in [0, 1].

    Over the lags at which something returns within 4 s, the mean difference between the share of
    the 4 s before and the share of the 4 s after that return there: 1 where a returning section
    ends and nothing follows at its lag (after the structure features of Serra et al. 2014).
    """
    reach = round(SHORTEST_SECTION_S / cell_s)
    running = np.pad(np.cumsum(returns, axis=1, dtype=np.int32), ((0, 0), (1, 0)))
    curve = np.zeros(returns.shape[1])
    for cell in range(reach, len(curve) - reach):
        before = running[:, cell] - running[:, cell - reach]
        after = running[:, cell + reach] - running[:, cell]
        either = before + after > 0
        if either.any():
            curve[cell] = np.abs(after - before)[either].mean() / reach
    return curve


def boundaries(matrix: Matrix, cell_s: float = CELL_S) -> Int[np.ndarray, " boundaries"]:
    """Cells at which a section starts: where what returns begins or ends, or the sound changes.

    A change of sound within music that returns as a whole, or within 4 s of the former kind, starts
    no section.
    """
    returns = returning(matrix, cell_s)
    edges = peaks(return_changes(returns, cell_s), LEAST_CHANGE, cell_s)
    reach = round(SHORTEST_SECTION_S / cell_s)
    sounds = [
        cell
        for cell in peaks(novelty(matrix, cell_s), LEAST_NOVELTY, cell_s).tolist()
        if not returns[:, cell - reach : cell + reach].all(axis=1).any()
        and (not len(edges) or np.abs(edges - cell).min() > reach)
    ]
    return np.array(sorted([*edges.tolist(), *sounds]), dtype=int)


def best_returns(matrix: Matrix, cell_s: float = CELL_S) -> Float[np.ndarray, " starts"]:
    """For the 8 s from each cell, the similarity of the 8 s elsewhere that are most like them."""
    width = round(RETURN_S / cell_s)
    enhanced = stripes(matrix, cell_s)
    best = enhanced.max(axis=0)
    for lag in range(width, len(matrix)):
        best[lag:] = np.maximum(best[lag:], enhanced[lag, : len(matrix) - lag])
    return best[: len(matrix) - width + 1]


def best_reversals(matrix: Matrix, cell_s: float = CELL_S) -> Float[np.ndarray, " starts"]:
    """For the 8 s from each cell, the similarity of the 8 s elsewhere most like them backwards."""
    cells, width = len(matrix), round(RETURN_S / cell_s)
    backwards = matrix[:, ::-1]
    best = np.full(cells - width + 1, -1.0)
    for offset in range(width - cells, cells - width + 1):
        running = np.concatenate([[0.0], np.cumsum(np.diagonal(backwards, offset))])
        means = (running[width:] - running[:-width]) / width
        start = np.arange(len(means)) + max(0, -offset)
        elsewhere = cells - width - np.arange(len(means)) - max(0, offset)
        apart = np.abs(elsewhere - start) >= width
        best[start[apart]] = np.maximum(best[start[apart]], means[apart])
    return best


def _share(
    better: Float[np.ndarray, " starts"], than: Float[np.ndarray, " starts"], cell_s: float
) -> float:
    """Share of the piece in 8 s that are alike to others one way, and clearly less the other."""
    width = round(RETURN_S / cell_s)
    starts = (better > RETURN_LEVEL) & (better > than + CLEARLY)
    return float((np.convolve(starts, np.ones(width)) > 0.5).mean())


def repetition(matrix: Matrix, cell_s: float = CELL_S) -> float:
    """Share of the piece, in [0, 1], whose 8 s return at least 8 s away, and not backwards as well.

    What is as much alike backwards is a sound that stays or comes again, not music that returns.
    """
    return _share(best_returns(matrix, cell_s), best_reversals(matrix, cell_s), cell_s)


def repetition_null(matrix: Matrix, cell_s: float = CELL_S) -> float:
    """Repetition with forwards and backwards exchanged: what chance makes of the same sounds.

    As many places are compared, and neighbours are as alike, as in `repetition`; but music hardly
    ever returns backwards.
    """
    return _share(best_reversals(matrix, cell_s), best_returns(matrix, cell_s), cell_s)


def period_s(matrix: Matrix, cell_s: float = CELL_S) -> float:
    """The lag at which the largest part of the piece returns, in seconds; 0 if nothing does."""
    returns = stripes(matrix, cell_s) > RETURN_LEVEL
    counts = returns.sum(axis=1)
    return float(np.argmax(counts) * cell_s) if counts.any() else 0.0


def alike(matrix: Matrix, one: slice, other: slice) -> float:
    """How alike two stretches are: the shorter laid along the longer, where it fits best."""
    block = matrix[one, other] if one.stop - one.start <= other.stop - other.start else None
    block = matrix[other, one] if block is None else block
    lags = range(block.shape[1] - block.shape[0] + 1)
    return max(float(np.mean(np.diagonal(block, lag))) for lag in lags)


def labels_of(matrix: Matrix, cell_s: float = CELL_S) -> list[tuple[float, float, str]]:
    """Sections between the boundaries, with the same letter where the music is the same.

    Agglomerative, average linkage: the two most alike groups are joined until none are alike.
    """
    edges = [0, *boundaries(matrix, cell_s).tolist(), len(matrix)]
    spans = [slice(start, stop) for start, stop in pairwise(edges)]
    closeness = np.array([[alike(matrix, one, other) for other in spans] for one in spans])
    groups = [[index] for index in range(len(spans))]
    while len(groups) > 1:
        pairs = [(a, b) for b in range(len(groups)) for a in range(b)]
        means = [closeness[np.ix_(groups[a], groups[b])].mean() for a, b in pairs]
        if max(means) < LETTER_LEVEL:
            break
        a, b = pairs[int(np.argmax(means))]
        groups[a] += groups.pop(b)
    names = [next(g for g, group in enumerate(groups) if i in group) for i in range(len(spans))]
    ranks = {name: rank for rank, name in enumerate(dict.fromkeys(names))}
    return [
        (span.start * cell_s, span.stop * cell_s, letter(ranks[name]))
        for span, name in zip(spans, names, strict=True)
    ]


def letter(rank: int) -> str:
    """A, B, ... Z, A1, B1, ..."""
    turn, place = divmod(rank, 26)
    return chr(ord("A") + place) + (str(turn) if turn else "")


def labels(wave: Wave, sample_rate: int) -> list[tuple[float, float, str]]:
    """The sections found in a piece, (start_s, end_s, letter) from 0 to its end.

    Raises:
        AudioError: As `validate`.
    """
    found = labels_of(self_similarity(wave, sample_rate))
    start_s, _, last = found[-1]
    return [*found[:-1], (start_s, wave.shape[1] / sample_rate, last)]


def pairwise_f(found: Sections, asked: Sections) -> float:
    """F-measure of "these two moments have the same letter", over moments 0.1 s apart; best 1.

    Over the time that was asked for (Levy & Sandler 2008). One letter throughout scores above 0:
    it finds every pair that was asked, and others.
    """
    moments = np.arange(asked[0][0], asked[-1][1], 0.1) + 0.05
    same_found, same_asked = (_same_letter(sections, moments) for sections in (found, asked))
    upper = np.triu_indices(len(moments), 1)
    both = float((same_found & same_asked)[upper].sum())
    total = float(same_found[upper].sum() + same_asked[upper].sum())
    return 2 * both / total if total else 0.0


def _same_letter(sections: Sections, moments: np.ndarray) -> np.ndarray:
    """Which moments share a letter (moments, moments); outside of all sections none does."""
    names = np.full(len(moments), -1)
    numbers = {name: number for number, name in enumerate({section[2] for section in sections})}
    for start_s, end_s, name in sections:
        names[(moments >= start_s) & (moments < end_s)] = numbers[name]
    return (names[:, None] == names[None]) & (names >= 0)[:, None]


def does_it_return(wave: Wave, sample_rate: int, form: Sections) -> dict[str, float]:
    """How well letters that were asked for more than once return, averaged over such pairs.

    Sections of one letter are laid on one another from their starts (half a second early or
    late is still on time), moment by moment. Against
    them stand sections of different letters, in every alignment (turned round within the longer):
    what unrelated stretches of the same piece have in common.

    Raises:
        AudioError: As `validate`.
        DataError: As `validate`, or no letter returns, or there is only one letter.
    """
    validate(wave, sample_rate, form)
    rows = unit_features(*raw_cells(wave, sample_rate, FINE_CELL_S))
    spans = [(_cell(start_s), min(_cell(end_s), len(rows)), name) for start_s, end_s, name in form]
    same = [pair for pair in combinations(spans, 2) if pair[0][2] == pair[1][2]]
    different = [pair for pair in combinations(spans, 2) if pair[0][2] != pair[1][2]]
    if not (same and different):
        raise DataError(
            f"the form is {'-'.join(section[2] for section in form)}; expected a letter that "
            "returns and another one, such as A-B-A"
        )
    others = np.concatenate(
        [turned_similarity(rows[a:b], rows[c:d]) for (a, b, _), (c, d, _) in different]
    )
    fits = [_fits(rows, one[0], other[0], _shorter(one, other)) for one, other in same]
    near = slice(LAGS // 2 - SLACK, LAGS // 2 + SLACK + 1)
    aligned = np.array([np.nanmax(fit[near]) for fit in fits])
    ranks = [np.mean(others < fit) + 0.5 * np.mean(others == fit) for fit in aligned]
    lags = [abs(int(np.nanargmax(fit)) - LAGS // 2) * FINE_CELL_S for fit in fits]
    spread = max(float(others.std()), LEAST_SPREAD)
    return {
        "return_auc": float(np.mean(ranks)),
        "return_d_prime": float((aligned.mean() - others.mean()) / spread),
        "return_similarity": float(aligned.mean()),
        "return_lag_error_s": float(np.mean(lags)),
    }


def _cell(seconds: float) -> int:
    return round(seconds / FINE_CELL_S)


def _shorter(one: tuple[int, int, str], other: tuple[int, int, str]) -> int:
    return min(one[1] - one[0], other[1] - other[0])


def turned_similarity(
    one: Float[np.ndarray, "_cells dim"], other: Float[np.ndarray, "_others dim"]
) -> Float[np.ndarray, " _turns"]:
    """Mean similarity of two stretches in every alignment, the longer one turned round.

    Of every alignment and those within half a second of it, the best: music with a pulse is more
    alike on its beats than between them, related or not.
    """
    short, long = sorted((one, other), key=len)
    moments, turns = np.arange(len(short)), np.arange(len(long))[:, None]
    fits = (short @ long.T)[moments, (moments + turns) % len(long)].mean(axis=1)
    return np.max([np.roll(fits, shift) for shift in range(-SLACK, SLACK + 1)], axis=0)


def _fits(rows: Features, first: int, asked: int, length: int) -> Float[np.ndarray, " _lags"]:
    """Mean similarity of a section with the places up to 3 s around the one asked for.

    NaN where less than half of the section would lie inside the piece.
    """
    fits = np.full(LAGS, np.nan)
    for index, start in enumerate(range(asked - LAGS // 2, asked + LAGS // 2 + 1)):
        before, inside = max(0, -start), min(length, len(rows) - start)
        if inside - before > length / 2:
            heard, again = (
                rows[first + before : first + inside],
                rows[start + before : start + inside],
            )
            fits[index] = np.mean(np.sum(heard * again, axis=1))
    return fits


def evaluate(wave: Wave, sample_rate: int, form: Sections | None = None) -> dict[str, float]:
    """All figures of one piece by name; those of the return only where a form was asked for.

    Args:
        wave: The piece, (channels, time).
        sample_rate: Samples per second.
        form: The sections asked for, (start_s, end_s, letter).

    Raises:
        AudioError: As `validate`.
        DataError: As `does_it_return`.
    """
    validate(wave, sample_rate, form)
    matrix = self_similarity(wave, sample_rate)
    found = labels_of(matrix)
    minutes = wave.shape[1] / sample_rate / 60
    figures = {
        "repetition": repetition(matrix),
        "repetition_null": repetition_null(matrix),
        "period_s": period_s(matrix),
        "boundaries_per_minute": (len(found) - 1) / minutes,
        "letters": float(len({section[2] for section in found})),
    }
    if form:
        figures |= does_it_return(wave, sample_rate, form)
        figures["letters_f"] = pairwise_f(found, form)
    return figures
