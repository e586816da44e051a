"""`ritornello listen new|serve|results`: a blind listening test, from folders to figures."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ritornello.cli.console import UsageError, VerbParser, emit, table
from ritornello.config import nearest

if TYPE_CHECKING:
    from ritornello.server.listening_clips import Source
    from ritornello.server.listening_store import VoteStore

HELP = """\
usage: ritornello listen new A B ... --reference DIR -o TEST [--flags]
       ritornello listen serve TEST [--flags]
       ritornello listen results TEST [--flags]

A blind listening test in the browser: ratings out of five, and preference between two.

  new       cut, match in loudness and hide the clips of models and folders of audio
  serve     the pages, on this machine; votes are kept in the test's folder
  results   means, intervals, preferences, agreement: as table, JSON, CSV and picture

examples:
  ritornello listen new piano ~/other-takes --reference ~/recordings -o test
  ritornello listen serve test
  ritornello listen results test -o test-results --json

`ritornello listen new --help` and so on list the flags."""

PORT = 8765
TAKES_FOLDER_SUFFIX = ".takes"
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a cell begins with that a spreadsheet computes; the last four are full-width."""


def run(argv: list[str]) -> int:
    """Run `listen` with the words after it; the exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        print(HELP)
        return 0 if argv else 2
    actions: dict[str, Callable[[list[str]], int]] = {
        "new": _new,
        "serve": _serve,
        "results": _results,
    }
    if argv[0] not in actions:
        raise UsageError(f"listen cannot {argv[0]!r}; {nearest(argv[0], actions)}")
    return actions[argv[0]](argv[1:])


def _new_parser() -> VerbParser:
    parser = VerbParser(
        "listen new",
        "Make a listening test: clips of every system at one loudness under meaningless names,\n"
        "with real music hidden among them, and the same low-passed as an anchor.",
        [
            "ritornello listen new piano --reference ~/recordings -o test",
            "ritornello listen new old=runs/a new=runs/b --reference ~/recordings -o test --seed 1",
            "ritornello listen new takes-a takes-b --reference music --clips 4 --seconds 8 -o test",
        ],
    )
    add = parser.add_argument
    add(
        "systems",
        nargs="+",
        metavar="SYSTEM",
        help="a model or a folder of audio, or NAME=one, to call it NAME in the results",
    )
    add("--reference", required=True, metavar="DIR", help="real music: a folder or a manifest")
    add("--split", metavar="NAME", help="part of the reference's manifest to take, such as test")
    add("-o", "--out", type=Path, required=True, metavar="TEST", help="folder of the test")
    add("--clips", type=int, default=12, metavar="N", help="clips of every system (12)")
    add("--seconds", type=float, default=10.0, metavar="S", help="length of a clip (10)")
    add("--per-listener", type=int, metavar="N", help="of these, rated by one listener (6)")
    add("--pairs", type=int, metavar="N", help="comparisons by one listener (12)")
    add("--seed", type=int, default=0, help="draws clips, takes and orders (0)")
    return parser


def _new(argv: list[str]) -> int:
    options = _new_parser().parse(argv)

    from ritornello.server.listening_clips import Size, Source, make_test, require_new
    from ritornello.server.listening_plan import ANCHOR, REFERENCE

    size = Size(
        clips=options.clips,
        seconds=options.seconds,
        per_listener=options.per_listener,
        pairs=options.pairs,
    )
    require_new(options.out)
    sources = [_source(words, options) for words in options.systems]
    names = [source.name for source in sources]
    if len({*names, REFERENCE, ANCHOR}) != len(names) + 2:
        raise UsageError(
            f"the systems are called {', '.join(names)}; expected different names other than "
            f"{REFERENCE} and {ANCHOR}: give them as NAME=FOLDER"
        )
    reference = Source(
        name=REFERENCE,
        target=options.reference,
        folder=Path(options.reference).expanduser(),
        split=options.split,
    )
    plan = make_test(sources, reference, options.out, size, options.seed)
    result = {
        "test": str(options.out),
        "systems": list(plan.systems),
        "clips": len(plan.clips),
        "seconds": plan.seconds,
        "loudness_lufs": plan.loudness_lufs,
        "ratings_per_listener": plan.per_listener * len(plan.systems),
        "pairs_per_listener": plan.pairs,
    }
    lines = [
        f"{options.out}: {result['clips']} clips of {plan.seconds:g} s at "
        f"{plan.loudness_lufs:.1f} LUFS",
        f"  systems     {', '.join(plan.systems)}",
        f"  a listener  rates {result['ratings_per_listener']} clips, compares {plan.pairs} pairs",
        f"begin:   ritornello listen serve {options.out}",
    ]
    emit(result, as_json=options.json, text=lines)
    return 0


def _source(words: str, options: argparse.Namespace) -> "Source":
    """The system that `[NAME=]TARGET` means; a model plays its takes beside the test's folder."""
    from ritornello.cli.material import material
    from ritornello.server.listening_clips import Source

    name, equals, target = words.partition("=")
    if Path(words).expanduser().exists():  # a folder may have the sign in its name
        name, equals, target = words, "", ""
    found = material(
        target if equals else words,
        takes=options.clips,
        seconds=options.seconds,
        seed=options.seed,
        folder=options.out.with_name(options.out.name + TAKES_FOLDER_SUFFIX),
    )
    return Source(name=name if equals else found.name, target=words, folder=found.folder)


