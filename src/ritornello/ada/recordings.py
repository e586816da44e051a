"""What an ADA's levels train from: the symbols of one level of a whole corpus, memory-mapped.

    level 1      mu-law symbols of mono audio at the stack's rate
    level k > 1  codes that the trained level k - 1 gives for the symbols below

Both are one sequence of whole numbers per recording, so every level trains from the same class;
codes of a lower level are computed once and cached.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from ritornello.ada.config import AdaConfig
from ritornello.ada.model import Ada
from ritornello.audio.mulaw import mulaw_encode
from ritornello.data.corpus import Corpus, Recording
from ritornello.data.jobs import Progress
from ritornello.data.store import FieldSpec
from ritornello.data.tokens import ArrayCache, Compute
from ritornello.errors import DataError
from ritornello.nn.precision import encoding_precision

logger = logging.getLogger(__name__)

MULAW_SYMBOLS = 256
ENCODED_STEPS = 2**13
"""Symbols encoded at a time, besides the context: what a processor's cache holds, whatever the
length."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """Where the symbols of a level are kept, and how those of one recording are made.

    Attributes:
        key: Whatever they depend on besides the audio.
        cache: The arrays.
        compute: What fills it.
    """

    key: str
    cache: ArrayCache
    compute: Compute


class SymbolCorpus:
    """The symbols of one level of every recording.

    Args:
        corpus: The recordings.
        symbols: Size of the alphabet.
        rate_hz: Symbols per second.
        open_cache: Finds or makes the cache; called by `fill`, since the codes of a level can only
            be made once that level is trained.
    """

    def __init__(
        self, corpus: Corpus, symbols: int, rate_hz: float, open_cache: Callable[[], Opened]
    ) -> None:
        self.corpus, self.symbols, self.rate_hz = corpus, symbols, rate_hz
        self._open = open_cache
        self._opened: Opened | None = None

    @property
    def opened(self) -> Opened:
        """The cache; `fill` comes first."""
        if self._opened is None:
            raise DataError("the symbols are not there yet; call fill() first")
        return self._opened

    def fill(self, progress: Progress | None = None) -> None:
        """Compute what the cache does not hold yet."""
        self._opened = self._opened or self._open()
        self.opened.cache.fill(self.corpus, self.opened.compute, progress, workers=2)
        if not len(self.corpus.split("valid")):
            logger.warning(
                "no recording is held out: figures are measured on the music trained on. "
                "Give recordings of two works or more."
            )

    def draw(
        self, draw: torch.Generator, steps: int, batch: int, split: str
    ) -> Int64[Tensor, "batch steps"]:
        """Random crops; none crosses two recordings.

        Raises:
            DataError: No recording of the split is that long.
        """
        crops = self.opened.cache.draw(draw, steps, batch, split)["symbols"]
        return torch.from_numpy(crops.astype(np.int64))

    def read(self, recording: Recording) -> Int64[np.ndarray, " steps"]:
        """Every symbol of one recording."""
        return self.opened.cache.read(recording.id)["symbols"].astype(np.int64)

    def split_to_judge(self, steps: int) -> str:
        """The split that figures are made of: "valid" where it holds a crop of `steps`.

        A folder of one recording holds nothing out; then the music trained on has to do.
        """
        held_out = len(self.corpus.split("valid"))
        too_short = self.opened.cache.too_short(steps, "valid")
        return "valid" if len(too_short) < held_out else "train"


def audio_symbols(corpus: Corpus, sample_rate: int, folder: Path) -> SymbolCorpus:
    """Mu-law symbols of every recording, mixed to mono at `sample_rate` (section 4.1)."""

    def compute(recording: Recording) -> dict[str, np.ndarray]:
        audio = recording.read(sample_rate=sample_rate, channels=1)
        return {"symbols": mulaw_encode(torch.from_numpy(audio.samples[0])).numpy()}

    def open_cache() -> Opened:
        key = f"mu-law {MULAW_SYMBOLS} at {sample_rate} Hz, mono"
        cache = ArrayCache(folder, key, _fields(MULAW_SYMBOLS))
        return Opened(key=key, cache=cache, compute=compute)

    return SymbolCorpus(corpus, MULAW_SYMBOLS, sample_rate, open_cache)


def code_symbols(
    below: SymbolCorpus, config: AdaConfig, trained: Callable[[], tuple[Ada, str]], folder: Path
) -> SymbolCorpus:
    """Codes that a level gives for the symbols below it; it may be trained later than this call.

    Args:
        below: The symbols that are encoded.
        config: The level.
        trained: Loads it, with the hash of its weights; called by `fill`. Another hash empties the
            cache.
        folder: Where the codes are kept.
    """

    def open_cache() -> Opened:
        ada, weights = trained()
        below.fill()

        def compute(recording: Recording) -> dict[str, np.ndarray]:
            symbols = torch.from_numpy(below.read(recording))
            with encoding_precision():
                return {"symbols": encode_long(ada, symbols).numpy()}

        key = f"codes {weights} of {below.opened.key}"
        cache = ArrayCache(folder, key, _fields(config.quantiser.codes))
        return Opened(key=key, cache=cache, compute=compute)

    return SymbolCorpus(
        below.corpus, config.quantiser.codes, below.rate_hz / config.hop, open_cache
    )


@torch.inference_mode()
def encode_long(ada: Ada, symbols: Int64[Tensor, " steps"]) -> Int64[Tensor, " frames"]:
    """Codes of a sequence of any length in constant memory; equal to encoding it whole.

    The last frame is filled up with its last symbol. Windows overlap by what the encoder sees, so
    that no padding is heard inside.
    """
    hop, reach = ada.config.hop, ada.encoder.stack.receptive_field // 2
    if len(symbols) % hop:
        filling = symbols[-1:].expand(-len(symbols) % hop)
        symbols = torch.cat([symbols, filling])
    context = -(-reach // hop) * hop
    window = max(1, ENCODED_STEPS // hop) * hop
    codes = []
    for start in range(0, len(symbols), window):
        first, last = max(0, start - context), start + window + context
        found = ada.encode(symbols[None, first:last])[0]
        codes.append(found[(start - first) // hop :][: window // hop])
    return torch.cat(codes)


def _fields(symbols: int) -> dict[str, FieldSpec]:
    return {"symbols": FieldSpec(dtype="uint8" if symbols <= 256 else "uint16")}
