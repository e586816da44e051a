"""The folder a trained model lives in: write it whole, read it suspiciously.

    MODEL/
      README.md                  the card: what it is, what it learnt from, how it scores
      config.json                format_version, system, and the system's own settings
      COMPONENT/config.json      what the component is built from
      COMPONENT/model.safetensors
      metrics.json
      SHA256SUMS                 of every file above

Safetensors and JSON only. A folder is written under a temporary name and renamed when complete, so
nothing half-written ever carries a model's name.
"""

import difflib
import hashlib
import json
import math
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ritornello.config import from_dict
from ritornello.errors import CheckpointError

ConfigT = TypeVar("ConfigT")

FORMAT_VERSION = 1
SUMS = "SHA256SUMS"
WEIGHTS = "model.safetensors"
SHIPPED = Path(__file__).parent / "checkpoints"


# ---- files -----------------------------------------------------------------------------------


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON under a temporary name, then rename it to `path`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_json(path: Path) -> Any:
    """What `path` holds; CheckpointError when it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors to a safetensors file and wait until they are on the disk.

    Raises:
        CheckpointError: Names the file that could not be written, e.g. on a full disk.
    """
    separate: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous()
        storage = value.untyped_storage().data_ptr()
        separate[name] = value.clone() if storage in seen else value
        seen.add(storage)
    try:
        save_tensors(path, separate)
        with path.open("rb") as file:
            os.fsync(file.fileno())
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot write {path}: {error}. Is the disk full?") from error


def save_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write contiguous tensors that share nothing, readable by whom any new file is readable.

    Raises:
        OSError, SafetensorError: It could not be written.
    """
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    save_file(tensors, path, metadata=metadata)
    path.chmod(mode)  # safetensors puts a file of the owner's own in the place of this one


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a safetensors file; CheckpointError when missing or damaged."""
    if not path.is_file():
        raise CheckpointError(f"{path} is missing")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a readable safetensors file: {error}") from error


@contextmanager
def whole_folder(folder: Path, *, keep: bool = False) -> Iterator[Path]:
    """A temporary folder that becomes `folder` when the body ends well, and vanishes otherwise.

    Args:
        folder: Final place; whatever stands there is replaced only at the very end.
        keep: Start from a copy of what stands there instead of from nothing.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.writing")
    retired = folder.with_name(f".{folder.name}.retired")
    if retired.exists() and not folder.exists():
        retired.rename(folder)
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(retired, ignore_errors=True)
    if keep and folder.exists():
        shutil.copytree(folder, temporary)
    else:
        temporary.mkdir()
    try:
        yield temporary
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    if folder.exists():
        folder.rename(retired)
    temporary.rename(folder)
    _sync_folder(folder.parent)
    shutil.rmtree(retired, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# ---- components ------------------------------------------------------------------------------


def save_component(
    folder: Path,
    name: str,
    source: nn.Module | Mapping[str, Tensor],
    config: Mapping[str, Any],
    *,
    half: bool = False,
) -> None:
    """Write component `name` of a model into `folder`: its config and its tensors.

    Args:
        folder: Model folder; call `write_checksums` on it when all components are there.
        name: Folder name of the component.
        source: A module, whose state dict is taken, or named tensors.
        config: What the component is built from; anything JSON can hold.
        half: Store floating tensors as float16; a value that does not fit is a CheckpointError.
    """
    tensors = source.state_dict() if isinstance(source, nn.Module) else dict(source)
    if half:
        tensors = {key: _halved(f"{name}/{key}", tensor) for key, tensor in tensors.items()}
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    write_tensors(place / WEIGHTS, tensors)
    write_json(place / "config.json", dict(config))


def _halved(name: str, tensor: Tensor) -> Tensor:
    """`tensor` as float16 if it is floating."""
    if not tensor.is_floating_point():
        return tensor
    half = tensor.detach().to(torch.float16)
    lost = torch.isfinite(tensor) & ~torch.isfinite(half)
    if bool(lost.any()):
        raise CheckpointError(
            f"{name} holds {tensor.abs().max().item():.6g}, which float16 cannot (limit 65504); "
            "save it with half=False"
        )
    return half


def load_component(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config and the tensors of component `name`, checked against the folder's checksums.

    Half-precision tensors come back as float32.
    """
    place = folder / name
    if not place.is_dir():
        there = sorted(path.parent.name for path in folder.glob(f"*/{WEIGHTS}"))
        raise CheckpointError(f"{folder} has no component {name!r}; it has {there or 'none'}")
    verify(folder, below=name)
    tensors = read_tensors(place / WEIGHTS)
    whole = {
        key: tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
        for key, tensor in tensors.items()
    }
    config = read_json(place / "config.json")
    if not isinstance(config, dict):
        raise CheckpointError(f"{place / 'config.json'} holds no object; expected settings by name")
    return config, whole


