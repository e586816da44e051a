"""Judging: nulls beside figures, warnings of what they are worth, and clear refusals."""

import json
from collections import Counter

import numpy as np
import pytest

from ritornello.audio.io import write_audio
from ritornello.errors import DataError
from ritornello.evaluation.clips import Clip, clips_of
from ritornello.evaluation.hearing import Hearing
from ritornello.evaluation.intervals import Estimate
from ritornello.evaluation.judgement import METRICS, Judgement, judge, named_after
from ritornello.evaluation.long_pieces import hear_long, judge_long
from ritornello.evaluation.reading import apart, beside, best_of, judged, reading, shown
from ritornello.evaluation.sets import Heard, bandwidth_hz, gaps, hear
from ritornello.interfaces import Audio

RATE = 16000
FAST = ("frechet", "diversity", "stereo", "level")


def melody(draw, seconds=1.0, rate=RATE, channels=2, gain=0.1):
    """Notes of random pitch, each fading, with a little noise that differs between channels."""
    time = np.arange(int(0.25 * rate)) / rate
    notes = [
        np.sin(2 * np.pi * 440 * 2 ** (draw.integers(-12, 12) / 12) * time) * np.exp(-6 * time)
        for _ in range(int(seconds / 0.25))
    ]
    mono = gain * np.concatenate(notes)
    noise = 0.1 * gain * draw.standard_normal((channels, mono.size))
    return Audio(samples=(mono + noise).astype(np.float32), sample_rate=rate)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Melodies for the reference, others like them, noise, and mono melodies at another rate."""
    draw = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("sets")
    makers = {
        "real": lambda: melody(draw),
        "alike": lambda: melody(draw),
        "noise": lambda: Audio(
            samples=draw.uniform(-1, 1, (2, RATE)).astype(np.float32), sample_rate=RATE
        ),
        "mono": lambda: melody(draw, rate=8000, channels=1),
    }
    for name, make in makers.items():
        (root / name).mkdir()
        for number in range(8 if name == "real" else 4):
            write_audio(root / name / f"{number}.wav", make())
    return root


def clips(folder, count=4, seconds=1.0):
    return clips_of(folder, seconds=seconds, count=count)


@pytest.fixture(scope="module")
def judgements(folders):
    real = clips(folders / "real", 8)
    return {
        name: judge(clips(folders / name), real, draw=np.random.default_rng(0), metrics=FAST)
        for name in ("alike", "noise")
    }


def test_music_of_the_same_kind_is_nearer_than_noise(judgements):
    alike, noise = (judgements[name].figures["frechet_distance"] for name in ("alike", "noise"))
    assert alike.high < noise.low
    null = judgements["noise"].figures["frechet_distance_null"]
    assert null.high < noise.low
    assert null.items == noise.items == 4


def test_a_reference_is_heard_once_for_all_sets_and_says_the_same(folders, judgements, monkeypatch):
    real = Hearing(clips(folders / "real", 8), "reference")
    made = {name: clips(folders / name) for name in (*judgements, "mono")}
    read, times = Clip.read, Counter()

    def counted(clip, *words, **named):
        times[clip.path.parent.name, clip.path.name] += 1
        return read(clip, *words, **named)

    monkeypatch.setattr(Clip, "read", counted)
    for name, before in judgements.items():
        found = judge(made[name], real, draw=np.random.default_rng(0), metrics=FAST)
        assert found.to_json() == before.to_json()
    assert len(times) == 8 + 4 + 4
    assert set(times.values()) == {1}
    # At another rate it is another measurement.
    judge(made["mono"], real, draw=np.random.default_rng(0), metrics=("level",))
    assert {times["real", f"{number}.wav"] for number in range(8)} == {2}


def test_the_reference_stands_beside_what_is_measured_of_clips(judgements):
    figures = judgements["alike"].figures
    for name in ("left_right_correlation", "loudness_dbfs", "bandwidth_hz", "onset_rate_hz"):
        made, real = figures[name], beside(name, figures)
        assert real is figures[f"{name}_real"]
        assert not apart(made, real)
    assert not any(name.endswith(("_null", "_real")) for name in judged(figures))


def test_differences_of_level_and_bandwidth_are_told(judgements):
    assert any("dB louder than the reference" in told for told in judgements["noise"].warnings)
    assert not any("louder" in told for told in judgements["alike"].warnings)
    assert any("Distances compare 4 clips a side" in told for told in judgements["alike"].warnings)


def heard(level, bandwidth):
    row = {"loudness_dbfs": level, "bandwidth_hz": bandwidth}
    return [Heard(features=np.zeros((1, 1)), row=row, width=None)]


def test_a_band_limited_side_is_named():
    (told,) = gaps({"generated": heard(-20.0, 8000.0), "reference": heard(-20.0, 16000.0)})
    assert told.startswith("The generated clips end near 8000 Hz")
    assert gaps({"generated": heard(-20.0, 15000.0), "reference": heard(-19.0, 16000.0)}) == []


def test_bandwidth_of_a_sum_of_sines():
    time = np.arange(RATE) / RATE
    wave = np.sin(2 * np.pi * 440 * time) + 0.01 * np.sin(2 * np.pi * 3000 * time)
    audio = Audio(samples=0.4 * wave[None].astype(np.float32), sample_rate=RATE)
    assert bandwidth_hz(audio) == pytest.approx(3000, abs=3 * RATE / 512)


def test_rates_and_channels_may_differ_and_it_is_said(folders):
    found = judge(
        clips(folders / "mono"),
        clips(folders / "real", 8),
        draw=np.random.default_rng(0),
        metrics=("level",),
    )
    assert found.material["compared_at_hz"] == 8000
    assert any("Sample rates differ (8000, 16000 Hz)" in told for told in found.warnings)
    assert any("Channels differ" in told for told in found.warnings)


def test_a_metric_that_cannot_judge_is_left_out_with_a_reason_or_refused(folders):
    mono, real = clips(folders / "mono"), clips(folders / "real", 8)
    with pytest.raises(DataError, match="one channel, which have no width"):
        judge(mono, real, draw=np.random.default_rng(0), metrics=("stereo",))
    with pytest.raises(DataError, match="got no embedding"):
        judge(mono, real, draw=np.random.default_rng(0), metrics=("fad",))
    with pytest.raises(DataError, match=r"no metric 'fda'; expected fad, "):
        judge(mono, real, draw=np.random.default_rng(0), metrics=("fda",))


def test_clips_of_different_lengths_cannot_be_compared(folders):
    with pytest.raises(DataError, match=r"clips last \[0.5, 1.0\] s"):
        judge(
            clips(folders / "alike", seconds=0.5),
            clips(folders / "real"),
            draw=np.random.default_rng(0),
        )


def test_the_same_recordings_on_both_sides_are_told(folders):
    real = clips(folders / "real")
    found = judge(real, real, draw=np.random.default_rng(0), metrics=("level",))
    assert any("4 recordings on both sides" in told for told in found.warnings)


def test_no_metric_of_clips_need_be_asked_where_long_pieces_are_judged(folders):
    real = clips(folders / "real", 8)
    judgement = judge(real, real, draw=np.random.default_rng(0), metrics=[])
    assert not judgement.figures


def test_one_clip_is_enough_for_its_own_figures(folders):
    one = clips(folders / "alike", 1)
    found = judge(
        one, clips(folders / "real", 2), draw=np.random.default_rng(0), metrics=("level",)
    )
    assert found.figures["onset_rate_hz"].items == 1


def test_json_brings_the_judgement_back(judgements):
    judgement = judgements["alike"].with_more({}, ["one more"], speed={"seconds": 1.0})
    again = Judgement.from_json(json.loads(json.dumps(judgement.to_json(), allow_nan=False)))
    assert again.figures == judgement.figures
    assert again.warnings[-1] == "one more"
    assert again.to_json() == judgement.to_json()


def test_what_is_not_finite_survives_json():
    nan = Estimate(value=float("nan"), low=0.0, high=float("inf"), items=2)
    values = json.loads(
        json.dumps(Judgement(name="x", figures={"a": nan}).to_json(), allow_nan=False)
    )
    again = Judgement.from_json(values).figures["a"]
    assert np.isnan(again.value)
    assert shown(again.value) == "not known"


@pytest.mark.parametrize("wrong", [{}, {"format": 1}, {"format": 9}])
def test_other_json_is_refused(wrong):
    with pytest.raises(DataError, match="judge again"):
        Judgement.from_json(wrong)


def test_rows_hold_every_clip_of_both_sides(folders, judgements):
    rows = judgements["alike"].rows
    assert [row["set"] for row in rows].count("reference") == 8
    assert sum(rows[0]["chroma"]) == pytest.approx(1, abs=1e-3)
    row = hear(clips(folders / "alike", 1)[0], "generated", RATE).row
    assert row["loudness_dbfs"] == pytest.approx(rows[0]["loudness_dbfs"])


def test_further_embeddings_have_their_names():
    one = Estimate(value=1.0, low=0.0, high=2.0, items=3)
    named = named_after("codec", {"fad": one, "fad_null": one})
    assert list(named) == ["fad_codec", "fad_codec_null"]
    assert beside("fad_codec", named) is one
    assert reading("fad_codec").label == "FAD: codec"


def estimate(value, reach=0.5, items=20):
    return Estimate(value=value, low=value - reach, high=value + reach, items=items)


def test_best_only_where_intervals_are_apart():
    far, near = {"a": estimate(1.0), "b": estimate(3.0)}, {"a": estimate(1.0), "b": estimate(1.5)}
    assert best_of("fad", far, None) == "a"
    assert best_of("fad", near, None) is None
    assert best_of("fad", {"a": estimate(1.0)}, None) is None
    assert best_of("variety_ratio", far, estimate(2.9)) == "b"
    assert best_of("variety_ratio", far, None) is None
    few = {name: estimate(each.value, items=2) for name, each in far.items()}
    assert best_of("fad", few, None) is None


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (12345.6, "12,346"), (0.1234, "0.123"), (2e-5, "2.0e-05")]
)
def test_figures_as_people_write_them(value, text):
    assert shown(value) == text


@pytest.mark.slow
def test_what_says_nothing_of_these_clips_is_left_out_and_told(folders):
    found = judge(
        clips(folders / "mono"), clips(folders / "real", 8), draw=np.random.default_rng(0)
    )
    left_out = [metric for metric in METRICS if any(f"No {metric}:" in w for w in found.warnings)]
    assert left_out == ["fad", "kid", "mirdd", "stereo"]
    assert "frechet_distance" in found.figures


@pytest.mark.slow
def test_distances_in_the_space_of_an_embedding(tmp_path):
    from ritornello.evaluation.embedding import load_embedding

    draw = np.random.default_rng(0)
    for name, count in (("real", 16), ("made", 8)):
        (tmp_path / name).mkdir()
        for number in range(count):
            write_audio(tmp_path / name / f"{number}.wav", melody(draw, seconds=3.0))
    made, real = (clips(tmp_path / name, n, seconds=3.0) for name, n in (("made", 8), ("real", 16)))
    musicnn = load_embedding("musicnn")
    found = judge(made, real, draw=draw, embeddings=[musicnn], metrics=("fad", "kid"))
    assert found.material["embeddings"] == {"musicnn": musicnn.key}
    for name in ("fad", "kid"):
        assert not apart(found.figures[name], found.figures[f"{name}_null"])
    assert any("patches" in warning for warning in found.warnings)


@pytest.mark.slow
def test_long_pieces_have_structure_and_say_what_they_cannot(tmp_path):
    draw = np.random.default_rng(0)
    for name in ("a", "b"):
        write_audio(tmp_path / f"{name}.wav", melody(draw, seconds=30.0))
    pieces = clips(tmp_path, 2, seconds=30.0)
    figures, rows, warnings = judge_long(
        {what: hear_long(pieces, what) for what in ("generated", "reference")}, draw
    )
    assert figures["repetition"].items == 2
    assert beside("repetition", figures) is figures["repetition_real"]
    assert "repetition_null_real" not in figures
    assert len(rows) == 4
    # 30 s are too short for drifts, which is said once of each piece.
    assert "key_agreement" not in figures
    assert len(warnings) == 2
