"""The rows: sizes as published, one rule for smaller ones, training that survives a stop."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ritornello.ada import experiments, train_levels
from ritornello.ada.experiments import open_experiment, train_row
from ritornello.ada.published import ORDERINGS, PUBLISHED
from ritornello.ada.rows import ROWS, TABLES, find_row, trained, with_below
from ritornello.ada.rows_side_by_side import stands_on, tasks_for, train_rows
from ritornello.ada.scales import SCALES, at_scale, find_scale, mini, paper
from ritornello.audio.io import write_audio
from ritornello.checkpoint import read_json, write_json
from ritornello.data.corpus import Corpus
from ritornello.errors import ConfigError
from ritornello.interfaces import Audio
from ritornello.training.experiments import part_of
from ritornello.training.logs import Display, SilentDisplay
from ritornello.training.side_by_side import Task, ready

RATE = 16000


@pytest.fixture(autouse=True)
def _short_looks(monkeypatch):
    monkeypatch.setattr(train_levels, "SCORED_STEPS", 3)


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """Four works of two seconds: tones that begin and end, with a little noise."""
    folder, draw = tmp_path_factory.mktemp("music"), np.random.default_rng(0)
    time = np.arange(2 * RATE) / RATE
    for number in range(4):
        tone = np.sin(2 * np.pi * 220 * (1 + number / 5) * time) * np.exp(-3 * (time % 0.5))
        wave = 0.4 * tone + 0.01 * draw.standard_normal(len(time))
        audio = Audio(samples=wave[None].astype(np.float32), sample_rate=RATE)
        write_audio(folder / f"{number}.wav", audio)
    return folder


class StopAt(Display):
    """Sends this process SIGTERM at one step, as somebody might."""

    def __init__(self, step):
        self.step = step

    def say(self, text):
        pass

    def report(self, report):
        if report.step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)

    def close(self):
        pass


# ------------------------------------------------------------------ rows


@pytest.mark.parametrize("id", [id for id in ROWS if PUBLISHED[id].receptive_field_ms])
def test_whole_models_see_as_far_as_published(id):
    # Sums of dilations fall short of the round figure by the last dilation's complement.
    assert ROWS[id].stack().receptive_field_ms == pytest.approx(
        PUBLISHED[id].receptive_field_ms, rel=0.002
    )


@pytest.mark.parametrize("id", [id for id in ROWS if PUBLISHED[id].receptive_field])
def test_networks_on_codes_see_as_many_codes_as_published(id):
    row = ROWS[id]
    stack = row.stack()
    network = stack.prior.network if row.is_prior else stack.levels[-1].local
    short = PUBLISHED[id].receptive_field - network.receptive_field
    assert 0 <= short <= 5


def test_the_rows_differ_in_what_the_tables_say():
    level = {id: ROWS[id].stack().levels[0] for id in TABLES[1] if id != "1.1"}
    assert [level[id].hop for id in level] == [8, 8, 8, 8, 8, 64]
    kinds = {id: one.quantiser.kind for id, one in level.items()}
    assert kinds["1.2"] == kinds["1.3"] == kinds["1.7"] == "vq"
    assert kinds["1.4"] == kinds["1.5"] == "amae"
    assert kinds["1.6"] == "softmax_amae"
    one_hot = {id for id, one in level.items() if one.encoder_input == "one_hot"}
    assert one_hot == {"1.3", "1.5", "1.6"}


def test_a_row_trains_the_network_above_those_it_stands_on():
    assert {id: ROWS[id].component for id in ("1.1", "1.2", "2.1", "2.4", "3.7")} == {
        "1.1": "prior",
        "1.2": "level1",
        "2.1": "prior",
        "2.4": "level2",
        "3.7": "prior",
    }
    for row in ROWS.values():
        levels = row.stack().levels
        for index, below in enumerate(row.below):
            assert ROWS[below].stack().levels[index] == levels[index]
        if row.same_as:
            assert trained(row.id).stack() == row.stack()


def test_what_a_row_stands_on_is_trained_before_it_and_once():
    order = with_below(TABLES[3])
    assert len(order) == len(set(order)) == 11
    assert {"1.1", "2.1"} <= set(order)
    assert not {"3.1", "3.4"} & set(order)
    for id in order:
        assert all(order.index(below) < order.index(id) for below in ROWS[id].below)
    with pytest.raises(ConfigError, match=r"no row '1.9'.*did you mean"):
        find_row("1.9")


def test_seeds_multiply_what_was_asked_for_and_not_what_it_stands_on():
    assert tasks_for(("2.4",), 2) == [Task("1.2", 0), Task("2.4", 0), Task("2.4", 1)]
    assert tasks_for(("3.1",), 2) == [Task("1.1", 0), Task("1.1", 1)]
    waiting = tasks_for(("1.1", "3.7"), 1)
    assert ready(waiting, [], stands_on) == [Task("1.1", 0), Task("1.2", 0)]
    assert ready([Task("2.4", 0), Task("3.7", 0)], [], stands_on) == [Task("2.4", 0)]
    assert ready([Task("3.7", 0)], [Task("2.4", 0)], stands_on) == []


def test_orderings_are_those_of_the_published_figures():
    for orderings in ORDERINGS.values():
        assert all(ordering.published_gap > 0 for ordering in orderings)


# ------------------------------------------------------------------ scales


@given(st.sampled_from(sorted(ROWS)), st.sampled_from(sorted(SCALES)))
def test_a_scale_changes_sizes_and_leaves_the_kind(id, name):
    published, scale = ROWS[id].stack(), find_scale(name)
    small = at_scale(published, scale)
    assert small.hop_samples == published.hop_samples
    for ours, theirs in zip(small.levels, published.levels, strict=True):
        assert ours.quantiser == theirs.quantiser
        assert (ours.encoder_input, ours.local_input) == (theirs.encoder_input, theirs.local_input)
        for part in ("encoder", "modulator", "local"):
            assert getattr(ours, part).filter_size == getattr(theirs, part).filter_size
    assert small.receptive_field_ms <= published.receptive_field_ms
    if name == "paper":
        assert small.levels == published.levels
        assert small.prior.network == published.prior.network
        training = small.prior.training
        assert training.crop >= small.prior.network.receptive_field
        assert training.batch * training.crop == 8 * 8192
        assert training.steps == published.prior.training.steps
    else:
        stages = [*(level.training for level in small.levels), small.prior.training]
        assert {stage.steps for stage in stages} == {scale.training.steps}
        symbols = {stage.batch * stage.crop for stage in stages}
        assert symbols == {scale.training.batch * scale.training.crop}


def test_mini_keeps_dilations_and_the_order_of_receptive_fields():
    seen = [
        at_scale(ROWS[id].stack(), mini()).levels[1].local.receptive_field
        for id in ("2.3", "2.4", "2.5", "2.6")
    ]
    assert seen == sorted(set(seen))
    for id in ROWS:
        assert (
            at_scale(ROWS[id].stack(), mini()).prior.network.layers
            == ROWS[id].stack().prior.network.layers
        )
    with pytest.raises(ConfigError, match=r"no scale 'minni'; did you mean 'mini'"):
        find_scale("minni")


# ------------------------------------------------------------------ training


def test_a_stopped_row_goes_on_and_ends_as_if_it_had_not(music, tmp_path):
    whole = open_experiment(tmp_path / "whole", "nano", music)
    parts = open_experiment(tmp_path / "parts", "nano", music)
    assert train_row(whole, "1.2", 0, SilentDisplay())
    with pytest.raises(KeyboardInterrupt):
        train_rows(parts, [Task("1.2", 0)], 1, StopAt(2))
    assert parts.result("1.2", 0) is None
    train_rows(parts, [Task("1.2", 0)], 1, SilentDisplay())
    one, other = (experiment.result("1.2", 0) for experiment in (whole, parts))
    assert one["figures"] == other["figures"]
    assert one["curve"] == other["curve"]
    assert one["steps"] == whole.scale.training.steps
    assert len(one["curve"]["held_out"]) == 2
    assert {"nll", "train_nll", "perplexity"} <= set(one["figures"])
    # A finished row is not trained again.
    train_rows(whole, [Task("1.2", 0)], 1, StopAt(1))

    codes = experiments.symbols_under(whole, find_row("2.1"))
    codes.fill()
    assert codes.rate_hz == RATE / 8
    lengths = {len(codes.read(recording)) for recording in codes.corpus}
    assert lengths == {2 * RATE // 8}


def test_a_row_begun_before_a_setting_was_added_goes_on(music, tmp_path):
    experiment = open_experiment(tmp_path, "nano", music)
    with pytest.raises(KeyboardInterrupt):
        train_rows(experiment, [Task("1.2", 0)], 1, StopAt(2))
    file = experiment.run("1.2", 0).path / "config.json"
    settings = read_json(file)
    for part in (*settings["config"]["levels"], settings["config"]["prior"]):
        del part["training"]["replaced"]
    write_json(file, settings)
    train_rows(experiment, [Task("1.2", 0)], 1, SilentDisplay())
    assert experiment.result("1.2", 0)["steps"] == experiment.scale.training.steps


def test_other_music_and_other_scales_are_refused(music, tmp_path):
    folder = tmp_path / "out"
    with pytest.raises(ConfigError, match=r"no experiment yet.*--data"):
        open_experiment(folder, None, None)
    begun = open_experiment(folder, "nano", music)
    assert open_experiment(folder, None, None) == begun
    with pytest.raises(ConfigError, match="at scale nano, not mini"):
        open_experiment(folder, "mini", music)
    less = tmp_path / "less"
    less.mkdir()
    for name in ("0.wav", "1.wav"):
        (less / name).write_bytes((music / name).read_bytes())
    with pytest.raises(ConfigError, match="on other music"):
        open_experiment(folder, "nano", less)
    # What was refused has taken nothing away.
    assert open_experiment(folder, None, None) == begun
    assert sorted(file.name for file in folder.iterdir()) == ["experiment.json", "manifest.jsonl"]
    assert open_experiment(folder, None, music) == begun


def test_rows_of_other_training_are_not_mixed(music, tmp_path, monkeypatch):
    begun = open_experiment(tmp_path, "nano", music)
    row = begun.result_file("1.2", 0)
    row.parent.mkdir()
    write_json(row, {"row": "1.2", "seed": 0, "steps": 6, "symbols_per_step": 256})
    assert open_experiment(tmp_path, None, None) == begun
    longer = replace(begun.scale, training=replace(begun.scale.training, steps=7))
    wider = replace(begun.scale, narrower=16)
    for changed, says in (
        (longer, "at a scale nano with training"),
        (wider, "at a scale nano with narrower 32, which now is 16"),
    ):
        monkeypatch.setitem(SCALES, "nano", lambda changed=changed: changed)
        with pytest.raises(ConfigError, match=says):
            open_experiment(tmp_path, None, None)
    monkeypatch.undo()
    write_json(row, {"row": "1.2", "seed": 0, "steps": 7, "symbols_per_step": 256})
    with pytest.raises(ConfigError, match=r"1\.2-seed0\.json is a row of 7 steps of 256 symbols"):
        open_experiment(tmp_path, None, None)


def test_a_scale_takes_whole_recordings_in_an_order_that_is_not_the_alphabet(music, tmp_path):
    open_experiment(tmp_path, "paper", music)
    corpus = Corpus.load(tmp_path / "manifest.jsonl")
    assert len(part_of(corpus, paper())) == len(corpus) == 4
    first = min(corpus.split("train"), key=lambda recording: recording.audio_sha256)
    little = replace(mini(), train_s=1.0, valid_s=1.0)
    assert [one.id for one in part_of(corpus, little).split("train")] == [first.id]


@pytest.mark.slow
def test_rows_side_by_side_are_the_rows_alone(music, tmp_path):
    beside = open_experiment(tmp_path / "beside", "nano", music)
    alone = open_experiment(tmp_path / "alone", "nano", music)
    tasks = [Task("1.2", 0), Task("1.4", 0), Task("2.1", 0)]
    train_rows(beside, tasks, 2)
    train_rows(alone, tasks, 1, SilentDisplay())
    for task in tasks:
        # Only this process scores less than usual, so what is compared is the training.
        one, other = (one.result(task.row, task.seed) for one in (beside, alone))
        assert one["curve"]["train"] == other["curve"]["train"]
