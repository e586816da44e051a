"""Published EnCodec weights, read from a local folder in every layout in which they circulate.

    FOLDER/config.json, model.safetensors   `transformers`: the current names of weight norm
    FOLDER/config.json, pytorch_model.bin   `transformers`: the older names, in either kind of file
    compression_state_dict.bin              `audiocraft`: names of its own, settings as YAML

What a network is made of is read from the shapes of its tensors, which cannot contradict them; what
leaves no trace there (the sample rate, the padding) from the settings beside them, at their word: a
folder that says "reflect" and one that says "constant" give other codes in the first and last
frames. No code in a file is ever run: pickles are read as tensors and plain values only.

The weights that Meta publishes are under CC-BY-NC 4.0: no commercial use.
"""

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ritornello.checkpoint import WEIGHTS, load_into, read_json, read_tensors
from ritornello.encodec.codec import EncodecCodec
from ritornello.encodec.config import CodecTrainingConfig, EncodecConfig, EncodecSystemConfig
from ritornello.encodec.generate import Encodec
from ritornello.encodec.network import EncodecNetwork
from ritornello.errors import CheckpointError, ConfigError

PICKLED, AUDIOCRAFT = "pytorch_model.bin", "compression_state_dict.bin"

Tensors = Mapping[str, Tensor]

NEWER_NAMES = (
    (r"\.weight_g$", ".parametrizations.weight.original0"),
    (r"\.weight_v$", ".parametrizations.weight.original1"),
)
OWN_NAMES = (
    (r"^(encoder|decoder)\.model\.", r"\1.layers."),
    (r"\.(conv|convtr)\.\1\.", ".conv."),
    (r"^quantizer\.vq\.layers\.(\d+)\._codebook\.", r"quantizer.layers.\1.codebook."),
)
"""What `audiocraft` calls otherwise."""

DIRECTION = "parametrizations.weight.original1"
"""Of weight-normalised weights: it has the weights' shape."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A checkpoint as it was found.

    Attributes:
        path: Of its file, for messages.
        tensors: Under the current names of `transformers`.
        sample_rate: Samples per second.
        padding: What stands beyond the ends of convolutions.
        dilation_growth: Factor of the dilation between residual blocks.
    """

    path: Path
    tensors: Tensors
    sample_rate: int
    padding: str
    dilation_growth: int


def load_published(path: Path) -> EncodecCodec:
    """The codec of a published checkpoint, in float32, not trainable.

    Args:
        path: Folder in one of the layouts above, or the weights' file itself.

    Raises:
        CheckpointError: There is none, it is damaged, or it is a variant that is not built here:
            causal convolutions, convolutions in shortcuts, other norms, chunks with scales.
    """
    found = read_published(path.expanduser())
    network = EncodecNetwork(config_of(found))
    tensors: dict[str, Tensor] = {"quantizer.is_begun": torch.ones_like(network.quantizer.is_begun)}
    for name, tensor in found.tensors.items():
        book, _, part = name.rpartition(".codebook.")
        if not book:
            tensors[name] = tensor.float()
        elif part == "embed":
            tensors[f"{book}.sums"] = tensor.float()
            tensors[f"{book}.counts"] = torch.ones(len(tensor))
    load_into(network, tensors)
    return EncodecCodec(network.eval().requires_grad_(False))


def import_published(path: Path, out: Path) -> Encodec:
    """The codec of a published checkpoint as a model of this package, written to folder `out`.

    Weights are kept in full precision, so that codes stay what they were.

    Raises:
        CheckpointError: As for `load_published`.
    """
    codec = load_published(path)
    config = EncodecSystemConfig(codec=codec.config, training=CodecTrainingConfig())
    system = Encodec(config, codec)
    system.save(out, half=False)
    return system


# ------------------------------------------------------------------ the layouts


def read_published(path: Path) -> Published:
    """The checkpoint at `path`, whatever its layout."""
    if path.is_file():
        return _read_file(path)
    for name in (WEIGHTS, PICKLED, AUDIOCRAFT):
        if (path / name).is_file():
            return _read_file(path / name)
    raise CheckpointError(
        f"{path} has no published EnCodec; expected a folder with one of {WEIGHTS}, {PICKLED} (and "
        f"config.json) or {AUDIOCRAFT}, or one of these files"
    )


def _read_file(path: Path) -> Published:
    if path.suffix == ".safetensors":
        return _with_settings(path, read_tensors(path))
    values = _unpickled(path)
    if "best_state" in values or "pretrained" in values:
        return _of_audiocraft(path, values)
    return _with_settings(path, values)


def _unpickled(path: Path) -> dict:
    """Tensors and plain values of a file that `torch.save` wrote; anything else is refused."""
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251 - no code
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(
            f"{path} holds more than tensors and plain values, or is damaged: {reason}"
        ) from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} holds a {type(values).__name__}; expected named tensors")
    return values


