"""What stems are called: the categories, and the many words that musicians have for them.

Categories are the sixteen families of General MIDI, drums and voice (the 18 rows that StemGen's
table has, section 3.1), and roles that a stem can have whatever plays it: chords, melody, arpeggio,
pads, other. Names of files, tracks and requests are mapped to them by the table below; words are
compared in lower case, without numbers.
"""

import re
from collections.abc import Sequence

from ritornello.config import nearest
from ritornello.errors import ConfigError

FAMILIES = (
    "piano",
    "chromatic percussion",
    "organ",
    "guitar",
    "bass",
    "strings",
    "ensemble",
    "brass",
    "reed",
    "pipe",
    "synth lead",
    "synth pad",
    "synth effects",
    "ethnic",
    "percussive",
    "sound effects",
)
"""General MIDI's families of instruments, eight programs each, in order of program."""

INSTRUMENTS = (*FAMILIES, "drums", "voice")
ROLES = ("chords", "melody", "arpeggio", "pads", "other")
CATEGORIES = (*INSTRUMENTS, *ROLES)

# Of each word's categories the first that is known counts: keys are a piano, or else the chords.
SYNONYMS: dict[str, tuple[str, ...]] = {
    word: categories
    for words, categories in (
        ("piano|keys|keyboard|e piano|electric piano|rhodes|wurlitzer", ("piano", "chords")),
        ("harpsichord|clavinet|clav", ("piano", "chords")),
        ("chromatic percussion|mallets|vibraphone|vibes|marimba", ("chromatic percussion",)),
        ("xylophone|glockenspiel|celesta|music box", ("chromatic percussion",)),
        ("organ|hammond|accordion|harmonica", ("organ", "chords")),
        ("guitar|gtr|e gtr|a gtr|egtr|agtr|git|banjo|ukulele", ("guitar",)),
        ("electric guitar|acoustic guitar|rhythm guitar|lead guitar", ("guitar",)),
        ("bass|bass guitar|bass gtr|bass line|bassline|e bass|synth bass|sub", ("bass",)),
        ("sub bass|upright bass|double bass|contrabass", ("bass",)),
        ("strings|string|violin|viola|cello|fiddle|harp", ("strings", "ensemble", "pads")),
        ("ensemble|string ensemble|orchestra|strings continued", ("ensemble", "strings", "pads")),
        ("brass|horns|horn|trumpet|trombone|tuba", ("brass",)),
        ("reed|sax|saxophone|clarinet|oboe|bassoon|woodwind|winds", ("reed",)),
        ("pipe|flute|recorder|piccolo|whistle|ocarina", ("pipe",)),
        ("synth lead|lead synth", ("synth lead", "melody")),
        ("synth|synthesizer|synths", ("synth lead", "melody", "chords")),
        ("synth pad|pad", ("synth pad", "pads")),
        ("pads", ("pads", "synth pad")),
        ("synth effects|synth fx", ("synth effects",)),
        ("ethnic|sitar|koto|kalimba|bagpipe", ("ethnic",)),
        ("percussive", ("percussive", "drums")),
        ("sound effects|sfx|fx|effects|foley", ("sound effects",)),
        ("drums|drum|drum kit|drumkit|drum loop|kit|beat|beats", ("drums",)),
        ("percussion|perc|kick|kick drum|bass drum|snare|snare drum", ("drums",)),
        ("hat|hi hat|hihat|hh|cymbal|overhead|oh|tom|clap|shaker|tambourine", ("drums",)),
        ("conga|bongo|cowbell|ride|crash", ("drums",)),
        ("voice|vocal|vox|singing|singer|choir|rap|backing vocal", ("voice",)),
        ("lead vocal|lead vox|bv|bvs", ("voice",)),
        ("chords|chord|comp|comping|harmony", ("chords",)),
        ("melody|lead|theme|tune|solo", ("melody", "synth lead")),
        ("arpeggio|arp|sequence", ("arpeggio",)),
        ("other|others|backing|accompaniment|rest|misc|instrumental", ("other",)),
    )
    for word in words.split("|")
}

MIXES = frozenset(
    {"mix", "mixture", "mixdown", "master", "full", "full mix", "final mix", "stereo mix"}
    | {"preview", "rough mix"}
)
"""Names of files that hold all stems together, and are thus none."""


def category_of_name(name: str, known: Sequence[str] = CATEGORIES) -> str | None:
    """The category that the words of `name` say, e.g. of "03 Lead Vox"; None if they say none.

    Of several the longest term counts ("bass drum" before "bass"), then the last ("song for a
    guitar - drums").
    """
    words = _words(name)
    for size in range(min(3, len(words)), 0, -1):
        for start in range(len(words) - size, -1, -1):
            term = " ".join(words[start : start + size])
            for category in _candidates(term):
                if category in known:
                    return category
    return None


def category_of_program(program: int) -> str:
    """The family of a General MIDI program, counted from 0.

    Raises:
        ConfigError: There is no such program.
    """
    if not 0 <= program < 8 * len(FAMILIES):
        raise ConfigError(f"program is {program}; expected 0 .. {8 * len(FAMILIES) - 1}")
    return FAMILIES[program // 8]


def resolve_category(name: str, known: Sequence[str]) -> str:
    """The member of `known` that is meant by `name`: itself, or else what it is a synonym of.

    Raises:
        ConfigError: There is none; names the nearest.
    """
    by_lower = {category.lower(): category for category in known}
    if (exact := name.strip().lower()) in by_lower:
        return by_lower[exact]
    for category in _candidates(" ".join(_words(name))):
        if category in known:
            return category
    raise ConfigError(f"there is no stem {name!r} here: {_hint(name, known)}")


def is_mix(name: str) -> bool:
    """Whether a file of this name (without suffix) holds all stems together."""
    return " ".join(_words(name)) in MIXES


def _hint(name: str, known: Sequence[str]) -> str:
    listed = ", ".join(known) if known else "none at all"
    close = nearest(name, known)
    return f"{close} Known are {listed}." if close.startswith("did you") else f"known are {listed}"


def _candidates(term: str) -> tuple[str, ...]:
    """Categories that a term may stand for, in order; singular and plural are one."""
    for form in (term, f"{term}s", term.removesuffix("s")):
        if form in SYNONYMS:
            return SYNONYMS[form]
    return ()


def _words(name: str) -> list[str]:
    """Its words in lower case, without numbers."""
    return re.findall(r"[^\W\d_]+", name.lower())
