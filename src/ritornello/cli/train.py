"""`ritornello train SYSTEM`: the whole chain, or one stage, from a folder of audio to a model."""

import importlib
import os
from pathlib import Path
from typing import Any

from ritornello.cli.console import UsageError, VerbParser, duration_s, emit, table
from ritornello.config import nearest
from ritornello.systems import SYSTEMS
from ritornello.training.options import PRESETS, TrainOptions


def run(argv: list[str]) -> int:
    """Train, resume, extend or plan a run."""
    system, options = parse(argv)
    train_module = importlib.import_module(f"{SYSTEMS[system].package}.train")
    result = train_module.run_training(options)
    if os.environ.get("RANK", "0") == "0":  # under torchrun one process speaks for all
        emit(result, as_json=options.json, text=_lines(result, options, system))
    return 0


def parse(argv: list[str]) -> tuple[str, TrainOptions]:
    """The system and what is asked of it."""
    options = build_parser().parse(argv)
    if options.system not in SYSTEMS:
        raise UsageError(
            f"there is no system {options.system!r}; {nearest(options.system, SYSTEMS)}"
        )
    train_options = TrainOptions(
        data=tuple(options.data),
        run=options.run,
        preset=options.preset,
        stage=options.stage,
        from_model=options.from_model,
        from_codec=options.from_codec,
        unfreeze_codec=options.unfreeze_codec,
        time_limit_s=options.time_limit,
        extend_s=options.extend,
        plan_only=options.plan,
        cache=options.cache,
        seed=options.seed,
        overrides=tuple(options.overrides),
        json=options.json,
    )
    return options.system, train_options


def build_parser() -> VerbParser:
    """The flags of the verb."""
    parser = VerbParser(
        "train",
        "Train a system on folders of audio. Every chain ends with a model that plays; stop at\n"
        "any moment and run the same command again to resume.",
        [
            "ritornello train musika --data ~/recordings --run runs/mine --time-limit 2h",
            "ritornello train musika --data ~/recordings --run runs/mine --from piano",
            "ritornello train musika --data ~/recordings --run runs/mine --plan",
            "ritornello train musika --data ~/recordings --run runs/mine gan.base_channels=64",
            "ritornello train ada --data ~/recordings --run runs/stack levels.1.training.batch=8",
            "ritornello train ada --data ~/recordings --run runs/stack levels.2.quantiser.kind=vq",
            "ritornello train jukebox --data ~/songs --run runs/sung --preset songs",
            "ritornello train stemgen --data ~/multitracks --run runs/band --time-limit 2h",
            "torchrun --nproc-per-node 2 -m ritornello train musika --data DIR --run RUN",
        ],
    )
    add = parser.add_argument
    add("system", help=" | ".join(f"{name}: {entry.summary}" for name, entry in SYSTEMS.items()))
    add("overrides", nargs="*", metavar="key=value", help="e.g. gan.base_channels=64")
    add(
        "--data",
        type=Path,
        action="append",
        required=True,
        metavar="DIR",
        help="a folder of audio; give it again for more folders",
    )
    add(
        "--run",
        type=Path,
        required=True,
        metavar="RUN",
        help="folder of the run; the same again resumes",
    )
    add(
        "--preset",
        choices=PRESETS,
        help="nano: seconds, for tests; small: two cores, an hour or two; songs, masked: the same "
        "with lyrics, or with upsamplers that work in passes (jukebox only); base: one GPU, a day; "
        "paper, release: as published (release: musika only)",
    )
    add("--stage", metavar="S", help="train this stage alone")
    add(
        "--from",
        dest="from_model",
        metavar="MODEL",
        help="start from the weights of a shipped name or folder; its codec stays as it is",
    )
    add("--from-codec", metavar="MODEL", help="take over only the codec of a model")
    add("--unfreeze-codec", action="store_true", help="with --from: train the codec too")
    add("--time-limit", type=duration_s, metavar="TIME", help="for all stages together, e.g. 60m")
    add(
        "--extend",
        type=duration_s,
        metavar="TIME",
        help="add time to a run that has used its limit",
    )
    add(
        "--plan",
        action="store_true",
        help="measure a few steps, print parameters, memory and end times, train nothing",
    )
    add("--cache", type=Path, metavar="DIR", help="folder for cached latents and codes (RUN/cache)")
    add("--seed", type=int, help="whole number >= 0 (0)")
    return parser


def _lines(result: dict[str, Any], options: TrainOptions, system: str) -> list[str]:
    """The result for a person: the plan as a table, or how the training ended."""
    if options.plan_only:
        header = ("stage", "parameters", "memory", "compute", "s/step", "steps", "ends after")
        return [
            *table([_plan_row(stage) for stage in result["plan"]], header),
            "Preparing the data comes on top, inside the time limit.",
        ]
    lines = [f"{name}: {_figures(figures)}" for name, figures in result["figures"].items()]
    if not result["finished"]:
        again = f"stopped in {result['stage']} at step {result['step']}; the same command resumes"
        return [*lines, again]
    if options.stage is not None:  # other stages may still be missing
        return lines
    return [*lines, *_what_next(options, system)]


def _what_next(options: TrainOptions, system: str) -> list[str]:
    """The command that plays what was trained."""
    can = SYSTEMS[system].capabilities
    if "accompany" in can:
        words = f"generate {options.run} --mix mix.wav --stem bass -o bass.wav"
    elif can == {"reconstruct"}:
        words = f"reconstruct {options.run} in.wav -o out.wav"
    else:
        words = f"generate {options.run} -o out.wav"
    return [f"play it:  ritornello {words}"]


def _plan_row(stage: dict[str, Any]) -> tuple[str, ...]:
    memory_mb = stage["memory_mb"]
    return (
        stage["stage"],
        f"{stage['parameters']:,}",
        "?" if memory_mb is None else f"{memory_mb:,.0f} MB",
        f"{stage['threads']} thread(s), {stage['precision']}",
        f"{stage['seconds_per_step']:.3g}",
        f"{stage['steps']:,}",
        f"{stage['ends_s'] / 60:,.0f} min",
    )


def _figures(figures: dict[str, float | None]) -> str:
    return ", ".join(
        f"{name} {'-' if value is None else format(value, '.4g')}"
        for name, value in figures.items()
    )
