"""What a piece begins with: a recording as codes of every level, or the codes of an earlier take.

Codes lie on a grid that ends where the recording ends. Only as much of it is encoded as the
networks look back on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from ritornello.audio.io import with_channels
from ritornello.audio.resample import resample
from ritornello.errors import AudioError
from ritornello.interfaces import Audio
from ritornello.jukebox.code_transformer import LevelCodes
from ritornello.jukebox.codec import JukeboxCodec

MonoWave = Float[np.ndarray, "1 time"]


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """What is known of a piece before anything is drawn.

    Attributes:
        codes: By level; as much music at all of them, or less at lower ones.
        wave: Played before what is drawn; None when what is known is decoded with the rest.
        skipped_s: Seconds of the piece before the first code.
    """

    codes: Mapping[int, LevelCodes]
    wave: MonoWave | None = None
    skipped_s: float = 0.0

    def at(self, level: int) -> LevelCodes:
        """Codes of a level; none where none are known."""
        return self.codes.get(level, torch.zeros(1, 0, dtype=torch.int64))


def mono_at(audio: Audio, sample_rate: int) -> MonoWave:
    """A recording of any rate and channels as the autoencoders hear it."""
    return resample(with_channels(audio.samples, 1), audio.sample_rate, sample_rate)


def recorded_beginning(
    audio: Audio, codecs: Sequence[JukeboxCodec], lowest: int, heard: int
) -> Beginning:
    """A recording as the beginning of a piece.

    Args:
        audio: Of any rate, mono or stereo.
        codecs: Of the levels to be played, lowest first.
        lowest: The first one's level.
        heard: Codes of the topmost level that networks look back on.

    Raises:
        AudioError: It is shorter than one code of the topmost level.
    """
    rate, hop = codecs[-1].sample_rate, codecs[-1].hop_samples
    mono = mono_at(audio, rate)
    time = mono.shape[1]
    frames = min(time // hop, heard)
    if not frames:
        raise AudioError(
            f"the prompt lasts {1000 * time / rate:.3g} ms; expected at least "
            f"{1000 * hop / rate:.3g} ms, one code of the topmost level"
        )
    around = max(-(-codec.encoder_frames * codec.hop_samples // hop) for codec in codecs)
    encoded = min(time // hop, frames + around)
    end = torch.from_numpy(mono[None, :, time - encoded * hop :].copy())
    codes = {
        level: codec.encode(end)[:, 0, -frames * (hop // codec.hop_samples) :]
        for level, codec in enumerate(codecs, start=lowest)
    }
    return Beginning(codes=codes, wave=mono, skipped_s=(time - frames * hop) / rate)
