"""Figure 2: how well the next symbol is foretold from the last r, for audio and for codes of 1.2.

The paper sees audio drop fast and level off, and codes on a much higher scale with a transition
where r passes what the encoder sees to one side, in codes: within it the autoencoder has already
used what there was to know.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ritornello.ada.experiments import BELOW_SEED, Experiment, stack_of, symbols_under
from ritornello.ada.recordings import SymbolCorpus
from ritornello.ada.rows import find_row
from ritornello.data.corpus import Corpus
from ritornello.errors import DataError
from ritornello.evaluation import predictability
from ritornello.evaluation.predictability import Profile, Progress, Sequences, Settings

CODED_ROW, ABOVE_IT = "1.2", "2.1"
PROFILED_S = 1800.0
"""Music to learn from, and to judge by, in seconds at most: both curves rest on the same."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Both curves.

    Attributes:
        audio: Of mu-law symbols.
        codes: Of the codes of row 1.2.
        transition: The r at which the encoder's reach to one side ends, in codes.
    """

    audio: Profile
    codes: Profile
    transition: float

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        curves = [self.audio.to_dict(), self.codes.to_dict()]
        return {"profiles": curves, "transition_codes": self.transition}

    def save_picture(self, path: Path) -> Path:
        """Write the two panels as one PNG and return it."""
        marks = {self.codes.name: self.transition}
        return predictability.save_picture([self.audio, self.codes], path, marks)


def figure_2(experiment: Experiment, progress: Progress | None = None) -> Figure:
    """The profiles of audio and of the codes of row 1.2.

    Raises:
        DataError: Row 1.2 is not trained yet, or there is too little music.
    """
    if experiment.result(CODED_ROW, BELOW_SEED) is None:
        raise DataError(f"row {CODED_ROW} is not trained yet in {experiment.folder}")
    audio = symbols_under(experiment, find_row(CODED_ROW))
    codes = symbols_under(experiment, find_row(ABOVE_IT))
    # Steps alone end a point, so that the same music gives the same curve on any machine.
    settings = replace(Settings(), steps=experiment.scale.profile_steps, budget_s=None)
    level = stack_of(experiment, find_row(CODED_ROW)).levels[0]
    curves = []
    for name, symbols in (("audio", audio), (f"codes of {CODED_ROW}", codes)):
        symbols.fill()
        curves.append(
            predictability.profile(_sequences(name, symbols), settings, progress=progress)
        )
    one_side = level.encoder.receptive_field // 2
    return Figure(audio=curves[0], codes=curves[1], transition=one_side / level.hop)


def _sequences(name: str, symbols: SymbolCorpus) -> Sequences:
    """Training and held-out sequences of at most PROFILED_S each."""
    corpus = symbols.corpus
    if len(corpus.split("valid")):
        sides = [_books(symbols, corpus.split(split)) for split in ("train", "valid")]
    else:  # nothing is held out from the rows, but this figure needs it
        books = _books(symbols, corpus)
        recordings = [recording.id for recording in corpus][: len(books)]
        sides = list(predictability.split(recordings, books))
    return Sequences(
        name=name,
        classes=symbols.symbols,
        rate_hz=symbols.rate_hz,
        training=tuple(sides[0]),
        held_out=tuple(sides[1]),
    )


def _books(symbols: SymbolCorpus, corpus: Corpus) -> Sequence[np.ndarray]:
    """Symbols of recordings, one codebook each, until there is enough."""
    books, left = [], round(PROFILED_S * symbols.rate_hz)
    for recording in corpus:
        books.append(symbols.read(recording)[None, :left])
        left -= books[-1].shape[1]
        if left <= 0:
            break
    return books
