"""The split rule: by work, stable, and useful for small folders."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.data.splits import Member, assign, place
from ritornello.errors import ConfigError, DataError

VALID = 0.05
quick = settings(max_examples=50, deadline=None)
keys = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=30, unique=True)


def members(names):
    return [Member(name=name, key=name, audio=f"audio of {name}") for name in names]


def splits_of(names, **fractions):
    return dict(zip(names, assign(members(names), **fractions), strict=True))


@quick
@given(keys, keys)
def test_adding_files_never_moves_trained_recordings_into_validation(first, more):
    both = first + [name for name in more if name not in first]
    before, after = splits_of(first), splits_of(both)
    if len(first) >= 2 and any(place(name) >= VALID for name in first):  # see "Stability"
        assert all(after[name] == "train" for name in first if before[name] == "train")
    # The other way only a small folder's stand-in may go.
    moved = [name for name in first if before[name] == "valid" and after[name] != "valid"]
    assert moved in ([], [min(first, key=place)])
    assert all(place(name) >= VALID for name in moved)


@quick
@given(keys, st.randoms())
def test_splits_do_not_depend_on_the_order(names, random):
    shuffled = list(names)
    random.shuffle(shuffled)
    assert splits_of(shuffled) == splits_of(names)


@quick
@given(keys)
def test_training_is_never_empty_and_two_works_give_validation(names):
    found = set(splits_of(names).values())
    assert "train" in found
    assert ("valid" in found) == (len(names) >= 2)


def test_a_single_work_with_a_place_in_validation_is_trained_on():
    name = next(str(n) for n in range(1000) if place(str(n)) < VALID)
    assert splits_of([name]) == {name: "train"}


def test_large_folders_hold_out_the_asked_fractions():
    found = list(splits_of([f"piece {n}" for n in range(4000)], valid=0.05, test=0.1).values())
    assert found.count("valid") == pytest.approx(200, abs=50)
    assert found.count("test") == pytest.approx(400, abs=70)


@quick
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=30))
def test_one_work_and_one_audio_never_straddle_two_splits(pairs):
    group = [
        Member(name=str(n), key=f"key{k}", audio=f"audio{a}") for n, (k, a) in enumerate(pairs)
    ]
    splits = assign(group, valid=0.4, test=0.2)
    for one, split in zip(group, splits, strict=True):
        for other, other_split in zip(group, splits, strict=True):
            if one.key == other.key or one.audio == other.audio:
                assert split == other_split


def test_a_side_car_decides_for_its_whole_work():
    group = [
        Member(name="a1", key="a", audio="1", wanted="test"),
        Member(name="a2", key="a", audio="2"),
        Member(name="b", key="b", audio="3"),
        Member(name="c", key="c", audio="4"),
    ]
    splits = assign(group)
    assert splits[:2] == ["test", "test"]
    assert set(splits[2:]) == {"train", "valid"}


def test_side_cars_that_disagree_about_a_work_are_refused():
    group = [
        Member(name="a1", key="a", audio="1", wanted="test"),
        Member(name="a2", key="a", audio="2", wanted="train"),
    ]
    with pytest.raises(DataError, match="a1 asks for split 'test' and a2 for 'train'"):
        assign(group)


@pytest.mark.parametrize("fractions", [{"valid": -0.1}, {"valid": 0.6, "test": 0.4}])
def test_fractions_that_leave_nothing_to_train_on_are_refused(fractions):
    with pytest.raises(ConfigError, match="fractions >= 0"):
        assign(members("ab"), **fractions)
