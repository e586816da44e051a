"""Makes `evaluation/weights/musicnn-msd` from the musicnn wheel's TensorFlow checkpoint.

    pip download --no-deps musicnn==0.1.0 && unzip musicnn-0.1.0-py3-none-any.whl -d wheel
    python -m tools.convert_musicnn wheel

Takes what the network uses of the checkpoint (64 of 150 variables; the rest is the optimiser's) as
float32, under the names of `ritornello.evaluation.musicnn.MusicnnNetwork`.
"""

import ast
import sys
from pathlib import Path

import numpy as np
import torch
from tools.tf_checkpoint import read_checkpoint

from ritornello.checkpoint import load_into, write_json, write_tensors
from ritornello.evaluation.musicnn import WEIGHTS, MusicnnNetwork

MODEL = "MSD_musicnn"
CONVOLUTIONS = [f"front.{n}.conv" for n in range(5)] + [f"middle.{n}.conv" for n in range(3)]
DENSE = ["dense", "to_tags"]
NORMS = ["norm"] + [f"front.{n}.norm" for n in range(5)] + [f"middle.{n}.norm" for n in range(3)]
NORMS += ["pooled_norm", "dense_norm"]
NORM_PARTS = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def numbered(kind: str, index: int) -> str:
    """TensorFlow's name of the `index`-th layer of a kind: conv2d, conv2d_1, conv2d_2, ..."""
    return kind if index == 0 else f"{kind}_{index}"


def converted(variables: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The network's tensors by their names here, with axes as torch orders them."""
    arrays: dict[str, np.ndarray] = {}
    for index, name in enumerate(CONVOLUTIONS):
        layer = numbered("conv2d", index)
        kernel = variables[f"{layer}/kernel"].transpose(3, 2, 0, 1)  # filters, 1, frames, bands
        if name.startswith("middle"):
            kernel = kernel[:, 0].transpose(0, 2, 1)  # over all features: (filters, dim, frames)
        arrays[f"{name}.weight"], arrays[f"{name}.bias"] = kernel, variables[f"{layer}/bias"]
    for index, name in enumerate(DENSE):
        layer = numbered("dense", index)
        arrays[f"{name}.weight"] = variables[f"{layer}/kernel"].T
        arrays[f"{name}.bias"] = variables[f"{layer}/bias"]
    for index, name in enumerate(NORMS):
        layer = numbered("batch_normalization", index)
        for part, ours in NORM_PARTS.items():
            arrays[f"{name}.{ours}"] = variables[f"{layer}/{part}"]
        arrays[f"{name}.num_batches_tracked"] = np.array(0)  # torch's own count, unused here
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


def tag_names(wheel: Path) -> list[str]:
    """The tags in the order of the network's outputs, from the wheel's configuration.py."""
    module = ast.parse((wheel / "musicnn" / "configuration.py").read_text(encoding="utf-8"))
    for statement in module.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "MSD_LABELS":
            return ast.literal_eval(statement.value)
    raise LookupError("configuration.py has no MSD_LABELS")


def main() -> None:
    """Write the weights and their description, once they fit the network."""
    wheel = Path(sys.argv[1])
    tensors = converted(read_checkpoint(f"{wheel / 'musicnn' / MODEL}/"))
    load_into(MusicnnNetwork(), tensors)
    WEIGHTS.mkdir(parents=True, exist_ok=True)
    write_tensors(WEIGHTS / "model.safetensors", tensors)
    config = {"name": "musicnn", "source": f"musicnn 0.1.0, {MODEL}", "tags": tag_names(wheel)}
    write_json(WEIGHTS / "config.json", config)
    licence = next(wheel.glob("musicnn-*.dist-info/LICENSE*")).read_text(encoding="utf-8")
    (WEIGHTS / "LICENSE").write_text(licence, encoding="utf-8")


if __name__ == "__main__":
    main()
