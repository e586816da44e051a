"""`ritornello train stemgen`: from folders of multitrack songs to a model that answers a mix.

    scan -> codec -> tokens of stems and submixes -> transformer

With `--from MODEL` the codec is taken over as it is, so that tokens keep their meaning, and the
transformer starts from that model's weights; `--from-codec` takes the codec alone, of a StemGen or
of an EnCodec model; `--from MODEL --unfreeze-codec` goes on training both.
"""

import logging
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ritornello.checkpoint import (
    saved_config,
    weights_hash,
    whole_folder,
    write_checksums,
)
from ritornello.config import from_dict, to_dict
from ritornello.data.jobs import Progress
from ritornello.data.stems import StemCorpus, scan_stems
from ritornello.encodec.codec import CODEC, EncodecCodec, load_codec
from ritornello.encodec.config import EncodecConfig
from ritornello.encodec.train_codec import EncodecStage
from ritornello.encodec.train_decoder import DECODER, DecoderStage
from ritornello.errors import ConfigError, DataError
from ritornello.interfaces import Stage
from ritornello.stemgen.config import StemGenConfig
from ritornello.stemgen.live_pairs import LivePairs, StemExcerpts
from ritornello.stemgen.model import NAME
from ritornello.stemgen.pairs import CachedPairs, PairBatch, Pairs, category_rows
from ritornello.stemgen.presets import PRESETS
from ritornello.stemgen.train_transformer import TRANSFORMER, TransformerStage
from ritornello.training import setup
from ritornello.training.card import write_run_card
from ritornello.training.estimate import estimate_chain
from ritornello.training.loop import train_chain
from ritornello.training.options import TrainOptions
from ritornello.training.run import RunFolder
from ritornello.training.setup import asked_stages, origin, starting_model, told_of_all
from ritornello.training.taken import (
    refuse_gap,
    refuse_other_beginning,
    refuse_other_shapes,
    take_components,
)

logger = logging.getLogger(__name__)

SUBMIX_SEED = 0
"""Of the submixes that are cached: the same for every run, so that runs can share a cache."""


def run_training(options: TrainOptions) -> dict[str, Any]:
    """Do what `ritornello train stemgen` was asked; the JSON result.

    Raises:
        DataError: No multitrack songs, or none as long as a window.
        ConfigError: Settings that do not exist or contradict the run or the model.
        CheckpointError: A model that is damaged or incomplete.
        TrainingError: Divergence, or a run that belongs to other settings.
    """
    run = RunFolder(options.run)
    known = run.settings()
    seed = options.seed if options.seed is not None else (known or {}).get("seed", 0)
    start = starting_model(options)
    config = resolved_config(options, known, start)
    taken = taken_components(options, config, start)
    refuse_other_beginning(run, [CODEC], taken)
    if options.plan_only:
        stages = asked_stages(options, chain(options, config, StemCorpus([]), run, start))
        estimates = estimate_chain(stages, seed=seed, time_limit_s=options.time_limit_s)
        return {"plan": [asdict(estimate) for estimate in estimates]}
    refuse_gap(options.stage, [CODEC] if options.stage == TRANSFORMER else [], taken, run)
    corpus = usable_songs(options, run)
    refuse_short(corpus, config)
    config = with_stems(config, corpus)
    run.begin(NAME, to_dict(config), seed, lambda old: to_dict(from_dict(StemGenConfig, old)))
    is_first = os.environ.get("RANK", "0") == "0"  # under torchrun one process writes the model
    if start is not None and taken and is_first:
        kept = [TRANSFORMER] if options.stage == DECODER else []  # it stays valid: codes do
        take_components(start, [*taken, *kept], run, NAME, to_dict(config))
    every = chain(options, config, corpus, run, start)
    result = train_chain(
        asked_stages(options, every),
        run,
        seed=seed,
        time_limit_s=options.time_limit_s,
        extend_s=options.extend_s,
    )
    if is_first:
        warn_of_deafness(result.figures.get(TRANSFORMER, {}))
    if result.finished and (run.model / TRANSFORMER).is_dir() and is_first:
        with whole_folder(run.model, keep=True) as folder:
            told = told_of_all(result, every, run)
            write_run_card(folder, NAME, summary(config), corpus, run, told, origin=origin(options))
            write_checksums(folder)
    return {"run": str(run.path), "model": str(run.model)} | asdict(result)


