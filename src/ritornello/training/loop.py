"""The one training loop, for every stage of every system.

    run = RunFolder(options.run)
    run.begin("musika", config_as_json, seed=options.seed)
    stages = [Level1(config, data, run), Level2(config, data, run), Gan(config, data, run)]
    result = train_chain(stages, run, seed=0, time_limit_s=3600)

and a stage with two players (interfaces.Stage; everything else it needs is told there):

    def optimizers(self):
        return {
            "critic": OptimConfig(modules=("critic",), lr=2e-4, betas=(0.5, 0.9)),
            "generator": OptimConfig(modules=("generator",), lr=1e-4, betas=(0.5, 0.9),
                                     warmup_steps=200, clip_norm=10.0, ema_decay=0.999),
        }

    def train_step(self, state, batch, draw):
        generator, critic = state.modules["generator"], state.modules["critic"]
        noise = torch.randn(len(batch), 64, generator=draw)
        with state.autocast():
            fake = generator(noise)
            critic_loss = hinge(critic(batch), critic(fake.detach()))
        state.update("critic", critic_loss)
        with state.autocast():
            generator_loss = -critic(fake).mean()
        norm = state.update("generator", generator_loss)
        return {"critic/hinge": critic_loss.detach(),
                "generator/adversarial": generator_loss.detach(), "generator/norm": norm}

An update makes gradients for its own optimiser's parameters only, so the critic is untouched by the
generator's. To accumulate, give `update` a generator of losses, one per part of the batch:

    state.update("codec", (self.loss(state, part) for part in state.parts(batch)))

Per stage the loop goes: prepare, measure, build or restore, look, then step after step: batch,
train_step, log, look, save. A look is: evaluate, write samples and curves, export into RUN/model.
Under torchrun every process does the same; rank 0 alone looks, saves and shows.
"""

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch

from ritornello.checkpoint import whole_folder, write_checksums, write_metrics
from ritornello.errors import TrainingError
from ritornello.interfaces import Stage
from ritornello.training.distributed import World, joined_world
from ritornello.training.interruption import interruptible
from ritornello.training.logs import (
    Display,
    Metrics,
    Report,
    SilentDisplay,
    Smoothed,
    Window,
    duration,
    terminal_display,
)
from ritornello.training.pictures import draw_curves, write_samples
from ritornello.training.plan import Plan
from ritornello.training.probe import Compute, probe
from ritornello.training.run import RunFolder, StageFolder
from ritornello.training.seeds import seeded_torch
from ritornello.training.state import TrainState
from ritornello.training.step import new_state, take_step

SAVE_EVERY_S = 300.0
PROBE_S, PROBE_PART = 60.0, 0.05
TABLE_ROWS = 1000


@dataclass(frozen=True, kw_only=True)
class ChainResult:
    """How a call of `train_chain` ended.

    Attributes:
        finished: Whether every stage reached the end of its plan.
        stage: The last stage that was trained or found finished.
        step: Where it stands.
        figures: Final figures by stage.
        seconds: Spent on the run, over all sessions.
    """

    finished: bool
    stage: str
    step: int
    figures: dict[str, dict[str, float | None]] = field(default_factory=dict)
    seconds: float = 0.0


def train_chain(
    stages: Sequence[Stage],
    run: RunFolder,
    *,
    seed: int,
    time_limit_s: float | None = None,
    extend_s: float | None = None,
    display: Display | None = None,
) -> ChainResult:
    """Train `stages` in order, each from where it was left; finished ones are passed over.

    Args:
        stages: The chain, bottom first.
        run: Where everything is kept; the same run resumes.
        seed: With the stages' data and settings it determines the weights.
        time_limit_s: Time for all stages together, planned at the first start.
        extend_s: More time than planned so far; give it once, not when resuming.
        display: Where to show the progress; stderr by default.

    Raises:
        TrainingError: On divergence, when the run has another plan, or when another process
            trains it.
    """
    with joined_world() as world, run.held() if world.is_first else nullcontext():
        display = (display or terminal_display()) if world.is_first else SilentDisplay()
        try:
            if not stages:
                raise TrainingError("There are no stages to train; expected at least one")
            chain = _Chain(stages, run, seed, time_limit_s, world, display)
            if extend_s is not None:
                chain.extend(extend_s)
            stage, step, finished = stages[0], 0, True
            for stage in stages:
                step, finished = train_stage(stage, chain)
                if not finished:
                    break
            return chain.result(stage, step, finished=finished)
        finally:
            display.close()


