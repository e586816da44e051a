import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.audio.io import read_audio, write_audio
from ritornello.audio.loudness import integrated_loudness
from ritornello.data.recipes.midi import Performance
from ritornello.data.recipes.render import DEFAULT_SOUND_FONTS, SOUND_FONT_FOLDER, find_sound_font
from ritornello.errors import AudioError, ConfigError, DataError
from ritornello.evaluation import (
    excerpts,
    fad,
    sanity,
    sanity_material,
    sanity_measures,
    sanity_table,
)
from ritornello.evaluation.clips import clips_of
from ritornello.evaluation.intervals import Estimate
from ritornello.interfaces import Audio
from tests.evaluation.signals import noise, notes

RATE = 16000


def figure(value, reach=0.1):
    return Estimate(value=float(value), low=value - reach, high=value + reach, items=8)


# What was expected is not forgotten, and not made up.


def test_the_order_fixed_beforehand_is_the_one_that_was_promised():
    for metric in ("fad", "fad_infinity", "kid", "fad_codec"):
        pairs = sanity.EXPECTED[metric]
        assert ("piano", "reconstruction") in pairs
        assert ("other", "noise") in pairs
        for name in ("organ", "harp", "vibraphone"):
            assert {("piano", name), (name, "other")} <= set(pairs)
    assert set(sanity.EXPECTED) == set(sanity.CLAIMS)
    assert all("generator" not in pair for pairs in sanity.EXPECTED.values() for pair in pairs)


def test_pairs_are_apart_in_order_or_not():
    assert sanity.judge_pair(figure(1.0), figure(1.3)) == "apart"
    assert sanity.judge_pair(figure(1.0), figure(1.15)) == "in order"
    assert sanity.judge_pair(figure(1.3), figure(1.0)) == "not in order"
    judged = sanity.judge_order(
        {"a": figure(1), "b": figure(2)}, [("a", "b"), ("b", "a"), ("a", "nowhere")]
    )
    assert [each.verdict for each in judged] == ["apart", "not in order"]


def test_spearman_by_hand():
    assert sanity.spearman(np.array([1.0, 2.0, 3.0])) == pytest.approx(1)
    assert sanity.spearman(np.array([3.0, 2.0, 1.0])) == pytest.approx(-1)
    assert sanity.spearman(np.array([1.0, 3.0, 2.0])) == pytest.approx(0.5)
    assert sanity.spearman(np.array([1.0, 1.0, 1.0])) == 0
    with pytest.raises(DataError, match="two or more finite"):
        sanity.spearman(np.array([1.0, np.nan]))


@settings(max_examples=20)
@given(values=st.lists(st.integers(-20, 20), min_size=2, max_size=8, unique=True))
def test_spearman_equals_its_formula_without_ties(values):
    ranks = np.argsort(np.argsort(values))
    n = len(values)
    expected = 1 - 6 * np.sum((ranks - np.arange(n)) ** 2) / (n * (n * n - 1))
    assert sanity.spearman(np.array(values, float)) == pytest.approx(expected, abs=1e-9)


def test_grades_rise_or_not():
    def verdict(*values):
        return sanity.judge_grades(figure(1.0), [figure(v) for v in values], claimed=True).verdict

    assert verdict(1.1, 1.2, 1.4) == "rises"
    assert verdict(1.4, 1.3, 1.5) == "rises within intervals"
    assert verdict(1.0, 1.2, 1.5) == "rises within intervals"
    assert verdict(1.5, 1.2, 1.6) == "rises unevenly"
    assert verdict(1.01, 1.02, 1.03) == "blind"
    assert verdict(1.4, 1.5, 0.9) == "blind"


def table():
    figures = {
        "fad": {
            "piano": figure(1),
            "reconstruction": figure(2),
            "noise": figure(9),
            "generator": figure(5),
            "null": figure(0.5),
        }
    }
    damaged = {"fad": {kind: [figure(2), figure(3)] for kind in sanity.GRADES}}
    return sanity_table.SanityTable(
        figures=figures,
        damaged=damaged,
        gaps={"noise 10": {"fad": figure(3)}},
        missing={"organ": "no MIDI"},
        warnings=("few clips",),
    )


