"""Copies are caught however they are disguised, fresh music is not, and the chances are honest."""

import math
from pathlib import Path

import numpy as np
import pytest

from ritornello.audio.io import write_audio
from ritornello.errors import DataError
from ritornello.evaluation import originality
from ritornello.evaluation.clips import Clip, ClipSet, clips_of
from ritornello.evaluation.nearness import FALSE_ALARM, Search, are_copies, chances, judge
from ritornello.evaluation.originality import search_embedded, thinned
from ritornello.interfaces import Audio
from tests.evaluation.melodies import RATE, cut, mixed, noisy, played, resampled

SECONDS = 12.0
COPIES = {
    "shifted": lambda: cut(played(0, 30), 7.77, SECONDS),
    "soft": lambda: 0.25 * cut(played(1, 30), 10.0, SECONDS),
    "noise": lambda: noisy(cut(played(2, 30), 3.2, SECONDS), 15),
    "faster": lambda: cut(resampled(played(3, 30), 3), 5.0, SECONDS),
    "slower": lambda: cut(resampled(played(4, 30), -3), 5.0, SECONDS),
    "higher": lambda: cut(played(5, 30, semitones=3), 6.1, SECONDS),
    "lower": lambda: cut(played(0, 30, semitones=-3), 6.1, SECONDS),
    "mixed": lambda: mixed(cut(played(1, 30), 2.5, SECONDS), played(90, SECONDS)),
}
SOURCES = [0, 1, 2, 3, 4, 5, 0, 1]
FRESH = 4


