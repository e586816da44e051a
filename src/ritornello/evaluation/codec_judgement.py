"""What a codec loses and what it costs: reconstruction, against anchors, and the size of its code.

Conventions
    clips      excerpts of recordings the codec has not learnt from
    figures    means over clips with bootstrap intervals, in the names of their functions

Metrics
    NAME                 of `reconstruction` and `noise`: the codec's output against its input
    ceiling_NAME         the input with its samples rounded to 16 bits: what a perfect codec gets
    low_pass_NAME        the input without what lies above LOW_PASS_HZ: a dull telephone line; a
                         codec that a metric puts below this anchor loses more than all the treble
    of `codebook`        usage, perplexity and bits of codes; numbers per second, effective
                         dimensions of latents

Input and output are compared at the codec's own rate and channels: what its rate cuts off is not
counted as lost. Clips whose input is silent at that rate are an error of the choice of clips.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Float

from ritornello.errors import AudioError, DataError
from ritornello.evaluation import codebook, noise, reconstruction
from ritornello.evaluation.clips import Clip, ClipSet
from ritornello.evaluation.degradations import low_pass
from ritornello.evaluation.intervals import Estimate, summarise
from ritornello.interfaces import LatentCodec, TokenCodec

LOW_PASS_HZ = 3500.0
SIXTEEN_BITS = 2**15

Wave = Float[np.ndarray, "_channels _time"]
Progress = Callable[[int, int, str], None]


def rounded(wave: Wave) -> Wave:
    """The wave in steps of 16 bits."""
    return (np.round(wave * SIXTEEN_BITS) / SIXTEEN_BITS).astype(np.float32)


def judge_codec(
    codec: LatentCodec | TokenCodec,
    clips: ClipSet,
    draw: np.random.Generator,
    progress: Progress | None = None,
) -> dict[str, Estimate]:
    """All figures of a codec on real music.

    Args:
        codec: The codec.
        clips: Held-out excerpts.
        draw: Source of the intervals.
        progress: Called as progress(done, total, name of the clip).

    Raises:
        DataError: No clips.
        AudioError: A clip that is silent, or output that is not finite or of another length.
    """
    if len(clips) == 0:
        raise DataError("got no clips to judge the codec on; expected at least one")
    rows: list[Mapping[str, float]] = []
    compressed = []
    for number, clip in enumerate(clips, 1):
        row, sequence = _judge_clip(codec, clip)
        rows.append(row)
        compressed.append(sequence)
        if progress is not None:
            progress(number, len(clips), clip.name)
    figures = summarise(rows, draw)
    if isinstance(codec, TokenCodec):
        return figures | codebook.evaluate(compressed, codec.codebook_size, codec.frame_rate_hz)
    return figures | codebook.evaluate_latents(compressed, codec.frame_rate_hz)


@torch.no_grad()
def _judge_clip(
    codec: LatentCodec | TokenCodec, clip: Clip
) -> tuple[dict[str, float], Float[np.ndarray, "rows frames"] | np.ndarray]:
    """Figures of one clip and its compressed sequence."""
    audio = clip.read(sample_rate=codec.sample_rate, channels=codec.channels)
    wave = audio.samples
    compressed = codec.encode(torch.from_numpy(wave)[None])
    again = codec.decode(compressed, wave.shape[-1])[0].numpy()
    outputs = {
        "": again,
        "ceiling_": rounded(wave),
        "low_pass_": low_pass(wave, codec.sample_rate, min(LOW_PASS_HZ, codec.sample_rate / 4)),
    }
    row: dict[str, float] = {}
    try:
        for prefix, estimate in outputs.items():
            figures = reconstruction.evaluate(wave, estimate, codec.sample_rate)
            figures |= noise.evaluate(wave, estimate, codec.sample_rate, codec.hop_samples)
            row |= {prefix + name: value for name, value in figures.items()}
    except AudioError as error:
        raise AudioError(f"{clip.name}: {error}") from error
    return row, compressed[0].numpy()
