"""`ritornello tune ada`: population based training of one level, replayable."""

import argparse
import math
from pathlib import Path
from typing import Any

from ritornello.cli.console import UsageError, VerbParser, emit
from ritornello.training.options import PRESETS

TUNABLE = ("ada",)


def run(argv: list[str]) -> int:
    """Breed a population, go on with one, or train along a schedule that one has found."""
    asked = parse(argv)
    from rich.console import Console

    from ritornello.training.logs import PlainDisplay

    display = PlainDisplay(Console(stderr=True))
    if asked.replay is not None:
        from ritornello.ada.tune import run_replay

        result = run_replay(asked.replay, asked.output, display)
    else:
        from ritornello.ada.tune import TuneOptions, run_tuning
        from ritornello.ada.tune_ray import Resources

        options = TuneOptions(
            data=tuple(asked.data),
            folder=asked.output,
            level=asked.level,
            preset=asked.preset,
            below=asked.from_model,
            population=asked.population,
            steps=asked.steps,
            interval=asked.interval,
            burn_in=asked.burn_in,
            collapse=asked.collapse,
            seed=asked.seed,
            precision=asked.precision,
            resources=Resources(
                address=asked.address,
                cpus_per_member=asked.cpus_per_member,
                gpus_per_member=asked.gpus_per_member,
            ),
            overrides=tuple(asked.overrides),
        )
        result = run_tuning(options, display)
    emit(result, as_json=asked.json, text=_lines(result))
    return 0


def parse(argv: list[str]) -> argparse.Namespace:
    """What is asked, or a UsageError."""
    asked = build_parser().parse(argv)
    if asked.system not in TUNABLE:
        raise UsageError(
            f"{asked.system!r} cannot be tuned; expected {TUNABLE[0]}, whose VQ levels have an "
            "alpha and a beta to tune"
        )
    if asked.replay is None and not asked.data:
        raise UsageError("--data DIR is missing: the music that the population trains on")
    if asked.replay is not None and (asked.data or asked.overrides):
        raise UsageError("--replay brings data and settings along; leave --data and key=value out")
    return asked


def whole(text: str) -> int:
    """A whole number above zero."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}; expected a whole number above zero")
    return int(text)


def share(text: str) -> float:
    """A number from zero up."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"got {text!r}; expected a number of at least zero")
    return number


def build_parser() -> VerbParser:
    """The flags of the verb."""
    parser = VerbParser(
        "tune",
        "Population based training of one VQ level: members train side by side, the worst copy\n"
        "the best and change alpha and beta. Stop at any moment; the same command goes on.\n"
        'Needs Ray Tune: pip install "ritornello[ray]"',
        [
            "ritornello tune ada --data ~/recordings -o tuned",
            "ritornello tune ada --data ~/recordings -o tuned2 --level 2 --from tuned "
            "levels.2.quantiser.kind=vq",
            "ritornello tune ada --data /net/music -o /net/tuned --population 20 "
            "--preset paper --address auto --gpus-per-member 1",
            "ritornello tune ada --replay tuned -o again",
        ],
    )
    add = parser.add_argument
    add("system", help="ada")
    add("overrides", nargs="*", metavar="key=value", help="e.g. levels.1.training.batch=4")
    add("--data", type=Path, action="append", default=[], metavar="DIR", help="a folder of audio")
    add("-o", "--output", type=Path, required=True, metavar="DIR", help="where everything goes")
    add("--level", type=whole, default=1, help="which level, 1 for the lowest (1)")
    add("--preset", choices=PRESETS, default="small", help="sizes of the stack (small)")
    add("--from", dest="from_model", metavar="MODEL", help="has the levels below, from level 2 on")
    add("--population", type=whole, default=4, help="members (4; the paper's 20)")
    add("--steps", type=whole, help="steps of every member (the preset's)")
    add("--interval", type=whole, help="steps between decisions (1/100 of the steps, 200 at least)")
    add("--burn-in", type=int, help="steps before the first decision (two intervals)")
    add(
        "--collapse",
        type=share,
        default=0.1,
        metavar="SHARE",
        help="perplexity, as a share of the codebook, below which a member counts as failed (0.1)",
    )
    add("--precision", choices=("fp32", "bf16"), default="fp32", help="what to compute in (fp32)")
    add("--seed", type=int, default=0, help="whole number >= 0 (0)")
    add("--address", help="of a Ray cluster, e.g. auto; by default Ray is started here")
    add("--cpus-per-member", type=whole, default=1, help="threads of every member (1)")
    add("--gpus-per-member", type=share, default=0.0, help="may be a fraction (0)")
    add(
        "--replay",
        type=Path,
        metavar="DIR",
        help="train one network along the schedule that the tuning in DIR found",
    )
    return parser


def _lines(result: dict[str, Any]) -> list[str]:
    """The result for a person."""
    if not result["finished"]:
        return [f"stopped at step {result['step']}; the same command resumes"]
    if "identical" in result:
        same = "the same weights, bit for bit" if result["identical"] else "OTHER weights"
        figures = result["figures"]
        return [f"NLL {figures['nll']:.4f}; {same} as the tuning's best", result["model"]]
    best, pieces = result["best"], result["schedule"]
    return [
        f"best: member {best['member']}, NLL {best['nll']:.4f}, perplexity "
        f"{best['perplexity']:.1f}; {result['copies']} copies, {result['diverged']} times "
        f"diverged, {result['collapsed']} times collapsed",
        *(f"from step {p['step']}: alpha {p['alpha']:.4g}, beta {p['beta']:.4g}" for p in pieces),
        f"lineage: {result['folder']}/lineage.png   model: {result['model']}",
    ]
