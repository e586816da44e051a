"""Priors and upsamplers on the disk: components `prior`, `upsampler0`, `masked0`, ...

Autoencoders are in `codec.py`. Weights are kept in half precision, like all that is shipped.
"""

from pathlib import Path
from typing import TypeVar

from torch import Tensor, nn

from ritornello.checkpoint import load_component, load_into, save_component
from ritornello.config import from_dict, to_dict
from ritornello.errors import CheckpointError
from ritornello.jukebox.config import JukeboxConfig
from ritornello.jukebox.masked import MaskedUpsampler
from ritornello.jukebox.prior import TopPrior, build_prior
from ritornello.jukebox.prior_config import MaskedConfig, PriorConfig, UpsamplerConfig
from ritornello.jukebox.upsampler import Upsampler

PRIOR = "prior"

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def upsampler_name(level: int) -> str:
    """Component that makes the codes of `level` from those above."""
    return f"upsampler{level}"


def save_prior(folder: Path, prior: TopPrior) -> None:
    """Write component `prior`."""
    save_component(folder, PRIOR, prior, to_dict(prior.config), half=True)


def load_prior(folder: Path, config: JukeboxConfig) -> TopPrior:
    """The prior of the model in `folder`, in float32, not trainable.

    Raises:
        CheckpointError: There is none, it has another configuration, or its files are damaged.
    """
    values, tensors = load_component(folder, PRIOR)
    _refuse_other(folder, PRIOR, from_dict(PriorConfig, values), config.prior)
    return _loaded(build_prior(config.prior), tensors)


def save_upsampler(folder: Path, level: int, upsampler: Upsampler) -> None:
    """Write component `upsampler0`, `upsampler1`, ..."""
    save_component(folder, upsampler_name(level), upsampler, to_dict(upsampler.config), half=True)


def load_upsampler(folder: Path, level: int, config: JukeboxConfig) -> Upsampler:
    """What makes the codes of `level`, in float32, not trainable.

    Raises:
        CheckpointError: As for `load_prior`.
    """
    name, wanted = upsampler_name(level), config.upsamplers[level]
    values, tensors = load_component(folder, name)
    _refuse_other(folder, name, from_dict(UpsamplerConfig, values), wanted)
    return _loaded(Upsampler(wanted), tensors)


def masked_name(level: int) -> str:
    """Component that makes the codes of `level` in a few passes."""
    return f"masked{level}"


def save_masked(folder: Path, level: int, upsampler: MaskedUpsampler) -> None:
    """Write component `masked0`, `masked1`, ..."""
    save_component(folder, masked_name(level), upsampler, to_dict(upsampler.config), half=True)


def load_masked(folder: Path, level: int, config: JukeboxConfig) -> MaskedUpsampler:
    """What makes the codes of `level` in a few passes, in float32, not trainable.

    Raises:
        CheckpointError: As for `load_prior`.
    """
    name, wanted = masked_name(level), config.masked[level] if config.masked else None
    values, tensors = load_component(folder, name)
    found = from_dict(MaskedConfig, values)
    _refuse_other(folder, name, found, wanted)
    return _loaded(MaskedUpsampler(found), tensors)


def _refuse_other(folder: Path, name: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise CheckpointError(
            f"{folder / name} holds {found}; expected {wanted}. "
            "Was the model put together from different ones?"
        )


def _loaded(module: ModuleT, tensors: dict[str, Tensor]) -> ModuleT:
    load_into(module, tensors)
    return module.eval().requires_grad_(False)
