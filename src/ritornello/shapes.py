"""The axis vocabulary and the tensor types that cross module borders.

Axis names, the same everywhere:

    batch      independent examples
    channels   audio channels (1 mono, 2 stereo: left, right)
    time       audio samples
    frames     steps of a latent, code or spectrogram sequence
    bins       STFT frequency bins, n_fft // 2 + 1
    mels       mel bands
    dim        features of a latent or hidden vector
    codebooks  parallel code streams; codes are 0 .. K-1
    heads      attention heads

Waveforms are float32 in [-1, 1]; codes are int64. The sample rate travels with `interfaces.Audio`
at the library's borders and never inside `nn`.
"""

from jaxtyping import Complex, Float, Int64
from torch import Tensor

Waveform = Float[Tensor, "batch channels time"]
Codes = Int64[Tensor, "batch codebooks frames"]
Latents = Float[Tensor, "batch dim frames"]
Spectrum = Complex[Tensor, "*lead bins frames"]
Magnitudes = Float[Tensor, "*lead bins frames"]
