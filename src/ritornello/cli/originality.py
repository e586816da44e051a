"""`ritornello originality`: does a model copy what it was trained on, and where."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ritornello.cli.console import VerbParser, duration_s, emit, table
from ritornello.errors import ConfigError, DataError

if TYPE_CHECKING:
    from ritornello.evaluation.clips import ClipSet
    from ritornello.evaluation.originality import Originality, Pair

RESULT = "originality.json"
TRAINING_CLIP_S = 1.0
EMBEDDED_CLIP_S = 30.0
FIGURES = {
    "copied": "outputs that are copies",
    "windows_nearer": "windows nearer than 99 % of held-out",
    "similarity": "similarity to the nearest excerpt",
}

Progress = Callable[[int, int, str], None]


def run(argv: list[str]) -> int:
    """Look for every output in the training music, by the measure of held-out music."""
    options = build_parser().parse(argv)
    held_out = validate(options)

    import numpy as np

    from ritornello.checkpoint import write_json
    from ritornello.cli.data import progress_bar
    from ritornello.cli.material import material
    from ritornello.evaluation import originality

    options.out.mkdir(parents=True, exist_ok=True)
    with progress_bar("searching") as progress:
        outputs = material(
            options.target,
            takes=options.takes,
            seconds=options.seconds,
            seed=options.seed,
            folder=options.out / "takes",
            progress=progress,
        )
        sets = clip_sets(options, outputs.folder, held_out)
        found = originality.evaluate(
            *sets,
            draw=np.random.default_rng(options.seed),
            embedding=embedding_of(options.embedding),
            cache=options.cache,
            progress=progress,
        )
    left_out = [told for clips in sets for told in clips.warnings]
    written = write_pairs(found.closest[: options.pairs], options.out, "pair")
    written += write_pairs(found.closest_by_embedding[: options.pairs], options.out, "embedding")
    result = {"name": outputs.name, **found.to_dict(), "pairs": written}
    result["warnings"] = [*result["warnings"], *left_out]
    write_json(options.out / RESULT, result)
    emit(result, as_json=options.json, text=lines(outputs.name, found, result["warnings"], written))
    return 0


def build_parser() -> VerbParser:
    """The flags of the verb."""
    parser = VerbParser(
        "originality",
        "Search the training music for every output, in any key, at any speed within six\n"
        "semitones, under noise or other music, and say which outputs are nearer to it than\n"
        "music that the model never saw. The closest pairs are written as audio.",
        [
            "ritornello originality piano --training manifest.jsonl -o piano-originality",
            "ritornello originality takes/ --training music/ --held-out other/ -o found --json",
        ],
    )
    add = parser.add_argument
    add("target", metavar="MODEL|DIR", help="a model, or a folder of its outputs")
    add(
        "--training",
        type=_path,
        required=True,
        metavar="DIR",
        help="what the model was trained on: a folder of audio, or a manifest (its split train)",
    )
    add(
        "--held-out",
        type=_path,
        metavar="DIR",
        help="music of the same kind that it never saw (the manifest's split valid)",
    )
    add("-o", "--out", type=_path, required=True, metavar="DIR", help="folder for the result")
    add("--takes", type=int, default=16, help="outputs to compare (16)")
    add("--seconds", type=duration_s, default=30.0, help="length of an output (30)")
    add("--held-out-clips", type=int, default=100, help="clips of held-out music (100)")
    add("--seed", type=int, default=0, help="first seed of the takes, and of clips (0)")
    add("--embedding", metavar="NAME", help="compare by an embedding too: musicnn, or FILE.onnx")
    add("--pairs", type=int, default=5, help="closest pairs to write as audio (5)")
    add("--cache", type=_path, metavar="DIR", help="keep fingerprints and embeddings here")
    return parser


def _path(words: str) -> Path:
    """A path, with `~` expanded where the shell did not (`--out=~/found`)."""
    return Path(words).expanduser()


def validate(options: Any) -> Path:
    """The held-out music, once all flags make sense.

    Raises:
        ConfigError: A number out of range, no held-out music, or a file where the folder would be.
    """
    if min(options.takes, options.held_out_clips) < 1 or options.pairs < 0:
        raise ConfigError(
            f"got --takes {options.takes}, --held-out-clips {options.held_out_clips} and --pairs "
            f"{options.pairs}; expected at least 1, 1 and 0"
        )
    if options.out.exists() and not options.out.is_dir():
        raise ConfigError(f"cannot write to {options.out}: it is a file; give a folder")
    if options.held_out is not None:
        return options.held_out
    if options.training.is_dir():
        raise ConfigError(
            "a folder of training music has no held-out part: give --held-out DIR, or scan the "
            "folder (`ritornello data scan`) and give the manifest"
        )
    return options.training


def clip_sets(
    options: Any, outputs: Path, held_out: Path
) -> tuple["ClipSet", "ClipSet", "ClipSet"]:
    """Outputs, training music and held-out music as clips."""
    from ritornello.evaluation.clips import clips_of

    seconds, seed = options.seconds, options.seed
    made = clips_of(outputs, seconds=seconds, count=options.takes, seed=seed)
    split = split_of(options.training, "train")
    if options.embedding is None:
        # The recordings are searched whole: one clip names one of them.
        count = recordings_in(options.training, split)
        training = clips_of(options.training, seconds=TRAINING_CLIP_S, count=count, split=split)
    else:
        training = clips_of(options.training, seconds=EMBEDDED_CLIP_S, count=None, split=split)
    real = clips_of(
        held_out,
        seconds=seconds,
        count=options.held_out_clips,
        seed=seed,
        split=split_of(held_out, "valid"),
    )
    return made, training, real


def split_of(source: Path, name: str) -> str | None:
    """The split to take of a manifest; None for a folder, which has none."""
    return None if source.is_dir() else name


def recordings_in(source: Path, split: str | None) -> int:
    """How many audio files there are in a folder, or in the split of a manifest."""
    from ritornello.data.corpus import Corpus
    from ritornello.data.files import walk

    count = len(list(walk(source))) if split is None else len(Corpus.load(source).split(split))
    if not count:
        raise DataError(f"{source} has no training music; expected recordings to search")
    return count


def embedding_of(name: str | None) -> Any:
    """The embedding of that name; None for none."""
    from ritornello.evaluation.embedding import load_embedding

    return None if name is None else load_embedding(name)


def write_pairs(pairs: Sequence["Pair"], folder: Path, prefix: str) -> list[dict[str, Any]]:
    """Both sides of each pair as files, to be heard one after the other; what and where they are.

    Args:
        pairs: Nearest first.
        folder: Where the files go.
        prefix: What their names begin with.
    """
    from ritornello.audio.io import write_audio

    written = []
    for number, pair in enumerate(pairs, start=1):
        files = {}
        for side in ("output", "training"):
            path = folder / f"{prefix}-{number:02d}-{side}.flac"
            write_audio(path, getattr(pair, side).read())
            files[side] = str(path)
        written.append({"by": prefix, **files, "similarity": pair.similarity})
    return written


def lines(
    name: str,
    found: "Originality",
    warnings: Sequence[str],
    written: Sequence[dict[str, Any]],
) -> list[str]:
    """The result as two tables and sentences."""
    settings = found.settings
    held_out = [
        (label, found.figures[key], found.figures[f"{key}_null"])
        for prefix in ("", "embedding_")
        for key, label in ((f"{prefix}{k}", f"{prefix}{v}") for k, v in FIGURES.items())
        if key in found.figures
    ]
    pairs = [
        (
            f"{pair.output.path.name} {pair.output.start_s:.1f} s",
            f"{pair.training.path.name} {pair.training.start_s:.1f} s",
            f"{pair.similarity:.2f}",
            f"{pair.semitones:+.1f}" if pair.semitones is not None else "",
            f"{pair.tempo:.2f}",
            f"{pair.p_value:.2g}",
            "COPY" if pair.copied else "",
        )
        for pair in [*found.closest, *(p for p in found.closest_by_embedding if p.copied)]
    ]
    return [
        f"{name}: {settings['outputs']} outputs of {settings['clip_s']:g} s in "
        f"{settings['training_hours']:.1f} hours of training music, against "
        f"{settings['held_out']} held-out clips",
        "",
        *table(held_out, ("figure", "outputs", "held-out music")),
        "",
        *table(pairs, ("output", "nearest in training", "alike", "key", "tempo", "p", "")),
        *([""] if warnings else []),
        *(f"- {warning}" for warning in warnings),
        *(f"{pair['output']}  {pair['training']}" for pair in written),
    ]
