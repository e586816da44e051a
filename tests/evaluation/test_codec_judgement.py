import numpy as np
import pytest
import torch

from ritornello.audio.io import write_audio
from ritornello.errors import AudioError, DataError
from ritornello.evaluation.clips import ClipSet, clips_of
from ritornello.evaluation.codec_judgement import judge_codec
from ritornello.interfaces import Audio, LatentCodec, TokenCodec
from tests.evaluation.signals import notes

RATE = 16000


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("music")
    for seed in range(3):
        audio = Audio(samples=notes(1.2, seed, rate=RATE).astype(np.float32), sample_rate=RATE)
        write_audio(folder / f"{seed}.wav", audio)
    return clips_of(folder, seconds=1.0, count=3)


class Folding(LatentCodec):
    """Loses nothing: blocks of samples are the latents."""

    sample_rate, channels, hop_samples, context_frames, latent_dim = RATE, 1, 8, 0, 8

    def encode(self, wave):
        return wave.unflatten(-1, (-1, self.hop_samples))[:, 0].transpose(1, 2)

    def decode(self, latents, length=None):
        return latents.transpose(1, 2).flatten(1)[:, None, :length]


class Levels(TokenCodec):
    """Every sample rounded to one of 256 levels."""

    sample_rate, channels, hop_samples, context_frames = RATE, 1, 1, 0
    codebooks, codebook_size = 1, 256

    def encode(self, wave):
        return ((wave + 1) / 2 * 255).round().clamp(0, 255).long()

    def decode(self, codes, length=None):
        return (codes.float() / 255 * 2 - 1)[..., :length]


class Broken(Folding):
    def decode(self, latents, length=None):
        return torch.full_like(super().decode(latents, length), torch.nan)


def test_a_codec_that_loses_nothing_reaches_every_best(clips):
    figures = judge_codec(Folding(), clips, np.random.default_rng(0))
    assert figures["log_mel_distance_db"].value == pytest.approx(0, abs=1e-9)
    assert figures["spectral_convergence_db"].value == -120
    assert figures["attack_sharpness"].value == pytest.approx(1)
    assert figures["si_sdr_db"].value >= figures["ceiling_si_sdr_db"].value
    assert figures["ceiling_si_sdr_db"].low > figures["low_pass_si_sdr_db"].high
    assert figures["numbers_per_second"].value == RATE
    assert figures["effective_dims"].value < 8
    assert figures["si_sdr_db"].items == 3
    assert figures["hiss_db"].value == pytest.approx(0, abs=1e-9)
    assert figures["low_pass_hiss_db"].value < -1


def test_a_coarse_codec_stands_below_the_ceiling_and_its_bits_are_counted(clips):
    figures = judge_codec(Levels(), clips, np.random.default_rng(0))
    assert figures["si_sdr_db"].high < figures["ceiling_si_sdr_db"].low
    assert figures["hiss_db"].value > 10  # 8 bits of everything fill the gaps with their noise
    assert figures["bit_rate"].value == pytest.approx(8 * RATE)
    assert figures["entropy_bit_rate"].value < figures["bit_rate"].value
    assert 1 < figures["perplexity"].value < 256
    assert "numbers_per_second" not in figures


def test_progress_and_refusals(clips):
    told = []
    draw = np.random.default_rng(0)
    judge_codec(Levels(), clips[:1], draw, progress=lambda *words: told.append(words))
    assert told == [(1, 1, clips[0].name)]
    with pytest.raises(DataError, match="no clips"):
        judge_codec(Levels(), ClipSet([], source=clips.source), draw)
    with pytest.raises(AudioError, match=r"\.wav@"):
        judge_codec(Broken(), clips, draw)
