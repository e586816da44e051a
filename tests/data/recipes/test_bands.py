"""The bands recipe: charts, tracks sorted into stems, stems that belong together, resuming."""

import hashlib
import json
import shutil
from collections import defaultdict
from dataclasses import replace

import mido
import numpy as np
import pytest
import soundfile

from ritornello.data.recipes import bands
from ritornello.data.recipes.bands import BandsRecipe, make_bands, planned
from ritornello.data.recipes.bands_accompaniment import category, chart, find_mma, split_tracks
from ritornello.data.recipes.bands_grooves import GROOVES
from ritornello.data.recipes.bands_mix import Part, humanised, melody_notes, render_stems
from ritornello.data.recipes.bands_plan import draw_plan
from ritornello.data.recipes.bands_theory import Chord
from ritornello.data.recipes.render import DRUM_BANK, Instrument, find_sound_font
from ritornello.errors import ConfigError, DataError, RitornelloError

needs_mma = pytest.mark.skipif(shutil.which("mma") is None, reason="mma is not installed")


@pytest.fixture
def plan():
    return draw_plan(0, 2, GROOVES)


# Charts.


def test_a_chart_plays_equal_letters_alike(plan):
    lines = chart(plan).splitlines()
    assert lines[0] == f"Tempo {round(plan.bpm)}"
    sections, bars = [], []
    for line in lines[1:]:
        if line.startswith("Groove"):
            sections.append([line])
        elif line.startswith("RndSeed"):
            sections[-1].append(line)
        else:
            number, _, chords = line.partition(" ")
            bars.append(int(number))
            sections[-1].append(chords)
    assert bars == list(range(1, plan.bars + 1))
    by_letter = defaultdict(list)
    for letter, section in zip(plan.form, sections, strict=True):
        by_letter[letter].append(section)
    assert all(section == some[0] for some in by_letter.values() for section in some)


def test_two_chords_share_a_bar_in_halves(plan):
    section = replace(
        plan.sections["A"],
        bars=(
            (Chord(root=9, quality="m7"),),
            (Chord(root=2, quality="m7b5"), Chord(root=7, quality="7")),
        ),
    )
    changed = replace(plan, sections={**plan.sections, "A": section})
    assert changed.chord_names("A") == ["Am7", "Dm7b5 / G7 /"]


# Tracks.


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Bass", "bass"),
        ("Walk", "bass"),
        ("Walk-Main", "bass"),
        ("Bass-Sax", "chords"),
        ("Chord-Guitar", "chords"),
        ("Plectrum", "chords"),
        ("Arpeggio-High", "arpeggio"),
        ("Scale", "arpeggio"),
        ("Chord-Sus", "pads"),
        ("Chord-Strings", "pads"),
        ("Chord-Voice", "pads"),
    ],
)
def test_the_name_of_a_track_says_its_category(name, expected):
    assert category(name) == expected


def midi_file(path, tracks, tempos=(500_000,)):
    """A file of named tracks; each is (name, channel, [(start tick, length, key)])."""
    file = mido.MidiFile(ticks_per_beat=192)
    meta = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=tempo) for tempo in tempos])
    file.tracks.append(meta)
    for name, channel, notes in tracks:
        events = sorted(
            [(start, 1, key) for start, _, key in notes]
            + [(start + length, 0, key) for start, length, key in notes]
        )
        track, now = mido.MidiTrack([mido.MetaMessage("track_name", name=name)]), 0
        for at, on, key in events:
            kind = "note_on" if on else "note_off"
            track.append(
                mido.Message(kind, channel=channel, note=key, velocity=80 * on, time=at - now)
            )
            now = at
        file.tracks.append(track)
    file.save(str(path))
    return path


def test_tracks_of_one_category_come_together_and_silent_ones_go(tmp_path):
    path = midi_file(
        tmp_path / "song.mid",
        [
            ("Drum", 9, [(0, 10, 36), (192, 10, 38)]),
            ("ClosedHiHat", 9, [(96, 10, 42)]),
            ("Chord-Piano", 1, [(0, 192, 60), (0, 192, 64)]),
            ("Chord", 2, [(384, 192, 67)]),
            ("Arpeggio", 3, []),
            ("Walk", 4, [(192, 96, 40)]),
        ],
    )
    stems = split_tracks(path)
    assert {name: [len(track) for track in tracks] for name, tracks in stems.items()} == {
        "drums": [2, 1],
        "chords": [2, 1],
        "bass": [1],
    }
    assert stems["bass"] == [[(1.0, 1.5, 40, 80)]]


