"""What every part guarantees to the others: Audio, Request, Codec, System.

Arrays at the library's borders are `Audio` (numpy, with its sample rate); inside, waveforms are
float32 torch tensors `(batch, channels, time)` in [-1, 1]. The contracts here are abstract or
final: a system implements them, nobody overrides an implemented method.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from ritornello.errors import AudioError, ConfigError
from ritornello.shapes import Codes, Latents, Waveform

CAPABILITIES = frozenset(
    {"continue", "accompany", "labels", "lyrics", "controls", "form", "stream", "reconstruct"}
)

MAX_SECONDS = 1e9
"""Thirty years: what counts samples from here on stays exact."""


@dataclass(frozen=True, kw_only=True)
class Audio:
    """Samples with their rate, at the library's borders.

    Attributes:
        samples: float32 in [-1, 1], (channels, time).
        sample_rate: Samples per second per channel.
        meta: What is known of where it came from; written into the file's metadata by `save`.
    """

    samples: Float[np.ndarray, "channels time"]
    sample_rate: int
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what is not (channels, time) with a positive rate."""
        if self.samples.ndim != 2:
            raise AudioError(
                f"Audio.samples has shape {self.samples.shape}; expected (channels, time). "
                "For mono use samples[None, :]."
            )
        if self.sample_rate <= 0:
            raise AudioError(f"sample_rate is {self.sample_rate}; expected a positive integer")

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.samples.shape[0]

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples.shape[1] / self.sample_rate


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section of a form: a letter, and how long it lasts (None: the system's default)."""

    letter: str
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to generate, in the words that all systems share.

    Attributes:
        seconds: Length of the piece; None means the system's default, or the form's length.
        seed: Whole number >= 0; the same seed gives the same music.
        temperature: Spread of the draws; 1 is the spread seen in training.
        top_p: Nucleus of the categorical draws, for systems that sample codes.
        prompt: Audio to continue.
        mix: Audio to accompany, with `stem` naming the instrument wanted.
        stem: Name of the stem to add to `mix`.
        labels: Conditions by name, e.g. composer.
        lyrics: Text to sing.
        controls: Curves over time by name: pairs (seconds, value), linearly interpolated and held
            at both ends; a constant is one pair.
        form: Sections in order; a letter that returns brings its music back.
        guidance: Strength of classifier-free guidance, for systems that have it.
    """

    seconds: float | None = None
    seed: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    prompt: Audio | None = None
    mix: Audio | None = None
    stem: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    lyrics: str | None = None
    controls: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    form: tuple[Section, ...] = ()
    guidance: float | None = None

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        if self.seconds is not None and not 0 < self.seconds <= MAX_SECONDS:
            raise ConfigError(
                f"seconds is {self.seconds}; expected a positive number, at most {MAX_SECONDS:g}"
            )
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; expected a whole number >= 0")
        if not 0 < self.temperature <= 4:
            raise ConfigError(f"temperature is {self.temperature}; expected 0 < temperature <= 4")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p is {self.top_p}; expected 0 < top_p <= 1")

    def needs(self) -> frozenset[str]:
        """The capabilities a system must have to answer this request."""
        asked = {
            "continue": self.prompt is not None,
            "accompany": self.mix is not None or self.stem is not None,
            "labels": bool(self.labels),
            "lyrics": self.lyrics is not None,
            "controls": bool(self.controls),
            "form": bool(self.form),
        }
        return frozenset(name for name, is_asked in asked.items() if is_asked)


class Codec(ABC):
    """Compresses waveforms to a slower sequence and back, exact length in, exact length out."""

    sample_rate: int
    channels: int
    hop_samples: int
    context_frames: int

    @property
    def frame_rate_hz(self) -> float:
        """Frames of the compressed sequence per second."""
        return self.sample_rate / self.hop_samples

    def frames_for(self, time: int) -> int:
        """Frames that cover `time` samples."""
        return -(-time // self.hop_samples)

    def check_wave(self, wave: Waveform) -> None:
        """Refuse what cannot be encoded: other channels than the codec's, or no samples."""
        _, channels, time = wave.shape
        if channels != self.channels or not time:
            raise AudioError(
                f"the codec got {channels} channel(s) of {time} samples; expected {self.channels} "
                "of at least 1 sample. Mix or copy channels first."
            )

    def checked_length(self, frames: int, length: int | None) -> int:
        """Samples to decode from `frames` frames: all for None; refuses more than there are."""
        whole = frames * self.hop_samples
        length = whole if length is None else length
        if not 0 < length <= whole:
            raise AudioError(f"{frames} frames hold 1 .. {whole} samples; got {length} to decode")
        return length


class LatentCodec(Codec):
    """A codec whose compressed sequence is continuous.

    Chunked decoding with `context_frames` of context on both sides equals whole decoding.
    """

    latent_dim: int

    @abstractmethod
    def encode(self, wave: Waveform) -> Latents:
        """Latents (batch, latent_dim, frames_for(time)) of waveforms (batch, channels, time)."""

    @abstractmethod
    def decode(self, latents: Latents, length: int | None = None) -> Waveform:
        """Waveforms of exactly `length` samples (default: all frames) from latents."""


class TokenCodec(Codec):
    """A codec whose compressed sequence is `codebooks` parallel codes in 0 .. codebook_size-1."""

    codebooks: int
    codebook_size: int

    def check_codes(self, codes: Codes, length: int | None) -> int:
        """Samples to decode from `codes`; refuses codes that the codec does not have."""
        _, codebooks, frames = codes.shape
        if codebooks != self.codebooks:
            raise AudioError(f"got codes of {codebooks} codebook(s); expected {self.codebooks}")
        length = self.checked_length(frames, length)
        least, most = int(codes.min()), int(codes.max())
        if least < 0 or most >= self.codebook_size:
            raise AudioError(f"got codes {least} .. {most}; expected 0 .. {self.codebook_size - 1}")
        return length

    @abstractmethod
    def encode(self, wave: Waveform) -> Codes:
        """Codes (batch, codebooks, frames_for(time)) of waveforms (batch, channels, time)."""

    @abstractmethod
    def decode(self, codes: Codes, length: int | None = None) -> Waveform:
        """Waveforms of exactly `length` samples (default: all frames) from codes."""


class System(ABC):
    """A trained stack of stages that makes music; one class per paper."""

    name: ClassVar[str]
    capabilities: ClassVar[frozenset[str]]
    sample_rate: int
    channels: int

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> "System":
        """The system saved in `folder`; raises CheckpointError for anything that does not fit."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the checkpoint folder, whole or not at all."""

    @abstractmethod
    def generate(self, request: Request, options: Any = None) -> Audio:
        """A finished piece; `options` is the system's own frozen Options."""

    @abstractmethod
    def stream(self, request: Request, options: Any = None) -> Iterator[Audio]:
        """The same piece block by block in constant memory; endless when seconds is None."""

    @abstractmethod
    def reconstruct(self, audio: Audio) -> Audio:
        """`audio` through the codec and back: same length, rate and channels of the codec."""


class Stage(ABC):
    """One link of a system's chain as training sees it: it compresses or models what is below it.

    The loop in `training/loop.py` owns time, optimisers, saving and showing; a stage says what is
    trained on what. Everything random comes from the generator passed in, so that a batch is a pure
    function of (seed, stage, step, rank) and resuming needs no data position.

    Attributes:
        name: Folder name of the stage inside a run, e.g. "level1".
        share: Part of the time limit it gets, relative to the other stages' shares.
        steps: How many steps it trains for when there is no time limit.
        precisions: What it may be computed in; the probe keeps the fastest of them.
        accumulate: Parts that `state.parts(batch)` splits a batch into, to save memory.
    """

    name: str
    share: float
    steps: int
    precisions: tuple[str, ...] = ("fp32", "bf16")
    accumulate: int = 1

    @abstractmethod
    def prepare(self) -> None:
        """Fill the caches this stage trains from; done work is found again, never repeated."""

    @abstractmethod
    def build(self, init: torch.Generator) -> dict[str, nn.Module]:
        """The modules this stage trains, by name, initialised from `init`."""

    @abstractmethod
    def optimizers(self) -> Mapping[str, Any]:
        """Optimisers by name (training.optim.OptimConfig), each naming the modules it trains."""

    @abstractmethod
    def batch(self, draw: torch.Generator) -> Any:
        """One batch (tensors, or tuples, dicts or dataclasses of them), drawn with `draw` alone."""

    @abstractmethod
    def example(self, draw: torch.Generator) -> Any:
        """A batch of the same shapes made of noise, to measure speed before there are caches."""

    @abstractmethod
    def train_step(self, state: Any, batch: Any, draw: torch.Generator) -> dict[str, torch.Tensor]:
        """Update `state` (training.state.TrainState) on `batch`; named losses, detached."""

    @abstractmethod
    def evaluate(self, state: Any) -> dict[str, float]:
        """Named figures on held-out recordings, with the averaged weights where there are any."""

    @abstractmethod
    def samples(self, state: Any) -> dict[str, Audio]:
        """Named audio to listen to while training, e.g. real beside reconstructed."""

    @abstractmethod
    def export(self, state: Any, folder: Path) -> None:
        """Write this stage's component(s) into `folder`, which holds what earlier stages wrote."""
