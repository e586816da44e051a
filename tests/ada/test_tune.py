"""Populations: who copies whom, what is recorded, what a schedule is, and all of it on Ray."""

import json
import math
import shutil
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.ada import tune
from ritornello.ada.presets import nano
from ritornello.ada.tune import (
    Record,
    TuneOptions,
    resolved_rules,
    resolved_stack,
    run_replay,
    run_tuning,
    state_hash,
)
from ritornello.ada.tune_member import Member, Task, follow, level_stage
from ritornello.ada.tune_picture import draw_lineage, spans
from ritornello.ada.tune_population import (
    ALPHA_RANGE,
    BETA_RANGE,
    Lineage,
    Point,
    TuneRules,
    beginnings,
    decide,
    explored,
)
from ritornello.ada.tune_ray import train_interval
from ritornello.ada.tune_schedule import Piece, Schedule
from ritornello.checkpoint import read_json, write_json
from ritornello.config import from_dict, to_dict
from ritornello.data.corpus import scan
from ritornello.errors import CheckpointError, ConfigError, DataError, TrainingError
from ritornello.training.logs import SilentDisplay
from ritornello.training.run import RunFolder


def rules_of(population=4, steps=50, interval=10, burn_in=20, **more):
    return TuneRules(population=population, steps=steps, interval=interval, burn_in=burn_in, **more)


def point(member, step, nll=1.0, origin=None, failure="", **more):
    values = {"alpha": 0.01, "beta": 1.0, "perplexity": 9.0} | more
    gone = {"nll": None, "perplexity": None} if failure == "diverged" else {"nll": nll}
    origin = member if origin is None else origin
    return Point(
        **values | {"member": member, "step": step, "origin": origin, "failure": failure} | gone
    )


# ---- schedule --------------------------------------------------------------------------------


steps_of_pieces = st.lists(st.integers(1, 50), unique=True, max_size=6).map(
    lambda s: [0, *sorted(s)]
)


@settings(max_examples=25)
@given(steps_of_pieces, st.data())
def test_a_schedule_holds_every_piece_until_the_next(steps, data):
    alphas = data.draw(st.lists(st.floats(1e-4, 1), min_size=len(steps), max_size=len(steps)))
    pieces = [Piece(step=s, alpha=a, beta=2 * a) for s, a in zip(steps, alphas, strict=True)]
    schedule = Schedule.joined(pieces)
    for step in range(60):
        last = [piece for piece in pieces if piece.step <= step][-1]
        assert schedule.at(step) == (last.alpha, last.beta)
    assert all((a.alpha, a.beta) != (b.alpha, b.beta) for a, b in pairwise(schedule.pieces))
    assert Schedule.from_json(schedule.to_json()) == schedule


@pytest.mark.parametrize("steps", [[], [1], [0, 3, 3], [0, 5, 2]])
def test_a_schedule_leaves_no_step_without_values(steps):
    with pytest.raises(ConfigError, match="rising ones from 0 on"):
        Schedule(pieces=tuple(Piece(step=step, alpha=0.1, beta=1.0) for step in steps))


@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 1.0), (1.5, 1.0), (0.1, -1.0), (0.1, math.inf)])
def test_a_schedule_holds_what_a_quantiser_takes(alpha, beta):
    with pytest.raises(ConfigError, match="0 < alpha <= 1 and beta >= 0"):
        Piece(step=0, alpha=alpha, beta=beta)


# ---- decisions -------------------------------------------------------------------------------


