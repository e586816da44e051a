import hashlib
import importlib.util
import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from ritornello.data.recipes.render import find_sound_font
from ritornello.data.recipes.singing_words import speaker
from ritornello.data.recipes.songs import (
    PARTS,
    SongsRecipe,
    Surveyed,
    draw_variation,
    make_songs,
    plan,
    survey_score,
    varied,
)
from ritornello.data.recipes.songs_own import own_songs
from ritornello.errors import ConfigError, DataError, MissingDependencyError
from tests.data.recipes.songs_material import needs_voice, note, score

pytest.importorskip("music21")
pytest.importorskip("fluidsynth", exc_type=ImportError)


@pytest.fixture
def lieder(tmp_path):
    folder = tmp_path / "lieder"
    folder.mkdir()
    (folder / "Anon__Moon.musicxml").write_text(score(), encoding="utf-8")
    return folder


@pytest.fixture
def recipe(tmp_path, lieder, sound_font):
    def make(name="out", **changes):
        settings = {
            "out": tmp_path / name,
            "lieder": (lieder,),
            "rate": 16000,
            "soundfont": sound_font,
            "renders": 1,
            "workers": 1,
        }
        return SongsRecipe(**(settings | changes))

    return make


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@needs_voice
@pytest.mark.slow
def test_every_take_has_aligned_parts_and_tells_what_is_sung(recipe):
    config = recipe(renders=2, parts=(*PARTS, "solo"))
    steps = []
    summary = make_songs(config, progress=lambda *step: steps.append(step))
    assert (summary.rendered, summary.reused, summary.works) == (2, 0, 1)
    assert len(summary.artists) == 2
    assert [step[:2] for step in steps] == [(1, 2), (2, 2)]
    for path in sorted((config.out / "mix").glob("*.flac")):
        waves = {
            part: soundfile.read(config.out / part / path.name)[0]
            for part in ("mix", "voice", "accompaniment")
        }
        added = waves["voice"] + waves["accompaniment"]
        np.testing.assert_allclose(waves["mix"], added, atol=3 / 32768)
        assert np.abs(waves["mix"]).max() <= 0.971
        car = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        assert (car["title"], car["composer"], car["licence"]) == ("Anon__Moon", "Anon", "CC0")
        assert car["labels"] == {"genre": "art-song", "artist": car["artist"].lower()}
        assert [section["letter"] for section in car["sections"]] == ["A", "A", "B"]
        text, sung = car["lyrics"]["text"], car["lyrics"]["sung"]
        assert [text[one["begin"] : one["end"]] for one in sung][:3] == ["Sil", "ver", "moon,"]
        assert all(set(one) == {"start_s", "end_s", "begin", "end"} for one in sung)
        voice = np.abs(waves["voice"]).max(axis=1)
        for one, following in pairwise(sung):
            assert one["start_s"] < one["end_s"] <= following["start_s"]
            heard = voice[int(one["start_s"] * 16000) : int(one["end_s"] * 16000)]
            assert heard.max() > 0.01
        assert voice[: int((sung[0]["start_s"] - 0.06) * 16000)].max() < 1e-3
        solo, rate = soundfile.read(config.out / "solo" / path.name)
        assert rate == 16000
        assert len(solo) < len(voice)
        moved = json.loads(
            (config.out / "solo" / path.name).with_suffix(".json").read_text(encoding="utf-8")
        )
        for one in moved["lyrics"]["sung"]:
            assert (
                np.abs(solo[int(one["start_s"] * 16000) : int(one["end_s"] * 16000)]).max() > 0.01
            )
        accompaniment = (config.out / "accompaniment" / path.name).with_suffix(".json")
        assert "lyrics" not in json.loads(accompaniment.read_text(encoding="utf-8"))


@needs_voice
@pytest.mark.slow
def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(recipe):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        make_songs(recipe(name, seed=seed, parts=("mix",)))
    first, again, other = (contents(recipe(name).out) for name in "abc")
    assert first == again
    assert not set(first.values()) & set(other.values())


