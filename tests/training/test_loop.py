import csv
import io
import json
import math
import signal

import pytest
import torch
from rich.console import Console

from ritornello.checkpoint import find_model, load_component, verify
from ritornello.errors import TrainingError
from ritornello.training.interruption import interruptible
from ritornello.training.logs import PlainDisplay
from ritornello.training.loop import train_chain
from ritornello.training.run import RunFolder
from tests.training.brief_runs import PLAIN, newest_state
from tests.training.interrupting import interrupted
from tests.training.toy_stages import ToyCodec, ToyGame


class Exploding(ToyCodec):
    def loss(self, state, wave):
        loss = super().loss(state, wave)
        return loss * math.nan if state.step == 3 else loss


def open_run(path):
    run = RunFolder(path)
    run.begin("toy", {"size": 4}, 0)
    for name in ("codec", "game"):
        run.keep_compute(name, PLAIN)
    return run


def train(run, *stages, **settings):
    text = io.StringIO()
    display = PlainDisplay(Console(file=text, width=500))
    result = train_chain(stages, run, seed=0, display=display, **settings)
    return result, text.getvalue()


def rows(run, stage):
    with run.stage(stage).metrics.open() as file:
        return list(csv.DictReader(file))


def test_a_chain_learns_and_leaves_a_model_that_is_found(tmp_path):
    run = open_run(tmp_path / "run")
    result, text = train(run, ToyCodec(steps=150, size=8, audible=True), ToyGame())
    assert result.finished
    assert result.stage == "game"
    codec = rows(run, "codec")
    assert [int(row["step"]) for row in codec] == list(range(151))
    assert float(codec[-1]["eval/mse"]) < 0.2 * float(codec[0]["eval/mse"])
    assert result.figures["codec"]["mse"] == pytest.approx(float(codec[-1]["eval/mse"]))
    model = find_model(run.path)
    verify(model)
    assert load_component(model, "generator")[0] == {"dim": 8}
    assert load_component(model, "encoder")[1]
    assert json.loads((model / "metrics.json").read_text()).keys() == {"codec", "game"}
    samples = {path.name for path in run.stage("codec").samples.iterdir()}
    assert {"step-000000150.png", "step-000000150-real.flac", "step-000000050.png"} <= samples
    assert run.stage("codec").curves.read_bytes().startswith(b"\x89PNG")
    assert "codec: finished after 150 steps" in text
    assert "game 8/8  critic/hinge" in text