class _Chain:
    """What all stages of one call share."""

    def __init__(
        self,
        stages: Sequence[Stage],
        run: RunFolder,
        seed: int,
        time_limit_s: float | None,
        world: World,
        display: Display,
    ) -> None:
        self.shares = {stage.name: stage.share for stage in stages}
        self.run, self.seed, self.world, self.display = run, seed, world, display
        # Rank 0 reads and decides; the others hear of it.
        plan = Plan.open(run, time_limit_s).as_json() if world.is_first else None
        self.plan = Plan.from_json(world.from_first(plan))

    def extend(self, seconds: float) -> None:
        """Give the run more time and open the stages that get it."""
        for name in self.plan.extend(seconds, self.shares):
            if self.world.is_first:
                self.run.stage(name).reopen()
        self.write_plan()

    def write_plan(self) -> None:
        """Record the plan as it stands."""
        if self.world.is_first:
            self.plan.write(self.run)

    def result(self, stage: Stage, step: int, *, finished: bool) -> ChainResult:
        """How it ended."""
        done = {name: self.run.stage(name) for name in self.shares}
        return ChainResult(
            finished=finished,
            stage=stage.name,
            step=step,
            figures={name: folder.figures() for name, folder in done.items() if folder.finished},
            seconds=sum(planned.spent_s for planned in self.plan.stages.values()),
        )


def train_stage(stage: Stage, chain: _Chain) -> tuple[int, bool]:
    """Train one stage to the end of its plan; the step it reached, and whether that is the end."""
    run, plan, world, display = chain.run, chain.plan, chain.world, chain.display
    folder = run.stage(stage.name)
    planned = plan.start(stage.name, chain.shares)
    if planned.finished and folder.finished:
        display.say(f"{stage.name}: finished before, {planned.steps} steps")
        return planned.steps, True
    clock = _Clock(chain, stage.name)

    # 1. Prepare: fill the caches this stage trains from.
    display.say(f"{stage.name}: preparing")
    with world.first_goes_first():
        stage.prepare()

    # 2. Measure: threads and precision, once per run and stage.
    compute = chosen_compute(stage, chain)
    compute.apply()

    # 3. Build, or restore what was saved.
    state = new_state(stage, chain.seed, total_steps=1, precision=compute.precision, world=world)
    notes = folder.restore(state)
    world.wait()
    session = _Session(stage, chain, state, folder, clock, notes)

    # 4. Plan: how many steps the budget holds.
    if notes is None:
        session.look()
        clock.note()
        steps = plan.fix_steps(
            stage.name,
            seconds_per_step=compute.seconds_per_step,
            look_s=session.look_s,
            default_steps=stage.steps,
        )
        state.replan(world.from_first(steps), from_start=True)
        session.save()
    elif planned.extended:
        state.replan(world.from_first(plan.extended_steps(stage.name, state.step)), from_start=True)
        session.save()
    planned.steps = state.total_steps
    display.say(
        f"{stage.name}: {state.parameter_count():,} parameters, {state.step} of "
        f"{state.total_steps} steps done, {compute.threads} thread(s), {compute.precision}"
    )

    # 5. Train.
    with interruptible() as interruption:
        while state.step < state.total_steps:
            losses = take_step(stage, state, chain.seed, stage.batch)
            session.log(losses)
            if session.is_time_to_look():
                session.look()
            if world.any(interruption.asked):
                session.save()
                display.say(
                    f"Stopped at step {state.step} of {stage.name}, saved in {state.last_saved}. "
                    "Run the same command again to go on from there."
                )
                return state.step, False
            session.keep_safe_and_in_time()

    # 6. Finish: the final look exports the model.
    figures = session.look()
    planned.finished = True
    session.save()
    if world.is_first:
        folder.finish(state.step, figures)
    display.say(f"{stage.name}: finished after {state.step} steps, {duration(clock.spent_s)}")
    return state.step, True


def chosen_compute(stage: Stage, chain: _Chain) -> Compute:
    """Threads and precision of `stage`: the run's, or measured now and kept."""
    known = chain.world.from_first(chain.run.compute(stage.name))
    if known is None:
        chain.display.say(f"{stage.name}: measuring threads and precision")
        budget_s = chain.plan.stages[stage.name].budget_s
        limit_s = PROBE_S if budget_s is None else min(PROBE_S, budget_s * PROBE_PART)
        measured = probe(stage, chain.seed, chain.world, limit_s=limit_s)
        known = chain.world.from_first(measured.as_json())
        if chain.world.is_first:
            chain.run.keep_compute(stage.name, known)
    return Compute(
        threads=known["threads"],
        precision=known["precision"],
        seconds_per_step=known["seconds_per_step"],
    )


class _Clock:
    """Seconds a stage has used, over all sessions."""

    def __init__(self, chain: _Chain, stage: str) -> None:
        self._chain, self._stage = chain, stage
        self._before_s = chain.plan.stages[stage].spent_s
        self._start_s = time.monotonic()

    @property
    def spent_s(self) -> float:
        """Seconds used until now."""
        return self._before_s + time.monotonic() - self._start_s

    def note(self) -> None:
        """Record the time used in the plan."""
        self._chain.plan.stages[self._stage].spent_s = self.spent_s
        self._chain.write_plan()


