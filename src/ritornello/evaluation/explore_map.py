"""Points on a plane for things that have many numbers each: samples as heard, artists as learnt.

    pca     the two directions in which the features spread most; distances far apart can be trusted
    tsne    neighbours stay neighbours (van der Maaten & Hinton, "Visualizing data using t-SNE",
            2008), exact; only near distances can be trusted

Conventions
    features   float (items, dim), one row per thing
    points     float (items, 2) in [0, 1], one scale for both axes

Neither uses chance: t-SNE starts at PCA's points, so that equal features give an equal map.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ritornello.checkpoint import load_component, read_config
from ritornello.errors import CheckpointError, DataError

PERPLEXITY = 30.0
STEPS, EXAGGERATED_STEPS, EXAGGERATION = 500, 125, 12.0
MOST_TSNE_ITEMS = 2000
SMALLEST = 1e-12

Features = Float[np.ndarray, "items dim"]
Points = Float[np.ndarray, "items 2"]
Affinities = Float[np.ndarray, "items items"]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A way to lay features out.

    Attributes:
        name: What it is asked for by.
        says: How to read its maps.
        points: Points of features.
        most: Features that it can lay out at a time; None is any number.
    """

    name: str
    says: str
    points: Callable[[Features], Points]
    most: int | None = None

    def require(self, items: int) -> None:
        """Raise DataError for more things than the layout is made for."""
        if self.most is not None and items > self.most:
            raise DataError(
                f"{self.name} lays out {self.most} samples at most; got {items}. Use --map pca"
            )


# ---- PCA -------------------------------------------------------------------------------------


def pca(features: Features) -> Points:
    """The features along the two directions of their largest spread."""
    return framed(principal(features))


def principal(features: Features) -> Points:
    """The same in the features' own units.

    A direction points to where its largest weight is positive: otherwise its sign would depend on
    the library that found it.
    """
    centred = np.asarray(features, dtype=np.float64) - np.mean(features, axis=0, dtype=np.float64)
    padded = np.pad(centred, ((0, 0), (0, max(0, 2 - centred.shape[1]))))
    _, _, directions = np.linalg.svd(padded, full_matrices=False)
    directions = np.pad(directions, ((0, max(0, 2 - len(directions))), (0, 0)))[:2]
    largest = np.abs(directions).argmax(axis=1)
    signs = np.where(directions[np.arange(2), largest] < 0, -1.0, 1.0)
    return padded @ (directions * signs[:, None]).T


def framed(points: Points) -> Points:
    """The points moved and scaled into the unit square, distances in proportion."""
    low, high = points.min(axis=0), points.max(axis=0)
    reach = float((high - low).max())
    if reach <= 0:
        return np.full_like(points, 0.5)
    return (points - (low + high) / 2) / reach + 0.5


# ---- t-SNE -----------------------------------------------------------------------------------


def tsne(features: Features) -> Points:
    """Points whose neighbours are the features' neighbours.

    Gradient descent with momentum and a gain for every coordinate, attraction exaggerated at first,
    as in the authors' own program.
    """
    items = len(features)
    if items < 4:
        return pca(features)
    wanted = affinities(features, min(PERPLEXITY, (items - 1) / 3))
    points = principal(features)
    points *= 1e-2 / max(float(points.std(axis=0).max()), SMALLEST)
    velocity, gains = np.zeros_like(points), np.ones_like(points)
    rate = max(items / EXAGGERATION / 4, 50.0)
    for step in range(STEPS):
        early = step < EXAGGERATED_STEPS
        slope = _slope(wanted * (EXAGGERATION if early else 1.0), points)
        gains = np.where(slope * velocity < 0, gains + 0.2, np.maximum(gains * 0.8, 0.01))
        velocity = (0.5 if early else 0.8) * velocity - rate * gains * slope
        points = points + velocity
    return framed(points)


