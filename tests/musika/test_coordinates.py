"""Coordinates follow the paper's law in training and generation, and every draw is addressable."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ritornello.errors import ConfigError
from ritornello.interfaces import Section
from ritornello.musika.config import GanConfig
from ritornello.musika.coordinates import (
    TRUNCATION,
    Route,
    anchor_offset_frames,
    border_style,
    chunk_coordinates,
    chunk_noise,
    great_circle,
    half_positions,
    interpolate,
    interpolate_preserving_variance,
    keyed_draws,
    letter_style,
    training_coordinates,
    truncated_normal,
    window_start,
)
from ritornello.musika.form import PiecePlan, Place, plan_piece

ON_BORDERS = GanConfig(style_dim=3, coordinate_dim=5, chunk_frames=8, controls=("density",))
THREE_PHASES = replace(ON_BORDERS, chunks_per_anchor=3, controls=())
ANY_CROP = replace(ON_BORDERS, chunks_per_anchor=2, crop="any", controls=())
LAWS = pytest.mark.parametrize("config", [ON_BORDERS, THREE_PHASES, ANY_CROP])


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def path_of(coordinates, config):
    return coordinates[:, : config.coordinate_dim]


def style_of(coordinates, config):
    return coordinates[:, config.coordinate_dim : config.coordinate_dim + config.style_dim]


def bends(path):
    """Steps at which a path is not straight, as the set of their positions."""
    curvature = path.diff(dim=-1).diff(dim=-1).abs().amax(dim=(0, 1))
    return {int(step) + 1 for step in torch.nonzero(curvature > 1e-5)}


def form_route(config, letters, periods=3, **changes):
    seconds = float(periods * config.chunks_per_anchor)
    form = [Section(letter=letter, seconds=seconds) for letter in letters]
    plan = plan_piece(form, None, chunk_s=1.0, chunks_per_anchor=config.chunks_per_anchor)
    return Route(seed=3, plan=plan, **changes)


# ---- paths


def test_interpolation_goes_straight_through_the_points():
    values = torch.tensor([[[0.0, 4.0, 2.0]]])
    read = interpolate(values, torch.tensor([0.0, 0.25, 1.0, 1.5]))
    torch.testing.assert_close(read, torch.tensor([[[0.0, 1.0, 4.0, 3.0]]]))


def test_half_positions_are_the_reference_average_of_neighbours():
    """Three anchors, a fine interpolation averaged in pairs, cut at half a chunk plus k chunks."""
    chunk, spacing = 8, 24
    anchors = np.random.default_rng(0).standard_normal(3)
    fine = np.interp(np.arange(2 * spacing + 1) / spacing, np.arange(3), anchors)
    averaged = (fine[:-1] + fine[1:]) / 2
    for k in range(3):
        start = chunk // 2 + k * chunk
        ours = interpolate(
            torch.from_numpy(anchors)[None, None], half_positions(start, 2 * chunk, spacing)
        )
        np.testing.assert_allclose(ours[0, 0], averaged[start : start + 2 * chunk], atol=1e-12)


def test_straight_lines_lose_half_the_variance_and_the_alternative_none():
    anchors = torch.randn(1, 40_000, 2, generator=draw())
    middle = torch.tensor([0.5])
    assert float(interpolate(anchors, middle).var()) == pytest.approx(0.5, abs=0.02)
    kept = interpolate_preserving_variance(anchors, middle)
    assert float(kept.var()) == pytest.approx(1.0, abs=0.03)


# ---- training


@LAWS
def test_training_coordinates_have_the_generators_shape(config):
    coordinates = training_coordinates(draw(), 4, config)
    assert coordinates.shape == (4, config.coordinate_channels, config.window_frames)
    assert coordinates.dtype == torch.float32
    torch.testing.assert_close(coordinates, training_coordinates(draw(), 4, config), rtol=0, atol=0)


def test_conditions_come_last_and_are_absent_by_default():
    conditions = torch.rand(2, 2, ON_BORDERS.window_frames, generator=draw(1))
    given = training_coordinates(draw(), 2, ON_BORDERS, conditions)
    absent = training_coordinates(draw(), 2, ON_BORDERS)
    torch.testing.assert_close(given[:, -2:], conditions, rtol=0, atol=0)
    assert not absent[:, -2:].any()
    torch.testing.assert_close(given[:, :-2], absent[:, :-2], rtol=0, atol=0)


def test_anchors_lie_where_the_law_says():
    """Paths bend at anchors only: on chunk borders, or in the middle of every third chunk."""
    on_border = bends(path_of(training_coordinates(draw(), 3, ON_BORDERS), ON_BORDERS))
    assert on_border == {7, 8}
    seen = set()
    for seed in range(30):
        path = path_of(training_coordinates(draw(seed), 3, THREE_PHASES), THREE_PHASES)
        seen.add(frozenset(bends(path)))
    assert seen == {frozenset(), frozenset({3, 4}), frozenset({11, 12})}


def test_window_starts():
    starts = {window_start(draw(seed), ON_BORDERS) for seed in range(20)}
    assert starts == {0}
    starts = {window_start(draw(seed), THREE_PHASES) for seed in range(40)}
    assert starts == {4, 12, 20}
    starts = {window_start(draw(seed), ANY_CROP) for seed in range(300)}
    assert starts == set(range(16))


def test_a_part_of_the_styles_moves_and_within_one_chunk():
    config = replace(ON_BORDERS, morph_fraction=0.25)
    style = style_of(training_coordinates(draw(), 2000, config), config)
    moves = style.diff(dim=-1).abs().amax(dim=1) > 1e-6
    moving = moves.any(dim=1)
    assert float(moving.float().mean()) == pytest.approx(0.25, abs=0.04)
    # Seven of the steps of a chunk of eight move; the eighth leads over the border.
    first_half, second_half = moves[:, :7].any(dim=1), moves[:, 8:].any(dim=1)
    assert not (first_half & second_half).any()
    assert (first_half[moving] | second_half[moving]).all()
    assert 0.3 < float(first_half[moving].float().mean()) < 0.7


def test_no_style_moves_when_none_should():
    config = replace(ON_BORDERS, morph_fraction=0.0)
    style = style_of(training_coordinates(draw(), 200, config), config)
    assert torch.equal(style, style[..., :1].expand_as(style))


# ---- draws by key


def test_every_part_of_a_key_matters():
    keys = [
        (0, "anchor", Place("A", 1)),
        (1, "anchor", Place("A", 1)),
        (0, "style", Place("A", 1)),
        (0, "anchor", Place("B", 1)),
        (0, "anchor", Place("A", 2)),
        (0, "anchor", Place("", -1)),
    ]
    firsts = [keyed_draws(*key).standard_normal() for key in keys]
    assert len(set(firsts)) == len(keys)
    assert firsts == [keyed_draws(*key).standard_normal() for key in keys]


def test_truncated_normals_stay_within_their_bound():
    numbers = truncated_normal(np.random.default_rng(0), 50_000, 2.0)
    # A normal cut at two of its standard deviations keeps 0.8796 of one.
    assert float(numbers.abs().max()) <= 2.0 / 0.8796
    assert float(numbers.std()) == pytest.approx(1.0, abs=0.01)
    assert float(numbers.mean()) == pytest.approx(0.0, abs=0.02)


def test_the_great_circle_keeps_length_and_meets_both_ends():
    start, end = torch.randn(2, 64, dtype=torch.float64, generator=draw())
    start, end = start / start.norm(), end / end.norm()
    torch.testing.assert_close(great_circle(start, end, 0.0), start)
    torch.testing.assert_close(great_circle(start, end, 1.0), end)
    for fraction in (0.2, 0.5, 0.9):
        assert float(great_circle(start, end, fraction).norm()) == pytest.approx(1.0)
    torch.testing.assert_close(great_circle(start, start, 0.3), start)


def test_letters_are_relatives_with_the_same_variance():
    config = replace(ON_BORDERS, style_dim=20_000)
    piece, a, b = (letter_style(5, letter, config) for letter in ("", "A", "B"))
    assert float(a.var()) == pytest.approx(float(piece.var()), rel=0.03)
    correlation = float(torch.corrcoef(torch.stack([a, b]))[0, 1])
    assert correlation == pytest.approx(0.5, abs=0.03)


# ---- generation


@LAWS
def test_chunks_join_into_one_path(config):
    route = Route(seed=11)
    whole = torch.cat([chunk_coordinates(route, k, config) for k in range(-1, 7)], dim=-1)
    path = path_of(whole, config)
    frames = anchor_offset_frames(config) - config.chunk_frames
    anchor_steps = {
        step
        for anchor in range(-2, 9)
        for step in (
            anchor * config.anchor_frames - frames - 1,
            anchor * config.anchor_frames - frames,
        )
        if 0 < step < path.shape[-1] - 1
    }
    assert bends(path) == anchor_steps
    style = style_of(whole, config)
    torch.testing.assert_close(style, style[..., :1].expand_as(style), rtol=0, atol=1e-12)


def test_a_chunk_on_borders_lies_between_its_two_anchors():
    route = Route(seed=2)
    path = path_of(chunk_coordinates(route, 6, ON_BORDERS), ON_BORDERS)[0]
    ends = [
        truncated_normal(keyed_draws(2, "anchor", Place("", index)), 5, TRUNCATION)
        for index in (6, 7)
    ]
    step = (ends[1] - ends[0]) / 8
    torch.testing.assert_close(path[:, 0], ends[0] + step / 2)
    torch.testing.assert_close(path[:, -1], ends[1] - step / 2)


@LAWS
def test_a_returning_section_returns_exactly(config):
    route = form_route(config, "AABA")
    length = 3 * config.chunks_per_anchor
    # The last period, and a chunk centred on its anchor, lead to the next section's first anchor.
    inner = range(length - config.chunks_per_anchor - (anchor_offset_frames(config) > 0))
    for k in inner:
        first, second, fourth = (
            chunk_coordinates(route, start + k, config) for start in (0, length, 3 * length)
        )
        assert torch.equal(first, second)
        assert torch.equal(first, fourth)
    into_a, into_b = length - 1, 2 * length - 1
    assert not torch.equal(
        chunk_coordinates(route, into_a, config), chunk_coordinates(route, into_b, config)
    )


@LAWS
def test_sections_are_joined_by_a_passage_not_a_cut(config):
    """Across every joint the path goes on in the direction it had, and the style does not jump."""
    route = form_route(config, "AB")
    chunks = [chunk_coordinates(route, k, config) for k in range(6 * config.chunks_per_anchor)]
    whole = torch.cat(chunks, dim=-1)
    steps = path_of(whole, config).diff(dim=-1).abs().amax()
    assert float(steps) <= 2 * TRUNCATION / 0.8796 / config.anchor_frames
    style_steps = style_of(whole, config).diff(dim=-1).abs().amax(dim=(0, 1))
    assert float(style_steps.max()) <= 2 * 2 * TRUNCATION / 0.8796 / config.chunk_frames
    moving = {k for k, one in enumerate(chunks) if style_of(one, config).diff(dim=-1).any()}
    length = 3 * config.chunks_per_anchor
    assert moving == {length - 1, 2 * length - 1}


def test_a_morph_travels_from_one_style_to_the_other():
    route = Route(seed=1, to_seed=7, morph_chunks=10)
    config = ON_BORDERS
    torch.testing.assert_close(border_style(route, 0, config), letter_style(1, "", config))
    torch.testing.assert_close(border_style(route, 10, config), letter_style(7, "", config))
    torch.testing.assert_close(border_style(route, 99, config), letter_style(7, "", config))
    middle = border_style(route, 5, config)
    assert not torch.allclose(middle, letter_style(1, "", config))
    own = path_of(chunk_coordinates(Route(seed=1), 4, config), config)
    torch.testing.assert_close(path_of(chunk_coordinates(route, 4, config), config), own)


def test_a_morph_without_an_end_is_refused():
    with pytest.raises(ConfigError, match="length of the piece"):
        Route(seed=1, to_seed=2)


def test_temperature_scales_path_and_style():
    cold, warm = (
        chunk_coordinates(Route(seed=1, temperature=t), 3, ON_BORDERS) for t in (0.5, 1.0)
    )
    torch.testing.assert_close(2 * cold, warm)


def test_far_chunks_are_as_exact_as_near_ones():
    far = chunk_coordinates(Route(seed=1), 10**12, THREE_PHASES)
    assert bends(path_of(far, THREE_PHASES)) <= {3, 4}
    assert torch.isfinite(far).all()


def test_noise_is_keyed_by_place():
    plan = form_route(ON_BORDERS, "ABA").plan
    shapes = [(1, 1, 4), (1, 1, 8)]
    first, again, other = (chunk_noise(Route(seed=3, plan=plan), k, shapes) for k in (1, 7, 4))
    assert [tuple(one.shape) for one in first] == shapes
    assert all(torch.equal(x, y) for x, y in zip(first, again, strict=True))
    assert not any(torch.equal(x, y) for x, y in zip(first, other, strict=True))
    endless = chunk_noise(Route(seed=3, plan=PiecePlan()), 1, shapes)
    assert not torch.equal(endless[0], first[0])
