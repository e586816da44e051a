"""What StemGen trains from: pairs of a context and the stem that answers it, as tokens, cached.

Every song is cut into segments. Of each, all stems and some submixes are encoded once and kept with
their levels; training draws a segment, one of its submixes, a stem outside of it, and an excerpt.
The submixes of a segment are those of pairs as the paper draws them (`data.submix`), so that over
many of them every pair of a song is equally likely; pairs whose context or target is silent are
dropped and counted (section 3.1).

Deviation: the paper mixes and encodes as it draws (`live_pairs`), which on processors would be most
of the time. Several submixes a segment, each heard with its own gain and noise, stand for it here.

Axes: takes are the stems of a segment and then its submixes; (takes, codebooks, frames) codes.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8, UInt16
from torch import Tensor

from ritornello.audio.resample import resampled_length
from ritornello.data.jobs import Progress, completed, exclusive
from ritornello.data.stem_categories import resolve_category
from ritornello.data.stems import Song, StemCorpus, read_stem
from ritornello.data.store import Entry, FieldSpec, Store, mapped
from ritornello.data.submix import draw_pair, draw_treatment, submix, treated
from ritornello.errors import ConfigError, DataError
from ritornello.interfaces import TokenCodec
from ritornello.nn.precision import encoding_precision
from ritornello.stemgen.activity import active, frame_levels, is_silent
from ritornello.training.seeds import derived_seed

logger = logging.getLogger(__name__)

SILENT_CONTEXT, SILENT_TARGET = "silent context", "silent target"
TRIES = 200
"""Pairs drawn for each one wanted before a corpus is given up as silent."""

_ENCODED_ROWS = 4
_WORKERS = 2


@dataclass(frozen=True, kw_only=True)
class PairBatch:
    """Pairs to train on.

    Attributes:
        context: Codes of the submixes.
        target: Codes of the stems that answer.
        category: What the targets are, as rows of the model's table.
        activity: Where the targets play (1) and rest (0).
    """

    context: Int64[Tensor, "batch codebooks frames"]
    target: Int64[Tensor, "batch codebooks frames"]
    category: Int64[Tensor, " batch"]
    activity: Int64[Tensor, "batch frames"]


@runtime_checkable
class Pairs(Protocol):
    """Where pairs come from; `dropped` counts the silent ones by reason."""

    dropped: Counter[str]

    def fill(self, progress: Progress | None = None) -> None:
        """Do what has to be done before pairs can be drawn."""
        ...

    def draw(
        self, draw: torch.Generator, count: int, frames: int, split: str = "train"
    ) -> PairBatch:
        """`count` pairs of `frames` frames from the songs of a split."""
        ...


# ------------------------------------------------------------------ shared with live pairs


def category_rows(corpus: StemCorpus, categories: Sequence[str]) -> dict[str, int]:
    """The row of the model's table that each category of a corpus has.

    Raises:
        ConfigError: The model has no row for one of them.
    """
    try:
        return {
            name: categories.index(resolve_category(name, categories)) for name in corpus.categories
        }
    except ConfigError as error:
        raise ConfigError(f"{error}. Train a model with a row for it, or leave it out.") from error


def song_samples(song: Song, sample_rate: int) -> int:
    """Length that all stems of a song have at a rate."""
    return min(resampled_length(one.samples, one.sample_rate, sample_rate) for one in song.stems)


def read_stems(
    song: Song, stems: Sequence[int], start: int, samples: int, sample_rate: int
) -> Float32[np.ndarray, "stems time"]:
    """Some stems of a song from sample `start` on; silent beyond its ends."""
    span = start / sample_rate, samples / sample_rate
    return np.stack([read_stem(song.stems[stem], *span, sample_rate) for stem in stems])


@torch.inference_mode()
def encode_inner(
    codec: TokenCodec,
    waves: Float32[np.ndarray, "takes time"],
    margin: int,
    device: torch.device | str = "cpu",
) -> Int64[np.ndarray, "takes codebooks frames"]:
    """Codes of mono waves without `margin` frames at both ends, which only lend their context.

    A few rows at a time: always of one shape, and in little memory.
    """
    rows = torch.from_numpy(waves)[:, None].to(device)
    with encoding_precision():
        codes = torch.cat([codec.encode(part) for part in rows.split(_ENCODED_ROWS)])
    return codes[..., margin : codes.shape[-1] - margin].cpu().numpy()


def require_mono(codec: TokenCodec) -> None:
    """Refuse codecs that stems cannot be encoded with here."""
    if codec.channels != 1 or codec.codebook_size > 2**16:
        raise ConfigError(
            f"the codec has {codec.channels} channels and codebooks of {codec.codebook_size}; "
            "pairs need a mono codec with codebooks of at most 65536 codes"
        )


def all_silent(split: str) -> DataError:
    """What is raised when nothing but silence is found."""
    return DataError(
        f"hardly any pair of the {split} split sounds in both its context and its target; "
        "give songs whose stems play at the same time"
    )


# ------------------------------------------------------------------ cached pairs


@dataclass(frozen=True, kw_only=True)
class _Segment:
    """A stretch of a song: its place in samples and frames of the codec, its name in the cache."""

    song: Song
    number: int
    start: int
    frames: int
    key: str


@dataclass(frozen=True, kw_only=True)
class _Pick:
    """A pair that was drawn: a segment, one of its submixes, a stem, the excerpt's first frame."""

    segment: _Segment
    submix: int
    target: int
    first: int


