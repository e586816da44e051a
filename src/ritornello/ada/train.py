"""`ritornello train ada`: from folders of audio to a stack that plays.

    scan -> mu-law symbols -> level 1 -> its codes -> level 2 -> ... -> codes -> prior

With `--from MODEL` the levels are taken over as they are, so that codes keep their meaning, and the
prior starts from that model's weights; `--from-codec` takes the levels alone, as many as that model
has; `--from MODEL --unfreeze-codec` goes on training every level from its weights, bottom up.
"""

import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ritornello.ada.codec import level_name
from ritornello.ada.config import StackConfig
from ritornello.ada.presets import PRESETS
from ritornello.ada.train_levels import LevelStage, PriorStage, stack_symbols
from ritornello.checkpoint import saved_config, whole_folder, write_checksums
from ritornello.config import from_dict, to_dict
from ritornello.data.corpus import Corpus
from ritornello.errors import ConfigError, DataError
from ritornello.interfaces import Stage
from ritornello.training import setup
from ritornello.training.card import write_run_card
from ritornello.training.estimate import estimate_chain
from ritornello.training.loop import train_chain
from ritornello.training.options import TrainOptions
from ritornello.training.run import RunFolder
from ritornello.training.setup import (
    asked_stages,
    origin,
    starting_model,
    told_of_all,
    usable_corpus,
)
from ritornello.training.taken import (
    refuse_gap,
    refuse_other_beginning,
    refuse_other_shapes,
    take_components,
)


def run_training(options: TrainOptions) -> dict[str, Any]:
    """Do what `ritornello train ada` was asked; the JSON result.

    Raises:
        DataError: No usable recordings.
        ConfigError: Settings that do not exist or contradict the run or the model.
        CheckpointError: A model that is damaged or incomplete.
        TrainingError: Divergence, or a run that belongs to other settings.
    """
    run = RunFolder(options.run)
    known = run.settings()
    seed = options.seed if options.seed is not None else (known or {}).get("seed", 0)
    start = starting_model(options)
    stack = resolved_config(options, known, start)
    taken = taken_levels(options, stack, start)
    refuse_other_beginning(run, part_names(stack)[:-1], taken)
    if options.plan_only:
        stages = asked_stages(options, chain(options, stack, Corpus([]), run, start))
        estimates = estimate_chain(stages, seed=seed, time_limit_s=options.time_limit_s)
        return {"plan": [asdict(estimate) for estimate in estimates]}
    refuse_gap(options.stage, needed_by(options.stage, stack), taken, run)
    corpus = usable_corpus(options, run)
    refuse_short(corpus, stack)
    run.begin("ada", to_dict(stack), seed, lambda old: to_dict(from_dict(StackConfig, old)))
    is_first = os.environ.get("RANK", "0") == "0"  # under torchrun one process writes the model
    if start is not None and is_first:
        take_components(start, taken, run, "ada", to_dict(stack))
    every = chain(options, stack, corpus, run, start)
    result = train_chain(
        asked_stages(options, every),
        run,
        seed=seed,
        time_limit_s=options.time_limit_s,
        extend_s=options.extend_s,
    )
    if result.finished and (run.model / "prior").is_dir() and is_first:
        with whole_folder(run.model, keep=True) as folder:
            told = told_of_all(result, every, run)
            write_run_card(folder, "ada", summary(stack), corpus, run, told, origin=origin(options))
            write_checksums(folder)
    return {"run": str(run.path), "model": str(run.model)} | asdict(result)


def summary(stack: StackConfig) -> str:
    """What the model is, in a sentence."""
    codes = "; ".join(
        f"level {number} has {level.quantiser.codes} codes every {level.hop} symbols "
        f"({level.quantiser.kind})"
        for number, level in enumerate(stack.levels, start=1)
    )
    memory_s = stack.receptive_field_ms / 1000
    return (
        f"An ADA stack: {stack.sample_rate / 1000:g} kHz, mono, 8-bit mu-law; "
        f"{codes or 'no levels'}; a WaveNet that looks back {memory_s:.1f} s."
    )