def warn_of_deafness(figures: dict[str, float | None]) -> None:
    """Say that a model to which the right mix says no more than a wrong one is deaf."""
    gained, low = figures.get("gained0"), figures.get("gained0_low")
    if gained is not None and low is not None and low <= 0:
        logger.warning(
            "the right mix saves the transformer %.3f nats a token over a wrong one (at least %.3f "
            "with 95 %% confidence): it does not listen yet. Train it for longer with --extend.",
            gained,
            low,
        )


def summary(config: StemGenConfig) -> str:
    """What the model is, in a sentence."""
    codec = config.codec
    return (
        f"A StemGen: {codec.sample_rate / 1000:g} kHz, mono; an EnCodec of {codec.codebooks} x "
        f"{codec.codebook_size} codes at {codec.frame_rate_hz:g} Hz, and a masked transformer that "
        f"hears {config.seconds:g} s of a mix and answers with one of: {', '.join(config.stems)}."
    )


# ------------------------------------------------------------------ what is trained


def resolved_config(
    options: TrainOptions, known: dict[str, Any] | None, start: Path | None
) -> StemGenConfig:
    """The model to train; see `training.setup`. A codec that is taken over may be of any model."""
    presets = dict(PRESETS)
    if start is not None and options.from_codec is not None:
        codec, start = load_codec(start).config, None
        presets = {name: partial(_with_codec, make, codec) for name, make in PRESETS.items()}
    return setup.resolved_config(
        options,
        known,
        start,
        system=NAME,
        presets=presets,
        with_codec_of=lambda theirs, ours: with_codec(ours, theirs.codec),
    )


def _with_codec(preset: Callable[[], StemGenConfig], codec: EncodecConfig) -> StemGenConfig:
    return with_codec(preset(), codec)


def with_codec(config: StemGenConfig, codec: EncodecConfig) -> StemGenConfig:
    """`config` on another codec; what is said level by level is cut off, or goes on as it ends."""

    def fitted(values: tuple[Any, ...]) -> tuple[Any, ...]:
        missing = codec.codebooks - len(values)
        return (*values[: codec.codebooks], *(values[-1:] * missing))

    decoding, training = config.decoding, config.training
    return replace(
        config,
        codec=codec,
        decoding=replace(
            decoding, steps=fitted(decoding.steps), temperatures=fitted(decoding.temperatures)
        ),
        training=replace(training, level_weights=fitted(training.level_weights)),
    )


def taken_components(options: TrainOptions, config: StemGenConfig, start: Path | None) -> list[str]:
    """The codec, if it is taken over and not trained.

    Raises:
        ConfigError: Settings that the weights cannot be used with, or no transformer to go on from.
    """
    if start is None:
        return []
    pairs: dict[str, tuple[Any, Any]] = {"codec": (config.codec, load_codec(start).config)}
    if options.from_model is not None:
        if not (start / TRANSFORMER).is_dir():
            raise ConfigError(
                f"{start} has a codec but no transformer, which --from goes on training. Use "
                "--from-codec to take it and train a new transformer."
            )
        theirs = saved_config(start, NAME, StemGenConfig)
        pairs |= {
            "transformer": (config.transformer, theirs.transformer),
            "stems": (config.stems, theirs.stems),
        }
    refuse_other_shapes(start, pairs)
    return [] if options.unfreeze_codec else [CODEC]


def usable_songs(options: TrainOptions, run: RunFolder) -> StemCorpus:
    """The songs in the folders; the manifest is kept beside the caches."""
    cache = options.cache or run.cache
    cache.mkdir(parents=True, exist_ok=True)
    return scan_stems(options.data, cache / "manifest.jsonl")


