"""Does music that was asked for by name sound like that name's? A small classifier as the judge.

    real clips of known names -> classifier -> held-out real clips: can it tell the names at all?
                                            -> generated clips: does it hear what was asked for?

Softmax regression with a ridge on standardised features, the mean of a clip's embedding patches. It
is small on purpose: whoever can be told apart by it sounds different, not merely is known by heart.

Conventions
    features   float (clips, dim), one row per clip
    labels     int in 0 .. names-1, (clips,): who it is by, or who was asked for
    works      for every clip the piece it is from; clips of one work are alike, so that they stay
               together wherever a set is split or resampled. Each generated take is its own work
    counts     int (names, names): clips of the row's name that were heard as the column's

Metrics
    balanced accuracy   mean over names of the share of their clips that are recognised; whoever
                        always answers the same name gets no more than chance
    held_out            of real clips that the classifier has not seen: no adherence can be
                        expected to come out higher
    left_out            of the training clips by classifiers that have not seen the clip's work; it
                        rests on more works, and is a little too high, as the ridge is chosen by it
    adherence           of generated clips, by the name that was asked for
    _null               the same with labels shuffled among works; for held_out those that the
                        classifier learns from, for adherence those that were asked for

All names weigh the same in training, however many clips they have.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch.nn import functional

from ritornello.data.corpus import Corpus
from ritornello.errors import DataError
from ritornello.evaluation.clips import Clip, clips_of
from ritornello.evaluation.intervals import Estimate, resampled, spread, without_interval

RIDGES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
FOLDS = 4
SHUFFLED_FITS, SHUFFLED_REQUESTS = 16, 200
STEPS = 60

Features = Float[np.ndarray, "clips dim"]
Labels = Int[np.ndarray, " clips"]
Counts = Int[np.ndarray, "names names"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledClips:
    """Clips and whose they are.

    Attributes:
        features: (clips, dim).
        labels: Index of the name of each clip.
        works: What each clip is from.
    """

    features: Features
    labels: Labels
    works: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, chosen: np.ndarray) -> "LabelledClips":
        """The clips at some indices, or where a mask is true."""
        works = tuple(np.array(self.works)[chosen].tolist())
        return LabelledClips(
            features=self.features[chosen], labels=self.labels[chosen], works=works
        )

    def shuffled(self, draw: np.random.Generator) -> "LabelledClips":
        """The same clips with the labels of the works dealt out anew."""
        works, first, of_clip = np.unique(self.works, return_index=True, return_inverse=True)
        dealt = self.labels[first][draw.permutation(len(works))]
        return replace(self, labels=dealt[of_clip])


def validate(clips: LabelledClips, names: int) -> None:
    """Refuse what cannot be learnt from or judged.

    Raises:
        DataError: No clips, fewer than two names, labels that are no names, works of two names, or
            features that are not finite.
    """
    if names < 2:
        raise DataError(f"got {names} name(s) to tell apart; expected at least two")
    if not len(clips):
        raise DataError("got 0 labelled clips; expected at least one")
    if not len(clips.features) == len(clips.labels) == len(clips.works):
        raise DataError(
            f"got features of {len(clips.features)} clips, labels of {len(clips.labels)} and works "
            f"of {len(clips.works)}; expected the same number"
        )
    least, most = int(clips.labels.min()), int(clips.labels.max())
    if least < 0 or most >= names:
        raise DataError(f"labels are {least} .. {most}; expected 0 .. {names - 1}")
    if not np.isfinite(clips.features).all():
        raise DataError("features hold NaN or infinity; expected finite values")
    pairs = set(zip(clips.works, clips.labels.tolist(), strict=True))
    if len(pairs) > len(set(clips.works)):
        raise DataError("a work has clips of two names; expected one name for each work")


# ------------------------------------------------------------------ the classifier


@dataclass(frozen=True, kw_only=True, eq=False)
class Classifier:
    """Softmax regression.

    Attributes:
        mean: Of the training features.
        scale: Their standard deviation; 1 where they do not move.
        weights: (dim, names).
        bias: (names,).
    """

    mean: Float[np.ndarray, " dim"]
    scale: Float[np.ndarray, " dim"]
    weights: Float[np.ndarray, "dim names"]
    bias: Float[np.ndarray, " names"]

    def heard(self, features: Features) -> Labels:
        """The likeliest name of every clip."""
        return ((features - self.mean) / self.scale @ self.weights + self.bias).argmax(axis=1)


def fit(clips: LabelledClips, names: int, ridge: float) -> Classifier:
    """The classifier of these clips, in float64; a convex problem, which needs no random start.

    Args:
        clips: What to learn from; standardised by their own mean and deviation.
        names: How many there are.
        ridge: Penalty on half the squared weights, against the mean cross-entropy.

    Raises:
        DataError: As `validate`, or a name without a clip.
    """
    validate(clips, names)
    counts = np.bincount(clips.labels, minlength=names)
    if not counts.all():
        raise DataError(f"name {int(counts.argmin())} has no clip; expected some of every name")
    mean, deviation = clips.features.mean(axis=0), clips.features.std(axis=0)
    scale = np.where(deviation > 1e-9, deviation, 1.0)
    features = torch.from_numpy((clips.features - mean) / scale).double()
    labels = torch.from_numpy(clips.labels).long()
    shares = torch.from_numpy(1 / (names * counts)).double()
    weights = torch.zeros(features.shape[1], names, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(names, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        surprise = functional.cross_entropy(features @ weights + bias, labels, reduction="none")
        total = (shares[labels] * surprise).sum() + ridge / 2 * weights.square().sum()
        total.backward()
        return total

    with torch.enable_grad():
        optimiser.step(loss)  # pyright: ignore[reportArgumentType]
    return Classifier(
        mean=mean, scale=scale, weights=weights.detach().numpy(), bias=bias.detach().numpy()
    )


def folds(clips: LabelledClips, draw: np.random.Generator) -> Labels:
    """Which fold each clip is left out in, (clips,): whole works, those of a name spread evenly.

    The only work of a name is never left out (-1): nothing could be learnt of the name without it.
    """
    works, first, of_clip = np.unique(clips.works, return_index=True, return_inverse=True)
    labels = clips.labels[first]
    fold = np.full(len(works), -1)
    for name in np.unique(labels):
        own = np.flatnonzero(labels == name)
        if len(own) > 1:
            fold[draw.permutation(own)] = np.arange(len(own)) % FOLDS
    return fold[of_clip]


def heard_unseen(clips: LabelledClips, fold: Labels, names: int, ridge: float) -> Labels:
    """The likeliest name of every clip by a classifier that has not seen its fold; -1 for none."""
    heard = np.full(len(clips), -1)
    for number in range(FOLDS):
        left = fold == number
        if left.any():
            heard[left] = fit(clips.part(~left), names, ridge).heard(clips.features[left])
    return heard


def chosen_ridge(clips: LabelledClips, fold: Labels, names: int) -> tuple[float, Labels]:
    """The ridge that recognises most in works left out in turn, and what it hears in them."""
    judged = fold >= 0
    labels = clips.labels[judged]
    best: tuple[float, float, Labels] | None = None
    for ridge in RIDGES:
        heard = heard_unseen(clips, fold, names, ridge)
        right = balanced_accuracy(confusion(labels, heard[judged], names))
        if best is None or right > best[0]:
            best = right, ridge, heard
    assert best is not None
    return best[1], best[2]


# ------------------------------------------------------------------ figures


def confusion(asked: Labels, heard: Labels, names: int) -> Counts:
    """How many clips of each name were heard as each name."""
    return np.bincount(asked * names + heard, minlength=names**2).reshape(names, names)


def balanced_accuracy(counts: Counts) -> float:
    """Mean over the names that have clips of the share that is recognised; 0 without clips."""
    totals = counts.sum(axis=1)
    there = totals > 0
    return float((counts.diagonal()[there] / totals[there]).mean()) if there.any() else 0.0


def counts_by_work(
    clips: LabelledClips, heard: Labels, names: int
) -> Int[np.ndarray, "_works names names"]:
    """The confusion of every work, in order of its name; they add up to that of all clips."""
    works, of_clip = np.unique(clips.works, return_inverse=True)
    parts = np.zeros((len(works), names, names), dtype=np.int64)
    np.add.at(parts, (of_clip, clips.labels, heard), 1)
    return parts


def recognised(
    clips: LabelledClips, heard: Labels, names: int, draw: np.random.Generator
) -> Estimate:
    """Balanced accuracy with its interval over works."""
    parts = counts_by_work(clips, heard, names)
    return resampled(len(parts), lambda chosen: balanced_accuracy(parts[chosen].sum(axis=0)), draw)


def table(
    clips: LabelledClips, heard: Labels, names: Sequence[str], draw: np.random.Generator
) -> dict[str, dict[str, Estimate]]:
    """Of every name that has clips the share heard as each name, with intervals over its works."""
    parts = counts_by_work(clips, heard, len(names))
    rows: dict[str, dict[str, Estimate]] = {}
    for index, name in enumerate(names):
        own = parts[:, index][parts[:, index].sum(axis=1) > 0]
        if len(own):
            rows[name] = {
                other: resampled(len(own), _share_of(own, column), draw)
                for column, other in enumerate(names)
            }
    return rows


def _share_of(own: Int[np.ndarray, "_works names"], column: int) -> Callable[[np.ndarray], float]:
    """The share of one column as a statistic of works."""

    def share(chosen: np.ndarray) -> float:
        drawn = own[chosen].sum(axis=0)
        return float(drawn[column] / drawn.sum())

    return share


@dataclass(frozen=True, kw_only=True)
class Adherence:
    """What `judge` found.

    Attributes:
        figures: By name, as the module's text has them.
        held_out: Confusion of held-out real clips.
        generated: Confusion of generated ones: rows asked for, columns heard.
        ridge: Of the classifier.
    """

    figures: dict[str, Estimate]
    held_out: dict[str, dict[str, Estimate]]
    generated: dict[str, dict[str, Estimate]]
    ridge: float


def judge(
    training: LabelledClips,
    held_out: LabelledClips,
    generated: LabelledClips,
    names: Sequence[str],
    draw: np.random.Generator,
) -> Adherence:
    """Figures and confusion tables.

    Args:
        training: Real clips to learn from.
        held_out: Real clips of other works.
        generated: Clips by the name that was asked for.
        names: In the order of the labels.
        draw: Source of folds, shuffles and intervals.

    Raises:
        DataError: As `fit`, or a work on both sides.
    """
    count = len(names)
    for clips in (training, held_out, generated):
        validate(clips, count)
    both = set(training.works) & set(held_out.works)
    if both:
        raise DataError(f"{min(both)!r} is in training and held out; expected different works")
    fold = folds(training, draw)
    ridge, unseen = chosen_ridge(training, fold, count)
    classifier = fit(training, count, ridge)
    heard, answered = classifier.heard(held_out.features), classifier.heard(generated.features)
    blind = [
        _accuracy(held_out, fit(training.shuffled(draw), count, ridge), count)
        for _ in range(SHUFFLED_FITS)
    ]
    free = [
        balanced_accuracy(confusion(generated.shuffled(draw).labels, answered, count))
        for _ in range(SHUFFLED_REQUESTS)
    ]
    figures = {
        "held_out": recognised(held_out, heard, count, draw),
        "held_out_null": spread(blind, len(set(held_out.works))),
        **_left_out(training, unseen, count, draw),
        "adherence": recognised(generated, answered, count, draw),
        "adherence_null": spread(free, len(set(generated.works))),
        "chance": without_interval(1 / count, count),
    }
    return Adherence(
        figures=figures,
        held_out=table(held_out, heard, names, draw),
        generated=table(generated, answered, names, draw),
        ridge=ridge,
    )


def evaluate(
    training: LabelledClips,
    held_out: LabelledClips,
    generated: LabelledClips,
    names: Sequence[str],
    draw: np.random.Generator,
) -> dict[str, Estimate]:
    """The figures of `judge` alone."""
    return judge(training, held_out, generated, names, draw).figures


def _left_out(
    training: LabelledClips, unseen: Labels, names: int, draw: np.random.Generator
) -> dict[str, Estimate]:
    """Of the works that were left out; nothing where every name has one work."""
    judged = unseen >= 0
    if not judged.any():
        return {}
    return {"left_out": recognised(training.part(judged), unseen[judged], names, draw)}


def _accuracy(clips: LabelledClips, classifier: Classifier, names: int) -> float:
    return balanced_accuracy(confusion(clips.labels, classifier.heard(clips.features), names))


# ------------------------------------------------------------------ real clips by name


def names_to_judge(corpus: Corpus, label: str, seconds: float, least: int = 2) -> list[str]:
    """Names with enough music on both sides of the split, most training music first.

    A name without held-out music is left out: nobody would know whether the classifier hears it.

    Args:
        corpus: With the splits "train" and "valid".
        label: Which label holds the names, e.g. "composer".
        seconds: Length of the clips.
        least: Recordings that a name must have on each side.
    """
    lengths: dict[str, dict[str, list[float]]] = {}
    for recording in corpus:
        name = recording.labels.get(label)
        if name and recording.duration_s >= seconds:
            sides = lengths.setdefault(name, {"train": [], "valid": [], "test": []})
            sides[recording.split].append(recording.duration_s)
    enough = [
        name
        for name, sides in lengths.items()
        if min(len(sides["train"]), len(sides["valid"])) >= least
    ]
    return sorted(enough, key=lambda name: (-sum(lengths[name]["train"]), name))


def clips_by_name(
    corpus: Corpus,
    label: str,
    names: Sequence[str],
    *,
    seconds: float,
    per_name: int,
    seed: int = 0,
) -> list[tuple[Clip, int, str]]:
    """About `per_name` clips of every name: clip, index of the name, work.

    Recordings are taken in turn, in an order drawn from the seed, so that all have a part in it.

    Args:
        corpus: Of one split.
        label: Which label holds the names.
        names: Whose clips.
        seconds: Length of each clip.
        per_name: Fewer where there is no more music.
        seed: Of order and places.
    """
    draw = np.random.default_rng(seed)
    found: list[tuple[Clip, int, str]] = []
    for index, name in enumerate(names):
        own = [one for one in corpus if one.labels.get(label) == name and one.duration_s >= seconds]
        order = [own[place] for place in draw.permutation(len(own)).tolist()][:per_name]
        for place, recording in enumerate(order):
            count = per_name // len(order) + (place < per_name % len(order))
            clips = clips_of(recording.path, seconds=seconds, count=count, seed=seed)
            found += [(clip, index, recording.work) for clip in clips]
    return found