def load_into(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy `tensors` into `module`; CheckpointError unless names and shapes agree exactly."""
    wanted = module.state_dict()
    kind = type(module).__name__
    missing = sorted(wanted.keys() - tensors.keys())
    unexpected = sorted(tensors.keys() - wanted.keys())
    if missing or unexpected:
        raise CheckpointError(
            f"The tensors do not fit {kind}: missing {_some(missing)}, unexpected "
            f"{_some(unexpected)}. Was the model built from another config?"
        )
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape:
            raise CheckpointError(
                f"{kind}.{name} has shape {tuple(tensor.shape)} in the checkpoint; "
                f"expected {tuple(wanted[name].shape)}"
            )
    module.load_state_dict(dict(tensors))


def _some(names: list[str], limit: int = 5) -> str:
    """The first names of a list, and how many more there are."""
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (", ".join(names[:limit]) or "none") + rest


# ---- the folder's own files ------------------------------------------------------------------


def write_config(folder: Path, system: str, config: Mapping[str, Any]) -> None:
    """Write the folder's config.json: format version, system name and the system's settings."""
    folder.mkdir(parents=True, exist_ok=True)
    head = {"format_version": FORMAT_VERSION, "system": system}
    write_json(folder / "config.json", head | dict(config))


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's config.json; CheckpointError for another format version, or an altered file."""
    config = read_json(folder / "config.json")
    version = config.get("format_version") if isinstance(config, dict) else None
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{folder} has format version {version}; this version of ritornello reads "
            f"{FORMAT_VERSION}. Update ritornello, or get the model again."
        )
    if not isinstance(config.get("system"), str):
        raise CheckpointError(f"{folder}/config.json names no system")
    if (folder / SUMS).is_file():
        verify(folder, below="config.json")
    return config


def saved_config(folder: Path, system: str, config: type[ConfigT]) -> ConfigT:
    """The configuration in a model folder of that system, as its own dataclass.

    Raises:
        CheckpointError: The model is another system's.
    """
    values = read_config(folder)
    found = values.pop("system")
    if found != system:
        raise CheckpointError(f"{folder} is a model of {found}; expected one of {system}")
    del values["format_version"]
    return from_dict(config, values)


def write_metrics(folder: Path, part: str, figures: Mapping[str, float]) -> None:
    """Set the figures of one part (a stage, an evaluation) in the folder's metrics.json."""
    write_json(folder / "metrics.json", read_metrics(folder) | {part: finite(figures)})


def finite(figures: Mapping[str, float]) -> dict[str, float | None]:
    """`figures` as JSON can hold them: what is not finite becomes None."""
    return {name: float(v) if math.isfinite(v) else None for name, v in figures.items()}


def read_metrics(folder: Path) -> dict[str, dict[str, float | None]]:
    """All figures by part; empty when none have been written."""
    path = folder / "metrics.json"
    return read_json(path) if path.exists() else {}


def write_checksums(folder: Path) -> None:
    """Write SHA256SUMS over every file of the folder; the last thing done to a model."""
    lines = [f"{_digest(path)}  {name}\n" for name, path in _files(folder).items()]
    temporary = folder / f".{SUMS}.tmp"
    temporary.write_text("".join(lines), encoding="utf-8")
    temporary.replace(folder / SUMS)


def verify(folder: Path, *, below: str | None = None) -> None:
    """Raise CheckpointError unless the files are those SHA256SUMS was written over.

    Args:
        folder: Model folder.
        below: Check only this component, or this file; one that is not listed is refused too.
    """
    sums = _sums(folder)
    if below is not None:
        sums = {n: digest for n, digest in sums.items() if n == below or n.startswith(f"{below}/")}
        if not sums:
            raise CheckpointError(
                f"{folder / SUMS} does not list {below}, so nothing vouches for it. Get the model "
                "again."
            )
    for name, digest in sums.items():
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"{path} is missing; {SUMS} lists it. Get the model again.")
        found = _digest(path)
        if found != digest:
            raise CheckpointError(
                f"{path} is altered or damaged: sha256 is {found[:12]}..., expected "
                f"{digest[:12]}.... Get the model again."
            )


