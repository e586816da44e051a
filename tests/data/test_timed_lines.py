"""Lyrics with a time before each line become words with known times."""

import json
from itertools import pairwise

import mutagen
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.data.corpus import scan
from ritornello.data.timed_lines import timed_lines


def spans(lyrics):
    """What is sung from when to when."""
    return [
        (one["start_s"], one["end_s"], lyrics["text"][one["begin"] : one["end"]])
        for one in lyrics["sung"]
    ]


def test_lines_last_until_the_next_time():
    lyrics = timed_lines(
        "[ar:Ella]\r\n[00:12.50]Blue evening,\r\n[00:15.8] <00:15.8>blue <00:16.0>morning \r\n"
        "[00:20]\r\n[01:00:25]Zoe\u0308"
    )
    assert lyrics["text"] == "Blue evening,\nblue morning\nZoë"
    assert spans(lyrics) == [
        (12.5, 15.8, "Blue evening,"),
        (15.8, 20.0, "blue morning"),
        (60.25, 100.5, "Zoë"),
    ]


def test_a_line_with_several_times_is_sung_several_times():
    lyrics = timed_lines("[00:01.00][00:09.00]Refrain\n[00:05.00]Verse\n")
    assert spans(lyrics) == [(1.0, 5.0, "Refrain"), (5.0, 9.0, "Verse"), (9.0, 13.0, "Refrain")]


@pytest.mark.parametrize(
    "text", ["la la", "[Chorus]\nla", "", "[ar:Ella]", "[00:01.00]\n", "[0:1]la"]
)
def test_any_other_text_is_not_of_this_kind(text):
    assert timed_lines(text) is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5999), st.text("ab é<[", max_size=6)), max_size=8))
def test_spans_are_in_order_and_make_up_the_text(lines):
    text = "\n".join(f"[{cs // 6000:02}:{cs // 100 % 60:02}.{cs % 100:02}]{w}" for cs, w in lines)
    lyrics = timed_lines(text)
    if lyrics is None:
        assert not any(words.strip() for _, words in lines)
        return
    told = spans(lyrics)
    assert "\n".join(words for *_, words in told) == lyrics["text"]
    assert all(start <= end for start, end, _ in told)
    assert all(one[1] <= after[0] for one, after in pairwise(told))


def test_every_place_for_lyrics_may_hold_them(folder, save, tmp_path):
    for name in ("a.flac", "b.flac", "c.flac"):
        save(name, 0.5)
    text = "[00:00.10]la\n[00:00.30]"
    file = mutagen.File(folder / "a.flac")
    file["lyrics"] = text
    file.save()
    (folder / "labels.csv").write_text(f'file,lyrics\nb.flac,"{text}"\n')
    (folder / "c.json").write_text(json.dumps({"lyrics": text}))
    for recording in scan(folder, manifest=tmp_path / "manifest.jsonl"):
        assert spans(recording.lyrics) == [(0.1, 0.3, "la")]
