"""The grooves that the bands recipe plays, family by family, and the instruments of each family.

A groove is a pattern of MMA's standard library: a verse and a variant of it for the chorus. Each
one here has drums, a bass and at least one track of chords, and keeps one metre and one tempo. The
instruments are numbers of General MIDI programs (from 0); a few per category and family, so that
a listener meets several timbres and each of them often.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Harmony = Literal["triads", "sevenths", "loops", "blues"]

CATEGORIES = ("drums", "bass", "chords", "arpeggio", "pads", "melody")


@dataclass(frozen=True, kw_only=True)
class Family:
    """What the grooves of one family share.

    Attributes:
        name: The genre.
        harmony: How its chords move.
        minor: Chance of a minor key.
        swing: Where in a beat the off-beat quaver of the melody falls, 0.5 to 0.7.
        density: How many notes a melody has; 0 holds them long, 1 is busy.
        programs: By category, the General MIDI programs to draw from; those of "drums" are kits.
    """

    name: str
    harmony: Harmony
    minor: float
    swing: float
    density: float
    programs: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Groove:
    """One accompaniment.

    Attributes:
        verse: MMA's name of it.
        chorus: Its variant for choruses.
        family: Name of its family.
        bpm: Lowest and highest tempo, quarter notes a minute.
        beats_per_bar: Quarter notes in a bar.
    """

    verse: str
    chorus: str
    family: str
    bpm: tuple[float, float]
    beats_per_bar: int = 4


def _family(
    name: str,
    feel: tuple[Harmony, float, float, float],
    *,
    drums: tuple[int, ...],
    bass: tuple[int, ...],
    chords: tuple[int, ...],
    melody: tuple[int, ...],
    arpeggio: tuple[int, ...] = (0, 11, 24, 46),
    pads: tuple[int, ...] = (48, 49, 50, 89),
) -> Family:
    harmony, minor, swing, density = feel
    programs = {
        "drums": drums,
        "bass": bass,
        "chords": chords,
        "melody": melody,
        "arpeggio": arpeggio,
        "pads": pads,
    }
    return Family(
        name=name, harmony=harmony, minor=minor, swing=swing, density=density, programs=programs
    )


FAMILIES = {
    family.name: family
    for family in (
        _family(
            "swing",
            ("sevenths", 0.3, 0.667, 0.6),
            drums=(0, 32, 40),
            bass=(32, 35),
            chords=(0, 4, 16, 26),
            melody=(11, 56, 65, 71),
        ),
        _family(
            "bossa",
            ("sevenths", 0.4, 0.5, 0.5),
            drums=(0, 32, 40),
            bass=(32, 33),
            chords=(0, 4, 24, 26),
            melody=(11, 65, 71, 73),
        ),
        _family(
            "latin",
            ("triads", 0.5, 0.5, 0.6),
            drums=(0, 8),
            bass=(32, 33),
            chords=(0, 1, 24, 26),
            melody=(12, 24, 56, 73),
        ),
        _family(
            "rock",
            ("loops", 0.4, 0.5, 0.5),
            drums=(0, 8, 16),
            bass=(33, 34),
            chords=(0, 16, 27, 29, 30),
            melody=(18, 29, 30, 81),
        ),
        _family(
            "ballad",
            ("triads", 0.4, 0.5, 0.35),
            drums=(0, 8, 40),
            bass=(32, 33, 35),
            chords=(0, 4, 24, 25),
            melody=(0, 40, 68, 73),
        ),
        _family(
            "blues",
            ("blues", 0.0, 0.667, 0.5),
            drums=(0, 8, 32),
            bass=(32, 33),
            chords=(0, 16, 26, 27),
            melody=(22, 27, 56, 66),
        ),
        _family(
            "country",
            ("triads", 0.1, 0.5, 0.6),
            drums=(0, 8, 40),
            bass=(32, 33),
            chords=(0, 24, 25, 26),
            melody=(22, 25, 40, 105),
        ),
        _family(
            "soul",
            ("sevenths", 0.6, 0.5, 0.5),
            drums=(0, 8, 16),
            bass=(33, 34, 35),
            chords=(4, 5, 16, 27),
            melody=(56, 65, 66, 81),
        ),
        _family(
            "dance",
            ("loops", 0.7, 0.5, 0.5),
            drums=(8, 16, 25),
            bass=(33, 38, 39),
            chords=(1, 4, 27, 90),
            melody=(11, 80, 81, 87),
        ),
        _family(
            "waltz",
            ("triads", 0.4, 0.5, 0.45),
            drums=(0, 32, 40),
            bass=(32, 33),
            chords=(0, 21, 24, 26),
            melody=(21, 40, 71, 73),
        ),
        _family(
            "tango",
            ("triads", 0.9, 0.5, 0.5),
            drums=(0, 40),
            bass=(32, 33),
            chords=(0, 21, 23, 24),
            melody=(21, 40, 71),
        ),
        _family(
            "parade",
            ("triads", 0.1, 0.5, 0.5),
            drums=(0, 40),
            bass=(32, 58),
            chords=(0, 21, 26, 61),
            melody=(56, 71, 72, 73),
        ),
    )
}


def _grooves(
    family: str, beats_per_bar: int, *rows: tuple[str, str, float, float]
) -> tuple[Groove, ...]:
    return tuple(
        Groove(
            verse=verse,
            chorus=chorus,
            family=family,
            bpm=(slowest, fastest),
            beats_per_bar=beats_per_bar,
        )
        for verse, chorus, slowest, fastest in rows
    )


GROOVES = (
    *_grooves(
        "swing",
        4,
        ("Swing", "SwingSus", 110, 180),
        ("Swing1", "Swing1Walk", 110, 180),
        ("EasySwing", "EasySwingWalk", 90, 150),
        ("Foxtrot", "FoxtrotSus", 100, 170),
        ("BigBand", "BigBandSus", 110, 180),
        ("ModernJazz", "ModernJazzSus", 100, 180),
        ("JazzCombo", "JazzComboSus", 100, 170),
        ("SlowJazz", "SlowJazzSus", 66, 110),
    ),
    *_grooves(
        "bossa",
        4,
        ("BossaNova", "BossaNovaSus", 100, 160),
        ("BossaNova", "BossaNovaPlus", 100, 160),
        ("JazzRhumba", "JazzRhumbaSus", 90, 140),
        ("Beguine", "BeguineSus", 90, 140),
        ("Samba", "SambaSus", 120, 180),
    ),
    *_grooves(
        "latin",
        4,
        ("ChaCha", "ChaChaSus", 100, 135),
        ("Mambo", "MamboSus", 120, 180),
        ("Salsa", "SalsaSus", 120, 180),
        ("Rhumba", "RhumbaSus", 90, 140),
        ("Son", "SonSus", 100, 160),
        ("Merengue", "MerengueSus", 120, 170),
        ("Calypso", "CalypsoSus", 100, 160),
        ("Bolero", "BoleroSus", 70, 110),
    ),
    *_grooves(
        "rock",
        4,
        ("50sRock", "50sRockSus", 110, 170),
        ("60sRock", "60sRockSus", 100, 160),
        ("8Beat", "8BeatSus", 90, 150),
        ("BasicRock", "BasicRockSus", 90, 150),
        ("BubbleRock", "BubbleRockSus", 90, 150),
        ("SoftRock", "SoftRockSus", 80, 130),
        ("FolkRock", "FolkRockSus", 90, 150),
        ("Twist", "TwistSus", 120, 175),
        ("Ska", "SkaSus", 110, 170),
    ),
    *_grooves(
        "ballad",
        4,
        ("Ballad", "BalladSus", 60, 90),
        ("PopBallad", "PopBalladSus", 60, 95),
        ("Ballad1", "Ballad1Sus", 60, 90),
        ("PopBallad1", "PopBallad2", 66, 100),
        ("RockBallad", "RockBalladVoice", 60, 95),
        ("R&B-Ballad", "R&B-BalladSus", 60, 90),
        ("SlowBolero", "SlowBoleroSus", 66, 100),
    ),
    *_grooves(
        "blues",
        4,
        ("Blues", "BluesSus", 80, 130),
        ("SlowBlues", "SlowBluesSus", 60, 90),
        ("FastBlues", "FastBluesSus", 130, 180),
        ("CountryBlues", "CountryBluesSus", 90, 140),
        ("ShuffleBoggie", "ShuffleBoggieSus", 110, 160),
        ("Jive", "JiveSus", 130, 180),
    ),
    *_grooves(
        "country",
        4,
        ("CountrySwing", "CountrySwingSus", 100, 160),
        ("SlowCountry", "SlowCountrySus", 66, 110),
        ("WesternSwing", "WesternSwingSus", 100, 160),
        ("BlueGrass", "BlueGrassSus", 110, 170),
        ("Zydeco", "ZydecoSus", 110, 160),
        ("HillCountry", "HillCountrySus", 100, 150),
        ("BlueFolk", "BlueFolkSus", 80, 130),
    ),
    *_grooves(
        "soul",
        4,
        ("DSoul", "DSoulSus", 85, 125),
        ("R&B", "R&BSus", 80, 125),
        ("BVFunk", "BVFunkSus", 85, 125),
        ("Strut", "StrutSus", 85, 125),
        ("JazzRock", "JazzRockSus", 90, 140),
        ("LFusion", "LFusionSus", 90, 130),
    ),
    *_grooves(
        "dance",
        4,
        ("Trance", "Trance1", 120, 145),
        ("BoneyM", "BoneyMSus", 105, 135),
        ("8BeatWalk", "8BeatWalkSus", 110, 140),
    ),
    *_grooves(
        "waltz",
        3,
        ("Waltz", "WaltzSus", 90, 165),
        ("JazzWaltz", "JazzWaltzSus", 100, 170),
        ("LatinWaltz", "LatinWaltzSus", 100, 160),
        ("RockWaltz", "RockWaltzSus", 90, 150),
        ("CountryWaltz", "CountryWaltzSus", 90, 150),
        ("FastWaltz", "FastWaltzSus", 130, 180),
    ),
    *_grooves(
        "tango",
        4,
        ("LightTango", "LightTangoSus", 100, 135),
        ("Tango", "TangoClean", 100, 135),
    ),
    *_grooves(
        "parade",
        4,
        ("Polka", "PolkaSus", 110, 150),
        ("QuickStep", "QuickStepSus", 120, 180),
        ("Charleston", "CharlestonSus", 120, 180),
        ("DixieMarch", "DixieMarchSus", 110, 150),
    ),
)
