"""`ritornello train musika`: from folders of audio to a model that plays.

    scan -> level 1 -> level 2 -> sharpen -> GAN

With `--from MODEL` the codec is taken over as it is and the generator starts from that model's
weights; `--from-codec` takes the codec alone; `--from MODEL --unfreeze-codec` sharpens the decoders
on the new music before the GAN. Encoders never change then, so latents keep their meaning.
"""

import os
from dataclasses import asdict, replace
from math import ceil
from pathlib import Path
from typing import Any

from ritornello.checkpoint import saved_config, whole_folder, write_checksums
from ritornello.config import from_dict, to_dict
from ritornello.data.corpus import Corpus
from ritornello.errors import ConfigError, DataError
from ritornello.interfaces import Stage
from ritornello.musika import card
from ritornello.musika.config import MusikaConfig
from ritornello.musika.presets import PRESETS
from ritornello.musika.recordings import AudioBlocks
from ritornello.musika.train_codec import Level1Stage, Level2Stage, SharpenStage
from ritornello.musika.train_gan import GanStage
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
from ritornello.training.taken import refuse_other_shapes, take_components

CODEC = ("level1", "level2")


def run_training(options: TrainOptions) -> dict[str, Any]:
    """Do what `ritornello train musika` was asked; the JSON result.

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
    config = resolved_config(options, known, start)
    if start is not None:
        refuse_misfit(start, config, with_generator=options.from_model is not None)
    refuse_other_beginning(run, start)
    if options.plan_only:
        stages = asked_stages(options, chain(options, config, Corpus([]), run, start))
        estimates = estimate_chain(stages, seed=seed, time_limit_s=options.time_limit_s)
        return {"plan": [asdict(estimate) for estimate in estimates]}
    corpus = usable_corpus(options, run)
    every = chain(options, config, corpus, run, start)
    stages = asked_stages(options, every)
    if stages[-1].name == "gan":
        refuse_short(corpus, config)
    run.begin("musika", to_dict(config), seed, lambda old: to_dict(from_dict(MusikaConfig, old)))
    is_first = os.environ.get("RANK", "0") == "0"  # under torchrun one process writes the model
    if start is not None and is_first:
        take_components(start, CODEC, run, "musika", to_dict(config))
    result = train_chain(
        stages, run, seed=seed, time_limit_s=options.time_limit_s, extend_s=options.extend_s
    )
    if result.finished and stages[-1].name == "gan" and is_first:
        with whole_folder(run.model, keep=True) as folder:
            told = told_of_all(result, every, run)
            write_run_card(
                folder,
                "musika",
                card.summary(config),
                corpus,
                run,
                told,
                origin=origin(options),
                sections={"Controls": card.controls(folder, config)},
            )
            write_checksums(folder)
    return {"run": str(run.path), "model": str(run.model)} | asdict(result)


def resolved_config(
    options: TrainOptions, known: dict[str, Any] | None, start: Path | None
) -> MusikaConfig:
    """The model to train; see `training.setup`."""
    return setup.resolved_config(
        options, known, start, system="musika", presets=PRESETS, with_codec_of=_with_codec_of
    )


def _with_codec_of(theirs: MusikaConfig, ours: MusikaConfig) -> MusikaConfig:
    """`ours` with the rate, spectrogram and both levels of `theirs`."""
    return replace(
        ours,
        sample_rate=theirs.sample_rate,
        channels=theirs.channels,
        stft=theirs.stft,
        level1=theirs.level1,
        level2=theirs.level2,
        family=theirs.family,
    )


def refuse_short(corpus: Corpus, config: MusikaConfig) -> None:
    """Refuse music in which no training recording holds one window of the GAN.

    Raises:
        DataError: Names the longest ones; better now than after the codec has been trained.
    """
    train = sorted(corpus.split("train"), key=lambda recording: -recording.duration_s)
    frames = [ceil(r.duration_s * config.sample_rate / config.hop_samples) for r in train]
    if not frames or frames[0] < config.gan.window_frames:
        longest = ", ".join(f"{r.id} ({r.duration_s:.1f} s)" for r in train[:5]) or "none"
        raise DataError(
            f"no recording is as long as a training window, "
            f"{config.gan.window_frames / config.latent_rate_hz:.1f} s; the longest to train on: "
            f"{longest}. Join short recordings, or choose a smaller gan.chunk_frames"
        )


def refuse_misfit(start: Path, config: MusikaConfig, *, with_generator: bool) -> None:
    """Refuse settings that the weights of `start` cannot be used with.

    Raises:
        ConfigError: Names the first that differs.
    """
    theirs = saved_config(start, "musika", MusikaConfig)
    pairs = {
        name: (getattr(config, name), getattr(theirs, name))
        for name in ("sample_rate", "channels", "stft", "level1", "level2", "family")
    }
    if with_generator:
        pairs["gan.controls"] = config.gan.controls, theirs.gan.controls
        pairs["generator"] = config.generator, theirs.generator
    refuse_other_shapes(start, pairs)


def refuse_other_beginning(run: RunFolder, start: Path | None) -> None:
    """Refuse to resume a run as if it had begun otherwise: its codec would be lost.

    Raises:
        ConfigError: The run trains its own codec and another is given, or the reverse.
    """
    has_own = run.stage("level1").path.exists()
    if has_own and start is not None:
        raise ConfigError(
            f"{run.path} trains its own codec; --from and --from-codec begin a run of their own. "
            "Give another --run folder."
        )
    if not has_own and start is None and (run.model / "level1").is_dir():
        raise ConfigError(
            f"{run.path} has taken its codec over from another model; repeat the --from or "
            "--from-codec it was begun with to resume it."
        )


def chain(
    options: TrainOptions,
    config: MusikaConfig,
    corpus: Corpus,
    run: RunFolder,
    start: Path | None,
) -> list[Stage]:
    """The stages, bottom first; those whose result was taken over are left out."""
    cache = options.cache or run.cache
    blocks = AudioBlocks(corpus, config, cache / "audio")
    stages: list[Stage] = []
    if start is None:
        stages += [Level1Stage(config, blocks), Level2Stage(config, blocks, run.model)]
    if start is None or options.unfreeze_codec:
        stages.append(SharpenStage(config, blocks, run.model))
    begins = start if options.from_model is not None else None
    stages.append(GanStage(config, blocks, run.model, cache, begins))
    return stages
