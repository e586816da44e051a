"""Embedded clips as one set: what the distances of sets (`fad`, `kid`) are computed on.

Conventions
    patches      (patches, dim) of one clip: what an embedding makes of it
    item         what is independent of the rest: a recording; clips of one recording are alike
    recordings   for every clip the recording it is from; None: every clip is from its own

A set is split and resampled by items, never by patches: patches of one clip are near to each other,
and counting them as independent makes every interval too narrow.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ritornello.errors import DataError

LEAST_ITEMS = 8
"""Fewest items that can be halved, and the halves halved, and still have a spread."""

FEW_PATCHES = 1000

HALVES = 40
"""How many halves of both sets tell the spread of a distance."""

Patches = Float[np.ndarray, "_patches _dim"]
Recordings = Sequence[Hashable] | None


@dataclass(frozen=True, kw_only=True)
class PatchSet:
    """All patches of a set of clips.

    Attributes:
        values: All patches in float64, those of an item in a row.
        item: Which item each patch is from, 0 .. items - 1, rising.
        items: Number of independent items.
    """

    values: Float[np.ndarray, "patches dim"]
    item: Int[np.ndarray, " patches"]
    items: int

    @property
    def dim(self) -> int:
        """Size of the embedding."""
        return self.values.shape[1]

    def of_items(self, chosen: Int[np.ndarray, " _items"]) -> Float[np.ndarray, "_patches dim"]:
        """All patches of some items, each of them taken once."""
        is_chosen = np.zeros(self.items, dtype=bool)
        is_chosen[chosen] = True
        return self.values[is_chosen[self.item]]


def pooled(clips: list[Patches], recordings: Recordings = None) -> PatchSet:
    """The patches of all clips as one set.

    Fewer recordings than LEAST_ITEMS cannot be split; then every clip counts as an item, which
    `warnings` tells.

    Raises:
        DataError: As `validate`.
    """
    validate(clips, recordings)
    return gathered(clips, recordings)


def gathered(clips: Sequence[Patches], recordings: Recordings = None) -> PatchSet:
    """As `pooled`, of clips that were validated by other rules."""
    names = item_numbers(len(clips), recordings)
    order = np.argsort(names, kind="stable").tolist()
    return PatchSet(
        values=np.concatenate([clips[index] for index in order]).astype(np.float64),
        item=np.repeat([names[index] for index in order], [len(clips[index]) for index in order]),
        items=max(names) + 1,
    )


def item_numbers(clips: int, recordings: Recordings = None) -> list[int]:
    """For every clip the number of its item: its recording, or the clip if those are too few."""
    if recordings is None or _too_few(recordings):
        return list(range(clips))
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(name, len(numbers)) for name in recordings]


def halves(
    one: PatchSet, other: PatchSet, draw: np.random.Generator
) -> Iterator[tuple[Int[np.ndarray, " _items"], Int[np.ndarray, " _others"]]]:
    """Random halves of the items of both sets, HALVES times, drawn without replacement.

    The spread of a distance over them is about that over fresh sets of the whole size; see `fad`.
    """
    for _ in range(HALVES):
        yield (
            draw.permutation(one.items)[: one.items // 2],
            draw.permutation(other.items)[: other.items // 2],
        )


def validate(clips: list[Patches], recordings: Recordings = None) -> None:
    """Refuse what is no set of embedded clips, or too small a one.

    Raises:
        DataError: Too few clips, a clip without patches or with other dimensions, NaN or infinity,
            or another number of recordings than of clips.
    """
    if len(clips) < LEAST_ITEMS:
        raise DataError(
            f"got {len(clips)} clip{'' if len(clips) == 1 else 's'}; expected {LEAST_ITEMS} or "
            "more in each set: a distance of sets says nothing on fewer. Take more, or shorter, "
            "clips."
        )
    if recordings is not None and len(recordings) != len(clips):
        raise DataError(
            f"got {len(recordings)} recordings for {len(clips)} clips; expected one for each"
        )
    dim = clips[0].shape[1]
    for index, clip in enumerate(clips):
        if clip.shape[1] != dim:
            raise DataError(
                f"clip {index} has {clip.shape[1]} dimensions; expected {dim} as clip 0"
            )
        if not len(clip):
            raise DataError(f"clip {index} has no patches; expected clips of a patch or longer")
        if not np.isfinite(clip).all():
            raise DataError(f"clip {index} holds NaN or infinity; expected finite patches")


def validate_pair(generated: PatchSet, reference: PatchSet) -> None:
    """Refuse sets of different embeddings.

    Raises:
        DataError: Different dimensions.
    """
    if generated.dim != reference.dim:
        raise DataError(
            f"generated patches have {generated.dim} dimensions, reference patches "
            f"{reference.dim}; expected the same embedding for both"
        )


def warnings(name: str, clips: list[Patches], recordings: Recordings = None) -> list[str]:
    """What a reader of figures on this set should know; `name` is what the set is called."""
    told = few_recordings(name, recordings)
    patches = sum(len(clip) for clip in clips)
    if patches < FEW_PATCHES:
        told.append(f"{name}: {patches} patches; figures are steady from about {FEW_PATCHES} on")
    return told


def warnings_of_pair(
    generated: list[Patches],
    reference: list[Patches],
    *,
    generated_recordings: Recordings = None,
    reference_recordings: Recordings = None,
) -> list[str]:
    """What a reader of figures on these two sets should know; empty if nothing.

    Raises:
        DataError: Sets that cannot be pooled, or are of different embeddings.
    """
    validate_pair(pooled(generated, generated_recordings), pooled(reference, reference_recordings))
    return [
        *warnings("generated", generated, generated_recordings),
        *warnings("reference", reference, reference_recordings),
    ]


def few_recordings(name: str, recordings: Recordings) -> list[str]:
    """That a set has too few recordings to be split by them, if so."""
    if not _too_few(recordings):
        return []
    return [
        f"{name}: {len(set(recordings or ()))} recordings only, so that every clip counts as "
        "independent: the intervals are too narrow and the null is too near"
    ]


def _too_few(recordings: Recordings) -> bool:
    return recordings is not None and len(set(recordings)) < LEAST_ITEMS
