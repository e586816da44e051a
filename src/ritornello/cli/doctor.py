"""`ritornello doctor`: what this machine has, what is missing and how to get it."""

import ctypes.util
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

from ritornello import __version__
from ritornello.cli.console import VerbParser, emit, table

EXTRAS = {
    "data": {
        "mido": "mido",
        "fluidsynth": "pyfluidsynth",
        "music21": "music21",
        "mutagen": "mutagen",
    },
    "songs": {"pyworld": "pyworld"},
    "eval": {
        "onnxruntime": "onnxruntime",
        "mir_eval": "mir_eval",
        "scipy": "scipy",
        "pocketsphinx": "pocketsphinx",
    },
    "serve": {"fastapi": "fastapi", "uvicorn": "uvicorn"},
    "live": {"sounddevice": "sounddevice"},
}
"""Extra -> import name -> distribution name; what each enables stands in `ENABLES`."""

ENABLES = {
    "data": "ritornello data make, tags of audio files",
    "songs": "ritornello data make songs",
    "eval": "notes and beats in evaluate and report",
    "serve": "ritornello listen serve",
    "live": "ritornello stream to the speakers",
}
SOUNDFONT_FOLDERS = (Path("/usr/share/sounds/sf2"), Path("/usr/share/soundfonts"))
FESTIVAL_VOICE = Path("/usr/share/festival/voices/us/cmu_us_slt_arctic_hts")
CPU_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")


def run(argv: list[str]) -> int:
    """Report on the machine; exit code 1 when a shipped model is damaged."""
    parser = VerbParser(
        "doctor",
        "Show what is installed, what is missing and how to get it, and how this CPU computes.",
        ["ritornello doctor", "ritornello doctor --json"],
    )
    options = parser.parse(argv)
    report = {
        "ritornello": __version__,
        "machine": machine(),
        "torch": torch_facts(),
        "native": native_facts(),
        "extras": extras(),
        "programs": programs(),
        "models": models(),
    }
    emit(report, as_json=options.json, text=_lines(report))
    return 0 if all(model["ok"] for model in report["models"]) else 1


def machine() -> dict[str, Any]:
    """Python, operating system, processor and the instruction sets that matter here."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    flags = set(fields.get("flags", "").split())
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpu": fields.get("model name", platform.processor() or platform.machine()),
        "cores": os.cpu_count(),
        "instructions": [flag for flag in CPU_FLAGS if flag in flags],
    }


def torch_facts() -> dict[str, Any]:
    """Version, threads and vector path of torch, and what bfloat16 gains on this CPU, measured."""
    import torch

    times_s = {
        str(dtype).removeprefix("torch."): _matmul_s(dtype)
        for dtype in (torch.float32, torch.bfloat16)
    }
    return {
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
        "kernel_path": f"torch {torch.backends.cpu.get_cpu_capability()}",
        "generation_precision": "float32",
        "bfloat16_times_faster": round(times_s["float32"] / times_s["bfloat16"], 2),
    }


def _matmul_s(dtype: Any, size: int = 384, repeats: int = 5) -> float:
    """Median seconds of a square matrix product in `dtype`."""
    import torch

    left = torch.ones(size, size, dtype=dtype)
    _ = left @ left
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        _ = left @ left
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def native_facts() -> dict[str, Any]:
    """The compiled steps: paths this processor can take, the first of them in use, or the cure."""
    from ritornello.native.library import BUILD, available_paths

    paths = available_paths()
    return {"path": paths[0] if paths else None, "paths": list(paths), "get": BUILD}


def extras() -> list[dict[str, Any]]:
    """Each optional package: its version, or the command that installs it."""
    return [
        {
            "name": distribution,
            "extra": extra,
            "for": ENABLES[extra],
            "version": _version(distribution) if importlib.util.find_spec(module) else None,
            "get": f'pip install "ritornello[{extra}]"',
        }
        for extra, packages in EXTRAS.items()
        for module, distribution in packages.items()
    ]


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "unknown version"


def programs() -> list[dict[str, Any]]:
    """Each system library, program or sound font: where it is, or how Debian gets it."""
    fonts = [
        font
        for folder in SOUNDFONT_FOLDERS
        if folder.is_dir()
        for font in sorted([*folder.glob("*.sf2"), *folder.glob("*.sf3")])
    ]
    found = {
        "libfluidsynth": (ctypes.util.find_library("fluidsynth"), "data make", "libfluidsynth3"),
        "fluidsynth": (shutil.which("fluidsynth"), "listening to MIDI files", "fluidsynth"),
        "sound font": (
            ", ".join(map(str, fonts)) or None,
            "data make",
            "musescore-general-soundfont-lossless",
        ),
        "mma": (shutil.which("mma"), "data make bands", "mma"),
        "festival": (shutil.which("festival"), "data make songs", "festival"),
        "festival voice": (
            str(FESTIVAL_VOICE) if FESTIVAL_VOICE.is_dir() else None,
            "data make songs",
            "festvox-us-slt-hts",
        ),
        "chromium": (
            shutil.which("chromium") or shutil.which("chromium-browser"),
            "tests of the browser pages",
            "chromium",
        ),
        "libportaudio": (
            ctypes.util.find_library("portaudio"),
            "stream to speakers",
            "libportaudio2",
        ),
    }
    return [
        {"name": name, "for": use, "found": where, "get": f"sudo apt install {package}"}
        for name, (where, use, package) in found.items()
    ]


def models() -> list[dict[str, Any]]:
    """Each shipped model, verified against its checksums."""
    from ritornello.checkpoint import shipped_models, verify
    from ritornello.errors import CheckpointError

    report = []
    for name, folder in shipped_models().items():
        try:
            verify(folder)
            report.append({"name": name, "ok": True, "problem": None})
        except CheckpointError as error:
            report.append({"name": name, "ok": False, "problem": str(error)})
    return report


def _native_line(native: dict[str, Any]) -> str:
    """Which path samples symbol by symbol, or that torch does and what would be faster."""
    if native["path"] is None:
        return (
            "sampling step by step: on torch, tens of times slower than compiled; to build the "
            f"compiled steps, {native['get']}"
        )
    return f"sampling step by step: compiled, {native['path']} (of {', '.join(native['paths'])})"


def _lines(report: dict[str, Any]) -> list[str]:
    here, torch_report = report["machine"], report["torch"]
    lines = [
        f"ritornello {report['ritornello']}, Python {here['python']}, {here['system']}",
        f"cpu: {here['cpu']}, {here['cores']} cores; "
        f"{' '.join(here['instructions']) or 'no vector extension of use'}",
        f"torch {torch_report['version']}, {torch_report['threads']} threads by default",
        f"kernel path: {torch_report['kernel_path']}, "
        f"generating in {torch_report['generation_precision']}; bfloat16 matrix products are "
        f"{torch_report['bfloat16_times_faster']:.2f} x as fast as float32 here",
        _native_line(report["native"]),
        "",
    ]
    rows = [
        [
            extra["name"],
            extra["version"] or "missing",
            extra["for"],
            "" if extra["version"] else extra["get"],
        ]
        for extra in report["extras"]
    ]
    rows += [
        [
            program["name"],
            "found" if program["found"] else "missing",
            program["for"],
            "" if program["found"] else program["get"],
        ]
        for program in report["programs"]
    ]
    lines += table(rows, ("optional", "state", "needed for", "get it with"))
    lines.append("")
    for model in report["models"]:
        lines.append(f"model {model['name']}: " + ("verified" if model["ok"] else model["problem"]))
    return lines if report["models"] else [*lines, "no models are shipped with this version"]
