"""`ritornello tune ada`: population based training of one level, and of its schedule alone.

    DIR/config.json      what is tuned, with the seed and a hash of the music
    DIR/manifest.jsonl   the music
    DIR/lineage.json     alpha, beta, NLL and perplexity of every member over steps; who copied whom
    DIR/lineage.png      the same as a picture
    DIR/schedule.json    alpha and beta along the path that led to the best member
    DIR/result.json      the best member, and a hash of what it has learnt
    DIR/model/           the best member as a level of a model folder
    DIR/cache/           symbols; may be deleted when done
    DIR/ray/             Ray's own, with the members' training states; may be deleted when done

The record is written at every report and is all that an interrupted population needs to go on.
"""

import hashlib
import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ritornello.ada.codec import level_name
from ritornello.ada.config import StackConfig
from ritornello.ada.presets import PRESETS
from ritornello.ada.tune_folder import begin_tuning, finished_result, task_of
from ritornello.ada.tune_member import Member, Task, follow, level_stage
from ritornello.ada.tune_picture import draw_lineage
from ritornello.ada.tune_population import Lineage, Point, TuneRules, beginnings
from ritornello.ada.tune_ray import Resources, breed, require_ray
from ritornello.ada.tune_schedule import Schedule
from ritornello.checkpoint import (
    find_model,
    read_json,
    saved_config,
    verify,
    whole_folder,
    write_checksums,
    write_json,
    write_metrics,
)
from ritornello.config import from_dict, nearest, to_dict, with_overrides
from ritornello.errors import CheckpointError, ConfigError, TrainingError
from ritornello.training.logs import Display, duration
from ritornello.training.run import RunFolder

INTERVALS = 100
LEAST_INTERVAL = 200
"""Intervals of the paper's training of 500,000 steps at 5000 each; in a short training intervals
are longer than a hundredth, or members would be judged by noise."""
BURN_IN_INTERVALS = 2
PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True, kw_only=True)
class TuneOptions:
    """One call of `ritornello tune ada`.

    Attributes:
        data: Folders of audio; each is a dataset.
        folder: Where everything goes; the same folder again resumes.
        level: Which level, 1 for the lowest.
        preset: Name of the preset function.
        below: Model whose levels lie below; needed from level 2 on.
        population: Members.
        steps: Steps of every member; None takes the level's own.
        interval: Steps between decisions; None takes a hundredth of the steps, at least 200.
        burn_in: Steps before the first decision; None takes two intervals.
        collapse: Perplexity, as a share of the codebook, below which a member has collapsed.
        seed: Whole number >= 0; with data and settings it determines the population.
        precision: "fp32" or "bf16".
        resources: Where members run.
        overrides: Changes of the preset, each `section.key=value`.
    """

    data: tuple[Path, ...]
    folder: Path
    level: int = 1
    preset: str = "small"
    below: str | None = None
    population: int = 4
    steps: int | None = None
    interval: int | None = None
    burn_in: int | None = None
    collapse: float = 0.1
    seed: int = 0
    precision: str = "fp32"
    resources: Resources = field(default_factory=Resources)
    overrides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.preset not in PRESETS:
            raise ConfigError(f"preset is {self.preset!r}; {nearest(self.preset, PRESETS)}")
        if self.precision not in PRECISIONS:
            raise ConfigError(f"precision is {self.precision!r}; expected one of {PRECISIONS}")
        if self.level >= 2 and self.below is None:
            raise ConfigError(
                f"level {self.level} trains on the codes of the one below it; give a model that "
                "has that one with --from MODEL"
            )
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; expected a whole number >= 0")


def run_tuning(options: TuneOptions, display: Display) -> dict[str, Any]:
    """Breed the population, or go on with it; the JSON result.

    Raises:
        ConfigError: Settings that do not exist or do not fit each other.
        DataError: No usable recordings.
        CheckpointError: A model below that is damaged or of another system.
        TrainingError: All members diverged, or the folder belongs to other settings or music.
        MissingDependencyError: Ray is not installed.
    """
    require_ray(options.resources.address)
    below = None if options.below is None else find_model(options.below)
    stack = resolved_stack(options, below)
    rules = resolved_rules(options, stack)
    run = RunFolder(options.folder.resolve())
    settings = {"stack": to_dict(stack), "rules": to_dict(rules), "level": options.level}
    settings |= {"precision": options.precision, "below": below and str(below.resolve())}
    begin_tuning(run, options.data, settings, options.seed)
    task = task_of(run)
    result = finished_result(run)
    if result is not None:
        return result
    level_stage(task).prepare()
    lineage = known_lineage(run)
    starts = lineage.resumable(rules) or [
        Point(member=n, step=0, alpha=a, beta=b, origin=n, nll=None, perplexity=None)
        for n, (a, b) in enumerate(beginnings(rules, options.seed))
    ]
    record = Record(run, rules, lineage.up_to(starts), display)
    if record.is_finished or _breed_on(task, rules, starts, run, options, record):
        return finish_tuning(run, task, rules, record)
    display.say(f"Stopped; the same command goes on from step {record.common_step}")
    return {"folder": str(run.path), "finished": False, "step": record.common_step}


