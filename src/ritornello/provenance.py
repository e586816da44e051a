"""Where a written file came from: everything that makes its bits, and nothing else (no dates).

The record travels in the file's metadata; `ritornello replay` reads it, plays the same request
again, and names what differs when the bits do.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ritornello import __version__
from ritornello.config import to_dict
from ritornello.errors import DataError
from ritornello.interfaces import Audio, Request, Section
from ritornello.loading import FoundModel

PRECISIONS = {"fp32": "float32"}
"""Words of systems that are written otherwise in a record; others stay as they are."""


def circumstances(played: Mapping[str, Any]) -> dict[str, Any]:
    """What, besides model and request, decides the bits: versions, threads, precision, kernels.

    Args:
        played: `Audio.meta` of what was played. A system that samples step by step says in it how
            steps were computed ("kernel") and in what ("precision").
    """
    paths = [f"torch {torch.backends.cpu.get_cpu_capability()}"]
    if "kernel" in played:
        paths.append(f"steps {played['kernel']}")
    precision = played.get("precision", "fp32")
    return {
        "ritornello": __version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "precision": PRECISIONS.get(precision, precision),
        "kernel_path": ", ".join(paths),
    }


def record(
    model: FoundModel,
    request: Request,
    options: Any,
    inputs: Mapping[str, Path],
    how: str,
    played: Mapping[str, Any],
) -> dict[str, Any]:
    """The provenance of one piece.

    Args:
        model: The model that plays.
        request: What was asked.
        options: The system's own options.
        inputs: Files behind the audio of the request and of the options, by their fields.
        how: "whole" for `System.generate`, "stream" for `System.stream`; their files differ in
            gain and DC handling.
        played: `Audio.meta` of the piece; what it says of itself is kept.
    """
    said = {name: value for name, value in played.items() if name not in ("kernel", "precision")}
    return {
        **said,
        **circumstances(played),
        "system": model.system,
        "model": model.name,
        "weights_sha256": model.weights_sha256,
        "request": request_to_dict(request),
        "options": {name: one for name, one in to_dict(options).items() if name not in inputs},
        "inputs": {
            name: {"path": str(path), "sha256": file_sha256(path)} for name, path in inputs.items()
        },
        "how": how,
    }


def request_to_dict(request: Request) -> dict[str, Any]:
    """The request as plain values; audio inputs are left to the record's `inputs`."""
    values = to_dict(dataclasses.replace(request, prompt=None, mix=None))
    return {name: value for name, value in values.items() if name not in ("prompt", "mix")}


def request_from_dict(values: Mapping[str, Any], audio: Mapping[str, Audio]) -> Request:
    """The request that `request_to_dict` described, with its audio inputs by name.

    Raises:
        DataError: The values describe no request of this version.
    """
    try:
        return Request(
            **{
                **values,
                "controls": {
                    name: tuple((float(at), float(value)) for at, value in curve)
                    for name, curve in values["controls"].items()
                },
                "form": tuple(Section(**section) for section in values["form"]),
                **audio,
            }
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"the recorded request cannot be read: {error!r}") from error


def file_sha256(path: Path) -> str:
    """The sha256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
