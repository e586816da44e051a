"""Stems on top of a mix, and recordings that stay on the disk."""

import numpy as np
import pytest

from ritornello.audio import mapped
from ritornello.audio.io import read_audio, read_provenance, write_audio
from ritornello.audio.loudness import integrated_loudness, true_peak_dbfs
from ritornello.audio.mapped import read_mapped
from ritornello.audio.mixing import Layer, matched_gain_db, mixed_blocks, write_mixdown
from ritornello.interfaces import Audio


def tone(seconds, hz, level, rate, channels=1):
    wave = level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return Audio(samples=np.tile(wave, (channels, 1)).astype(np.float32), sample_rate=rate)


def test_a_stem_is_brought_to_its_level_against_the_mix():
    mix, stem = tone(3, 500, 0.5, 44100, 2), tone(3, 500, 0.01, 16000)
    gain_db = matched_gain_db(mix, stem, -3.0)
    placed = Layer(audio=stem, gain_db=gain_db).span(mix, 0, mix.samples.shape[1])
    difference = integrated_loudness(placed, 44100) - integrated_loudness(mix.samples, 44100)
    assert difference == pytest.approx(-3, abs=0.1)
    silence = Audio(samples=np.zeros((1, 8000), np.float32), sample_rate=16000)
    assert matched_gain_db(mix, silence) == 0


def test_a_mixdown_has_the_mixes_rate_channels_and_length_and_no_peaks(tmp_path):
    mix, stem = tone(12.3, 500, 0.9, 8000, 2), tone(12.3, 200, 0.9, 16000)
    report = write_mixdown(tmp_path / "both.wav", mix, [Layer(audio=stem)], {"how": "mixdown"})
    both = read_audio(tmp_path / "both.wav")
    assert both.samples.shape == mix.samples.shape
    assert report.clipped == 0
    assert true_peak_dbfs(both.samples, 8000) == pytest.approx(-1, abs=0.05)
    assert read_provenance(tmp_path / "both.wav")["how"] == "mixdown"
    expected = mix.samples + tone(12.3, 200, 0.9, 8000).samples
    gain = 10 ** (report.gain_db / 20)
    inner = slice(400, -400)  # a tone that begins at once rings a little when it is resampled
    np.testing.assert_allclose(both.samples[:, inner], gain * expected[:, inner], atol=2e-3)


def test_layers_are_added_at_their_gains_and_end_when_they_end():
    mix, stem = tone(2, 100, 0.1, 8000), tone(1, 300, 0.2, 8000)
    layers = [Layer(audio=stem, gain_db=-6.0206), Layer(audio=stem, loop=True)]
    found = np.concatenate(list(mixed_blocks(mix, layers)), 1)
    np.testing.assert_allclose(
        found[:, :8000], mix.samples[:, :8000] + 1.5 * stem.samples, atol=1e-5
    )
    np.testing.assert_array_equal(found[:, 8000:], mix.samples[:, 8000:])


def test_a_long_recording_stays_on_the_disk(tmp_path, monkeypatch):
    audio = tone(50, 100, 0.5, 400, 2)
    write_audio(tmp_path / "a.wav", audio)
    short = read_mapped(tmp_path / "a.wav")
    monkeypatch.setattr(mapped, "LONG_S", 10.0)
    long = read_mapped(tmp_path / "a.wav")
    assert isinstance(long.samples, np.memmap)
    assert not isinstance(short.samples, np.memmap)
    np.testing.assert_array_equal(long.samples, short.samples)
