"""The musicnn tagger as an embedding: 200 numbers for every three seconds of music.

Pons & Serra, "musicnn: pre-trained convolutional neural networks for music audio tagging" (2019).
The values are those that the authors published, trained to predict 50 tags of the Million Song
Dataset; they travel with this package under their licence (see `weights/musicnn-msd`).

    wave -> mono 16 kHz -> log mel (96 bands, 62.5 frames a second) -> patches of 187 frames
         -> front-end   2 x 204 filters of timbre, 3 x 51 of rhythm, each at its loudest band
         -> mid-end     three layers over time, the later two added to what they read
         -> back-end    maximum and mean over the patch -> 200 -> 50 tags

The embedding is the layer of 200 before the tags, after its batch norm. Distances between
embeddings hear instruments, genre and recording, not whether the music is good.

Conventions
    wave       float (channels, time) at any rate, at least `patch_s` long
    patches    one embedding for every `hop_s`, the first from the start; what is left over at the
               end and is shorter than a patch is not heard

Deviation: the published package rounds the mel powers to half precision, which overflows in loud
music; here they are float32.
"""

import hashlib
import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ritornello.audio.resample import resample
from ritornello.audio.stft import hann_window, mel_filterbank
from ritornello.checkpoint import load_into, read_json, read_tensors
from ritornello.errors import AudioError, ConfigError
from ritornello.evaluation.spectra import validate
from ritornello.shapes import Latents

WEIGHTS = Path(__file__).parent / "weights" / "musicnn-msd"
SAMPLE_RATE, N_FFT, HOP_SAMPLES, MELS = 16000, 512, 256, 96
PATCH_FRAMES = 187
PATCH_S = PATCH_FRAMES * HOP_SAMPLES / SAMPLE_RATE
DIM, TAGS = 200, 50
TIMBRE_FILTERS, TIMBRE_FRAMES, TIMBRE_BANDS = 204, 7, (38, 67)
RHYTHM_FILTERS, RHYTHM_FRAMES = 51, (128, 64, 32)
MIDDLE_FILTERS, MIDDLE_FRAMES = 64, 7
BATCH_NORM_EPS = 1e-3
BLOCK_PATCHES = 64
"""Patches whose spectra are made at a time; an hour's at once would not fit in memory."""

Wave = Float[np.ndarray, "channels _time"]
Patches = Float[np.ndarray, "patches dim"]


# ---- the network -----------------------------------------------------------------------------


