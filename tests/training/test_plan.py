import pytest

from ritornello.errors import TrainingError
from ritornello.training.plan import Plan
from ritornello.training.run import RunFolder

SHARES = {"a": 3.0, "b": 1.0}


def started(limit=100.0, speed=0.1, spent=5.0):
    plan = Plan(limit)
    plan.start("a", SHARES).spent_s = spent
    plan.fix_steps("a", seconds_per_step=speed, look_s=1.0, default_steps=50)
    return plan


def test_without_a_limit_a_stage_has_its_own_steps():
    plan = started(limit=None)
    assert plan.stages["a"].steps == 50
    assert plan.replanned_steps("a", 10, 1e9, 99.0) is None


def test_the_budget_holds_preparation_steps_and_evaluations():
    plan = started()
    stage = plan.stages["a"]
    assert stage.budget_s == 75.0
    assert stage.evaluations == 7
    used = stage.spent_s + stage.steps * 0.1 + stage.evaluations * 1.0
    assert 0.95 * 75 < used <= 75


def test_what_a_stage_leaves_or_overdraws_falls_to_the_next():
    for spent, budget in ((60.0, 40.0), (90.0, 10.0), (120.0, 0.0)):
        plan = started()
        plan.stages["a"].spent_s = spent
        plan.stages["a"].finished = True
        assert plan.start("b", SHARES).budget_s == budget
        assert plan.fix_steps("b", seconds_per_step=0.1, look_s=1.0, default_steps=9) >= 1


def test_a_budget_is_fixed_once():
    plan = started()
    plan.stages["a"].spent_s = 50.0
    assert plan.start("a", SHARES).budget_s == 75.0


@pytest.mark.parametrize("pace", [0.02, 0.1, 0.3, 5.0])
def test_a_new_pace_gives_a_plan_that_ends_in_time(pace):
    plan = started()
    stage = plan.stages["a"]
    spent, step = 20.0, 100
    steps = plan.replanned_steps("a", step, spent, pace)
    if pace == 0.1:
        steps = steps or stage.steps
    assert steps is not None
    to_come = stage.evaluations - step * stage.evaluations // stage.steps
    ends = spent + (steps - step) * pace + to_come
    assert ends == pytest.approx(75.0, rel=0.08)
    assert steps >= step


def test_a_stage_out_of_time_ends_where_it_is():
    assert started().replanned_steps("a", 100, 90.0, 0.1) == 100


def test_more_time_goes_to_the_unfinished_or_to_the_last():
    plan = started()
    plan.stages["a"].finished = True
    assert plan.extend(60.0, SHARES) == ["b"]
    assert plan.time_limit_s == 160.0
    plan.start("b", SHARES)
    plan.fix_steps("b", seconds_per_step=0.1, look_s=1.0, default_steps=9)
    plan.stages["b"].finished, plan.stages["b"].spent_s = True, 150.0
    before = plan.stages["b"].steps
    assert plan.extend(30.0, SHARES) == ["b"]
    assert plan.stages["b"].extended
    assert not plan.stages["b"].finished
    assert plan.extended_steps("b", before) > before


def test_a_plan_survives_its_file_and_refuses_another_limit(tmp_path):
    run = RunFolder(tmp_path / "run")
    plan = started()
    plan.write(run)
    assert Plan.open(run, None) == plan
    assert Plan.open(run, 100.0) == plan
    with pytest.raises(TrainingError, match=r"planned for 100\.0 s, not for 7\.0 s"):
        Plan.open(run, 7.0)
