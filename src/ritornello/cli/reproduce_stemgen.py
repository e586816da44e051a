"""`ritornello reproduce stemgen-guidance|stemgen-causal-bias|stemgen-final`: StemGen's tables."""

import shlex
from pathlib import Path
from typing import Any

from ritornello.cli.console import UsageError, VerbParser, emit

WORDS = ("stemgen-guidance", "stemgen-causal-bias", "stemgen-final")
SUMMARIES = {
    "stemgen-guidance": "guidance by the mix and by the stem, on and off",
    "stemgen-causal-bias": "how much being early counts when candidates are ranked",
    "stemgen-final": "no guidance and no bias against the model's own way, and a listening test",
}
LISTENED = {"real": "real", "best": "best", "naive": "naive"}
LISTENING_CLIPS = 12
DEFAULT_MODEL = "stemgen-band"


def run_stemgen(word: str, argv: list[str]) -> int:
    """Make what is missing of a table, and print it beside the paper's figures."""
    options = _parser(word).parse(argv)
    if options.trials < 8:
        raise UsageError(f"--trials is {options.trials}; expected 8 or more")
    if not 2 <= options.seconds <= 60:
        raise UsageError(f"--seconds is {options.seconds:g}; expected 2 to 60")

    from ritornello.checkpoint import write_json
    from ritornello.cli.data import progress_bar
    from ritornello.cli.playing import DEFAULT_THREADS, load
    from ritornello.data.stems import scan_stems
    from ritornello.errors import CapabilityError
    from ritornello.evaluation.embedding import load_embedding
    from ritornello.loading import find
    from ritornello.stemgen import experiments
    from ritornello.stemgen.generate import StemGen
    from ritornello.stemgen.trials import ALL, draw_both

    model = find(options.model)
    model.require(frozenset({"accompany"}))
    system, _ = load(model, DEFAULT_THREADS)
    if not isinstance(system, StemGen):
        raise CapabilityError(f"{options.model} is a {system.name} model; expected stemgen")
    corpus = scan_stems([options.data])
    judged, others = draw_both(
        corpus, options.split, options.trials, options.seconds, system.sample_rate, options.seed
    )
    songs = corpus if options.split == ALL else corpus.split(options.split)
    about = {
        "model": options.model,
        "weights_sha256": model.weights_sha256,
        "data": songs.digest(),
        "trials": options.trials,
        "seconds": options.seconds,
        "seed": options.seed,
    }
    embeddings = [load_embedding("musicnn")]
    experiment = experiments.open_experiment(options.out, system, judged, others, embeddings, about)
    rows = experiments.TABLES[word](system.config.decoding)
    with progress_bar("stems") as progress:
        told = experiments.table(experiment, rows, progress)
    command = shlex.join(["ritornello", "reproduce", word, *argv])
    page = experiments.markdown(told, f"{word}: {SUMMARIES[word]}", command)
    write_json(options.out / f"{word}.json", told | {"command": command})
    (options.out / f"{word}.md").write_text(page, encoding="utf-8")
    lines = [page, f"{options.out}: {word}.md, {word}.json"]
    if word == "stemgen-final":
        lines.append(_listening_test(options.out, options.seconds, options.trials))
    emit(told, as_json=options.json, text=lines)
    return 0


def _listening_test(folder: Path, seconds: float, trials: int) -> str:
    """Prepare the blind test of real, best and naive mixes, once; how to go on with it."""
    from ritornello.server.listening_clips import Size, make_test

    test = folder / "listening"
    if not test.exists():
        sources = [_source(name, folder / place) for name, place in LISTENED.items()]
        size: Any = Size(
            clips=min(LISTENING_CLIPS, trials), seconds=seconds, per_listener=None, pairs=None
        )
        make_test(sources, _source("reference", folder / "reference"), test, size, 0)
    return f"listening test of real, best and naive: ritornello listen serve {test}"


def _source(name: str, folder: Path) -> Any:
    from ritornello.server.listening_clips import Source

    mixes = folder / "mixes"
    return Source(name=name, target=str(mixes), folder=mixes)


def _parser(word: str) -> VerbParser:
    parser = VerbParser(
        f"reproduce {word}",
        f"StemGen's experiment in kind: {SUMMARIES[word]}. All rows answer the\n"
        "same held-out mixes. Stop at any moment; the same command goes on, stems are kept, and\n"
        "all three tables may share one folder.",
        [
            f"ritornello reproduce {word} -o stems --data ~/bands",
            f"ritornello reproduce {word} -o stems --data ~/bands --model runs/mine --trials 100",
        ],
    )
    add = parser.add_argument
    add("-o", "--out", type=Path, required=True, metavar="DIR", help="folder of the experiments")
    add("--data", type=Path, required=True, metavar="STEMS", help="a folder of multitrack songs")
    add("--split", default="valid", help="songs it was not trained on; all (valid)")
    add("--model", default=DEFAULT_MODEL, help=f"a stemgen model ({DEFAULT_MODEL})")
    add("--trials", type=int, default=50, metavar="N", help="mixes that every row answers (50)")
    add("--seconds", type=float, default=8.0, metavar="S", help="length of a mix (8)")
    add("--seed", type=int, default=0, help="draws the mixes (0)")
    return parser
