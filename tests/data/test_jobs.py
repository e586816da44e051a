"""The bounded pool and the lock between processes."""

import os
import subprocess
import sys
import threading
import time

import pytest

from ritornello.data.jobs import completed, exclusive


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_item_is_done_once(workers):
    pairs = list(completed(lambda n: n * n, range(20), workers))
    assert sorted(pairs) == [(n, n * n) for n in range(20)]


def test_no_more_results_wait_than_there_are_workers():
    alive, most = [], []
    lock = threading.Lock()

    def work(n):
        with lock:
            alive.append(n)
            most.append(len(alive))
        return n

    for n, _ in completed(work, range(50), 3):
        time.sleep(0.001)  # a slow consumer
        with lock:
            alive.remove(n)
    assert max(most) <= 2 * 3  # three being yielded, three being worked on


def test_the_first_error_ends_the_work():
    done = []

    def work(n):
        if n == 3:
            raise ValueError("broken")
        done.append(n)

    with pytest.raises(ValueError, match="broken"):
        list(completed(work, range(1000), 2))
    assert len(done) < 10


def test_a_second_process_waits_for_the_lock(tmp_path):
    lock = tmp_path / "cache" / "lock"
    code = (
        "import sys; from pathlib import Path; from ritornello.data.jobs import exclusive\n"
        "print('ready', flush=True)\n"
        f"with exclusive(Path({os.fspath(lock)!r})): print('in', flush=True)"
    )
    with exclusive(lock):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.2)
        assert process.poll() is None
    with process:
        assert process.stdout.readline() == "in\n"
    assert not lock.exists()


def test_the_lock_is_released_after_an_error(tmp_path):
    with pytest.raises(ValueError, match="broken"), exclusive(tmp_path / "lock"):
        raise ValueError("broken")
    with exclusive(tmp_path / "lock"):
        assert (tmp_path / "lock").exists()


def test_the_lock_admits_one_at_a_time(tmp_path):
    inside = []

    def work(n):
        with exclusive(tmp_path / "lock"):
            inside.append(n)
            assert len(inside) == 1
            time.sleep(0.001)
            inside.remove(n)

    assert len(list(completed(work, range(60), 6))) == 60
