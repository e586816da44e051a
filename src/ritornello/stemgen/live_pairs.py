"""Pairs that are mixed and encoded as they are drawn, and excerpts for the codec to learn from.

The paper's way (section 3.1): a new submix for every pair. On a GPU encoding costs little; the
draws are those of `pairs`, without a limit to the number of submixes.

Axes: (batch, channels, time) samples.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from ritornello.data.jobs import Progress
from ritornello.data.stems import Song, StemCorpus
from ritornello.data.submix import draw_pair, draw_treatment, submix, treated
from ritornello.errors import DataError
from ritornello.interfaces import TokenCodec
from ritornello.stemgen.activity import active, frame_levels, is_silent
from ritornello.stemgen.pairs import (
    SILENT_CONTEXT,
    SILENT_TARGET,
    TRIES,
    PairBatch,
    all_silent,
    category_rows,
    encode_inner,
    read_stems,
    require_mono,
    song_samples,
)

EXCERPT_GAIN_DB = (-12.0, 6.0)
_SOUNDING_TRIES = 4


@dataclass(frozen=True, kw_only=True)
class _LivePair:
    """A pair as samples, with the codec's context on both sides, and what its target is."""

    context: Float32[np.ndarray, " time"]
    target: Float32[np.ndarray, " time"]
    category: str


class LivePairs:
    """Pairs made on the fly.

    Args:
        corpus: Songs with stems.
        codec: What encodes them; mono.
        categories: Rows of the model's table.
        device: Where the codec's weights are.
    """

    def __init__(
        self,
        corpus: StemCorpus,
        codec: TokenCodec,
        categories: tuple[str, ...],
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        require_mono(codec)
        self.corpus, self.codec, self.device = corpus, codec, device
        self.dropped: Counter[str] = Counter()
        self._rows = category_rows(corpus, categories)

    def fill(self, progress: Progress | None = None) -> None:
        """Nothing has to be done before drawing."""

    def draw(
        self, draw: torch.Generator, count: int, frames: int, split: str = "train"
    ) -> PairBatch:
        """`count` pairs of `frames` frames; songs are drawn by their length.

        Raises:
            DataError: No song of the split is that long, or all are silent.
        """
        hop, margin = self.codec.hop_samples, self.codec.context_frames
        places = _Places(self.corpus.split(split), frames * hop, self.codec.sample_rate)
        numbers = _numpy_generator(draw)
        pairs: list[_LivePair] = []
        for _ in range(TRIES * count):
            pair = self._pair(places, numbers, frames)
            if isinstance(pair, str):
                self.dropped[pair] += 1
                continue
            pairs.append(pair)
            if len(pairs) == count:
                break
        else:
            raise all_silent(split)
        waves = np.stack([one.context for one in pairs] + [one.target for one in pairs])
        codes = torch.from_numpy(encode_inner(self.codec, waves, margin, self.device))
        levels = frame_levels(waves[count:], hop)[:, margin : margin + frames]
        return PairBatch(
            context=codes[:count],
            target=codes[count:],
            category=torch.tensor([self._rows[one.category] for one in pairs]),
            activity=torch.from_numpy(active(levels, self.codec.frame_rate_hz).astype(np.int64)),
        )

    def _pair(self, places: "_Places", draw: np.random.Generator, frames: int) -> _LivePair | str:
        """A pair, or why it is dropped."""
        hop, margin = self.codec.hop_samples, self.codec.context_frames
        song, start = places.draw(draw)
        chosen = draw_pair(draw, len(song.stems))
        stems = read_stems(
            song,
            [*chosen.context, chosen.target],
            start - margin * hop,
            (frames + 2 * margin) * hop,
            self.codec.sample_rate,
        )
        target, mix = stems[-1], submix(stems, tuple(range(len(chosen.context))))
        inner = slice(margin, margin + frames)
        for wave, reason in ((mix, SILENT_CONTEXT), (target, SILENT_TARGET)):
            if is_silent(frame_levels(wave, hop)[inner]):
                return reason
        context = treated(mix, draw_treatment(draw), draw)
        category = song.stems[chosen.target].category
        return _LivePair(context=context, target=target, category=category)


class StemExcerpts:
    """Excerpts for the codec: stems alone and submixes, half and half, at varied gain.

    Both are what a trained model hears and says. Silent stretches are drawn anew a few times, since
    most stems rest often; a codec still hears some silence.

    Args:
        corpus: Songs with stems.
        split: Which of them.
        samples: Length of an excerpt.
        sample_rate: Its rate.

    Raises:
        DataError: No song of the split is that long.
    """

    def __init__(self, corpus: StemCorpus, split: str, samples: int, sample_rate: int) -> None:
        self.samples, self.sample_rate = samples, sample_rate
        self._places = _Places(corpus.split(split), samples, sample_rate)

    def draw(self, draw: torch.Generator, count: int) -> Float32[Tensor, "batch 1 time"]:
        """`count` excerpts."""
        numbers = _numpy_generator(draw)
        waves = np.stack([self._excerpt(numbers) for _ in range(count)])
        return torch.from_numpy(waves)[:, None]

    def _excerpt(self, draw: np.random.Generator) -> Float32[np.ndarray, " time"]:
        wave = self._cut(draw)
        for _ in range(_SOUNDING_TRIES):
            if not is_silent(frame_levels(wave, max(1, self.sample_rate // 50))):
                break
            wave = self._cut(draw)
        # A context's treatment without noise, which a codec should not spend its bits on.
        peak = float(np.abs(wave).max(initial=0.0))
        gain = 10 ** (draw.uniform(*EXCERPT_GAIN_DB) / 20)
        return wave * np.float32(min(gain, 1 / peak) if peak > 0 else gain)

    def _cut(self, draw: np.random.Generator) -> Float32[np.ndarray, " time"]:
        """A stretch of a stem, or of a submix, which may be one stem as in a pair."""
        song, start = self._places.draw(draw)
        pair = draw_pair(draw, len(song.stems))
        members = pair.context if draw.random() < 0.5 else (pair.target,)
        stems = read_stems(song, members, start, self.samples, self.sample_rate)
        return submix(stems, tuple(range(len(members))))


class _Places:
    """Songs that are long enough, each as likely as it has places to begin at."""

    def __init__(self, songs: StemCorpus | Sequence[Song], samples: int, sample_rate: int) -> None:
        found = [(song, song_samples(song, sample_rate) - samples + 1) for song in songs]
        usable = [(song, room) for song, room in found if room >= 1]
        if not usable:
            raise DataError(
                f"no song lasts the {samples / sample_rate:g} s that were asked for; got "
                f"{len(found)} songs. Use shorter excerpts or longer songs."
            )
        self.songs = [song for song, _ in usable]
        self.ends = np.cumsum([room for _, room in usable])

    def draw(self, draw: np.random.Generator) -> tuple[Song, int]:
        """A song and the sample to begin at."""
        place = int(draw.integers(self.ends[-1]))
        which = int(np.searchsorted(self.ends, place, side="right"))
        return self.songs[which], int(self.ends[which]) - 1 - place


def _numpy_generator(draw: torch.Generator) -> np.random.Generator:
    """A generator of numpy's whose seed is drawn."""
    return np.random.default_rng(int(torch.randint(2**63 - 1, (1,), generator=draw)))
