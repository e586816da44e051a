"""What every system's `train` does around the loop: the model to start from, the data, figures."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ritornello.checkpoint import find_model, saved_config, verify
from ritornello.config import from_dict, nearest, with_overrides
from ritornello.data.corpus import Corpus, scan
from ritornello.data.jobs import Progress, exclusive
from ritornello.errors import ConfigError, DataError
from ritornello.interfaces import Stage
from ritornello.training.loop import ChainResult
from ritornello.training.options import TrainOptions
from ritornello.training.run import RunFolder

DEFAULT_PRESET = "small"

ConfigT = TypeVar("ConfigT")


def starting_model(options: TrainOptions) -> Path | None:
    """The folder of the model to start from, verified; None for a fresh start."""
    name = options.from_model or options.from_codec
    if name is None:
        return None
    folder = find_model(name)
    verify(folder)
    return folder


def resolved_config(
    options: TrainOptions,
    known: Mapping[str, Any] | None,
    start: Path | None,
    *,
    system: str,
    presets: Mapping[str, Callable[[], ConfigT]],
    with_codec_of: Callable[[ConfigT, ConfigT], ConfigT],
) -> ConfigT:
    """The model to train: the run's own, a preset's or the one started from, with overrides.

    Args:
        options: What was asked.
        known: Settings of the run; None for a new one.
        start: Model to start from, if any.
        system: Whose presets these are.
        presets: By name; "small" when none is named.
        with_codec_of: Called with the model started from and with a preset: the latter with the
            codec of the former.

    Raises:
        ConfigError: Settings that contradict each other, or no such preset or setting.
    """
    if options.preset is not None and options.from_model is not None:
        raise ConfigError(
            f"--preset {options.preset} and --from were both given; --from brings its own sizes. "
            "Leave --preset out, or take the codec alone with --from-codec."
        )
    preset = options.preset or DEFAULT_PRESET
    if preset not in presets:
        raise ConfigError(f"{system} has no preset {preset!r}; {nearest(preset, presets)}")
    config = presets[preset]()
    if known is not None and options.preset is None:
        config = from_dict(type(config), known["config"])
    elif start is not None:
        theirs = saved_config(start, system, type(config))
        config = theirs if options.from_model is not None else with_codec_of(theirs, config)
    return with_overrides(config, options.overrides)


def usable_corpus(options: TrainOptions, run: RunFolder) -> Corpus:
    """The scanned folders; the manifest is kept beside the caches."""
    cache = options.cache or run.cache
    cache.mkdir(parents=True, exist_ok=True)
    return scan_or_refuse(options.data, cache / "manifest.jsonl")


def scan_or_refuse(data: Sequence[Path], manifest: Path) -> Corpus:
    """Scan folders into `manifest`; DataError when nothing in them can be used."""
    corpus = scan(list(data), manifest=manifest)
    refuse_empty(corpus, data)
    return corpus


def refuse_empty(corpus: Corpus, data: Sequence[Path]) -> None:
    """Raise DataError when nothing in the folders of `corpus` can be used."""
    if not len(corpus):
        reasons = "; ".join(f"{one.id}: {one.reason}" for one in corpus.skipped[:5])
        folders = ", ".join(str(folder) for folder in data)
        raise DataError(
            f"no usable recordings in {folders} ({reasons or 'no audio files'}); "
            "`ritornello data scan DIR` lists every file and what is wrong with it"
        )


def scan_anew(
    data: Sequence[Path],
    manifest: Path,
    accept: Callable[[Corpus], None],
    progress: Progress | None = None,
) -> Corpus:
    """Scan folders into `manifest`, which stays as it was unless `accept` takes what is found.

    Args:
        data: Folders of audio.
        manifest: The list of the music that whatever lies beside it was made from.
        accept: Called with what was found; what it raises is raised here.
        progress: As `scan` calls it.
    """
    new = manifest.with_name(f"new-{manifest.name}")
    with exclusive(new.with_name(f"{new.name}.scan.lock")):
        if manifest.exists():  # what is measured already is not measured again
            shutil.copyfile(manifest, new)
        try:
            corpus = scan(list(data), manifest=new, progress=progress)
            accept(corpus)
            new.replace(manifest)
        finally:
            new.unlink(missing_ok=True)
    return corpus


def asked_stages(options: TrainOptions, every: list[Stage]) -> list[Stage]:
    """The one stage that was asked for, or all."""
    stages = [stage for stage in every if options.stage in (None, stage.name)]
    if not stages:
        names = ", ".join(stage.name for stage in every)
        raise ConfigError(f"stage is {options.stage!r}; this run has {names}")
    return stages


def told_of_all(result: ChainResult, every: Sequence[Stage], run: RunFolder) -> ChainResult:
    """`result` with the figures of all finished stages, also those of earlier calls."""
    folders = {stage.name: run.stage(stage.name) for stage in every}
    figures = {name: folder.figures() for name, folder in folders.items() if folder.finished}
    return replace(result, figures=figures)


def origin(options: TrainOptions) -> str | None:
    """What the model was started from, in a sentence."""
    if options.from_codec is not None:
        return f"The codec is that of `{Path(options.from_codec).name}`."
    if options.from_model is None:
        return None
    codec = "its decoders went on learning" if options.unfreeze_codec else "its codec is unchanged"
    return f"Started from the weights of `{Path(options.from_model).name}`; {codec}."