def affinities(features: Features, perplexity: float) -> Affinities:
    """How near each pair is, symmetric, summing to 1 (their eq. 1, and 3.1 for the symmetric form).

    Every row's Gaussian is as wide as gives it `perplexity` neighbours, found by bisection.
    """
    distances = squared_distances(features)
    items = len(distances)
    shares = np.zeros_like(distances)
    for row in range(items):
        others = np.delete(distances[row], row)
        shares[row] = np.insert(_row_shares(others, np.log(perplexity)), row, 0.0)
    return np.maximum((shares + shares.T) / (2 * items), SMALLEST)


def _row_shares(
    distances: Float[np.ndarray, " others"], entropy: float
) -> Float[np.ndarray, " others"]:
    """Shares of the others at squared distances, their entropy in nats as asked."""
    nearest = distances - distances.min()
    scale = max(float(nearest.mean()), SMALLEST)
    low, high, precision = 0.0, np.inf, 1.0
    shares = np.full_like(distances, 1 / len(distances))
    for _ in range(60):
        weights = np.exp(-precision * nearest / scale)
        shares = weights / weights.sum()
        excess = -np.sum(shares * np.log(np.maximum(shares, SMALLEST))) - entropy
        if abs(excess) < 1e-5:
            break
        low, high = (precision, high) if excess > 0 else (low, precision)
        precision = 2 * low if np.isinf(high) else (low + high) / 2
    return shares


def _slope(wanted: Affinities, points: Points) -> Points:
    """The gradient of the divergence between affinities and those of the points (their eq. 5)."""
    closeness = 1 / (1 + squared_distances(points))
    np.fill_diagonal(closeness, 0.0)
    forces = (wanted - np.maximum(closeness / closeness.sum(), SMALLEST)) * closeness
    return 4 * (forces.sum(axis=1)[:, None] * points - forces @ points)


def squared_distances(features: Features) -> Affinities:
    """Squared distances between all rows, none below 0."""
    rows = np.asarray(features, dtype=np.float64)
    squares = (rows**2).sum(axis=1)
    return np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0.0)


LAYOUTS = {
    "pca": Layout(
        name="pca", says="PCA: the two directions in which they differ most.", points=pca
    ),
    "tsne": Layout(
        name="tsne",
        says="t-SNE: neighbours are alike; how far groups are apart says nothing.",
        points=tsne,
        most=MOST_TSNE_ITEMS,
    ),
}


# ---- what a model learnt of its labels -------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class LabelTable:
    """The rows that a prior learnt for its artists, or its genres.

    Attributes:
        facet: The facet of samples that the names are values of.
        names: Of the rows.
        rows: float (names, width).
    """

    facet: str
    names: tuple[str, ...]
    rows: Float[np.ndarray, "names width"]


def label_tables(model: Path) -> list[LabelTable]:
    """What a model folder's prior learnt of artists and of genres.

    Args:
        model: A model folder with names in `config.json` and tables in the component `prior`.

    Raises:
        CheckpointError: No component `prior`, fewer rows than names, or not a single name that is
            learnt.
    """
    config = read_config(model)
    _, tensors = load_component(model, "prior")
    tables = []
    for facet, key in (("artist", "artists"), ("genre", "genres")):
        names, tensor = _names(config, key), tensors.get(f"labels.{key}.weight")
        if tensor is None or len(names) < 2:  # the first is "unknown"
            continue
        if len(tensor) < len(names):
            raise CheckpointError(
                f"{model} names {len(names)} {key} and has {len(tensor)} rows of them; expected a "
                "row for every name. Get the model again."
            )
        rows = tensor[: len(names)].double().numpy()
        tables.append(LabelTable(facet=facet, names=names, rows=rows))
    if not tables:
        raise CheckpointError(
            f"{model} knows no artists or genres by name; expected a jukebox model trained on "
            "labelled music. Leave --model out to explore the samples alone."
        )
    return tables


def _names(config: Mapping[str, Any], key: str) -> tuple[str, ...]:
    names = config.get(key)
    return tuple(map(str, names)) if isinstance(names, list) else ()
