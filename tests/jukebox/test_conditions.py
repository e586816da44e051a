"""Conditions: bags of words, label dropout, bins as their torch-free twin has them."""

from dataclasses import fields, replace

import torch

from ritornello.jukebox.conditions import (
    NOTHING,
    LabelTables,
    RecallTable,
    TimeTable,
    TimingTables,
    drop_labels,
    spoilt,
    without_labels,
)
from ritornello.jukebox.labels import MISSING, time_bin
from ritornello.jukebox.prior_config import LabelsConfig, RecallConfig, TimingConfig
from ritornello.jukebox.prior_presets import nano
from tests.jukebox.conditions import conditions_for, draw, integers


def test_the_start_is_the_artist_and_a_bag_of_genres():
    tables = LabelTables(LabelsConfig(artists=4, genres=3, genre_slots=2), 5)
    told = replace(
        conditions_for(nano()),
        artist=torch.tensor([3, 0]),
        genres=torch.tensor([[1, 2], [MISSING, 0]]),
    )
    artists, genres = tables.artists.weight, tables.genres.weight
    expected = torch.stack([artists[3] + genres[1] + genres[2], artists[0] + genres[0]])
    torch.testing.assert_close(tables(told), expected)
    turned = replace(told, genres=told.genres.flip(1))
    torch.testing.assert_close(tables(turned), expected)
    torch.testing.assert_close(tables(without_labels(told)), artists[:1].expand(2, -1))


def test_labels_are_dropped_together_for_their_share_and_nothing_else_is():
    told = conditions_for(nano(), batch=2000)
    told = replace(told, artist=torch.full_like(told.artist, 2), genres=told.genres.clamp(min=1))
    dropped = drop_labels(told, 0.3, draw())
    is_bare = dropped.artist == 0
    assert 0.25 < float(is_bare.float().mean()) < 0.35
    assert torch.equal((dropped.genres == MISSING).all(1), is_bare)
    assert torch.equal(dropped.genres[~is_bare], told.genres[~is_bare])
    assert torch.equal(dropped.start_s, told.start_s)
    assert torch.equal(drop_labels(told, 0.3, draw()).artist, dropped.artist)
    for share, expected in ((0.0, told), (1.0, without_labels(told))):
        found = drop_labels(told, share, draw())
        for field in fields(found):
            one, other = getattr(found, field.name), getattr(expected, field.name)
            assert one is other is None or torch.equal(one, other)


def test_bins_of_tensors_are_those_of_numbers():
    table = TimeTable(10.0, 60.0, 7, 7)
    table.table.weight.data = torch.eye(7)
    values = torch.linspace(0, 80, 321)
    found = table(values).argmax(-1).tolist()
    assert found == [time_bin(value, 10.0, 60.0, 7) for value in values.tolist()]


def test_timing_is_the_sum_of_three_tables_frame_by_frame():
    config = TimingConfig(bins=10, shortest_s=10.0, longest_s=30.0)
    tables = TimingTables(config, 4, frame_rate_hz=2.0)
    told = replace(
        conditions_for(nano()),
        total_s=torch.tensor([20.0, 30.0]),
        start_s=torch.tensor([10.0, 29.0]),
    )
    found = tables(told, 4)
    for example, (total, start) in enumerate([(20.0, 10.0), (30.0, 29.0)]):
        for frame in range(4):
            now = start + frame / 2
            bins = time_bin(total, 10, 30, 10), time_bin(now, 0, 30, 10)
            rows = (
                tables.total.table.weight[bins[0]],
                tables.elapsed.table.weight[bins[1]],
                tables.fraction.table.weight[time_bin(now / total, 0, 1, 10)],
            )
            torch.testing.assert_close(found[example, frame], sum(rows))


def test_a_recall_is_a_row_for_every_frame_and_the_first_for_nothing():
    table = RecallTable(5, 3)
    recalled = torch.tensor([[NOTHING, 0, 4]])
    torch.testing.assert_close(table(recalled)[0], table.table.weight[[0, 1, 5]])


def test_what_is_recalled_in_training_is_spoilt_as_configured():
    codes = integers(50, 600, 400)
    config = RecallConfig(dropout=0.25, lost=0.8, wrong=0.5, stretch=20)
    told = spoilt(codes, 50, config, draw(1))
    is_untold = (told == NOTHING).all(1)
    assert 0.2 < float(is_untold.float().mean()) < 0.3
    heard = told[~is_untold]
    # Shares are drawn evenly from 0 to the largest, so half of that is lost, or wrong, on average.
    is_lost = heard == NOTHING
    assert 0.35 < float(is_lost.float().mean()) < 0.45
    is_wrong = (heard != codes[~is_untold]) & ~is_lost
    assert 0.2 < float(is_wrong.sum() / (~is_lost).sum()) < 0.28
    edges = (is_lost[:, 1:] != is_lost[:, :-1]).sum(1)
    assert edges.max() <= 400 / 20 + 1
    assert torch.equal(told, spoilt(codes, 50, config, draw(1)))


def test_nothing_is_spoilt_where_nothing_is_to_be():
    codes = integers(50, 4, 30)
    whole = RecallConfig(dropout=0.0, lost=0.0, wrong=0.0)
    assert torch.equal(spoilt(codes, 50, whole, draw()), codes)
