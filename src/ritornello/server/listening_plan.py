"""The plan of a listening test: its clips, and what each listener hears in which order.

A test has `positions` clips of every system: position 3 of one system is judged beside
position 3 of the others. Two systems are hidden among those compared: the reference (real music)
and the anchor (the reference low-passed), as in ITU-R BS.1534.

Sessions are computed from the plan's seed and the listener's number alone. Listeners take positions
in turn, so that after enough of them every clip was heard equally often; each hears every system
equally often, never twice in a row where that can be avoided.
"""

import math
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np

from ritornello.config import from_json
from ritornello.errors import ConfigError, DataError

PLAN_FILE, CLIP_FOLDER, VOLUME_CLIP = "plan.json", "clips", "volume"
REFERENCE, ANCHOR = "reference", "anchor"
SCALES = ("fidelity", "musicality", "overall")
VERSION = 1

Kind = Literal["rate", "pair"]


@dataclass(frozen=True, kw_only=True)
class PlannedClip:
    """One sound file of the test and where it is from.

    Attributes:
        id: Its meaningless name, which is also the file's.
        system: Whose clip it is.
        position: Number within the system.
        source: File it was cut from.
        start_s: Where in the source it begins.
        gain_db: Gain that brought it to the common loudness.
    """

    id: str
    system: str
    position: int
    source: str
    start_s: float
    gain_db: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A listening test.

    Attributes:
        version: Version of this format.
        id: Tells tests apart in a browser's memory.
        seed: Decides clips, names and sessions.
        seconds: Length of every clip.
        loudness_lufs: Integrated loudness of every clip.
        systems: Names compared, REFERENCE and ANCHOR last.
        targets: What each of `systems` was made from.
        positions: Clips per system.
        per_listener: Positions that one listener rates, of every system.
        pairs: Comparisons that one listener makes.
        clips: All sound files.
    """

    version: int = VERSION
    id: str
    seed: int
    seconds: float
    loudness_lufs: float
    systems: tuple[str, ...]
    targets: tuple[str, ...]
    positions: int
    per_listener: int
    pairs: int
    clips: tuple[PlannedClip, ...]

    def __post_init__(self) -> None:
        """Refuse a plan that has another version or lacks clips."""
        if self.version != VERSION:
            raise ConfigError(f"the test's version is {self.version}; this one reads {VERSION}")
        have = {(clip.system, clip.position) for clip in self.clips}
        need = {(name, place) for name in self.systems for place in range(self.positions)}
        if have != need or len({clip.id for clip in self.clips}) != len(need):
            raise ConfigError(
                f"the test has {len(self.clips)} clips; expected one per system and position, "
                f"{len(need)}"
            )

    def clip(self, system: str, position: int) -> PlannedClip:
        """The clip of `system` at `position`."""
        return next(c for c in self.clips if (c.system, c.position) == (system, position))


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One page: a clip to rate, or two to choose from (left, right)."""

    kind: Kind
    clips: tuple[str, ...]


def load_plan(folder: Path) -> Plan:
    """The plan of the test in `folder`.

    Raises:
        DataError: There is no test.
        ConfigError: The plan is not one.
    """
    path = folder / PLAN_FILE
    if not path.is_file():
        raise DataError(
            f"{folder} is no listening test: it has no {PLAN_FILE}. Make one with "
            f"`ritornello listen new A B --reference DIR -o {folder}`"
        )
    return from_json(Plan, path.read_text(encoding="utf-8"))


def compared_pairs(systems: int, positions: int) -> int:
    """How many different comparisons there are: every two systems but the anchor, per position.

    Args:
        systems: Number of systems, reference and anchor among them.
        positions: Clips per system.
    """
    return math.comb(systems - 1, 2) * positions


def session(plan: Plan, number: int) -> list[Trial]:
    """The pages of listener `number` (0, 1, ...): ratings first, then comparisons."""
    draw = np.random.default_rng([plan.seed, 1, number])
    return [*_rating_trials(plan, number, draw), *_pair_trials(plan, number, draw)]


def _rating_trials(plan: Plan, number: int, draw: np.random.Generator) -> list[Trial]:
    """Every system at the listener's positions, in blocks that hold each system once.

    Within a block the systems are at different positions where there are enough of them.
    """
    order = np.random.default_rng([plan.seed, 2]).permutation(plan.positions)
    turn = (number * plan.per_listener + np.arange(plan.per_listener)) % plan.positions
    positions = draw.permutation(order[turn])
    shifts = draw.permutation(len(plan.systems))
    heard: list[tuple[str, int]] = []
    for block in range(plan.per_listener):
        entries = [
            (name, int(positions[(block + shift) % plan.per_listener]))
            for name, shift in zip(plan.systems, shifts, strict=True)
        ]
        heard += _unlike_before(entries, heard[-1:], draw)
    return [Trial(kind="rate", clips=(plan.clip(*entry).id,)) for entry in heard]


def _unlike_before(
    entries: list[tuple[str, int]], before: list[tuple[str, int]], draw: np.random.Generator
) -> list[tuple[str, int]]:
    """`entries` shuffled, neither the system nor the position of the first one just heard."""
    shuffled = [entries[index] for index in draw.permutation(len(entries))]
    fresh = [
        index
        for index, (system, position) in enumerate(shuffled)
        if all(system != last[0] and position != last[1] for last in before)
    ]
    first = fresh[0] if fresh else 0
    return [shuffled[first], *shuffled[:first], *shuffled[first + 1 :]]


def _pair_trials(plan: Plan, number: int, draw: np.random.Generator) -> list[Trial]:
    """The listener's share of all comparisons, every two systems equally often, sides balanced."""
    shared = np.random.default_rng([plan.seed, 3])
    names = [name for name in plan.systems if name != ANCHOR]
    kinds = list(combinations(names, 2))
    places = [shared.permutation(plan.positions) for _ in kinds]
    every = [
        (*kinds[kind], int(places[kind][turn]))
        for turn in range(plan.positions)
        for kind in shared.permutation(len(kinds))
    ]
    own = [every[(number * plan.pairs + turn) % len(every)] for turn in range(plan.pairs)]
    swapped = draw.permutation(np.arange(len(own)) % 2)
    trials = []
    for index in draw.permutation(len(own)):
        first, second, position = own[index]
        sides = (second, first) if swapped[index] else (first, second)
        clips = tuple(plan.clip(name, position).id for name in sides)
        trials.append(Trial(kind="pair", clips=clips))
    return trials
