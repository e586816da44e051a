import mido
import numpy as np
import pytest

from ritornello.data.recipes.midi import (
    Performance,
    as_played,
    is_performance,
    read_midi,
    to_seconds,
    without_silences,
)
from ritornello.errors import DataError
from tests.data.recipes.conftest import chorale, improvisation


def test_notes_come_sorted_in_quarters_and_drums_are_dropped(tmp_path, write_midi):
    notes = [(384, 192, 64, 80), (0, 384, 60, 90), (0, 384, 38, 100, 9), (0, 10, 110, 50)]
    piece = read_midi(write_midi(tmp_path / "a.mid", notes))
    assert piece.pitch.tolist() == [60, 64]
    assert piece.onset.tolist() == [0.0, 1.0]
    assert piece.offset.tolist() == [1.0, 1.5]
    assert piece.velocity.tolist() == [90, 80]


def test_a_key_is_struck_by_one_hand_at_a_time(tmp_path, write_midi):
    unison = [(0, 768, 60, 50, 0), (0, 384, 60, 90, 1)]
    struck_again = [(384, 384, 60, 70, 1)]
    piece = read_midi(write_midi(tmp_path / "a.mid", unison + struck_again))
    assert piece.onset.tolist() == [0.0, 1.0]
    assert piece.offset.tolist() == [1.0, 2.0]
    assert piece.velocity.tolist() == [90, 70]


def test_seconds_follow_every_change_of_tempo(tmp_path, write_midi):
    tempi = [(0, mido.MetaMessage("set_tempo", tempo=500_000))]
    tempi += [(768, mido.MetaMessage("set_tempo", tempo=1_000_000))]
    piece = read_midi(write_midi(tmp_path / "a.mid", [(0, 1536, 60, 90)], others=tempi))
    assert to_seconds(np.array([0.0, 1.0, 2.0, 3.5]), piece.tempo).tolist() == [0, 0.5, 1, 2.5]


def test_compound_metres_beat_in_dotted_quarters(tmp_path, write_midi):
    metre = [(0, mido.MetaMessage("time_signature", numerator=6, denominator=8))]
    piece = read_midi(write_midi(tmp_path / "a.mid", [(0, 384, 60, 90)], others=metre))
    assert piece.metre.tolist() == [[0.0, 3.0, 1.5]]


def test_scores_and_performances_are_told_apart(tmp_path, write_midi):
    loud_and_soft = [(*note[:3], 40 + index % 60) for index, note in enumerate(chorale())]
    after_a_grace_note = [(start + 7, *rest) for start, *rest in loud_and_soft]
    assert is_performance(read_midi(write_midi(tmp_path / "p.mid", improvisation())))
    for name, notes in {
        "plain": chorale(),
        "dynamics": loud_and_soft,
        "shifted": after_a_grace_note,
        "one velocity off the grid": [(*note[:3], 90) for note in improvisation()],
    }.items():
        assert not is_performance(read_midi(write_midi(tmp_path / f"{name}.mid", notes))), name


@pytest.mark.parametrize("content", [b"", b"MThd", b"RIFF not MIDI at all", b"\xff" * 300])
def test_broken_files_are_named(tmp_path, content):
    path = tmp_path / "broken.mid"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.mid is not a readable MIDI file"):
        read_midi(path)


def test_a_file_cut_short_is_named(tmp_path, write_midi):
    path = write_midi(tmp_path / "cut.mid", chorale())
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"cut\.mid"):
        read_midi(path)


def test_a_file_without_piano_notes_is_named(tmp_path, write_midi):
    with pytest.raises(DataError, match="holds no notes for a piano"):
        read_midi(write_midi(tmp_path / "drums.mid", [(0, 10, 38, 100, 9)]))


def performance(onset, offset, pedal=()):
    count = len(onset)
    return Performance(
        onset=np.array(onset, dtype=float),
        offset=np.array(offset, dtype=float),
        pitch=np.arange(60, 60 + count),
        velocity=np.full(count, 64.0),
        pedal=np.array(pedal, dtype=float).reshape(-1, 2),
    )


def test_long_silences_are_shortened_and_nothing_else():
    played = performance([100.0, 101.0, 150.0], [100.5, 103.0, 151.0], [(149.9, 127), (151, 0)])
    short = without_silences(played, longest_s=3.0, lead_s=0.25)
    assert short.onset == pytest.approx([0.25, 1.25, 6.25])
    assert short.offset - short.onset == pytest.approx(played.offset - played.onset)
    assert short.pedal[:, 0] == pytest.approx([6.15, 7.25])


def test_held_notes_are_not_silence():
    held = without_silences(performance([0.25, 1.0, 9.0], [8.0, 1.5, 10.0]), longest_s=3.0)
    assert held.onset == pytest.approx([0.25, 1.0, 9.0])


def test_a_performance_is_played_as_it_is(tmp_path, write_midi):
    pedal = [(200, mido.Message("control_change", control=64, value=127))]
    notes = improvisation()
    played = as_played(read_midi(write_midi(tmp_path / "p.mid", notes, others=pedal)))
    ticks = np.array([note[0] for note in notes])
    assert np.diff(played.onset) == pytest.approx(np.diff(ticks) * 0.5 / 384)
    assert played.velocity.tolist() == [note[3] for note in notes]
    assert played.pedal[0, 1] == 127
