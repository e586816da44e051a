"""What an ADA's levels train from: the symbols of one level of a whole corpus, memory-mapped.

    level 1      mu-law symbols of mono audio at the stack's rate
    level k > 1  codes that the trained level k - 1 gives for the symbols below

Both are one sequence of whole numbers per recording, so every level trains from the same class;
codes of a lower level are computed once and cached.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from ritornello.ada.model import Ada
from ritornello.audio.mulaw import mulaw_encode
from ritornello.data.corpus import Corpus, Recording
from ritornello.data.jobs import Progress
from ritornello.data.store import FieldSpec
from ritornello.data.tokens import ArrayCache, Compute
from ritornello.nn.precision import encoding_precision

logger = logging.getLogger(__name__)

MULAW_SYMBOLS = 256
ENCODED_STEPS = 2**16
"""Symbols encoded at a time, besides the context; what is in memory does not grow with length."""


@dataclass(frozen=True, kw_only=True)
class SymbolCorpus:
    """The symbols of one level of every recording.

    Attributes:
        corpus: The recordings.
        symbols: Size of the alphabet.
        rate_hz: Symbols per second.
        key: Whatever they depend on besides the audio.
        cache: Where they are kept.
        compute: How those of one recording are made.
    """

    corpus: Corpus
    symbols: int
    rate_hz: float
    key: str
    cache: ArrayCache
    compute: Compute

    def fill(self, progress: Progress | None = None) -> None:
        """Compute what the cache does not hold yet."""
        self.cache.fill(self.corpus, self.compute, progress, workers=2)
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
        crops = self.cache.draw(draw, steps, batch, split)["symbols"]
        return torch.from_numpy(crops.astype(np.int64))

    def read(self, recording: Recording) -> Int64[np.ndarray, " steps"]:
        """Every symbol of one recording."""
        return self.cache.read(recording.id)["symbols"].astype(np.int64)

    def split_to_judge(self, steps: int) -> str:
        """The split that figures are made of: "valid" where it holds a crop of `steps`.

        A folder of one recording holds nothing out; then the music trained on has to do.
        """
        held_out = len(self.corpus.split("valid"))
        return "valid" if len(self.cache.too_short(steps, "valid")) < held_out else "train"


def audio_symbols(corpus: Corpus, sample_rate: int, folder: Path) -> SymbolCorpus:
    """Mu-law symbols of every recording, mixed to mono at `sample_rate` (section 4.1)."""

    def compute(recording: Recording) -> dict[str, np.ndarray]:
        audio = recording.read(sample_rate=sample_rate, channels=1)
        return {"symbols": mulaw_encode(torch.from_numpy(audio.samples[0])).numpy()}

    key = f"mu-law {MULAW_SYMBOLS} at {sample_rate} Hz, mono"
    return SymbolCorpus(
        corpus=corpus,
        symbols=MULAW_SYMBOLS,
        rate_hz=sample_rate,
        key=key,
        cache=ArrayCache(folder, key, _fields(MULAW_SYMBOLS)),
        compute=compute,
    )


def code_symbols(below: SymbolCorpus, ada: Ada, weights: str, folder: Path) -> SymbolCorpus:
    """Codes that `ada` gives for the symbols below it; `below` must be filled.

    Args:
        below: The level that is encoded.
        ada: The trained level.
        weights: Hash of its weights; another one empties the cache.
        folder: Where the codes are kept.
    """

    def compute(recording: Recording) -> dict[str, np.ndarray]:
        symbols = torch.from_numpy(below.read(recording))
        with encoding_precision():
            return {"symbols": encode_long(ada, symbols).numpy()}

    codes = ada.config.quantiser.codes
    key = f"codes {weights} of {below.key}"
    return SymbolCorpus(
        corpus=below.corpus,
        symbols=codes,
        rate_hz=below.rate_hz / ada.config.hop,
        key=key,
        cache=ArrayCache(folder, key, _fields(codes)),
        compute=compute,
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
