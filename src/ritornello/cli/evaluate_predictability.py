"""`ritornello evaluate predictability`: how far back music must be known to foretell it."""

from dataclasses import replace
from pathlib import Path

from ritornello.cli.console import VerbParser, duration_s, emit, output_path, table


def run(argv: list[str]) -> int:
    """Measure and draw the profile of a folder's audio (figure 2 of the ADA paper)."""
    parser = VerbParser(
        "evaluate predictability",
        "How well a small model foretells the next sample from the last r, for growing r: the\n"
        "predictability profile of the ADA paper, in nats a sample (8-bit mu-law, 16 kHz).",
        ["ritornello evaluate predictability ~/recordings -o profile.png"],
    )
    parser.add_argument("reference", type=Path, metavar="DIR", help="folder or manifest of audio")
    add = parser.add_argument
    add("-o", "--out", type=Path, required=True, metavar="PNG", help="the picture")
    add("--split", help="with a manifest: train, valid or test only")
    add("--clips", type=int, default=24, help="clips, a third of them to be judged on (24)")
    add("--seconds", type=duration_s, default=10.0, help="length of a clip (10)")
    add("--time-limit", type=duration_s, default=30.0, help="for each point of the curve (30 s)")
    add("--seed", type=int, default=0, help="of clips, weights and batches (0)")
    options = parser.parse(argv)
    output_path(options.out, (".png",))

    from ritornello.cli.data import progress_bar
    from ritornello.evaluation import predictability
    from ritornello.evaluation.clips import clips_of
    from ritornello.evaluation.reading import interval, shown

    clips = clips_of(
        options.reference.expanduser(),
        seconds=options.seconds,
        count=options.clips,
        seed=options.seed,
        split=options.split,
    )
    settings = replace(predictability.Settings(), budget_s=options.time_limit, seed=options.seed)
    with progress_bar("foretelling") as progress:
        profile = predictability.of_audio(clips, settings, progress=progress)
    predictability.save_picture([profile], options.out)
    rows = [
        (str(length), shown(nats.value), interval(nats), str(steps))
        for length, nats, steps in zip(profile.lengths, profile.nats, profile.steps, strict=True)
    ]
    text = table(rows, ("r", "nats a sample", "95 % interval", "steps"))
    result = {"picture": str(options.out), "reference": str(clips.source)} | profile.to_dict()
    emit(result | {"warnings": clips.warnings}, as_json=options.json, text=[*text, *clips.warnings])
    return 0
