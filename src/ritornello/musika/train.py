"""`ritornello train musika`: from folders of audio to a model that plays.

    scan -> level 1 -> level 2 -> sharpen -> GAN

With `--from MODEL` the codec is taken over as it is and the generator starts from that model's
weights; `--from-codec` takes the codec alone; `--from MODEL --unfreeze-codec` sharpens the decoders
on the new music before the GAN. Encoders never change then, so latents keep their meaning.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from math import ceil
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
from ritornello.training.loop import ChainResult, train_chain
from ritornello.training.options import TrainOptions
from ritornello.training.run import RunFolder

DEFAULT_PRESET = "small"
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
    start = _model(options.from_model or options.from_codec)
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
    run.begin("musika", to_dict(config), seed)
    is_first = os.environ.get("RANK", "0") == "0"  # under torchrun one process writes the model
    if start is not None and is_first:
        take_codec(start, run, config)
    result = train_chain(
        stages, run, seed=seed, time_limit_s=options.time_limit_s, extend_s=options.extend_s
    )
    if result.finished and stages[-1].name == "gan" and is_first:
        with whole_folder(run.model, keep=True) as folder:
            told = _told_of_all(result, every, run)
            write_model_card(folder, config, corpus, run, told, _origin(options))
            write_checksums(folder)
    return {"run": str(run.path), "model": str(run.model)} | asdict(result)


def asked_stages(options: TrainOptions, every: list[Stage]) -> list[Stage]:
    """The one stage that was asked for, or all."""
    stages = [stage for stage in every if options.stage in (None, stage.name)]
    if not stages:
        names = ", ".join(stage.name for stage in every)
        raise ConfigError(f"stage is {options.stage!r}; this run has {names}")
    return stages


def _told_of_all(result: ChainResult, every: Sequence[Stage], run: RunFolder) -> ChainResult:
    """`result` with the figures of all finished stages, also those of earlier calls."""
    folders = {stage.name: run.stage(stage.name) for stage in every}
    figures = {name: folder.figures() for name, folder in folders.items() if folder.finished}
    return replace(result, figures=figures)


def _origin(options: TrainOptions) -> str | None:
    """What the model was started from, in a sentence."""
    if options.from_codec is not None:
        return f"The codec is that of `{Path(options.from_codec).name}`."
    if options.from_model is None:
        return None
    codec = "its decoders went on learning" if options.unfreeze_codec else "its codec is unchanged"
    return f"Started from the weights of `{Path(options.from_model).name}`; {codec}."


def resolved_config(
    options: TrainOptions, known: dict[str, Any] | None, start: Path | None
) -> MusikaConfig:
    """The model to train: the run's own, the preset's or the one started from, with overrides."""
    if options.preset is not None and options.from_model is not None:
        raise ConfigError(
            f"--preset {options.preset} and --from were both given; --from brings its own sizes. "
            "Leave --preset out, or take the codec alone with --from-codec."
        )
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
    theirs = saved_config(start)
    pairs = {
        name: (getattr(config, name), getattr(theirs, name))
        for name in ("sample_rate", "channels", "stft", "level1", "level2", "family")
    }
    if with_generator:
        pairs["gan.controls"] = config.gan.controls, theirs.gan.controls
        pairs["generator"] = config.generator, theirs.generator
    for name, (ours, other) in pairs.items():
        if ours != other:
            raise ConfigError(
                f"{name} is {ours}, {start} has {other}; weights cannot be taken over into "
                "another shape. Leave that setting as it is, or train without them."
            )


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


def take_codec(start: Path, run: RunFolder, config: MusikaConfig) -> None:
    """Copy the codec of `start` into the run's model, once."""
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
