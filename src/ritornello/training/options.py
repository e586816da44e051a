"""What a user asks of a training run, before any network exists; torch-free.

Every system's `train` module offers `run_training(options: TrainOptions) -> dict` and takes its
whole instruction from here. What shapes the networks is the system's own config: a preset plus
`overrides`. The returned dict is the JSON result of `ritornello train`.
"""

from dataclasses import dataclass
from pathlib import Path

from ritornello.errors import ConfigError

PRESETS = ("nano", "small", "masked", "songs", "base", "paper", "release")


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """One call of `ritornello train SYSTEM`.

    Attributes:
        data: Folders of audio; each is a dataset.
        run: Folder of the run; the same folder again resumes it.
        preset: Name of the preset function in the system's `presets`; None means the run's own
            when it resumes, otherwise the system's default.
        stage: Train this stage alone; None means the whole chain.
        from_model: Shipped name or folder whose weights training starts from.
        from_codec: Shipped name or folder whose codec is taken over and kept as it is.
        unfreeze_codec: With `from_model`: train the codec too.
        time_limit_s: Time for all stages together, in seconds; fixes the plan at the first start.
        extend_s: More time for a run that has a plan, in seconds.
        plan_only: Measure and print the plan, train nothing.
        cache: Folder for latents and codes; None means `run / "cache"`.
        seed: Whole number >= 0; with the data and settings it determines the run. None means the
            run's own when it resumes, otherwise 0.
        overrides: Changes of the preset, each `section.key=value`.
        json: The caller wants machine-readable output: no live display on stdout.
    """

    data: tuple[Path, ...]
    run: Path
    preset: str | None = None
    stage: str | None = None
    from_model: str | None = None
    from_codec: str | None = None
    unfreeze_codec: bool = False
    time_limit_s: float | None = None
    extend_s: float | None = None
    plan_only: bool = False
    cache: Path | None = None
    seed: int | None = None
    overrides: tuple[str, ...] = ()
    json: bool = False

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.preset is not None and self.preset not in PRESETS:
            raise ConfigError(f"preset is {self.preset!r}; expected one of {', '.join(PRESETS)}")
        if self.from_model is not None and self.from_codec is not None:
            raise ConfigError(
                "--from and --from-codec were both given; --from already brings its codec along. "
                "Give one of them."
            )
        if self.unfreeze_codec and self.from_model is None:
            raise ConfigError("--unfreeze-codec needs --from MODEL: it says whose codec to train")
        for name, seconds in (("time limit", self.time_limit_s), ("extension", self.extend_s)):
            if seconds is not None and not 0 < seconds < float("inf"):
                raise ConfigError(f"{name} is {seconds} s; expected a positive length of time")
        if self.seed is not None and self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; expected a whole number >= 0")