class _Session:
    """The bookkeeping around the steps of one stage: log, look, save, keep in time."""

    def __init__(
        self,
        stage: Stage,
        chain: _Chain,
        state: TrainState,
        folder: StageFolder,
        clock: _Clock,
        notes: dict[str, Any] | None,
    ) -> None:
        self.stage, self.chain, self.state, self.folder = stage, chain, state, folder
        self.clock = clock
        self.look_s = 0.0
        self._window = Window((notes or {}).get("window"))
        self._smoothed = Smoothed()
        resume_step = -1 if notes is None else state.step
        self._metrics = Metrics(folder.metrics, resume_step=resume_step) if self._first else None
        self._last_save_s = self._last_check_s = time.monotonic()
        self._step_end_s = time.monotonic()
        self._speed_s = 0.0
        self._trained_s, self._trained_steps = 0.0, 0

    @property
    def _first(self) -> bool:
        return self.chain.world.is_first

    def log(self, losses: dict[str, float]) -> None:
        """Take in the losses of the step just done: check, show, and now and then a row."""
        state = self.state
        for name, value in losses.items():
            state.refuse_nonfinite(name, torch.tensor(value))
        self._measure_speed()
        self._window.add(losses)
        smoothed = self._smoothed.add(losses)
        every = math.ceil(state.total_steps / TABLE_ROWS)
        if self._metrics and (state.step % every == 0 or state.step == state.total_steps):
            rates = {f"lr/{name}": optimizer.lr for name, optimizer in state.optimizers.items()}
            self._metrics.write(state.step, self._window.means() | rates)
        left_s = (state.total_steps - state.step) * self._speed_s
        self.chain.display.report(
            Report(
                stage=self.stage.name,
                step=state.step,
                total_steps=state.total_steps,
                losses=smoothed,
                steps_per_s=1 / max(self._speed_s, 1e-9),
                stage_left_s=left_s,
                chain_left_s=self.chain.plan.left_s(
                    self.stage.name, state.step, self.clock.spent_s, self._speed_s
                ),
            )
        )

    def _measure_speed(self) -> None:
        """Follow the seconds per step, looks and saves left out."""
        now = time.monotonic()
        seconds, self._step_end_s = now - self._step_end_s, now
        self._speed_s = 0.9 * self._speed_s + 0.1 * seconds if self._speed_s else seconds
        self._trained_s += seconds
        self._trained_steps += 1

    @property
    def _pace_s(self) -> float:
        """Mean seconds per step of this session: a short burst of other work moves it little."""
        return self._trained_s / max(1, self._trained_steps)

    def is_time_to_look(self) -> bool:
        """Whether this step is one of the planned evaluations before the last."""
        state, count = self.state, self.chain.plan.stages[self.stage.name].evaluations
        if state.step >= state.total_steps:
            return False
        return state.step * count // state.total_steps > (state.step - 1) * count // (
            state.total_steps
        )

    def look(self) -> dict[str, float]:
        """Evaluate, write samples and curves, export; the figures."""
        start_s = time.monotonic()
        figures: dict[str, float] = {}
        state, stage = self.state, self.stage
        if self._first and self._metrics:
            with torch.no_grad(), seeded_torch(self.chain.seed, stage.name, state.step, "look"):
                figures = stage.evaluate(state)
                audio = stage.samples(state)
            for module in state.modules.values():
                module.train()
            self._metrics.write(state.step, {f"eval/{k}": v for k, v in figures.items()})
            write_samples(audio, self.folder.samples, state.step)
            draw_curves(self.folder.metrics, self.folder.curves)
            if state.step:
                self._export(figures)
            told = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
            self.chain.display.say(f"{stage.name} step {state.step}: {told}")
        figures = self.chain.world.from_first(figures)
        self.look_s = time.monotonic() - start_s
        self.chain.plan.stages[stage.name].look_s = self.look_s
        self._step_end_s = time.monotonic()
        return figures

    def _export(self, figures: dict[str, float]) -> None:
        """Put this stage's components into RUN/model, beside those of the stages before it."""
        with whole_folder(self.chain.run.model, keep=True) as folder:
            self.stage.export(self.state, folder)
            write_metrics(folder, self.stage.name, figures)
            write_checksums(folder)

    def save(self) -> None:
        """Save the training state and the time used."""
        if self._first:
            self.folder.save(self.state, {"window": self._window.sums})
        self.clock.note()
        self._last_save_s = self._step_end_s = time.monotonic()

    def keep_safe_and_in_time(self) -> None:
        """Save when the last save is old; plan anew when the stage would end off its time."""
        plan, name, state = self.chain.plan, self.stage.name, self.state
        now = time.monotonic()
        steps = None
        every_s = plan.check_every_s(name)
        if every_s is not None and now - self._last_check_s > every_s:
            self._last_check_s = now
            steps = plan.replanned_steps(name, state.step, self.clock.spent_s, self._pace_s)
        due = now - self._last_save_s > SAVE_EVERY_S
        due, steps = self.chain.world.from_first([due, steps])
        if steps is not None:
            plan.replan(name, state.step, steps, self._pace_s)
            state.replan(steps)
            self.chain.display.say(
                f"{name}: {self._pace_s:.3g} s per step; planned {steps} steps to end in time"
            )
        if due or steps is not None:
            self.save()