def _serve_parser() -> VerbParser:
    parser = VerbParser(
        "listen serve",
        "Open the listening test in a browser. Votes are kept at once; Ctrl-C ends it, and the\n"
        "same command goes on with it.",
        [
            "ritornello listen serve test",
            "ritornello listen serve test --port 0 --no-browser",
            "ritornello listen serve test --host 0.0.0.0",
        ],
    )
    add = parser.add_argument
    add("test", type=Path, metavar="TEST", help="folder that `listen new` made")
    add("--port", type=int, default=PORT, help=f"port, 0 for any free one ({PORT})")
    add(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to answer on (127.0.0.1); 0.0.0.0 lets in everybody in the network",
    )
    add("--no-browser", action="store_true", help="do not open a browser")
    return parser


def _serve(argv: list[str]) -> int:
    options = _serve_parser().parse(argv)
    if not 0 <= options.port <= 65535:
        raise UsageError(f"--port is {options.port}; expected 0 to 65535")

    from ritornello.server.listening import create_app, is_local, listening_socket, serve

    app = create_app(options.test)
    with listening_socket(options.host, options.port) as bound:
        port = bound.getsockname()[1]
        url = f"http://{'127.0.0.1' if is_local(options.host) else options.host}:{port}/"
        if not is_local(options.host):
            print(
                "warning: everybody who reaches this machine can take part; nothing is encrypted",
                file=sys.stderr,
            )
        emit(
            {"test": str(options.test), "url": url},
            as_json=options.json,
            text=[f"{url}   Ctrl-C ends it; the votes are kept"],
        )
        if not options.no_browser:
            import webbrowser

            webbrowser.open(url)
        try:
            serve(app, bound)
        except KeyboardInterrupt:  # the way to end it
            print("ended", file=sys.stderr)
    return 0


def _results_parser() -> VerbParser:
    parser = VerbParser(
        "listen results",
        "What the listeners said: per system and scale the mean with standard error and a\n"
        "bootstrap interval over listeners and clips, preferences with a ranking, agreement, and\n"
        "who did not tell the hidden reference from the anchor.",
        [
            "ritornello listen results test",
            "ritornello listen results test -o test-results",
            "ritornello listen results test --json",
        ],
    )
    add = parser.add_argument
    add("test", type=Path, metavar="TEST", help="folder that `listen new` made")
    add("-o", "--out", type=Path, metavar="DIR", help="write figures, votes and picture here")
    return parser


