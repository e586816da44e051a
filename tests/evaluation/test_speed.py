import time

import pytest

from ritornello.errors import ConfigError
from ritornello.evaluation import speed


def spin(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_sleeping_takes_wall_time_and_working_takes_processor_time():
    asleep = speed.measure(lambda: time.sleep(0.05), repeats=3, warmups=0)
    assert asleep.median_wall_s >= 0.05
    assert min(asleep.cpu_s) < 0.03  # other threads of this process may work meanwhile
    busy = speed.measure(lambda: spin(0.05), repeats=3, warmups=0)
    assert busy.median_cpu_s >= 0.05


def test_warm_ups_do_not_count():
    calls = []
    timing = speed.measure(lambda: calls.append(0), repeats=4, warmups=2)
    assert len(calls) == 6
    assert len(timing.wall_s) == len(timing.cpu_s) == 4
    assert timing.to_dict()["median_wall_s"] == timing.median_wall_s


def test_first_block_does_not_wait_for_the_second():
    def stream():
        yield 1
        time.sleep(60)
        yield 2

    assert speed.measure_first(stream, repeats=2).median_wall_s < 5


def test_parts_are_counted_and_put_back():
    class Model:
        def first(self):
            spin(0.02)
            return 1

        def second(self):
            return self.first() + 1

    model = Model()
    with speed.clocked_parts({"first": (model, "first")}) as clock:
        assert model.second() == 2
        assert model.second() == 2
    assert vars(model) == {}
    figures = clock.to_dict()
    assert figures["first"]["calls"] == 2
    assert figures["first"]["cpu_s"] >= 0.04
    model.first()
    assert clock.calls == {"first": 2}


def test_functions_of_modules_are_put_back_after_an_error():
    original = time.sleep
    parts = {"sleep": (time, "sleep")}
    with pytest.raises(ValueError, match="non-negative"), speed.clocked_parts(parts) as clock:
        time.sleep(-1)
    assert time.sleep is original
    assert clock.calls == {"sleep": 1}


def test_peak_memory_sees_an_allocation():
    held = bytearray(64 * 2**20)
    held[::4096] = b"x" * len(held[::4096])
    assert speed.peak_memory_bytes() > len(held)
    assert speed.memory_bytes() > len(held)
    assert speed.peak_memory_bytes() >= 0.9 * speed.memory_bytes()


def test_machine_is_described():
    described = speed.machine()
    assert described["cores"] >= 1
    assert described["processor"]
    assert described["threads"] >= 1


def test_times_real_time():
    assert speed.times_real_time(30.0, 1.5) == 20


def test_refuses_impossible_repeats():
    with pytest.raises(ConfigError, match="repeats 0"):
        speed.measure(lambda: None, repeats=0)
