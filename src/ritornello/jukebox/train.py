"""`ritornello train jukebox`: from folders of audio to a model that plays.

    scan -> autoencoders -> codes of all levels -> prior -> upsampler of level 1 -> of level 0
                                                              -> masked ones, if there are any

With `--from MODEL` the autoencoders are taken over as they are, so that codes keep their meaning,
and prior and upsamplers start from that model's weights; `--from-codec` takes the autoencoders
alone; `--from MODEL --unfreeze-codec` goes on training everything from its weights.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ritornello.checkpoint import saved_config, whole_folder, write_checksums
from ritornello.config import from_dict, to_dict
from ritornello.data.corpus import Corpus
from ritornello.errors import ConfigError, DataError
from ritornello.interfaces import Stage
from ritornello.jukebox.codec import component_name
from ritornello.jukebox.components import PRIOR, masked_name, upsampler_name
from ritornello.jukebox.config import JukeboxConfig
from ritornello.jukebox.labels import UNKNOWN, Vocabulary
from ritornello.jukebox.presets import PRESETS
from ritornello.jukebox.recordings import CodeCorpus, vocabularies
from ritornello.jukebox.train_codes import CodeStage, PriorStage, UpsamplerStage
from ritornello.jukebox.train_decoder import DecoderStage, decoder_name
from ritornello.jukebox.train_masked import MaskedStage
from ritornello.jukebox.train_vqvae import VqVaeStage
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

logger = logging.getLogger(__name__)


ONE_CODE = 1.5
"""Perplexity of codes below which one of them is nearly all that is used."""


def run_training(options: TrainOptions) -> dict[str, Any]:
    """Do what `ritornello train jukebox` was asked; the JSON result.

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
    taken = taken_levels(options, config, start)
    refuse_other_beginning(run, level_names(config), taken)
    if options.plan_only:
        stages = asked_stages(options, chain(options, config, Corpus([]), run, start))
        estimates = estimate_chain(stages, seed=seed, time_limit_s=options.time_limit_s)
        return {"plan": [asdict(estimate) for estimate in estimates]}
    refuse_gap(options.stage, needed_by(options.stage, config), taken, run)
    corpus = usable_corpus(options, run)
    refuse_short(corpus, config)
    config = with_names(config, corpus)
    run.begin("jukebox", to_dict(config), seed, lambda old: to_dict(from_dict(JukeboxConfig, old)))
    is_first = os.environ.get("RANK", "0") == "0"  # under torchrun one process writes the model
    if start is not None and taken and is_first:
        take_components(start, taken, run, "jukebox", to_dict(config))
    every = chain(options, config, corpus, run, start)
    result = train_chain(
        asked_stages(options, every),
        run,
        seed=seed,
        time_limit_s=options.time_limit_s,
        extend_s=options.extend_s,
    )
    if is_first:
        warn_of_nothing_learnt(result.figures)
    if result.finished and (run.model / PRIOR).is_dir() and is_first:
        with whole_folder(run.model, keep=True) as folder:
            told = told_of_all(result, every, run)
            write_run_card(
                folder, "jukebox", summary(config), corpus, run, told, origin=origin(options)
            )
            write_checksums(folder)
    return {"run": str(run.path), "model": str(run.model)} | asdict(result)


def warn_of_nothing_learnt(figures: Mapping[str, Mapping[str, float | None]]) -> None:
    """Name stages that know less than how frequent codes are, or that use one code alone."""
    for stage, told in figures.items():
        bits, unigram_bits = told.get("bits"), told.get("unigram_bits")
        if bits is not None and unigram_bits is not None and bits > unigram_bits:
            logger.warning(
                "%s needs %.2f bits per code, and their frequencies alone %.2f: it has learnt "
                "nothing of the music yet. Train it for longer with --extend.",
                stage,
                bits,
                unigram_bits,
            )
        perplexity = told.get("perplexity")
        if perplexity is not None and perplexity < ONE_CODE:
            logger.warning(
                "%s uses hardly more than one code, so what is made of its codes sounds alike. "
                "Begin a run with more time, or more music.",
                stage,
            )


def summary(config: JukeboxConfig) -> str:
    """What the model is, in a sentence."""
    levels = config.vqvae.levels
    hops = ", ".join(str(level.hop_samples) for level in levels)
    artists = [name for name in config.artists if name != UNKNOWN]
    known = f" It knows {len(artists)} names: {', '.join(artists[:12])}." if artists else ""
    sings = "" if config.prior.lyrics is None else " It sings lyrics."
    return (
        f"A Jukebox: {config.vqvae.sample_rate / 1000:g} kHz, mono; {len(levels)} autoencoders of "
        f"{levels[-1].codebook.codes} codes with hops of {hops} samples; a prior that sees "
        f"{config.prior.context_s:.1f} s, and {len(levels) - 1} upsamplers.{known}{sings}"
    )


# ------------------------------------------------------------------ what is trained


def resolved_config(
    options: TrainOptions, known: dict[str, Any] | None, start: Path | None
) -> JukeboxConfig:
    """The model to train; see `training.setup`."""
    return setup.resolved_config(
        options,
        known,
        start,
        system="jukebox",
        presets=PRESETS,
        with_codec_of=lambda theirs, ours: replace(ours, vqvae=theirs.vqvae),
    )


