"""Votes: published examples, closed forms, and who is named but still counted."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ritornello.errors import DataError
from ritornello.evaluation import ratings
from ritornello.evaluation.ratings import Preference, Rating
from ritornello.evaluation.ratings_picture import save_picture


def rating(listener="ann", system="a", position=0, scale="fidelity", score=3):
    return Rating(listener=listener, system=system, position=position, scale=scale, score=score)


def preference(first, second, winner, listener="ann", position=0):
    return Preference(
        listener=listener, position=position, first=first, second=second, winner=winner
    )


def draw():
    return np.random.default_rng(0)


def test_krippendorffs_own_example():
    """Krippendorff 2011, section D: four observers, twelve units, interval differences."""
    gap = np.nan
    scores = np.array(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, gap, gap, gap],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, gap, 3],
            [gap, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, gap],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, gap],
        ]
    )
    assert ratings.krippendorff_alpha(scores) == pytest.approx(0.849, abs=5e-4)


def test_alpha_of_unanimity_chance_and_nothing():
    scores = np.array([[1.0, 2.0, 5.0], [1.0, 2.0, 5.0]])
    assert ratings.krippendorff_alpha(scores) == 1
    noise = draw().integers(1, 6, size=(2, 4000)).astype(float)
    assert abs(ratings.krippendorff_alpha(noise)) < 0.05
    assert math.isnan(ratings.krippendorff_alpha(np.array([[1.0, np.nan], [np.nan, 2.0]])))
    assert math.isnan(ratings.krippendorff_alpha(np.full((2, 3), 4.0)))


def test_wilson_interval_of_a_textbook():
    """One of ten at 95 %: 0.0179 to 0.4042 (Newcombe 1998, Table I gives such values)."""
    one = ratings.wilson_interval(1, 10)
    assert (one.low, one.high) == pytest.approx((0.01788, 0.40415), abs=1e-4)
    none = ratings.wilson_interval(0, 10)
    assert none.low == 0
    assert none.high == pytest.approx(1.959964**2 / (10 + 1.959964**2))


@given(st.integers(1, 200), st.floats(0, 1))
def test_wilson_contains_the_share_and_mirrors(count, share):
    wins = round(share * count * 2) / 2
    interval = ratings.wilson_interval(wins, count)
    assert 0 <= interval.low <= interval.value + 1e-12 <= interval.high + 2e-12 <= 1 + 2e-12
    mirrored = ratings.wilson_interval(count - wins, count)
    assert interval.low == pytest.approx(1 - mirrored.high)


def test_wilson_refuses_the_impossible():
    with pytest.raises(DataError, match="3 wins of 2"):
        ratings.wilson_interval(3, 2)


def test_bradley_terry_of_two_is_their_share():
    strengths = ratings.bradley_terry(np.array([[0.0, 7.0], [2.0, 0.0]]))
    assert strengths[0] / strengths[1] == pytest.approx(7.5 / 2.5)


def test_bradley_terry_recovers_the_strengths_behind_many_games():
    true = np.array([4.0, 1.0, 0.25])
    wins = 1e6 * true[:, None] / (true[:, None] + true) * (1 - np.eye(3))
    assert ratings.bradley_terry(wins) == pytest.approx(true, rel=1e-4)


def test_bradley_terry_of_a_system_that_never_lost_is_finite():
    strengths = ratings.bradley_terry(np.array([[0.0, 5.0, 5.0], [0, 0, 3], [0, 2, 0.0]]))
    assert np.isfinite(strengths).all()
    assert strengths.argmax() == 0


def test_bradley_terry_needs_connected_comparisons():
    wins = np.zeros((4, 4))
    wins[0, 1] = wins[2, 3] = 3
    with pytest.raises(DataError, match="never compared"):
        ratings.bradley_terry(wins)


def test_a_win_matrix_counts_halves():
    choices = [preference("a", "b", "a"), preference("b", "a", "a"), preference("a", "b", None)]
    assert ratings.win_matrix(choices, ["a", "b"]).tolist() == [[0, 2.5], [0.5, 0]]


def test_crossed_interval_is_wider_than_votes_taken_alone_when_listeners_differ():
    offsets = np.repeat(np.linspace(-1.5, 1.5, 6), 20)
    values = 3 + offsets
    listeners, positions = np.repeat(np.arange(6), 20), np.tile(np.arange(20), 6)
    crossed = ratings.crossed_mean(values, listeners, positions, draw())
    error = ratings.standard_error(values)
    assert crossed.value == pytest.approx(3)
    assert crossed.high - crossed.low > 1.8 * 2 * 1.96 * error
    # Six listeners: the spread of a mean of six, not of 120 votes.
    assert crossed.high - crossed.low == pytest.approx(2 * 1.96 * offsets.std() / 6**0.5, rel=0.15)


def test_one_listener_is_an_interval_over_clips_and_one_vote_is_none():
    values = np.array([1.0, 5.0, 3.0, 3.0])
    alone = ratings.crossed_mean(values, np.zeros(4, dtype=int), np.arange(4), draw())
    assert alone.low < 3 < alone.high
    one = ratings.crossed_mean(
        np.array([4.0]), np.zeros(1, dtype=int), np.zeros(1, dtype=int), draw()
    )
    assert (one.low, one.value, one.high) == (4, 4, 4)
    assert ratings.standard_error(np.array([4.0])) is None


def test_mean_and_standard_error_are_those_of_the_definition():
    scores = [2, 3, 5, 5]
    figures = ratings.evaluate(
        [rating(position=index, score=score) for index, score in enumerate(scores)], [], draw()
    )["systems"]["a"]["fidelity"]
    assert figures["value"] == 3.75
    assert figures["standard_error"] == pytest.approx(1.5 / 2)
    assert (figures["items"], figures["listeners"], figures["clips"]) == (4, 1, 4)


def session(listener, good="reference", bad="anchor"):
    """A listener who rates `good` five and `bad` one, on four positions."""
    return [
        rating(listener, system, position, scale, score)
        for system, score in ((good, 5), (bad, 1))
        for position in range(4)
        for scale in ("fidelity", "overall")
    ]


def test_a_listener_who_prefers_the_anchor_is_named_and_counted():
    votes = [*session("ann"), *session("bob", good="anchor", bad="reference")]
    result = ratings.evaluate(votes, [], draw())
    assert result["listeners"]["ann"]["verdict"] == "passed"
    assert result["listeners"]["bob"]["verdict"] == "failed"
    assert result["listeners"]["bob"]["reference_minus_anchor"] == -4
    assert any("bob did not rate" in warning for warning in result["warnings"])
    assert result["systems"]["reference"]["fidelity"]["value"] == 3
    assert result["agreement"]["overall"] < 0


def test_too_few_votes_are_told():
    result = ratings.evaluate([rating()], [preference("a", "b", "a")], draw())
    told = " ".join(result["warnings"])
    assert "one listener" in told
    assert "fewer than 15 ratings for a (1)" in told
    assert "fewer than 15 comparisons of a / b" in told
    assert result["listeners"]["ann"]["verdict"] == "too few"
    assert result["agreement"]["fidelity"] is None


def test_a_listener_who_always_says_three_is_named():
    votes = [rating(position=index) for index in range(15)]
    assert "same score" in " ".join(ratings.evaluate(votes, [], draw())["warnings"])


def test_preferences_rank_systems():
    games = [("a", "b", "a"), ("a", "b", "a"), ("b", "c", "b"), ("c", "b", None), ("a", "c", "a")]
    choices = [
        preference(*game, listener=f"l{index % 3}", position=index % 4)
        for index, game in enumerate(games * 4)
    ]
    result = ratings.evaluate([], choices, draw())["preferences"]
    assert [row["system"] for row in result["ranking"]] == ["a", "b", "c"]
    pair = next(p for p in result["pairs"] if (p["first"], p["second"]) == ("b", "c"))
    assert (pair["wins"], pair["losses"], pair["undecided"], pair["value"]) == (4, 0, 4, 0.75)
    for row in result["ranking"]:
        assert row["low"] <= row["value"] <= row["high"]


def test_what_cannot_be_counted_is_refused():
    for votes, choices, message in [
        ([], [], "no votes yet"),
        ([rating(score=6)], [], "from 1 to 5"),
        ([rating(), rating(score=4)], [], "two scores"),
        ([], [preference("a", "b", "c")], "one of them the winner"),
        ([], [preference("a", "a", "a")], "two systems"),
    ]:
        with pytest.raises(DataError, match=message):
            ratings.evaluate(votes, choices, draw())


@pytest.mark.slow
def test_the_picture_is_written_the_same_twice(tmp_path):
    choices = [preference("reference", "anchor", "reference")]
    result = ratings.evaluate(session("ann"), choices, draw())
    first = save_picture(result, tmp_path / "a.png", "test").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert save_picture(result, tmp_path / "b.png", "test").read_bytes() == first
    with pytest.raises(DataError, match="no votes to draw"):
        save_picture({"systems": {}, "preferences": {"pairs": []}}, tmp_path / "c.png")
