"""Public-domain keyboard music from music21's corpus, for machines without a folder of MIDI.

Only scores written for a keyboard, or published for one (Bach's four-part chorales, as his son
edited them), and only composers who died more than a century ago.
"""

import csv
import os
from dataclasses import dataclass
from pathlib import Path

from ritornello.errors import DataError, MissingDependencyError

CHORALE_QUARTERS_PER_MINUTE = 76.0  # the corpus gives chorales no tempo
LICENCE = "public domain (score from music21's corpus)"


@dataclass(frozen=True, kw_only=True)
class CorpusWork:
    """A score of the corpus: music21's name for it, and what it is."""

    name: str
    composer: str
    work: str
    title: str
    quarters_per_minute: float | None = None


_CHORALES = tuple(
    CorpusWork(
        name=f"bach/bwv{number}",
        composer="Bach",
        work=f"BWV {number}",
        title=f"Chorale BWV {number}",
        quarters_per_minute=CHORALE_QUARTERS_PER_MINUTE,
    )
    for number in range(253, 283)
)
KEYBOARD_WORKS = (
    CorpusWork(
        name="bach/bwv846", composer="Bach", work="BWV 846", title="Prelude and Fugue in C major"
    ),
    CorpusWork(
        name="cpebach/h186", composer="Bach CPE", work="H 186", title="Solfeggio from Sonata H 186"
    ),
    CorpusWork(
        name="mozart/k545/movement1_exposition",
        composer="Mozart",
        work="K 545",
        title="Sonata K 545, exposition of the first movement",
    ),
    *(
        CorpusWork(
            name=f"schumann_clara/polonaise_op1n{number}",
            composer="Schumann Clara",
            work="Op 1",
            title=f"Polonaise Op 1 No {number}",
        )
        for number in range(1, 5)
    ),
    CorpusWork(
        name="joplin/maple_leaf_rag",
        composer="Joplin",
        work="Maple Leaf Rag",
        title="Maple Leaf Rag",
    ),
    *_CHORALES,
)


def write_corpus_works(folder: Path, works: tuple[CorpusWork, ...] = KEYBOARD_WORKS) -> None:
    """Write `works` as MIDI files with an index into `folder`; those already there are kept.

    Repeats are not taken: several of the scores have repeat signs that music21 cannot expand.

    Raises:
        MissingDependencyError: music21 is not installed.
        DataError: music21's corpus lacks one of the works.
    """
    try:
        from music21 import bar, corpus, tempo
    except ImportError as error:
        raise MissingDependencyError(
            "the piano recipe without --midi", "music21", "pip install 'ritornello[data]'"
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for work in works:
        path = folder / f"{work.name.replace('/', '-')}.mid"
        if not path.is_file():
            try:
                score = corpus.parse(work.name)
            except Exception as error:  # music21's own error classes differ between versions
                raise DataError(f"music21's corpus has no readable {work.name}: {error}") from error
            if work.quarters_per_minute is not None:
                score.insert(0, tempo.MetronomeMark(number=work.quarters_per_minute))
            for sign in list(score.recurse().getElementsByClass(bar.Repeat)):
                score.remove(sign, recurse=True)
            part = path.with_suffix(".part")
            score.write("midi", fp=str(part))
            os.replace(part, path)
        rows.append((path.name, work.composer, work.work, work.title, "music21 corpus", LICENCE))
    with (folder / "index.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "composer", "work", "title", "source", "licence"))
        writer.writerows(rows)