def with_names(config: JukeboxConfig, corpus: Corpus) -> JukeboxConfig:
    """The model with the names of the music it is trained on.

    A model that is started from keeps its own names, whose rows have been learnt; others get the
    rows that are free.
    """
    artists, genres = vocabularies(corpus, config)
    rows = config.prior.labels
    return replace(
        config,
        artists=_with_new(config.artists, artists, rows.artists),
        genres=_with_new(config.genres, genres, rows.genres),
    )


def _with_new(known: tuple[str, ...], found: Vocabulary, rows: int) -> tuple[str, ...]:
    """`known` names and as many new ones as there are rows; who gets none is told."""
    new = [name for name in found.names if name not in known]
    free = rows - len(known)
    if new[free:]:
        logger.warning(
            "no row is free for %d of the %ss, which are trained as unknown: %s",
            len(new[free:]),
            found.kind,
            ", ".join(new[free:][:8]),
        )
    return (*known, *new[:free])


def level_names(config: JukeboxConfig) -> list[str]:
    """Components of the autoencoders, lowest first."""
    return [component_name(level) for level in range(len(config.vqvae.levels))]


def needed_by(stage: str | None, config: JukeboxConfig) -> list[str]:
    """Autoencoders whose codes a stage is trained on."""
    names = level_names(config)
    upsamplers = {
        name_of(level): names[level : level + 2]
        for level in range(len(names) - 1)
        for name_of in (upsampler_name, masked_name)
    }
    decoders = {decoder_name(level): [name] for level, name in enumerate(names)}
    return ({PRIOR: names[-1:]} | upsamplers | decoders).get(stage or "", [])


def taken_levels(options: TrainOptions, config: JukeboxConfig, start: Path | None) -> list[str]:
    """Names of the autoencoders that are taken over and not trained.

    Raises:
        ConfigError: Settings that their weights cannot be used with, or no prior to go on from.
    """
    if start is None:
        return []
    is_whole = options.from_model is not None
    if is_whole and not (start / PRIOR).is_dir():
        raise ConfigError(
            f"{start} has autoencoders but no prior, which --from goes on training. Use "
            "--from-codec to take them and train a new prior."
        )
    if options.unfreeze_codec:
        return []
    theirs = saved_config(start, "jukebox", JukeboxConfig)
    pairs: dict[str, tuple[Any, Any]] = {
        "vqvae.sample_rate": (config.vqvae.sample_rate, theirs.vqvae.sample_rate),
        "vqvae.levels": (config.vqvae.levels, theirs.vqvae.levels),
    }
    if is_whole:
        pairs["prior"] = config.prior, theirs.prior
        pairs["upsamplers"] = config.upsamplers, theirs.upsamplers
        pairs["masked"] = config.masked, theirs.masked
    refuse_other_shapes(start, pairs)
    return [name for name in level_names(config) if (start / name).is_dir()]


def refuse_short(corpus: Corpus, config: JukeboxConfig) -> None:
    """Refuse music in which no training recording is as long as the prior's context.

    Raises:
        DataError: Names the longest ones; better now than after the autoencoders were trained.
    """
    wanted_s = config.prior.context_s
    train = sorted(corpus.split("train"), key=lambda recording: -recording.duration_s)
    if not train or train[0].duration_s < wanted_s:
        longest = ", ".join(f"{r.id} ({r.duration_s:.1f} s)" for r in train[:5]) or "none"
        raise DataError(
            f"no recording is as long as the context of the prior, {wanted_s:.1f} s; the longest "
            f"to train on: {longest}. Join short recordings, or choose a shorter context, e.g. "
            "prior.transformer.blocks=8"
        )


def chain(
    options: TrainOptions,
    config: JukeboxConfig,
    corpus: Corpus,
    run: RunFolder,
    start: Path | None,
) -> list[Stage]:
    """The stages in order; autoencoders that were taken over are left out.

    Their decoders are left as they are too, unless one is asked for by its name.
    """
    taken = taken_levels(options, config, start)
    begins = start if options.from_model is not None else None
    music = CodeCorpus(corpus, config, run.model, options.cache or run.cache)
    levels: list[Stage] = []
    for level, name in enumerate(level_names(config)):
        if name not in taken:
            levels.append(VqVaeStage(config, level, corpus, begins))
        is_polished = name not in taken or options.stage == decoder_name(level)
        if config.training.decoders and is_polished:
            levels.append(DecoderStage(config, level, corpus, run.model))
    return [*levels, *code_stages(config, music, begins)]


def code_stages(
    config: JukeboxConfig, music: CodeCorpus, start: Path | None
) -> Sequence[CodeStage]:
    """The prior, then the upsamplers from the top down, then those that work in passes."""
    stages: list[CodeStage] = [PriorStage(config, music, start)]
    lower = range(len(config.upsamplers))
    stages += [UpsamplerStage(config, level, music, start) for level in reversed(lower)]
    masked = [level for level, one in enumerate(config.masked) if one is not None]
    return [*stages, *(MaskedStage(config, level, music, start) for level in reversed(masked))]
