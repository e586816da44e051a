"""How far back one must look to predict the next sample, or the next code (ADA, Figure 2).

A small causal model sees the last r steps of a sequence and nothing else; its negative
log-likelihood on held-out recordings, as a function of r, is the sequence's predictability profile.
Audio drops fast and levels off: what a sample depends on lies close before it. Codes of a codec
are harder to predict at every r, since the codec took out what was easy, and reach further back.

Conventions
    codes     int (codebooks, frames) in 0 .. classes-1, one array per clip; audio is mu-law of
              8 bits at 16 kHz, one codebook; of several codebooks the first is profiled
    length    r, the steps that the model sees; 0 is the unigram of the training codes

Model
    embedding of each code, causal convolution of length r, ReLU, linear, ReLU, linear, softmax.
    Deviation: widths, grid and training are not published. Here the convolution over one-hot codes
    goes through a small embedding, so that a long r does not cost 256 weights per step and unit.

The profile says what this model, trained this long, can use. It is an upper bound of the true
uncertainty: a curve that rises again at large r has run out of training or of data, not of music.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from ritornello.audio.mulaw import mulaw_encode
from ritornello.errors import DataError
from ritornello.evaluation import likelihood
from ritornello.evaluation.clips import Clip, ClipSet
from ritornello.evaluation.intervals import Estimate
from ritornello.interfaces import TokenCodec

LENGTHS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)
AUDIO_RATE_HZ, AUDIO_CLASSES = 16000, 256
EMBEDDING_DIM, WIDTH = 8, 256
LEARNING_RATE = 1e-2
SCORED_PER_CLIP = 4000
HELD_OUT_EVERY = 3

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sequences:
    """What is to be predicted.

    Attributes:
        name: What the sequence is, e.g. "audio".
        classes: Size of the alphabet.
        rate_hz: Steps per second.
        training: Codes to learn from, one array per clip.
        held_out: Codes to be judged on, from other recordings.
    """

    name: str
    classes: int
    rate_hz: float
    training: tuple[likelihood.Codes, ...]
    held_out: tuple[likelihood.Codes, ...]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the curve is measured.

    Attributes:
        lengths: Values of r.
        steps: Training steps of each point.
        batch: Predictions per step.
        budget_s: Seconds of each point at most; None for no limit. The same seed gives the same
            curve as long as the limit is not reached: `Profile.steps` tells.
        seed: Draws weights, batches and scored places.
    """

    lengths: tuple[int, ...] = LENGTHS
    steps: int = 900
    batch: int = 1024
    budget_s: float | None = 30.0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One curve.

    Attributes:
        name: What the sequence is, e.g. "audio".
        classes: Size of its alphabet; uniform guessing costs ln(classes).
        rate_hz: Steps per second.
        lengths: The r of each point.
        nats: Held-out negative log-likelihood per step at each r, interval over clips.
        steps: Training steps that each point had; fewer than asked where time ran out.
    """

    name: str
    classes: int
    rate_hz: float
    lengths: tuple[int, ...]
    nats: tuple[Estimate, ...]
    steps: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """The curve as plain JSON values."""
        return asdict(self) | {"nats": [nats.to_dict() for nats in self.nats]}


def mu_law_codes(samples: Float[np.ndarray, " time"]) -> Int[np.ndarray, "1 time"]:
    """8-bit mu-law codes of samples (`audio.mulaw`), as one codebook."""
    return mulaw_encode(torch.from_numpy(samples), AUDIO_CLASSES).numpy()[None]


class Window(nn.Module):
    """Logits of the next code from the last `length` ones."""

    nearness: Tensor

    def __init__(self, classes: int, length: int, init: torch.Generator) -> None:
        """Draw the weights from `init`."""
        super().__init__()
        self.embedding = nn.Parameter(torch.empty(classes, EMBEDDING_DIM))
        # Far steps are faint: a long window starts out, and learns, as a short one.
        nearness = 1 / torch.arange(length, 0, -1)
        nearness /= nearness.square().mean().sqrt()
        self.register_buffer("nearness", nearness[:, None])
        self.convolution = nn.Linear(length * EMBEDDING_DIM, WIDTH)
        self.hidden = nn.Linear(WIDTH, WIDTH)
        self.logits = nn.Linear(WIDTH, classes)
        with torch.no_grad():
            self.embedding.normal_(generator=init)
            # Neighbouring numbers of mu-law are neighbouring sounds; codes may ignore the hint.
            self.embedding[:, 0] = torch.linspace(-2, 2, classes)
            for layer in (self.convolution, self.hidden, self.logits):
                layer.weight.normal_(std=(2 / layer.in_features) ** 0.5, generator=init)
                layer.bias.zero_()
            self.logits.weight.mul_(0.1)  # the start is close to knowing nothing

    def forward(self, context: Int[Tensor, "batch length"]) -> Float[Tensor, "batch classes"]:
        """Logits after each context, oldest code first."""
        seen = (self.embedding[context] * self.nearness).flatten(1)
        return self.logits(self.hidden(self.convolution(seen).relu()).relu())


def validate(sequences: Sequences) -> None:
    """Refuse sequences without anything to predict.

    Raises:
        DataError: As `likelihood.validate`, or no more than one step in every clip.
    """
    for part in (sequences.training, sequences.held_out):
        likelihood.validate(part, sequences.classes)
        longest = max(codes.shape[-1] for codes in part)
        if longest < 2:
            raise DataError(f"the longest clip has {longest} steps; expected at least 2")


def profile(
    sequences: Sequences,
    settings: Settings | None = None,
    *,
    progress: Progress | None = None,
) -> Profile:
    """The predictability profile of code sequences.

    Args:
        sequences: What is to be predicted.
        settings: How it is measured.
        progress: Called as progress(done, total, what).

    Raises:
        DataError: As `validate`.
    """
    settings = settings or Settings()
    validate(sequences)
    nats, counts = [], []
    for done, length in enumerate(settings.lengths):
        if progress is not None:
            progress(done, len(settings.lengths), f"{sequences.name}, r = {length}")
        draw = np.random.default_rng([settings.seed, length])
        surprises, taken = _point(sequences, settings, length, draw)
        nats.append(likelihood.nats_per_frame(surprises, draw))
        counts.append(taken)
    if progress is not None:
        progress(len(settings.lengths), len(settings.lengths), sequences.name)
    return Profile(
        name=sequences.name,
        classes=sequences.classes,
        rate_hz=sequences.rate_hz,
        lengths=settings.lengths,
        nats=tuple(nats),
        steps=tuple(counts),
    )


def _point(
    sequences: Sequences, settings: Settings, length: int, draw: np.random.Generator
) -> tuple[list[likelihood.Surprise], int]:
    """Surprise at the scored steps of each held-out clip, and the training steps behind it."""
    # The places do not depend on the length: points of a curve are judged on the same steps.
    where = np.random.default_rng(settings.seed)
    books = [codes[0] for codes in sequences.held_out if codes.shape[-1] > 1]
    places = [_scored_places(len(book), where) for book in books]
    if length == 0:
        first = [codes[:1] for codes in sequences.training]
        frequencies = likelihood.unigram(first, sequences.classes)
        return [-frequencies[:, book[at]] for book, at in zip(books, places, strict=True)], 0
    model, taken = _trained(sequences, settings, length, draw)
    return [
        _surprise(model, book, at, length) for book, at in zip(books, places, strict=True)
    ], taken


def _scored_places(frames: int, draw: np.random.Generator) -> Int[np.ndarray, " places"]:
    """Steps of one held-out clip that are predicted; the same for every length."""
    return np.sort(draw.permutation(np.arange(1, frames))[:SCORED_PER_CLIP])


def _contexts(
    codes: Int[np.ndarray, " frames"], places: Int[np.ndarray, " places"], length: int
) -> Int[np.ndarray, "places length"]:
    """The `length` codes before each place; the first code stands for what was before the clip."""
    at = places[:, None] + np.arange(-length, 0)
    return codes[np.maximum(at, 0)]


def _trained(
    sequences: Sequences, settings: Settings, length: int, draw: np.random.Generator
) -> tuple[Window, int]:
    """A model of the last `length` steps, and how many training steps it had."""
    init = torch.Generator().manual_seed(int(draw.integers(2**31)))
    model = Window(sequences.classes, length, init)
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=1e-4)
    books = [codes[0] for codes in sequences.training if codes.shape[-1] > 1]
    weights = np.array([len(book) for book in books], dtype=np.float64)
    begin = time.monotonic()
    for step in range(settings.steps):
        used = step / settings.steps
        if settings.budget_s is not None:
            used = max(used, (time.monotonic() - begin) / settings.budget_s)
        if used >= 1:
            return model, step
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * used))
        context, coming = _batch(books, weights / weights.sum(), settings.batch, length, draw)
        loss = functional.cross_entropy(model(context), coming)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model, settings.steps


def _batch(
    books: list[np.ndarray],
    shares: np.ndarray,
    batch: int,
    length: int,
    draw: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Contexts and the codes that came after them, drawn evenly over all steps of all clips."""
    counts = draw.multinomial(batch, shares)
    contexts, coming = [], []
    for book, count in zip(books, counts, strict=True):
        places = draw.integers(1, len(book), count)
        contexts.append(_contexts(book, places, length))
        coming.append(book[places])
    return torch.from_numpy(np.concatenate(contexts)), torch.from_numpy(np.concatenate(coming))


