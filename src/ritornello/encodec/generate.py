"""A trained EnCodec as a system: audio to codes and back. It plays nothing by itself.

Codes are the language of a model above it, such as StemGen. By itself a codec can be listened to
(`reconstruct`), written down (`encode`, `decode`) and judged (`evaluate codec`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NoReturn

import torch

from ritornello.audio.io import with_channels
from ritornello.audio.resample import resample
from ritornello.checkpoint import saved_config, whole_folder, write_checksums, write_config
from ritornello.config import to_dict
from ritornello.encodec.codec import EncodecCodec, load_codec, save_codec
from ritornello.encodec.config import EncodecSystemConfig
from ritornello.errors import CapabilityError
from ritornello.interfaces import Audio, Request, System


@dataclass(frozen=True, kw_only=True)
class Options:
    """What only a codec can be asked for: nothing."""


class Encodec(System):
    """A codec, and how it was trained.

    Args:
        config: Of both.
        codec: The codec.
    """

    name: ClassVar[str] = "encodec"
    capabilities: ClassVar[frozenset[str]] = frozenset({"reconstruct"})

    def __init__(self, config: EncodecSystemConfig, codec: EncodecCodec) -> None:
        self.config, self.codec = config, codec
        self.sample_rate, self.channels = codec.sample_rate, codec.channels

    @classmethod
    def load(cls, folder: Path) -> "Encodec":
        """The model saved in `folder`, in float32."""
        config = saved_config(folder, cls.name, EncodecSystemConfig)
        return cls(config, load_codec(folder, config.codec))

    def save(self, folder: Path, *, half: bool = True) -> None:
        """Write the model; with `half` its weights in half precision."""
        with whole_folder(folder) as place:
            write_config(place, self.name, to_dict(self.config))
            save_codec(self.codec, place, half=half)
            write_checksums(place)

    def reconstruct(self, audio: Audio) -> Audio:
        """`audio` of any rate, mixed to the codec's channels, through its codes and back."""
        samples = with_channels(audio.samples, self.channels)
        wave = torch.from_numpy(resample(samples, audio.sample_rate, self.sample_rate))[None]
        again = self.codec.decode(self.codec.encode(wave), wave.shape[-1])
        return Audio(samples=again[0].numpy(), sample_rate=self.sample_rate)

    def generate(self, request: Request, options: Options | None = None) -> NoReturn:
        """Refused: a codec makes no music."""
        raise CapabilityError(NO_MUSIC)

    def stream(self, request: Request, options: Options | None = None) -> Iterator[Audio]:
        """Refused: a codec makes no music."""
        raise CapabilityError(NO_MUSIC)


NO_MUSIC = (
    "encodec is a codec, which makes no music by itself. It can reconstruct, encode and decode: "
    "`ritornello reconstruct MODEL in.wav -o out.wav`. To play, train a system that models its "
    "codes, or use one of the models that `ritornello models` lists."
)
