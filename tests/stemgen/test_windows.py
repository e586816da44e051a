"""Windows cover a piece; what is heard and what is played in parts is what the whole would be."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ritornello.errors import AudioError, ConfigError
from ritornello.interfaces import Audio
from ritornello.stemgen.click import Click
from ritornello.stemgen.hearing import Source, piece_time
from ritornello.stemgen.windows import (
    blocks,
    closing,
    closing_frames,
    played,
    ring_wave,
    windows,
)
from tests.stemgen.conftest import RATE, noise


@given(frames=st.integers(1, 500), window=st.integers(2, 80), share=st.floats(0, 0.99))
def test_windows_cover_every_frame_and_overlap(frames, window, share):
    overlap = int(share * window)
    found = windows(frames, window, overlap)
    assert found[0].start == 0
    assert found[-1].stop == frames
    for before, after in pairwise(found):
        assert after.first_new == before.stop
        assert before.start < after.start <= before.stop - overlap
        assert after.stop - after.start == window
    assert all(one.first_new < one.stop for one in found)


def test_an_overlap_that_leaves_nothing_is_refused():
    with pytest.raises(ConfigError, match="expected 0 to 7"):
        windows(20, 8, 8)


@given(frames=st.integers(2, 300), window=st.integers(2, 80), share=st.floats(0, 0.99))
def test_a_loop_is_closed_with_both_sides_known(frames, window, share):
    found = closing(frames, window, int(share * window))
    places, anew = found.places(frames), closing_frames(found, frames)
    assert len(set(places.tolist())) == len(places) == min(window, frames)
    assert set(anew.tolist()) <= set(places.tolist())
    assert {0, frames - 1} & set(anew.tolist())
    assert len(set(anew.tolist())) == len(anew)
    known = set(places.tolist()) - set(anew.tolist())
    if len(places) >= 4:  # something before what is made anew, and something after it
        order = [place in known for place in places.tolist()]
        assert order[0]
        assert order[-1]


@pytest.mark.parametrize(("rate", "channels"), [(RATE, 1), (4410, 2)])
def test_what_is_heard_in_parts_is_the_whole(player, rate, channels):
    mix = noise(3.01, rate, channels)
    time = piece_time(mix, None, RATE, loop=False)
    heard = Source(audio=mix, codec=player.codec, time=time)
    whole = heard.codes(0, heard.frames)
    direct = player.codec.encode(torch.from_numpy(heard.span(0, time))[None])
    assert torch.equal(whole, direct)
    for start, stop in [(0, 20), (31, 77), (heard.frames - 9, heard.frames)]:
        part = heard.codes(start, stop)
        # Resampling a part differs from the whole in the last bit, which may decide for a code.
        assert (part == whole[..., start:stop]).float().mean() >= (1 if rate == RATE else 0.98)


def test_a_loop_is_heard_round_its_end(player):
    """A ring turned by whole frames has the same tokens, turned as much."""
    hop = player.codec.hop_samples
    wave = noise(2).samples
    heard, turned = (
        Source(
            audio=Audio(samples=samples, sample_rate=RATE),
            codec=player.codec,
            time=wave.shape[1],
            loop=True,
        )
        for samples in (wave, np.roll(wave, -7 * hop, axis=1))
    )
    frames = heard.frames
    assert torch.equal(heard.codes(7, 7 + frames), turned.codes(0, frames))


def test_a_loop_of_any_length_is_whole_frames(player):
    time = 100 * player.codec.hop_samples + 11
    tone = np.sin(2 * np.pi * 40 * np.arange(time) / time)[None].astype(np.float32)
    heard = Source(
        audio=Audio(samples=tone, sample_rate=RATE), codec=player.codec, time=time, loop=True
    )
    length = heard.frames * player.codec.hop_samples
    assert heard.frames == 100
    expected = np.sin(2 * np.pi * 40 * np.arange(length) / length)
    np.testing.assert_allclose(heard.span(0, length)[0], expected, atol=1e-4)


def test_what_is_played_in_parts_is_the_whole(player):
    codec, time = player.codec, 97 * player.codec.hop_samples - 13
    codes = torch.randint(16, (1, 2, 97), generator=torch.Generator().manual_seed(0))
    whole = codec.decode(codes, time)[0]
    parts = list(blocks(codec, codes, iter([30, 60, 97]), time))
    assert len(parts) == 3
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-6, rtol=0)
    part = played(codec, codes, 40, 60, time)
    hop = codec.hop_samples
    torch.testing.assert_close(part, whole[:, 40 * hop : 60 * hop], atol=1e-6, rtol=0)


def test_a_loop_is_played_round_its_end(player):
    codec = player.codec
    codes = torch.randint(16, (1, 2, 60), generator=torch.Generator().manual_seed(0))
    wave = ring_wave(codec, codes)
    turned = ring_wave(codec, codes.roll(-25, 2))
    torch.testing.assert_close(wave.roll(-25 * codec.hop_samples, 1), turned, atol=1e-6, rtol=0)


def test_a_click_is_on_the_beat_and_the_same_in_parts():
    click = Click(bpm=120, beats_per_bar=4, sample_rate=8000)
    whole = click.span(0, 20000)
    assert np.array_equal(np.concatenate([click.span(0, 4100), click.span(4100, 20000)], 1), whole)
    loud = [np.abs(whole[0, at : at + 100]).max() for at in range(0, 20000, 4000)]
    quiet = [np.abs(whole[0, at - 400 : at]).max() for at in range(4000, 20001, 4000)]
    assert min(loud) > 20 * max(quiet)
    energy = [np.square(whole[0, at : at + 1000]).sum() for at in range(0, 20000, 4000)]
    assert energy[0] == pytest.approx(energy[4])
    assert energy[0] > 2 * energy[1]


@pytest.mark.parametrize(
    ("mix", "seconds", "loop", "error", "message"),
    [
        (noise(0.5), None, False, AudioError, "lasts 0.5 s; expected 1 s or more"),
        (noise(2), 3.0, False, ConfigError, "longer than the mix"),
        (noise(2), 1.5, True, ConfigError, "as long as its mix"),
        (None, None, False, ConfigError, "no mix and no length"),
        (None, 0.5, False, ConfigError, "expected 1 or more"),
        (None, 3600.0, True, ConfigError, "at most"),
        (noise(2, channels=3), None, False, AudioError, "channels"),
    ],
)
def test_lengths_that_cannot_be(mix, seconds, loop, error, message):
    with pytest.raises(error, match=message):
        piece_time(mix, seconds, RATE, loop)
