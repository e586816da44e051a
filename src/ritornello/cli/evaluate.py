"""`ritornello evaluate`: how near a model's or a folder's music is to real music, and in what."""

import shlex
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ritornello.cli.console import (
    UsageError,
    VerbParser,
    duration_s,
    emit,
    output_path,
    table,
)
from ritornello.errors import CheckpointError, ConfigError, RitornelloError

if TYPE_CHECKING:
    from ritornello.cli.material import Material
    from ritornello.evaluation.clips import ClipSet
    from ritornello.evaluation.hearing import Hearing
    from ritornello.evaluation.judgement import Judgement

EMBEDDING = "musicnn"
MARKS = {"lower": "lower", "higher": "higher", "real": "near real", "": ""}

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How to judge: everything but what is judged.

    Attributes:
        reference: Folder or manifest of real music.
        split: Split of the manifest.
        clips: Clips a side.
        seconds: Length of a clip.
        seed: Of clips, takes, splits and resampling.
        metrics: Metrics by name; None for all.
        embeddings: Names or paths of embeddings, the main one first.
        long_takes: Long pieces for the figures of structure; 0 for none.
        long_s: Length of a long piece.
        cache: Folder kept between calls: takes and embeddings.
    """

    reference: Path
    split: str | None
    clips: int
    seconds: float
    seed: int
    metrics: tuple[str, ...] | None
    embeddings: tuple[str, ...]
    long_takes: int
    long_s: float
    cache: Path | None


def run(argv: list[str]) -> int:
    """Judge a model, a folder of audio, or a codec."""
    if argv[:1] == ["codec"]:
        from ritornello.cli import evaluate_codec

        return evaluate_codec.run(argv[1:])
    if argv[:1] == ["predictability"]:
        from ritornello.cli import evaluate_predictability

        return evaluate_predictability.run(argv[1:])
    options = build_parser().parse(argv)
    setting = setting_of(options)
    if options.out is not None:
        result_path(options.out, ".json", reference=setting.reference)

    from ritornello.checkpoint import write_json
    from ritornello.cli.data import progress_bar

    with kept(setting.cache) as folder, progress_bar("judging") as progress:
        judged = judge_target(options.target, bench_of([options.target], setting), folder, progress)
    command = shlex.join(["ritornello", "evaluate", *argv])
    judgement = judged.judgement.with_more({}, command=command)
    values = judgement.to_json()
    if options.out is not None:
        write_json(options.out, values)
    emit(values, as_json=options.json, text=lines(judgement))
    return 0


def build_parser() -> VerbParser:
    """The flags of the verb."""
    parser = VerbParser(
        "evaluate",
        "Judge a model or a folder of audio by how near it is to real music: equal numbers of\n"
        "clips of one length on both sides, every figure with its 95 % interval and with what\n"
        "real music itself gets. `evaluate codec MODEL` judges a codec by what it loses,\n"
        "`evaluate predictability DIR` draws how far back music must be known to foretell it.",
        [
            "ritornello evaluate piano --reference ~/recordings",
            "ritornello evaluate ~/takes --reference manifest.jsonl --split valid --json",
            "ritornello evaluate piano --reference ~/recordings --metrics fad,kid -o piano.json",
            "ritornello evaluate codec piano --reference ~/recordings",
            "ritornello evaluate predictability ~/recordings -o profile.png",
        ],
    )
    parser.add_argument("target", metavar="MODEL|DIR", help="a model, or a folder of audio")
    add_setting(parser, clips=32)
    add = parser.add_argument
    add("-o", "--out", type=Path, metavar="FILE", help="write the result to a .json file too")
    return parser


def add_setting(parser: VerbParser, *, clips: int) -> None:
    """Add the flags that say by what, with how much, and from which seed to judge."""
    add = parser.add_argument
    add(
        "--reference",
        type=Path,
        required=True,
        metavar="DIR",
        help="real music: a folder of audio, or the manifest of `data scan`",
    )
    add("--split", help="with a manifest: train, valid or test only")
    add("--clips", type=int, default=clips, help=f"clips on each side ({clips})")
    add("--seconds", type=duration_s, default=10.0, help="length of a clip (10)")
    add("--seed", type=int, default=0, help="first seed of the takes, and of clips (0)")
    add("--metrics", type=_names, metavar="A,B", help="only these, and none of them may fail")
    add(
        "--embedding",
        dest="embeddings",
        action="append",
        metavar="NAME",
        help=f"space of the distances; again for more ({EMBEDDING})",
    )
    add("--long", type=int, default=4, metavar="N", help="long pieces, for structure (4; 0: none)")
    add("--long-seconds", type=duration_s, default=60.0, help="length of a long piece (60)")
    add("--cache", type=Path, metavar="DIR", help="keep takes and embeddings here")


def setting_of(options: Any) -> Setting:
    """The setting that parsed flags describe, checked before any work."""
    if options.clips < 1 or options.long < 0:
        raise ConfigError(
            f"--clips is {options.clips} and --long {options.long}; expected at least 1 and 0"
        )
    if options.metrics == ():
        raise UsageError(f"--metrics names none; expected {', '.join(_metrics())}")
    return Setting(
        reference=options.reference.expanduser(),
        split=options.split,
        clips=options.clips,
        seconds=options.seconds,
        seed=options.seed,
        metrics=options.metrics,
        embeddings=tuple(options.embeddings or (EMBEDDING,)),
        long_takes=options.long,
        long_s=options.long_seconds,
        cache=options.cache,
    )


def result_path(path: Path, *suffixes: str, reference: Path) -> None:
    """Refuse, before any work, a file that cannot be written or lies in the reference."""
    output_path(path, suffixes)
    if reference.is_dir() and path.resolve().is_relative_to(reference.resolve()):
        raise ConfigError(
            f"cannot write {path}: it is inside the reference {reference}; give another place"
        )
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror or error}; give another place"
        ) from error


def _metrics() -> tuple[str, ...]:
    """All that --metrics may name."""
    from ritornello.evaluation.judgement import METRICS

    return (*METRICS, "structure")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


@contextmanager
def kept(cache: Path | None) -> Iterator[Path]:
    """The folder for generated takes: inside the cache, or one that vanishes afterwards."""
    if cache is not None:
        yield cache.expanduser() / "takes"
        return
    with tempfile.TemporaryDirectory(prefix="ritornello-judge-") as folder:
        yield Path(folder)


# ---- from a target to its judgement ----------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What every target is judged by: found, checked and heard once."""

    setting: Setting
    reference: "Hearing"
    embeddings: Sequence[Any]

    @cached_property
    def long_reference(self) -> "Hearing":
        """Long pieces of the reference.

        Raises:
            DataError: It has none of that length.
        """
        from ritornello.evaluation.clips import clips_of
        from ritornello.evaluation.hearing import Hearing

        asked = self.setting
        clips = clips_of(
            asked.reference,
            seconds=asked.long_s,
            count=asked.long_takes,
            seed=asked.seed,
            split=asked.split,
        )
        return Hearing(clips, "reference")


