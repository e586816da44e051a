"""`ritornello explore`: a folder of samples as one page to hear, filter and look at, offline."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ritornello.cli.console import VerbParser, emit, output_path

if TYPE_CHECKING:
    from ritornello.evaluation.explore import Folder
    from ritornello.evaluation.explore_page import Explored, PagePlan

SUFFIXES = (".html", ".htm")
MAPS = ("pca", "tsne", "none")


def run(argv: list[str]) -> int:
    """Read the folder and write the page."""
    options = build_parser().parse(argv)
    folder = options.dir.expanduser()
    out = output_path(options.out.expanduser(), SUFFIXES)

    from ritornello.cli.data import progress_bar
    from ritornello.evaluation.explore import gather
    from ritornello.evaluation.explore_page import write_page

    with progress_bar("looking") as progress:
        found = gather(folder, progress)
    plan = plan_of(options, found, out)
    with progress_bar("reading") as progress:
        explored = write_page(out, found, plan, progress)
    result = result_of(out, found, explored)
    emit(result, as_json=options.json, text=lines_of(result))
    return 0


def build_parser() -> VerbParser:
    """The flags of the verb."""
    parser = VerbParser(
        "explore",
        "Write one HTML page over a folder of samples: players, spectrograms, filters by artist,\n"
        "genre, model and seed, lyrics that light up as they are sung, and maps. What is known of\n"
        "a sample is read from its own metadata and from the JSON file beside it. The page needs\n"
        "no network, now or later.",
        [
            "ritornello explore takes",
            "ritornello explore takes -o takes/index.html --map tsne",
            "ritornello explore takes --embed --model runs/songs -o takes.html",
        ],
    )
    add = parser.add_argument
    add("dir", type=Path, metavar="DIR", help="a folder of audio, subfolders included")
    add("-o", "--out", type=Path, default=Path("explore.html"), metavar="FILE", help="explore.html")
    add(
        "--embed",
        action="store_true",
        help="put the sound into the page, as MP3, half an hour at most; else the page plays the "
        "files where they are",
    )
    add(
        "--map",
        choices=MAPS,
        default="pca",
        help="how maps are laid out (pca); none leaves out that of samples, which takes longest",
    )
    add(
        "--model",
        metavar="MODEL",
        help="also map the artists and genres that this jukebox model has learnt",
    )
    add("--cache", type=Path, metavar="DIR", help="keep what was heard, for the next page")
    add("--title", help="heading of the page (the folder's name)")
    return parser


def plan_of(options: Namespace, found: "Folder", out: Path) -> "PagePlan":
    """What is asked for; what cannot be done is refused here, before any sample is decoded."""
    from ritornello.evaluation.explore_map import LAYOUTS
    from ritornello.evaluation.explore_page import PagePlan
    from ritornello.evaluation.explore_sound import embedded, linked_from, musicnn_of

    hear = None
    if options.map != "none":
        LAYOUTS[options.map].require(len(found.samples))
        hear = musicnn_of(options.cache.expanduser() if options.cache else None)
    return PagePlan(
        title=options.title or found.path.resolve().name or str(found.path),
        address=embedded(found.samples) if options.embed else linked_from(out),
        hear=hear,
        layout=LAYOUTS["pca" if options.map == "none" else options.map],
        tables=_tables(options.model),
    )


def _tables(model: str | None) -> Any:
    if model is None:
        return ()

    from ritornello.checkpoint import find_model
    from ritornello.evaluation.explore_map import label_tables

    return label_tables(find_model(model))


def result_of(out: Path, found: "Folder", explored: "Explored") -> dict[str, Any]:
    """What came of it, as JSON has it."""
    return {
        "path": str(out),
        "bytes": out.stat().st_size,
        "samples": len(explored.shown),
        "duration_s": round(sum(sample.duration_s for sample in explored.shown), 3),
        "facets": {facet: dict(values) for facet, values in explored.facets().items()},
        "mapped": len(explored.heard),
        "unmapped": explored.unmapped,
        "refused": {each.name: each.reason for each in explored.refused},
        "unread": {each.name: each.reason for each in found.unread},
    }


def lines_of(result: dict[str, Any]) -> list[str]:
    """The same for a person."""
    facets = ", ".join(f"{len(values)} {facet}" for facet, values in result["facets"].items())
    return [
        f"{result['path']}: {result['samples']} samples, {result['duration_s'] / 60:.1f} minutes, "
        f"{result['bytes'] / 1e6:.1f} MB",
        *([f"facets: {facets}"] if facets else []),
        *(f"not on the map, too short: {name}" for name in result["unmapped"]),
        *(f"left out: {name}: {reason}" for name, reason in result["refused"].items()),
        *(f"side-car not read: {name}: {reason}" for name, reason in result["unread"].items()),
    ]
