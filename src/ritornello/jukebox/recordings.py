"""What priors and upsamplers train from: codes of every level of a corpus, and what is known of it.

All levels keep the clock of the topmost: a frame holds one of its codes and those of the lower
levels in the same stretch of audio, so that excerpts of two levels lie at the same place by
construction. Codes are made once by the trained autoencoders and cached, per level.

Deviation: every recording is encoded once, its channels mixed evenly, on one grid. The paper
encodes each batch anew, from random places and with random mixes; on processors that would be most
of the time.

Axes: (batch, frames) codes of one level; `ratio` codes of a lower level in a frame of the topmost.
"""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from ritornello.checkpoint import weights_hash
from ritornello.data.corpus import Corpus, Recording
from ritornello.data.jobs import Progress
from ritornello.data.store import FieldSpec
from ritornello.data.tokens import ArrayCache, Places
from ritornello.errors import DataError
from ritornello.jukebox.codec import JukeboxCodec, component_name, load_vqvae
from ritornello.jukebox.conditions import Conditions
from ritornello.jukebox.config import JukeboxConfig
from ritornello.jukebox.guided_attention import SILENT, SungTokens, sung_tokens
from ritornello.jukebox.labels import MISSING, UNKNOWN_ID, Vocabulary, genre_ids
from ritornello.jukebox.lyrics import LyricWindow, lyric_window, no_lyrics
from ritornello.jukebox.song_lyrics import SongLyrics, lyrics_of
from ritornello.nn.precision import encoding_precision

logger = logging.getLogger(__name__)

LevelCodes = Int64[Tensor, "batch frames"]


# ------------------------------------------------------------------ codes


class CodeCorpus:
    """Codes of every recording, level by level.

    Args:
        corpus: The recordings.
        config: The whole model's.
        model: Folder that has, or will have, the trained autoencoders.
        folder: Where the caches live.
    """

    def __init__(self, corpus: Corpus, config: JukeboxConfig, model: Path, folder: Path) -> None:
        self.corpus, self.config, self.model, self.folder = corpus, config, model, folder
        self.hops = [level.hop_samples for level in config.vqvae.levels]
        self._caches: dict[int, ArrayCache] = {}

    @property
    def frame_rate_hz(self) -> float:
        """Frames, which are codes of the topmost level, per second."""
        return self.config.vqvae.sample_rate / self.hops[-1]

    def ratio(self, level: int) -> int:
        """Codes of `level` in a frame."""
        return self.hops[-1] // self.hops[level]

    def fill(self, level: int, progress: Progress | None = None) -> None:
        """Encode what the cache of a level does not hold yet."""
        if level in self._caches:
            return
        vqvae = load_vqvae(self.model, level, self.config.vqvae.levels[level])
        codec = JukeboxCodec(vqvae, self.config.vqvae.sample_rate)
        key = f"{component_name(level)} {weights_hash(self.model, component_name(level))}, mono"
        field = FieldSpec(shape_per_frame=(self.ratio(level),), dtype="uint16")
        cache = ArrayCache(self.folder / f"codes{level}", key, {"codes": field})

        def encoded(recording: Recording) -> dict[str, np.ndarray]:
            return {"codes": self._encoded(recording, codec).reshape(-1, self.ratio(level))}

        cache.fill(self.corpus, encoded, progress, workers=2)
        self._caches[level] = cache

    @torch.inference_mode()
    def _encoded(self, recording: Recording, codec: JukeboxCodec) -> Int64[np.ndarray, " codes"]:
        """Codes of whole frames of a recording; silence fills up the last one."""
        audio = recording.read(sample_rate=codec.sample_rate, channels=1)
        missing = -audio.samples.shape[1] % self.hops[-1]
        wave = torch.from_numpy(np.pad(audio.samples, ((0, 0), (0, missing))))
        with encoding_precision():
            return codec.encode(wave[None])[0, 0].numpy()

    def locate(self, draw: torch.Generator, frames: int, batch: int, split: str) -> Places:
        """Random places of excerpts; the same in every level that is filled.

        Raises:
            DataError: No recording of the split is that long.
        """
        return next(iter(self._caches.values())).locate(draw, frames, batch, split)

    def gather(self, places: Places, frames: int, level: int) -> LevelCodes:
        """Codes of `level` at these places: `ratio` for each of the `frames`."""
        crops = self._caches[level].gather(places, frames)["codes"]
        return torch.from_numpy(crops.reshape(len(crops), -1).astype(np.int64))

    def whole(self, recording: Recording, level: int) -> LevelCodes:
        """All codes of one recording, (1, codes)."""
        codes = self._caches[level].read(recording.id)["codes"]
        return torch.from_numpy(codes.reshape(1, -1).astype(np.int64))

    def split_to_judge(self, frames: int) -> str:
        """The split that figures are made of: "valid" where it holds such an excerpt.

        A folder of one recording holds nothing out; then the music trained on has to do.
        """
        held_out = len(self.corpus.split("valid"))
        too_short = next(iter(self._caches.values())).too_short(frames, "valid")
        return "valid" if len(too_short) < held_out else "train"


# ------------------------------------------------------------------ what is known of the music


