"""A small MusicXML score with words, and what the tests of singing need to be installed."""

import importlib.util
import shutil
from pathlib import Path

import pytest

VOICE = Path("/usr/share/festival/voices/us/cmu_us_slt_arctic_hts")

needs_voice = pytest.mark.skipif(
    shutil.which("festival") is None
    or not VOICE.is_dir()
    or importlib.util.find_spec("pyworld") is None,
    reason="no voice: apt install festival festvox-us-slt-hts, pip install 'ritornello[songs]'",
)


def note(step, octave, eighths, words=(), extra=""):
    """A note; `words` are (verse, syllabic, text)."""
    lyrics = "".join(
        f'<lyric number="{verse}"><syllabic>{syllabic}</syllabic><text>{text}</text></lyric>'
        for verse, syllabic, text in words
    )
    pitch = f"<pitch><step>{step}</step><octave>{octave}</octave></pitch>"
    kind = {1: "eighth", 2: "quarter", 4: "half", 8: "whole"}.get(eighths, "quarter")
    return f"<note>{pitch}<duration>{eighths}</duration>{extra}<type>{kind}</type>{lyrics}</note>"


def rest(eighths):
    return f"<note><rest/><duration>{eighths}</duration></note>"


TIE_START, TIE_STOP = '<tie type="start"/>', '<tie type="stop"/>'
REPEAT = '<barline location="right"><repeat direction="backward"/></barline>'

# Two bars, sung twice with their own words, and a third; 120 quarters a minute.
VOICE_BARS = (
    note("C", 4, 2, [(1, "begin", "Sil"), (2, "single", "Come")])
    + note("E", 4, 2, [(1, "end", "ver"), (2, "single", "sing,")])
    + note("G", 4, 2, [(1, "single", "moon,"), (2, "single", "my")])
    + note("A", 4, 2),
    note("G", 4, 4, [(1, "single", "shine"), (2, "single", "heart")], TIE_START)
    + note("G", 4, 2, (), TIE_STOP)
    + note("E", 4, 2, [(1, "single", "to"), (2, "single", "and")]),
    note("D", 4, 4, [(1, "single", "all.")]) + rest(4),
)
PIANO_BARS = (
    note("C", 3, 8),
    note("G", 3, 8, (), TIE_START),
    note("G", 3, 8, (), TIE_STOP),
)


def score(voice=VOICE_BARS, piano=PIANO_BARS, repeat_after=1):
    """MusicXML of a voice and a piano; a repeat to the beginning after that bar."""
    attributes = (
        "<attributes><divisions>2</divisions><time><beats>4</beats><beat-type>4</beat-type></time>"
        "</attributes>"
    )
    tempo = (
        "<direction><direction-type><metronome><beat-unit>quarter</beat-unit>"
        '<per-minute>120</per-minute></metronome></direction-type><sound tempo="120"/></direction>'
    )

    def part(name, bars):
        measures = "".join(
            f'<measure number="{index + 1}">'
            + (attributes + tempo if index == 0 else "")
            + bar
            + (REPEAT if index == repeat_after else "")
            + "</measure>"
            for index, bar in enumerate(bars)
        )
        return f'<part id="{name}">{measures}</part>'

    return (
        '<?xml version="1.0" encoding="UTF-8"?><score-partwise version="3.1">'
        "<identification><rights>CC0</rights></identification><part-list>"
        '<score-part id="P1"><part-name>Voice</part-name></score-part>'
        '<score-part id="P2"><part-name>Piano</part-name></score-part></part-list>'
        + part("P1", voice)
        + part("P2", piano)
        + "</score-partwise>"
    )