def resolved_config(
    options: TrainOptions, known: dict[str, Any] | None, start: Path | None
) -> StackConfig:
    """The stack to train; see `training.setup`."""
    return setup.resolved_config(
        options, known, start, system="ada", presets=PRESETS, with_codec_of=_with_levels_of
    )


def _with_levels_of(theirs: StackConfig, ours: StackConfig) -> StackConfig:
    """`ours` with the rate and the levels of `theirs`, and a prior of their topmost codes."""
    symbols = theirs.levels[-1].quantiser.codes if theirs.levels else ours.prior.symbols
    return replace(
        ours,
        sample_rate=theirs.sample_rate,
        levels=theirs.levels,
        prior=replace(ours.prior, symbols=symbols),
    )


def taken_levels(options: TrainOptions, stack: StackConfig, start: Path | None) -> list[str]:
    """Names of the levels that are taken over and not trained.

    Raises:
        ConfigError: Settings that their weights cannot be used with, or no prior to go on from.
    """
    if start is not None and options.from_model is not None and not (start / "prior").is_dir():
        raise ConfigError(
            f"{start} has levels but no prior, which --from goes on training. Use --from-codec to "
            "take its levels and train a new prior."
        )
    if start is None or options.unfreeze_codec:
        return []
    theirs = saved_config(start, "ada", StackConfig)
    names = [level_name(index) for index in range(len(stack.levels))]
    taken = [name for name in names if (start / name).is_dir()]
    pairs: dict[str, tuple[Any, Any]] = {"sample_rate": (stack.sample_rate, theirs.sample_rate)}
    for name, ours, other in zip(names, stack.levels, theirs.levels, strict=False):
        if name in taken:  # how a level was trained does not change what it is
            pairs[name] = ours, replace(other, training=ours.training)
    if options.from_model is not None:
        pairs["prior.network"] = stack.prior.network, theirs.prior.network
    refuse_other_shapes(start, pairs)
    return taken


def part_names(stack: StackConfig) -> list[str]:
    """Components in the order they are trained."""
    return [*map(level_name, range(len(stack.levels))), "prior"]


def needed_by(stage: str | None, stack: StackConfig) -> list[str]:
    """Levels whose codes a stage is trained on."""
    names = part_names(stack)
    return names[: names.index(stage)] if stage in names else []


def refuse_short(corpus: Corpus, stack: StackConfig) -> None:
    """Refuse music in which no training recording holds an excerpt of every stage.

    Raises:
        DataError: Names the longest ones; better now than after the levels have been trained.
    """
    hop, wanted = 1, 0
    for part in (*stack.levels, stack.prior):
        wanted = max(wanted, part.training.crop * hop)
        hop *= getattr(part, "hop", 1)
    wanted_s = wanted / stack.sample_rate
    train = sorted(corpus.split("train"), key=lambda recording: -recording.duration_s)
    if not train or train[0].duration_s < wanted_s:
        longest = ", ".join(f"{r.id} ({r.duration_s:.1f} s)" for r in train[:5]) or "none"
        raise DataError(
            f"no recording is as long as the longest training excerpt, {wanted_s:.1f} s; the "
            f"longest to train on: {longest}. Join short recordings, or choose shorter crops, "
            "e.g. prior.training.crop=256"
        )


def chain(
    options: TrainOptions,
    stack: StackConfig,
    corpus: Corpus,
    run: RunFolder,
    start: Path | None,
) -> list[Stage]:
    """The stages, bottom first; levels that were taken over are left out."""
    taken = taken_levels(options, stack, start)
    symbols = stack_symbols(stack, corpus, run.model, options.cache or run.cache)
    begins = start if options.from_model is not None else None
    stages: list[Stage] = [
        LevelStage(stack, index, symbols[index], begins)
        for index in range(len(stack.levels))
        if level_name(index) not in taken
    ]
    return [*stages, PriorStage(stack, symbols[-1], begins)]