def test_files_that_cannot_be_used_are_named(tmp_path):
    (tmp_path / "song.mid").write_bytes(b"no music")
    with pytest.raises(DataError, match="not a readable MIDI file"):
        split_tracks(tmp_path / "song.mid")
    tempos = midi_file(tmp_path / "two.mid", [("Bass", 0, [(0, 9, 40)])], tempos=(5, 6))
    with pytest.raises(DataError, match="has 2 tempos"):
        split_tracks(tempos)


# Sound.


def part(notes, from_s=0.0):
    played = humanised(notes, 0.5, "chords", from_s, np.random.default_rng(0))
    return Part(performance=played, program=0)


def test_notes_become_seconds_nearly_in_time_from_where_a_part_enters():
    notes = [(beat / 2, beat / 2 + 0.4, 60 + beat, 90) for beat in range(8)]
    played = part(notes).performance
    np.testing.assert_allclose(played.onset, np.arange(8) / 4, atol=0.011)
    assert np.std(played.velocity) > 0
    assert list(part(notes, from_s=1.0).performance.pitch) == [64, 65, 66, 67]


def test_stems_are_equally_long_start_together_and_fit_into_a_mix(plan, sound_font):
    plan = replace(plan, form="A")
    parts = {
        "chords": [part([(0, 1, 60, 90)]), part([(2, 3, 67, 90)])],
        "melody": [part([(4, 9, 72, 99)])],
    }
    for rate, channels in ((16000, 1), (44100, 2)):
        stems = render_stems(plan, parts, sound_font=sound_font, rate_hz=rate, channels=channels)
        assert {wave.shape for wave in stems.values()} == {
            (channels, round((plan.seconds + 3.0) * rate))
        }
        assert np.abs(sum(stems.values())).max() <= 0.9
        for wave, begins_s in ((stems["chords"], 0.0), (stems["melody"], 2.0)):
            level = np.abs(wave).max(axis=0)
            (heard,) = np.nonzero(level > 0.02 * level.max())
            assert heard[0] / rate == pytest.approx(begins_s, abs=0.02)


def test_rendering_stops_when_asked(plan, sound_font):
    with pytest.raises(KeyboardInterrupt):
        render_stems(
            plan,
            {"chords": [part([(0, 1, 60, 90)])]},
            sound_font=sound_font,
            rate_hz=16000,
            channels=1,
            stopped=lambda: True,
        )


def test_a_font_without_the_instrument_is_named(sound_font):
    with pytest.raises(ConfigError, match="no program 8 in bank 128"):
        Instrument(sound_font, 16000, program=8, bank=DRUM_BANK)


def test_returning_sections_have_the_same_melody(plan):
    notes = melody_notes(plan)
    by_letter = defaultdict(list)
    beats = [at / plan.beat_s for at in plan.starts_s]
    for letter, begin, end in zip(plan.form, beats, beats[1:], strict=False):
        by_letter[letter].append(
            [(round(n[0] - begin, 6), n[2]) for n in notes if begin - 1e-6 <= n[0] < end - 1e-6]
        )
    assert max(map(len, by_letter.values())) > 1
    assert all(one == some[0] and one for some in by_letter.values() for one in some)


# The recipe.