def folder_of(folder, waves):
    folder.mkdir()
    for name, wave in waves.items():
        write_audio(folder / f"{name}.wav", Audio(samples=wave, sample_rate=RATE), subtype="PCM_16")
    return folder


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Outputs of which half are copies, training and held-out pieces."""
    place = tmp_path_factory.mktemp("music")
    outputs = {name: make() for name, make in COPIES.items()}
    outputs |= {f"fresh-{seed}": played(40 + seed, SECONDS) for seed in range(FRESH)}
    training = {f"piece-{seed}": played(seed, 30) for seed in range(6)}
    held_out = {f"held-{seed}": played(60 + seed, SECONDS) for seed in range(12)}
    return (
        clips_of(folder_of(place / "outputs", outputs), seconds=SECONDS, count=None),
        clips_of(folder_of(place / "training", training), seconds=5, count=6),
        clips_of(folder_of(place / "held-out", held_out), seconds=SECONDS, count=None),
    )


@pytest.fixture(scope="module")
def found(sets):
    return originality.evaluate(*sets, draw=np.random.default_rng(0))


def pair_of(found, name):
    (pair,) = [pair for pair in found.closest if pair.output.path.stem == name]
    return pair


@pytest.mark.parametrize(("name", "source"), list(zip(COPIES, SOURCES, strict=True)))
def test_planted_copies_are_caught(found, name, source):
    pair = pair_of(found, name)
    assert pair.copied
    assert pair.training.path.stem == f"piece-{source}"
    assert pair.nearer_than == 1


def test_copies_come_first_and_fresh_pieces_are_not_called_copies(found):
    order = [pair.output.path.stem for pair in found.closest]
    assert set(order[: len(COPIES)]) == set(COPIES)
    assert not any(pair.copied for pair in found.closest[len(COPIES) :])
    assert not any(pair.copied for pair in found.held_out)


def test_the_pair_says_where_and_how(found):
    pair = pair_of(found, "shifted")
    assert pair.training.start_s - pair.output.start_s == pytest.approx(7.77, abs=0.15)
    assert pair.semitones == pytest.approx(0, abs=0.3)
    assert pair.tempo == 1
    faster = pair_of(found, "faster")
    assert faster.semitones == pytest.approx(3, abs=0.3)
    assert faster.tempo == pytest.approx(2 ** (3 / 12), abs=0.02)
    assert faster.training.seconds == pytest.approx(faster.output.seconds * faster.tempo)
    assert pair_of(found, "lower").semitones == pytest.approx(-3, abs=0.3)
    # The excerpts are the same music: sample by sample where nothing was changed.
    ours, theirs = (clip.read().samples[0] for clip in (pair.output, pair.training))
    lag = round((pair.training.start_s - pair.output.start_s - 7.77) * RATE)
    length = 5 * RATE
    aligned = ours[2000 : 2000 + length], theirs[2000 - lag : 2000 - lag + length]
    assert np.corrcoef(*aligned)[0, 1] > 0.99


def test_figures_count_the_copies(found):
    figures = found.figures
    assert figures["copied"].value == len(COPIES) / (len(COPIES) + FRESH)
    assert figures["copied_null"].value == 0
    assert figures["copied_null"].high > 0.1
    assert figures["similarity"].low > figures["similarity_null"].high
    assert figures["windows_nearer"].value > 0.3
    assert figures["windows_nearer_null"].value < 0.15
    assert any("only 12 held-out" in told for told in found.warnings)


def test_held_out_music_that_is_in_training_is_told(sets, tmp_path):
    outputs, training, held_out = sets
    leaked = folder_of(tmp_path / "leak", {"leaked": cut(played(5, 30), 8, SECONDS)})
    clips = [*held_out[:9], *clips_of(leaked, seconds=SECONDS, count=None)]
    both = ClipSet(clips, source=tmp_path)
    result = originality.evaluate(outputs[:1], training, both, draw=np.random.default_rng(0))
    assert any("leaked.wav" in told and "both sides" in told for told in result.warnings)
    assert result.figures["copied_null"].value == pytest.approx(1 / 10)


def test_sets_that_cannot_be_compared(sets):
    outputs, training, held_out = sets
    draw = np.random.default_rng(0)
    with pytest.raises(DataError, match="7 held-out clips; expected at least 1, 1 and 8"):
        originality.evaluate(outputs, training, held_out[:7], draw=draw)
    with pytest.raises(DataError, match="training recordings as well"):
        originality.evaluate(outputs, held_out, held_out, draw=draw)
    shorter = clips_of(held_out.source, seconds=6, count=8)
    with pytest.raises(DataError, match="one length for all"):
        originality.evaluate(outputs, training, shorter, draw=draw)


def test_outputs_that_are_the_held_out_music_are_refused(sets, tmp_path):
    outputs, training, held_out = sets
    with pytest.raises(DataError, match="12 outputs are held-out recordings as well"):
        originality.validate(held_out, training, held_out)
    (tmp_path / "take.wav").write_bytes(held_out[3].path.read_bytes())
    (tmp_path / "other.wav").write_bytes(outputs[0].path.read_bytes())
    renamed = clips_of(tmp_path, seconds=SECONDS, count=None)
    with pytest.raises(DataError, match=r"1 outputs are held-out .*take\.wav"):
        originality.validate(renamed, training, held_out)
    originality.validate(outputs, training, held_out)


def test_clips_of_few_recordings_are_told(sets, tmp_path):
    """Sixty clips are not enough when they are of six recordings."""
    outputs, training, _ = sets
    folder_of(tmp_path / "long", {f"l{seed}": played(70 + seed, 24) for seed in range(4)})
    held_out = clips_of(tmp_path / "long", seconds=6, count=16)
    made = clips_of(outputs.source, seconds=6, count=1)
    result = originality.evaluate(made, training, held_out, draw=np.random.default_rng(0))
    assert result.settings["held_out_recordings"] == 4
    assert any("16 held-out clips of 4 recordings" in told for told in result.warnings)
    assert any("below 60 recordings" in told for told in result.warnings)


def test_clips_without_notes_are_left_out_and_told(sets, tmp_path):
    _, training, held_out = sets
    hum = 0.3 * np.sin(2 * np.pi * 110 * np.arange(round(SECONDS * RATE)) / RATE)[None]
    write_audio(tmp_path / "hum.wav", Audio(samples=hum.astype(np.float32), sample_rate=RATE))
    write_audio(tmp_path / "music.wav", Audio(samples=played(47, SECONDS), sample_rate=RATE))
    both = clips_of(tmp_path, seconds=SECONDS, count=None)
    result = originality.evaluate(both, training, held_out[:8], draw=np.random.default_rng(0))
    assert result.figures["copied"].items == 1
    assert any(told.startswith("1 outputs were left out") for told in result.warnings)
    alone = ClipSet([clip for clip in both if clip.path.stem == "hum"], source=tmp_path)
    with pytest.raises(DataError, match="0 outputs and 8 held-out"):
        originality.evaluate(alone, training, held_out[:8], draw=np.random.default_rng(0))


def test_everything_becomes_json(found):
    import json

    again = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert again["closest"][0]["similarity"] == found.closest[0].similarity
    assert again["figures"]["copied"]["items"] == len(COPIES) + FRESH


def searches(similarities):
    """Clips of one window each, every one of a recording of its own."""
    return [
        Search(
            similarities=np.array([value]),
            output=Clip(name=f"{n}", path=Path(f"{n}.wav"), start_s=0, seconds=10),
            training=Clip(name="t", path=Path("t.wav"), start_s=0, seconds=10),
            semitones=0.0,
            tempo=1.0,
        )
        for n, value in enumerate(similarities)
    ]


def test_repeated_notes_and_long_chords_are_thinned_evenly():
    melody = np.stack([np.arange(5) * 4, np.arange(5)], axis=1)
    repeated = np.stack([np.arange(21, 121, 5), np.full(20, 40)], axis=1)
    chord = np.stack([np.full(16, 130), np.arange(50, 114, 4)], axis=1)
    kept = thinned(np.concatenate([melody, repeated, chord]).astype(np.int32))
    assert kept[:5].tolist() == melody.tolist()
    assert set(np.diff(kept[kept[:, 1] == 40, 0])) == {20}
    assert set(np.diff(kept[kept[:, 0] == 130, 1])) == {16}
    assert len(kept) == 5 + 5 + 4


def test_chances_are_those_of_the_distribution():
    scores = -np.log(-np.log((np.arange(4000) + 0.5) / 4000))  # Gumbel's, at even quantiles
    null = -np.expm1(-(2 + 0.1 * scores))
    for p in (0.5, 0.1, 1e-3, 1e-6):
        score = -math.log(-math.log1p(-p))
        nearest = -np.expm1(np.array([-(2 + 0.1 * score)]))
        assert chances(nearest, null)[0] == pytest.approx(p, rel=0.05)


def test_an_innocent_model_is_rarely_accused():
    draw = np.random.default_rng(0)
    accused = 0
    for _ in range(400):
        outputs, held_out = (1 - 0.5 * np.exp(-draw.gumbel(0, 0.06, n)) for n in (16, 60))
        accused += are_copies(chances(outputs, held_out)).any()
    assert accused / 400 < 2 * FALSE_ALARM  # more than FALSE_ALARM, since 60 clips fit roughly


def test_equal_held_out_clips_have_no_chances():
    with pytest.raises(DataError, match="all equally near"):
        judge(searches([0.5]), searches([0.3] * 10))


def test_an_embedding_finds_the_nearest_patch(sets):
    outputs, training, _ = sets
    draw = np.random.default_rng(0)
    music = [draw.standard_normal((3, 20)).astype(np.float32) for _ in training]
    own = [draw.standard_normal((4, 20)).astype(np.float32) for _ in outputs]
    own[1][2] = music[4][1]
    found = search_embedded(outputs, own, training, music, 1.5)
    nearest = max(found, key=lambda search: search.nearest)
    assert nearest is found[1]
    assert nearest.nearest == pytest.approx(1)
    assert nearest.output.start_s == pytest.approx(3.0)
    assert nearest.training.path == training[4].path
    assert nearest.training.start_s == pytest.approx(training[4].start_s + 1.5)
    assert nearest.semitones is None


class Levels:
    """An embedding by hand: levels of 24 bands in every three seconds."""

    name, key, sample_rate, dim, patch_s = "levels", "1", RATE, 24, 3.0

    def embed(self, wave, sample_rate):
        size = round(self.patch_s * sample_rate)
        mono = wave.mean(axis=0)
        patches = mono[: len(mono) // size * size].reshape(-1, size)
        power = np.abs(np.fft.rfft(patches))[:, : size // 8] ** 2
        bands = np.array_split(power, self.dim, axis=1)
        return np.log([band.sum(axis=1) + 1e-9 for band in bands]).T.astype(np.float32)


def test_an_embedding_is_a_second_opinion(sets):
    outputs, training, held_out = sets
    every_place = clips_of(training.source, seconds=6, count=None)
    result = originality.evaluate(
        outputs[:2], every_place, held_out[:8], draw=np.random.default_rng(0), embedding=Levels()
    )
    assert result.settings["embedding"] == "levels"
    assert len(result.closest_by_embedding) == 2
    assert result.figures["embedding_copied"].items == 2
    assert result.figures["embedding_similarity_null"].items == 8
    for pair in result.closest_by_embedding:
        assert pair.output.seconds == pair.training.seconds == 3
        assert 0.5 < pair.similarity <= 1
