"""Random networks for the tests of the compiled steps, in torch and as arrays."""

import numpy as np
import torch

from ritornello.ada.config import WaveNetConfig
from ritornello.ada.model import LocalModel
from ritornello.native.wavenet import WaveNetWeights
from ritornello.nn.wavenet import initialise


def random_model(*, symbols=16, seed=0, **sizes):
    """A local model whose logits are spread enough to matter, every bias filled."""
    given = {"repetitions": 2, "layers": 3, "filter_size": 2, "residual": 8, "inner": 6, "skip": 10}
    model = LocalModel(WaveNetConfig(**(given | sizes)), symbols, "one_hot")
    init = torch.Generator().manual_seed(seed)
    initialise(model, init)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.5, generator=init)
        model.head.out.weight.mul_(3)
        model.enter.weight.normal_(generator=init)
    return model.eval()


def random_call(model, batch, frames, hop, seed=0):
    """Symbols (batch, frames * hop) and biases (batch, frames, layers, gates)."""
    draw = np.random.default_rng(seed)
    symbols = draw.integers(0, model.head.out.out_features, (batch, frames * hop))
    shape = (batch, frames, len(model.stack.blocks), 2 * model.stack.inner)
    return symbols, draw.normal(size=shape).astype(np.float32)


@torch.no_grad()
def torch_logits(model, symbols, biases):
    """What the model says in float64, over the whole sequence at once."""
    held = list(torch.from_numpy(biases).double().unbind(2))
    logits = model.double().stack(
        torch.nn.functional.pad(model.enter(torch.from_numpy(symbols))[:, :-1], (0, 0, 1, 0)), held
    )
    logits = model.head(logits).numpy()
    model.float()
    return logits


def constant_weights(logits):
    """A network that hears nothing: its logits are always these."""
    count = len(logits)
    zeros = {
        "enter": (count, 1),
        "conv": (1, 1, 2, 1),
        "conv_bias": (1, 2),
        "to_residual": (1, 1, 1),
        "residual_bias": (1, 1),
        "to_skip": (1, 1, 1),
        "hidden": (1, 1),
        "hidden_bias": (1,),
        "out": (count, 1),
    }
    return WaveNetWeights(
        dilations=(1,),
        skip_scale=1.0,
        out_bias=np.asarray(logits, np.float32),
        **{name: np.zeros(shape, np.float32) for name, shape in zeros.items()},
    )