def refuse_short(corpus: StemCorpus, config: StemGenConfig) -> None:
    """Refuse songs none of which is as long as a window.

    Raises:
        DataError: Names the longest ones; better now than after the codec was trained.
    """
    train = sorted(corpus.split("train"), key=lambda song: -song.seconds)
    if not train or train[0].seconds < config.seconds:
        longest = ", ".join(f"{song.id} ({song.seconds:.1f} s)" for song in train[:5]) or "none"
        raise DataError(
            f"no song is as long as a window, {config.seconds:g} s; the longest to train on: "
            f"{longest}. Give longer songs, or choose a shorter window, e.g. "
            f"seconds={config.seconds / 2:g}"
        )


def with_stems(config: StemGenConfig, corpus: StemCorpus) -> StemGenConfig:
    """The model with a row for every category of the songs, unless it has its rows already.

    Raises:
        ConfigError: It has rows, and none for one of them.
    """
    config = config if config.stems else replace(config, stems=corpus.categories)
    category_rows(corpus, config.stems)
    return config


def chain(
    options: TrainOptions,
    config: StemGenConfig,
    corpus: StemCorpus,
    run: RunFolder,
    start: Path | None,
) -> list[Stage]:
    """The stages in order; a codec that was taken over is left out, or its decoder trained on."""
    begins = start if options.from_model is not None else None
    folder = (options.cache or run.cache) / "stems"
    stages: list[Stage] = []
    if not taken_components(options, config, start):
        stages.append(codec_stage(config, corpus, begins))
    elif options.stage == DECODER:
        stages.append(codec_stage(config, corpus, run.model, DecoderStage))
    pairs = RunPairs(config, corpus, run.model, folder)
    return [*stages, TransformerStage(config, pairs, run.model, begins)]


def codec_stage(
    config: StemGenConfig,
    corpus: StemCorpus,
    start: Path | None,
    kind: type[EncodecStage] = EncodecStage,
) -> EncodecStage:
    """The codec, or a part of it, on stems and submixes."""
    samples = round(config.training.codec.excerpt_s * config.codec.sample_rate)

    def excerpts(split: str) -> "Excerpts":
        return Excerpts(corpus, split, samples, config.codec.sample_rate)

    return kind(
        config.codec,
        config.training.codec,
        excerpts("train"),
        excerpts("valid" if len(corpus.split("valid")) else "train"),
        start,
        (NAME, config),
    )


class Excerpts:
    """Excerpts of stems that are only looked for when one is drawn: a plan needs no songs."""

    def __init__(self, corpus: StemCorpus, split: str, samples: int, sample_rate: int) -> None:
        self._open = partial(StemExcerpts, corpus, split, samples, sample_rate)
        self._music: StemExcerpts | None = None

    def draw(self, draw: torch.Generator, count: int) -> torch.Tensor:
        """`count` of them, (batch, 1, time)."""
        self._music = self._music or self._open()
        return self._music.draw(draw, count)


class RunPairs:
    """Pairs in the tokens of a run's codec, which is there when they are filled.

    Args:
        config: The whole model's.
        corpus: Songs with stems.
        model: Folder that will have the codec.
        folder: Where tokens are cached.
    """

    def __init__(
        self, config: StemGenConfig, corpus: StemCorpus, model: Path, folder: Path
    ) -> None:
        self.config, self.corpus, self.model, self.folder = config, corpus, model, folder
        self.dropped: Counter[str] = Counter()
        self._pairs: Pairs | None = None

    def fill(self, progress: Progress | None = None) -> None:
        """Open them, and encode what is not encoded yet."""
        self._pairs = self._opened(load_codec(self.model, self.config.codec))
        self._pairs.fill(progress)
        self.dropped = self._pairs.dropped

    def _opened(self, codec: EncodecCodec) -> Pairs:
        training, stems = self.config.training, self.config.stems
        if not training.submixes:
            device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
            codec.network.to(device)
            return LivePairs(self.corpus, codec, stems, device=device)
        return CachedPairs(
            self.corpus,
            codec,
            weights_hash(self.model, CODEC),
            stems,
            self.folder,
            segment_s=training.segment_s,
            submixes=training.submixes,
            seed=SUBMIX_SEED,
        )

    def draw(
        self, draw: torch.Generator, count: int, frames: int, split: str = "train"
    ) -> PairBatch:
        """`count` pairs of `frames` frames from the songs of a split."""
        assert self._pairs is not None, "fill first"
        return self._pairs.draw(draw, count, frames, split)