@torch.inference_mode()
def _surprise(
    model: Window,
    codes: Int[np.ndarray, " frames"],
    places: Int[np.ndarray, " places"],
    length: int,
) -> Float[np.ndarray, "1 places"]:
    logits = model(torch.from_numpy(_contexts(codes, places, length)))
    log_probabilities = functional.log_softmax(logits.double(), dim=-1).numpy()
    return likelihood.surprise(log_probabilities[None], codes[None, places])


def of_audio(
    clips: ClipSet, settings: Settings | None = None, *, progress: Progress | None = None
) -> Profile:
    """The profile of the clips' audio, mu-law of 8 bits at 16 kHz mono, as in the paper.

    Args:
        clips: Clips of several recordings; a third of the recordings is held out.
        settings: How the curve is measured.
        progress: Called as progress(done, total, what).

    Raises:
        DataError: Fewer than two recordings.
    """
    codes = [
        mu_law_codes(clip.read(sample_rate=AUDIO_RATE_HZ, channels=1).samples[0]) for clip in clips
    ]
    training, held_out = split(clips.recordings, codes)
    sequences = Sequences(
        name="audio",
        classes=AUDIO_CLASSES,
        rate_hz=float(AUDIO_RATE_HZ),
        training=training,
        held_out=held_out,
    )
    return profile(sequences, settings, progress=progress)


