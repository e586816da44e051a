"""musicnn: the authors' graph answers the same, the mel is the textbook's, any wave will do."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tools.musicnn_reference import reference_patches

from ritornello.audio.stft import mel_filterbank
from ritornello.errors import AudioError, ConfigError
from ritornello.evaluation.musicnn import (
    HOP_SAMPLES,
    MELS,
    N_FFT,
    PATCH_FRAMES,
    PATCH_S,
    SAMPLE_RATE,
    load_musicnn,
    log_mel,
    mono_signal,
)
from tests.evaluation.signals import noise, notes, tone

REFERENCE = Path(__file__).parent / "data" / "musicnn_reference.safetensors"
SHORTEST = (PATCH_FRAMES - 1) * HOP_SAMPLES


def test_network_answers_as_the_authors_own_graph_does():
    network, reference = load_musicnn().network, load_file(REFERENCE)
    with torch.inference_mode():
        embedding = network(torch.from_numpy(reference_patches()))
        tags = network.tags(embedding)
    np.testing.assert_allclose(embedding, reference["penultimate"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(tags, reference["tags"], rtol=1e-5, atol=1e-5)
    # the comparison could not fail on a network that answers everything alike
    assert reference["penultimate"].std(axis=0).max() > 1


def test_log_mel_equals_the_formula_frame_by_frame():
    mono = noise(0.2, seed=3, rate=SAMPLE_RATE)[0]
    ours = log_mel(torch.from_numpy(mono.astype(np.float32))).numpy()
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    filters = mel_filterbank(SAMPLE_RATE, N_FFT, MELS).numpy()
    assert len(ours) == 1 + (len(mono) - N_FFT) // HOP_SAMPLES
    for index, frame in enumerate(ours):
        start = index * HOP_SAMPLES
        power = np.abs(np.fft.rfft(mono[start : start + N_FFT] * window)) ** 2
        np.testing.assert_allclose(frame, np.log10(1 + 1e4 * filters @ power), atol=1e-4)


def test_mel_bands_are_librosas():
    filters = mel_filterbank(SAMPLE_RATE, N_FFT, MELS)
    known = [  # band, bin, librosa.filters.mel(sr=16000, n_fft=512, n_mels=96) of librosa 0.11
        (0, 1, 0.03199922293424606),
        (10, 11, 0.030413499101996422),
        (40, 42, 0.01487791445106268),
        (70, 109, 0.0033346512354910374),
        (95, 241, 0.00046491858665831387),
    ]
    for band, number, value in known:
        assert float(filters[band, number]) == pytest.approx(value, rel=1e-5)
    assert filters.count_nonzero(dim=1)[[0, 95]].tolist() == [1, 15]


def test_frames_are_centred_and_the_ends_mirrored():
    mono = noise(3.0, seed=4, rate=SAMPLE_RATE)
    signal = mono_signal(mono, SAMPLE_RATE).numpy()
    mirrored = np.pad(mono[0], N_FFT // 2, mode="reflect")
    np.testing.assert_allclose(signal, mirrored, atol=1e-6)
    assert len(log_mel(torch.from_numpy(signal))) == 1 + mono.shape[1] // HOP_SAMPLES


def test_loud_music_does_not_overflow():
    embedding = load_musicnn().embed(30 * tone(440, 3.0), 22050)
    assert np.isfinite(embedding).all()


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (48000, 6)])
def test_any_rate_and_number_of_channels(rate, channels):
    wave = np.repeat(notes(3.1, seed=0, rate=rate), channels, axis=0)
    assert load_musicnn().embed(wave, rate).shape == (1, 200)


def test_channels_are_mixed_and_the_rate_is_brought_to_16_khz():
    musicnn, wave = load_musicnn(), notes(3.1, seed=1, rate=44100).astype(np.float32)
    mono = musicnn.embed(wave, 44100)
    stereo = np.concatenate([1.5 * wave, 0.5 * wave])
    np.testing.assert_allclose(musicnn.embed(stereo, 44100), mono, atol=1e-3)
    # partials to 6 kHz: what both rates hold is heard alike
    slow = musicnn.embed(notes(3.1, seed=1, rate=32000), 32000)
    assert np.abs(slow - mono).mean() < 0.1 < np.abs(mono).mean()


@pytest.mark.parametrize(
    ("seconds", "hop_s", "patches"),
    [(2.976, PATCH_S, 1), (5.967, PATCH_S, 1), (5.968, PATCH_S, 2), (4.0, 1.0, 2), (3.0, 0.016, 2)],
)
def test_number_of_patches(seconds, hop_s, patches):
    wave = tone(440, seconds, rate=SAMPLE_RATE)
    assert load_musicnn(hop_s).embed(wave, SAMPLE_RATE).shape == (patches, 200)


def test_patches_come_every_hop():
    musicnn = load_musicnn(hop_s=1.6)
    signal = notes(4.7, seed=2, rate=SAMPLE_RATE)
    mel = log_mel(mono_signal(signal, SAMPLE_RATE))
    with torch.inference_mode():
        second = musicnn.network(mel[None, 100 : 100 + PATCH_FRAMES]).numpy()
    embedding = musicnn.embed(signal, SAMPLE_RATE)
    np.testing.assert_allclose(embedding[1:], second, atol=1e-4)
    assert np.abs(embedding[0] - embedding[1]).max() > 0.1


def test_caches_are_kept_apart_by_the_hop_alone():
    assert load_musicnn(hop_s=1.0).key != load_musicnn().key == load_musicnn(hop_s=PATCH_S).key


def test_what_cannot_be_heard_is_refused():
    musicnn = load_musicnn()
    with pytest.raises(AudioError, match=r"lasts 2 s; musicnn hears patches of 2\.976 s"):
        musicnn.embed(tone(440, 2.0), 22050)
    with pytest.raises(AudioError, match="NaN"):
        musicnn.embed(np.full((1, 60000), np.nan), 16000)
    with pytest.raises(AudioError, match="0 samples"):
        musicnn.embed(np.zeros((2, 0)), 16000)
    with pytest.raises(ConfigError, match="hop_s is 0"):
        load_musicnn(hop_s=0.0)
    assert musicnn.embed(np.zeros((1, SHORTEST)), SAMPLE_RATE).shape == (1, 200)


def test_tags_tell_plucked_notes_from_beats_of_noise():
    musicnn = load_musicnn()
    beat = noise(3.1, seed=0, rate=16000) * np.exp(-(np.arange(49600) % 8000) / 900)
    beats, plucked = musicnn.tags(4 * beat, 16000), musicnn.tags(notes(3.1, 5, rate=16000), 16000)
    assert len(beats) == 50
    assert list(beats.values()) == sorted(beats.values(), reverse=True)
    assert next(iter(beats)) == "electronic"
    assert plucked["electronic"] < beats["electronic"] / 2