@needs_voice
@pytest.mark.slow
def test_a_second_run_makes_only_what_is_missing_or_different(recipe):
    config = recipe(renders=2, parts=("mix", "voice"))
    make_songs(config)
    before = contents(config.out)
    gone, foreign = sorted((config.out / "voice").glob("*.flac"))
    gone.unlink()
    (config.out / "mix" / ".left.flac.part").write_bytes(b"half a file")
    summary = make_songs(config)
    assert (summary.rendered, summary.reused) == (1, 1)
    assert contents(config.out) == before
    car = json.loads(foreign.with_suffix(".json").read_text(encoding="utf-8"))
    car["render"]["key"] = "made by something else"
    foreign.with_suffix(".json").write_text(json.dumps(car), encoding="utf-8")
    assert make_songs(config).rendered == 1
    assert contents(config.out) == before


@needs_voice
@pytest.mark.slow
def test_what_cannot_be_sung_is_skipped_by_name(recipe, lieder):
    (lieder / "broken.xml").write_text("no music", encoding="utf-8")
    greek = tuple(note("C", 4, 2, [(1, "single", "ψυχή")]) * 4 for _ in range(2))
    (lieder / "greek.xml").write_text(score(voice=greek), encoding="utf-8")
    summary = make_songs(recipe(parts=("mix",)))
    reasons = dict(summary.skipped)
    assert summary.rendered == 1
    assert "cannot be read as MusicXML" in reasons["broken.xml"]
    assert "'ψυχή' cannot be spoken" in reasons["lieder/greek.xml"]


@pytest.mark.skipif(importlib.util.find_spec("pyworld") is None, reason="pyworld is missing")
def test_without_festival_nothing_is_written(recipe, monkeypatch, tmp_path):
    speaker.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependencyError, match="apt install festival festvox-us-slt-hts"):
        make_songs(recipe())
    assert not recipe().out.exists()


@needs_voice
def test_nothing_to_sing_is_an_error(recipe, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="no MusicXML"):
        make_songs(recipe(lieder=(empty,)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"hours": 0.0},
        {"rate": 1000},
        {"seed": -1},
        {"renders": 5},
        {"workers": -1},
        {"parts": ("drums",)},
        {"parts": ()},
    ],
)
def test_settings_out_of_range_are_named(recipe, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        recipe(**wrong)


def surveyed(count=8):
    return [
        Surveyed(pieces=(song,), name=f"song{i}", source="s", sha256=f"{i:064d}")
        for i, song in enumerate(own_songs()[:count])
    ]


def test_singers_take_turns_and_each_song_has_different_ones(recipe, sound_font):
    jobs = plan(surveyed(), recipe(renders=4), sound_font)
    assert len(jobs) == len({job.stem for job in jobs}) == 32
    for number in range(4):
        singers = [job.singer.name for job in jobs[8 * number : 8 * number + 8]]
        assert all(singers.count(name) == 2 for name in singers)
    of_one = {job.singer.name for job in jobs if job.surveyed.name == "song0"}
    assert len(of_one) == 4


def test_hours_limit_the_plan(recipe, sound_font):
    one = own_songs()[0].duration_s / 3600
    assert 0 < len(plan(surveyed(), recipe(hours=one), sound_font)) < 8


def test_takes_suit_the_singers(recipe, sound_font):
    for job in plan(surveyed(3), recipe(renders=4), sound_font):
        song = varied(job.song, draw_variation(job))
        assert abs(np.median(song.pitches) - job.singer.middle) <= 7
        assert song.syllables[0].notes[0].start_s >= 0.4


def test_names_that_collide_stay_apart(recipe, sound_font):
    two = [replace(one, name="same") for one in surveyed(2)]
    assert len({job.stem for job in plan(two, recipe(), sound_font)}) == 2


@needs_voice
@pytest.mark.slow
def test_without_a_folder_the_own_tunes_are_sung(recipe):
    find_sound_font(recipe().soundfont)
    summary = make_songs(recipe(lieder=(), hours=0.01, parts=("voice",)))
    assert summary.rendered >= 1
    assert summary.skipped == ()


def test_a_score_is_surveyed_in_pieces(lieder):
    from ritornello.data.recipes.catalogue import catalogue
    from ritornello.data.recipes.songs_lieder import SUFFIXES

    (entry,) = catalogue(lieder, suffixes=SUFFIXES)
    found = survey_score(entry)
    assert isinstance(found, Surveyed)
    assert found.name == "anon-moon"
    assert len(found.pieces) == 1
