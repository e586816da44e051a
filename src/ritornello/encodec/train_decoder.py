"""Training the decoder on, once the codes are fixed.

A language model that was trained on the codes of a codec stays valid as long as they mean the same;
what they sound like may still be made better. Encoders and codebooks stand still, the decoder goes
on with the losses it had, discriminators among them.
"""

import torch
from torch import nn

from ritornello.encodec.codec import CODEC
from ritornello.encodec.network import EncodecNetwork
from ritornello.encodec.rvq import Quantised
from ritornello.encodec.train_codec import EncodecStage
from ritornello.errors import CheckpointError
from ritornello.training.state import TrainState

DECODER = "decoder"
"""The stage's name; it is only run when it is asked for by it."""


class DecoderStage(EncodecStage):
    """`EncodecStage` with encoders and codebooks frozen; `start` is needed."""

    name = DECODER

    def build(self, init: torch.Generator) -> dict[str, nn.Module]:
        """The codec to start from, all but its decoder frozen, and fresh discriminators."""
        if self.start is None:
            raise CheckpointError(
                "there is no codec whose decoder could be trained on; give one with --from"
            )
        modules = super().build(init)
        network = modules[CODEC]
        assert isinstance(network, EncodecNetwork)
        network.requires_grad_(False)
        for part in (network.widen, network.decoder):
            part.requires_grad_(True)
        return modules

    def follow(
        self, network: EncodecNetwork, found: Quantised, state: TrainState, draw: torch.Generator
    ) -> int:
        """Codebooks stay where they are."""
        return 0
