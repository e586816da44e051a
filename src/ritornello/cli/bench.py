"""`ritornello bench`: how fast a model plays here, how soon it starts, how much memory it takes."""

import resource
import statistics
import sys
import time
from typing import Any

from ritornello.cli.console import VerbParser, emit, table
from ritornello.cli.playing import add_model, load
from ritornello.errors import ConfigError


def run(argv: list[str]) -> int:
    """Measure a model and print medians."""
    parser = VerbParser(
        "bench",
        "Measure generation speed, time to the first sound of a stream and peak memory:\n"
        "medians of several pieces, after one that warms up.",
        ["ritornello bench", "ritornello bench piano --seconds 60 --repeats 5 --threads 2 --json"],
    )
    add_model(parser)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each piece (30)")
    parser.add_argument("--repeats", type=int, default=3, help="pieces to take the median of (3)")
    options = parser.parse(argv)
    if options.repeats < 1:
        raise ConfigError(f"--repeats is {options.repeats}; expected at least 1")
    result = measure(options.model, options.seconds, options.repeats, options.threads)
    emit(result, as_json=options.json, text=_lines(result))
    return 0


def measure(name: str, seconds: float, repeats: int, threads: int) -> dict[str, Any]:
    """Medians over `repeats` pieces of `seconds` seconds from the model called `name`."""
    from ritornello.interfaces import Request
    from ritornello.loading import find
    from ritornello.provenance import circumstances

    model = find(name)
    system, load_s = load(model, threads)
    warm_up = system.generate(Request(seconds=min(seconds, 5.0)))
    requests = [Request(seconds=seconds, seed=seed) for seed in range(repeats)]
    generate_s = [_elapsed(lambda r=request: system.generate(r)) for request in requests]
    streams = [_time_stream(system, request) for request in requests]
    return {
        "model": model.name,
        "system": model.system,
        "seconds": seconds,
        "repeats": repeats,
        "load_s": load_s,
        "generate_times_real_time": seconds / statistics.median(generate_s),
        "stream_times_real_time": seconds / statistics.median(whole for _, whole in streams),
        "first_sound_s": statistics.median(first for first, _ in streams),
        "peak_memory_mb": peak_memory_mb(),
        **circumstances(warm_up.meta),
    }


def peak_memory_mb() -> float:
    """The most memory this process has held so far, in megabytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def _elapsed(action: Any) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _time_stream(system: Any, request: Any) -> tuple[float, float]:
    """Seconds until the first block of a stream, and until its last."""
    start = time.perf_counter()
    first_s = None
    for _ in system.stream(request):
        if first_s is None:
            first_s = time.perf_counter() - start
    return first_s or 0.0, time.perf_counter() - start


def _lines(result: dict[str, Any]) -> list[str]:
    rows = [
        ("generate", f"{result['generate_times_real_time']:.1f} x real time"),
        ("stream", f"{result['stream_times_real_time']:.1f} x real time"),
        ("first sound of a stream", f"{result['first_sound_s']:.3f} s"),
        ("loading", f"{result['load_s']:.2f} s"),
        ("peak memory", f"{result['peak_memory_mb']:.0f} MB"),
    ]
    heading = (
        f"{result['model']}: {result['seconds']:g} s pieces, median of {result['repeats']}, "
        f"{result['threads']} thread(s), {result['kernel_path']}, {result['precision']}"
    )
    return [heading, "", *table(rows, ("what", "measured"))]
