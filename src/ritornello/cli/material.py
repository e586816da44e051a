"""What the judging verbs judge: a folder of audio as it is, or takes of a model made for it.

A model plays in a process of its own, through `ritornello generate`, so that its speed and its
peak memory are those of the model alone and every file carries its provenance. A finished set has
a `material.json` beside the takes; the same weights, seeds, seconds and versions are never played
twice.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ritornello.errors import CheckpointError, ConfigError, DataError, RitornelloError

if TYPE_CHECKING:
    from ritornello.loading import FoundModel

RECORD = "material.json"
CIRCUMSTANCES = ("ritornello", "torch", "threads", "precision", "kernel_path")
"""What a take's record says of how it was played."""

POLL_S = 0.05

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class Material:
    """Audio to be judged.

    Attributes:
        name: What to call it: the model's or the folder's name.
        folder: Folder of audio, or a dataset's manifest.
        model: The model as the user named it; None for a folder of audio.
        weights_sha256: What identifies the model's weights; None for a folder of audio.
        speed: Medians over the takes: `times_real_time`, `take_s`, `seconds`, `takes`,
            `peak_memory_mb` (of the process that played), and the circumstances; None for a folder.
    """

    name: str
    folder: Path
    model: str | None = None
    weights_sha256: str | None = None
    speed: dict[str, Any] | None = None


def material(
    target: str,
    *,
    takes: int,
    seconds: float,
    seed: int,
    folder: Path,
    progress: Progress | None = None,
) -> Material:
    """The audio behind `target`, generated first when it is a model.

    Args:
        target: A shipped name, a model folder, a run folder, a folder of audio, or a manifest.
        takes: Pieces to generate, with the seeds seed, seed + 1, ...
        seconds: Length of each piece.
        seed: First seed, >= 0.
        folder: Where generated sets are kept, each in a folder of its own below.
        progress: Called as progress(takes finished, takes, name of the model).

    Raises:
        ConfigError: `takes`, `seconds` or `seed` out of range.
        DataError: There is neither such a model nor such a folder.
        CheckpointError: The model cannot be read.
    """
    if takes < 1 or not seconds > 0 or seed < 0:
        raise ConfigError(
            f"got {takes} takes of {seconds:g} s from seed {seed}; expected at least one take, "
            "more than 0 seconds and a seed >= 0"
        )
    model = _model(target)
    if model is None:
        path = Path(target).expanduser()
        name = path.resolve().stem if path.is_file() else path.resolve().name
        return Material(name=name, folder=path)
    record = {
        "model": target,
        "system": model.system,
        "weights_sha256": model.weights_sha256,
        "seconds": seconds,
        "seeds": [seed + take for take in range(takes)],
        **_versions(),
    }
    name = Path(target).resolve().name
    place = folder / f"{name}-{model.weights_sha256[:12]}-{seconds:g}s-{seed}x{takes}"
    speed = _kept(place, record)
    if speed is None:
        speed = _play(record, place, progress)
    return Material(
        name=name,
        folder=place,
        model=target,
        weights_sha256=model.weights_sha256,
        speed=speed,
    )


def _model(target: str) -> "FoundModel | None":
    """The model that `target` names, or None for a folder or manifest of audio."""
    from ritornello.loading import find

    path = Path(target).expanduser()
    try:
        return find(target)
    except CheckpointError as error:
        # A folder without a configuration was never meant as a model.
        half_a_model = any((path / part / "config.json").exists() for part in (".", "model"))
        if path.is_dir() and not half_a_model:
            return None
        if path.is_file() and path.suffix == ".jsonl":
            return None
        if path.is_file():
            raise DataError(
                f"got the file {target}; expected a model, a folder of audio or a manifest.jsonl"
            ) from error
        raise


def _versions() -> dict[str, str]:
    """What else decides the bits of a take, and so whether a set may be used again."""
    import torch

    from ritornello import __version__

    return {"ritornello": __version__, "torch": str(torch.__version__)}


def _kept(place: Path, record: dict[str, Any]) -> dict[str, Any] | None:
    """The speed of the set in `place` if it is whole and of this record, otherwise None."""
    try:
        kept = json.loads((place / RECORD).read_text(encoding="utf-8"))
        whole = all((place / name).is_file() for name in kept["files"])
        same = all(kept[key] == value for key, value in record.items() if key != "model")
        return kept["speed"] if whole and same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _play(record: dict[str, Any], place: Path, progress: Progress | None) -> dict[str, Any]:
    """Generate the set into `place`, whole or not at all; its speed."""
    from ritornello.audio.io import read_provenance
    from ritornello.checkpoint import whole_folder, write_json

    seeds = record["seeds"]
    with whole_folder(place) as folder:
        words = [record["model"], "-o", str(folder / "take.flac"), "-n", str(len(seeds))]
        words += ["--seconds", repr(record["seconds"]), "--seed", str(seeds[0]), "--json"]
        result, peak_memory_mb = _generate(words, folder, progress)
        takes = result["takes"]
        recorded = read_provenance(takes[0]["path"])
        take_s = statistics.median(take["elapsed_s"] for take in takes)
        speed = {
            "times_real_time": round(record["seconds"] / take_s, 2),
            "take_s": take_s,
            "seconds": record["seconds"],
            "takes": len(takes),
            "load_s": result["load_s"],
            "peak_memory_mb": round(peak_memory_mb, 1),
            **{name: recorded[name] for name in CIRCUMSTANCES},
        }
        files = [Path(take["path"]).name for take in takes]
        write_json(folder / RECORD, {**record, "files": files, "speed": speed})
    return speed


def _generate(
    words: list[str], folder: Path, progress: Progress | None
) -> tuple[dict[str, Any], float]:
    """The result of `ritornello generate` in a process of its own, and its peak memory in MB."""
    command = [sys.executable, "-P", "-m", "ritornello", "generate", *words]
    total = int(words[words.index("-n") + 1])
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(command, stdout=out, stderr=errors)
        try:
            peak = _await(child, lambda: _tell(progress, folder, total, words[0]))
        except BaseException:
            child.terminate()
            child.wait()
            raise
        result = _last_json(out)
        if child.returncode != 0:
            problem = result.get("error") or _text(errors).strip()[-500:] or "no message"
            raise RitornelloError(f"{words[0]} could not play: {problem}")
    return result, peak


def _await(child: "subprocess.Popen[bytes]", meanwhile: Callable[[], None]) -> float:
    """Wait for the end of `child`; the most memory it held, in megabytes."""
    while True:
        ended, status, usage = os.wait4(child.pid, os.WNOHANG)
        if ended:
            break
        meanwhile()
        time.sleep(POLL_S)
    child.returncode = os.waitstatus_to_exitcode(status)
    meanwhile()
    return usage.ru_maxrss / 1e6 if sys.platform == "darwin" else usage.ru_maxrss * 1024 / 1e6


def _tell(progress: Progress | None, folder: Path, total: int, name: str) -> None:
    if progress is not None:
        progress(len(list(folder.glob("take*.flac"))), total, name)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", errors="replace")


def _last_json(file: IO[bytes]) -> dict[str, Any]:
    """The JSON document on a finished child's output; empty when it wrote none."""
    try:
        return json.loads(_text(file))
    except ValueError:
        return {}
