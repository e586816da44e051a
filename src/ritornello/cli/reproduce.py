"""`ritornello reproduce TABLE`: the project's own tables, made again with one command."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ritornello.cli.console import UsageError, VerbParser, emit
from ritornello.cli.playing import DEFAULT_MODEL
from ritornello.cli.reproduce_ada import FIGURE_WORD, TABLE_WORDS, run_figure, run_table
from ritornello.cli.reproduce_jukebox import WORD as RECONSTRUCTION_WORD
from ritornello.cli.reproduce_jukebox import run_reconstruction
from ritornello.cli.reproduce_stemgen import WORDS as STEMGEN_WORDS
from ritornello.cli.reproduce_stemgen import run_stemgen
from ritornello.config import nearest
from ritornello.errors import ConfigError

if TYPE_CHECKING:
    from ritornello.evaluation.sanity_run import Voices

HELP = """\
usage: ritornello reproduce TABLE -o FOLDER [--json] [--flags]

  metrics-sanity   do the metrics see what they should? sets of known order, graded damage
  ada-table-1      autoencoders on audio: VQ-VAE and AMAE, inputs, hop 8 and 64
  ada-table-2      autoencoders on codes: decoders that see 32 to 256 codes
  ada-table-3      stacks of one to three levels: receptive fields, samples, a blind test
  ada-figure-2     how far back audio and codes must be known to be foretold
  jukebox-reconstruction
                   hops 8, 32 and 128, restarts, codebooks, losses: spectral convergence
  stemgen-guidance, stemgen-causal-bias, stemgen-final
                   stems for held-out mixes: guidance, ranking, naive against best

examples:
  ritornello reproduce ada-table-1 -o ada --data ~/piano --scale mini --seeds 2 --jobs 2
  ritornello reproduce stemgen-final -o stems --data ~/bands
  ritornello reproduce metrics-sanity -o sanity
  ritornello reproduce metrics-sanity -o sanity --reference manifest.jsonl --midi ~/midi

