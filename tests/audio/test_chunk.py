import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ritornello.audio.chunk import chunk_plan, cross_fade, overlap_add
from ritornello.errors import AudioError


@given(length=st.integers(0, 500), chunk=st.integers(1, 200), context=st.integers(0, 60))
def test_every_position_is_covered_exactly_once(length, chunk, context):
    covered = []
    for piece in chunk_plan(length, chunk, context):
        assert 1 <= piece.stop - piece.start <= chunk
        assert piece.padded_start == max(0, piece.start - context)
        assert piece.padded_stop >= min(length, piece.stop + context)
        whole = list(range(length))
        assert whole[piece.source][piece.keep] == whole[piece.target]
        covered += whole[piece.target]
    assert covered == list(range(length))


@settings(deadline=None)
@given(length=st.integers(1, 300), chunk=st.integers(1, 100), reach=st.integers(0, 7))
def test_chunked_filter_equals_the_whole(length, chunk, reach):
    generator = torch.Generator().manual_seed(length)
    signal = torch.randn(1, 1, length, generator=generator, dtype=torch.float64)
    kernel = torch.randn(1, 1, 2 * reach + 1, generator=generator, dtype=torch.float64)
    whole = torch.conv1d(signal, kernel, padding=reach)
    joined = torch.empty_like(whole)
    for piece in chunk_plan(length, chunk, reach):
        part = torch.conv1d(signal[..., piece.source], kernel, padding=reach)
        joined[..., piece.target] = part[..., piece.keep]
    assert torch.allclose(joined, whole, rtol=0, atol=1e-12)


@settings(deadline=None)
@given(count=st.integers(1, 9), piece=st.integers(1, 50), share=st.floats(0, 0.5))
def test_pieces_of_one_signal_join_to_that_signal(count, piece, share):
    overlap = int(piece * share)
    step = piece - overlap
    generator = torch.Generator().manual_seed(count)
    time = count * step + overlap
    signal = torch.randn(2, time, generator=generator, dtype=torch.float64)
    pieces = torch.stack([signal[:, i * step : i * step + piece] for i in range(count)])
    assert torch.allclose(overlap_add(pieces, overlap), signal, rtol=0, atol=1e-12)


def test_cross_fade_and_its_mirror_add_up_to_one():
    rise = cross_fade(13, torch.zeros((), dtype=torch.float64))
    assert torch.allclose(rise + rise.flip(0), torch.ones_like(rise))
    assert (rise.diff() > 0).all()


def test_what_cannot_be_cut_or_joined_is_refused():
    with pytest.raises(AudioError, match="chunk >= 1"):
        chunk_plan(10, 0)
    with pytest.raises(AudioError, match="half a piece"):
        overlap_add(torch.zeros(2, 10), 6)