def artist_of(recording: Recording) -> str:
    """Who it is by: the label `artist`, or else `composer`; nothing if there is neither."""
    return recording.labels.get("artist") or recording.labels.get("composer", "")


def genre_words(recording: Recording) -> list[str]:
    """The words of its genre and then those of its keywords: its bag of words (section 4.1).

    Deviation: the paper's bag holds genres alone; the keywords it collected (moods, playlists) are
    told to no model. Here they fill the slots that the genre leaves, and are asked for like genres.
    """
    return _words(recording.labels.get("genre", "")) + _words(recording.labels.get("keywords", ""))


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,;/]+", text) if word]


def _genre_rows(genres: Vocabulary, recording: Recording, slots: int) -> list[int]:
    """Rows of its genre words; of a genre that is a name as it stands, of that and its keywords."""
    genre = recording.labels.get("genre", "")
    words = genre_words(recording)
    if genres.id_or_unknown(genre) != UNKNOWN_ID:
        words = [genre, *words[len(_words(genre)) :]]
    rows = [row for word in words for row in genre_ids(genres, word, slots)]
    known = dict.fromkeys(row for row in rows if row not in (UNKNOWN_ID, MISSING))
    return [*(known or [UNKNOWN_ID]), *[MISSING] * slots][:slots]


def vocabularies(corpus: Corpus, config: JukeboxConfig) -> tuple[Vocabulary, Vocabulary]:
    """The artists and the genre words of the music to train on, as many as there are rows."""
    train = corpus.split("train")
    rows = config.prior.labels
    artists = Vocabulary.of_most_frequent("artist", map(artist_of, train), rows.artists)
    words = (word for one in train for word in genre_words(one))
    return artists, Vocabulary.of_most_frequent("genre", words, rows.genres)


class KnownMusic:
    """Labels, lengths and lyrics of every recording of a corpus, as rows of tables.

    Args:
        corpus: The recordings.
        config: The whole model's, with the names its tables know.
    """

    def __init__(self, corpus: Corpus, config: JukeboxConfig) -> None:
        self.config = config
        artists = Vocabulary(kind="artist", names=config.artists)
        genres = Vocabulary(kind="genre", names=config.genres)
        slots = config.prior.labels.genre_slots
        self.artists = torch.tensor([artists.id_or_unknown(artist_of(one)) for one in corpus])
        self.genres = torch.tensor([_genre_rows(genres, one, slots) for one in corpus]).view(
            -1, slots
        )
        self.total_s = torch.tensor([one.duration_s for one in corpus])
        self.lyrics: list[SongLyrics | None] = [None] * len(corpus)
        if config.prior.lyrics is not None:
            self.lyrics = [lyrics_of(one, config.alphabet) for one in corpus]
            missing = sum(one is None for one in self.lyrics)
            if missing == len(self.lyrics):
                raise DataError(
                    f"none of {len(self.lyrics)} recordings has lyrics, which this model sings. "
                    'Put them into the side-car FILE.json as "lyrics", into a column of labels.csv '
                    "or into the tags of the files, or train another preset."
                )
            if missing:
                logger.warning("%d of %d recordings have no lyrics", missing, len(self.lyrics))

    def conditions(self, places: Places, frame_rate_hz: float) -> Conditions:
        """What is known at these places; the lyrics those of a prior's window from there on."""
        recordings = torch.from_numpy(places.recordings)
        start_s = torch.from_numpy(places.starts) / frame_rate_hz
        return Conditions(
            artist=self.artists[recordings],
            genres=self.genres[recordings],
            total_s=self.total_s[recordings],
            start_s=start_s.float(),
            lyrics=self._lyrics(places.recordings.tolist(), start_s.tolist()),
        )

    def _lyrics(
        self, recordings: Sequence[int], starts_s: Sequence[float]
    ) -> Int64[Tensor, "batch lyrics"] | None:
        """Tokens of the lyric windows; None for a model without lyrics."""
        told = self.config.prior.lyrics
        if told is None:
            return None
        windows = [
            self._window(index, start_s)
            for index, start_s in zip(recordings, starts_s, strict=True)
        ]
        return torch.tensor([window.tokens for window in windows])

    def _window(self, index: int, start_s: float) -> LyricWindow:
        """What is told of the lyrics of a recording from `start_s` on."""
        told, song = self.config.prior.lyrics, self.lyrics[index]
        assert told is not None, "only models with lyrics are told some"
        if song is None:
            return no_lyrics(told.tokens)
        context_s = self.config.prior.context_s
        return lyric_window(song.spelt, song.timing, start_s, context_s, told.tokens)

    def sung(self, places: Places, frames: int, frame_rate_hz: float) -> SungTokens:
        """The token of the lyric windows that is sung at each frame, where times are known."""
        rows = []
        for index, frame in zip(places.recordings.tolist(), places.starts.tolist(), strict=True):
            song, start_s = self.lyrics[index], frame / frame_rate_hz
            if song is None:
                rows.append(np.full(frames, SILENT))
                continue
            window = self._window(index, start_s)
            rows.append(sung_tokens(song, window, start_s, frames, frame_rate_hz))
        return torch.from_numpy(np.stack(rows))
