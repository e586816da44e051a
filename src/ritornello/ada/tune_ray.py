"""A population on Ray Tune: one machine or a cluster, the same code.

Ray starts the members, holds back those that have to wait, carries checkpoints from one to another
and retries what a lost machine took away. What is decided comes from `tune_population.decide`, so
that the population is a pure function of seed and data:

    Ray's synchronous PBT                         here
    who copies, who is copied, from whom          decide(points, rules, seed)
    resampling and perturbation                   the same
    weights and optimisers                        safetensors and JSON (`Member.save`)

Deviation: members wait for each other at every interval (the paper's did not, as far as it says).
That compares them at equal steps and costs little where members are equally fast.
"""

import logging
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ritornello.ada.tune_member import Member, Task, level_stage
from ritornello.ada.tune_population import Copy, Failure, Point, TuneRules, decide
from ritornello.errors import MissingDependencyError, TrainingError

KEPT_CHECKPOINTS = 3
RETRIES = 2
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
"""Ray takes these from the environment alone: no reports to its makers, no tables of its own, and
members that are as important as who started them; by default they give way to everybody else."""

ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Makes Ray's servers listen on the loopback address, as they do by default on Windows and macOS;
on Linux they would take commands from anybody who can reach this machine."""
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Where members run.

    Attributes:
        address: Of a running cluster, "auto" for this machine's; None starts Ray here, reachable
            from this machine alone.
        cpus_per_member: Threads of every member.
        gpus_per_member: May be a fraction.
    """

    address: str | None = None
    cpus_per_member: int = 1
    gpus_per_member: float = 0.0


def require_ray(address: str | None = None) -> Any:
    """The `ray.tune` module, set up for the cluster at `address`, or for this machine alone.

    Raises:
        MissingDependencyError: Ray is not installed.
    """
    for name, value in (QUIET if address else QUIET | ALONE).items():
        os.environ.setdefault(name, value)
    try:
        from ray import tune  # type: ignore[import-not-found]
    except ImportError:
        raise MissingDependencyError(
            "population based training", "Ray Tune", 'pip install "ritornello[ray]"'
        ) from None
    return tune


def breed(
    task: Task,
    rules: TuneRules,
    starts: Sequence[Point],
    folder: Path,
    resources: Resources,
    heard: Callable[[Point], None],
) -> bool:
    """Train the population until all members have taken their steps.

    Args:
        task: What every member trains.
        rules: How it is bred.
        starts: Where every member begins: step 0, or a point of an interrupted population.
        folder: The tuning's folder, seen by all machines; Ray keeps its own below it.
        resources: Where members run.
        heard: Gets every point that is reported, in order of arrival.

    Returns:
        Whether all came to their end; False after Ctrl-C.

    Raises:
        TrainingError: A member's process failed again and again.
        MissingDependencyError: Ray is not installed.
    """
    tune = require_ray(resources.address)
    import ray  # type: ignore[import-not-found]

    start_ray(resources)
    try:
        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(
                    train_member,
                    task=task,
                    rules=rules,
                    starts=tuple(starts),
                    folder=str(folder),
                    threads=resources.cpus_per_member,
                ),
                {"cpu": resources.cpus_per_member, "gpu": resources.gpus_per_member},
            ),
            param_space={"member": tune.grid_search(list(range(rules.population)))},
            tune_config=tune.TuneConfig(
                scheduler=build_scheduler(rules, starts, task.seed), reuse_actors=True
            ),
            run_config=tune.RunConfig(
                name=_session_name(folder / "ray"),
                storage_path=str(folder / "ray"),
                stop={"step": rules.steps},
                callbacks=[build_listener(folder, heard)],
                verbose=0,
                log_to_file=True,
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                checkpoint_config=tune.CheckpointConfig(num_to_keep=KEPT_CHECKPOINTS),
            ),
        )
        results = tuner.fit()
        for error in results.errors:
            reason = str(error).strip().splitlines()[-1]
            raise TrainingError(
                f"A member could not go on: {reason} (Ray's logs: {folder / 'ray'})"
            )
        return all((result.metrics or {}).get("step") == rules.steps for result in results)
    finally:
        ray.shutdown()


