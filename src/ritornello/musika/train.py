"""`ritornello train musika`: from folders of audio to a model that plays.

    scan -> level 1 -> level 2 -> sharpen -> GAN

With `--from MODEL` the codec is taken over as it is and the generator starts from that model's
weights; `--from-codec` takes the codec alone; `--from MODEL --unfreeze-codec` sharpens the decoders
on the new music before the GAN. Encoders never change then, so latents keep their meaning.
"""

import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ritornello.checkpoint import (
    find_model,
    read_config,
    verify,
    whole_folder,
    write_checksums,
    write_config,
)
from ritornello.config import from_dict, to_dict, with_overrides
from ritornello.data.corpus import Corpus, scan
from ritornello.errors import CheckpointError, ConfigError, DataError
from ritornello.interfaces import Stage
from ritornello.musika.card import write_model_card
from ritornello.musika.config import MusikaConfig
from ritornello.musika.presets import PRESETS
from ritornello.musika.recordings import AudioBlocks
from ritornello.musika.train_codec import Level1Stage, Level2Stage, SharpenStage
from ritornello.musika.train_gan import GanStage
from ritornello.training.estimate import estimate_chain
from ritornello.training.loop import train_chain
from ritornello.training.options import TrainOptions
from ritornello.training.run import RunFolder

DEFAULT_PRESET = "small"
CODEC = ("level1", "level2")


def run_training(options: TrainOptions) -> dict[str, Any]:
    """Do what `ritornello train musika` was asked; the JSON result.

    Raises:
        DataError: No usable recordings.
        ConfigError: Settings that do not exist or contradict the run or the model.
        CheckpointError: A model that does not fit.
        TrainingError: Divergence, or a run that belongs to other settings.
    """
    run = RunFolder(options.run)
    known = run.settings()
    seed = options.seed if options.seed is not None else (known or {}).get("seed", 0)
    start = _model(options.from_model or options.from_codec)
    config = resolved_config(options, known, start)
    if options.plan_only:
        stages = chain(options, config, Corpus([]), run, start)
        estimates = estimate_chain(stages, seed=seed, time_limit_s=options.time_limit_s)
        return {"plan": [asdict(estimate) for estimate in estimates]}
    corpus = usable_corpus(options, run)
    run.begin("musika", to_dict(config), seed)
    if start is not None:
        take_codec(start, run, config)
    stages = [
        stage
        for stage in chain(options, config, corpus, run, start)
        if options.stage in (None, stage.name)
    ]
    if not stages:
        names = [stage.name for stage in chain(options, config, corpus, run, start)]
        raise ConfigError(f"stage is {options.stage!r}; this run has {', '.join(names)}")
    result = train_chain(
        stages, run, seed=seed, time_limit_s=options.time_limit_s, extend_s=options.extend_s
    )
    if result.finished and stages[-1].name == "gan":
        with whole_folder(run.model, keep=True) as folder:
            write_model_card(folder, config, corpus, run, result, start)
            write_checksums(folder)
    return {"run": str(run.path), "model": str(run.model)} | asdict(result)


def resolved_config(
    options: TrainOptions, known: dict[str, Any] | None, start: Path | None
) -> MusikaConfig:
    """The model to train: the run's own, the preset's or the one started from, with overrides."""
    if known is not None and options.preset is None:
        config = from_dict(MusikaConfig, known["config"])
    elif options.from_model is not None and start is not None:
        config = saved_config(start)
    elif start is not None:
        config = _with_codec_of(saved_config(start), PRESETS[options.preset or DEFAULT_PRESET]())
    else:
        config = PRESETS[options.preset or DEFAULT_PRESET]()
    return with_overrides(config, options.overrides)


def saved_config(folder: Path) -> MusikaConfig:
    """The configuration of a Musika model folder."""
    values = read_config(folder)
    if values.pop("system") != "musika":
        raise CheckpointError(f"{folder} is no musika model; expected one to start from")
    del values["format_version"]
    return from_dict(MusikaConfig, values)


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


def _model(name: str | None) -> Path | None:
    """The folder of the model to start from, verified."""
    if name is None:
        return None
    folder = find_model(name)
    verify(folder)
    return folder


def usable_corpus(options: TrainOptions, run: RunFolder) -> Corpus:
    """The scanned folders; the manifest is kept beside the caches."""
    cache = options.cache or run.cache
    cache.mkdir(parents=True, exist_ok=True)
    corpus = scan(list(options.data), manifest=cache / "manifest.jsonl")
    if not len(corpus):
        reasons = "; ".join(f"{one.id}: {one.reason}" for one in corpus.skipped[:5])
        folders = ", ".join(str(folder) for folder in options.data)
        raise DataError(
            f"no usable recordings in {folders} ({reasons or 'no audio files'}); "
            "`ritornello data scan DIR` lists every file and what is wrong with it"
        )
    return corpus


def take_codec(start: Path, run: RunFolder, config: MusikaConfig) -> None:
    """Copy the codec of `start` into the run's model, once."""
    theirs = saved_config(start)
    for name in ("sample_rate", "channels", "stft", "level1", "level2", "family"):
        if getattr(theirs, name) != getattr(config, name):
            raise ConfigError(
                f"{name} is {getattr(config, name)}, the codec of {start} has "
                f"{getattr(theirs, name)}; a codec cannot be taken over into another shape. "
                "Leave that setting as it is, or train without --from."
            )
    if all((run.model / name).is_dir() for name in CODEC):
        return
    with whole_folder(run.model, keep=True) as folder:
        for name in CODEC:
            shutil.copytree(start / name, folder / name)
        write_config(folder, "musika", to_dict(config))
        write_checksums(folder)


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
