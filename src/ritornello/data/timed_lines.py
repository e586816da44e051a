"""Lyrics in the way of players that show them line by line (LRC), as they stand in many tags.

    [ar:Ella Example]
    [00:12.50]Blue evening,
    [00:15.80][01:40.00]blue evening

A time in front of a line is where it begins; several mean that it is sung several times. A line
lasts until the next time, with or without words; the last one, after which there is no time, as
long as the one before it. Lines of facts about the song and times inside of a line are left out.
"""

import re
import unicodedata
from itertools import pairwise
from typing import Any

_TIME = r"(\d+):(\d\d(?:[.:]\d+)?)"
_LINE = re.compile(rf"\s*((?:\[{_TIME}\]\s*)+)(.*)")
_STAMP = re.compile(rf"\[{_TIME}\]")
_INSIDE = re.compile(rf"<{_TIME}>\s*")


def timed_lines(text: str) -> dict[str, Any] | None:
    """The words of such lyrics, and when each line is sung; None for any other text.

    The result is what side-cars call lyrics with times (see `recordings`), composed (NFC).
    """
    lines = sorted(
        ((start_s, words) for line in text.splitlines() for start_s, words in _sung(line)),
        key=lambda line: line[0],
    )
    if not any(words for _, words in lines):
        return None
    starts = [start_s for start_s, _ in lines]
    lengths = [after - before for before, after in pairwise(starts)]
    ends = [*starts[1:], starts[-1] + (lengths[-1] if lengths else 0.0)]
    said, sung, begin = [], [], 0
    for (start_s, words), end_s in zip(lines, ends, strict=True):
        if words:
            end = begin + len(words)
            sung.append({"start_s": start_s, "end_s": round(end_s, 3), "begin": begin, "end": end})
            said.append(words)
            begin = end + 1
    return {"text": "\n".join(said), "sung": sung}


def _sung(line: str) -> list[tuple[float, str]]:
    """When a line begins, each time that it is sung, and its words."""
    found = _LINE.fullmatch(line)
    if found is None:
        return []
    words = unicodedata.normalize("NFC", _INSIDE.sub("", found.groups()[-1]).strip())
    times = _STAMP.findall(found.group(1))
    return [(60 * int(m) + float(s.replace(":", ".")), words) for m, s in times]