def start_ray(resources: Resources) -> None:
    """Join the cluster, or start Ray here, out of reach of other machines.

    Raises:
        TrainingError: It does not answer, or would be within their reach.
    """
    import ray  # type: ignore[import-not-found]

    here = {"num_cpus": available_cpus(), "include_dashboard": False}
    if resources.address is None and ray.util.get_node_ip_address() != LOOPBACK:
        (name,) = ALONE
        raise TrainingError(
            "Ray would be open to other machines: it was imported before the tuning could tell it "
            f"to stay on this one. Set {name}=0 before Python starts, or give --address."
        )
    try:
        ray.init(
            address=resources.address,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            **(here if resources.address is None else {}),
        )
    except Exception as error:  # Ray has no narrower one for a start that takes too long
        ray.shutdown()
        where = resources.address or "this machine"
        reason = " ".join(str(error).split())
        raise TrainingError(
            f"Ray did not start on {where}: {reason} Is the machine too busy, or the address "
            "wrong? The same command tries again."
        ) from error


def available_cpus() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _session_name(ray_folder: Path) -> str:
    """A name that no earlier session in the folder has."""
    ray_folder.mkdir(parents=True, exist_ok=True)
    taken = [int(path.name.rpartition("-")[2]) for path in ray_folder.glob("session-*")]
    return f"session-{max(taken, default=0) + 1}"


# ---- inside a member's process ---------------------------------------------------------------


def train_member(
    config: dict[str, Any],
    *,
    task: Task,
    rules: TuneRules,
    starts: Sequence[Point],
    folder: str,
    threads: int,
) -> None:
    """What Ray runs for a member, anew whenever it begins, has waited or has copied.

    Args:
        config: The member's number; after a copy also its donor, alpha and beta.
        task: What is trained.
        rules: How the population is bred.
        starts: Where every member began this session.
        folder: The tuning's folder.
        threads: For torch.
    """
    from ray import tune  # type: ignore[import-not-found]

    torch.set_num_threads(threads)
    number = int(config["member"])
    start = starts[number]
    alpha, beta = config.get("alpha", start.alpha), config.get("beta", start.beta)
    stage = level_stage(task)
    stage.prepare()
    member = Member(task, stage, rules.steps)
    member.set(alpha, beta)

    checkpoint = tune.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as place:
            origin = member.restore(Path(place))
        step = member.state.step
    else:
        # Taken up after an interruption: told again, for the others' sake, before it goes on.
        origin, step = number, start.step
        if start.checkpoint is not None:
            member.restore(Path(folder) / start.checkpoint)
        if step:
            _report(start, member)
    has_diverged = checkpoint is None and start.failure == "diverged"
    while step < rules.steps:
        step = rules.next_report(step)
        figures = {} if has_diverged else train_interval(member, step)
        nll = figures.get("nll", float("nan"))
        perplexity = figures.get("perplexity", float("nan"))
        failure = rules.failure(nll, perplexity, stage.level.quantiser.codes)
        # Nothing is trained on with such weights; the next decision replaces them.
        has_diverged = failure == "diverged"
        point = Point(
            member=number,
            step=step,
            alpha=alpha,
            beta=beta,
            origin=origin,
            nll=None if has_diverged else nll,
            perplexity=None if has_diverged else perplexity,
            failure=failure,
        )
        _report(point, member)
        origin = number


def train_interval(member: Member, until: int) -> dict[str, float]:
    """Figures after training to step `until`; none when the member diverged on the way."""
    try:
        member.train(until)
    except TrainingError:
        return {}
    return member.judge()


