"""Maps: PCA against its definition, t-SNE against what it promises, tables out of a model."""

import numpy as np
import pytest

from ritornello.checkpoint import save_component, write_checksums, write_config
from ritornello.errors import CheckpointError, DataError
from ritornello.evaluation.explore_map import (
    LAYOUTS,
    affinities,
    label_tables,
    pca,
    principal,
    squared_distances,
    tsne,
)


def groups(items=60, dim=12, apart=8.0):
    """Noise around the corners of a simplex: features, and which corner."""
    draw = np.random.default_rng(0)
    group = np.arange(items) % 4
    return draw.normal(size=(items, dim)) + apart * np.eye(4, dim)[group], group


def neighbour_share(points, group):
    """How often the nearest point is of the same group."""
    distances = squared_distances(points)
    np.fill_diagonal(distances, np.inf)
    return float((group[distances.argmin(axis=1)] == group).mean())


def test_pca_finds_the_plane_that_points_lie_in():
    draw = np.random.default_rng(1)
    plane = np.linalg.qr(draw.normal(size=(9, 2)))[0]
    flat = draw.normal(size=(40, 2)) * [5.0, 2.0]
    found = principal(flat @ plane.T + 3.0)
    assert squared_distances(found) == pytest.approx(squared_distances(flat), abs=1e-9)
    assert found.var(axis=0)[0] > found.var(axis=0)[1]
    assert found.mean(axis=0) == pytest.approx([0, 0], abs=1e-12)


def test_pca_fits_the_frame_in_proportion():
    features, _ = groups()
    points, raw = pca(features), principal(features)
    assert points.min() >= 0
    assert points.max() <= 1
    ratios = squared_distances(points)[0, 1:] / squared_distances(raw)[0, 1:]
    assert ratios == pytest.approx(np.full(len(ratios), ratios[0]))


@pytest.mark.parametrize("layout", ["pca", "tsne"])
@pytest.mark.parametrize("shape", [(1, 5), (2, 1), (3, 2), (5, 1)])
def test_few_or_equal_things_have_places_too(layout, shape):
    for features in (np.ones(shape), np.arange(np.prod(shape), dtype=float).reshape(shape)):
        points = LAYOUTS[layout].points(features)
        assert points.shape == (shape[0], 2)
        assert np.isfinite(points).all()


def test_affinities_have_the_perplexity_asked_for():
    features, _ = groups(40)
    distances = squared_distances(features)
    shares = affinities(features, 10.0)
    assert shares.sum() == pytest.approx(1, abs=1e-6)
    assert shares == pytest.approx(shares.T)
    assert np.corrcoef(shares[0, 1:], -distances[0, 1:])[0, 1] > 0.5
    # With as many neighbours as there are others, all are equally near.
    alike = affinities(features, 38.99)
    off = ~np.eye(40, dtype=bool)
    assert alike[off].max() < 1.6 * alike[off].min()


def test_tsne_keeps_neighbours_that_pca_loses():
    features, group = groups()
    points = tsne(features)
    assert neighbour_share(points, group) == 1.0
    flat = np.concatenate([features, 30 * np.random.default_rng(2).normal(size=(60, 2))], axis=1)
    assert neighbour_share(pca(flat), group) < 0.5
    assert np.array_equal(points, tsne(features))


def test_tsne_refuses_more_than_it_can_lay_out():
    LAYOUTS["pca"].require(10**6)
    LAYOUTS["tsne"].require(2000)
    with pytest.raises(DataError, match="2000 samples at most; got 2001"):
        LAYOUTS["tsne"].require(2001)


def write_model(folder, artists, genres, rows=4):
    import torch

    draw = torch.Generator().manual_seed(0)
    tensors = {
        f"labels.{key}.weight": torch.randn(rows, 6, generator=draw)
        for key in ("artists", "genres")
    }
    write_config(folder, "jukebox", {"artists": artists, "genres": genres})
    save_component(folder, "prior", tensors, {})
    write_checksums(folder)
    return tensors


def test_tables_are_the_named_rows_of_the_prior(tmp_path):
    tensors = write_model(tmp_path, ["unknown", "bach", "chopin"], ["unknown"])
    (table,) = label_tables(tmp_path)
    assert (table.facet, table.names) == ("artist", ("unknown", "bach", "chopin"))
    assert table.rows == pytest.approx(tensors["labels.artists.weight"][:3].numpy())


@pytest.mark.parametrize(
    ("artists", "says"),
    [(["unknown"], "by name"), (["unknown", "a", "b", "c", "d"], "5 artists and has 4 rows")],
)
def test_a_model_without_learnt_names_is_refused(tmp_path, artists, says):
    write_model(tmp_path, artists, ["unknown"])
    with pytest.raises(CheckpointError, match=says):
        label_tables(tmp_path)
