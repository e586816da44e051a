"""`bench` measures a real model; the figures agree with each other."""

import json

from ritornello.cli.main import main


def test_bench_measures_speed_latency_and_memory(nano_model, capsys):
    words = ["bench", str(nano_model), "--seconds", "2", "--repeats", "1"]
    assert main([*words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["generate_times_real_time"] > 0
    assert 0 < result["first_sound_s"] <= 2 / result["stream_times_real_time"]
    assert result["peak_memory_mb"] > 50
    assert main(words) == 0
    assert "x real time" in capsys.readouterr().out


def test_bench_refuses_no_repeats(nano_model, capsys):
    assert main(["bench", str(nano_model), "--repeats", "0"]) == 1
    assert "at least 1" in capsys.readouterr().err
