import logging
import subprocess
import sys

import pytest
import torch

from ritornello.checkpoint import read_tensors
from ritornello.errors import TrainingError
from ritornello.training.distributed import World
from ritornello.training.run import RunFolder
from ritornello.training.step import new_state, take_step
from tests.training.toy_stages import ToyGame

# Three children of one process: each dies at another moment of its second save.
KILLED_WHILE_SAVING = """
import os, signal, sys
from pathlib import Path
from ritornello.training.distributed import World
from ritornello.training.run import RunFolder
from ritornello.training.step import new_state, take_step
from tests.training.toy_stages import ToyGame
import ritornello.checkpoint, ritornello.training.run

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def die_in_the_middle_of_the_file(path, tensors):
    ritornello.checkpoint.write_tensors(path, tensors)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    die()

def be_killed(moment):
    folder = RunFolder(Path(sys.argv[1]) / moment).stage("game")
    stage = ToyGame()
    state = new_state(stage, 0, total_steps=8, precision="fp32", world=World())
    take_step(stage, state, 0, stage.batch)
    folder.save(state, {"at": 1})
    take_step(stage, state, 0, stage.batch)
    if moment == "tensors":
        ritornello.training.run.write_tensors = die_in_the_middle_of_the_file
    elif moment == "sums":
        ritornello.training.run.write_checksums = die
    else:
        ritornello.checkpoint.Path.rename = die
    folder.save(state, {"at": 2})

for moment in ("tensors", "sums", "rename"):
    child = os.fork()
    if child == 0:
        be_killed(moment)
        os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WTERMSIG(status) == signal.SIGKILL, (moment, status)
"""


def trained(steps):
    stage = ToyGame()
    state = new_state(stage, 0, total_steps=8, precision="fp32", world=World())
    for _ in range(steps):
        take_step(stage, state, 0, stage.batch)
    return state


def test_a_kill_in_the_middle_of_a_save_leaves_the_state_before_it(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_SAVING, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for moment in ("tensors", "sums", "rename"):
        folder = RunFolder(tmp_path / moment).stage("game")
        left = {path.name for path in folder.states.iterdir()}
        assert left == {"step-000000001", ".step-000000002.writing"}
        state = trained(0)
        assert folder.restore(state) == {"at": 1}
        for name, tensor in trained(1).tensors().items():
            assert torch.equal(tensor, state.tensors()[name]), name
        stage = ToyGame()
        take_step(stage, state, 0, stage.batch)
        folder.save(state, {"at": 2})
        names = {path.name for path in folder.states.iterdir()}
        assert names == {"step-000000001", "step-000000002"}


def test_the_last_two_states_are_kept(tmp_path):
    folder = RunFolder(tmp_path).stage("game")
    state = trained(0)
    stage = ToyGame()
    for _ in range(4):
        take_step(stage, state, 0, stage.batch)
        folder.save(state, {})
    assert [path.name for path in sorted(folder.states.iterdir())] == [
        "step-000000003",
        "step-000000004",
    ]


def test_a_damaged_state_is_passed_over_with_a_warning(tmp_path, caplog):
    folder = RunFolder(tmp_path).stage("game")
    for steps in (1, 2):
        folder.save(trained(steps), {"at": steps})
    newest = folder.states / "step-000000002" / "state.safetensors"
    newest.write_bytes(newest.read_bytes()[:-7])
    state = trained(0)
    with caplog.at_level(logging.WARNING):
        assert folder.restore(state) == {"at": 1}
    assert state.step == 1
    assert "step-000000002" in caplog.text
    (folder.states / "step-000000001" / "state.json").unlink()
    with pytest.raises(TrainingError, match=r"No saved state .* can be read"):
        folder.restore(state)


def test_nothing_saved_is_no_state(tmp_path):
    assert RunFolder(tmp_path).stage("game").restore(trained(0)) is None


def test_a_run_of_other_settings_is_refused_by_name(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.begin("toy", {"net": {"dim": 4, "heads": (1, 2)}}, 0)
    run.begin("toy", {"net": {"dim": 4, "heads": (1, 2)}}, 0)
    with pytest.raises(TrainingError, match=r"config\.net\.dim is 5, the run has 4"):
        run.begin("toy", {"net": {"dim": 5, "heads": (1, 2)}}, 0)
    with pytest.raises(TrainingError, match=r"config\.net\.heads\.2 is 3, the run has 2"):
        run.begin("toy", {"net": {"dim": 4, "heads": (1, 3)}}, 0)
    with pytest.raises(TrainingError, match=r"config\.net\.heads has 1 entries, the run has 2"):
        run.begin("toy", {"net": {"dim": 4, "heads": (1,)}}, 0)
    with pytest.raises(TrainingError, match="seed is 1, the run has 0"):
        run.begin("toy", {"net": {"dim": 4, "heads": (1, 2)}}, 1)


def test_saved_states_hold_no_pickle(tmp_path):
    place = RunFolder(tmp_path).stage("game").save(trained(1), {})
    assert {path.name for path in place.iterdir()} == {
        "state.safetensors",
        "state.json",
        "SHA256SUMS",
    }
    assert "optimizers/critic/critic.0.weight/exp_avg" in read_tensors(place / "state.safetensors")