def _results(argv: list[str]) -> int:
    options = _results_parser().parse(argv)

    import numpy as np

    from ritornello.evaluation import ratings
    from ritornello.server.listening_store import VoteStore

    store = VoteStore(options.test)
    draw = np.random.default_rng(0)
    result: dict[str, Any] = {"test": str(options.test)}
    result |= ratings.evaluate(store.ratings(), store.preferences(), draw)
    for name, (given, asked) in store.progress().items():
        if name in result["listeners"]:
            result["listeners"][name] |= {"votes": given, "asked": asked}
    lines = result_lines(result)
    if options.out is not None:
        written = write_results(result, store, options.out)
        lines += ["", *(f"wrote {path}" for path in written)]
    emit(result, as_json=options.json, text=lines)
    return 0


def result_lines(result: dict[str, Any]) -> list[str]:
    """The results as tables for a person."""
    rows = [
        [system, scale, f"{f['value']:.2f}", _error(f), _span(f), f["items"], f["listeners"]]
        for system, scales in result["systems"].items()
        for scale, f in scales.items()
    ]
    header = ("system", "scale", "mean", "s.e.", "95 % interval", "ratings", "listeners")
    lines = table(rows, header) if rows else []
    pairs = result["preferences"]["pairs"]
    if pairs:
        rows = [
            [p["first"], p["second"], p["wins"], p["undecided"], p["losses"], _span(p)]
            for p in pairs
        ]
        header = ("first", "second", "won", "undecided", "lost", "95 % interval of its share")
        lines += ["", *table(rows, header)]
    ranking = result["preferences"]["ranking"]
    if ranking:
        rows = [[r["system"], f"{r['value']:.2f}", _span(r), r["items"]] for r in ranking]
        header = ("ranking", "beats the average", "95 % interval", "comparisons")
        lines += ["", *table(rows, header)]
    rows = [
        [name, f"{check.get('votes', 0)} of {check.get('asked', 0)}", check["verdict"]]
        for name, check in result["listeners"].items()
    ]
    lines += ["", *table(rows, ("listener", "votes", "reference above anchor"))]
    alphas = [
        f"{scale} {'-' if alpha is None else f'{alpha:.2f}'}"
        for scale, alpha in result["agreement"].items()
    ]
    lines += ["", f"agreement (Krippendorff's alpha): {', '.join(alphas)}"] if alphas else []
    return lines + [f"warning: {warning}" for warning in result["warnings"]]


def _error(figure: dict[str, Any]) -> str:
    return "-" if figure["standard_error"] is None else f"{figure['standard_error']:.2f}"


def _span(figure: dict[str, Any]) -> str:
    return f"{figure['low']:.2f} to {figure['high']:.2f}"


def write_results(result: dict[str, Any], store: "VoteStore", out: Path) -> list[Path]:
    """Write results.json, means.csv, ratings.csv, preferences.csv and results.png; their paths."""
    import csv
    import json
    from dataclasses import asdict

    from ritornello.evaluation.ratings_picture import save_picture

    out.mkdir(parents=True, exist_ok=True)
    means = [
        {"system": system, "scale": scale, **figure}
        for system, scales in result["systems"].items()
        for scale, figure in scales.items()
    ]
    tables = {
        "means.csv": means,
        "ratings.csv": [asdict(rating) for rating in store.ratings()],
        "preferences.csv": [asdict(choice) for choice in store.preferences()],
    }
    (out / "results.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    written = [out / "results.json"]
    for name, rows in tables.items():
        if not rows:
            continue
        with (out / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows({key: cell(value) for key, value in row.items()} for row in rows)
        written.append(out / name)
    return [*written, save_picture(result, out / "results.png")]


def cell(value: Any) -> Any:
    """`value` as a spreadsheet may have it: text that it would take for a formula gets a quote.

    Names come from whoever opened the page. An apostrophe in front makes a cell text (OWASP, CSV
    injection); the JSON has the names as they are.
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_SIGNS) else value
