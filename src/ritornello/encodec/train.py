"""`ritornello train encodec`: from folders of audio to a codec.

One stage. With `--from MODEL` it goes on from the weights of another codec, at its sizes.
"""

import os
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ritornello.checkpoint import saved_config, whole_folder, write_checksums
from ritornello.config import from_dict, to_dict
from ritornello.data.corpus import Corpus
from ritornello.data.crops import CropSampler
from ritornello.encodec.config import EncodecConfig, EncodecSystemConfig
from ritornello.encodec.presets import PRESETS
from ritornello.encodec.train_codec import EncodecStage
from ritornello.encodec.train_decoder import DECODER, DecoderStage
from ritornello.errors import ConfigError
from ritornello.interfaces import Stage
from ritornello.shapes import Waveform
from ritornello.training import setup
from ritornello.training.card import write_run_card
from ritornello.training.estimate import estimate_chain
from ritornello.training.loop import train_chain
from ritornello.training.options import TrainOptions
from ritornello.training.run import RunFolder
from ritornello.training.setup import asked_stages, starting_model, told_of_all, usable_corpus
from ritornello.training.taken import refuse_other_shapes

SYSTEM = "encodec"


class RecordedExcerpts:
    """Random excerpts of one split of a corpus, at the codec's rate and channels.

    Args:
        corpus: The recordings.
        split: Which of them.
        seconds: Length of an excerpt.
        config: The codec.
    """

    def __init__(self, corpus: Corpus, split: str, seconds: float, config: EncodecConfig) -> None:
        self.corpus, self.split, self.seconds, self.config = corpus, split, seconds, config

    @cached_property
    def sampler(self) -> CropSampler:
        """Made when the first excerpt is drawn: a plan needs no recordings."""
        return CropSampler(self.corpus.split(self.split), self.seconds)

    def draw(self, draw: torch.Generator, count: int) -> Waveform:
        """`count` of them."""
        rate, channels = self.config.sample_rate, self.config.channels
        crops = self.sampler.batch(draw, count, sample_rate=rate, channels=channels)
        return torch.from_numpy(crops)


def run_training(options: TrainOptions) -> dict[str, Any]:
    """Do what `ritornello train encodec` was asked; the JSON result.

    Raises:
        DataError: No usable recordings.
        ConfigError: Settings that do not exist or contradict the run or the model.
        CheckpointError: A model that is damaged or incomplete.
        TrainingError: Divergence, or a run that belongs to other settings.
    """
    if options.from_codec is not None:
        raise ConfigError(
            f"--from-codec {options.from_codec} was given, but a codec is all that is trained "
            "here. Use --from to go on training that one."
        )
    run = RunFolder(options.run)
    known = run.settings()
    seed = options.seed if options.seed is not None else (known or {}).get("seed", 0)
    start = starting_model(options)
    config = resolved_config(options, known, start)
    if options.plan_only:
        stages = asked_stages(options, [_stage(config, Corpus([]), start, options.stage)])
        estimates = estimate_chain(stages, seed=seed, time_limit_s=options.time_limit_s)
        return {"plan": [asdict(estimate) for estimate in estimates]}
    corpus = usable_corpus(options, run)
    run.begin(SYSTEM, to_dict(config), seed, lambda old: to_dict(from_dict(type(config), old)))
    every: list[Stage] = [_stage(config, corpus, start, options.stage)]
    result = train_chain(
        asked_stages(options, every),
        run,
        seed=seed,
        time_limit_s=options.time_limit_s,
        extend_s=options.extend_s,
    )
    is_first = os.environ.get("RANK", "0") == "0"  # under torchrun one process writes the model
    if result.finished and is_first:
        with whole_folder(run.model, keep=True) as folder:
            told = told_of_all(result, every, run)
            said = summary(config.codec)
            write_run_card(folder, SYSTEM, said, corpus, run, told, origin=origin(options))
            write_checksums(folder)
    return {"run": str(run.path), "model": str(run.model)} | asdict(result)


def resolved_config(
    options: TrainOptions, known: dict[str, Any] | None, start: Path | None
) -> EncodecSystemConfig:
    """The codec to train; see `training.setup`.

    Raises:
        ConfigError: Also sizes that the weights to start from do not have.
    """
    config = setup.resolved_config(
        options,
        known,
        start,
        system=SYSTEM,
        presets=PRESETS,
        with_codec_of=lambda theirs, ours: replace(ours, codec=theirs.codec),
    )
    if start is not None:
        theirs = saved_config(start, SYSTEM, EncodecSystemConfig)
        refuse_other_shapes(start, {"codec": (config.codec, theirs.codec)})
    return config


def summary(config: EncodecConfig) -> str:
    """What the model is, in a sentence."""
    channels = {1: "mono", 2: "stereo"}.get(config.channels, f"{config.channels} channels")
    return (
        f"An EnCodec: {config.sample_rate / 1000:g} kHz, {channels}; {config.codebooks} codes of "
        f"{config.codebook_size} every {config.hop_samples} samples "
        f"({config.frame_rate_hz:g} frames and {config.bits_per_second / 1000:g} kbit a second)."
    )


def origin(options: TrainOptions) -> str | None:
    """What the codec was started from, in a sentence."""
    if options.from_model is None:
        return None
    return f"Started from the weights of `{Path(options.from_model).name}`."


def _stage(
    config: EncodecSystemConfig, corpus: Corpus, start: Path | None, name: str | None
) -> EncodecStage:
    """The codec, or its decoder alone where that is asked for by name."""
    held_out = "valid" if len(corpus.split("valid")) else "train"
    train, judged = (
        RecordedExcerpts(corpus, split, config.training.excerpt_s, config.codec)
        for split in ("train", held_out)
    )
    kind = DecoderStage if name == DECODER else EncodecStage
    return kind(config.codec, config.training, train, judged, start=start, system=(SYSTEM, config))