def _with_settings(path: Path, tensors: Tensors) -> Published:
    """Of `transformers`: settings are in config.json beside the weights."""
    told = read_json(path.with_name("config.json"))
    usual = {
        "use_causal_conv": False,
        "use_conv_shortcut": False,
        "norm_type": "weight_norm",
        "normalize": False,
        "trim_right_ratio": 1.0,
    }
    for name, wanted in usual.items():
        _refuse_other(path, name, told.get(name), wanted)
    return Published(
        path=path,
        tensors=_renamed(tensors, NEWER_NAMES),
        sample_rate=_whole(path, "sampling_rate", told.get("sampling_rate")),
        padding=str(told.get("pad_mode")),
        dilation_growth=_whole(path, "dilation_growth_rate", told.get("dilation_growth_rate")),
    )


def _of_audiocraft(path: Path, values: dict) -> Published:
    """Of `audiocraft`: settings are YAML text, in which these names stand once or always alike."""
    if "pretrained" in values:
        raise CheckpointError(
            f"{path} has no weights: it names the model {values['pretrained']!r}. Get that one."
        )
    tensors, text = values["best_state"], values.get("xp.cfg")
    if not isinstance(tensors, dict) or not isinstance(text, str):
        raise CheckpointError(
            f"{path} is no exported checkpoint; expected best_state (tensors) and xp.cfg (text)"
        )
    told = dict(re.findall(r"^\s*(\w+): *([\w.+-]+) *$", text, re.MULTILINE)[::-1])  # first wins
    usual = {"norm": "weight_norm", "true_skip": "true", "causal": "false", "renormalize": "false"}
    for name, wanted in usual.items():
        _refuse_other(path, name, told.get(name, wanted), wanted)
    return Published(
        path=path,
        tensors=_renamed(tensors, OWN_NAMES + NEWER_NAMES),
        sample_rate=_whole(path, "sample_rate", told.get("sample_rate")),
        padding=str(told.get("pad_mode")),
        dilation_growth=_whole(path, "dilation_base", told.get("dilation_base", "2")),
    )


def _renamed(tensors: Tensors, rules: tuple[tuple[str, str], ...]) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in tensors.items():
        for old, new in rules:
            name = re.sub(old, new, name)
        renamed[name] = tensor
    return renamed


def _refuse_other(path: Path, name: str, got: object, wanted: object) -> None:
    if got != wanted:
        raise CheckpointError(
            f"{path}: {name} is {got!r}; only EnCodecs with {wanted!r} can be read, as the one for "
            "music at 32 kHz is"
        )


def _whole(path: Path, name: str, got: object) -> int:
    try:
        return int(str(got))
    except ValueError:
        raise CheckpointError(f"{path}: {name} is {got!r}; expected a whole number") from None


# ------------------------------------------------------------------ what the shapes say


def config_of(found: Published) -> EncodecConfig:
    """The network that the tensors of a checkpoint belong to; codebooks are counted, not told."""
    tensors, path = found.tensors, found.path
    if any(".shortcut." in name for name in tensors):
        raise CheckpointError(f"{path} has convolutions in its shortcuts; expected none")
    try:
        shapes = _encoder_shapes(tensors)
        filters, channels, kernel = shapes[0]
        inner, _, residual_kernel = _block_shape(tensors)
        slower = [shape for shape in shapes[1:-1] if shape[0] == 2 * shape[1]]
        size, dim = tensors["quantizer.layers.0.codebook.embed"].shape
        return EncodecConfig(
            sample_rate=found.sample_rate,
            channels=channels,
            filters=filters,
            ratios=tuple(shape[2] // 2 for shape in reversed(slower)),
            front=1,
            dim=dim,
            code_dim=None,
            residual_layers=len(_numbers(r"encoder\.layers\.(\d+)\.block\.", tensors))
            // max(1, len(slower)),
            dilation_growth=found.dilation_growth,
            compress=filters // inner,
            kernel=kernel,
            residual_kernel=residual_kernel,
            lstm_layers=len(_numbers(r"encoder\.layers\.\d+\.lstm\.weight_hh_l(\d+)$", tensors)),
            padding=found.padding,
            codebooks=len(_numbers(r"quantizer\.layers\.(\d+)\.codebook\.embed$", tensors)),
            codebook_size=size,
            ema_decay=0.99,
        )
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError(f"{path} is not an EnCodec: {error!r} is missing") from error
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _numbers(pattern: str, tensors: Tensors) -> list[int]:
    """The numbers that `pattern` catches in names, each once, rising."""
    caught = (re.match(pattern, name) for name in tensors)
    return sorted({int(match[1]) for match in caught if match})


def _encoder_shapes(tensors: Tensors) -> list[torch.Size]:
    """Shapes of the encoder's convolutions, first to last, without those in residual blocks."""
    numbers = _numbers(rf"encoder\.layers\.(\d+)\.conv\.{DIRECTION}$", tensors)
    return [tensors[f"encoder.layers.{number}.conv.{DIRECTION}"].shape for number in numbers]


def _block_shape(tensors: Tensors) -> torch.Size:
    """Shape of the first convolution of the first residual block."""
    number = _numbers(r"encoder\.layers\.(\d+)\.block\.1\.", tensors)[0]
    return tensors[f"encoder.layers.{number}.block.1.conv.{DIRECTION}"].shape