def _breed_on(
    task: Task,
    rules: TuneRules,
    starts: list[Point],
    run: RunFolder,
    options: TuneOptions,
    record: "Record",
) -> bool:
    """Train the population from `starts`; whether it came to its end."""
    lost = [p.checkpoint for p in starts if p.checkpoint and not (run.path / p.checkpoint).is_dir()]
    if lost:
        raise TrainingError(
            f"{run.path / lost[0]} is missing, so the population cannot go on. Begin again in "
            "another folder."
        )
    record.display.say(
        f"{rules.population} members, {rules.steps} steps each, a decision every {rules.interval} "
        f"from step {rules.first_decision} on; they go on from step {min(s.step for s in starts)}"
    )
    return breed(task, rules, starts, run.path, options.resources, record.hear)


# ---- what is tuned ---------------------------------------------------------------------------


def resolved_stack(options: TuneOptions, below: Path | None) -> StackConfig:
    """The preset with overrides; what lies below the level is that of the model below.

    Members do not place dead codes anew unless an override says so: as in the paper, a codebook is
    repaired by copying another member, so that alpha and beta are judged by what they do alone.
    """
    stack = PRESETS[options.preset]()
    if not 1 <= options.level <= len(stack.levels):
        raise ConfigError(
            f"level is {options.level}; preset {options.preset!r} has levels 1 to "
            f"{len(stack.levels)}"
        )
    if below is not None:
        theirs = saved_config(below, "ada", StackConfig)
        stack = upon(stack, theirs, options.level - 1, below)
    alone = f"levels.{options.level}.quantiser.revive_below=0"
    stack = with_overrides(stack, (alone, *options.overrides))
    kind = stack.levels[options.level - 1].quantiser.kind
    if kind != "vq":
        raise ConfigError(
            f"level {options.level} has quantiser {kind!r}, which has neither alpha nor beta to "
            f"tune; give levels.{options.level}.quantiser.kind=vq"
        )
    return stack


def upon(stack: StackConfig, theirs: StackConfig, index: int, folder: Path) -> StackConfig:
    """`stack` with the first `index` levels and the rate of `theirs`, the model in `folder`."""
    for name in map(level_name, range(index)):
        verify(folder, below=name)
    if len(theirs.levels) < index:
        raise CheckpointError(f"{folder} has {len(theirs.levels)} levels; expected {index}")
    levels = (*theirs.levels[:index], *stack.levels[index:])
    return StackConfig(sample_rate=theirs.sample_rate, levels=levels, prior=stack.prior)