class CachedPairs:
    """Pairs whose tokens are made once and then gathered from memory maps.

    Args:
        corpus: Songs with stems.
        codec: What encodes them; mono.
        codec_key: Hash of its weights: with another one everything is encoded anew.
        categories: Rows of the model's table.
        folder: Where the cache lives.
        segment_s: Length of a segment; excerpts are at most that long.
        submixes: Contexts kept of every segment.
        seed: Draws them.
    """

    def __init__(
        self,
        corpus: StemCorpus,
        codec: TokenCodec,
        codec_key: str,
        categories: tuple[str, ...],
        folder: Path,
        *,
        segment_s: float,
        submixes: int,
        seed: int,
    ) -> None:
        require_mono(codec)
        if segment_s <= 0 or submixes < 1:
            raise ConfigError(
                f"segment_s is {segment_s} and submixes {submixes}; expected more than 0 and at "
                "least 1"
            )
        self.corpus, self.codec, self.folder = corpus, codec, folder
        self.submixes, self.seed = submixes, seed
        self.dropped: Counter[str] = Counter()
        self._rows = category_rows(corpus, categories)
        frames = max(1, round(segment_s * codec.frame_rate_hz))
        self._segments = [segment for song in corpus for segment in self._cut(song, frames)]
        self._fields = {
            "codes": FieldSpec(shape_per_frame=(codec.codebooks,), dtype="uint16"),
            "levels": FieldSpec(dtype="uint8"),
        }
        key = f"stems 1; codec {codec_key}; segments of {frames}; {submixes} submixes; seed {seed}"
        self._store = Store(folder, key, self._fields)
        self._entries: dict[str, Entry] = {}
        self._codes: UInt16[np.ndarray, "rows codebooks"] = np.empty(
            (0, codec.codebooks), np.uint16
        )
        self._levels: UInt8[np.ndarray, " rows"] = np.empty(0, np.uint8)
        self._contexts: dict[tuple[str, int], tuple[int, ...]] = {}
        self._long: dict[tuple[str, int], list[_Segment]] = {}

    def _cut(self, song: Song, frames: int) -> list[_Segment]:
        """Segments from the beginning on; the last one ends where the song ends."""
        hop = self.codec.hop_samples
        time = song_samples(song, self.codec.sample_rate)
        frames = min(frames, time // hop)
        if frames < 1:
            return []
        audio = hashlib.sha256("".join(one.audio_sha256 for one in song.stems).encode()).hexdigest()
        starts = list(range(0, time - frames * hop + 1, frames * hop))
        if time - starts[-1] - frames * hop >= hop:
            starts.append(time - frames * hop)
        return [
            _Segment(song=song, number=n, start=start, frames=frames, key=f"{audio} {n}")
            for n, start in enumerate(starts)
        ]

    # -------------------------------------------------------------- filling

    def fill(self, progress: Progress | None = None) -> None:
        """Encode what the cache does not hold yet, then open it for drawing.

        Every segment is kept as soon as it is done; another process waits meanwhile.
        """
        with exclusive(self.folder / "lock"):
            self._store.recover()
            wanted = {segment.key: segment for segment in self._segments}
            missing = [one for key, one in wanted.items() if key not in self._store.entries]
            done = len(wanted) - len(missing)
            if progress:
                progress(done, len(wanted), "")
            for segment, arrays in completed(self._encoded, missing, _WORKERS):
                self._store.append(segment.key, arrays)
                done += 1
                if progress:
                    progress(done, len(wanted), segment.song.id)
        self._open()

    def _encoded(self, segment: _Segment) -> dict[str, np.ndarray]:
        """Codes and levels of every take of a segment, take after take."""
        hop, margin, song = self.codec.hop_samples, self.codec.context_frames, segment.song
        stems = read_stems(
            song,
            range(len(song.stems)),
            segment.start - margin * hop,
            (segment.frames + 2 * margin) * hop,
            self.codec.sample_rate,
        )
        clean, heard = list(stems), list(stems)
        for number in range(self.submixes):
            draw = self._generator(segment, number)
            members = draw_pair(draw, len(stems)).context
            clean.append(submix(stems, members))
            heard.append(treated(clean[-1], draw_treatment(draw), draw))
        codes = encode_inner(self.codec, np.stack(heard), margin)
        # Of the clean sums: noise is no music.
        levels = frame_levels(np.stack(clean), hop)[:, margin : margin + segment.frames]
        rows = codes.transpose(0, 2, 1).reshape(-1, self.codec.codebooks)
        return {"codes": rows.astype(np.uint16), "levels": levels.reshape(-1)}

    def _generator(self, segment: _Segment, number: int) -> np.random.Generator:
        """What a submix of a segment is drawn with: always the same."""
        return np.random.default_rng(derived_seed(self.seed, "submix", segment.key, number))

    def _open(self) -> None:
        self._entries = self._store.read()
        end = max((entry.offset + entry.frames for entry in self._entries.values()), default=0)
        self._codes, self._levels = (
            mapped(self._store.data_file(name), end, spec) for name, spec in self._fields.items()
        )
        self._long = {}

    # -------------------------------------------------------------- drawing

    def draw(
        self, draw: torch.Generator, count: int, frames: int, split: str = "train"
    ) -> PairBatch:
        """`count` pairs of `frames` frames; every segment, submix and stem outside is as likely.

        Raises:
            DataError: The cache is not filled, no segment is that long, or all are silent.
        """
        segments = self._long_enough(split, frames)
        picks: list[_Pick] = []
        for _ in range(TRIES * count):
            pick = self._pick(draw, segments, frames)
            reason = self._silence(pick, frames)
            if reason:
                self.dropped[reason] += 1
                continue
            picks.append(pick)
            if len(picks) == count:
                return self._gather(picks, frames)
        raise all_silent(split)

    def share_dropped(self, draw: torch.Generator, count: int, frames: int) -> dict[str, float]:
        """Share of `count` training pairs that are silent, by reason; changes no count."""
        segments = self._long_enough("train", frames)
        found = Counter(
            self._silence(self._pick(draw, segments, frames), frames) for _ in range(count)
        )
        return {reason: found[reason] / count for reason in (SILENT_CONTEXT, SILENT_TARGET)}

    def _long_enough(self, split: str, frames: int) -> list[_Segment]:
        if not self._entries:
            raise DataError(f"the cache {self.folder} is not open; call fill() first")
        if (split, frames) not in self._long:
            of_split = [one for one in self._segments if one.song.split == split]
            usable = [one for one in of_split if one.frames >= frames]
            if not usable:
                longest = max((one.frames for one in of_split), default=0)
                raise DataError(
                    f"no segment of the {split} split has {frames} frames; it has {len(of_split)} "
                    f"segments, the longest of {longest}. Use longer segments, shorter excerpts "
                    "or more songs."
                )
            if len(usable) < len(of_split):
                logger.warning(
                    "%d of %d segments of the %s split are shorter than %d frames and not drawn",
                    len(of_split) - len(usable),
                    len(of_split),
                    split,
                    frames,
                )
            self._long[split, frames] = usable
        return self._long[split, frames]

    def _pick(self, draw: torch.Generator, segments: Sequence[_Segment], frames: int) -> _Pick:
        """One pair, silent or not. It takes four numbers from `draw` whatever comes out."""
        places = torch.rand(4, dtype=torch.float64, generator=draw).tolist()
        segment = segments[int(places[0] * len(segments))]
        number = int(places[1] * self.submixes)
        members = self._members(segment, number)
        outside = [stem for stem in range(len(segment.song.stems)) if stem not in members]
        return _Pick(
            segment=segment,
            submix=number,
            target=outside[int(places[2] * len(outside))],
            first=int(places[3] * (segment.frames - frames + 1)),
        )

    def _members(self, segment: _Segment, number: int) -> tuple[int, ...]:
        """The stems that a submix is the sum of."""
        key = segment.key, number
        if key not in self._contexts:
            pair = draw_pair(self._generator(segment, number), len(segment.song.stems))
            self._contexts[key] = pair.context
        return self._contexts[key]

    def _rows_of(self, pick: _Pick, take: int, frames: int) -> slice:
        """Where an excerpt of a take lies in the arrays."""
        start = self._entries[pick.segment.key].offset + take * pick.segment.frames + pick.first
        return slice(start, start + frames)

    def _context_rows(self, pick: _Pick, frames: int) -> slice:
        return self._rows_of(pick, len(pick.segment.song.stems) + pick.submix, frames)

    def _silence(self, pick: _Pick, frames: int) -> str:
        """Why a pair is dropped; empty for one that sounds."""
        if is_silent(self._levels[self._context_rows(pick, frames)]):
            return SILENT_CONTEXT
        if is_silent(self._levels[self._rows_of(pick, pick.target, frames)]):
            return SILENT_TARGET
        return ""

    def _gather(self, picks: Sequence[_Pick], frames: int) -> PairBatch:
        contexts = [self._context_rows(pick, frames) for pick in picks]
        targets = [self._rows_of(pick, pick.target, frames) for pick in picks]
        categories = [pick.segment.song.stems[pick.target].category for pick in picks]
        levels = np.stack([self._levels[rows] for rows in targets])
        plays = active(levels, self.codec.frame_rate_hz)
        return PairBatch(
            context=self._batch(contexts),
            target=self._batch(targets),
            category=torch.tensor([self._rows[name] for name in categories]),
            activity=torch.from_numpy(plays.astype(np.int64)),
        )

    def _batch(self, rows: Sequence[slice]) -> Int64[Tensor, "batch codebooks frames"]:
        codes = np.stack([self._codes[one].T for one in rows])
        return torch.from_numpy(codes.astype(np.int64))
