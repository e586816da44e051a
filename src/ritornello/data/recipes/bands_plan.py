"""What a band plays: the plan of one song, drawn from a seed and its number.

groove -> tempo, key, form -> chords and melody of each letter -> instruments, entrances, room
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ritornello.data.recipes.bands_grooves import CATEGORIES, FAMILIES, Family, Groove
from ritornello.data.recipes.bands_melody import Manner, MelodyNote, draw_melody
from ritornello.data.recipes.bands_theory import Bar, Key, draw_bars, draw_form
from ritornello.data.recipes.render import Room, draw_room

DURATION_S = (40.0, 75.0)
LATE_ENTRANCE = 0.3
"""Chance that one category rests through the first section."""
LATE_CATEGORIES = ("drums", "chords", "arpeggio", "melody")
TIMBRES = 3
"""Instruments drawn per category: a groove may have several tracks of one."""
# The middle of a melody's compass by General MIDI program; other instruments play around C5.
LOW_MELODIES = {22: 67, 24: 67, 25: 67, 27: 67, 29: 67, 30: 67, 66: 64, 105: 67}
MELODY_MIDDLE = 72


@dataclass(frozen=True, kw_only=True)
class Section:
    """The music of one letter of the form."""

    letter: str
    groove: str
    bars: tuple[Bar, ...]
    melody: tuple[MelodyNote, ...]
    seed: int


@dataclass(frozen=True, kw_only=True)
class SongPlan:
    """All that decides how a song sounds, but for the sound font and the rate.

    Attributes:
        id: Name of its folder.
        groove: What accompanies.
        key: Of the whole song.
        bpm: Quarter notes a minute.
        form: Letters of the sections, in playing order.
        sections: One per letter.
        programs: General MIDI programs by category, for the first, second, ... track of it.
        enters: The section in which each category begins.
        levels_db: By category, against its usual level.
        room: Around all stems.
        seed: Of the recipe.
        number: Of the song.
    """

    id: str
    groove: Groove
    key: Key
    bpm: float
    form: str
    sections: dict[str, Section]
    programs: dict[str, tuple[int, ...]]
    enters: dict[str, int]
    levels_db: dict[str, float]
    room: Room
    seed: int
    number: int

    @property
    def family(self) -> Family:
        """The groove's family."""
        return FAMILIES[self.groove.family]

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.family.name.capitalize()} in {self.key}, no. {self.number}"

    @property
    def beat_s(self) -> float:
        """Seconds of a quarter note."""
        return 60.0 / self.bpm

    @property
    def bars(self) -> int:
        """Bars of the whole song."""
        return sum(len(self.sections[letter].bars) for letter in self.form)

    @property
    def starts_s(self) -> tuple[float, ...]:
        """When each section of the form begins, and when the last one ends."""
        beats = self.groove.beats_per_bar
        counts = [len(self.sections[letter].bars) * beats for letter in self.form]
        return tuple(float(at) * self.beat_s for at in np.cumsum([0, *counts]))

    @property
    def seconds(self) -> float:
        """From the first beat to the end of the last bar."""
        return self.starts_s[-1]

    def chord_names(self, letter: str) -> list[str]:
        """The chords of a section, a text per bar; "/" holds a chord for another beat."""
        names = self.key.names
        held = " /" * (self.groove.beats_per_bar // 2 - 1)
        return [
            " ".join(f"{names[chord.root]}{chord.quality}{held * (len(bar) - 1)}" for chord in bar)
            for bar in self.sections[letter].bars
        ]


def generator(seed: int, number: int, purpose: int) -> np.random.Generator:
    """The generator of one decision about one song, the same on every run and machine."""
    return np.random.default_rng([seed, number, purpose])


def draw_plan(seed: int, number: int, grooves: Sequence[Groove]) -> SongPlan:
    """The song with this number; grooves take turns in an order that is drawn anew each round."""
    turn, place = divmod(number, len(grooves))
    order = np.random.default_rng([seed, turn]).permutation(len(grooves))
    groove = grooves[int(order[place])]
    family = FAMILIES[groove.family]
    draw = generator(seed, number, 0)
    slowest, fastest = np.log(groove.bpm)
    bpm = round(float(np.exp(draw.uniform(slowest, fastest))), 1)
    key = Key(tonic=int(draw.integers(12)), minor=bool(draw.random() < family.minor))
    bar_s = groove.beats_per_bar * 60.0 / bpm
    form, lengths = draw_form(family.harmony, bar_s, DURATION_S, draw)
    programs = {
        category: tuple(int(one) for one in draw.permutation(family.programs[category])[:TIMBRES])
        for category in CATEGORIES
    }
    melody_program = programs["melody"][0]
    manner = Manner(
        middle=LOW_MELODIES.get(melody_program, MELODY_MIDDLE) + int(draw.integers(-2, 3)),
        density=float(np.clip(family.density + draw.uniform(-0.2, 0.2), 0, 1)),
        swing=family.swing,
    )
    sections = {
        letter: _draw_section(letter, bars, form, key, groove, manner, draw)
        for letter, bars in lengths.items()
    }
    late = (
        LATE_CATEGORIES[int(draw.integers(len(LATE_CATEGORIES)))]
        if draw.random() < LATE_ENTRANCE
        else None
    )
    return SongPlan(
        id=f"{seed}-{number:05d}-{family.name}",
        groove=groove,
        key=key,
        bpm=bpm,
        form=form,
        sections=sections,
        programs=programs,
        enters={category: int(category == late) for category in CATEGORIES},
        levels_db={category: float(draw.uniform(-2, 2)) for category in CATEGORIES},
        room=draw_room(draw),
        seed=seed,
        number=number,
    )


def _draw_section(
    letter: str,
    count: int,
    form: str,
    key: Key,
    groove: Groove,
    manner: Manner,
    draw: np.random.Generator,
) -> Section:
    """Chords and melody of one letter."""
    followers = {form[at + 1 : at + 2] for at, one in enumerate(form) if one == letter}
    bars = draw_bars(
        key,
        FAMILIES[groove.family].harmony,
        letter,
        count,
        beats_per_bar=groove.beats_per_bar,
        returns=letter != "A" and followers == {"A"},
        draw=draw,
    )
    return Section(
        letter=letter,
        groove=groove.verse if letter == "A" else groove.chorus,
        bars=bars,
        melody=draw_melody(bars, key, manner, groove.beats_per_bar, draw),
        seed=int(draw.integers(1, 2**31)),
    )
