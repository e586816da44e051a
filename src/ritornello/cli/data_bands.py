"""`ritornello data make bands`: multitrack songs, drawn and rendered stem by stem."""

from pathlib import Path
from typing import Any

from ritornello.cli.console import VerbParser, emit, table


def _parser() -> VerbParser:
    parser = VerbParser(
        "data make bands",
        "Render multitrack songs: a folder each with drums, bass, chords, melody and more,\n"
        "equally long, and song.json (genre, tempo, key, form, sections). Interrupted or called\n"
        "again, it makes only what is missing.",
        [
            "ritornello data make bands --out bands --songs 20",
            "ritornello data make bands --out bands --rate 16000 --channels 1",
            "ritornello data make bands --out bands --songs 8 --plan",
        ],
    )
    add = parser.add_argument
    add("--out", "-o", type=Path, required=True, metavar="DIR", help="folder for the songs")
    add("--songs", type=int, default=400, metavar="N", help="how many (400)")
    add("--rate", type=int, default=44100, metavar="HZ", help="sample rate (44100)")
    add("--channels", type=int, default=2, metavar="N", help="1 or 2 (2)")
    add("--soundfont", type=Path, metavar="FILE", help="General MIDI sound font (an installed one)")
    add("--seed", type=int, default=0, help="draws everything (0)")
    add("--workers", type=int, default=0, metavar="N", help="processes (0: one per core)")
    add("--plan", action="store_true", help="list the songs and render nothing")
    return parser


def make_bands_verb(argv: list[str]) -> int:
    """Run `data make bands` with the words after it; the exit code."""
    options = _parser().parse(argv)

    from ritornello.data.recipes.bands import BandsRecipe

    recipe = BandsRecipe(
        out=options.out,
        songs=options.songs,
        rate=options.rate,
        channels=options.channels,
        soundfont=options.soundfont,
        seed=options.seed,
        workers=options.workers,
    )
    return (_show_plan if options.plan else _render)(recipe, as_json=options.json)


def _show_plan(recipe: Any, *, as_json: bool) -> int:
    from ritornello.data.recipes.bands import planned

    songs = [
        {
            "work": plan.id,
            "groove": plan.groove.verse,
            "key": str(plan.key),
            "bpm": plan.bpm,
            "beats_per_bar": plan.groove.beats_per_bar,
            "form": plan.form,
            "bars": plan.bars,
            "seconds": round(plan.seconds, 1),
        }
        for plan in planned(recipe)
    ]
    rows = [[str(value) for value in song.values()] for song in songs]
    emit({"songs": songs}, as_json=as_json, text=table(rows, tuple(songs[0])))
    return 0


def _render(recipe: Any, *, as_json: bool) -> int:
    from dataclasses import asdict

    from ritornello.cli.data import hours_text, progress_bar, row, skipped_lines, top
    from ritornello.data.recipes.bands import make_bands

    with progress_bar("playing") as progress:
        made = make_bands(recipe, progress=progress)
    stems = ", ".join(f"{name} {count}" for name, count in made.stems.items() if count)
    lines = [
        f"{hours_text(made.hours)} of songs in {made.out}: {made.rendered} made, "
        f"{made.reused} found finished",
        *row("genres", top(made.genres)),
        *row("stems", stems),
        *skipped_lines([{"id": name, "reason": reason} for name, reason in made.skipped]),
        f"train on it:   ritornello train stemgen --data {made.out} --run runs/band",
    ]
    emit(asdict(made) | {"out": str(made.out)}, as_json=as_json, text=lines)
    return 0