def test_the_page_holds_every_figure_and_verdict(tmp_path):
    page = sanity_table.markdown(table())
    for line in (
        "| reconstruction | 2 [1.9, 2.1] |",
        "| piano < reconstruction | apart |",
        "| low_pass (6000, 3000, 1500, 750 Hz) | rises (1.00) |",
        "| shuffle (2, 1, 0.5, 0.25 s) | rises (1.00), unclaimed |",
        "| noise 10 | 3 [2.9, 3.1] |",
        "The generator's place, 1 the nearest: fad 3 of 4.",
        "Left out: organ: no MIDI",
        "Mind: few clips",
    ):
        assert line in page
    assert "organ <" not in page
    result = json.loads(json.dumps(table().to_json(), allow_nan=False))
    assert result["generator_place"] == {"fad": [3, 4]}
    path = sanity_table.save_picture(table(), tmp_path / "table.png")
    assert path.read_bytes().startswith(b"\x89PNG")


# Material.


@pytest.fixture
def clips(tmp_path):
    """Nine recordings of five works."""
    folder = tmp_path / "held out"
    folder.mkdir()
    for number in range(9):
        audio = Audio(samples=notes(2.2, number, rate=RATE).astype(np.float32), sample_rate=RATE)
        write_audio(folder / f"{number}.wav", audio)
        (folder / f"{number}.json").write_text(json.dumps({"work": f"op {number // 2}"}))
    return clips_of(folder, seconds=1.0, count=None)


def test_halves_share_no_work_and_have_the_sizes_asked_for(clips):
    half, other_half = sanity_material.halves(clips, 4)
    assert (len(half), len(other_half)) == (8, 4)
    works, others = (
        {sanity_material.work_of(clip) for clip in side} for side in (half, other_half)
    )
    assert works
    assert others
    assert not works & others
    with pytest.raises(DataError, match=r"5 held-out works give .* expected 40 and 20"):
        sanity_material.halves(clips, 20)


def test_all_clips_come_out_equally_loud_and_silence_is_refused():
    loud = Audio(samples=(0.3 * noise(1.0, 0, rate=RATE)).astype(np.float32), sample_rate=RATE)
    for gain in (0.1, 1.0):
        audio = Audio(samples=np.float32(gain) * loud.samples, sample_rate=RATE)
        level = integrated_loudness(sanity_material.levelled(audio).samples, RATE)
        assert level == pytest.approx(sanity.LOUDNESS_LUFS, abs=0.01)
    silent = Audio(samples=np.zeros((1, RATE), np.float32), sample_rate=RATE)
    with pytest.raises(AudioError, match="expected sound"):
        sanity_material.levelled(silent)


def test_a_set_is_made_once_and_goes_on_after_a_break(tmp_path):
    made = []

    def sound(number):
        made.append(number)
        samples = noise(0.6, number, rate=RATE).astype(np.float32)
        return Audio(samples=samples, sample_rate=RATE)

    def sounds(count):
        return [(f"r{n}", lambda n=n: sound(n)) for n in range(count)]

    sanity_material.write_set(tmp_path / "set", sounds(1))
    samples = sanity_material.write_set(tmp_path / "set", sounds(3))
    assert made == [0, 1, 2]
    assert [sample.recording for sample in samples] == ["r0", "r1", "r2"]
    assert read_audio(samples[2].path).samples.shape == (1, round(0.6 * RATE))