def of_codes(
    clips: ClipSet,
    codec: TokenCodec,
    settings: Settings | None = None,
    *,
    progress: Progress | None = None,
) -> Profile:
    """The profile of a codec's codes of the clips; of several codebooks, the first.

    Raises:
        DataError: Fewer than two recordings.
    """
    training, held_out = split(clips.recordings, [codes_of(codec, clip) for clip in clips])
    sequences = Sequences(
        name="codes",
        classes=codec.codebook_size,
        rate_hz=codec.frame_rate_hz,
        training=training,
        held_out=held_out,
    )
    return profile(sequences, settings, progress=progress)


@torch.no_grad()
def codes_of(codec: TokenCodec, clip: Clip) -> likelihood.Codes:
    """The codec's codes of one clip, (codebooks, frames)."""
    audio = clip.read(sample_rate=codec.sample_rate, channels=codec.channels)
    return codec.encode(torch.from_numpy(audio.samples)[None])[0].numpy()


def split(
    recordings: Sequence[str], codes: Sequence[likelihood.Codes]
) -> tuple[tuple[likelihood.Codes, ...], tuple[likelihood.Codes, ...]]:
    """Training and held-out clips; all clips of a recording are on one side.

    Args:
        recordings: The recording of each clip.
        codes: Its codes.

    Raises:
        DataError: Fewer than two recordings.
    """
    names = sorted(set(recordings))
    if len(names) < 2:
        raise DataError(
            f"got clips of {len(names)} recording(s); expected at least 2: one to learn from, "
            "one to be judged on"
        )
    held_out = set(names[::HELD_OUT_EVERY])
    pairs = list(zip(recordings, codes, strict=True))
    return (
        tuple(array for name, array in pairs if name not in held_out),
        tuple(array for name, array in pairs if name in held_out),
    )


def save_picture(
    profiles: Sequence[Profile], path: Path, marks: Mapping[str, float] | None = None
) -> Path:
    """Write a PNG of the profiles, one panel each as in the paper's figure, and return it.

    Args:
        profiles: The curves.
        path: PNG file to write.
        marks: The r of a vertical line, by name of the profile it is drawn into.

    Raises:
        DataError: No profiles.
    """
    if not profiles:
        raise DataError("got no profiles to draw; expected at least one")
    from ritornello.evaluation.pictures import ACCENT, INK, finish, new_figure

    figure = new_figure(width_in=1.0 + 4.5 * len(profiles), height_in=3.6)
    panels = list(figure.subplots(1, len(profiles), squeeze=False)[0])
    for panel, curve in zip(panels, profiles, strict=True):
        at = np.arange(len(curve.lengths))
        panel.fill_between(
            at, [n.low for n in curve.nats], [n.high for n in curve.nats], color=ACCENT, alpha=0.3
        )
        panel.plot(at, [n.value for n in curve.nats], color=ACCENT, marker="o", markersize=3)
        panel.axhline(np.log(curve.classes), color=INK, linewidth=0.6, linestyle=":")
        if marks and curve.name in marks:
            # Ticks stand at equal distances: between them, r grows as it does from tick to tick.
            seen, mark = np.log2(1 + np.array(curve.lengths)), np.log2(1 + marks[curve.name])
            panel.axvline(
                float(np.interp(mark, seen, at)), color=INK, linewidth=0.8, linestyle="--"
            )
        panel.set_xticks(at, [str(length) for length in curve.lengths])
        panel.set_xlabel("r, steps seen")
        panel.set_ylabel("nats per step")
        panel.set_title(f"{curve.name}, {curve.rate_hz:g} Hz", color=INK, fontsize=11)
        panel.text(0, np.log(curve.classes), " knowing nothing", color=INK, fontsize=7, va="bottom")
    return finish(figure, panels, None, None, path)
