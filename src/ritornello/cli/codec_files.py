"""Compressed audio on disk: one safetensors file with the sequence and what decodes it.

`encode` writes it, `decode` reads it. The tensor is `latents` (batch of one, dim, frames) or
`codes` (batch of one, codebooks, frames); the metadata names the model by its weights and gives the
length in samples, so that decoding returns exactly as many.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ritornello.errors import CapabilityError, DataError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from torch import Tensor

    from ritornello.interfaces import System

FORMAT = "ritornello-codec-1"


@dataclass(frozen=True, kw_only=True)
class CompressedInfo:
    """What a compressed file says of itself.

    Attributes:
        model: Name of the model as the user gave it.
        weights_sha256: Its weights; decoding with others would give noise.
        sample_rate: Of the decoded audio.
        channels: Of the decoded audio.
        length: Samples per channel of the decoded audio.
        source: Name of the audio file it was made from.
        level: Level of a stack whose codes these are; None for the codec as a whole.
    """

    model: str
    weights_sha256: str
    sample_rate: int
    channels: int
    length: int
    source: str
    level: int | None = None


def codec_of(system: "System", model_name: str, level: int | None = None) -> Any:
    """The codec under `system`, which is a LatentCodec or a TokenCodec.

    Args:
        system: The loaded model.
        model_name: For messages.
        level: Only the levels up to this one, in systems that have several codecs one on another.
    """
    if level is not None:
        require_levels(system, model_name)
        return system.codec_at(level)  # type: ignore[attr-defined]
    codec = getattr(system, "codec", None)
    if codec is None:
        raise CapabilityError(f"{model_name} is a {system.name} model, which has no codec")
    return codec


def require_levels(system: "System", model_name: str) -> None:
    """Raise CapabilityError unless one of the levels of `system` can be asked for."""
    if not hasattr(system, "codec_at"):
        raise CapabilityError(
            f"{model_name} is a {system.name} model, whose codec is one whole; --level is for "
            "stacks of several levels"
        )


def add_level(parser: "ArgumentParser") -> None:
    """Add --level, for systems that have several codecs one on another."""
    parser.add_argument(
        "--level", type=int, metavar="K", help="go up to level K of a stack only (the topmost)"
    )


def write_compressed(path: Path, kind: str, sequence: "Tensor", info: CompressedInfo) -> None:
    """Write `sequence` as tensor `kind` ("latents" or "codes") with `info`, whole or not at all."""
    from safetensors import SafetensorError

    from ritornello.checkpoint import save_tensors

    metadata = {"format": FORMAT, "info": json.dumps(asdict(info), sort_keys=True)}
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        save_tensors(partial, {kind: sequence.contiguous()}, metadata)
        os.replace(partial, path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"cannot write {path}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def read_compressed(path: Path) -> tuple["Tensor", CompressedInfo]:
    """The sequence and its description; DataError when `path` is no such file."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = list(file.keys())
            if metadata.get("format") != FORMAT or names not in (["latents"], ["codes"]):
                raise DataError(f"{path} was not written by `ritornello encode`")
            return file.get_tensor(names[0]), CompressedInfo(**json.loads(metadata["info"]))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not a readable compressed file: {error}") from error