@pytest.mark.parametrize(
    "wrong",
    [{"songs": 0}, {"rate": 1000}, {"channels": 3}, {"seed": -1}, {"workers": -1}],
)
def test_settings_out_of_range_are_named(tmp_path, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        BandsRecipe(out=tmp_path, **wrong)


def test_more_songs_leave_the_first_ones_as_they_are(tmp_path):
    few, more = (planned(BandsRecipe(out=tmp_path, songs=songs)) for songs in (3, 6))
    assert more[:3] == few
    assert len({plan.id for plan in more}) == 6


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def general_midi():
    pytest.importorskip("fluidsynth", exc_type=ImportError)
    try:
        return find_sound_font(None)
    except RitornelloError as missing:
        pytest.skip(str(missing))


@needs_mma
@pytest.mark.slow
def test_songs_are_whole_return_resume_and_are_the_same_bytes_again(tmp_path, general_midi):
    config = BandsRecipe(
        out=tmp_path / "a", songs=2, rate=16000, channels=1, soundfont=general_midi, workers=1
    )
    summary = make_bands(config)
    assert (summary.rendered, summary.reused, summary.skipped) == (2, 0, ())
    for plan in planned(config):
        check_song(config.out / plan.id, plan)
    before = contents(config.out)

    make_bands(replace(config, out=tmp_path / "b", songs=1))
    again = contents(tmp_path / "b")
    assert again == {name: before[name] for name in again}

    first, second = (config.out / plan.id for plan in planned(config))
    (first / "bass.flac").unlink()
    (config.out / ".left.part").mkdir()
    summary = make_bands(config)
    assert (summary.rendered, summary.reused) == (1, 1)
    assert contents(config.out) == before
    assert {path.name for path in config.out.iterdir()} == {first.name, second.name}


def check_song(folder, plan):
    """A song is what its JSON says; the bars of equal letters sound alike."""
    song = json.loads((folder / "song.json").read_text(encoding="utf-8"))
    assert (song["work"], song["bpm"], song["form"]) == (plan.id, plan.bpm, plan.form)
    assert {"title", "genre", "key", "beats_per_bar", "bars", "seed", "licence"} <= set(song)
    assert "".join(section["letter"] for section in song["sections"]) == plan.form
    assert {"drums", "bass", "chords", "melody"} <= {stem["category"] for stem in song["stems"]}
    waves = {}
    for stem in song["stems"]:
        wave, rate = soundfile.read(folder / stem["file"])
        assert (rate, wave.ndim) == (16000, 1)
        waves[stem["category"]] = wave
    assert len({len(wave) for wave in waves.values()}) == 1
    assert 0.3 < np.abs(sum(waves.values())).max() < 1.0
    first, *others = (s["start_s"] for s in song["sections"] if s["letter"] == plan.form[0])
    (end,) = {s["end_s"] for s in song["sections"][:1]}
    for start in others:
        for stem in song["stems"]:
            if stem["enters_s"] == 0.0 and stem["category"] in ("drums", "melody"):
                wave = waves[stem["category"]]
                one, two = (loudness(wave[int(at * rate) :], end - first) for at in (first, start))
                assert np.corrcoef(one, two)[0, 1] > 0.7, stem


def loudness(wave, seconds, rate=16000, step_s=0.05):
    step = int(step_s * rate)
    frames = wave[: int(seconds / step_s) * step].reshape(-1, step)
    return np.log10(np.sqrt((frames**2).mean(axis=1)) + 1e-4)


@needs_mma
@pytest.mark.slow
def test_an_interrupted_run_leaves_whole_songs_only(tmp_path, general_midi):
    config = BandsRecipe(
        out=tmp_path / "out", songs=3, rate=16000, channels=1, soundfont=general_midi, workers=1
    )

    def interrupt(done, total, name):
        (config.out / ".half.part").mkdir()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_bands(config, progress=interrupt)
    (song,) = config.out.iterdir()
    assert song.name == planned(config)[0].id
    assert (song / "song.json").is_file()


@needs_mma
def test_a_groove_that_mma_does_not_have_is_a_reason(tmp_path, sound_font, monkeypatch, plan):
    unknown = replace(plan.sections["A"], groove="NoSuchGroove")
    changed = replace(plan, sections={**plan.sections, "A": unknown})
    monkeypatch.setattr(bands, "planned", lambda config: [changed])
    config = BandsRecipe(out=tmp_path / "out", soundfont=sound_font, workers=1)
    with pytest.raises(DataError, match="NOSUCHGROOVE"):
        make_bands(config)
    assert not list(config.out.iterdir())


def test_without_mma_nothing_is_written(tmp_path, sound_font, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RitornelloError, match="sudo apt install mma"):
        find_mma()
    with pytest.raises(RitornelloError, match="sudo apt install mma"):
        make_bands(BandsRecipe(out=tmp_path / "out", soundfont=sound_font))
    assert not (tmp_path / "out").exists()
