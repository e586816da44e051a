"""The time plan: how many steps each stage gets, so that every chain reaches its last stage.

A stage's budget is fixed at its first start: what is left of the limit, shared among the stages
not yet finished. Preparation and evaluation count. The budget and the measured speed give a step
count, and from there schedules depend on steps alone.

The machine may turn out busier, or idler, than it was when measured. When the projected end is off
by more than `TOLERANCE` of the budget, `replanned_steps` gives a new count. That happens at a saved
point and is recorded as an event; the saved state carries the new plan, so resuming from it repeats
it bit for bit, and the learning rate goes on from where it is. Time that a stage leaves over goes
to the stages after it. `extend` makes a new plan on request.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ritornello.checkpoint import read_json, write_json
from ritornello.errors import TrainingError
from ritornello.training.run import RunFolder

EVALUATIONS = 10
STEPS_PER_EVALUATION = 50
EVALUATION_PART = 0.1
MARGIN = 0.03
TOLERANCE = 0.05
CHECKS = 20


@dataclass
class StagePlan:
    """What one stage was given and has used.

    Attributes:
        budget_s: Its time in seconds, everything included; None without a time limit.
        steps: Its planned steps; 0 before it has been measured.
        seconds_per_step: Measured speed that `steps` came from.
        look_s: Seconds one evaluation with its samples and export takes.
        evaluations: How many evaluations are planned, the final one among them.
        spent_s: Seconds used so far, over all sessions.
        finished: Whether it reached the end of its plan.
        extended: Whether it was given more time that its step count does not reflect yet.
    """

    budget_s: float | None = None
    steps: int = 0
    seconds_per_step: float = 0.0
    look_s: float = 0.0
    evaluations: int = EVALUATIONS
    spent_s: float = 0.0
    finished: bool = False
    extended: bool = False

    def steps_within(self, left_s: float, evaluations: int) -> int:
        """Steps that fit into `left_s` beside that many evaluations; at least one."""
        training_s = left_s * (1 - MARGIN) - evaluations * self.look_s
        return max(1, math.floor(training_s / self.seconds_per_step))


@dataclass
class Plan:
    """The plan of a run, mirrored in RUN/plan.json.

    Attributes:
        time_limit_s: Time for all stages together; None trains each stage for its own steps.
        stages: By name.
        events: What changed the plan, in order.
    """

    time_limit_s: float | None = None
    stages: dict[str, StagePlan] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Plan":
        """The plan that `as_json` gave."""
        stages = {name: StagePlan(**stage) for name, stage in value["stages"].items()}
        return cls(value["time_limit_s"], stages, list(value["events"]))

    @classmethod
    def open(cls, run: RunFolder, time_limit_s: float | None) -> "Plan":
        """The plan of `run`, or a new one with this limit.

        Raises:
            TrainingError: If the run has a plan with another limit.
        """
        if not run.plan_file.exists():
            return cls(time_limit_s)
        plan = cls.from_json(read_json(run.plan_file))
        first = plan.events[0]["time_limit_s"] if plan.events else plan.time_limit_s
        if time_limit_s is not None and time_limit_s not in (first, plan.time_limit_s):
            raise TrainingError(
                f"{run.path} was planned for {plan.time_limit_s} s, not for {time_limit_s} s. "
                "Leave the time limit out to resume, or give more time with --extend."
            )
        return plan

    def as_json(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return asdict(self)

    def write(self, run: RunFolder) -> None:
        """Write RUN/plan.json."""
        run.path.mkdir(parents=True, exist_ok=True)
        write_json(run.plan_file, self.as_json())

    def start(self, name: str, shares: Mapping[str, float]) -> StagePlan:
        """The plan of stage `name`, its budget fixed now if this is its first start."""
        stage = self.stages.setdefault(name, StagePlan())
        if stage.budget_s is None and self.time_limit_s is not None and not stage.steps:
            others = sum(other.spent_s for key, other in self.stages.items() if key != name)
            open_share = sum(share for key, share in shares.items() if not self._is_finished(key))
            left_s = max(0.0, self.time_limit_s - others)
            stage.budget_s = left_s * shares[name] / open_share
            self._record("budget", name, budget_s=stage.budget_s)
        return stage

    def fix_steps(
        self, name: str, *, seconds_per_step: float, look_s: float, default_steps: int
    ) -> int:
        """Fix the steps of stage `name` from its measured speed; returns them.

        Args:
            name: The stage.
            seconds_per_step: Measured.
            look_s: Seconds of one evaluation, with samples and export.
            default_steps: Steps without a time limit.
        """
        stage = self.stages[name]
        stage.seconds_per_step, stage.look_s = seconds_per_step, look_s
        if stage.budget_s is None:
            stage.steps = default_steps
        else:
            left_s = max(0.0, stage.budget_s - stage.spent_s)
            affordable = math.floor(left_s * EVALUATION_PART / max(look_s, 1e-9))
            stage.evaluations = min(max(1, affordable), EVALUATIONS)
            stage.steps = stage.steps_within(left_s, stage.evaluations)
        sensible = max(1, stage.steps // STEPS_PER_EVALUATION)
        stage.evaluations = min(stage.evaluations, sensible)
        self._record("steps", name, steps=stage.steps, seconds_per_step=seconds_per_step)
        return stage.steps

    def check_every_s(self, name: str) -> float | None:
        """Seconds between two looks at the clock for stage `name`; None without a time limit."""
        budget_s = self.stages[name].budget_s
        return None if budget_s is None else max(1.0, budget_s / CHECKS)

    def replanned_steps(self, name: str, step: int, spent_s: float, pace_s: float) -> int | None:
        """The step count that ends stage `name` in time, None while the planned one does.

        Args:
            name: The stage.
            step: Steps finished.
            spent_s: Seconds it has used.
            pace_s: Seconds per step of late.
        """
        stage = self.stages[name]
        if stage.budget_s is None:
            return None
        to_come = stage.evaluations - step * stage.evaluations // max(stage.steps, 1)
        looks_s = to_come * stage.look_s
        end_s = spent_s + (stage.steps - step) * pace_s + looks_s
        if abs(end_s - stage.budget_s) <= stage.budget_s * TOLERANCE:
            return None
        training_s = (stage.budget_s - spent_s) * (1 - MARGIN) - looks_s
        total = step + max(0, math.floor(training_s / pace_s))
        return None if total == stage.steps else total

    def replan(self, name: str, step: int, steps: int, pace_s: float) -> None:
        """Record that stage `name`, at `step`, goes on to `steps`."""
        before, self.stages[name].steps = self.stages[name].steps, steps
        self._record("replan", name, step=step, steps=steps, before=before, pace_s=pace_s)

    def extend(self, seconds: float, shares: Mapping[str, float]) -> list[str]:
        """Give `seconds` to the unfinished stages of `shares`, or to the last if there are none.

        Returns the names of the stages that get time. Those that have started get a new step count
        when they next start, with a schedule as if planned so from their first step.
        """
        names = [name for name in shares if not self._is_finished(name)] or [list(shares)[-1]]
        total = sum(shares[name] for name in names)
        if self.time_limit_s is not None:
            self.time_limit_s += seconds
        for name in names:
            stage = self.stages.setdefault(name, StagePlan())
            extra_s = seconds * shares[name] / total
            if self.time_limit_s is None or stage.finished:
                stage.budget_s = stage.spent_s + extra_s
            elif stage.budget_s is not None:
                stage.budget_s += extra_s
            stage.extended = stage.steps > 0
            stage.finished = False
        self._record("extend", None, seconds=seconds, stages=names)
        return names

    def extended_steps(self, name: str, step: int) -> int:
        """The new step count of stage `name`, which was given more time."""
        stage = self.stages[name]
        left_s = max(0.0, (stage.budget_s or 0.0) - stage.spent_s)
        stage.steps = step + stage.steps_within(left_s, stage.evaluations)
        stage.extended = False
        self._record("steps", name, steps=stage.steps, step=step)
        return stage.steps

    def left_s(self, name: str, step: int, spent_s: float, speed_s: float) -> float:
        """Seconds until the whole chain ends, from the pace of stage `name`."""
        stage = self.stages[name]
        own = (stage.steps - step) * speed_s + stage.look_s
        if self.time_limit_s is None:
            return own
        others = sum(other.spent_s for key, other in self.stages.items() if key != name)
        return max(own, self.time_limit_s - others - spent_s)

    def _is_finished(self, name: str) -> bool:
        stage = self.stages.get(name)
        return stage is not None and stage.finished

    def _record(self, what: str, name: str | None, **numbers: Any) -> None:
        """Append an event."""
        event = {"what": what, "stage": name, "time_limit_s": self.time_limit_s}
        self.events.append(event | numbers)