`ritornello reproduce metrics-sanity --help` and so on list the flags."""

SETTINGS_FILE, RESULT_FILE, PAGE_FILE, PICTURE_FILE = (
    "settings.json",
    "result.json",
    "table.md",
    "picture.png",
)
CLIPS_FOLDER = "sets"
ADDS = ("midi_sha256", "other", "sound_font")
OTHER_MUSIC = Path("/usr/share/games/unknown-horizons")


def run(argv: list[str]) -> int:
    """Make one table."""
    if not argv or argv[0] in ("-h", "--help"):
        print(HELP)
        return 0 if argv else 2
    tables: dict[str, Callable[[list[str]], int]] = {
        "metrics-sanity": _metrics_sanity,
        FIGURE_WORD: run_figure,
        RECONSTRUCTION_WORD: run_reconstruction,
        **{word: partial(run_table, word) for word in TABLE_WORDS},
        **{word: partial(run_stemgen, word) for word in STEMGEN_WORDS},
    }
    if argv[0] not in tables:
        raise UsageError(f"there is no table {argv[0]!r}; {nearest(argv[0], tables)}")
    return tables[argv[0]](argv[1:])


def _parser() -> VerbParser:
    parser = VerbParser(
        "reproduce metrics-sanity",
        "Hold the metrics to material of known order: held-out piano, the same through the codec,\n"
        "the same pieces on organ, harp and vibraphone, other music, noise, and the generator;\n"
        "then damage of four grades. What must come out is fixed in the code. Interrupted or\n"
        "called again with the same settings, it makes only what is missing.",
        [
            "ritornello reproduce metrics-sanity -o sanity",
            "ritornello reproduce metrics-sanity -o sanity --reference manifest.jsonl "
            "--midi ~/midi --other ~/songs",
        ],
    )
    add = parser.add_argument
    add("-o", "--out", type=Path, required=True, metavar="FOLDER", help="for clips and result")
    add(
        "--reference",
        type=Path,
        metavar="DIR",
        help="held-out piano: a folder or manifest of audio (renders music21's keyboard works)",
    )
    add("--split", help="with a manifest: the split that is held out (valid)")
    add(
        "--midi",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="MIDI that the reference was rendered from, for the other instruments; repeatable",
    )
    add(
        "--other", type=Path, metavar="DIR", help="other music (that of unknown-horizons, if there)"
    )
    add("--model", default=DEFAULT_MODEL, help=f"whose codec and generator ({DEFAULT_MODEL})")
    add("--soundfont", type=Path, metavar="FILE", help="General MIDI sound font (an installed one)")
    add("--clips", type=int, metavar="N", help="clips of each set (32)")
    add("--without-notes", action="store_true", help="leave the musical descriptors out: faster")
    return parser


def _metrics_sanity(argv: list[str]) -> int:
    options = _parser().parse(argv)
    if options.out.exists() and not options.out.is_dir():
        raise ConfigError(f"cannot write to {options.out}: it is a file; give a folder")

    from ritornello.checkpoint import write_json
    from ritornello.cli.data import progress_bar
    from ritornello.evaluation import sanity_run, sanity_table

    folder = options.out
    plan = sanity_run.Plan(
        folder=folder,
        reference=options.reference,
        split=options.split,
        midi=tuple(options.midi),
        other=options.other or (OTHER_MUSIC if OTHER_MUSIC.is_dir() else None),
        sound_font=options.soundfont,
        **({} if options.clips is None else {"clips": options.clips}),
        notes=not options.without_notes,
    )
    sanity_run.check(plan)
    voices, weights = _voices(options.model)
    folder.mkdir(parents=True, exist_ok=True)
    _same_settings(folder / SETTINGS_FILE, {**plan.settings(), "weights_sha256": weights})
    with progress_bar("sanity") as progress:
        table = sanity_run.run(plan, voices, progress)
    told = {**table.settings, "model": options.model, "weights_sha256": weights}
    table = replace(table, settings=told)
    result = table.to_json()
    write_json(folder / RESULT_FILE, result)
    page = sanity_table.markdown(table)
    (folder / PAGE_FILE).write_text(page, encoding="utf-8")
    sanity_table.save_picture(table, folder / PICTURE_FILE)
    emit(result, as_json=options.json, text=[page, f"{folder}: {RESULT_FILE}, {PICTURE_FILE}"])
    return 0


def _voices(name: str) -> "tuple[Voices, str]":
    """What the model lends to the table, and the hash of its weights."""
    from ritornello.cli.playing import DEFAULT_THREADS, load
    from ritornello.evaluation.embedding import codec_embedding, load_embedding
    from ritornello.evaluation.sanity_run import Voices
    from ritornello.interfaces import Request
    from ritornello.loading import find

    model = find(name)
    model.require(frozenset({"reconstruct"}))
    system, _ = load(model, DEFAULT_THREADS)
    codec: Any = getattr(system, "codec", None)
    embeddings = [load_embedding("musicnn")]
    if codec is not None:
        embeddings.append(codec_embedding(codec, name=f"codec-{name}"))
    return Voices(
        sample_rate=system.sample_rate,
        reconstruct=system.reconstruct,
        take=lambda seed, seconds: system.generate(Request(seconds=seconds, seed=seed)),
        trained_on=training_works(model.folder),
        embeddings=tuple(embeddings),
    ), model.weights_sha256


def training_works(folder: Path) -> frozenset[str]:
    """Works that the model's card lists under "Training works"; none without such a list."""
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    _, _, listed = text.partition("\n## Training works\n")
    lines = listed.partition("\n## ")[0].splitlines()
    return frozenset(line.removeprefix("- ").strip() for line in lines if line.startswith("- "))


def _same_settings(file: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings, or refuse a folder that holds clips of another run.

    What was not there before (ADDS) only adds sets, and the notes are heard when they are asked
    for: neither contradicts what is kept.
    """
    from ritornello.checkpoint import read_json, write_json

    if file.exists() and (file.parent / CLIPS_FOLDER).is_dir():
        before = read_json(file)
        changed = sorted(
            key
            for key in settings.keys() - {"notes"}
            if before.get(key) != settings[key] and not (key in ADDS and before.get(key) is None)
        )
        if changed:
            raise ConfigError(
                f"{file.parent} holds a run with other settings ({', '.join(changed)}); give "
                "another folder, or the same settings to go on"
            )
    write_json(file, dict(settings))
