"""`ritornello evaluate codec`: what a model's codec loses."""

from pathlib import Path

from ritornello.cli.codec_files import add_level, codec_of
from ritornello.cli.console import VerbParser, duration_s, emit, table


def run(argv: list[str]) -> int:
    """Judge a codec: clips through it and back, against themselves."""
    parser = VerbParser(
        "evaluate codec",
        "Judge a model's codec: real clips through it and back, against themselves.",
        [
            "ritornello evaluate codec piano --reference ~/recordings --clips 16",
            "ritornello evaluate codec ada-piano --reference ~/recordings --level 1",
        ],
    )
    parser.add_argument("model", metavar="MODEL", help="shipped name, model folder or run folder")
    add = parser.add_argument
    add("--reference", type=Path, required=True, metavar="DIR", help="folder or manifest of audio")
    add("--split", help="with a manifest: train, valid or test only")
    add("--clips", type=int, default=16, help="clips (16)")
    add("--seconds", type=duration_s, default=10.0, help="length of a clip (10)")
    add("--seed", type=int, default=0, help="of the clips (0)")
    add_level(parser)
    options = parser.parse(argv)

    import numpy as np

    from ritornello.cli.data import progress_bar
    from ritornello.cli.playing import DEFAULT_THREADS, load
    from ritornello.evaluation.clips import clips_of
    from ritornello.evaluation.codec_judgement import judge_codec
    from ritornello.evaluation.reading import interval, shown
    from ritornello.loading import find

    model = find(options.model)
    model.require(frozenset({"reconstruct"}))
    clips = clips_of(
        options.reference.expanduser(),
        seconds=options.seconds,
        count=options.clips,
        seed=options.seed,
        split=options.split,
    )
    system, _ = load(model, DEFAULT_THREADS)
    codec = codec_of(system, model.name, options.level)
    draw = np.random.default_rng(options.seed)
    with progress_bar("through the codec") as progress:
        figures = judge_codec(codec, clips, draw, progress)
    result = {
        "model": model.name,
        "weights_sha256": model.weights_sha256,
        "level": options.level,
        "clips": len(clips),
        "seconds": options.seconds,
        "reference": str(clips.source),
        "figures": {name: figure.to_dict() for name, figure in figures.items()},
        "warnings": clips.warnings,
    }
    rows = [
        (name.replace("_", " "), shown(f.value), interval(f), f.items)
        for name, f in figures.items()
    ]
    text = table(rows, ("figure", "value", "95 % interval", "n"))
    emit(result, as_json=options.json, text=[*text, *clips.warnings])
    return 0
