"""Sessions: everybody hears every system equally often, all clips are heard in the end."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.config import from_json, to_json
from ritornello.errors import ConfigError, DataError
from ritornello.server.listening_plan import (
    ANCHOR,
    REFERENCE,
    Plan,
    PlannedClip,
    compared_pairs,
    load_plan,
    session,
)


def plan_of(systems=3, positions=6, per_listener=3, pairs=4, seed=0):
    names = (*(f"s{index}" for index in range(systems)), REFERENCE, ANCHOR)
    clips = tuple(
        PlannedClip(
            id=f"{s:04x}{p:04x}", system=name, position=p, source="x", start_s=0.0, gain_db=0.0
        )
        for s, name in enumerate(names)
        for p in range(positions)
    )
    return Plan(
        id="t",
        seed=seed,
        seconds=1.0,
        loudness_lufs=-20.0,
        systems=names,
        targets=names,
        positions=positions,
        per_listener=per_listener,
        pairs=pairs,
        clips=clips,
    )


def heard(plan, number, kind):
    """(system, position) of each clip on the pages of one kind."""
    clips = {clip.id: (clip.system, clip.position) for clip in plan.clips}
    pages = [trial for trial in session(plan, number) if trial.kind == kind]
    return [[clips[clip] for clip in trial.clips] for trial in pages]


def test_a_plan_survives_its_file():
    assert from_json(Plan, to_json(plan_of())) == plan_of()


@settings(max_examples=20)
@given(st.integers(1, 4), st.integers(1, 8), st.integers(0, 50), st.data())
def test_a_listener_rates_every_system_at_the_same_positions(systems, positions, number, data):
    plan = plan_of(systems, positions, data.draw(st.integers(1, positions)))
    rated = [entry for (entry,) in heard(plan, number, "rate")]
    places = {position for _, position in rated}
    assert len(places) == plan.per_listener
    assert Counter(rated) == Counter((n, p) for n in plan.systems for p in places)


def test_never_the_same_system_or_position_twice_in_a_row():
    plan = plan_of(systems=3, positions=12, per_listener=6)
    for number in range(20):
        rated = [entry for (entry,) in heard(plan, number, "rate")]
        for before, after in pairwise(rated):
            assert before[0] != after[0]
            assert before[1] != after[1]


def test_after_enough_listeners_every_clip_was_rated_equally_often():
    plan = plan_of(positions=6, per_listener=2)
    counts = Counter(entry for n in range(6) for (entry,) in heard(plan, n, "rate"))
    assert set(counts.values()) == {2}
    assert len(counts) == len(plan.clips)


def test_comparisons_are_matched_balanced_and_without_the_anchor():
    plan = plan_of(systems=2, positions=4, pairs=6)
    assert compared_pairs(len(plan.systems), plan.positions) == 12
    counts, lefts = Counter(), Counter()
    for number in range(8):
        for (left, at), (right, there) in heard(plan, number, "pair"):
            assert at == there
            assert ANCHOR not in (left, right)
            counts[frozenset((left, right)), at] += 1
            lefts[left] += 1
    assert set(counts.values()) == {4}
    assert len(counts) == 12
    assert max(lefts.values()) - min(lefts.values()) <= 10


def test_sessions_repeat_and_differ():
    plan = plan_of()
    assert session(plan, 3) == session(plan, 3)
    assert len({tuple(session(plan, number)) for number in range(10)}) == 10
    assert session(plan_of(seed=1), 3) != session(plan, 3)


def test_what_is_no_test_says_so(tmp_path):
    with pytest.raises(DataError, match="ritornello listen new"):
        load_plan(tmp_path)
    text = to_json(plan_of()).replace('"version": 1', '"version": 9')
    with pytest.raises(ConfigError, match="version is 9"):
        from_json(Plan, text)
    with pytest.raises(ConfigError, match="one per system and position"):
        from_json(Plan, to_json(plan_of()).replace('"positions": 6', '"positions": 7'))