failures = st.sampled_from(["", "", "", "diverged", "collapsed"])


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 6), failures), min_size=2, max_size=21), st.integers(0, 9))
def test_the_worst_and_all_that_failed_copy_the_best(members, seed):
    points = [point(n, 30, nll, failure=failure) for n, (nll, failure) in enumerate(members)]
    copies = decide(points, rules_of(population=len(points)), seed)
    assert copies == decide(points[::-1], rules_of(population=len(points)), seed)
    kinds = {p.failure for p in points}
    if kinds == {"diverged"}:
        assert copies == []
        return
    # While there is anything better, nobody goes on from a collapsed codebook.
    sound = "" if "" in kinds else "collapsed"
    likelihoods = sorted(p.nll for p in points if p.failure == sound)
    copiers = {copy.member for copy in copies}
    quarter = min(math.ceil(len(points) / 4), len(points) // 2)
    failed = {p.member for p in points if p.failure != sound}
    assert failed <= copiers
    assert len(copiers) == len(copies) == max(quarter, len(failed))
    for copy in copies:
        donor = points[copy.donor]
        assert donor.failure == sound
        assert copy.donor not in copiers
        assert donor.nll <= likelihoods[min(quarter, len(likelihoods)) - 1]
        assert copy.member in failed or points[copy.member].nll >= donor.nll


def test_a_collapsed_member_copies_though_its_likelihood_is_the_best():
    points = [point(0, 30, 3.0), point(1, 30, 1.0, failure="collapsed"), point(2, 30, 2.0)]
    points.append(point(3, 30, failure="diverged"))
    copies = {copy.member: copy.donor for copy in decide(points, rules_of(), 0)}
    assert copies == {1: 2, 3: 2}


@settings(max_examples=40)
@given(st.floats(1e-4, 1), st.floats(0.1, 10), st.integers(0, 99))
def test_exploring_moves_alpha_or_beta_or_both_by_a_fifth(alpha, beta, seed):
    new_alpha, new_beta = explored(alpha, beta, np.random.default_rng(seed))
    ratios = new_alpha / alpha, new_beta / beta
    assert new_alpha <= 1
    assert ratios[1] == pytest.approx(1) or min(abs(ratios[1] - f) for f in (1.2, 0.8)) < 1e-9
    assert (ratios[1] != 1) or new_alpha != alpha or alpha * 1.2 > 1


def test_exploring_reaches_all_eight_neighbours():
    rng = np.random.default_rng(0)
    found = {explored(0.01, 1.0, rng) for _ in range(200)}
    assert len(found) == 8
    assert (0.01, 1.0) not in found


def test_members_begin_log_uniform_in_the_ranges():
    found = np.log(beginnings(rules_of(population=400), 0))
    for column, ends in zip(found.T, (ALPHA_RANGE, BETA_RANGE), strict=True):
        low, high = np.log(ends)
        assert low <= column.min() < low + 0.1
        assert high - 0.1 < column.max() <= high
        assert abs(column.mean() - (low + high) / 2) < 0.2
    assert beginnings(rules_of(), 0) != beginnings(rules_of(), 1)
    assert beginnings(rules_of(), 0) == beginnings(rules_of(population=9), 0)[:4]


@pytest.mark.parametrize(
    ("nll", "perplexity", "wanted"),
    [
        (2.0, 30.0, ""),
        (2.0, 6.3, "collapsed"),
        (math.nan, 30.0, "diverged"),
        (math.inf, 30.0, "diverged"),
        (2.0, math.nan, "diverged"),
    ],
)
def test_divergence_and_collapse_are_told_from_the_figures(nll, perplexity, wanted):
    assert rules_of().failure(nll, perplexity, codes=64) == wanted


def test_reports_are_due_every_interval_and_at_the_end():
    rules = rules_of(steps=25, interval=10, burn_in=15)
    assert [rules.next_report(step) for step in (0, 9, 10, 20, 24)] == [10, 10, 20, 25, 25]
    assert rules.first_decision == 20
    assert rules_of(burn_in=0).first_decision == 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"population": 1}, "population is 1; expected at least 2"),
        ({"interval": 0}, "interval is 0"),
        ({"interval": 51}, "interval is 51; expected 1 to 50 steps"),
        ({"burn_in": -1}, "burn-in is -1"),
        ({"quantile": 0.7}, "quantile is 0.7"),
        ({"collapse": 1.0}, "collapse is 1.0"),
    ],
)
def test_rules_that_breed_nothing_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        rules_of(**changes)


# ---- lineage ---------------------------------------------------------------------------------


