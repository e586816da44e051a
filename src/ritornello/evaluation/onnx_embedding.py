"""A user's own embedding from an ONNX file: CLAP, VGGish, MERT, or whatever listens.

None of these can travel with this package, and none is fetched. Who has the weights exports them
once, where their own library runs, and passes the file (`load_embedding("clap.onnx")`). Beside
`clap.onnx` lies `clap.json`:

    {"name": "clap", "sample_rate": 48000, "window_s": 10.0, "hop_s": 10.0,
     "input": "waveform", "channels": 1}

    name          what reports call it
    sample_rate   rate that the network expects, in Hz; any audio is brought to it
    window_s      seconds that the network hears at once
    hop_s         seconds from one window to the next
    input         "waveform": samples in [-1, 1]. Other inputs (a network's own spectrogram) have to
                  be part of the exported graph
    channels      1 (mono mix) or 2

The network has one input of float32, (batch, time), or (batch, channels, time) which stereo needs,
with any batch or a batch of 1, and a first output (batch, dim), or (batch, steps, dim), which is
averaged over steps. Exported from torch, for CLAP, VGGish and MERT alike:

    class Listener(torch.nn.Module):           # from waveform to embedding
        def forward(self, wave):               # (batch, time)
            return model(wave)                 # .last_hidden_state for MERT; VGGish and CLAP need
                                               # their mel spectrogram inside (as torch operations)
    example = (torch.zeros(1, 480000),)
    torch.onnx.export(Listener().eval(), example, "clap.onnx", external_data=False)

(The export needs the packages onnx and onnxscript.) Weights that lie beside the network, in
`clap.onnx.data`, are found there. Running it needs onnxruntime (the extra `eval`).
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ritornello.audio.resample import resample
from ritornello.checkpoint import read_json
from ritornello.config import from_dict
from ritornello.errors import AudioError, CheckpointError, ConfigError, MissingDependencyError
from ritornello.evaluation.codec_embedding import probe
from ritornello.evaluation.spectra import validate

LONGEST_WINDOW_S = 600.0

Wave = Float[np.ndarray, "channels _time"]
Patches = Float[np.ndarray, "patches dim"]


@dataclass(frozen=True, kw_only=True)
class OnnxSettings:
    """What the side-car JSON says; see the module's docstring."""

    name: str
    sample_rate: int
    window_s: float
    hop_s: float
    input: str = "waveform"
    channels: int = 1

    def __post_init__(self) -> None:
        """Refuse what the network cannot be fed with."""
        if self.input != "waveform":
            raise ConfigError(
                f"input is {self.input!r}; expected 'waveform'. Export the network with its "
                "spectrogram inside."
            )
        if self.channels not in (1, 2):
            raise ConfigError(f"channels is {self.channels}; expected 1 or 2")
        if self.sample_rate < 1:
            raise ConfigError(f"sample_rate is {self.sample_rate}; expected a positive number")
        for name, value in (("window_s", self.window_s), ("hop_s", self.hop_s)):
            if not 1 / self.sample_rate <= value <= LONGEST_WINDOW_S:
                raise ConfigError(
                    f"{name} is {value}; expected at least one sample, and at most "
                    f"{LONGEST_WINDOW_S:g} s"
                )

    @property
    def window_samples(self) -> int:
        """Samples that the network hears at once."""
        return round(self.window_s * self.sample_rate)

    @property
    def hop_samples(self) -> int:
        """Samples from one window to the next."""
        return round(self.hop_s * self.sample_rate)


