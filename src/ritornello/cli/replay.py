"""`ritornello replay FILE`: make a generated file again from its own metadata, and compare."""

import tempfile
from pathlib import Path
from typing import Any

from ritornello.cli.console import VerbParser, emit, output_path
from ritornello.cli.generate import SUFFIXES, write_piece
from ritornello.cli.playing import Order, load
from ritornello.errors import CheckpointError, DataError

NEEDED = ("request", "model", "threads", "how", "inputs", "options")


def run(argv: list[str]) -> int:
    """Generate again; exit code 0 when the bits are the same, 1 when they differ."""
    options = build_parser().parse(argv)

    from ritornello.audio.io import read_provenance

    recorded = read_provenance(options.file)
    absent = [name for name in NEEDED if name not in recorded]
    if absent or recorded["how"] not in ("whole", "stream"):
        raise DataError(
            f"{options.file} does not say how it was made (no {absent[0] if absent else 'how'} "
            "in its comment); only files of `generate` and `stream --to FILE` can be replayed"
        )
    if options.out is not None:
        output_path(options.out, SUFFIXES, never=[options.file])
    ordered = order_again(recorded, options.model or recorded["model"])
    with tempfile.TemporaryDirectory(prefix="ritornello-") as folder:
        again = options.out or Path(folder) / f"again{options.file.suffix}"
        system, _ = load(ordered.model, recorded["threads"])
        write_piece(system, ordered, again, recorded["how"])
        result = compare(options.file, again, recorded)
    emit(result, as_json=options.json, text=_lines(result))
    return 0 if result["identical"] else 1


def build_parser() -> VerbParser:
    """The flags of the verb."""
    parser = VerbParser(
        "replay",
        "Read how a file was made, make it again and compare bit for bit. When the bits differ,\n"
        "say what else does: weights, torch, threads, kernels.",
        ["ritornello replay piano.wav", "ritornello replay old.wav --model runs/mine -o again.wav"],
    )
    parser.add_argument("file", type=Path, help="a file that ritornello generated")
    parser.add_argument("--model", help="play with this model instead of the recorded one")
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="keep the new file here")
    return parser


def order_again(recorded: dict[str, Any], model_name: str) -> Order:
    """The order behind a recorded provenance; its input files must be as they were."""
    from ritornello.audio.mapped import read_mapped
    from ritornello.loading import find
    from ritornello.provenance import file_sha256, request_from_dict

    inputs = {name: Path(source["path"]) for name, source in recorded["inputs"].items()}
    for name, path in inputs.items():
        if not path.is_file() or file_sha256(path) != recorded["inputs"][name]["sha256"]:
            raise DataError(f"the {name} {path} is missing or has changed since; bring it back")
    try:
        model = find(model_name)
    except CheckpointError as error:
        raise CheckpointError(f"{error} (give the model with --model)") from error
    audio = {name: read_mapped(path) for name, path in inputs.items()}
    asked = {name: audio.pop(name) for name in ("prompt", "mix") if name in audio}
    request = request_from_dict(recorded["request"], asked)
    try:
        options = model.options(**recorded["options"], **audio)
    except TypeError as error:
        raise DataError(f"the recorded options cannot be read: {error}") from error
    return Order(model=model, request=request, options=options, inputs=inputs)


def compare(original: Path, again: Path, recorded: dict[str, Any]) -> dict[str, Any]:
    """Whether the samples are the same bits, how far apart they are, and what else differs."""
    import numpy as np

    from ritornello.audio.io import read_audio, read_provenance

    old, new = read_audio(original), read_audio(again)
    same_shape = old.samples.shape == new.samples.shape and old.sample_rate == new.sample_rate
    now = read_provenance(again)
    differences = {
        key: {"then": recorded.get(key), "now": now.get(key)}
        for key in sorted(recorded.keys() | now.keys())
        if recorded.get(key) != now.get(key)
    }
    return {
        "file": str(original),
        "identical": same_shape and bool(np.array_equal(old.samples, new.samples)),
        "largest_difference": (
            float(np.abs(old.samples - new.samples).max()) if same_shape else None
        ),
        "differences": differences,
    }


def _lines(result: dict[str, Any]) -> list[str]:
    if result["identical"]:
        lines = [f"{result['file']}: made again, bit for bit"]
    elif result["largest_difference"] is None:
        lines = [f"{result['file']}: made again with another length or format"]
    else:
        lines = [
            f"{result['file']}: made again, not the same bits "
            f"(largest difference {result['largest_difference']:.3g} of full scale)"
        ]
    lines += [
        f"  {key}: {change['then']} then, {change['now']} now"
        for key, change in result["differences"].items()
    ]
    if not result["identical"] and not result["differences"]:
        lines.append("  nothing recorded differs: another processor, or the file was edited")
    return lines