def bench_of(targets: Sequence[str], setting: Setting) -> Bench:
    """The bench for `targets`; whatever can be refused is refused here, before any is judged.

    Raises:
        ConfigError: An unknown metric or embedding.
        DataError: A reference or a folder without clips; neither a model nor a folder.
        CheckpointError: A model that cannot be read.
    """
    from ritornello.evaluation.clips import clips_of
    from ritornello.evaluation.hearing import Hearing

    asked = setting.metrics
    unknown = set(asked or ()) - set(_metrics())
    if unknown:
        raise ConfigError(f"there is no metric {min(unknown)!r}; expected {', '.join(_metrics())}")
    # Twice as many clips: metrics compare equal numbers and keep the other half for their null.
    reference = clips_of(
        setting.reference,
        seconds=setting.seconds,
        count=2 * setting.clips,
        seed=setting.seed,
        split=setting.split,
    )
    lengths_s = [setting.seconds]
    if setting.long_takes and asked is not None and "structure" in asked:
        lengths_s.append(setting.long_s)
        clips_of(setting.reference, seconds=setting.long_s, count=1, split=setting.split)
    for target in targets:
        _check_target(target, setting, lengths_s)
    return Bench(
        setting=setting,
        reference=Hearing(reference, "reference"),
        embeddings=_embeddings(setting),
    )


def _check_target(target: str, setting: Setting, lengths_s: Sequence[float]) -> None:
    """Refuse what is no model and holds no clips of these lengths."""
    from ritornello.cli.material import material
    from ritornello.evaluation.clips import clips_of
    from ritornello.loading import find

    try:
        find(target)
    except CheckpointError:  # a folder, or an error that `material` tells: nothing is played
        found = material(target, takes=1, seconds=setting.seconds, seed=setting.seed, folder=Path())
        for seconds in lengths_s:
            clips_of(found.folder, seconds=seconds, count=1, seed=setting.seed)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A target's judgement, and the clips behind it for whoever wants to show them."""

    judgement: "Judgement"
    material: "Material"
    generated: "ClipSet"
    reference: "ClipSet"
    long: "ClipSet | None"


