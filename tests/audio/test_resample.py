"""Spans and rings are resampled as the whole is."""

import numpy as np
import pytest

from ritornello.audio.resample import resample, resample_ring, resample_span


@pytest.mark.parametrize(("from_rate", "to_rate"), [(44100, 16000), (16000, 44100), (8000, 8000)])
def test_a_span_is_that_of_the_whole(from_rate, to_rate):
    samples = np.random.default_rng(0).standard_normal((2, 3 * from_rate + 7)).astype(np.float32)
    whole = resample(samples, from_rate, to_rate)
    for start, stop in [(0, 500), (12345, 20001), (whole.shape[1] - 900, whole.shape[1])]:
        span = resample_span(samples, from_rate, to_rate, start, stop)
        np.testing.assert_allclose(span, whole[:, start:stop], atol=2e-4)


@pytest.mark.parametrize(
    ("time", "length"), [(100, 250), (250, 100), (101, 90), (90, 90), (64, 63)]
)
def test_a_ring_keeps_what_goes_round(time, length):
    def tone(samples):
        at = np.arange(samples) / samples
        return (1 + np.sin(2 * np.pi * (5 * at + 0.1)) + np.cos(2 * np.pi * 30 * at))[None]

    found = resample_ring(tone(time).astype(np.float32), length)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, tone(length), atol=1e-5)


def test_the_highest_frequency_of_an_even_ring_goes_up_and_comes_back():
    ring = np.array([[1, -1, 1, -1]], np.float32)
    raised = resample_ring(ring, 8)
    np.testing.assert_allclose(raised[:, ::2], ring, atol=1e-6)
    np.testing.assert_allclose(resample_ring(raised, 4)[0, 0], 1, atol=1e-6)
