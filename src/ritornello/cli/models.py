"""`ritornello models`: what is in the box, and the card of each model."""

from pathlib import Path
from typing import Any

from ritornello.cli.console import VerbParser, emit, table


def run(argv: list[str]) -> int:
    """List the shipped models, or show one model's card."""
    parser = VerbParser(
        "models",
        "List the models that travel with ritornello, or show the card of one.",
        ["ritornello models", "ritornello models piano", "ritornello models --json"],
    )
    parser.add_argument("model", nargs="?", help="shipped name, model folder or run folder")
    options = parser.parse(argv)
    if options.model is not None:
        return _show(options.model, as_json=options.json)

    from ritornello.checkpoint import shipped_models

    described = [describe(name) for name in shipped_models()]
    header = ("model", "system", "rate", "channels", "MB")
    rows = [
        [model[key] for key in ("name", "system", "sample_rate", "channels")] for model in described
    ]
    for row, model in zip(rows, described, strict=True):
        row.append(f"{model['bytes'] / 1e6:.1f}")
    lines = table(rows, header) if rows else ["no models are shipped with this version"]
    for model in described:
        lines += ["", f"{model['name']}:", *figure_lines(model["metrics"])]
    emit({"models": described}, as_json=options.json, text=lines)
    return 0


def describe(name: str) -> dict[str, Any]:
    """What the model's files say of it: system, format, size, figures, weights hash."""
    from ritornello.checkpoint import read_config, read_metrics
    from ritornello.loading import find

    model = find(name)
    config = read_config(model.folder)
    return {
        "name": name,
        "system": model.system,
        "folder": str(model.folder),
        "sample_rate": sample_rate_of(config),
        "channels": config.get("channels", 1),  # a system that is always mono does not say so
        "bytes": folder_bytes(model.folder),
        "weights_sha256": model.weights_sha256,
        "metrics": read_metrics(model.folder),
    }


def sample_rate_of(config: dict[str, Any]) -> int:
    """Samples per second; some systems say it of their codec, whatever they call that."""
    said = (config, config.get("vqvae", {}), config.get("codec", {}))
    return next(part["sample_rate"] for part in said if "sample_rate" in part)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def figure_lines(metrics: dict[str, Any]) -> list[str]:
    """One line per figure, grouped by the part of the model it belongs to."""
    return [
        f"  {part} {name}: {value:.4g}" if isinstance(value, float) else f"  {part} {name}: {value}"
        for part, figures in metrics.items()
        for name, value in figures.items()
    ]


def _show(name: str, *, as_json: bool) -> int:
    from ritornello.loading import find

    described = describe(name)
    card = find(name).folder / "README.md"
    text = card.read_text(encoding="utf-8") if card.exists() else f"{name} has no card"
    emit({**described, "card": text}, as_json=as_json, text=[text])
    return 0