def judge_target(target: str, bench: Bench, folder: Path, progress: Progress) -> Judged:
    """Everything the metrics say of one target.

    Args:
        target: A model, a folder of audio, or a manifest.
        bench: What to judge by, checked with this target.
        folder: Where takes of a model go.
        progress: Called as progress(done, total, what is being done).
    """
    import numpy as np

    from ritornello.cli.material import material
    from ritornello.evaluation.clips import clips_of
    from ritornello.evaluation.judgement import judge
    from ritornello.evaluation.sets import shared

    setting, real = bench.setting, bench.reference.clips
    asked = setting.metrics
    count, seconds, seed = setting.clips, setting.seconds, setting.seed
    found = material(
        target, takes=count, seconds=seconds, seed=seed, folder=folder, progress=progress
    )
    made = clips_of(found.folder, seconds=seconds, count=count, seed=seed)
    draw = np.random.default_rng(seed)
    judgement = judge(
        made,
        bench.reference,
        draw=draw,
        embeddings=bench.embeddings,
        metrics=None if asked is None else [name for name in asked if name != "structure"],
        cache=setting.cache.expanduser() / "embeddings" if setting.cache else None,
        progress=progress,
        name=found.name,
    )
    # What makes the figures worthless comes before what makes them rough.
    first = (*shared(made, real), *judgement.warnings)
    judgement = replace(judgement, warnings=tuple(dict.fromkeys(first)))
    settings = {**asdict(setting), "reference": str(setting.reference), "cache": None}
    judgement = judgement.with_more(
        {}, setting=settings, speed=found.speed, weights=found.weights_sha256
    )
    long = None
    if setting.long_takes and (asked is None or "structure" in asked):
        judgement, long = _with_structure(judgement, target, bench, folder, progress)
    return Judged(judgement=judgement, material=found, generated=made, reference=real, long=long)


def _embeddings(setting: Setting) -> list[Any]:
    """The embeddings that the asked metrics need."""
    if setting.metrics is not None and not {"fad", "kid"} & set(setting.metrics):
        return []
    from ritornello.evaluation.embedding import load_embedding

    return [load_embedding(name, load_codec=_codec_of) for name in setting.embeddings]


def _codec_of(model: str) -> Any:
    """The codec of a model, whose latents are a space of their own."""
    from ritornello.loading import find

    try:
        found = find(model)
        found.require(frozenset({"reconstruct"}))
    except RitornelloError as error:
        raise ConfigError(
            f"no embedding {model!r}; expected {EMBEDDING}, FILE.onnx, or a model whose codec "
            f"embeds ({error})"
        ) from error
    return cast(Any, found.load()).codec


def _with_structure(
    judgement: "Judgement", target: str, bench: Bench, folder: Path, progress: Progress
) -> tuple["Judgement", "ClipSet | None"]:
    """The judgement with figures of long pieces, where there are pieces that long."""
    import numpy as np

    from ritornello.cli.material import material
    from ritornello.evaluation.clips import clips_of
    from ritornello.evaluation.hearing import Hearing
    from ritornello.evaluation.long_pieces import judge_long

    setting = bench.setting
    count, seconds, seed = setting.long_takes, setting.long_s, setting.seed
    found = material(
        target, takes=count, seconds=seconds, seed=seed, folder=folder, progress=progress
    )
    try:
        made = clips_of(found.folder, seconds=seconds, count=count, seed=seed)
        real = bench.long_reference
        sides = (Hearing(made, "generated"), real)
        heard = {side.what: side.over_time(progress) for side in sides}
        figures, rows, told = judge_long(heard, np.random.default_rng(seed))
    except RitornelloError as error:
        if setting.metrics is not None:
            raise
        return judgement.with_more({}, [f"No structure: {error}"]), None
    warnings = [
        *told,
        f"Structure and stability rest on {len(made)} pieces of {seconds:g} s against "
        f"{len(real.clips)} of the reference: a first look, no verdict.",
    ]
    return judgement.with_more(figures, warnings, long_rows=rows), made


# ---- for people ------------------------------------------------------------------------------


def lines(judgement: "Judgement") -> list[str]:
    """The judgement as a table and sentences."""
    from ritornello.evaluation.reading import beside, interval, is_detail, judged, reading, shown
    from ritornello.evaluation.sets import counted

    made, real = judgement.material["generated"], judgement.material["reference"]
    heading = (
        f"{judgement.name}: {counted(made['clips'], 'clip')} of {made['seconds']:g} s from "
        f"{counted(made['recordings'], 'recording')}, against {real['clips']} of {real['source']}"
    )
    rows = []
    names = [name for name in judged(judgement.figures) if not is_detail(name)]
    for name in names:
        figure, usual = judgement.figures[name], beside(name, judgement.figures)
        rows.append(
            (
                reading(name).label,
                shown(figure.value),
                interval(figure),
                figure.items,
                f"{shown(usual.value)} ({interval(usual)})" if usual else "",
                MARKS[reading(name).better],
            )
        )
    header = ("figure", "value", "95 % interval", "n", "real music", "better")
    speed = judgement.notes.get("speed")
    return [
        heading,
        "",
        *table(rows, header),
        *(speed_lines(speed) if speed else ()),
        *(["", "what the figures are worth:"] if judgement.warnings else ()),
        *(f"- {warning}" for warning in judgement.warnings),
    ]


def speed_lines(speed: dict[str, Any]) -> Sequence[str]:
    """Speed and memory of a model in a sentence."""
    return (
        "",
        f"plays {speed['times_real_time']:.1f} x real time on {speed['threads']} thread(s), "
        f"{speed['peak_memory_mb']:.0f} MB at most",
    )