def test_stopped_and_resumed_equals_unbroken_bit_for_bit(tmp_path):
    unbroken, broken = open_run(tmp_path / "unbroken"), open_run(tmp_path / "broken")
    train(unbroken, ToyCodec(), ToyGame())
    result, text = train(broken, interrupted(ToyCodec(), at=5), ToyGame())
    assert not result.finished
    assert (result.stage, result.step) == ("codec", 5)
    assert "Run the same command again" in text
    assert train(broken, ToyCodec(), interrupted(ToyGame(), at=3))[0].step == 3
    assert train(broken, ToyCodec(), ToyGame())[0].finished
    for stage in ("codec", "game"):
        assert rows(broken, stage) == rows(unbroken, stage)
        mine, other = newest_state(broken, stage), newest_state(unbroken, stage)
        assert mine.keys() == other.keys()
        for name, tensor in mine.items():
            assert torch.equal(tensor, other[name]), name
    assert "extra/seen" in newest_state(broken, "codec")
    assert any(name.startswith("averaged/") for name in newest_state(broken, "codec"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_step_and_is_given_back(number):
    before = signal.getsignal(number)
    with interruptible() as interruption:
        assert not interruption.asked
        signal.raise_signal(number)
        assert interruption.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) == before


def test_divergence_names_the_step_the_loss_and_the_last_good_state(tmp_path):
    run = open_run(tmp_path / "run")
    train(run, interrupted(ToyCodec(), at=2))
    with pytest.raises(TrainingError, match=r"step 3: codec loss is nan.*step-000000002"):
        train(run, Exploding())
    assert train(run, ToyCodec())[0].finished


def test_a_finished_chain_is_not_trained_again(tmp_path):
    run = open_run(tmp_path / "run")
    train(run, ToyCodec())
    before = newest_state(run, "codec")
    stage = ToyCodec()
    result, text = train(run, stage)
    assert result.finished
    assert stage.prepared == 0
    assert "finished before" in text
    assert all(
        torch.equal(tensor, before[name]) for name, tensor in newest_state(run, "codec").items()
    )


class Clock:
    """Stands in for the `time` module: only what the stages do takes time."""

    now = 0.0

    def monotonic(self):
        return self.now


def timed(stage, clock, *, prepare_s, step_s, evaluate_s):
    """`stage`, taking these times on `clock`."""

    class Timed(type(stage)):
        def prepare(self):
            clock.now += prepare_s
            super().prepare()

        def batch(self, draw):
            clock.now += step_s
            return super().batch(draw)

        def evaluate(self, state):
            clock.now += evaluate_s
            return super().evaluate(state)

    stage.__class__ = Timed
    return stage


def test_the_chain_ends_in_time_on_a_machine_slower_than_measured(tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("ritornello.training.loop.time", clock)
    run = open_run(tmp_path / "run")
    run.keep_compute("codec", PLAIN | {"seconds_per_step": 0.05})
    run.keep_compute("game", PLAIN | {"seconds_per_step": 0.5})
    codec = timed(ToyCodec(share=3.0), clock, prepare_s=5.0, step_s=0.5, evaluate_s=1.0)
    game = timed(ToyGame(share=1.0), clock, prepare_s=2.0, step_s=0.5, evaluate_s=1.0)
    result, _ = train(run, codec, game, time_limit_s=100.0)
    plan = json.loads(run.plan_file.read_text())
    assert result.finished
    assert {"encoder", "generator"} <= {path.name for path in run.model.iterdir()}
    assert result.seconds == clock.now
    assert 90 < result.seconds <= 102
    replanned = [event for event in plan["events"] if event["what"] == "replan"]
    assert replanned[0]["stage"] == "codec"
    assert replanned[0]["before"] > 1000
    assert replanned[0]["steps"] < 150
    steps = plan["stages"]["codec"]["steps"]
    assert int(rows(run, "codec")[-1]["step"]) == steps
    assert float(rows(run, "codec")[-1]["lr/codec"]) < 0.02 * codec.lr


def test_a_finished_run_can_be_given_more_time(tmp_path):
    run = open_run(tmp_path / "run")
    train(run, ToyCodec(steps=4), ToyGame(steps=4))
    result, _ = train(run, ToyCodec(steps=4), ToyGame(steps=4), extend_s=1.5)
    assert result.finished
    assert result.step > 4
    assert int(rows(run, "codec")[-1]["step"]) == 4
    assert [int(row["step"]) for row in rows(run, "game")][:6] == [0, 1, 2, 3, 4, 5]


def test_the_run_remembers_its_threads_and_precision(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.begin("toy", {}, 0)
    train(run, ToyGame(steps=2))
    kept = run.compute("game")
    assert kept["threads"] >= 1
    assert kept["precision"] == "fp32"
    assert len(kept["tried"]) >= 1
    assert "measuring" not in train(run, ToyGame(steps=2), extend_s=0.2)[1]


def test_a_run_that_another_process_trains_is_refused(tmp_path):
    run = open_run(tmp_path / "run")
    before = sorted(run.path.iterdir())
    with run.held(), pytest.raises(TrainingError, match="being trained by another process"):
        train(run, ToyCodec(steps=2))
    assert sorted(run.path.iterdir()) == before
    assert train(run, ToyCodec(steps=2))[0].finished
    assert not (run.path / "lock").exists()