def bred(population, intervals, seed):
    """A made-up population that follows the rules, with the true path of every member."""
    rules = rules_of(population=population, steps=10 * intervals, burn_in=20)
    rng = np.random.default_rng(seed)
    settings = dict(enumerate(beginnings(rules, seed)))
    paths = {member: [] for member in settings}
    origins = {member: member for member in settings}
    lineage = Lineage()
    for step in range(10, 10 * intervals + 1, 10):
        points = []
        for member, (alpha, beta) in settings.items():
            paths[member] = [*paths[member], (alpha, beta)]
            failure = "diverged" if rng.random() < 0.1 else ""
            nll = float(rng.random())
            new = point(member, step, nll, origins[member], failure, alpha=alpha, beta=beta)
            points.append(new)
            lineage = lineage.joined(new)
        origins = {member: member for member in settings}
        if step < rules.first_decision:
            continue
        before = dict(paths)
        for copy in decide(points, rules, seed):
            settings[copy.member] = copy.alpha, copy.beta
            origins[copy.member] = copy.donor
            paths[copy.member] = before[copy.donor]
    # What was decided at the very end changes nobody's path to it.
    ends = {p.member: p for p in points}
    return rules, lineage, ends


@settings(max_examples=25)
@given(st.integers(2, 7), st.integers(1, 6), st.integers(0, 50))
def test_a_path_leads_back_through_all_that_were_copied(population, intervals, seed):
    _, lineage, ends = bred(population, intervals, seed)
    for end in ends.values():
        path = lineage.path(end)
        assert [p.step for p in path] == [10 * (n + 1) for n in range(intervals)]
        assert all(b.origin == a.member for a, b in pairwise(path))
        schedule = lineage.schedule(end)
        assert all(schedule.at(p.step - 1) == (p.alpha, p.beta) for p in path)


def test_the_schedule_of_a_copier_is_its_donors_and_then_its_own():
    lineage = Lineage()
    for new in (
        point(0, 10, alpha=0.1),
        point(1, 10, alpha=0.2),
        point(0, 20, alpha=0.1),
        point(1, 20, alpha=0.12, origin=0),
    ):
        lineage = lineage.joined(new)
    wanted = (Piece(step=0, alpha=0.1, beta=1.0), Piece(step=10, alpha=0.12, beta=1.0))
    assert lineage.schedule(lineage.of(1)[-1]).pieces == wanted
    with pytest.raises(DataError, match="no point of member 3 at step 20"):
        lineage.schedule(point(1, 30, origin=3))


def test_the_best_is_of_the_last_step_and_healthy_if_any_is():
    points = [point(0, 10, 0.1), point(0, 20, 0.5), point(1, 20, 0.2, failure="collapsed")]
    failed = point(3, 20, failure="diverged")
    assert Lineage(points=(*points, point(2, 20, 0.6), failed)).best() == points[1]
    assert Lineage(points=(points[2], failed)).best() == points[2]
    assert Lineage(points=(failed,)).best() is None
    assert Lineage().best() is None


@settings(max_examples=25)
@given(st.integers(2, 5), st.integers(3, 6), st.integers(0, 20), st.data())
def test_an_interrupted_population_goes_on_from_where_all_had_been(pop, intervals, seed, data):
    rules, whole, _ = bred(pop, intervals, seed)
    common = data.draw(st.integers(1, intervals)) * 10
    ahead = data.draw(st.sets(st.integers(1, pop - 1)))
    kept = [p for p in whole.points if p.step <= common + (10 if p.member in ahead else 0)]
    starts = Lineage(points=tuple(kept)).resumable(rules)
    if common < rules.first_decision:
        assert [(s.member, s.step) for s in starts] == [
            (m, 20 if m in ahead else common) for m in range(pop)
        ]
    else:
        assert [(s.member, s.step) for s in starts] == [(m, common) for m in range(pop)]
    rest = Lineage(points=tuple(kept)).up_to(starts)
    assert {p.member: p for p in rest.points} == {s.member: s for s in starts}
    assert Lineage(points=tuple(p for p in kept if p.member)).resumable(rules) is None


def test_a_record_survives_the_disk(tmp_path):
    _, lineage, _ = bred(4, 4, 1)
    write_json(tmp_path / "lineage.json", to_dict(lineage))
    assert from_dict(Lineage, read_json(tmp_path / "lineage.json")) == lineage


def test_a_population_that_has_diverged_as_a_whole_is_ended(tmp_path):
    record = Record(RunFolder(tmp_path), rules_of(population=2), Lineage(), SilentDisplay())
    record.hear(point(0, 10, failure="diverged"))
    with pytest.raises(TrainingError, match="All members have diverged by step 10"):
        record.hear(point(1, 10, failure="diverged"))
    assert len(from_dict(Lineage, read_json(tmp_path / "lineage.json")).points) == 2