def test_noise_is_the_same_for_the_same_seed_and_differs_between_clips():
    one, other = (sound() for _, sound in sanity_material.of_noise(2, 0.5, RATE, seed=1))
    again = next(iter(sanity_material.of_noise(1, 0.5, RATE, seed=1)))[1]()
    assert np.array_equal(one.samples, again.samples)
    assert abs(np.corrcoef(one.samples[0], other.samples[0])[0, 1]) < 0.05
    assert one.samples.shape == (2, RATE // 2)


def performance(onset, offset, pedal):
    return Performance(
        onset=np.array(onset),
        offset=np.array(offset),
        pitch=np.arange(60, 60 + len(onset)),
        velocity=np.full(len(onset), 80.0),
        pedal=np.array(pedal, dtype=float).reshape(-1, 2),
    )


def test_an_excerpt_holds_what_sounds_then_with_the_foot_where_it_was():
    whole = performance(
        [0.0, 1.0, 4.0, 9.0], [0.5, 6.0, 5.0, 10.0], [(0, 127), (2, 30), (4, 90), (8, 0)]
    )
    cut = sanity_material.excerpt(whole, 3.0, 7.0)
    assert cut.onset.tolist() == [0.0, 1.0]
    assert cut.offset.tolist() == [3.0, 2.0]
    assert cut.pitch.tolist() == [61, 62]
    assert cut.pedal.tolist() == [[0.0, 30.0], [1.0, 90.0]]
    with pytest.raises(DataError, match=r"no key is down between 6\.5 s and 8\.0 s"):
        sanity_material.excerpt(whole, 6.5, 8.0)


def test_what_the_recipe_did_not_render_cannot_be_played_again(clips):
    with pytest.raises(DataError, match="has no side-car of the piano recipe"):
        sanity_material.performed(clips[0].path, {}, clips[0].path)


@pytest.mark.slow
@pytest.mark.skipif(
    not any((SOUND_FONT_FOLDER / name).is_file() for name in DEFAULT_SOUND_FONTS),
    reason="no General MIDI sound font is installed",
)
def test_the_same_place_is_played_again_sample_for_sample_and_on_an_organ(tmp_path):
    pytest.importorskip("fluidsynth", exc_type=ImportError)
    from ritornello.data.recipes.piano import PianoRecipe, make_piano
    from tests.data.recipes.conftest import chorale

    mido = pytest.importorskip("mido")
    track = mido.MidiTrack()
    events = [(at, "note_on", pitch) for at, _, pitch, _ in chorale(6)]
    events += [(at + length, "note_off", pitch) for at, length, pitch, _ in chorale(6)]
    now = 0
    for at, kind, pitch in sorted(events, key=lambda event: (event[0], event[1] != "note_off")):
        track.append(mido.Message(kind, note=pitch, velocity=80, time=at - now))
        now = at
    (tmp_path / "midi").mkdir()
    mido.MidiFile(ticks_per_beat=384, tracks=[track]).save(str(tmp_path / "midi/one.mid"))
    font = find_sound_font(None)
    out = tmp_path / "piano"
    make_piano(PianoRecipe(out=out, midi=(tmp_path / "midi",), renders=2, workers=1, rate=22050))
    files = sanity_material.midi_files([tmp_path / "midi"])
    clips = clips_of(out, seconds=3.0, count=4)
    assert len({clip.path for clip in clips}) == 2
    for clip in clips:
        real = clip.read().samples
        again = sanity_material.played(clip, 0, files, font).samples
        assert again.shape == real.shape
        assert np.corrcoef(real.ravel(), again.ravel())[0, 1] > 0.99
        organ = sanity_material.played(clip, sanity.INSTRUMENTS["organ"], files, font).samples
        assert abs(np.corrcoef(real.ravel(), organ.ravel())[0, 1]) < 0.9
    with pytest.raises(ConfigError, match="no program 200"):
        sanity_material.Instrument(font, 22050, program=200)


# Measures.


class Spectral:
    """A small embedding: band levels of half-second windows."""

    name, key, sample_rate, dim, patch_s = "bands", "bands-1", RATE, 6, 0.5

    def __init__(self):
        self.calls = 0

    def embed(self, wave, sample_rate):
        self.calls += 1
        windows = wave.mean(axis=0)[: len(wave[0]) // 8000 * 8000].reshape(-1, 8000)
        spectrum = np.abs(np.fft.rfft(windows)) ** 2
        bands = [part.sum(axis=1) for part in np.array_split(spectrum, self.dim, axis=1)]
        return np.log10(np.stack(bands, axis=1) + 1e-3).astype(np.float32)


def written(folder, makers):
    sounds = [
        (str(n), lambda make=make: Audio(samples=make.astype(np.float32), sample_rate=RATE))
        for n, make in enumerate(makers)
    ]
    return sanity_material.write_set(folder, sounds)


@pytest.mark.slow
def test_noise_stands_further_than_music_and_nothing_is_heard_twice(tmp_path):
    embedding = Spectral()
    sets = {
        "reference": [notes(2.0, seed, rate=RATE) for seed in range(16)],
        "piano": [notes(2.0, seed, rate=RATE) for seed in range(20, 28)],
        "noise": [noise(2.0, seed, rate=RATE) for seed in range(8)],
    }
    heard = {}
    for name, waves in sets.items():
        samples = written(tmp_path / name, waves)
        for _ in range(2):
            heard[name] = sanity_measures.hear_set(
                samples, [embedding], tmp_path / "heard" / name, notes=False
            )
    assert embedding.calls == 32
    assert heard["piano"][0].pieces.shape == (4, excerpts.DIM)
    figures = {
        name: sanity_measures.figures_of(heard[name], heard["reference"])
        for name in ("piano", "noise")
    }
    for metric in ("fad", "fad_infinity", "kid", "frechet_excerpts"):
        assert figures["piano"][metric].high < figures["noise"][metric].low
        assert f"{metric}_null" in figures["piano"]
    assert "mirdd_open_js" not in figures["piano"]
    assert sanity_measures.warnings(heard["piano"], heard["reference"])


def heard_of(values, recordings):
    return [
        sanity_measures.Heard(
            patches={"e": patches}, pieces=np.zeros((1, 1)), described=None, recording=recording
        )
        for patches, recording in zip(values, recordings, strict=True)
    ]


def test_fad_and_its_null_are_of_one_size():
    # Equal music: what is left is the bias, which is that of the null at the same size only.
    draw = np.random.default_rng(1)
    found = []
    for _ in range(6):
        made, real = (draw.standard_normal((n, 6, 8)) for n in (16, 32))
        heard = [heard_of(x, [str(n) for n in range(len(x))]) for x in (made, real)]
        found.append(sanity_measures._fad(heard[0], heard[1], "e", draw))
    value, null = (np.mean([each[name].value for each in found]) for name in ("fad", "fad_null"))
    assert value == pytest.approx(null, rel=0.12)  # 3/4 of it against all of the reference
    assert all(each["fad"].items == each["fad_null"].items == 16 for each in found)


def test_the_gap_of_the_same_clips_is_sharper_than_the_figures_are():
    draw = np.random.default_rng(0)
    names = [str(n) for n in range(12)]
    pieces = 3 * draw.standard_normal((12, 1, 4)) + draw.standard_normal((12, 6, 4))
    others = 3 * draw.standard_normal((24, 1, 4)) + draw.standard_normal((24, 6, 4))
    clean, real = heard_of(pieces, names), heard_of(others, [f"r{n}" for n in range(24)])
    worse = heard_of(2.0 * pieces, names)
    nothing = sanity_measures.gap(clean, clean, real, "e")
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 0)
    gap = sanity_measures.gap(worse, clean, real, "e")
    figures = [
        fad.evaluate([h.patches["e"] for h in s], list(others), draw) for s in (clean, worse)
    ]
    one, other = (each["fad_all"] for each in figures)
    assert gap.value == pytest.approx(other.value - one.value, rel=1e-9)
    assert gap.low > 0
    assert gap.high - gap.low < (one.high - one.low) + (other.high - other.low)


@pytest.mark.parametrize("kind", sanity.GRADES)
def test_damage_grows_with_its_grade_at_the_same_loudness(kind):
    wave = np.repeat(notes(4.5, 3, rate=RATE), 2, axis=0).astype(np.float32)
    audio = sanity_material.levelled(Audio(samples=wave, sample_rate=RATE))
    errors = []
    for amount in sanity.GRADES[kind]:
        spoilt = sanity_measures.damage(kind, amount, number=0)(audio)
        assert integrated_loudness(spoilt.samples, RATE) == pytest.approx(
            sanity.LOUDNESS_LUFS, abs=0.01
        )
        errors.append(float(np.sqrt(np.mean((spoilt.samples - audio.samples) ** 2))))
    assert errors[-1] > 0  # two pieces may be shuffled into their own order
    if kind in ("noise", "low_pass"):
        assert errors == sorted(errors)
