"""`ritornello band`: a whole arrangement from nothing, stem after stem, as files in a folder."""

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ritornello.cli.console import VerbParser, emit, table
from ritornello.cli.playing import DEFAULT_THREADS, load
from ritornello.cli.stems import ATTACK_FADE_S, STEM_OPTIONS, add_stem_flags
from ritornello.errors import ConfigError, DataError

if TYPE_CHECKING:
    from ritornello.interfaces import Audio
    from ritornello.loading import FoundModel
    from ritornello.stemgen.band import BandPlan

DEFAULT_MODEL = "stemgen-band"
SESSION, MIX = "session.json", "mix.wav"
BARS, BPM, BEATS_PER_BAR = 8, 110.0, 4
NOT_FOR_BANDS = ("edit", "variation", "keep_onsets", "every", "stem_in")
"""Flags that change a stem that there is; a band begins without."""


def run(argv: list[str]) -> int:
    """Make the stems that are not there yet, then their mix."""
    asked = build_parser().parse(argv)
    for name in NOT_FOR_BANDS:
        if getattr(asked, name) is not None:
            raise ConfigError(
                f"a band is made from nothing and takes no --{name.replace('_', '-')}; change one "
                "of its stems with `ritornello generate --stem-in`"
            )
    from ritornello.loading import find

    model = find(asked.model)
    model.require(frozenset({"accompany"}))
    plan, start = band_plan(asked)
    session = session_of(asked, model, plan)
    if asked.plan:
        emit(session, as_json=asked.json, text=_plan_lines(session))
        return 0
    begin(asked.out, session, must_be_there=asked.resume)
    result = play(asked, model, plan, start, session)
    emit(result, as_json=asked.json, text=_lines(result))
    return 0


def build_parser() -> VerbParser:
    """The flags of the verb."""
    parser = VerbParser(
        "band",
        "Make a whole arrangement: the first stem hears a click, every other one the sum of those\n"
        "before. The folder gets a file for every stem, mix.wav and session.json. The same call\n"
        "goes on with an arrangement that was interrupted.",
        [
            "ritornello band --stems drums,bass,keys --bars 16 --bpm 110 -o song",
            "ritornello band runs/mine --stems bass,chords --mix drums.wav -o layers",
            "ritornello band --stems drums,bass --bars 4 --loop -o loop --seed 3",
        ],
    )
    add = parser.add_argument
    add("model", metavar="MODEL", nargs="?", default=DEFAULT_MODEL, help=f"({DEFAULT_MODEL})")
    add("--stems", type=_names, required=True, metavar="A,B,..", help="in the order of coming in")
    add("-o", "--out", type=Path, required=True, metavar="DIR", help="folder for the files")
    add("--bars", type=int, help=f"length ({BARS}, or that of --mix)")
    add("--mix", type=Path, metavar="FILE", help="begin with this, and layer on top of it")
    add("--seed", type=int, default=0, help="of the first stem; the others count up (0)")
    add("--guidance", type=float, help="weight of what is heard (the model's own)")
    add("--temperature", type=float, default=1.0, help="spread of the draws (1)")
    add("--no-click", action="store_true", help="let the first stem choose its tempo")
    add("--resume", action="store_true", help="go on with the folder, which must have a session")
    add("--plan", action="store_true", help="say what would be made, and make nothing")
    add("--precision", metavar="NAME", help="fp32 or bf16 (fp32)")
    add("--threads", type=int, default=DEFAULT_THREADS, help=f"CPU threads ({DEFAULT_THREADS})")
    add_stem_flags(parser)
    return parser


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len({name.lower() for name in names}) < len(names):
        raise argparse.ArgumentTypeError(
            f"got {text!r}; expected different names with commas between, such as drums,bass,keys"
        )
    if any("/" in name or name.startswith(".") or name.lower() == "mix" for name in names):
        raise argparse.ArgumentTypeError(f"got {text!r}; stems name files, and mix is taken")
    return names


def band_plan(asked: argparse.Namespace) -> tuple["BandPlan", "Audio | None"]:
    """What is to be played, and what it begins with."""
    from ritornello.audio.io import read_audio
    from ritornello.stemgen.band import BandPlan, seconds_of
    from ritornello.stemgen.options import StemGenOptions

    names = [*STEM_OPTIONS, "precision"]
    own = {name: getattr(asked, name) for name in names if getattr(asked, name) is not None}
    bpm = own.pop("bpm", None)
    start = read_audio(asked.mix) if asked.mix else None
    if start is not None and asked.bars is not None:
        raise ConfigError("a band on top of --mix is as long as it; leave out --bars")
    if start is not None and bpm is not None:
        raise ConfigError("a band on top of --mix hears its beat and no click; leave out --bpm")
    bpm = BPM if bpm is None else bpm
    beats = own.get("beats_per_bar", BEATS_PER_BAR)
    seconds = None
    if start is None:
        seconds = seconds_of(BARS if asked.bars is None else asked.bars, beats, bpm)
    plan = BandPlan(
        stems=asked.stems,
        seed=asked.seed,
        seconds=seconds,
        bpm=None if asked.no_click or start is not None else bpm,
        options=StemGenOptions(**own),
        guidance=asked.guidance,
        temperature=asked.temperature,
    )
    return plan, start