def test_a_line_tells_where_the_population_stands(tmp_path):
    record = Record(RunFolder(tmp_path), rules_of(population=2), Lineage(), SilentDisplay())
    record.hear(point(0, 10, 2.5))
    record.hear(point(1, 10, 1.5, failure="collapsed"))
    told = record.line(10)
    assert told.startswith(
        "step 10/50: best NLL 2.5000 (member 0, alpha 0.01, beta 1), 1 collapsed"
    )
    assert (record.common_step, record.is_finished) == (10, False)


def test_the_picture_breaks_lines_where_members_copy(tmp_path):
    _, lineage, _ = bred(4, 5, 3)
    assert any(p.origin != p.member for p in lineage.points)
    for member in range(4):
        points = lineage.of(member)
        copied = sum(p.origin != member for p in points)
        assert len(spans(lineage, member, "alpha")) == 1 + copied
    picture = draw_lineage(lineage, tmp_path / "lineage.png", "a population of 4")
    assert picture.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(DataError, match="no points to draw"):
        draw_lineage(Lineage(), tmp_path / "none.png", "")


# ---- members ---------------------------------------------------------------------------------


def write_music(folder):
    """Three recordings of plucked notes, short and at the rate of the nano preset."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for name in "abc":
        pitches = rng.choice([220.0, 262.0, 330.0, 392.0], size=8)
        time = np.arange(1000)
        notes = [np.sin(2 * np.pi * hz * time / 8000) * np.exp(-time / 400) for hz in pitches]
        soundfile.write(folder / f"{name}.wav", 0.4 * np.concatenate(notes), 8000)
    return folder


SMALLER = ("levels.1.training.crop=64", "levels.1.training.batch=1")


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tune")
    options = TuneOptions(
        data=(write_music(folder / "music"),), folder=folder, preset="nano", overrides=SMALLER
    )
    scan(folder / "music", manifest=folder / "manifest.jsonl")
    return Task(
        stack=to_dict(resolved_stack(options, None)),
        index=0,
        manifest=str(folder / "manifest.jsonl"),
        cache=str(folder / "cache"),
        below=None,
        seed=3,
    )


@pytest.fixture(scope="module")
def stage(task):
    stage = level_stage(task)
    stage.prepare()
    return stage


def test_a_path_over_copies_is_trained_again_bit_for_bit(task, stage, tmp_path):
    first, second = Member(task, stage, 6), Member(task, stage, 6)
    first.set(0.3, 0.5)
    first.train(2)
    first.judge()
    first.save(tmp_path, 0)
    second.set(0.9, 9.0)
    second.train(2)
    assert second.restore(tmp_path) == 0
    second.set(0.2, 2.0)
    second.train(6)
    alone = Member(task, stage, 6)
    told = []
    pieces = (Piece(step=0, alpha=0.3, beta=0.5), Piece(step=2, alpha=0.2, beta=2.0))
    follow(alone, Schedule(pieces=pieces), told.append)
    assert told == [2, 6]
    assert state_hash(second) == state_hash(alone)
    other = Member(task, stage, 6)
    follow(other, Schedule(pieces=pieces[:1]), told.append)
    assert state_hash(second) != state_hash(other)


def test_divergence_is_noticed_by_the_member(task, stage):
    member = Member(task, stage, 4)
    with torch.no_grad():
        for parameter in member.state.modules["ada"].parameters():
            parameter.fill_(math.nan)
    with pytest.raises(TrainingError, match="diverged at step 0"):
        member.train(2)
    assert train_interval(member, 2) == {}


def test_an_encoder_that_says_the_same_of_everything_has_collapsed(task, stage):
    member = Member(task, stage, 4)
    with torch.no_grad():
        for name, parameter in member.state.best("ada").named_parameters():
            if name.startswith("encoder"):
                parameter.zero_()
    figures = member.judge()
    assert figures["perplexity"] == pytest.approx(1)
    assert rules_of().failure(figures["nll"], figures["perplexity"], codes=64) == "collapsed"


# ---- settings --------------------------------------------------------------------------------


def options_of(tmp_path, **more):
    return TuneOptions(data=(tmp_path,), folder=tmp_path, **{"preset": "nano"} | more)


def test_intervals_follow_from_the_length_as_in_the_paper(tmp_path):
    asked = options_of(tmp_path, preset="paper", population=20)
    paper = resolved_rules(asked, resolved_stack(asked, None))
    assert (paper.steps, paper.interval, paper.burn_in) == (500_000, 5000, 10_000)
    short = resolved_rules(options_of(tmp_path, steps=2000), nano())
    assert (short.interval, short.burn_in, short.collapse) == (200, 400, 0.1)
    asked = options_of(tmp_path, steps=90, interval=30, burn_in=0, collapse=0.3, population=7)
    assert resolved_rules(asked, nano()) == rules_of(
        population=7, steps=90, interval=30, burn_in=0, collapse=0.3
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preset": "smell"}, "did you mean 'small'"),
        ({"level": 2}, "give a model that has that one with --from"),
        ({"seed": -1}, "seed is -1"),
        ({"precision": "fp16"}, "precision is 'fp16'"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        options_of(tmp_path, **changes)


def test_only_a_vq_level_is_tuned(tmp_path):
    amae = options_of(tmp_path, overrides=("levels.1.quantiser.kind=amae",))
    with pytest.raises(ConfigError, match=r"give levels\.1\.quantiser\.kind=vq"):
        resolved_stack(amae, None)
    with pytest.raises(ConfigError, match="has levels 1 to 2"):
        resolved_stack(options_of(tmp_path, level=3, below="x"), None)


def test_a_codebook_is_repaired_by_copying_alone_unless_asked_otherwise(tmp_path):
    stack = resolved_stack(options_of(tmp_path), None)
    assert [level.quantiser.revive_below for level in stack.levels] == [0, 0.02]
    asked = options_of(tmp_path, overrides=("levels.1.quantiser.revive_below=0.01",))
    assert resolved_stack(asked, None).levels[0].quantiser.revive_below == 0.01


# ---- folders ---------------------------------------------------------------------------------


class Told(SilentDisplay):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


@pytest.fixture
def breed_alone(monkeypatch):
    """Members train one after the other here, without Ray, and all end with `failure`."""

    def prepare(failure=""):
        def breed(task, rules, starts, folder, resources, heard):
            stage = level_stage(task)
            stage.prepare()
            for start in starts:
                place = folder / "ray" / str(start.member)
                place.mkdir(parents=True)
                member = Member(task, stage, rules.steps)
                member.set(start.alpha, start.beta)
                member.train(rules.steps)
                member.save(place, start.member)
                told = {"alpha": start.alpha, "beta": start.beta, "failure": failure}
                told |= {"checkpoint": place.relative_to(folder).as_posix()}
                heard(point(start.member, rules.steps, 1.0 + start.member, **told))
            return True

        monkeypatch.setattr(tune, "require_ray", lambda address: None)
        monkeypatch.setattr(tune, "breed", breed)

    return prepare


def small_tuning(tmp_path, **more):
    values = {"data": (tmp_path / "music",), "preset": "nano", "overrides": SMALLER}
    values |= {"population": 2, "steps": 1, "burn_in": 0}
    return TuneOptions(folder=tmp_path / "tuned", **values | more)


def test_a_finished_tuning_is_replayed_without_caches_and_the_files_of_ray(tmp_path, breed_alone):
    breed_alone()
    write_music(tmp_path / "music")
    result = run_tuning(small_tuning(tmp_path), SilentDisplay())
    shutil.rmtree(tmp_path / "tuned" / "cache")
    shutil.rmtree(tmp_path / "tuned" / "ray")
    assert run_replay(tmp_path / "tuned", tmp_path / "again", SilentDisplay())["identical"]
    assert run_tuning(small_tuning(tmp_path), SilentDisplay()) == result
    (tmp_path / "tuned" / "manifest.jsonl").unlink()
    with pytest.raises(CheckpointError, match="own command writes it again"):
        run_replay(tmp_path / "tuned", tmp_path / "again", SilentDisplay())


def test_a_population_that_ends_collapsed_is_told_as_that(tmp_path, breed_alone):
    breed_alone("collapsed")
    write_music(tmp_path / "music")
    display = Told()
    result = run_tuning(small_tuning(tmp_path), display)
    assert result["best_collapsed"]
    assert "Warning: every member has failed" in display.lines[-1]
    assert "perplexity of 9.0 of 64 codes" in display.lines[-1]
    assert (tmp_path / "tuned" / "model" / "level1").is_dir()


def test_a_tuning_goes_on_with_its_own_music_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(tune, "require_ray", lambda address: None)
    monkeypatch.setattr(tune, "breed", lambda *anything: False)
    write_music(tmp_path / "music")
    write_music(tmp_path / "other")
    (tmp_path / "other" / "a.wav").unlink()
    assert not run_tuning(small_tuning(tmp_path), SilentDisplay())["finished"]
    file = tmp_path / "tuned" / "manifest.jsonl"
    manifest = file.read_text("utf-8")
    with pytest.raises(TrainingError, match=r"on other music; .* another folder"):
        run_tuning(small_tuning(tmp_path, data=(tmp_path / "other",)), SilentDisplay())
    with pytest.raises(TrainingError, match=r"rules.steps is 2.* another folder"):
        run_tuning(small_tuning(tmp_path, steps=2), SilentDisplay())
    assert file.read_text("utf-8") == manifest
    assert not list((tmp_path / "tuned").glob("new-*"))


def test_a_tuning_from_before_a_setting_was_added_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(tune, "require_ray", lambda address: None)
    monkeypatch.setattr(tune, "breed", lambda *anything: False)
    write_music(tmp_path / "music")
    run_tuning(small_tuning(tmp_path), SilentDisplay())
    run = RunFolder(tmp_path / "tuned")
    known = read_json(run.path / "config.json")
    del known["config"]["rules"]["collapse"]
    del known["config"]["stack"]["levels"][0]["training"]["replaced"]
    write_json(run.path / "config.json", known)
    assert not run_tuning(small_tuning(tmp_path), SilentDisplay())["finished"]


# ---- on Ray ----------------------------------------------------------------------------------


def run_cli(*words):
    """The verb in a process of its own: Ray sets signal handlers and environment variables."""
    done = subprocess.run(
        [sys.executable, "-m", "ritornello", "tune", *map(str, words), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.slow
def test_a_population_on_ray_is_recorded_and_replayed_bit_for_bit(tmp_path):
    pytest.importorskip("ray", reason='Ray Tune is not installed: pip install "ritornello[ray]"')
    music = write_music(tmp_path / "music")
    size = ("--preset", "nano", "--population", 2, "--steps", 6, "--interval", 2, "--burn-in", 2)
    result, told = run_cli("ada", "--data", music, "-o", tmp_path / "tuned", *size, *SMALLER)
    lineage = from_dict(Lineage, read_json(tmp_path / "tuned" / "lineage.json"))
    assert [(p.step, p.member) for p in lineage.points] == [
        (s, m) for s in (2, 4, 6) for m in (0, 1)
    ]
    # What happened is what the rules say of what was reported.
    rules = rules_of(population=2, steps=6, interval=2, burn_in=2)
    for step in (2, 4):
        copies = decide([p for p in lineage.points if p.step == step], rules, 0)
        after = [p for p in lineage.points if p.step == step + 2]
        wanted = {c.member: (c.donor, c.alpha, c.beta) for c in copies}
        assert {
            p.member: (p.origin, p.alpha, p.beta) for p in after if p.origin != p.member
        } == wanted
    assert result["copies"] == 2
    assert (tmp_path / "tuned" / "lineage.png").is_file()
    assert "step 6/6: best NLL" in told
    again, _ = run_cli("ada", "--replay", tmp_path / "tuned", "-o", tmp_path / "again")
    assert again["identical"]


LISTENING = """
from ritornello.ada.tune_ray import Resources, require_ray, start_ray
require_ray()
import ray
start_ray(Resources())
print(ray.util.get_node_ip_address())
ray.shutdown()
"""


@pytest.mark.slow
def test_ray_on_one_machine_is_out_of_reach_of_others():
    pytest.importorskip("ray", reason='Ray Tune is not installed: pip install "ritornello[ray]"')
    words = [sys.executable, "-c", LISTENING]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout.split()[-1:] == ["127.0.0.1"], done.stderr
    early = [sys.executable, "-c", "import ray\n" + LISTENING]
    refused = subprocess.run(early, capture_output=True, text=True, check=False)
    if sys.platform == "linux":
        assert "Ray would be open to other machines" in refused.stderr