def _report(point: Point, member: Member) -> None:
    """Tell Ray, with the training state unless that is lost."""
    from ray import tune  # type: ignore[import-not-found]

    metrics = {
        "step": point.step,
        # Ray sorts members by it for its own books; ours go by the whole point.
        "fitness": -math.inf if point.nll is None else -point.nll,
        "alpha": point.alpha,
        "beta": point.beta,
        "origin": point.origin,
        "nll": point.nll,
        "perplexity": point.perplexity,
        "failure": point.failure,
    }
    if point.failure == "diverged":
        tune.report(metrics)
        return
    with tempfile.TemporaryDirectory() as folder:
        member.save(Path(folder), point.member)
        tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))


# ---- inside the driver -----------------------------------------------------------------------


def point_of(number: int, result: dict[str, Any], checkpoint: str | None) -> Point:
    """The point that member `number` reported as Ray's `result`."""
    failure: Failure = result["failure"]
    return Point(
        member=number,
        step=int(result["step"]),
        alpha=result["alpha"],
        beta=result["beta"],
        origin=int(result["origin"]),
        nll=result["nll"],
        perplexity=result["perplexity"],
        failure=failure,
        checkpoint=checkpoint,
    )


def build_listener(folder: Path, heard: Callable[[Point], None]) -> Any:
    """A Ray callback that hands every report on as a point."""
    from ray import tune  # type: ignore[import-not-found]

    class Listener(tune.Callback):
        def __init__(self, folder: Path, heard: Callable[[Point], None]) -> None:
            self.folder, self.heard = folder, heard

        def __getstate__(self) -> dict[str, Any]:
            # Ray keeps a copy of its settings on the disk; consoles and records stay out of it.
            return {}

        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
        ) -> None:
            name = result.get("checkpoint_dir_name")
            place = None if name is None else Path(trial.storage.trial_fs_path) / name
            relative = None if place is None else place.relative_to(self.folder).as_posix()
            self.heard(point_of(trial.config["member"], result, relative))

    return Listener(folder, heard)


def build_scheduler(rules: TuneRules, starts: Sequence[Point], seed: int) -> Any:
    """Ray's synchronous population based training with this project's decisions."""
    from ray.tune.schedulers import PopulationBasedTraining  # type: ignore[import-not-found]

    class Population(PopulationBasedTraining):
        """Overrides who is copied by whom, and to what; everything else is Ray's."""

        def __init__(self) -> None:
            # A population taken up again decides first where all its members are at once.
            common = max(start.step for start in starts)
            super().__init__(
                time_attr="step",
                metric="fitness",
                mode="max",
                perturbation_interval=rules.interval,
                burn_in_period=max(rules.burn_in, common),
                # Ray wants a way to explore; `_get_new_config` stands in for it.
                custom_explore_fn=dict,
                log_config=False,
                synch=True,
            )
            self.copies: dict[int, Copy] = {}

        def _quantiles(self) -> tuple[list[Any], list[Any]]:
            """Trials that copy, and trials that are copied."""
            trials = {int(trial.config["member"]): trial for trial in self._trial_state}
            results = {
                number: self._trial_state[trial].last_result
                for number, trial in trials.items()
                if not trial.is_finished()
            }
            points = [point_of(n, result, None) for n, result in results.items() if result]
            self.copies = {copy.member: copy for copy in decide(points, rules, seed)}
            donors = {copy.donor for copy in self.copies.values()}
            return [trials[n] for n in self.copies], [trials[n] for n in sorted(donors)]

        def _checkpoint_or_exploit(
            self, trial: Any, tune_controller: Any, upper_quantile: Any, lower_quantile: Any
        ) -> None:
            """As Ray's, which draws from `upper_quantile`, with the donor that was decided on."""
            copy = self.copies.get(int(trial.config["member"]))
            if copy is not None:
                upper_quantile = [t for t in upper_quantile if t.config["member"] == copy.donor]
            super()._checkpoint_or_exploit(trial, tune_controller, upper_quantile, lower_quantile)

        def _get_new_config(self, trial: Any, trial_to_clone: Any) -> tuple[dict[str, Any], Any]:
            """The copier's own number with the alpha and beta that were decided on."""
            copy = self.copies[int(trial.config["member"])]
            return trial.config | {"alpha": copy.alpha, "beta": copy.beta}, {}

    return Population()
