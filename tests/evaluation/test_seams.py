import json

import numpy as np
import pytest

from ritornello.errors import DataError
from ritornello.evaluation import seams
from tests.evaluation.signals import RATE, noise, notes, tone

CHUNK_S = 1.0
STEP_S = 0.05


def grid(seconds):
    return np.arange(CHUNK_S, seconds - 0.01, CHUNK_S)


def cut_every_second(wave):
    """The same music with a short dropout at every joint."""
    broken = wave.copy()
    for joint_s in grid(wave.shape[1] / RATE):
        joint = round(joint_s * RATE)
        broken[:, joint - 60 : joint + 60] = 0
    return broken


def test_dropouts_at_the_joints_are_found():
    wave = tone(330, 12.0) + noise(12.0, seed=1) / 20
    found = seams.seam_ratio(
        [cut_every_second(wave)], RATE, grid(12.0), STEP_S, np.random.default_rng(0)
    )
    assert found.ratio.value > 3
    assert found.ratio.low > 2
    assert found.ratio.items == 11
    assert found.p_value < 0.01


def test_music_that_does_not_know_of_the_joints_is_seamless():
    # 3.3 notes a second drift against the joints, so that no joint is special.
    wave = notes(30.0, seed=2, per_second=3.3)
    found = seams.seam_ratio([wave], RATE, grid(30.0), STEP_S, np.random.default_rng(0))
    assert 0.6 < found.ratio.value < 1.4
    assert found.p_value > 0.05


def test_stationary_noise_has_ratio_one():
    wave = noise(20.0, seed=3)
    figures = seams.evaluate([wave], RATE, grid(20.0), STEP_S, np.random.default_rng(0))
    ratio = figures["seam_ratio"]
    assert ratio.value == pytest.approx(1, abs=0.1)
    assert ratio.low <= ratio.value <= ratio.high
    assert ratio.items == 19


def test_one_joint_has_a_ratio_without_an_interval():
    joint = np.array([1.0])
    figures = seams.evaluate([noise(2.0, seed=3)], RATE, joint, STEP_S, np.random.default_rng(0))
    assert figures["seam_ratio"].value > 0
    told = {name: figure.to_dict() for name, figure in figures.items()}
    assert told["seam_ratio"]["low"] is told["seam_p_value"]["high"] is None
    assert json.dumps(told, allow_nan=False)


def test_texture_of_the_codecs_own_grid_is_no_seam():
    # A short dropout every 0.2 s, at the joints no more than elsewhere.
    wave = noise(20.0, seed=7)
    for index in range(1, 100):
        at = round(index * 0.2 * RATE)
        wave[:, at - 60 : at + 60] = 0
    found = seams.seam_ratio([wave], RATE, grid(20.0), 0.2, np.random.default_rng(0))
    assert found.ratio.value == pytest.approx(1, abs=0.1)
    between = seams.seam_ratio([wave], RATE, grid(20.0), 0.0371, np.random.default_rng(0))
    assert between.ratio.value > 1.2


def test_pieces_are_pooled_and_loud_ones_count_no_more():
    calm = tone(330, 8.0) + noise(8.0, seed=5) / 20
    lively = noise(8.0, seed=6)
    broken = [cut_every_second(calm), lively]
    found = seams.seam_ratio(broken, RATE, grid(8.0), STEP_S, np.random.default_rng(0))
    alone = [
        seams.seam_ratio([x], RATE, grid(8.0), STEP_S, np.random.default_rng(0)) for x in broken
    ]
    assert found.ratio.items == 14
    assert found.ratio.value == pytest.approx(np.mean([x.ratio.value for x in alone]), rel=0.05)
    assert found.p_value < 0.01


def test_flux_is_found_within_reach_of_a_moment_only():
    flux = np.zeros(100)
    flux[50] = 7.0
    near = seams.flux_near(flux, 100.0, np.array([0.5, 0.51, 0.55]))
    assert near == pytest.approx([7, 7, 0])


def test_refuses_joints_outside_and_silence():
    draw = np.random.default_rng(0)
    with pytest.raises(DataError, match="no joints"):
        seams.evaluate([noise(1.0, seed=4)], RATE, np.array([]), STEP_S, draw)
    with pytest.raises(DataError, match="inside the piece"):
        seams.evaluate([noise(1.0, seed=4)], RATE, np.array([1.5]), STEP_S, draw)
    with pytest.raises(DataError, match="step_s is 3"):
        seams.evaluate([noise(2.0, seed=4)], RATE, np.array([1.0]), 3.0, draw)
    with pytest.raises(DataError, match="no pieces"):
        seams.evaluate([], RATE, np.array([1.0]), STEP_S, draw)
    with pytest.raises(DataError, match="silence"):
        seams.evaluate([np.zeros((1, 2 * RATE))], RATE, np.array([1.0]), STEP_S, draw)