class OnnxEmbedding:
    """A network from an ONNX file over windows of a wave (an `Embedding`).

    Attributes:
        name: From the side-car.
        key: Hash of the file and of the side-car's settings; names caches.
        sample_rate: Rate that everything is brought to, in Hz.
        dim: Numbers per window.
        patch_s: Length of a window in seconds.
    """

    def __init__(self, file: Path, settings: OnnxSettings) -> None:
        self.file, self.settings = file, settings
        self.name, self.sample_rate = settings.name, settings.sample_rate
        self.patch_s = settings.window_samples / settings.sample_rate
        self.key = _key(file, settings)
        self._session = _session(file)
        self._input = self._session.get_inputs()[0]
        if len(self._session.get_inputs()) != 1 or len(self._input.shape) not in (2, 3):
            shapes = [(entry.name, entry.shape) for entry in self._session.get_inputs()]
            raise CheckpointError(
                f"{file} has the inputs {shapes}; expected one of shape (batch, time) or "
                "(batch, channels, time)"
            )
        if len(self._input.shape) == 2 and settings.channels != 1:
            raise CheckpointError(
                f"{file} reads (batch, time), which is mono; its side-car says "
                f"{settings.channels} channels, expected 1"
            )
        # One window of a known sound shows the size of the answer, and any mistake, at once.
        tone = np.resize(probe(settings.sample_rate), (settings.channels, settings.window_samples))
        self.dim = self._run(tone[None]).shape[1]

    def embed(self, wave: Wave, sample_rate: int) -> Patches:
        """Embeddings (patches, dim) of a wave, float32; what fills no window at the end is left.

        Raises:
            AudioError: Empty, not finite, or shorter than a window.
            CheckpointError: The network fails, or answers with NaN or with another shape.
        """
        validate(wave)
        if wave.shape[0] != self.settings.channels:
            mono = wave.mean(axis=0, keepdims=True)
            wave = np.repeat(mono, self.settings.channels, axis=0)
        samples = resample(wave, sample_rate, self.sample_rate)
        window = self.settings.window_samples
        if samples.shape[1] < window:
            raise AudioError(
                f"the clip lasts {samples.shape[1] / self.sample_rate:.3g} s; {self.name} hears "
                f"windows of {self.patch_s:g} s: expected at least that"
            )
        starts = range(0, samples.shape[1] - window + 1, self.settings.hop_samples)
        # One by one: a graph may be exported for a batch of 1, and memory stays that of a window.
        parts = [self._run(samples[None, :, start : start + window]) for start in starts]
        return np.concatenate(parts)

    def _run(self, windows: Float[np.ndarray, "batch channels time"]) -> Patches:
        """The network's answer to some windows, checked."""
        fed = windows if len(self._input.shape) == 3 else windows[:, 0]
        try:
            answers = self._session.run(None, {self._input.name: np.ascontiguousarray(fed)})[0]
        except Exception as error:  # onnxruntime's errors share no class that it exports
            raise CheckpointError(
                f"{self.file} fails on an input of shape {fed.shape}: {error}. Do window_s, "
                "sample_rate and channels of the side-car fit the network?"
            ) from error
        answers = np.asarray(answers)
        if answers.ndim == 3:
            answers = answers.mean(axis=1)
        if answers.ndim != 2 or len(answers) != len(windows) or not answers.size:
            raise CheckpointError(
                f"{self.file} answers with shape {answers.shape} to {len(windows)} windows; "
                "expected (batch, dim) or (batch, steps, dim) as its first output"
            )
        if not np.isfinite(answers).all():
            raise CheckpointError(
                f"{self.file} answers with NaN or infinity; a logarithm of silence is the usual "
                "cause. Export it with a floor."
            )
        return answers.astype(np.float32)


def load_onnx_embedding(file: Path) -> OnnxEmbedding:
    """The embedding in an ONNX file and in the JSON of the same name beside it.

    Raises:
        CheckpointError: A file is missing or does not fit.
        ConfigError: The side-car has another setting than it should.
        MissingDependencyError: No onnxruntime.
    """
    if not file.is_file():
        raise CheckpointError(f"{file} is missing; expected an ONNX file")
    side_car = file.with_suffix(".json")
    try:
        return OnnxEmbedding(file, from_dict(OnnxSettings, read_json(side_car)))
    except ConfigError as error:
        raise ConfigError(f"{side_car}: {error}") from error


def _key(file: Path, settings: OnnxSettings) -> str:
    """A hash of the settings, the network, and the weights beside it if that is where they are."""
    digest = hashlib.sha256(repr(settings).encode())
    for part in (file, file.with_name(file.name + ".data")):
        if part.is_file():
            with part.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def _session(file: Path) -> Any:
    """An onnxruntime session on the CPU with as many threads as torch uses."""
    try:
        import onnxruntime
    except ImportError:
        raise MissingDependencyError(
            "an embedding from an ONNX file", "onnxruntime", 'pip install "ritornello[eval]"'
        ) from None
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no class that it exports
        raise CheckpointError(f"{file} is not a network onnxruntime can run: {error}") from error
