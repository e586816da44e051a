import io

import numpy as np
import pytest
from rich.console import Console

from ritornello.interfaces import Audio
from ritornello.training.estimate import estimate_chain, estimate_table
from ritornello.training.logs import (
    LiveDisplay,
    Metrics,
    PlainDisplay,
    Report,
    Smoothed,
    Window,
    duration,
    read_metrics_table,
)
from ritornello.training.pictures import draw_spectrograms
from tests.training.toy_stages import ToyCodec, ToyGame

REPORT = Report(
    stage="codec",
    step=3,
    total_steps=9,
    losses={"codec/mse": 0.25},
    steps_per_s=2.0,
    stage_left_s=3.0,
    chain_left_s=3700.0,
)


def test_resuming_drops_the_rows_that_will_come_again(tmp_path):
    path = tmp_path / "metrics.csv"
    table = Metrics(path, resume_step=-1)
    for step in range(1, 6):
        table.write(step, {"loss": step / 8})
    with path.open("a") as file:
        file.write("6,0.1")  # a line cut off by a kill
    table = Metrics(path, resume_step=3)
    table.write(4, {"loss": 9.0})
    assert [row["step"] for row in read_metrics_table(path)] == ["1", "2", "3", "4"]
    assert read_metrics_table(path)[-1]["loss"] == "9"


def test_a_step_has_one_row_and_columns_may_come_late(tmp_path):
    path = tmp_path / "metrics.csv"
    table = Metrics(path, resume_step=-1)
    table.write(1, {"loss": 1.0})
    table.write(1, {"eval/snr": 3.0})
    table.write(2, {"loss": 0.5})
    assert path.read_text().splitlines() == ["step,loss,eval/snr", "1,1,3", "2,0.5,"]


def test_a_window_gives_true_means_and_survives_a_pause():
    window = Window()
    window.add({"loss": 1.0})
    window = Window(window.sums)
    window.add({"loss": 2.0})
    assert window.means() == {"loss": 1.5}
    assert window.means() == {}


def test_smoothing_is_without_bias_at_the_start():
    smoothed = Smoothed()
    assert smoothed.add({"loss": 4.0}) == {"loss": pytest.approx(4.0)}
    assert smoothed.add({"loss": 4.0}) == {"loss": pytest.approx(4.0)}


@pytest.mark.parametrize(
    ("seconds", "text"), [(8.4, "8s"), (750.0, "12m30s"), (3900.0, "1h05m"), (-3.0, "0s")]
)
def test_durations_read_as_people_write_them(seconds, text):
    assert duration(seconds) == text


def test_plain_lines_are_few_and_complete():
    text = io.StringIO()
    display = PlainDisplay(Console(file=text, width=200))
    display.report(REPORT)
    display.report(REPORT)
    display.say("codec [1] saved")
    assert text.getvalue().splitlines() == [
        "codec 3/9  codec/mse 0.25  2 steps/s  left 3s, chain 1h01m",
        "codec [1] saved",
    ]


def test_the_live_display_shows_losses_and_time_left():
    text = io.StringIO()
    display = LiveDisplay(Console(file=text, force_terminal=True, width=120))
    display.report(REPORT)
    display.say("saved")
    display.close()
    assert "codec/mse" in text.getvalue()
    assert "chain 1h01m" in text.getvalue()
    assert "saved" in text.getvalue()


def test_spectrograms_of_different_lengths_share_a_picture(tmp_path):
    time = np.arange(16000) / 16000
    tone = np.sin(2 * np.pi * 440 * time).astype(np.float32)[None]
    audio = {
        "real": Audio(samples=np.concatenate([tone, tone]), sample_rate=16000),
        "short": Audio(samples=tone[:, :500], sample_rate=8000),
    }
    draw_spectrograms(audio, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_an_estimate_measures_every_stage_before_there_is_data():
    stages = [ToyCodec(share=3.0), ToyGame(share=1.0)]
    stages[0].precisions = ("fp32",)
    codec, game = estimate_chain(stages, seed=0, time_limit_s=100.0)
    assert codec.parameters == 809
    assert game.parameters == 8 * 256 + 256 + 256 * 32 + 32 + 33
    assert (codec.ends_s, game.ends_s) == (75.0, 100.0)
    assert 0 < codec.steps * codec.seconds_per_step < 75
    assert stages[0].prepared == 0
    text = io.StringIO()
    Console(file=text, width=150).print(estimate_table([codec, game]))
    assert "10,561" in text.getvalue()
    assert "1m40s" in text.getvalue()


def test_an_estimate_without_a_limit_takes_the_stages_own_steps():
    (game,) = estimate_chain([ToyGame(steps=8)], seed=0, time_limit_s=None)
    assert game.steps == 8
    assert game.ends_s > 8 * game.seconds_per_step