def resolved_rules(options: TuneOptions, stack: StackConfig) -> TuneRules:
    """The rules, what was not asked for filled in from the length of the training."""
    steps = options.steps or stack.levels[options.level - 1].training.steps
    interval = options.interval or min(steps, max(LEAST_INTERVAL, steps // INTERVALS))
    burn_in = BURN_IN_INTERVALS * interval if options.burn_in is None else options.burn_in
    return TuneRules(
        population=options.population,
        steps=steps,
        interval=interval,
        burn_in=burn_in,
        collapse=options.collapse,
    )


# ---- while it trains -------------------------------------------------------------------------


def known_lineage(run: RunFolder) -> Lineage:
    """What earlier sessions recorded; empty at the first start."""
    path = run.path / "lineage.json"
    return from_dict(Lineage, read_json(path)) if path.exists() else Lineage()


class Record:
    """The lineage on disk and on the console, brought up to date by every report.

    Args:
        run: The tuning's folder.
        rules: How the population is bred.
        lineage: What is known already.
        display: Where every step that all members have reached is told.
    """

    def __init__(
        self, run: RunFolder, rules: TuneRules, lineage: Lineage, display: Display
    ) -> None:
        self.run, self.rules, self.lineage, self.display = run, rules, lineage, display
        self._start_s, self._start_steps = time.monotonic(), self._steps_done

    @property
    def common_step(self) -> int:
        """The last step that all members have reported."""
        lasts = [self.lineage.of(member)[-1:] for member in range(self.rules.population)]
        return min(last[0].step if last else 0 for last in lasts)

    @property
    def is_finished(self) -> bool:
        """Whether all members have taken all their steps."""
        return self.common_step == self.rules.steps

    @property
    def _steps_done(self) -> int:
        members = range(self.rules.population)
        return sum(max((p.step for p in self.lineage.of(m)), default=0) for m in members)

    def hear(self, point: Point) -> None:
        """Take in a report; TrainingError when nobody is left to copy from."""
        told = self.common_step
        self.lineage = self.lineage.joined(point)
        write_json(self.run.path / "lineage.json", to_dict(self.lineage))
        if self.common_step > told:
            self.display.say(self.line(self.common_step))
            here = [p for p in self.lineage.points if p.step == self.common_step]
            if all(p.failure == "diverged" for p in here):
                raise TrainingError(
                    f"All members have diverged by step {self.common_step}. Lower the learning "
                    "rate or the clipping norm, and begin again in another folder."
                )

    def line(self, step: int) -> str:
        """How the population stood at `step`, in one line."""
        points = [point for point in self.lineage.points if point.step == step]
        best = min(points, key=lambda point: point.rank)
        counts = {
            "copied": sum(point.origin != point.member for point in points),
            "diverged": sum(point.failure == "diverged" for point in points),
            "collapsed": sum(point.failure == "collapsed" for point in points),
        }
        told = "".join(f", {count} {name}" for name, count in counts.items() if count)
        nll = "all diverged" if best.nll is None else f"best NLL {best.nll:.4f}"
        done = self._steps_done - self._start_steps
        left = self.rules.steps * self.rules.population - self._steps_done
        left_s = left * (time.monotonic() - self._start_s) / max(1, done)
        return (
            f"step {step}/{self.rules.steps}: {nll} (member {best.member}, alpha {best.alpha:.3g}, "
            f"beta {best.beta:.3g}){told}; left {duration(left_s)}"
        )


# ---- when it is done -------------------------------------------------------------------------


def finish_tuning(run: RunFolder, task: Task, rules: TuneRules, record: Record) -> dict[str, Any]:
    """Write picture, schedule and the best member's model; the JSON result."""
    lineage = record.lineage
    best = lineage.best()
    name = level_name(task.index)
    draw_lineage(lineage, run.path / "lineage.png", f"{name}: a population of {rules.population}")
    if best is None or best.checkpoint is None:
        raise TrainingError(
            f"All members have diverged by the last step ({run.path / 'lineage.png'} shows them): "
            "there is no best one to keep. Begin again with a lower learning rate."
        )
    schedule = lineage.schedule(best)
    (run.path / "schedule.json").write_text(schedule.to_json(), encoding="utf-8")
    stage = level_stage(task)
    member = Member(task, stage, rules.steps)
    member.restore(run.path / best.checkpoint)
    export(member, run, {"nll": best.nll or 0.0, "perplexity": best.perplexity or 0.0})
    points = lineage.points
    result = {
        "folder": str(run.path),
        "finished": True,
        "model": str(run.model),
        "best": asdict(best),
        "schedule": list(asdict(schedule)["pieces"]),
        "copies": sum(point.origin != point.member for point in points),
        "diverged": sum(point.failure == "diverged" for point in points),
        "collapsed": sum(point.failure == "collapsed" for point in points),
        "best_collapsed": best.failure == "collapsed",
        "state_sha256": state_hash(member),
    }
    if result["best_collapsed"]:
        codes = task.config.levels[task.index].quantiser.codes
        record.display.say(
            f"Warning: every member has failed; the best has collapsed to a perplexity of "
            f"{best.perplexity:.1f} of {codes} codes. Its model is kept, but its codes tell little "
            "of the music: begin again in another folder, with more members or another seed."
        )
    write_json(run.path / "result.json", result)
    return result


def state_hash(member: Member) -> str:
    """A sha256 (hex) over everything a member has learnt, in full precision."""
    digest = hashlib.sha256()
    for name, tensor in sorted(member.state.tensors().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def export(member: Member, run: RunFolder, figures: dict[str, float]) -> None:
    """Write the member's level, and those below it, as the run's model."""
    with whole_folder(run.model) as folder:
        for index in range(member.task.index):
            assert member.task.below is not None, "a level above the lowest comes with a model"
            name = level_name(index)
            shutil.copytree(Path(member.task.below) / name, folder / name)
        member.stage.export(member.state, folder)
        write_metrics(folder, member.stage.name, figures)
        write_checksums(folder)


def run_replay(tuned: Path, folder: Path, display: Display) -> dict[str, Any]:
    """Train one network along the schedule that the tuning in `tuned` found; the JSON result.

    The same seed, data, precision and machine give the same weights, bit for bit: the result says
    whether they are.

    Raises:
        CheckpointError: `tuned` holds no finished tuning.
        TrainingError: Divergence, or a folder that holds another training.
    """
    source, run = RunFolder(tuned.resolve()), RunFolder(folder.resolve())
    task = task_of(source)
    if not (source.path / "result.json").exists():
        raise CheckpointError(f"{source.path} holds no finished tuning; finish it by its command")
    schedule = Schedule.from_json((source.path / "schedule.json").read_text(encoding="utf-8"))
    rules = from_dict(TuneRules, (source.settings() or {})["config"]["rules"])
    told = {"replay": str(source.path), "schedule": to_dict(schedule)}
    run.begin("ada", told, task.seed)
    stage = level_stage(task)
    stage.prepare()
    member = Member(task, stage, rules.steps)
    follow(member, schedule, lambda step: display.say(f"step {step}/{rules.steps}"))
    figures = member.judge()
    export(member, run, {name: figures[name] for name in ("nll", "perplexity")})
    wanted = read_json(source.path / "result.json")["state_sha256"]
    return {
        "folder": str(run.path),
        "finished": True,
        "model": str(run.model),
        "figures": figures,
        "identical": state_hash(member) == wanted,
    }
