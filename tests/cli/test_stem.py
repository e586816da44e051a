"""`ritornello generate` with a mix: the stem, the mixdown, edits, loops, replay, refusals."""

import json

import numpy as np
import pytest
from tests.stemgen.conftest import RATE, drawn_player, noise

from ritornello.audio.io import read_audio, read_provenance, write_audio
from ritornello.cli.main import main
from ritornello.cli.stems import activity, seconds_range, whole_numbers
from ritornello.errors import ConfigError
from ritornello.interfaces import Audio


@pytest.fixture(scope="module")
def band(tmp_path_factory):
    """A model folder, and a mix in stereo at another rate."""
    folder = tmp_path_factory.mktemp("stems")
    drawn_player().save(folder / "model")
    write_audio(folder / "mix.wav", noise(1.31, 4410, 2))
    return folder


@pytest.fixture
def ritornello(capsys):
    """Run a command line with --json: exit code, result, stderr."""

    def call(*words):
        code = main([*map(str, words), "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out), err

    return call


def test_a_mix_is_answered_with_a_stem_and_replayed(tmp_path, band, ritornello):
    stem, both = tmp_path / "bass.wav", tmp_path / "both.wav"
    words = ["--mix", band / "mix.wav", "--stem", "Bass Guitar", "-o", stem, "--mixdown", both]
    words += ["--bpm", 120, "--activity", "0:play", "--guidance", 1.5, "--steps", "3,2"]
    code, result, _ = ritornello("generate", band / "model", *words)
    assert code == 0, result
    take = result["takes"][0]
    assert (take["stem"], take["seconds"]) == ("bass", 1.31)
    assert read_audio(stem).samples.shape == (1, round(1.31 * RATE))
    mix, mixed = read_audio(band / "mix.wav"), read_audio(both)
    assert (mixed.samples.shape, mixed.sample_rate) == (mix.samples.shape, 4410)
    assert np.abs(mixed.samples).max() <= 10 ** (-1 / 20) + 1e-4
    assert read_provenance(both)["stem_gain_db"] == take["mixdown"]["stem_gain_db"]
    record = read_provenance(stem)
    assert record["options"]["activity"] == [[0.0, 1]]
    assert "mix" in record["inputs"]
    code, result, _ = ritornello("replay", stem)
    assert (code, result["identical"], result["differences"]) == (0, True, {})
    code, result, _ = ritornello("replay", both)
    assert (code, result["kind"]) == (1, "DataError")


def test_an_edit_is_replayed_from_both_files(tmp_path, band, ritornello):
    first, second = tmp_path / "a.wav", tmp_path / "b.wav"
    words = [band / "model", "--mix", band / "mix.wav", "--stem", "drums"]
    assert ritornello("generate", *words, "-o", first)[0] == 0
    words += ["--stem-in", first, "--edit", "0.5:1", "--seed", 4, "--keep-onsets"]
    assert ritornello("generate", *words, "-o", second)[0] == 0
    one, other = read_audio(first).samples, read_audio(second).samples
    changed = np.abs(one - other)[0] > 1e-3
    assert changed[round(0.5 * RATE) : RATE].any()
    assert not changed[: round(0.48 * RATE)].any()
    record = read_provenance(second)
    assert set(record["inputs"]) == {"mix", "stem_in"}
    assert "stem_in" not in record["options"]
    assert ritornello("replay", second)[1]["identical"]
    write_audio(first, noise(1.31))
    code, result, _ = ritornello("replay", second)
    assert (code, result["kind"]) == (1, "DataError")


@pytest.mark.slow
def test_takes_are_ranked_and_a_loop_is_not_faded(tmp_path, band, ritornello, capsys):
    write_audio(tmp_path / "mix.wav", noise(2.2))  # below two seconds there is no beat to follow
    words = [band / "model", "--mix", tmp_path / "mix.wav", "--stem", "drums", "--loop"]
    code, result, _ = ritornello("generate", *words, "-n", 2, "-o", tmp_path / "l.wav")
    assert code == 0
    assert all(-1 <= take["adherence"]["score"] <= 1 for take in result["takes"])
    loop = read_audio(tmp_path / "l-1.wav").samples[0]
    level = np.sqrt(np.mean(loop**2))
    assert np.sqrt(np.mean(loop[-12:] ** 2)) > 0.1 * level  # the last of ten faded milliseconds
    assert main(["generate", *map(str, words), "-n", "2", "-o", str(tmp_path / "m.wav")]) == 0
    assert "how they follow the mix, best first: m-" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--stem", "trumpett"], "no stem 'trumpett'"),
        ([], "which stem is wanted"),
        (["--stem", "bass", "--edit", "0:1"], "together with the stem"),
        (["--stem", "bass", "--seconds", "9"], "longer than the mix"),
        (["--stem", "bass", "--mix", "SHORT"], "expected 1 s or more"),
        (["--stem", "bass", "--mix", "SILENT"], "the mix is silent"),
        (["--stem", "bass", "--mix", "NONE"], "no such file"),
        (["--stem", "bass", "--variation", "2", "--stem-in", "MIX"], "variation is 2"),
        (["--stem", "bass", "--level", "1"], "cannot take --level"),
        (["--stem", "bass", "--mixdown", "MIX"], "it is also the input"),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path, band, ritornello, words, message):
    files = {name: tmp_path / f"{name}.wav" for name in ("SHORT", "SILENT", "NONE")}
    write_audio(files["SHORT"], noise(0.5))
    silence = Audio(samples=np.zeros((1, 2 * RATE), np.float32), sample_rate=RATE)
    write_audio(files["SILENT"], silence)
    files["MIX"] = band / "mix.wav"
    words = [files.get(word, word) for word in words]
    mix = [] if "--mix" in words else ["--mix", band / "mix.wav"]
    code, result, _ = ritornello(
        "generate", band / "model", *mix, *words, "-o", tmp_path / "out.wav"
    )
    assert code == 1
    assert message in result["error"]
    assert not (tmp_path / "out.wav").exists()


def test_flags_of_other_systems_are_refused(tmp_path, nano_model, band, ritornello):
    words = [nano_model, "--seconds", 2, "-o", tmp_path / "a.wav"]
    for extra in (["--bpm", 100], ["--loop"], ["--keep-every", 4]):
        code, result, _ = ritornello("generate", *words, *extra)
        assert (code, result["kind"]) == (1, "CapabilityError")
        assert f"cannot take {extra[0]}" in result["error"]
    code, result, _ = ritornello("generate", *words, "--mixdown", tmp_path / "b.wav")
    assert "expected --mix" in result["error"]


def test_values_of_flags(tmp_path):
    curve = tmp_path / "curve.csv"
    curve.write_text("seconds,value\n0,1\n8,0\n")
    expected = ((0.0, 1), (8.0, 0))
    assert activity("0:play,8:rest") == activity("0:1, 8:0") == activity(str(curve)) == expected
    assert seconds_range("4:8.5") == (4.0, 8.5)
    assert whole_numbers("24,12") == (24, 12)
    for wrong in ("0:loud", "a:play", "nothing"):
        with pytest.raises(ConfigError):
            activity(wrong)
