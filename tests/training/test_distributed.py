import os
import socket
import subprocess
import sys

import pytest
import torch

from ritornello.checkpoint import read_tensors
from ritornello.training.distributed import World
from ritornello.training.run import RunFolder
from ritornello.training.seeds import seeded_generator
from ritornello.training.step import new_state
from tests.training.toy_stages import ToyCodec

STEPS = 4
TRAIN = f"""
import sys
from pathlib import Path
import torch
from ritornello.training.loop import train_chain
from ritornello.training.run import RunFolder
from tests.training.toy_stages import ToyCodec
torch.set_num_threads(1)
result = train_chain([ToyCodec(steps={STEPS})], RunFolder(Path(sys.argv[1])), seed=0)
assert result.finished and result.step == {STEPS}, result
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def train_with(processes, folder):
    place = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1"}
    place |= {"MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", TRAIN, str(folder)],
            env=os.environ | place | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    told = [process.communicate(timeout=240)[1] for process in running]
    assert [process.returncode for process in running] == [0] * processes, told
    return told


@pytest.mark.slow
def test_two_processes_equal_one_that_accumulates_both_batches(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.begin("toy", {}, 0)
    run.keep_compute("codec", {"threads": 1, "precision": "fp32", "seconds_per_step": 0.01})
    first, second = train_with(2, run.path)
    assert "finished after 4 steps" in first
    assert "finished" not in second

    stage = ToyCodec(steps=STEPS)
    alone = new_state(stage, 0, total_steps=STEPS, precision="fp32", world=World())
    alone.accumulate = 2
    for step in range(STEPS):
        batches = []
        for rank in range(2):
            place = (stage.name, step, rank)
            wave = stage.batch(seeded_generator(0, *place, "batch"))
            noise = torch.randn(wave.shape, generator=seeded_generator(0, *place, "draw"))
            batches.append(wave + 0.01 * noise)
        alone.update("codec", (stage.loss(alone, batch) for batch in batches))
        alone.step += 1
    saved = read_tensors(run.stage("codec").states / "step-000000004" / "state.safetensors")
    for name, tensor in alone.tensors().items():
        if name.startswith(("modules/", "averaged/")):
            torch.testing.assert_close(saved[name], tensor, rtol=1e-5, atol=1e-6)


def test_one_process_alone_exchanges_nothing():
    world = World()
    tensor = torch.ones(2)
    world.average([tensor])
    world.share([tensor])
    world.wait()
    assert tensor.tolist() == [1, 1]
    assert world.from_first({"a": 1}) == {"a": 1}
    assert world.any(True)
    assert not world.any(False)
