"""A StemGen as a whole: the codec and the transformer, and what they are made of.

    encodec       stems and mixes as tokens, and audio again
    transformer   tokens of a stem from those of a mix

Training goes from the codec up, and a model may be opened before it ends: without a transformer it
can encode, decode and reconstruct.
"""

from pathlib import Path

import torch

from ritornello.checkpoint import saved_config, whole_folder, write_checksums, write_config
from ritornello.config import to_dict
from ritornello.encodec.codec import EncodecCodec, build_network, load_codec, save_codec
from ritornello.encodec.seanet import initialise as initialise_codec
from ritornello.errors import CapabilityError, CheckpointError
from ritornello.stemgen.config import StemGenConfig
from ritornello.stemgen.network import StemTransformer, initialise
from ritornello.stemgen.train_transformer import TRANSFORMER, load_transformer, save_transformer

NAME = "stemgen"


class StemGenModel:
    """Trained networks; `generate.StemGen` plays them.

    Args:
        config: Of all of it.
        codec: What stems and mixes are told in.
        network: What answers; None when it has not been trained.

    Raises:
        CheckpointError: They are not of this configuration.
    """

    def __init__(
        self, config: StemGenConfig, codec: EncodecCodec, network: StemTransformer | None
    ) -> None:
        if codec.config != config.codec:
            raise CheckpointError(f"the codec is {codec.config}; expected {config.codec}")
        if network is not None and network.config != config:
            raise CheckpointError(f"the transformer is of {network.config}; expected {config}")
        self.config, self.codec, self._network = config, codec, network

    @classmethod
    def untrained(cls, config: StemGenConfig, draw: torch.Generator) -> "StemGenModel":
        """A model whose weights are drawn."""
        codec, network = build_network(config.codec), StemTransformer(config)
        initialise_codec(codec, draw)
        initialise(network, draw)
        return cls(
            config,
            EncodecCodec(codec.eval().requires_grad_(False)),
            network.eval().requires_grad_(False),
        )

    @classmethod
    def load(cls, folder: Path) -> "StemGenModel":
        """The model saved in `folder`, in float32, with what is trained of it.

        Raises:
            CheckpointError: It is another system's, damaged, or its parts do not fit together.
        """
        config = saved_config(folder, NAME, StemGenConfig)
        is_whole = (folder / TRANSFORMER).is_dir()
        network = load_transformer(folder, config) if is_whole else None
        return cls(config, load_codec(folder, config.codec), network)

    def save(self, folder: Path) -> None:
        """Write the model, weights in half precision, whole or not at all."""
        with whole_folder(folder) as place:
            write_config(place, NAME, to_dict(self.config))
            save_codec(self.codec, place)
            if self._network is not None:
                save_transformer(place, self._network)
            write_checksums(place)

    @property
    def network(self) -> StemTransformer:
        """What answers.

        Raises:
            CapabilityError: It has not been trained.
        """
        if self._network is None:
            raise CapabilityError(
                "this model has a codec but no transformer yet, so it answers no mix: go on "
                "training it. It can reconstruct, encode and decode."
            )
        return self._network
