"""What is heard of one set of clips, each kind when it is first asked for and then kept.

Many sets are judged by one reference; to hear it again for each of them would cost most of the
time. Clips are read one at a time and only what was heard of them stays in memory.

    measured     features, level, bandwidth, pace and width, at a sample rate
    patches      points in an embedding's space
    described    notes, keys, chords and beats
    over_time    structure and stability, of long pieces
"""

from pathlib import Path
from typing import TYPE_CHECKING

from ritornello.evaluation.clips import ClipSet
from ritornello.evaluation.embedding import Embedding, embed_clips
from ritornello.evaluation.patches import Patches
from ritornello.evaluation.sets import Heard, Progress, hear_all, tell

if TYPE_CHECKING:
    from ritornello.evaluation.descriptors import Descriptors
    from ritornello.evaluation.long_pieces import HeardPiece


class Hearing:
    """A set of clips and what was heard of it so far.

    Args:
        clips: The set.
        what: "generated" or "reference".
    """

    def __init__(self, clips: ClipSet, what: str) -> None:
        self.clips = clips
        self.what = what
        self._measured: dict[int, list[Heard]] = {}
        self._patches: dict[str, list[Patches]] = {}
        self._described: list[Descriptors] | None = None
        self._over_time: list[HeardPiece] | None = None

    def measured(self, sample_rate: int, progress: Progress | None = None) -> list[Heard]:
        """Everything made by hand of every clip, at `sample_rate`.

        Raises:
            AudioError: A clip cannot be read.
        """
        if sample_rate not in self._measured:
            self._measured[sample_rate] = hear_all(self.clips, self.what, sample_rate, progress)
        return self._measured[sample_rate]

    def patches(
        self, embedding: Embedding, cache: Path | None = None, progress: Progress | None = None
    ) -> list[Patches]:
        """The patches of every clip; `cache` is a folder, as of `embed_clips`.

        Raises:
            AudioError: A clip cannot be read or embedded.
        """
        if embedding.key not in self._patches:
            self._patches[embedding.key] = embed_clips(
                self.clips, embedding, cache=cache, progress=progress
            )
        return self._patches[embedding.key]

    def described(self, progress: Progress | None = None) -> "list[Descriptors]":
        """What a listener could write down of every clip.

        Raises:
            AudioError: A clip cannot be read.
        """
        from ritornello.evaluation import descriptors

        if self._described is None:
            found = []
            for number, clip in enumerate(self.clips):
                doing = f"notes and chords of the {self.what} clips"
                tell(progress, number, len(self.clips), doing)
                audio = clip.read()
                found.append(descriptors.describe(audio.samples, audio.sample_rate))
            self._described = found
        return self._described

    def over_time(self, progress: Progress | None = None) -> "list[HeardPiece]":
        """Structure and stability of every clip, which are long pieces here.

        Raises:
            AudioError: A clip cannot be read.
        """
        from ritornello.evaluation.long_pieces import hear_long

        if self._over_time is None:
            self._over_time = hear_long(self.clips, self.what, progress)
        return self._over_time
