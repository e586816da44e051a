"""What is known of samples: facets from three places, lyrics in order, what is left out and why."""

import unicodedata

import pytest

from ritornello.errors import DataError
from ritornello.evaluation.explore import Segment, facets_of, gather, segments_of
from tests.evaluation.explored import EVIL, LYRICS, side_car, write_samples, write_tone


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("explore") / "samples"
    write_samples(path)
    return gather(path)


def by_id(folder):
    return {sample.id: sample for sample in folder.samples}


def test_provenance_and_side_cars_become_facets(folder):
    samples = by_id(folder)
    assert list(samples) == [
        "l'été #1 100%.wav",
        "song.wav",
        "takes/bach-0.wav",
        "takes/bach-1.wav",
        "takes/chopin-0.wav",
    ]
    assert samples["takes/bach-1.wav"].facets == {
        "artist": ("bach",),
        "model": ("piano",),
        "seed": ("1",),
        "folder": ("takes",),
    }
    song = samples["song.wav"]
    assert song.title == EVIL
    assert song.facets == {"artist": ("Dvořák",), "genre": ("folk", "pop"), "mood": ("calm",)}
    assert song.duration_s == pytest.approx(0.5)
    assert samples["takes/chopin-0.wav"].title == "chopin-0"


def test_what_cannot_be_read_is_named_with_the_reason(folder):
    assert [each.name for each in folder.refused] == ["broken.flac"]
    assert "not an audio file" in folder.refused[0].reason
    assert str(folder.path) not in folder.refused[0].reason
    assert [each.name for each in folder.unread] == ["l'été #1 100%.json"]
    assert "not readable JSON" in folder.unread[0].reason


def test_one_name_is_one_value_however_it_is_written(tmp_path):
    for name, artist in (("a", "Dvořák"), ("b", "dvorak"), ("c", "Suk")):
        write_tone(tmp_path / f"{name}.wav", 300)
        side_car(
            tmp_path / f"{name}.json", {"composer": artist, "labels": {"artist": artist.lower()}}
        )
    artists = [sample.facets["artist"] for sample in gather(tmp_path).samples]
    assert artists == [("Dvořák",), ("Dvořák",), ("Suk",)]


def test_values_that_are_no_names_are_passed_over():
    said = {"seed": 0, "genre": ["pop", "", None, 1.5, True], "artist": {"a": 1}, "labels": "none"}
    assert facets_of(said) == {"genre": ("pop",), "seed": ("0",)}


def test_segments_are_the_whole_text_with_times_where_it_is_sung():
    segments = segments_of(LYRICS)
    assert "".join(segment.text for segment in segments) == LYRICS["text"]
    assert segments[:2] == (
        Segment(text="Twin", start_s=0.5, end_s=1.0),
        Segment(text="kle", start_s=1.0, end_s=1.5),
    )
    assert segments[2:] == (
        Segment(text=", "),
        Segment(text="été", start_s=1.5, end_s=2.5),
        Segment(text=" star"),
    )


def test_places_count_composed_characters():
    apart = unicodedata.normalize("NFD", LYRICS["text"])
    assert len(apart) > len(LYRICS["text"])
    assert segments_of({**LYRICS, "text": apart}) == segments_of(LYRICS)


def test_lyrics_may_be_a_text_alone_or_none():
    assert segments_of("la la") == (Segment(text="la la"),)
    assert segments_of(None) == segments_of("") == ()


@pytest.mark.parametrize(
    ("lyrics", "says"),
    [
        (3, "expected a text"),
        ({"sung": []}, "expected a text"),
        ({"text": "la", "sung": "all"}, "expected a list"),
        ({"text": "la", "sung": [{"start_s": 0}]}, "expected numbers"),
        ({"text": "la", "sung": [{"start_s": 2, "end_s": 1, "begin": 0, "end": 1}]}, "in order"),
        ({"text": "la", "sung": [{"start_s": 0, "end_s": 1, "begin": 0, "end": 3}]}, "of 2"),
        ({"text": "la", "sung": [{"start_s": "nan", "end_s": 1, "begin": 0, "end": 1}]}, "order"),
        (
            {"text": "la", "sung": [{"start_s": 0, "end_s": 1, "begin": 0, "end": 2}] * 2},
            "after character 2",
        ),
    ],
)
def test_lyrics_out_of_order_are_refused(lyrics, says):
    with pytest.raises(DataError, match=says):
        segments_of(lyrics)


def test_an_alignment_overrides_the_lyrics_of_the_side_car(tmp_path):
    write_tone(tmp_path / "a.wav", 300)
    side_car(tmp_path / "a.json", {"lyrics": "Twinkle"})
    side_car(tmp_path / "a.alignment.json", LYRICS)
    (sample,) = gather(tmp_path).samples
    assert sample.lyrics == segments_of(LYRICS)


def test_the_lyrics_of_a_request_are_shown(tmp_path):
    write_tone(tmp_path / "a.wav", 300, meta={"request": {"seed": 3, "lyrics": "la la"}})
    write_tone(tmp_path / "b.wav", 300, meta={"request": "?", "lyrics": 7})
    first, second = gather(tmp_path).samples
    assert first.lyrics == (Segment(text="la la"),)
    assert first.facets == {"seed": ("3",)}
    assert second.lyrics == ()


def test_a_side_car_that_is_no_object_costs_no_sample(tmp_path):
    write_tone(tmp_path / "a.wav", 300)
    side_car(tmp_path / "a.json", [1])
    found = gather(tmp_path)
    assert len(found.samples) == 1
    assert found.unread[0].reason == "holds list; expected an object"


def test_a_folder_without_audio_is_an_error_that_says_why(tmp_path):
    with pytest.raises(DataError, match="is no folder"):
        gather(tmp_path / "typo")
    with pytest.raises(DataError, match=r"holds no audio.*\.wav"):
        gather(tmp_path)
    (tmp_path / "a.wav").write_bytes(b"no")
    with pytest.raises(DataError, match=r"Left out: a\.wav: is not an audio file"):
        gather(tmp_path)


def test_progress_counts_every_file(tmp_path):
    write_samples(tmp_path)
    calls = []
    gather(tmp_path, lambda *call: calls.append(call))
    assert [done for done, _, _ in calls] == list(range(7))
    assert {total for _, total, _ in calls} == {6}
