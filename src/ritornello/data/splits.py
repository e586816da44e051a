"""Which recordings are held out: by work, never by excerpt, and stable when files are added.

The rule. Every recording has a split key: its side-car's `work`, or else its path without suffix
(so `song.flac` and `song.mp3` side by side are one piece). Recordings that share a key, or whose
decoded audio is identical, form a group, and a group never straddles two splits. A group's place
in [0, 1) is a hash of its key; places below `valid` are validation, the next `test` are test, the
rest train. Then, so that small folders work too:

- with two groups or more there is validation: if no place is below `valid`, the lowest one serves;
- training is never empty: if no group is left, the highest place serves.

Stability. A hash does not depend on the other files, so in a folder of two works or more what was
trained on stays in training when files are added. (One such folder in 400 meets the second
exception; the first file added then ends it.) The other way goes at most one group: the stand-in
for validation in a small folder, when an added file has a lower place. A folder of a single work
has no validation; the second work may find itself on either side.

A side-car's own `"split"` decides for its whole group.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ritornello.errors import ConfigError, DataError

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, kw_only=True)
class Member:
    """What the split rule knows of a recording.

    Attributes:
        name: How messages call it.
        key: The work, or the path without suffix.
        audio: Hash of the decoded audio.
        wanted: The split its side-car asks for, if any.
    """

    name: str
    key: str
    audio: str
    wanted: str | None = None


def place(key: str) -> float:
    """The fixed pseudo-random place of `key` in [0, 1)."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def assign(members: Sequence[Member], *, valid: float = 0.05, test: float = 0.0) -> list[str]:
    """The split of each member, by the rule above.

    Raises:
        ConfigError: The fractions are negative or leave nothing to train on.
        DataError: Side-cars of one group ask for different splits.
    """
    if valid < 0 or test < 0 or valid + test >= 1:
        raise ConfigError(
            f"valid is {valid} and test is {test}; expected fractions >= 0 with a sum below 1"
        )
    group_of = _groups(members)
    places: dict[int, float] = {}
    wanted: dict[int, Member] = {}
    for group, member in zip(group_of, members, strict=True):
        # The highest place of its keys: a group that grows can only move towards training.
        places[group] = max(places.get(group, 0.0), place(member.key))
        if member.wanted is not None:
            other = wanted.setdefault(group, member)
            if other.wanted != member.wanted:
                raise DataError(
                    f"{other.name} asks for split {other.wanted!r} and {member.name} for "
                    f"{member.wanted!r}, but they are the same work or the same audio. "
                    "Give both side-cars one split."
                )
    asked = {group: str(member.wanted) for group, member in wanted.items()}
    free = {group: where for group, where in places.items() if group not in asked}
    splits = asked | _by_place(free, set(asked.values()), valid=valid, test=test)
    return [splits[group] for group in group_of]


def _by_place(
    places: dict[int, float], asked: set[str], *, valid: float, test: float
) -> dict[int, str]:
    """Splits of the groups that nobody asked about; `asked` are the splits that have members."""
    splits = {
        group: "valid" if where < valid else "test" if where < valid + test else "train"
        for group, where in places.items()
    }
    have = asked | set(splits.values())
    several = len(places) + bool(asked) >= 2
    if several and valid > 0 and "valid" not in have and places:
        splits[min(places, key=places.__getitem__)] = "valid"
    if "train" not in asked | set(splits.values()) and places:
        splits[max(places, key=places.__getitem__)] = "train"
    return splits


def _groups(members: Iterable[Member]) -> list[int]:
    """The group of each member: the connected parts of "same key" and "same audio"."""
    parent: list[int] = []
    first: dict[tuple[str, str], int] = {}

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for index, member in enumerate(members):
        parent.append(index)
        for token in (("key", member.key), ("audio", member.audio)):
            parent[root(index)] = root(first.setdefault(token, index))
    return [root(index) for index in range(len(parent))]
