"""`ritornello tune`: what it refuses in one line, and what it tells."""

import json
import sys

import pytest

from ritornello.cli.main import main
from ritornello.cli.tune import _lines, build_parser, parse


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("musika --data d -o out", "'musika' cannot be tuned; expected ada"),
        ("ada -o out", "--data DIR is missing"),
        ("ada --data d", "-o/--output"),
        ("ada --data d -o out --population 0", "expected a whole number above zero"),
        ("ada --data d -o out --gpus-per-member some", "expected a number of at least zero"),
        ("ada --data d -o out --intervall 3", "'--interval'"),
        ("ada --replay tuned --data d -o out", "--replay brings data and settings along"),
        ("ada --replay tuned -o out levels.1.hop=4", "leave --data and key=value out"),
    ],
)
def test_command_lines_that_make_no_sense_are_refused(words, message, capsys):
    assert main(["tune", *words.split()]) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert len(told.err.splitlines()) == 1
    assert not told.out


def test_settings_that_do_not_exist_are_refused_before_ray_starts(tmp_path, capsys):
    pytest.importorskip("ray", reason='Ray Tune is not installed: pip install "ritornello[ray]"')
    words = [
        "tune",
        "ada",
        "--data",
        str(tmp_path),
        "-o",
        str(tmp_path / "out"),
        "--preset",
        "nano",
    ]
    assert main([*words, "levels.1.quantizer.dim=4"]) == 1
    assert "did you mean 'quantiser'" in capsys.readouterr().err
    assert main([*words, "--population", "1"]) == 1
    assert "population is 1; expected at least 2" in capsys.readouterr().err
    assert main([*words, "--level", "2"]) == 1
    assert "--from MODEL" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_missing_ray_is_one_line_with_its_installation(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    out = tmp_path / "out"
    assert main(["tune", "ada", "--data", str(tmp_path), "-o", str(out), "--json"]) == 1
    told = capsys.readouterr()
    wanted = 'needs Ray Tune, which is not installed. Install it: pip install "ritornello[ray]"'
    assert wanted in told.err
    assert json.loads(told.out)["kind"] == "MissingDependencyError"
    assert not out.exists()


def test_a_replay_of_nothing_is_refused(tmp_path, capsys):
    (tmp_path / "other").mkdir()
    words = ["tune", "ada", "--replay", str(tmp_path / "other"), "-o", str(tmp_path / "again")]
    assert main(words) == 1
    assert "no folder that `ritornello tune ada` has written" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()


def test_flags_have_the_papers_scale_within_reach():
    asked = parse(
        [
            "ada",
            "--data",
            "d",
            "-o",
            "out",
            "--population",
            "20",
            "--address",
            "auto",
            "--gpus-per-member",
            "0.5",
        ]
    )
    assert (asked.population, asked.address, asked.gpus_per_member) == (20, "auto", 0.5)
    assert build_parser().parse(["ada", "-o", "out"]).population == 4


def test_results_are_told_to_a_person():
    stopped = {"folder": "tuned", "finished": False, "step": 40}
    assert _lines(stopped) == ["stopped at step 40; the same command resumes"]
    best = {"member": 2, "nll": 1.25, "perplexity": 30.0}
    pieces = [{"step": 0, "alpha": 0.01, "beta": 1.0}]
    counts = {"copies": 3, "diverged": 1, "collapsed": 0}
    done = {"folder": "tuned", "finished": True, "model": "tuned/model", "best": best}
    told = _lines(done | counts | {"schedule": pieces})
    assert told[0].startswith("best: member 2, NLL 1.2500, perplexity 30.0; 3 copies, 1 times div")
    assert told[1] == "from step 0: alpha 0.01, beta 1"
    figures = {"nll": 1.25, "perplexity": 30.0}
    again = {"folder": "a", "finished": True, "model": "a/model", "figures": figures}
    assert "OTHER weights" in _lines(again | {"identical": False})[0]
    assert "bit for bit" in _lines(again | {"identical": True})[0]