def session_of(asked: argparse.Namespace, model: "FoundModel", plan: "BandPlan") -> dict[str, Any]:
    """What decides every file of the folder, as plain values; names of stems are checked."""
    from ritornello import provenance
    from ritornello.checkpoint import read_config
    from ritornello.config import to_dict
    from ritornello.data.stem_categories import resolve_category

    known = read_config(model.folder)["stems"]
    stems = [
        {"file": f"{name}.wav", "stem": resolve_category(name, known), "seed": plan.seed + number}
        for number, name in enumerate(plan.stems)
    ]
    told = {name: value for name, value in to_dict(plan).items() if name != "stems"}
    mix = None
    if asked.mix is not None:
        mix = {"path": str(asked.mix), "sha256": provenance.file_sha256(asked.mix)}
    return {
        "model": model.name,
        "weights_sha256": model.weights_sha256,
        "threads": asked.threads,
        "stems": stems,
        "mix": mix,
        "bars": None if mix else asked.bars or BARS,
        **told,
    }


def begin(folder: Path, session: Mapping[str, Any], *, must_be_there: bool) -> None:
    """Write the session into the folder, or find the same one there.

    Raises:
        DataError: The folder holds another session, files that are no session's, or none although
            one must be there.
    """
    from ritornello.checkpoint import write_json

    file = folder / SESSION
    if file.is_file():
        there = json.loads(file.read_text(encoding="utf-8"))
        changed = [name for name in session if there.get(name) != session[name]]
        if changed:
            raise DataError(
                f"{folder} holds another session ({', '.join(changed)} differ); give another "
                "folder, or remove this one"
            )
        return
    if must_be_there:
        raise DataError(f"{folder} has no {SESSION} to go on with; leave out --resume")
    if folder.is_dir() and any(folder.iterdir()):
        raise DataError(f"{folder} is not empty and holds no session; give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(file, dict(session))


def play(
    asked: argparse.Namespace,
    model: "FoundModel",
    plan: "BandPlan",
    start: "Audio | None",
    session: Mapping[str, Any],
) -> dict[str, Any]:
    """Make what is missing, then the mix."""
    from ritornello.audio.io import fade, write_audio
    from ritornello.audio.mixing import Layer, write_mixdown
    from ritornello.provenance import circumstances
    from ritornello.stemgen.band import next_stem, together
    from ritornello.stemgen.generate import StemGen

    system, load_s = load(model, asked.threads)
    assert isinstance(system, StemGen)
    done: list[Audio] = []
    rows = []
    for number, one in enumerate(session["stems"]):
        path, began = asked.out / one["file"], time.perf_counter()
        is_there = path.is_file()
        if not is_there:
            stem = next_stem(system, plan, number, start, done)
            meta = {**stem.meta, **circumstances(stem.meta), "how": "band", "session": SESSION}
            if not plan.options.loop:
                stem = fade(stem, start_s=ATTACK_FADE_S)
            write_audio(path, _with_meta(stem, meta))
        # What was written is what the next stem hears, so that going on later changes nothing.
        done.append(_as_made(path))
        elapsed_s = 0.0 if is_there else round(time.perf_counter() - began, 3)
        rows.append({**one, "path": str(path), "elapsed_s": elapsed_s, "was_there": is_there})
    base = start if start is not None else _silent_like(done[0])
    layers = [Layer(audio=stem, loop=plan.options.loop) for stem in done]
    report = write_mixdown(asked.out / MIX, base, layers, {"how": "band", "session": SESSION})
    heard = together(system.sample_rate, start, done)
    assert heard is not None
    return {
        "model": model.name,
        "folder": str(asked.out),
        "seconds": heard.duration_s,
        "load_s": round(load_s, 3),
        "stems": rows,
        "mix": {"path": str(report.path), "gain_db": round(report.gain_db, 3)},
    }


def _with_meta(audio: "Audio", meta: Mapping[str, Any]) -> "Audio":
    import dataclasses

    return dataclasses.replace(audio, meta=meta)


def _as_made(path: Path) -> "Audio":
    """A stem's file at the level that it was made at."""
    import dataclasses

    from ritornello.audio.io import read_audio, read_provenance
    from ritornello.audio.loudness import from_db

    audio = read_audio(path)
    gain = from_db(-float(read_provenance(path).get("gain_db", 0.0)))
    return dataclasses.replace(audio, samples=(audio.samples * gain).astype("float32"))


def _silent_like(audio: "Audio") -> "Audio":
    import dataclasses

    import numpy as np

    return dataclasses.replace(audio, samples=np.zeros_like(audio.samples))


def _plan_lines(session: Mapping[str, Any]) -> list[str]:
    length = "as long as its mix" if session["mix"] else f"{session['seconds']:.3f} s"
    rows = [(one["file"], one["stem"], one["seed"]) for one in session["stems"]]
    return [f"{session['model']}: {length}", *table(rows, ("file", "stem", "seed"))]


def _lines(result: Mapping[str, Any]) -> list[str]:
    made = [
        f"  {one['path']}: " + ("was there" if one["was_there"] else f"{one['elapsed_s']:.1f} s")
        for one in result["stems"]
    ]
    return [f"{result['mix']['path']}: {result['seconds']:.3f} s of music", *made]
