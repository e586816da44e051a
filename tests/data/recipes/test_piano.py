import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import soundfile

from ritornello.data.recipes.catalogue import catalogue
from ritornello.data.recipes.corpus_works import KEYBOARD_WORKS, write_corpus_works
from ritornello.data.recipes.midi import is_performance, read_midi
from ritornello.data.recipes.piano import PianoRecipe, make_piano
from ritornello.errors import ConfigError, DataError
from tests.data.recipes.conftest import chorale, improvisation


@pytest.fixture
def midi(tmp_path, write_midi):
    folder = tmp_path / "midi"
    write_midi(folder / "Chopin" / "Prelude Op 28 No 20.mid", chorale(bars=4))
    write_midi(folder / "Chopin" / "Prelude Op 28 No 7.mid", chorale(bars=3))
    write_midi(folder / "Liszt" / "S 145 live.mid", improvisation(30))
    return folder


@pytest.fixture
def recipe(tmp_path, midi, sound_font):
    def make(name="out", **changes):
        settings = {
            "out": tmp_path / name,
            "midi": (midi,),
            "rate": 22050,
            "soundfont": sound_font,
            "workers": 1,
        }
        return PianoRecipe(**(settings | changes))

    return make


def contents(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def side_cars(folder):
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def test_every_piece_is_rendered_with_a_side_car(recipe):
    config = recipe()
    seen = []
    summary = make_piano(config, progress=lambda *step: seen.append(step))
    cars = side_cars(config.out)
    assert sorted(cars) == sorted(path.stem for path in config.out.glob("*.flac"))
    assert len(cars) == summary.rendered == 6
    assert [step[:2] for step in seen] == [(done, 6) for done in range(1, 7)]
    for stem, car in cars.items():
        info = soundfile.info(config.out / f"{stem}.flac")
        assert (info.samplerate, info.channels, info.subtype) == (22050, 2, "PCM_16")
        assert info.duration == pytest.approx(car["render"]["seconds"], abs=0.01)
        assert car["labels"] == {"composer": "other"}
    assert {car["work"] for car in cars.values()} == {"chopin-op28", "liszt-s145"}
    assert summary.works == 2
    assert summary.hours == pytest.approx(
        sum(car["render"]["seconds"] for car in cars.values()) / 3600, abs=1e-3
    )


def test_performances_come_first_and_first_renders_keep_the_key(recipe):
    config = recipe()
    order = []
    make_piano(config, progress=lambda done, total, name: order.append(name))
    assert order[0].startswith("liszt__")
    assert [name[-2:] for name in order] == ["r1"] * 3 + ["r2"] * 3
    for stem, car in side_cars(config.out).items():
        assert car["render"]["kind"] == ("performance" if "liszt" in stem else "score")
        variation = car["render"]["variation"]
        assert (variation["transpose"] == 0) == stem.endswith("r1")
        assert abs(variation["transpose"]) <= 3


def test_the_same_recipe_makes_the_same_bytes_and_another_seed_others(recipe):
    for name, changes in {"a": {}, "b": {}, "c": {"seed": 1}}.items():
        make_piano(recipe(name, **changes))
    first, again, other = (contents(recipe(name).out) for name in "abc")
    assert first == again
    assert not set(first.values()) & set(other.values())


@pytest.mark.slow
def test_the_number_of_workers_does_not_change_the_bytes(recipe):
    make_piano(recipe("one"))
    make_piano(recipe("two", workers=2))
    assert contents(recipe("one").out) == contents(recipe("two").out)


def test_a_second_run_makes_only_what_is_missing_or_different(recipe):
    config = recipe()
    make_piano(config)
    before = contents(config.out)
    gone, foreign = sorted(config.out.glob("*.flac"))[:2]
    gone.unlink()
    car = json.loads(foreign.with_suffix(".json").read_text())
    car["render"]["key"] = "made by something else"
    foreign.with_suffix(".json").write_text(json.dumps(car))
    (config.out / ".left.flac.part").write_bytes(b"half a file")
    summary = make_piano(config)
    assert (summary.rendered, summary.reused) == (2, 4)
    assert contents(config.out) == before
    third = make_piano(config)
    assert (third.rendered, third.reused) == (0, 6)


def test_broken_files_are_skipped_by_name(recipe, midi):
    (midi / "broken.mid").write_bytes(b"no music")
    summary = make_piano(recipe(renders=1))
    ((name, reason),) = summary.skipped
    assert name == "broken.mid"
    assert "not a readable MIDI file" in reason
    assert summary.rendered == 3


def test_hours_limit_the_plan(recipe):
    summary = make_piano(recipe(hours=5 / 3600))
    assert summary.rendered == 1


def test_names_that_collide_stay_apart(recipe, midi):
    for take in ("Take 1!.mid", "take-1.mid"):
        (midi / "Liszt" / take).write_bytes((midi / "Liszt" / "S 145 live.mid").read_bytes())
    summary = make_piano(recipe(renders=1))
    assert summary.rendered == len(list(recipe().out.glob("*.flac"))) == 5


def test_nothing_to_render_is_an_error(recipe, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="no MIDI files"):
        make_piano(recipe(midi=(empty,)))
    (empty / "only.mid").write_bytes(b"junk")
    with pytest.raises(DataError, match=r"none of 1 MIDI files.*only\.mid"):
        make_piano(recipe(midi=(empty,)))


@pytest.mark.parametrize(
    "wrong", [{"hours": 0.0}, {"rate": 1000}, {"seed": -1}, {"renders": 0}, {"workers": -1}]
)
def test_settings_out_of_range_are_named(recipe, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        recipe(**wrong)


@pytest.mark.slow
def test_interrupting_leaves_only_whole_files(recipe, midi, sound_font, write_midi):
    for number in range(12):
        write_midi(midi / "Long" / f"piece {number}.mid", improvisation(4000, seed=number))
    out = recipe().out
    program = (
        "from pathlib import Path\n"
        "from ritornello.data.recipes.piano import PianoRecipe, make_piano\n"
        "if __name__ == '__main__':\n"
        f"    make_piano(PianoRecipe(out=Path({str(out)!r}), midi=(Path({str(midi)!r}),),\n"
        f"        soundfont=Path({str(sound_font)!r}), workers=2))\n"
    )
    script = out.parent / "interrupted.py"
    script.write_text(program)
    running = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 400  # a busy machine takes long to start Python three times
    while not list(out.glob("*.flac")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGINT)
    assert running.wait(timeout=200) != 0
    names = {path.name for path in out.iterdir()}
    assert names
    assert not [name for name in names if name.endswith(".part")]
    for path in out.glob("*.flac"):
        assert len(soundfile.read(path)[0]) > 0
        assert path.with_suffix(".json").is_file()
    assert len(list(out.glob("*.flac"))) < 30


@pytest.mark.slow
def test_without_a_folder_keyboard_works_come_from_music21(tmp_path):
    pytest.importorskip("music21")
    works = tuple(work for work in KEYBOARD_WORKS if work.name in ("bach/bwv253", "bach/bwv846"))
    write_corpus_works(tmp_path, works)
    entries = catalogue(tmp_path)
    assert sorted(entry.work for entry in entries) == ["bach-bwv253", "bach-bwv846"]
    assert all("public domain" in entry.licence for entry in entries)
    for entry in entries:
        piece = read_midi(entry.path)
        assert len(piece.onset) > 100
        assert not is_performance(piece)
