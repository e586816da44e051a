"""What stems can be asked for at the command line: flags, their values, and mixes with stems."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ritornello.cli.console import VerbParser
from ritornello.errors import ConfigError, MissingDependencyError

if TYPE_CHECKING:
    from ritornello.cli.playing import Order
    from ritornello.interfaces import Audio

STEM_OPTIONS = (
    "edit",
    "variation",
    "keep_onsets",
    "every",
    "loop",
    "bpm",
    "beats_per_bar",
    "activity",
    "candidates",
    "steps",
    "guidance_kind",
    "stem_guidance",
    "ranking",
)
"""Fields of a StemGen's options that flags set."""

ACTIVITIES = {"play": 1, "rest": 0, "1": 1, "0": 0}
ATTACK_FADE_S = 0.001
"""A stem may begin on the beat: that attack is hardly faded in."""

MOST_COMPARED_S = 600.0


def add_stem_flags(parser: VerbParser) -> None:
    """Add how a stem is made."""
    add = parser.add_argument
    add("--bpm", type=float, help="add a click of this tempo to what is heard")
    add("--beats-per-bar", type=int, metavar="N", help="of the click (4)")
    add(
        "--activity",
        type=activity,
        metavar="CURVE",
        help="where the stem plays and rests: 0:play,8:rest, or a CSV file of seconds,0-or-1 rows",
    )
    add("--loop", action="store_true", default=None, help="the stem's end leads into its beginning")
    add("--candidates", type=int, metavar="N", help="make N stems, keep what follows the mix best")
    add("--steps", type=whole_numbers, metavar="N", help="of the first level, or N1,N2,..: 24,12,6")
    add("--guidance-kind", metavar="NAME", help="joint, product or nested")
    add("--stem-guidance", type=float, metavar="W", help="of the stem, --guidance then of the mix")
    add("--ranking", metavar="NAME", help="causal or gumbel")
    add_edit_flags(parser)


def add_edit_flags(parser: VerbParser) -> None:
    """Add what is changed of a stem that there is."""
    add = parser.add_argument
    add("--stem-in", type=Path, metavar="FILE", help="a stem to change; what is not asked stays")
    add("--edit", type=seconds_range, metavar="A:B", help="make second A to B of it anew: 4:8")
    add("--variation", type=float, metavar="SHARE", help="make this share of it anew, 0 to 1")
    add("--keep-onsets", action="store_true", default=None, help="keep its attacks")
    add("--keep-every", dest="every", type=int, metavar="N", help="keep every Nth frame of it")


def seconds_range(text: str) -> tuple[float, float]:
    """Two times from `4:8`."""
    start, colon, stop = text.partition(":")
    try:
        if colon:
            return float(start), float(stop)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"got {text!r}; expected two times in seconds, such as 4:8")


def whole_numbers(text: str) -> tuple[int, ...]:
    """The numbers of `24,12,6,6`."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"got {text!r}; expected whole numbers with commas between, such as 24,12,6,6"
        ) from None


def activity(text: str) -> tuple[tuple[float, int], ...]:
    """(second, 0 or 1) in order from `0:play,8:rest` or from a CSV file.

    Raises:
        ConfigError: Neither of both, or values that are not 0 and 1.
    """
    from ritornello.cli.playing import read_curve

    if ":" not in text or _is_file(text):
        return tuple((at_s, _play_or_rest(f"{value:g}")) for at_s, value in read_curve(Path(text)))
    points = []
    for part in text.split(","):
        at, _, word = part.partition(":")
        try:
            points.append((float(at), _play_or_rest(word.strip())))
        except ValueError:
            raise ConfigError(
                f"--activity got {part!r}; expected seconds:play or seconds:rest, such as "
                "0:play,8:rest"
            ) from None
    return tuple(points)


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:  # longer than names may be: a curve of many points
        return False


def _play_or_rest(word: str) -> int:
    if word not in ACTIVITIES:
        raise ConfigError(f"--activity got {word!r}; expected play (1) or rest (0)")
    return ACTIVITIES[word]


def faded_ends(audio: "Audio", ordered: "Order") -> "Audio":
    """A piece with short fades where it is cut; stems may begin on the beat.

    A loop goes on, and a stem that is edited was faded before.
    """
    from ritornello.audio.io import fade

    if getattr(ordered.options, "loop", False) or "stem_in" in ordered.inputs:
        return audio
    if ordered.request.stem is not None:
        return fade(audio, start_s=ATTACK_FADE_S)
    return fade(audio)


def write_both(path: Path, stem: Path, ordered: "Order", level_lu: float | None) -> dict[str, Any]:
    """Write the mix of an order with the stem made for it; what a user wants to know of the file.

    Args:
        path: Of the mix with the stem.
        stem: The stem's file.
        ordered: What it was made for.
        level_lu: Loudness of the stem against the mix; None for the usual.
    """
    from ritornello.audio.mapped import read_mapped
    from ritornello.audio.mixing import STEM_LEVEL_LU, Layer, matched_gain_db, write_mixdown

    mix, made = ordered.request.mix, read_mapped(stem)
    assert mix is not None
    gain_db = matched_gain_db(mix, made, STEM_LEVEL_LU if level_lu is None else level_lu)
    loop = getattr(ordered.options, "loop", False)
    meta = {**ordered.record("mixdown", {}), "stem_gain_db": round(gain_db, 3)}
    report = write_mixdown(path, mix, [Layer(audio=made, gain_db=gain_db, loop=loop)], meta)
    return {
        "path": str(path),
        "stem_gain_db": round(gain_db, 3),
        "gain_db": round(report.gain_db, 3),
        "sample_rate": mix.sample_rate,
        "channels": mix.channels,
    }


def ranked(takes: list[dict[str, Any]], ordered: "Order") -> list[dict[str, Any]]:
    """The takes, each with how it follows the mix, where that can be told."""
    from ritornello.audio.io import read_audio

    mix, stem = ordered.request.mix, ordered.request.stem
    if mix is None or stem is None or len(takes) < 2 or not 2 <= mix.duration_s <= MOST_COMPARED_S:
        return takes
    from ritornello.stemgen.candidates import adherence

    try:
        return [
            {**take, "adherence": adherence(mix, read_audio(take["path"]), take["stem"])}
            for take in takes
        ]
    except MissingDependencyError as error:
        print(f"takes are not ranked: {error}", file=sys.stderr)
        return takes


def best_first(takes: list[dict[str, Any]]) -> list[str]:
    """Lines that say which take follows its mix best."""
    if not takes or "adherence" not in takes[0]:
        return []
    order = sorted(takes, key=lambda take: -take["adherence"]["score"])
    listed = ", ".join(f"{Path(one['path']).name} {one['adherence']['score']:.2f}" for one in order)
    return [f"how they follow the mix, best first: {listed}"]
