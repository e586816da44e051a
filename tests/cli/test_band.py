"""`ritornello band`: stems on top of one another, exact bars, the same again, going on."""

import json

import numpy as np
import pytest
from tests.stemgen.conftest import RATE, drawn_player, noise

from ritornello.audio.io import read_audio, read_provenance, write_audio
from ritornello.cli.main import main


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("band") / "model"
    drawn_player().save(folder)
    return folder


@pytest.fixture
def band(capsys, model):
    """Run `ritornello band` with --json: exit code, result."""

    def call(*words):
        code = main(["band", str(model), *map(str, words), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return call


def same(one, other):
    return np.array_equal(read_audio(one).samples, read_audio(other).samples)


def test_a_band_has_exact_bars_and_goes_on_where_it_was_interrupted(tmp_path, band):
    first, second = tmp_path / "one", tmp_path / "two"
    words = ["--stems", "drums,bass,keys", "--bars", 1, "--bpm", 150]
    code, result = band(*words, "-o", first)
    assert code == 0, result
    assert [one["stem"] for one in result["stems"]] == ["drums", "bass", "chords"]
    names = ["bass.wav", "drums.wav", "keys.wav", "mix.wav", "session.json"]
    assert sorted(path.name for path in first.iterdir()) == names
    stems = {name: read_audio(first / name) for name in names[:4]}
    assert {stem.samples.shape for stem in stems.values()} == {(1, round(1.6 * RATE))}
    assert read_provenance(first / "drums.wav")["how"] == "band"

    total = 0
    for name in names[:3]:
        gain = 10 ** (-read_provenance(first / name)["gain_db"] / 20)
        total = total + gain * stems[name].samples
    mixed = stems["mix.wav"].samples * 10 ** (-read_provenance(first / "mix.wav")["gain_db"] / 20)
    np.testing.assert_allclose(mixed, total, atol=1e-5)

    # Interrupted after the first stem: the rest comes out as it would have.
    second.mkdir()
    for name in ("drums.wav", "session.json"):
        (second / name).write_bytes((first / name).read_bytes())
    code, result = band(*words, "-o", second, "--resume")
    assert code == 0, result
    assert [one["was_there"] for one in result["stems"]] == [True, False, False]
    assert all(same(first / name, second / name) for name in names[:4])
    code, result = band(*words, "-o", second, "--seed", 1)
    assert code == 1
    assert "holds another session" in result["error"]


def test_a_band_on_top_of_a_mix_has_its_length_rate_and_channels(tmp_path, band):
    write_audio(tmp_path / "start.wav", noise(1.503, 4410, 2))
    words = ["--stems", "bass", "--mix", tmp_path / "start.wav", "--loop", "-o", tmp_path / "out"]
    assert band(*words)[0] == 0
    mixed, start = (read_audio(tmp_path / name) for name in ("out/mix.wav", "start.wav"))
    assert (mixed.samples.shape, mixed.sample_rate) == (start.samples.shape, 4410)
    assert read_audio(tmp_path / "out/bass.wav").samples.shape == (1, round(1.503 * RATE))


def test_a_plan_makes_nothing(tmp_path, band, capsys, model):
    code, result = band("--stems", "drums,bass", "-o", tmp_path / "out", "--plan")
    assert code == 0
    assert result["seconds"] == pytest.approx(8 * 4 * 60 / 110)
    assert [one["seed"] for one in result["stems"]] == [0, 1]
    assert not (tmp_path / "out").exists()
    words = ["band", str(model), "--stems", "drums", "-o", str(tmp_path / "out"), "--plan"]
    assert main(words) == 0
    assert "drums.wav" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--stems", "drums,drums"], 2, "expected different names"),
        (["--stems", "mix"], 2, "mix is taken"),
        (["--stems", "kazoo"], 1, "no stem 'kazoo'"),
        (["--stems", "bass", "--bars", "0"], 1, "bars is 0"),
        (["--stems", "bass", "--mix", "MIX", "--bars", "4"], 1, "leave out --bars"),
        (["--stems", "bass", "--edit", "0:1"], 1, "takes no --edit"),
        (["--stems", "bass", "--resume"], 1, "has no session.json"),
    ],
)
def test_what_makes_no_band(tmp_path, band, words, code, message):
    write_audio(tmp_path / "mix.wav", noise(1.5))
    words = [tmp_path / "mix.wav" if word == "MIX" else word for word in words]
    found, result = band(*words, "-o", tmp_path / "out")
    assert found == code
    assert message in result["error"]
    assert not (tmp_path / "out" / "bass.wav").exists()


def test_a_folder_with_other_things_is_left_alone(tmp_path, band):
    (tmp_path / "notes.txt").write_text("mine")
    code, result = band("--stems", "bass", "-o", tmp_path)
    assert code == 1
    assert "holds no session" in result["error"]


@pytest.mark.parametrize(
    "words", [["--bpm", 0], ["--bpm", 1000], ["--temperature", 9], ["--seed", -1]]
)
def test_what_a_stem_would_be_refused_for_is_refused_before_anything_is_written(
    tmp_path, band, words
):
    code, result = band("--stems", "drums", *words, "-o", tmp_path / "out")
    assert code == 1, result
    assert not (tmp_path / "out").exists()


def test_a_tempo_beside_a_mix_is_refused(tmp_path, band):
    write_audio(tmp_path / "mix.wav", noise(2))
    words = ["--mix", tmp_path / "mix.wav", "--bpm", 90, "-o", tmp_path / "out"]
    code, result = band("--stems", "drums", *words)
    assert code == 1
    assert "leave out --bpm" in result["error"]