def weights_hash(folder: Path, *components: str) -> str:
    """A sha256 (hex) over the weights of `components`, or of all; it names caches and outputs."""
    chosen = {
        name: digest
        for name, digest in _sums(folder).items()
        if name.endswith(WEIGHTS) and (not components or name.split("/")[0] in components)
    }
    absent = [c for c in components if f"{c}/{WEIGHTS}" not in chosen]
    if absent or not chosen:
        raise CheckpointError(f"{folder} has no weights of {absent or 'any component'}")
    text = "".join(f"{digest}  {name}\n" for name, digest in sorted(chosen.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def _files(folder: Path) -> dict[str, Path]:
    """All files a checksum is due for, by their relative name, sorted."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    return dict(sorted((path.relative_to(folder).as_posix(), path) for path in paths))


def _sums(folder: Path) -> dict[str, str]:
    """SHA256SUMS as relative name -> digest."""
    path = folder / SUMS
    if not path.is_file():
        raise CheckpointError(f"{path} is missing, so {folder} is not a finished model folder")
    sums: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, separator, name = line.partition("  ")
        if not separator or len(digest) != 64 or ".." in name.split("/") or name.startswith("/"):
            raise CheckpointError(f"{path} has a line that is no checksum: {line!r}")
        sums[name] = digest
    return sums


def _digest(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---- finding and describing ------------------------------------------------------------------


def shipped_models() -> dict[str, Path]:
    """The models that travel with the package, by name."""
    if not SHIPPED.is_dir():
        return {}
    return {path.parent.name: path.parent for path in sorted(SHIPPED.glob("*/config.json"))}


def find_model(name_or_path: str | Path) -> Path:
    """The model folder meant by a shipped name, a model folder or a run folder.

    Raises:
        CheckpointError: With the nearest shipped name, or what the folder lacks.
    """
    shipped = shipped_models()
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    path = Path(name_or_path).expanduser()
    if (path / "model" / SUMS).is_file():
        return path / "model"
    if (path / SUMS).is_file():
        return path
    if path.is_dir():
        raise CheckpointError(
            f"{path} holds no finished model: expected {path / SUMS} or {path / 'model' / SUMS}. "
            "A run folder has one as soon as its last stage has been evaluated once."
        )
    near = difflib.get_close_matches(str(name_or_path), shipped, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise CheckpointError(
        f"No model {str(name_or_path)!r}: it is no folder, and the shipped models are "
        f"{sorted(shipped) or 'none'}.{hint}"
    )


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a person should know of a model before using it.

    Attributes:
        title: Name of the model.
        summary: One or two sentences.
        licence: Licence of the weights, as an SPDX name.
        outputs: What may be done with what it generates.
        tags: Words to find it by.
        sections: Further sections, heading -> Markdown text, in order.
        metrics: Figures by name, as a table.
    """

    title: str
    summary: str
    licence: str
    outputs: str
    tags: tuple[str, ...] = ()
    sections: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)

    def markdown(self) -> str:
        """The card as Markdown with a YAML head."""
        head = ["---", f"license: {json.dumps(self.licence)}", "library_name: ritornello"]
        head += ["tags:", *(f"- {json.dumps(tag)}" for tag in self.tags)] if self.tags else []
        parts = ["\n".join([*head, "---"]), f"# {self.title}", self.summary]
        for heading, text in self.sections.items():
            parts.append(f"## {heading}\n\n{text.strip()}")
        if self.metrics:
            rows = "\n".join(f"| {name} | {value:.6g} |" for name, value in self.metrics.items())
            parts.append(f"## Figures\n\n| figure | value |\n|---|---|\n{rows}")
        parts.append(f"## Licence\n\nWeights: {self.licence}. Outputs: {self.outputs}")
        return "\n\n".join(parts) + "\n"


def write_card(folder: Path, card: Card) -> None:
    """Write `card` as the folder's README.md."""
    (folder / "README.md").write_text(card.markdown(), encoding="utf-8")
