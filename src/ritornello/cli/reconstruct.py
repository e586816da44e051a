"""`ritornello reconstruct`: audio through the codec and back, to hear what the codec keeps."""

import time
from pathlib import Path

from ritornello.cli.codec_files import add_level, require_levels
from ritornello.cli.console import VerbParser, emit, output_path
from ritornello.cli.generate import SUFFIXES
from ritornello.cli.playing import add_model, load


def run(argv: list[str]) -> int:
    """Reconstruct one audio file at the codec's rate and channels."""
    parser = VerbParser(
        "reconstruct",
        "Send an audio file through the model's codec and back: the most that the model could\n"
        "ever play of it.",
        [
            "ritornello reconstruct piano in.wav -o out.wav",
            "ritornello reconstruct ada-piano in.wav -o out.wav --level 2",
        ],
    )
    add_model(parser)
    add_level(parser)
    parser.add_argument("file", type=Path, help="an audio file")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FILE")
    options = parser.parse(argv)
    output_path(options.out, SUFFIXES, never=[options.file])

    from ritornello.audio.io import read_audio, write_audio
    from ritornello.loading import find

    model = find(options.model)
    model.require(frozenset({"reconstruct"}))
    audio = read_audio(options.file)
    system, _ = load(model, options.threads)
    chosen = {}
    if options.level is not None:
        require_levels(system, model.name)
        chosen = {"level": options.level}
    start = time.perf_counter()
    report = write_audio(options.out, system.reconstruct(audio, **chosen))
    result = {
        "path": str(options.out),
        "seconds": report.frames / system.sample_rate,
        "sample_rate": system.sample_rate,
        "channels": system.channels,
        "elapsed_s": round(time.perf_counter() - start, 3),
        "gain_db": round(report.gain_db, 3),
    }
    emit(result, as_json=options.json, text=[f"{options.out}: {result['seconds']:.2f} s"])
    return 0