class LoudestBand(nn.Module):
    """Filters over (time, mels), and of each filter at each time its largest answer on any band."""

    def __init__(self, filters: int, frames: int, bands: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, filters, (frames, bands))
        self.norm = nn.BatchNorm2d(filters, eps=BATCH_NORM_EPS)
        # As many frames out as in; an even filter reaches one further to the right.
        self.padding = (0, 0, (frames - 1) // 2, frames // 2)

    def forward(
        self, mel: Float[Tensor, "batch 1 frames mels"]
    ) -> Float[Tensor, "batch dim frames"]:
        """Answers (batch, filters, frames)."""
        answers = self.conv(functional.pad(mel, self.padding)).relu()
        return self.norm(answers).amax(dim=-1)


class OverTime(nn.Module):
    """Filters over time that read all of what the layer below says."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(dim, MIDDLE_FILTERS, MIDDLE_FRAMES, padding=MIDDLE_FRAMES // 2)
        self.norm = nn.BatchNorm1d(MIDDLE_FILTERS, eps=BATCH_NORM_EPS)

    def forward(self, x: Float[Tensor, "batch _dim frames"]) -> Latents:
        """Answers (batch, filters, frames)."""
        return self.norm(self.conv(x).relu())


class MusicnnNetwork(nn.Module):
    """The published network, from log-mel patches to the 200 and to the tags."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1, eps=BATCH_NORM_EPS)
        timbre = [LoudestBand(TIMBRE_FILTERS, TIMBRE_FRAMES, bands) for bands in TIMBRE_BANDS]
        rhythm = [LoudestBand(RHYTHM_FILTERS, frames, 1) for frames in RHYTHM_FRAMES]
        self.front = nn.ModuleList([*timbre, *rhythm])
        front_dim = len(timbre) * TIMBRE_FILTERS + len(rhythm) * RHYTHM_FILTERS
        dims = (front_dim, MIDDLE_FILTERS, MIDDLE_FILTERS)
        self.middle = nn.ModuleList([OverTime(dim) for dim in dims])
        pooled_dim = 2 * (front_dim + len(dims) * MIDDLE_FILTERS)
        self.pooled_norm = nn.BatchNorm1d(pooled_dim, eps=BATCH_NORM_EPS)
        self.dense = nn.Linear(pooled_dim, DIM)
        self.dense_norm = nn.BatchNorm1d(DIM, eps=BATCH_NORM_EPS)
        self.to_tags = nn.Linear(DIM, TAGS)

    def forward(self, mel: Float[Tensor, "batch frames mels"]) -> Float[Tensor, "batch dim"]:
        """The embedding of each patch of log-mel values."""
        normed = self.norm(mel[:, None])
        front = torch.cat([filters(normed) for filters in self.front], dim=1)
        first = self.middle[0](front)
        second = first + self.middle[1](first)
        third = second + self.middle[2](second)
        heard = torch.cat([front, first, second, third], dim=1)
        # The maximum and the mean of one feature stand side by side, as they were trained.
        pooled = torch.stack([heard.amax(dim=-1), heard.mean(dim=-1)], dim=-1).flatten(1)
        return self.dense_norm(self.dense(self.pooled_norm(pooled)).relu())

    def tags(self, embedding: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch tags"]:
        """The probability of each tag, each by itself, in [0, 1]."""
        return self.to_tags(embedding).sigmoid()


# ---- from audio to patches -------------------------------------------------------------------


def log_mel(mono: Float[Tensor, " time"]) -> Float[Tensor, "frames mels"]:
    """`log10(1 + 10000 mel power)` of whole frames, nothing added at the ends."""
    frames = mono.unfold(-1, N_FFT, HOP_SAMPLES) * hann_window(N_FFT, mono)
    spectrum = torch.fft.rfft(frames)
    power = spectrum.real.square() + spectrum.imag.square()
    return torch.log10(1 + 10000 * (power @ mel_filterbank(SAMPLE_RATE, N_FFT, MELS).T))


def mono_signal(wave: Wave, sample_rate: int) -> Float[Tensor, " time"]:
    """The mean of the channels at 16 kHz, mirrored at both ends so that frames are centred.

    Raises:
        AudioError: Empty, not finite, or shorter than a patch.
    """
    validate(wave)
    mono = wave.mean(axis=0, keepdims=True, dtype=np.float32)
    signal = torch.from_numpy(resample(mono, sample_rate, SAMPLE_RATE))
    shortest = (PATCH_FRAMES - 1) * HOP_SAMPLES
    if signal.shape[-1] < shortest:
        raise AudioError(
            f"the clip lasts {wave.shape[-1] / sample_rate:.3g} s; musicnn hears patches of "
            f"{shortest / SAMPLE_RATE:g} s: expected at least that"
        )
    return functional.pad(signal, (N_FFT // 2, N_FFT // 2), mode="reflect")[0]


class Musicnn:
    """The 200 numbers before the tags, for every patch of a wave (an `Embedding`).

    Attributes:
        name: "musicnn".
        key: Hash of weights and settings; names caches.
        sample_rate: Rate that everything is brought to, in Hz.
        dim: Numbers per patch.
        patch_s: Length of a patch in seconds.
        hop_s: Time from one patch to the next, to whole frames.
        tag_names: What the 50 tags mean.
    """

    name = "musicnn"
    sample_rate = SAMPLE_RATE
    dim = DIM
    patch_s = PATCH_S

    def __init__(
        self, network: MusicnnNetwork, tag_names: list[str], key: str, hop_s: float
    ) -> None:
        self.network = network
        self.tag_names = tag_names
        self.hop_frames = round(hop_s * SAMPLE_RATE / HOP_SAMPLES)
        if self.hop_frames < 1:
            raise ConfigError(f"hop_s is {hop_s}; expected {HOP_SAMPLES / SAMPLE_RATE} or more")
        self.hop_s = self.hop_frames * HOP_SAMPLES / SAMPLE_RATE
        self.key = hashlib.sha256(f"{key} hop {self.hop_frames}".encode()).hexdigest()

    @torch.inference_mode()
    def embed(self, wave: Wave, sample_rate: int) -> Patches:
        """Embeddings (patches, 200) of a wave, float32.

        Raises:
            AudioError: Empty, not finite, or shorter than a patch.
        """
        signal = mono_signal(wave, sample_rate)
        frames = 1 + (len(signal) - N_FFT) // HOP_SAMPLES
        count = 1 + (frames - PATCH_FRAMES) // self.hop_frames
        parts = []
        for first in range(0, count, BLOCK_PATCHES):
            patches = self._patches(signal, first, min(BLOCK_PATCHES, count - first))
            # One by one: what eight patches need leaves the processor's caches (1.7 times slower).
            parts += [self.network(patch[None]) for patch in patches]
        return torch.cat(parts).numpy()

    @torch.inference_mode()
    def tags(self, wave: Wave, sample_rate: int) -> dict[str, float]:
        """The mean probability over patches of every tag, the likeliest first.

        A human's check of what the embedding hears; the tags are those of listeners on the web.
        """
        embedding = torch.from_numpy(self.embed(wave, sample_rate))
        means = self.network.tags(embedding).mean(dim=0)
        order = means.argsort(descending=True).tolist()
        return {self.tag_names[index]: float(means[index]) for index in order}

    def _patches(
        self, signal: Float[Tensor, " time"], first: int, count: int
    ) -> Float[Tensor, "batch frames mels"]:
        """Log-mel patches first, first + 1, ... of a signal."""
        start = first * self.hop_frames * HOP_SAMPLES
        frames = (count - 1) * self.hop_frames + PATCH_FRAMES
        mel = log_mel(signal[start : start + (frames - 1) * HOP_SAMPLES + N_FFT])
        return mel.unfold(0, PATCH_FRAMES, self.hop_frames).transpose(1, 2)


@lru_cache(maxsize=1)
@torch.inference_mode(False)
def _published() -> tuple[MusicnnNetwork, list[str], str]:
    """The published network, the names of its tags, and the hash of its weights."""
    settings = read_json(WEIGHTS / "config.json")
    file = WEIGHTS / "model.safetensors"
    network = MusicnnNetwork()
    load_into(network, read_tensors(file))
    digest = hashlib.sha256(file.read_bytes() + json.dumps(settings).encode()).hexdigest()
    return network.eval().requires_grad_(False), settings["tags"], digest


def load_musicnn(hop_s: float = PATCH_S) -> Musicnn:
    """The published musicnn.

    Args:
        hop_s: Seconds from patch to patch; the patch's own length (no overlap) unless given.
    """
    return Musicnn(*_published(), hop_s)
