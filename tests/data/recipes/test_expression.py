import numpy as np
import pytest

from ritornello.data.recipes.expression import (
    CONTRAST,
    LOUDNESS,
    MANNERS,
    manner_of,
    perform,
)
from ritornello.data.recipes.midi import read_midi, to_seconds
from tests.data.recipes.conftest import chorale


@pytest.fixture
def score(tmp_path, write_midi):
    return read_midi(write_midi(tmp_path / "score.mid", chorale(bars=32)))


def performances(score, composer="Chopin", count=12):
    return [perform(score, composer, np.random.default_rng(seed)) for seed in range(count)]


def test_every_note_is_played_once_and_possible(score):
    for played, _ in performances(score):
        assert sorted(played.pitch) == sorted(score.pitch)
        assert played.onset.min() >= 0
        assert (played.offset > played.onset).all()
        assert (np.diff(played.onset) >= 0).all()
        assert played.velocity.min() >= 1
        assert played.velocity.max() <= 127
        for key in np.unique(played.pitch):
            at = played.pitch == key
            assert (played.offset[at][:-1] <= played.onset[at][1:]).all()


def test_the_same_seed_plays_the_same_and_another_does_not(score):
    first, style = perform(score, "Chopin", np.random.default_rng(5))
    again, same_style = perform(score, "Chopin", np.random.default_rng(5))
    other, _ = perform(score, "Chopin", np.random.default_rng(6))
    assert style == same_style
    assert np.array_equal(first.onset, again.onset)
    assert np.array_equal(first.pedal, again.pedal)
    assert not np.array_equal(first.velocity, other.velocity)


def test_loudness_and_contrast_are_those_of_human_performances(score):
    played = performances(score, count=30)
    means = [performance.velocity.mean() for performance, _ in played]
    spreads = [performance.velocity.std() for performance, _ in played]
    assert np.mean(means) == pytest.approx(LOUDNESS[0], abs=5)
    assert np.mean(spreads) == pytest.approx(CONTRAST[0], abs=3)
    assert np.std(means) > 3


def chords(played):
    """Index arrays of the notes that are struck together."""
    starts = np.nonzero(np.diff(played.onset) > 0.1)[0] + 1
    return [at for at in np.split(np.arange(len(played.onset)), starts) if len(at) >= 3]


def test_the_melody_is_louder_and_earlier_than_its_chord(score):
    louder, earlier = [], []
    for played, _ in performances(score):
        for at in chords(played):
            top = at[np.argmax(played.pitch[at])]
            rest = at[at != top]
            louder.append(played.velocity[top] - played.velocity[rest].mean())
            earlier.append(played.onset[rest].mean() - played.onset[top])
    assert 5 < np.mean(louder) < 16
    assert 0.003 < np.mean(earlier) < 0.016
    assert 0.005 < np.std(earlier) < 0.03


def test_the_end_slows_down(score):
    last_bar = 4 * 4
    for played, style in performances(score):
        melody = played.onset[played.pitch >= 70]
        steady = np.median(np.diff(melody))
        assert np.diff(melody)[-3:].mean() > 1.1 * steady
        assert style.final < 0.8
        assert len(melody) > last_bar


def test_the_tempo_stays_near_the_written_one(score):
    written = to_seconds(np.array([score.offset.max()]), score.tempo)[0]
    for composer in ("Bach", "Mozart", "Chopin", "Joplin"):
        for played, style in performances(score, composer, count=4):
            ritardando_s = 4.0
            assert abs(played.duration_s * style.speed - written) < 0.1 * written + ritardando_s


def test_romantics_bend_time_and_pedal_more_than_the_baroque(score):
    def bends(composer):
        bars = [
            np.diff(played.onset[played.pitch >= 70][:-16:4])
            for played, _ in performances(score, composer)
        ]
        return np.mean([bar.std() / bar.mean() for bar in bars])

    def pedalled(composer):
        shares = []
        for played, _ in performances(score, composer):
            assert (np.diff(played.pedal[:, 0]) > 0).all()
            assert played.pedal[1::2, 1].max(initial=0) == 0
            down_s = np.diff(played.pedal[:, 0])[::2].sum()
            shares.append(down_s / played.duration_s)
        return np.mean(shares)

    assert bends("Chopin") > 1.5 * bends("Bach") > 0.01
    assert pedalled("Chopin") > 0.5 > 0.3 > pedalled("Bach")


def test_pedal_changes_with_the_harmony(score):
    """The chorale's harmony changes every bar: no pedal holds on into the next one."""
    played, style = perform(score, "Chopin", np.random.default_rng(1))
    bass = played.pitch < 60
    third_of_chord = (52, 57, 59)
    down, up = played.pedal[::2, 0], played.pedal[1::2, 0]
    for begin, end in zip(down, up, strict=True):
        inside = bass & (played.onset > begin - 0.2) & (played.onset < end - 0.1)
        assert len(set(played.pitch[inside]) & set(third_of_chord)) <= 1
    assert style.manner == "romantic"


def test_written_dynamics_are_kept(tmp_path, write_midi):
    notes = [
        (start, length, pitch, 40 if start < 16 * 4 * 384 else 100)
        for start, length, pitch, _ in chorale(bars=32)
    ]
    score = read_midi(write_midi(tmp_path / "dynamics.mid", notes))
    for played, _ in performances(score):
        half = len(played.velocity) // 2
        assert played.velocity[half:].mean() > played.velocity[:half].mean() + 15


def test_a_score_without_a_tempo_mark_is_not_played_at_the_engravers_default(tmp_path, write_midi):
    import mido

    slow = [(0, mido.MetaMessage("set_tempo", tempo=1_000_000))]
    score = read_midi(write_midi(tmp_path / "slow.mid", chorale(), others=slow))
    speeds = [style.speed for _, style in performances(score)]
    assert 1.2 < np.mean(speeds) <= 1.6


def test_a_score_of_one_note_can_be_played(tmp_path, write_midi):
    score = read_midi(write_midi(tmp_path / "one.mid", [(0, 384, 60, 90)]))
    played, _ = perform(score, "Satie", np.random.default_rng(0))
    assert played.duration_s > 0.1


def test_composers_have_their_manner():
    assert manner_of("Johann Sebastian Bach") == "baroque"
    assert manner_of("Mozart") == "classical"
    assert manner_of("Joplin") == "dance"
    assert manner_of("Somebody Else") == "romantic"
    assert MANNERS["baroque"].pedal < MANNERS["romantic"].pedal
